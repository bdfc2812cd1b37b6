# SPDX-License-Identifier: Apache-2.0
"""What is asked of a whole storage account: user delegation keys, and what it is."""

import xml.etree.ElementTree as ET
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from lkcloud.sandbox.http import Response
from lkcloud_azure.sandbox.access import PRINCIPAL, TENANT
from lkcloud_azure.sandbox.errors import ApiError
from lkcloud_azure.sandbox.own_blobs_blobs import Handler
from lkcloud_azure.sandbox.own_blobs_call import Call, add, document
from lkcloud_azure.sandbox.own_blobs_sas import delegation_key

_KEY_LIFE = timedelta(days=7)
"""https://learn.microsoft.com/rest/api/storageservices/get-user-delegation-key"""


def _user_delegation_key(call: Call) -> Response:
    """https://learn.microsoft.com/rest/api/storageservices/get-user-delegation-key."""
    try:
        said = {child.tag: child.text or "" for child in ET.fromstring(call.request.body.all())}  # noqa: S314 - from a client that has said who it is
    except ET.ParseError:
        raise ApiError(400, "InvalidXmlDocument", "XML specified is not syntactically valid.") from None
    times = {name: _time(name, said.get(name, "")) for name in ("Start", "Expiry")}
    now = datetime.now(UTC)
    if times["Expiry"] <= max(now, times["Start"]) or times["Expiry"] > now + _KEY_LIFE:
        raise _bad_node("Expiry", said["Expiry"])
    fields = {
        "skoid": PRINCIPAL,
        "sktid": TENANT,
        "skt": f"{times['Start']:%Y-%m-%dT%H:%M:%SZ}",
        "ske": f"{times['Expiry']:%Y-%m-%dT%H:%M:%SZ}",
        "sks": "b",
        "skv": call.header("x-ms-version"),
    }
    root = ET.Element("UserDelegationKey")
    names = ("SignedOid", "SignedTid", "SignedStart", "SignedExpiry", "SignedService", "SignedVersion")
    for name, value in zip(names, fields.values(), strict=True):
        add(root, name, value)
    add(root, "Value", delegation_key(call.account(), fields))
    return document(root)


def _time(name: str, text: str) -> datetime:
    if not text and name == "Start":
        return datetime.now(UTC)
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise _bad_node(name, text) from None
    return when if when.tzinfo else when.replace(tzinfo=UTC)


def _bad_node(name: str, value: str) -> ApiError:
    message = "The value for one of the XML nodes is not in the correct format."
    return ApiError(400, "InvalidXmlNodeValue", message, more={"XmlNodeName": name, "XmlNodeValue": value})


def _account(call: Call) -> Response:
    """https://learn.microsoft.com/rest/api/storageservices/get-account-information."""
    call.account()
    return Response(
        200, {"x-ms-sku-name": "Standard_LRS", "x-ms-account-kind": "StorageV2", "x-ms-is-hns-enabled": "false"}
    )


HANDLERS: Mapping[str, Handler] = {"GetAccountInformation": _account, "GetUserDelegationKey": _user_delegation_key}
