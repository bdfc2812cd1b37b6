# SPDX-License-Identifier: Apache-2.0
"""What signing in fails with, as azure.identity tells it: one error, with a line for each way that it has tried.

Codes of Entra ID: https://learn.microsoft.com/entra/identity-platform/reference-error-codes.
"""

import re

from azure.core.exceptions import ClientAuthenticationError

from lkcloud.errors import LkcloudError, NotAuthenticated, Unreachable
from lkcloud_azure.plain import is_certificate, one_line, plain_hosts

HINT = "sign in (az login), or set AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET"

_CODE = re.compile(r"AADSTS(?P<code>\d+): .*?(?=\s*(?:Trace ID:|Correlation ID:|\n|$))", re.DOTALL)
_ATTEMPT = re.compile(r"^\t(?:\[[^\]]*\] )?\w+: (.*?)(?=^\t\w+: |^To mitigate|\Z)", re.MULTILINE | re.DOTALL)
_LINE = re.compile(
    r"Failed to establish|Failed to resolve|Max retries exceeded|Connection aborted|Connection broken|timed out"
    r"|Unable to connect to proxy|certificate verify failed|Connection reset",
    re.IGNORECASE,
)

_AGAIN = "sign in again: az login"
_APPLICATION = "check AZURE_CLIENT_ID, AZURE_TENANT_ID and --cloud-environment"
_FEDERATED = "let the application trust this issuer, subject and audience: az ad app federated-credential create"
_POLICY = "a conditional access policy stands in the way: ask who looks after the directory"
_LATER = "run the same command again later; it goes on where it stopped"

_HINTS = {
    "7000215": "set AZURE_CLIENT_SECRET to the value of the secret, which is not its id",
    "7000222": "make a new client secret (az ad app credential reset), and set AZURE_CLIENT_SECRET",
    "7000112": "have the application enabled in the directory",
    "700016": _APPLICATION,
    "90002": "check AZURE_TENANT_ID and --cloud-environment",
    "900023": "check AZURE_TENANT_ID and --cloud-environment",
    "500011": _APPLICATION,
    "700024": "set the clock of this machine, or use a token that is not expired",
    "700027": "check AZURE_CLIENT_CERTIFICATE_PATH, and that the application has this certificate",
    "70021": _FEDERATED,
    "700211": _FEDERATED,
    "700212": _FEDERATED,
    "700213": _FEDERATED,
    "53000": _POLICY,
    "53001": _POLICY,
    "53003": _POLICY,
    "50105": "have this identity assigned to the application in the directory",
    **dict.fromkeys(
        ("50076", "50078", "50079", "50132", "50133", "50158", "50173", "70008", "70043", "700082", "700084"), _AGAIN
    ),
}
_PASSING = {"90033", "90055", "50196"}
"""Entra ID's own trouble, and that it is asked too often."""


def explain(error: ClientAuthenticationError) -> LkcloudError:
    """Return what to tell of an ERROR of azure.identity."""
    text, last = str(error), _last(error)
    found = _CODE.search(text)
    if found is not None:
        said = f"azure: signing in: {one_line(found[0])}"
        if found["code"] in _PASSING:
            return Unreachable(said, hint=_LATER)
        return NotAuthenticated(said, hint=_HINTS.get(found["code"], HINT))
    if _LINE.search(last):
        hint = "check network, proxy and --cloud-environment, then run the same command again"
        if is_certificate(last):
            hint = "if a proxy stands between, name its certificates in REQUESTS_CA_BUNDLE"
        return Unreachable(f"azure: signing in: {one_line(plain_hosts(last))}", hint=hint)
    if "authority configuration" in last:  # how MSAL tells of a tenant that is not there
        return NotAuthenticated(f"azure: signing in: {one_line(last)}", hint=_HINTS["90002"])
    if len(_ATTEMPT.findall(text)) != 1 and _was_none(last):
        return NotAuthenticated("azure: there are no credentials", hint=HINT)
    return NotAuthenticated(f"azure: signing in: {one_line(last)}", hint=HINT)


def is_passing(error: Exception) -> bool:
    """Tell whether ERROR is of signing in, and what stands in the way may be gone a moment later."""
    if not isinstance(error, ClientAuthenticationError) or error.response is not None:
        return False
    found = _CODE.search(str(error))
    if found is not None:
        return found["code"] in _PASSING
    last = _last(error)
    return bool(_LINE.search(last)) and not is_certificate(last)


def _last(error: ClientAuthenticationError) -> str:
    """Return what the way said that was tried last: the one that failed, unless none had anything to sign in with."""
    attempts: list[str] = _ATTEMPT.findall(str(error))
    return (attempts[-1] if attempts else str(error)).removeprefix("Authentication failed: ").strip()


def _was_none(last: str) -> bool:
    """Tell whether even the LAST way had nothing to sign in with; all that come before it then had nothing either."""
    return bool(re.search(r"unavailable|is required|not (be )?found|not installed|[Pp]lease run", last))
