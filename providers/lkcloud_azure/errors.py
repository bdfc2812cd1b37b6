# SPDX-License-Identifier: Apache-2.0
"""Azure's errors: whether to try again, and what to tell the user.

Answers: https://learn.microsoft.com/azure/azure-resource-manager/troubleshooting/common-deployment-errors,
https://learn.microsoft.com/troubleshoot/azure/virtual-machines/windows/error-messages,
https://learn.microsoft.com/rest/api/storageservices/blob-service-error-codes. What they mean is in `meanings`, and
what signing in fails with in `signing_in`.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from azure.core import exceptions as core

from lkcloud.errors import LkcloudError, Unreachable
from lkcloud.transfer.http import TransportError, Untrusted, judge_transport
from lkcloud.transfer.retry import Verdict
from lkcloud_azure import meanings, signing_in
from lkcloud_azure.plain import is_certificate, on_the_line, one_line

_NETWORK_HINT = "check network and proxy, then run the same command again"
_CERTIFICATE_HINT = "if a proxy stands between, name its certificates in REQUESTS_CA_BUNDLE"

_TRANSIENT_STATUS = (408, 500, 502, 504)
_THROTTLES = {"ServerBusy", "TooManyRequests", "SubscriptionRequestsThrottled", "ResourceCollectionRequestsThrottled"}
_DAMAGED = {"Md5Mismatch", "Crc64Mismatch"}
"""What was damaged on the way can be sent again."""

_HOLLOW = {"BadRequest", "Conflict", "DeploymentFailed", "InvalidTemplateDeployment", "MultipleErrorsOccurred"}
"""Codes that say nothing where there is a code within them."""

_BUSY = {
    "AnotherOperationInProgress",
    "AttachDiskWhileBeingDetached",
    "CannotDeleteResource",
    "ConflictingConcurrentWriteNotAllowed",
    "ContainerBeingDeleted",
    "InUseSubnetCannotBeDeleted",
    "NetworkInterfaceInUse",
    "NicInUse",
    "NicReservedForAnotherVm",
    "OperationPreempted",
    "PreviousOperationInProgress",
    "PublicIPAddressCannotBeDeleted",
    "ResourceBeingDeleted",
    "RetryableError",
}
_BUSY_WORDS = re.compile(
    r"\b(another|ongoing|pending|concurrent|conflicting)\b[^.]*\b(operation|request)|operation[^.]*\bin progress"
    r"|\bbeing (deleted|detached|created|updated|provisioned|uploaded)|marked for deletion|nested resources"
    r"|currently (being|in use)|until [^.]* has been successfully created|active shared access signature",
    re.IGNORECASE,
)
"""Words of `OperationNotAllowed` and of `Conflict` for what is over after a while, from the list of errors above;
that nested resources are still there is said for some time after they are gone (Azure/azure-rest-api-specs#19686).
"""


@dataclass(eq=False)
class AzureFault(Exception):
    """An answer of Azure that says no: STATUS is HTTP's, 0 where a long operation has failed.

    CODE and MESSAGE are Azure's; RETRY_AFTER is the pause in seconds that it asks for, 0 if it does not.
    """

    status: int
    code: str
    message: str
    retry_after: float = 0.0

    def __str__(self) -> str:
        return f"{self.code or self.status}: {self.message}"


def fault(error: BaseException | None) -> AzureFault | None:
    """Return ERROR as an AzureFault, if an answer of Azure is behind it."""
    if isinstance(error, AzureFault):
        return error
    if not isinstance(error, core.HttpResponseError) or isinstance(error, core.DecodeError):
        return None
    if isinstance(error, core.ClientAuthenticationError) and error.response is None:
        return None  # of azure.identity: there were no credentials to ask with
    code, said = _told(error)
    headers: Mapping[str, str] = getattr(error.response, "headers", None) or {}
    return AzureFault(error.status_code or 0, code, said, pause_in(headers))


def status_of(error: BaseException | None) -> int:
    """Return the HTTP status of an ERROR that an answer of Azure is behind, 0 if none is."""
    found = fault(error)
    return found.status if found else 0


def is_absent(error: BaseException | None) -> bool:
    """Tell whether ERROR says that what was asked for is not there.

    Of a subscription that is not there this is not said: what is in it is not known then.
    """
    found = fault(error)
    return found is not None and found.status == 404 and found.code != "SubscriptionNotFound"


def code_of(error: BaseException | None) -> str:
    """Return Azure's code of an ERROR, such as `ResourceNotFound`, "" if it has none."""
    found = fault(error)
    return found.code if found else ""


def retry_after(error: BaseException) -> float:
    """Return the seconds that an ERROR asks to wait before the next request, 0 if it does not say."""
    found = fault(error)
    return found.retry_after if found else 0.0


def is_busy(error: BaseException | None) -> bool:
    """Tell whether ERROR says that another operation on the same resource goes on: it will be over after a while."""
    found = fault(error)
    if found is None or found.status not in (0, 400, 409, 412, 429):
        return False
    return found.code in _BUSY or (
        found.code in ("OperationNotAllowed", "Conflict", "ConflictError") and bool(_BUSY_WORDS.search(found.message))
    )


def judge(error: Exception) -> Verdict:
    """Tell whether the same request may succeed later: throttles and failures of the service do, refusals do not."""
    answer = fault(error)
    if answer is not None:
        if answer.status in (429, 503) or answer.code in _THROTTLES:
            return Verdict.THROTTLED
        again = answer.status in _TRANSIENT_STATUS or answer.code in _DAMAGED
        return Verdict.TRANSIENT if again else Verdict.FATAL
    if is_certificate(str(error)):
        return Verdict.FATAL
    if isinstance(error, core.ServiceRequestError | core.ServiceResponseError | core.IncompleteReadError):
        return Verdict.TRANSIENT
    if signing_in.is_passing(error):
        return Verdict.TRANSIENT
    return judge_transport(error)


def explain(error: Exception, doing: str) -> LkcloudError | None:
    """Return what to tell the user of ERROR, which came while DOING something; None for what is none of Azure's."""
    if isinstance(error, LkcloudError):
        return _explain_transport(error, doing)
    answer = fault(error)
    if answer is not None:
        return _explain_fault(answer, doing)
    if isinstance(error, core.ClientAuthenticationError):
        return signing_in.explain(error)
    if isinstance(error, core.AzureError):
        hint = _CERTIFICATE_HINT if is_certificate(str(error)) else _NETWORK_HINT
        return Unreachable(f"azure: {doing}: {on_the_line(error)}", hint=hint)
    return None


def _explain_transport(error: LkcloudError, doing: str) -> LkcloudError:
    """Return ERROR with what went on if it is of the connections beside the SDK, which know no cloud."""
    if isinstance(error, TransportError):
        return Unreachable(f"azure: {doing}: {one_line(error.message)}", hint=error.hint)
    if isinstance(error, Untrusted):
        return Untrusted(f"azure: {doing}: {error.message}", hint=_CERTIFICATE_HINT)
    return error


def _explain_fault(answer: AzureFault, doing: str) -> LkcloudError:
    said = one_line(answer.message) or f"HTTP status {answer.status}"
    what = f"azure: {doing}: {said}"
    if answer.code and answer.code not in said:
        what += f" ({answer.code})"
    kind, hint = meanings.of(answer.status, answer.code, answer.message, answer.retry_after, busy=is_busy(answer))
    return kind(what, hint=hint)


def _told(error: core.HttpResponseError) -> tuple[str, str]:
    """Return code and message of an answer, as deep as they say something."""
    code = getattr(error, "error_code", None)
    if code:  # of the SDK of storage, which puts request and time behind the message
        return str(getattr(code, "value", code)), error.message.partition("\nRequestId:")[0].partition("\nErrorCode:")[
            0
        ]
    told = error.error
    if told is None and error.response is None:
        return "", error.message  # a long operation that gives no reason
    if told is None:
        header = (getattr(error.response, "headers", None) or {}).get("x-ms-error-code", "")
        return header, ""  # a page of a proxy, or an answer without a body: the status is all there is
    while told.code in _HOLLOW and told.details and (told.details[0].code or told.details[0].message):
        told = told.details[0]
    return _unwrapped(told.code or "", told.message or "")


def _unwrapped(code: str, message: str) -> tuple[str, str]:
    """Return what is within a MESSAGE that is a document itself, as some resource providers pass on what they got."""
    if not message.lstrip().startswith("{"):
        return code, message
    try:
        document: Any = json.loads(message)
        within = document.get("error", document)
        return str(within.get("code") or code), str(within["message"])
    except (ValueError, KeyError, AttributeError):
        return code, ""


def pause_in(headers: Mapping[str, str]) -> float:
    """Return the seconds that an answer with these HEADERS asks to wait, 0 if it does not say.

    https://learn.microsoft.com/azure/azure-resource-manager/management/request-limits-and-throttling#error-code
    """
    for name, unit in (("retry-after-ms", 1000.0), ("x-ms-retry-after-ms", 1000.0), ("Retry-After", 1.0)):
        value = headers.get(name) or ""
        if value.isdecimal():
            return float(value) / unit
    return 0.0
