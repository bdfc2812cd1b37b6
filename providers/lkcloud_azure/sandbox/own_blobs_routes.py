# SPDX-License-Identifier: Apache-2.0
"""The operations of the blob service: how a request is known for one, and what it needs to be allowed.

https://learn.microsoft.com/rest/api/storageservices/operations-on-blobs and its neighbours.
"""

from dataclasses import dataclass

from lkcloud.sandbox.http import Request
from lkcloud_azure.sandbox.own_blobs_call import Address, Scope

_CONTAINERS = "Microsoft.Storage/storageAccounts/blobServices/containers"


@dataclass(frozen=True, slots=True)
class Need:
    """What an operation needs.

    PERMISSIONS: one of these letters in `sp` of a shared access signature, "" if none is enough;
    https://learn.microsoft.com/rest/api/storageservices/create-service-sas and create-account-sas have the tables.
    RESOURCE_TYPE: one of these letters in `srt` of an account's signature. ACTION: what a role must allow the holder of
    a token, https://learn.microsoft.com/azure/role-based-access-control/permissions/storage#microsoftstorage.
    """

    permissions: str
    resource_type: str
    action: str


_READ = Need("r", "o", f"{_CONTAINERS}/blobs/read")
_WRITE = Need("w", "o", f"{_CONTAINERS}/blobs/write")

NEEDS = {
    "ListContainers": Need("l", "s", f"{_CONTAINERS}/read"),
    "GetAccountInformation": Need("racwdl", "sco", "Microsoft.Storage/storageAccounts/blobServices/getInfo/action"),
    "GetUserDelegationKey": Need(
        "", "s", "Microsoft.Storage/storageAccounts/blobServices/generateUserDelegationKey/action"
    ),
    "CreateContainer": Need("cw", "c", f"{_CONTAINERS}/write"),
    "GetContainerProperties": Need("r", "c", f"{_CONTAINERS}/read"),
    "SetContainerMetadata": Need("w", "c", f"{_CONTAINERS}/write"),
    "LeaseContainer": Need("w", "c", f"{_CONTAINERS}/write"),
    "DeleteContainer": Need("d", "c", f"{_CONTAINERS}/delete"),
    "ListBlobs": Need("l", "c", f"{_CONTAINERS}/blobs/read"),
    "PutBlob": Need("cw", "o", f"{_CONTAINERS}/blobs/write"),
    "PutPage": _WRITE,
    "GetPageRanges": _READ,
    "GetBlob": _READ,
    "GetBlobProperties": _READ,
    "GetBlobMetadata": _READ,
    "SetBlobMetadata": _WRITE,
    "SetBlobProperties": _WRITE,
    "LeaseBlob": Need("wd", "o", f"{_CONTAINERS}/blobs/write"),
    "DeleteBlob": Need("d", "o", f"{_CONTAINERS}/blobs/delete"),
}
"""By the names of the operations in the reference, without spaces."""

_ROUTES: dict[tuple[Scope, str, str, str], str] = {
    # scope, method, restype, comp
    ("service", "GET", "", "list"): "ListContainers",
    ("service", "GET", "account", "properties"): "GetAccountInformation",
    ("service", "HEAD", "account", "properties"): "GetAccountInformation",
    ("service", "POST", "service", "userdelegationkey"): "GetUserDelegationKey",
    ("container", "GET", "account", "properties"): "GetAccountInformation",
    ("container", "HEAD", "account", "properties"): "GetAccountInformation",
    ("blob", "GET", "account", "properties"): "GetAccountInformation",
    ("blob", "HEAD", "account", "properties"): "GetAccountInformation",
    ("container", "PUT", "container", ""): "CreateContainer",
    ("container", "GET", "container", ""): "GetContainerProperties",
    ("container", "HEAD", "container", ""): "GetContainerProperties",
    ("container", "GET", "container", "metadata"): "GetContainerProperties",
    ("container", "HEAD", "container", "metadata"): "GetContainerProperties",
    ("container", "PUT", "container", "metadata"): "SetContainerMetadata",
    ("container", "PUT", "container", "lease"): "LeaseContainer",
    ("container", "DELETE", "container", ""): "DeleteContainer",
    ("container", "GET", "container", "list"): "ListBlobs",
    ("blob", "PUT", "", ""): "PutBlob",
    ("blob", "PUT", "", "page"): "PutPage",
    ("blob", "GET", "", "pagelist"): "GetPageRanges",
    ("blob", "GET", "", ""): "GetBlob",
    ("blob", "HEAD", "", ""): "GetBlobProperties",
    ("blob", "GET", "", "metadata"): "GetBlobMetadata",
    ("blob", "HEAD", "", "metadata"): "GetBlobMetadata",
    ("blob", "PUT", "", "metadata"): "SetBlobMetadata",
    ("blob", "PUT", "", "properties"): "SetBlobProperties",
    ("blob", "PUT", "", "lease"): "LeaseBlob",
    ("blob", "DELETE", "", ""): "DeleteBlob",
}


def operation(request: Request, address: Address) -> str:
    """Return the name of what REQUEST asks for, "" if the sandbox does not have it."""
    query = request.query
    return _ROUTES.get((address.scope, request.method, query.get("restype", ""), query.get("comp", "")), "")
