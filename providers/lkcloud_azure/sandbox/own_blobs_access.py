# SPDX-License-Identifier: Apache-2.0
"""Who may do what with a storage account: a token of Entra ID, the account's key, or a shared access signature.

https://learn.microsoft.com/rest/api/storageservices/authorize-requests-to-azure-storage
"""

import base64
import hashlib
import hmac
import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from lkcloud.sandbox.http import Request
from lkcloud_azure.roles import BLOB_DATA
from lkcloud_azure.sandbox.access import STORAGE, TENANT, Tokens
from lkcloud_azure.sandbox.arm_call import matches
from lkcloud_azure.sandbox.errors import ApiError
from lkcloud_azure.sandbox.own_blobs_call import Call, bad_header, missing_header, not_authenticated, not_permitted
from lkcloud_azure.sandbox.own_blobs_routes import NEEDS, Need
from lkcloud_azure.sandbox.own_blobs_sas import check_signature

_SKEW = timedelta(minutes=15)
"""How old a request that is signed with the key may be:
https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key#specifying-the-date-header."""

_SIGNED = (
    "Content-Encoding",
    "Content-Language",
    "Content-Length",
    "Content-MD5",
    "Content-Type",
    "Date",
    "If-Modified-Since",
    "If-Match",
    "If-None-Match",
    "If-Unmodified-Since",
    "Range",
)

_VERSION = re.compile(r"20\d\d-\d\d-\d\d")
_FIRST = "2015-02-21"
"""The first version whose signatures leave out a Content-Length of 0; older ones are not here."""
_FIRST_WITH_TOKENS = "2017-11-09"
"""https://learn.microsoft.com/rest/api/storageservices/authorize-with-azure-active-directory"""


def check_version(request: Request) -> None:
    """Raise ApiError if x-ms-version cannot be.

    There is no upper limit: which versions the service knows is not for a sandbox to decide that is older than the SDK.
    """
    version = request.header("x-ms-version")
    if version and (not _VERSION.fullmatch(version) or version < _FIRST):
        raise bad_header("x-ms-version", version)


def check(call: Call, tokens: Tokens) -> str:
    """Raise ApiError if whoever sent CALL may not do what it asks for.

    Return the permissions of the shared access signature, or "" where it was no such thing.
    """
    need = NEEDS[call.operation]
    if not call.account().reachable:
        # https://learn.microsoft.com/azure/storage/common/storage-network-security
        raise ApiError(403, "AuthorizationFailure", "This request is not authorized to perform this operation.")
    scheme = call.header("Authorization").partition(" ")[0].lower()
    if "sig" in call.request.query:
        permissions = check_signature(call, need)
        if "skoid" in call.request.query:
            # It gives away what its maker may do, and no more: create-user-delegation-sas.
            _check_role(call, need)
        return permissions
    if scheme == "sharedkey":
        _check_key(call)
        return ""
    if scheme == "bearer":
        if not call.header("x-ms-version"):
            raise missing_header("x-ms-version")
        if call.header("x-ms-version") < _FIRST_WITH_TOKENS:
            raise bad_header("x-ms-version", call.header("x-ms-version"))
        tokens.require(call.request, STORAGE)
        _check_role(call, need)
        return ""
    if scheme:
        raise not_authenticated("The authorization scheme is none that the service knows.")
    # https://learn.microsoft.com/rest/api/storageservices/authorize-with-azure-active-directory#bearer-challenge
    message = (
        "Server failed to authenticate the request. Please refer to the information in the www-authenticate header."
    )
    where = f"https://login.microsoftonline.com/{TENANT}/oauth2/authorize"
    challenge = {"WWW-Authenticate": f"Bearer authorization_uri={where} resource_id={STORAGE}"}
    raise ApiError(401, "NoAuthenticationInformation", message, challenge)


def _check_role(call: Call, need: Need) -> None:
    """Raise ApiError if the holder of a token may not do it: what is done to blobs is a data action."""
    windows = call.windows
    granted = windows.allowed_data_actions if need.action.startswith(BLOB_DATA) else windows.allowed_actions
    if (granted is not None and not matches(granted, need.action)) or matches(windows.denied_actions, need.action):
        raise not_permitted()


def _check_key(call: Call) -> None:
    """Raise ApiError if the signature is not that of the account's key."""
    name, _, signature = call.header("Authorization").partition(" ")[2].partition(":")
    account = call.account()
    if not call.header("x-ms-version"):
        raise missing_header("x-ms-version")
    if not account.shared_key_access:
        message = "Key based authentication is not permitted on this storage account."
        raise ApiError(403, "KeyBasedAuthenticationNotPermitted", message)
    try:
        when = parsedate_to_datetime(call.header("x-ms-date") or call.header("Date"))
    except ValueError:
        raise not_authenticated("The Date header in the request is incorrect.") from None
    if when.tzinfo is None or abs(datetime.now(UTC) - when) > _SKEW:
        raise not_authenticated("Request date header too old")
    text = _string_to_sign(call)
    expected = [
        base64.b64encode(hmac.digest(base64.b64decode(key), text.encode(), hashlib.sha256)) for key in account.keys
    ]
    if name != account.name or not any(hmac.compare_digest(one, signature.encode()) for one in expected):
        raise not_authenticated(
            f"The MAC signature found in the HTTP request '{signature}' is not the same as any computed signature."
        )


def _string_to_sign(call: Call) -> str:
    """Return what a client signs: https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key."""
    headers = {name: call.header(name) for name in _SIGNED}
    if headers["Content-Length"] == "0":
        headers["Content-Length"] = ""
    if call.header("x-ms-date"):
        headers["Date"] = ""
    ours = sorted(
        (name.lower(), value) for name, value in call.request.headers.items() if name.lower().startswith("x-ms-")
    )
    lines = [call.request.method, *headers.values(), *(f"{name}:{value.strip()}" for name, value in ours)]
    resource = f"/{call.address.account}{call.request.raw_path}"
    query = sorted((name.lower(), value) for name, value in call.request.query.items())
    return "\n".join([*lines, resource, *(f"{name}:{value}" for name, value in query)])
