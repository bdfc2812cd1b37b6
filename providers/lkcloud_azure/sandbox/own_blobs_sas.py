# SPDX-License-Identifier: Apache-2.0
"""Shared access signatures: of the account, of a container or blob, and by a user delegation key.

https://learn.microsoft.com/rest/api/storageservices/create-account-sas, create-service-sas and
create-user-delegation-sas say what is signed; sas-error-codes says how the service refuses.
"""

import base64
import hashlib
import hmac
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from ipaddress import ip_address

from lkcloud.sandbox.http import LOOPBACK
from lkcloud_azure.sandbox.errors import ApiError
from lkcloud_azure.sandbox.own_blobs_call import Call, not_authenticated, not_here, not_permitted
from lkcloud_azure.sandbox.own_blobs_routes import Need
from lkcloud_azure.sandbox.store import Account

_FIRST = "2015-04-05"
_FIRST_WITH_RESOURCE = "2018-11-09"
"""The first version whose service signatures cover `sr` and the snapshot."""
_FIRST_WITH_SCOPE = "2020-12-06"
"""The first version whose signatures cover the encryption scope."""
_RESPONSE_HEADERS = ("rscc", "rscd", "rsce", "rscl", "rsct")
_DELEGATION = ("skoid", "sktid", "skt", "ske", "sks", "skv")


def check_signature(call: Call, need: Need) -> str:
    """Raise ApiError if the signature in the query does not allow CALL what it NEEDs; return its permissions."""
    query, account = call.request.query, call.account()
    if query.get("sv", "") < _FIRST or not query.get("se") or not query.get("sp"):
        if query.get("si"):
            raise not_here("stored access policies of containers")
        raise not_authenticated("Signature fields not well formed.")
    of_account, delegated = "ss" in query, "skoid" in query
    if not account.shared_key_access and not delegated:
        message = "Key based authentication is not permitted on this storage account."
        raise ApiError(403, "KeyBasedAuthenticationNotPermitted", message)
    keys = [delegation_key(account, query)] if delegated else list(account.keys)
    texts = [_account_text(account, query)] if of_account else list(_service_texts(call, query, delegated=delegated))
    given = query["sig"].encode()
    if not any(hmac.compare_digest(_signature(key, text), given) for key in keys for text in texts):
        raise not_authenticated(f"Signature did not match. String to sign used was {texts[0]}")
    _check_times(query, ("st", "se"), "Signature not valid in the specified time frame")
    if delegated:
        _check_times(query, ("skt", "ske"), "The user delegation key is not valid in the specified time frame")
    if "sip" in query:
        _check_source(query["sip"])
    if of_account:
        _check_account(query, need)
    if not set(need.permissions) & set(query["sp"]) or (not of_account and need.resource_type == "s"):
        raise not_permitted()
    if not of_account and need.resource_type == "c" and call.operation != "ListBlobs":
        # A service SAS is never enough for a container itself, whatever its letters: create-service-sas.
        raise ApiError(403, "AuthorizationFailure", "This request is not authorized to perform this operation.")
    if query.get("spr", "https,http") not in ("https", "https,http"):
        raise not_authenticated("Signature fields not well formed.")
    return query["sp"]


def delegation_key(account: Account, query: Mapping[str, str]) -> str:
    """Return the user delegation key that the fields of QUERY (skoid, sktid, skt, ske, sks, skv) describe."""
    text = "\n".join(query.get(name, "") for name in _DELEGATION)
    return base64.b64encode(hmac.digest(account.delegation_secret, text.encode(), hashlib.sha256)).decode()


def _account_text(account: Account, query: Mapping[str, str]) -> str:
    names = ["sp", "ss", "srt", "st", "se", "sip", "spr", "sv"]
    if query["sv"] >= _FIRST_WITH_SCOPE:
        names.append("ses")
    return "".join(f"{text}\n" for text in (account.name, *(query.get(name, "") for name in names)))


def _service_texts(call: Call, query: Mapping[str, str], *, delegated: bool) -> Iterator[str]:
    """Yield what may have been signed: those by a user delegation key grew lines in several versions."""
    if "srh" in query or "srq" in query:
        raise not_here("signatures that name headers or parameters")
    resource, address, version = query.get("sr", ""), call.address, query["sv"]
    if resource not in ("b", "c") or (resource == "b" and address.scope != "blob") or address.scope == "service":
        raise not_authenticated("Signature did not match.")
    names = f"/{address.container}" + (f"/{address.blob}" if resource == "b" else "")
    first = [query.get("sp", ""), query.get("st", ""), query.get("se", ""), f"/blob/{address.account}{names}"]
    then = [query.get(name, "") for name in ("sip", "spr", "sv")]
    if version >= _FIRST_WITH_RESOURCE:
        then += [resource, query.get("snapshot", "")]
    if version >= _FIRST_WITH_SCOPE:
        then.append(query.get("ses", ""))
    last = [query.get(name, "") for name in _RESPONSE_HEADERS]
    if not delegated:
        yield "\n".join([*first, query.get("si", ""), *then, *last])
        return
    key = [query.get(name, "") for name in _DELEGATION]
    agents = [query.get(name, "") for name in ("saoid", "suoid", "scid")]
    users = [query.get(name, "") for name in ("skdutid", "sduoid")]
    yield "\n".join([*first, *key, *agents, *users, *then, "", "", *last])
    yield "\n".join([*first, *key, *agents, *users, *then, *last])
    yield "\n".join([*first, *key, *agents, *then, *last])


def _check_times(query: Mapping[str, str], names: tuple[str, str], refusal: str) -> None:
    start, end = (_time(query.get(name, "")) for name in names)
    now = datetime.now(UTC)
    if (start is not None and now < start) or (end is not None and now >= end):
        raise not_authenticated(f"{refusal}: Start [{start}] - Expiry [{end}] - Current [{now}]")


def _check_account(query: Mapping[str, str], need: Need) -> None:
    if "b" not in query["ss"]:
        message = "This request is not authorized to perform this operation using this service."
        raise ApiError(403, "AuthorizationServiceMismatch", message)
    if not set(need.resource_type) & set(query.get("srt", "")):
        message = "This request is not authorized to perform this operation using this resource type."
        raise ApiError(403, "AuthorizationResourceTypeMismatch", message)


def _check_source(addresses: str) -> None:
    """Raise ApiError if this machine is not among the ADDRESSES of `sip`, one or two with a hyphen in between."""
    first, _, last = addresses.partition("-")
    try:
        here, low, high = (ip_address(text) for text in (LOOPBACK, first, last or first))
    except ValueError:
        raise not_authenticated("Signature fields not well formed.") from None
    if not int(low) <= int(here) <= int(high):
        message = f"This request is not authorized to perform this operation using this source IP {here}."
        raise ApiError(403, "AuthorizationSourceIPMismatch", message)


def _signature(key: str, text: str) -> bytes:
    return base64.b64encode(hmac.digest(base64.b64decode(key), text.encode(), hashlib.sha256))


def _time(text: str) -> datetime | None:
    if not text:
        return None
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise not_authenticated("Signature fields not well formed.") from None
    return when if when.tzinfo else when.replace(tzinfo=UTC)
