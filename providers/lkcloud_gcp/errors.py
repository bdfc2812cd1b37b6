# SPDX-License-Identifier: Apache-2.0
"""Google Cloud's errors: whether to try again, and what to tell the user.

Answers: https://cloud.google.com/apis/design/errors (ErrorInfo; its reasons in google/api/error_reason.proto),
https://cloud.google.com/storage/docs/json_api/v1/status-codes. Credentials: google.auth.exceptions.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import requests.exceptions
from google.api_core import exceptions as api
from google.auth import exceptions as auth

from lkcloud.errors import (
    Conflict,
    Corrupt,
    LkcloudError,
    NotAuthenticated,
    NotFound,
    Refused,
    Unreachable,
    UsageError,
)
from lkcloud.transfer.http import TransportError, judge_transport
from lkcloud.transfer.retry import Verdict

CREDENTIALS_HINT = "sign in (gcloud auth application-default login), or set GOOGLE_APPLICATION_CREDENTIALS"

_NETWORK_HINT = "check network and proxy, then run the same command again"
_LATER_HINT = "run the same command again later; it goes on where it stopped"

_RATES = {"rateLimitExceeded", "userRateLimitExceeded", "RATE_LIMIT_EXCEEDED", "RESOURCE_OPERATION_RATE_EXCEEDED"}
"""Throttles come as 403 as well as 429 (googleapis/python-compute#279)."""

_QUOTAS = {"quotaExceeded", "QUOTA_EXCEEDED", "QUOTA_LIMIT_EXCEEDED", "limitExceeded", "RESOURCE_QUOTA_EXCEEDED"}
_DISABLED = {"accessNotConfigured", "SERVICE_DISABLED"}
_BILLING = {"BILLING_DISABLED", "accountDisabled", "AccountProblem", "UserProjectAccountProblem"}
_CORRUPT = {"BadDigest", "InvalidDigest"}
_TRANSIENT_STATUS = (408, 500, 502, 503, 504)

_PERMISSION = re.compile(r"(?<![\w@./-])[a-z]+(?:\.(?!googleapis\b)[A-Za-z]+){2}(?!\.?[\w/])")
"""A permission in a message: `Required 'compute.images.create' permission`, `does not have storage.objects.get access`.

It has three words, as SERVICE.RESOURCE.VERB (https://cloud.google.com/iam/docs/overview); so have hosts, such as
storage.googleapis.com or that of a service account's address.
"""
_CONSTRAINT = re.compile(r"\bconstraints/[A-Za-z0-9.]+[A-Za-z0-9]")
"""An organisation policy that stands in the way."""
_SERVICE = re.compile(r"\b[a-z]+\.googleapis\.com\b")
_POOL = re.compile(r"^HTTPS?Connection(?:Pool)?\(host='([^']*)', port=\d+\): ")
"""How urllib3 begins to tell what went wrong."""
_PROJECT = re.compile(r"resource 'projects/[^/']+'")

_ON_THE_LINE = (
    requests.exceptions.ConnectionError,
    requests.exceptions.Timeout,
    requests.exceptions.ChunkedEncodingError,
    requests.exceptions.ContentDecodingError,
    auth.TransportError,
    auth.TimeoutError,
    api.RetryError,
)


@dataclass(eq=False)
class GcpFault(Exception):
    """An answer of Google Cloud that says no: STATUS is HTTP's, REASON and MESSAGE are Google's.

    OPERATION is the method of the API, such as `storage.objects.insert`; INFO is the reason of an ErrorInfo, such as
    SERVICE_DISABLED, where there is one beside the reason.
    """

    operation: str
    status: int
    reason: str
    message: str
    info: str = ""

    def __str__(self) -> str:
        return f"{self.operation}: {self.reason or self.status}: {self.message}"

    @property
    def reasons(self) -> frozenset[str]:
        """Both reasons."""
        return frozenset((self.reason, self.info)) - {""}


def fault(error: BaseException | None) -> GcpFault | None:
    """Return ERROR as a GcpFault, if it is an answer of Google Cloud."""
    if isinstance(error, GcpFault):
        return error
    if not isinstance(error, api.GoogleAPICallError) or not error.code:
        return None
    details = [entry for entry in error.errors or () if isinstance(entry, Mapping)]
    reason = str(details[0].get("reason") or "") if details else ""
    said = str(details[0].get("message") or "") if details else ""
    info = str(error.reason or "")
    return GcpFault("", int(error.code), reason or info, said or _without_request(str(error.message)), info)


def _without_request(message: str) -> str:
    """Return what Google said of MESSAGE; the SDK puts `GET https://...: ` in front of it.

    A body that is no JSON, such as the page of a proxy, is the whole of it otherwise.
    """
    said = re.sub(r"^[A-Z]+ https?://\S+: ", "", message)
    return "" if said.lstrip().startswith("<") or said == "unknown error" else said


def disabled(error: BaseException | None) -> str:
    """Return the API that the project has not enabled, if that is what ERROR says, "" otherwise."""
    answer = fault(error)
    return _services(answer) if answer is not None and answer.reasons & _DISABLED else ""


def status_of(error: BaseException | None) -> int:
    """Return the HTTP status of an answer, 0 if ERROR is none."""
    found = fault(error)
    return found.status if found else 0


def judge(error: Exception) -> Verdict:
    """Tell whether the same request may succeed later: throttles and failures of the service do, refusals do not."""
    answer = fault(error)
    if answer is not None:
        if answer.status == 429 or answer.reasons & _RATES:
            return Verdict.THROTTLED
        # What was damaged on the way can be sent again.
        again = answer.status in _TRANSIENT_STATUS or answer.reasons & _CORRUPT
        return Verdict.TRANSIENT if again else Verdict.FATAL
    if _is_certificate(error):
        return Verdict.FATAL
    if isinstance(error, _ON_THE_LINE) or (isinstance(error, auth.GoogleAuthError) and error.retryable):
        return Verdict.TRANSIENT
    return judge_transport(error)


def explain(error: Exception, doing: str) -> LkcloudError | None:
    """Return what to tell the user of ERROR, which came while DOING something; None for what is none of Google's."""
    if isinstance(error, TransportError):
        return Unreachable(f"gcp: {doing}: {error.message}", hint=error.hint)
    if isinstance(error, LkcloudError):
        return error
    answer = fault(error)
    if answer is not None:
        return _explain_fault(answer, doing)
    if isinstance(error, (*_ON_THE_LINE, requests.exceptions.RequestException)):
        ca = "if a proxy stands between, name its certificates in REQUESTS_CA_BUNDLE"
        return Unreachable(f"gcp: {doing}: {_first_line(error)}", hint=ca if _is_certificate(error) else _NETWORK_HINT)
    return _explain_credentials(error, _first_line(error)) if isinstance(error, auth.GoogleAuthError) else None


def _explain_credentials(error: auth.GoogleAuthError, said: str) -> LkcloudError:
    """Return what to tell of credentials that are missing, or that Google does not take.

    invalid_grant is told of a refresh token that is expired or revoked, and of a wrong clock
    (https://developers.google.com/identity/protocols/oauth2#expiration; RFC 6749, 5.2); invalid_rapt of a session that
    the organisation ends after some hours.
    """
    every = " ".join(str(part) for part in error.args)
    if isinstance(error, auth.DefaultCredentialsError) and "default credentials were not found" in every:
        return NotAuthenticated("gcp: there are no application default credentials", hint=CREDENTIALS_HINT)
    if error.retryable:
        return Unreachable(f"gcp: signing in: {said}", hint=_LATER_HINT)
    rules: tuple[tuple[bool, str], ...] = (
        ("reasonable timeframe" in every or "iat and exp" in every, "set the clock of this machine"),
        (
            "impersonat" in every.lower() or "getAccessToken" in every,
            "give this identity the role iam.serviceAccountTokenCreator on the service account that it acts as",
        ),
        (
            "Invalid JWT" in every or "account not found" in every,
            "the key was deleted or its service account is gone: make another and set GOOGLE_APPLICATION_CREDENTIALS",
        ),
        (
            "invalid_grant" in every or "invalid_rapt" in every or "Reauthentication" in every,
            "sign in again: gcloud auth application-default login",
        ),
        (True, CREDENTIALS_HINT),
    )
    return NotAuthenticated(f"gcp: {said}", hint=next(hint for applies, hint in rules if applies))


def _explain_fault(answer: GcpFault, doing: str) -> LkcloudError:
    said = " ".join(answer.message.split()).rstrip(".") or f"HTTP status {answer.status}"
    what = f"gcp: {doing}: {said}"
    if answer.reason and answer.reason not in said:
        what += f" ({answer.reason})"
    kind, hint = _meaning(answer)
    return kind(what, hint=hint)


def _meaning(answer: GcpFault) -> tuple[type[LkcloudError], str]:
    """Return the kind of error that an answer is, and what to do."""
    status, reasons = answer.status, answer.reasons
    for applies, kind, hint in (
        (status == 401, NotAuthenticated, CREDENTIALS_HINT),
        (
            status == 429 or reasons & _RATES or status in _TRANSIENT_STATUS or status >= 500,
            Unreachable,
            _LATER_HINT,
        ),
        (reasons & _QUOTAS, Refused, "delete what is not needed, or ask for a higher quota in the console"),
        (reasons & _DISABLED, Refused, f"enable the API: gcloud services enable {_services(answer)}"),
        (
            reasons & _BILLING or (status == 403 and "billing" in answer.message.lower()),
            Refused,
            "link the project to a billing account that is open: https://console.cloud.google.com/billing",
        ),
        # A policy is told with 400, 403 or 412, depending on the service.
        (
            _CONSTRAINT.search(answer.message),
            Refused,
            f"ask who looks after the organisation's policies for an exception{_policy(answer)}",
        ),
        (
            "vpcServiceControls" in answer.message or "SECURITY_POLICY_VIOLATED" in reasons,
            Refused,
            "run inside the perimeter of VPC Service Controls, or have this identity let in",
        ),
        ("ACCESS_TOKEN_SCOPE_INSUFFICIENT" in reasons, NotAuthenticated, "sign in with the scope cloud-platform"),
        (status == 403, Refused, f"allow {_permission(answer)} to this identity (docs/gcp.md lists all permissions)"),
        (status == 404, NotFound, _missing(answer)),
        (status in (409, 412), Conflict, "wait for the other run, or choose another --name"),
        (reasons & _CORRUPT, Corrupt, "run the same command again; if it stays, check memory and network"),
        (status == 400, UsageError, "look at the option that holds this value"),
    ):
        if applies:
            return kind, hint
    return Refused, "see docs/gcp.md, Troubleshooting"


def _permission(answer: GcpFault) -> str:
    found = _PERMISSION.search(answer.message)
    return found[0] if found else "it"


def _policy(answer: GcpFault) -> str:
    found = _CONSTRAINT.search(answer.message)
    return f" to {found[0]}" if found else ""


def _services(answer: GcpFault) -> str:
    found = _SERVICE.search(answer.message)
    return found[0] if found else "compute.googleapis.com storage.googleapis.com"


def _missing(answer: GcpFault) -> str:
    """Return what to do about a 404: a wrong project is told as badly as a wrong name (linuxkit/linuxkit#3064)."""
    if _PROJECT.search(answer.message):
        return "check --project: it takes the project's id, such as my-project-123456, not its title"
    if "bucket" in answer.message.lower() or "NoSuchBucket" in answer.reasons:
        return "check --bucket, or leave it out and one is made"
    return "check the name and --project (the project's id, not its title)"


def _is_certificate(error: Exception) -> bool:
    """Tell whether a server's certificate is not trusted; google.auth wraps errors that it meets itself."""
    causes = (error, error.__cause__, *error.args)
    return any(isinstance(cause, requests.exceptions.SSLError) for cause in causes)


def _first_line(error: Exception) -> str:
    """Return the first line of an error of the SDK in the house's form."""
    error = _innermost(error)
    # google.auth puts the answer's text beside the message; the message is the first.
    first = str(error.args[0]) if isinstance(error, auth.GoogleAuthError) and error.args else str(error)
    text = _POOL.sub(r"\1: ", (first.strip().splitlines() or [type(error).__name__])[0].rstrip("."))
    return text if text[1:2].isupper() else text[:1].lower() + text[1:]


def _innermost(error: Exception) -> Exception:
    """Return what went wrong on the line, without what requests, urllib3 and google.auth have wrapped around it."""
    inner = getattr(error, "reason", None) or (error.args[0] if error.args else None)
    return _innermost(inner) if isinstance(inner, Exception) else error
