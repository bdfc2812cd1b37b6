# SPDX-License-Identifier: Apache-2.0
"""Managed disks by their URL: a page blob that is there, of which only the pages can be read and written.

What is known of these accounts is what azcopy does about them (ste/sender-pageBlob.go and ste/downloader-blob.go of
Azure/azure-storage-azcopy): a blob "CANNOT be created through the REST API, because managed-disk import-export accounts
have restricted API surface", cannot be deleted, has no Content-MD5 and takes no access conditions. The codes of these
refusals, other than that of authentication, are not in any public source; those here are storage's own for such cases.
"""

import hmac
import time
from datetime import UTC, datetime

from lkcloud.sandbox.http import Response
from lkcloud_azure.sandbox.errors import ApiError
from lkcloud_azure.sandbox.grants import BLOB, Grant, Grants
from lkcloud_azure.sandbox.own_blobs_call import Call, date, not_authenticated, not_permitted
from lkcloud_azure.sandbox.own_blobs_pages import page_list, read_page_write
from lkcloud_azure.sandbox.own_blobs_reading import Readable, read

_CONDITIONS = (
    "If-Match",
    "If-None-Match",
    "If-Modified-Since",
    "If-Unmodified-Since",
    "x-ms-if-sequence-number-le",
    "x-ms-if-sequence-number-lt",
    "x-ms-if-sequence-number-eq",
    "x-ms-if-tags",
)

_NO_POLICY = "SAS identifier cannot be found for specified signed identifier"

_ALLOWED = ("GetBlob", "GetBlobProperties", "GetPageRanges", "PutPage")


def serve(call: Call, grants: Grants) -> Response:
    """Do what CALL asks of a disk. Raises ApiError."""
    grant = _granted(call, grants)
    if call.operation not in _ALLOWED:
        message = "This request is not authorized to perform this operation."
        raise ApiError(403, "AuthorizationFailure", message)
    if call.operation == "PutPage" and grant.access == "Read":
        raise not_permitted()
    if given := [name for name in _CONDITIONS if call.header(name)]:
        message = "Condition headers are not supported."
        raise ApiError(400, "ConditionHeadersNotSupported", message, more={"HeaderName": given[0]})
    if call.operation == "PutPage":
        return _put_page(call, grant)
    if call.operation == "GetPageRanges":
        return page_list(call, grant.pages, _tags(grant))
    headers = {**_tags(grant), **_properties()}
    if call.operation == "GetBlobProperties":
        return Response(200, {**headers, "Content-Length": str(grant.pages.size), "Accept-Ranges": "bytes"})
    return read(call, Readable(grant.pages.size, grant.pages.stretch), headers)


def _granted(call: Call, grants: Grants) -> Grant:
    """Return the grant of the URL. Raises ApiError if there is none that is good."""
    query, address = call.request.query, call.address
    grant = grants.find(address.account, address.container)
    given = query.get("sig", "").encode()
    if grant is None or address.blob != BLOB or not hmac.compare_digest(given, grant.signature.encode()):
        raise not_authenticated("Signature did not match.")
    if query.get("si") != grant.policy or query.get("sr") != "b":
        raise not_authenticated("Signature did not match.")
    if not grant.good:
        # Access that is taken back, or is over, is a stored policy that is not there any more:
        # https://learn.microsoft.com/rest/api/storageservices/define-stored-access-policy
        raise not_authenticated(_NO_POLICY)
    return grant


def _put_page(call: Call, grant: Grant) -> Response:
    write = read_page_write(call)
    with grant.lock:
        if not grant.good:
            # It was taken back while the body was on its way.
            raise not_authenticated(_NO_POLICY)
        write.apply(grant.pages)
        grant.modified, grant.revision = time.time(), grant.revision + 1
    return Response(201, {**_tags(grant), **write.headers, "x-ms-blob-sequence-number": "0"})


def _tags(grant: Grant) -> dict[str, str]:
    etag = f'"0x{int(grant.created * 10_000_000) + grant.revision:X}"'
    return {"ETag": etag, "Last-Modified": date(datetime.fromtimestamp(grant.modified, UTC))}


def _properties() -> dict[str, str]:
    return {
        "Content-Type": "application/octet-stream",
        "x-ms-blob-type": "PageBlob",
        "x-ms-blob-sequence-number": "0",
        "x-ms-lease-status": "unlocked",
        "x-ms-lease-state": "available",
        "x-ms-server-encrypted": "true",
    }
