# SPDX-License-Identifier: Apache-2.0
"""Google Cloud's errors: whether to try again, and what to tell the user.

Answers: https://cloud.google.com/apis/design/errors, https://cloud.google.com/storage/docs/json_api/v1/status-codes.
"""

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

_RATES = {"rateLimitExceeded", "userRateLimitExceeded", "RATE_LIMIT_EXCEEDED", "RESOURCE_OPERATION_RATE_EXCEEDED"}
"""Throttles come as 403 as well as 429 (googleapis/python-compute#279)."""

_QUOTAS = {"quotaExceeded", "QUOTA_EXCEEDED", "limitExceeded"}
_CORRUPT = {"BadDigest", "InvalidDigest"}


@dataclass(eq=False)
class GcpFault(Exception):
    """An answer of Google Cloud that says no: STATUS is HTTP's, REASON and MESSAGE are Google's.

    OPERATION is the method of the API, such as `storage.objects.insert`.
    """

    operation: str
    status: int
    reason: str
    message: str

    def __str__(self) -> str:
        return f"{self.operation}: {self.reason or self.status}: {self.message}"


def fault(error: BaseException | None) -> GcpFault | None:
    """Return ERROR as a GcpFault, if it is an answer of Google Cloud."""
    if isinstance(error, GcpFault):
        return error
    if not isinstance(error, api.GoogleAPICallError) or not error.code:
        return None
    details = [entry for entry in error.errors or [] if isinstance(entry, dict)]
    reason = str(details[0].get("reason") or "") if details else ""
    said = str(details[0].get("message") or "") if details else ""
    return GcpFault("", int(error.code), reason, said or str(error.message))


def status_of(error: BaseException | None) -> int:
    """Return the HTTP status of an answer, 0 if ERROR is none."""
    found = fault(error)
    return found.status if found else 0


def judge(error: Exception) -> Verdict:
    """Tell whether the same request may succeed later: throttles and failures of the service do, refusals do not."""
    answer = fault(error)
    if answer is not None:
        if answer.status == 429 or answer.reason in _RATES:
            return Verdict.THROTTLED
        # What was damaged on the way can be sent again.
        again = answer.status in (408, 500, 502, 503, 504) or answer.reason in _CORRUPT
        return Verdict.TRANSIENT if again else Verdict.FATAL
    if isinstance(error, requests.exceptions.SSLError):
        return Verdict.FATAL
    on_the_line = (requests.exceptions.ConnectionError, requests.exceptions.Timeout, auth.TransportError)
    if isinstance(error, (*on_the_line, api.RetryError)):
        return Verdict.TRANSIENT
    if isinstance(error, auth.RefreshError) and error.retryable:
        return Verdict.TRANSIENT
    return judge_transport(error)


def explain(error: Exception, doing: str) -> LkcloudError | None:
    """Return what to tell the user of ERROR, which came while DOING something; None for what is none of Google's."""
    if isinstance(error, LkcloudError) and not isinstance(error, TransportError):
        return error
    answer = fault(error)
    if answer is not None:
        return _explain_fault(answer, doing)
    said = _first_line(error)
    if isinstance(error, TransportError):
        return Unreachable(f"gcp: {doing}: {error.message}", hint=error.hint)
    if isinstance(error, auth.TransportError):
        return Unreachable(f"gcp: {doing}: {said}", hint="check network and proxy, then run the same command again")
    if isinstance(error, auth.GoogleAuthError):
        return NotAuthenticated(f"gcp: {said}", hint=CREDENTIALS_HINT)
    if isinstance(error, requests.exceptions.SSLError):
        return Unreachable(
            f"gcp: {doing}: {said}", hint="if a proxy stands between, name its certificates in REQUESTS_CA_BUNDLE"
        )
    if isinstance(error, requests.exceptions.RequestException | api.RetryError):
        return Unreachable(f"gcp: {doing}: {said}", hint="check network and proxy, then run the same command again")
    return None


def _explain_fault(answer: GcpFault, doing: str) -> LkcloudError:
    said = answer.message.strip().rstrip(".") or f"HTTP status {answer.status}"
    what = f"gcp: {doing}: {said}"
    if answer.reason and answer.reason not in said:
        what += f" ({answer.reason})"
    kind, hint = _meaning(answer)
    return kind(what, hint=hint)


def _meaning(answer: GcpFault) -> tuple[type[LkcloudError], str]:
    """Return the kind of error that an answer is, and what to do."""
    status, reason = answer.status, answer.reason
    rules: tuple[tuple[bool, type[LkcloudError], str], ...] = (
        (status == 401, NotAuthenticated, CREDENTIALS_HINT),
        (
            status == 429 or reason in _RATES or status >= 500 or status == 408,
            Unreachable,
            "run the same command again later; it goes on where it stopped",
        ),
        (reason in _QUOTAS, Refused, "delete what is not needed, or ask for a higher quota in the console"),
        (
            reason in ("accessNotConfigured", "SERVICE_DISABLED"),
            Refused,
            "enable the API: gcloud services enable compute.googleapis.com storage.googleapis.com",
        ),
        (status == 403, Refused, "allow it to this identity (docs/gcp.md lists all permissions)"),
        (status == 404, NotFound, "check the name and --project"),
        (status in (409, 412), Conflict, "wait for the other run, or choose another --name"),
        (reason in _CORRUPT, Corrupt, "run the same command again; if it stays, check memory and network"),
        (status == 400, UsageError, "look at the option that holds this value"),
    )
    for applies, kind, hint in rules:
        if applies:
            return kind, hint
    return Refused, "see docs/gcp.md, Troubleshooting"


def _first_line(error: Exception) -> str:
    """Return the first line of an error of the SDK in the house's form."""
    text = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
    return text[:1].lower() + text[1:]
