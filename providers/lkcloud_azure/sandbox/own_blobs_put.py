# SPDX-License-Identifier: Apache-2.0
"""Put Blob: a page blob of zeros, or a block blob with its bytes.

https://learn.microsoft.com/rest/api/storageservices/put-blob
"""

import hashlib

from lkcloud.sandbox.http import FileRange, Response
from lkcloud_azure.sandbox.errors import ApiError
from lkcloud_azure.sandbox.own_blobs_call import (
    Call,
    bad_header,
    check_md5,
    from_base64,
    missing_header,
    not_here,
    tags,
    to_base64,
)
from lkcloud_azure.sandbox.own_blobs_conditions import check_new
from lkcloud_azure.sandbox.page_file import PAGE, PageFile
from lkcloud_azure.sandbox.store import StoredBlob

LARGEST_PAGE_BLOB = 8 << 40
"""Bytes: https://learn.microsoft.com/azure/storage/blobs/scalability-targets."""

LARGEST_PUT = 5000 << 20
"""Bytes of a block blob that comes in one request: https://learn.microsoft.com/rest/api/storageservices/put-blob."""

HEADERS = {
    "x-ms-blob-content-type": "Content-Type",
    "x-ms-blob-content-encoding": "Content-Encoding",
    "x-ms-blob-content-language": "Content-Language",
    "x-ms-blob-content-md5": "Content-MD5",
    "x-ms-blob-cache-control": "Cache-Control",
    "x-ms-blob-content-disposition": "Content-Disposition",
}
"""How what is kept of a blob's headers is set, and what readers get it as."""


def put_blob(call: Call) -> Response:
    """Make a blob, in place of one of its name. Raises ApiError."""
    kind = call.header("x-ms-blob-type")
    if call.header("x-ms-copy-source"):
        raise not_here("copies of blobs")
    if not kind:
        raise missing_header("x-ms-blob-type")
    if kind not in ("PageBlob", "BlockBlob"):
        raise not_here("append blobs") if kind == "AppendBlob" else bad_header("x-ms-blob-type", kind)
    if kind == "PageBlob" and call.account().hierarchical:
        # https://learn.microsoft.com/azure/storage/blobs/storage-feature-support-in-storage-accounts; the code:
        # Azure/azure-storage-node#632
        message = "This feature is not yet supported for hierarchical namespace accounts."
        raise ApiError(409, "FeatureNotYetSupportedForHierarchicalNamespaceAccounts", message)
    _check_name(call.address.blob)
    if not call.header("Content-Length"):
        raise ApiError(411, "MissingContentLengthHeader", "Content-Length HTTP header is missing.")
    metadata, headers = call.metadata(), kept_headers(call)
    number = call.number("x-ms-blob-sequence-number") or 0
    with call.store.lock:
        # Refused before the bytes come; looked at again when they are there.
        _check_put(call, kind)
    made: PageFile | FileRange
    made, answer = _make_pages(call) if kind == "PageBlob" else _make_block(call)
    if isinstance(made, FileRange):
        headers.setdefault("Content-MD5", answer["Content-MD5"])
    blob = StoredBlob(call.address.blob, metadata, contents=made, headers=headers, sequence_number=number)
    try:
        with call.store.lock:
            existing = _check_put(call, kind)
            if existing is not None:
                # The lease outlives what it was taken for (lease-blob, in the same reference).
                blob.lease = existing.lease
                existing.remove()
            call.container().blobs[blob.name] = blob
    except ApiError:
        blob.remove()
        raise
    return Response(201, {**tags(blob), **answer, "x-ms-request-server-encrypted": "true"})


def _check_put(call: Call, kind: str) -> StoredBlob | None:
    """Return the blob that makes way, None if there is none; the caller holds the lock. Raises ApiError."""
    existing = call.container().blobs.get(call.address.blob)
    check_new(call, existing)
    if existing is not None:
        existing.lease.check(call.lease, "Blob")
        if call.permissions and "w" not in call.permissions:
            # `c` is enough for a blob that is new only: create-service-sas.
            message = "This request is not authorized to perform blob overwrites."
            raise ApiError(403, "UnauthorizedBlobOverwrite", message)
        if existing.kind != kind:
            # A blob's type cannot be changed: https://learn.microsoft.com/rest/api/storageservices/understanding-block-blobs--append-blobs--and-page-blobs
            raise ApiError(409, "InvalidBlobType", "The blob type is invalid for this operation.")
    elif call.lease:
        raise ApiError(412, "LeaseNotPresentWithBlobOperation", "There is currently no lease on the blob.")
    return existing


def _make_pages(call: Call) -> tuple[PageFile, dict[str, str]]:
    name = "x-ms-blob-content-length"
    if not call.header(name):
        raise missing_header(name)
    if call.number("Content-Length"):
        # "For a page blob, this header must be set to zero": put-blob.
        raise bad_header("Content-Length", call.header("Content-Length"))
    if call.header("x-ms-access-tier"):
        message = "The access tier is not supported for this account type."
        raise ApiError(400, "BlobAccessTierNotSupportedForAccountType", message)
    return PageFile(call.store.new_file(), page_blob_size(call)), {}


def _make_block(call: Call) -> tuple[FileRange, dict[str, str]]:
    if (call.number("Content-Length") or 0) > LARGEST_PUT:
        message = "The request body is too large and exceeds the maximum permissible limit."
        raise ApiError(413, "RequestBodyTooLarge", message, more={"MaxLimit": str(LARGEST_PUT)})
    if call.header("x-ms-structured-body") or call.header("x-ms-content-crc64"):
        raise not_here("CRC64 of block blobs")
    path, md5, size = call.store.new_file(), hashlib.md5(usedforsecurity=False), 0
    try:
        with path.open("wb") as file:
            for piece in call.request.body.pieces():
                md5.update(piece)
                file.write(piece)
                size += len(piece)
        if call.header("Content-MD5"):
            check_md5(call.header("Content-MD5"), md5.digest())
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return FileRange(path, 0, size), {"Content-MD5": to_base64(md5.digest())}


def _check_name(name: str) -> None:
    """Raise ApiError if NAME is no blob's: https://learn.microsoft.com/rest/api/storageservices/naming-and-referencing-containers--blobs--and-metadata."""
    if len(name) > 1024:
        message = "The specified resource name length is not within the permissible limits."
        raise ApiError(400, "OutOfRangeInput", message)
    if name.count("/") > 253:
        raise ApiError(400, "InvalidUri", "The requested URI does not represent any resource on the server.")


def page_blob_size(call: Call) -> int:
    """Return the size that a page blob is to have. Raises ApiError."""
    name = "x-ms-blob-content-length"
    size = call.number(name, most=LARGEST_PAGE_BLOB)
    if size is None or size % PAGE:
        raise bad_header(name, call.header(name))
    return size


def kept_headers(call: Call) -> dict[str, str]:
    """Return the headers that a blob is to have, of those of the request. Raises ApiError."""
    headers = {shown: call.header(sent) for sent, shown in HEADERS.items() if call.header(sent)}
    if md5 := headers.get("Content-MD5"):
        from_base64("x-ms-blob-content-md5", md5, 16, "InvalidMd5")
    return {"Content-Type": "application/octet-stream", **headers}
