# SPDX-License-Identifier: Apache-2.0
"""Azure's errors: whether to try again, and what to tell the user."""

import re

from azure.core import exceptions as core

from lkcloud.errors import Conflict, LkcloudError, NotAuthenticated, NotFound, Refused, Unreachable, UsageError
from lkcloud.transfer.http import TransportError, judge_transport
from lkcloud.transfer.retry import Verdict

_ENTRA = re.compile(r"AADSTS\d+: .*?(?=Trace ID:|\n|$)")
"""https://learn.microsoft.com/entra/identity-platform/reference-error-codes"""


def judge(error: Exception) -> Verdict:
    """Say what an ERROR of the SDK or of the data plane means for trying again."""
    if isinstance(error, TransportError):
        return judge_transport(error)
    status = status_of(error)
    if status in (429, 503):
        return Verdict.THROTTLED
    if status in (408, 500, 502, 504) or isinstance(error, core.ServiceRequestError | core.ServiceResponseError):
        return Verdict.TRANSIENT
    return Verdict.FATAL


def status_of(error: BaseException | None) -> int:
    """Return the HTTP status of an ERROR that an answer of Azure is behind, 0 if none is."""
    return error.status_code or 0 if isinstance(error, core.HttpResponseError) else 0


def code_of(error: BaseException | None) -> str:
    """Return Azure's code of an ERROR, such as `ResourceNotFound`, "" if it has none."""
    if not isinstance(error, core.HttpResponseError):
        return ""
    return str(getattr(error, "error_code", None) or (error.error.code if error.error else "") or "")


def explain(error: Exception, doing: str) -> LkcloudError | None:
    """Return what to tell the user of an ERROR while DOING something, None if it is no error of Azure's."""
    if isinstance(error, LkcloudError):
        return error
    text = f"azure: {doing}: {error.message if isinstance(error, core.AzureError) else error}".splitlines()[0]
    if isinstance(error, core.ClientAuthenticationError):
        # What Entra ID says is behind what each credential of a chain says.
        if found := _ENTRA.search(str(error)):
            text = f"azure: {doing}: {found[0].strip()}"
        return NotAuthenticated(text, hint="sign in (az login), or set AZURE_CLIENT_ID, AZURE_TENANT_ID and a secret")
    if isinstance(error, core.HttpResponseError):
        kind: type[LkcloudError] = {400: UsageError, 404: NotFound, 409: Conflict, 412: Conflict}.get(
            status_of(error), Refused
        )
        return kind(text, hint="see docs/azure.md, Troubleshooting")
    if isinstance(error, core.AzureError):
        return Unreachable(text, hint="check network and proxy, then run the same command again")
    return None
