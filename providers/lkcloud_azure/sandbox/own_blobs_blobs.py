# SPDX-License-Identifier: Apache-2.0
"""Blobs: made, described, read, changed, leased and deleted."""

import hashlib
from collections.abc import Callable, Mapping

from lkcloud.sandbox.http import FileRange, Response
from lkcloud_azure.sandbox.errors import ApiError
from lkcloud_azure.sandbox.own_blobs_call import (
    Call,
    bad_header,
    date,
    from_base64,
    metadata_headers,
    missing_header,
    not_here,
    tags,
    to_base64,
)
from lkcloud_azure.sandbox.own_blobs_conditions import check, check_new, check_sequence_number
from lkcloud_azure.sandbox.own_blobs_leases import change_lease
from lkcloud_azure.sandbox.own_blobs_pages import page_list, read_page_write
from lkcloud_azure.sandbox.own_blobs_reading import Readable, read
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

Handler = Callable[[Call], Response]


def _put(call: Call) -> Response:
    """https://learn.microsoft.com/rest/api/storageservices/put-blob."""
    kind = call.header("x-ms-blob-type")
    if call.header("x-ms-copy-source"):
        raise not_here("copies of blobs")
    if not kind:
        raise missing_header("x-ms-blob-type")
    if kind not in ("PageBlob", "BlockBlob"):
        raise not_here("append blobs") if kind == "AppendBlob" else bad_header("x-ms-blob-type", kind)
    _check_name(call.address.blob)
    if not call.header("Content-Length"):
        raise ApiError(411, "MissingContentLengthHeader", "Content-Length HTTP header is missing.")
    metadata, headers = call.metadata(), _kept(call)
    number = call.number("x-ms-blob-sequence-number") or 0
    with call.store.lock:
        # Refused before the bytes come; looked at again when they are there.
        _check_put(call)
    made: PageFile | FileRange
    made, answer = _make_pages(call) if kind == "PageBlob" else _make_block(call)
    if isinstance(made, FileRange):
        headers.setdefault("Content-MD5", answer["Content-MD5"])
    blob = StoredBlob(call.address.blob, metadata, contents=made, headers=headers, sequence_number=number)
    try:
        with call.store.lock:
            existing = _check_put(call)
            if existing is not None:
                # The lease outlives what it was taken for: https://learn.microsoft.com/rest/api/storageservices/lease-blob.
                blob.lease = existing.lease
                existing.remove()
            call.container().blobs[blob.name] = blob
    except ApiError:
        blob.remove()
        raise
    return Response(201, {**tags(blob), **answer, "x-ms-request-server-encrypted": "true"})


def _check_put(call: Call) -> StoredBlob | None:
    existing = call.container().blobs.get(call.address.blob)
    check_new(call, existing)
    if existing is not None:
        existing.lease.check(call.lease, "Blob")
        if call.permissions and "w" not in call.permissions:
            # `c` is enough for a blob that is new only: create-service-sas.
            message = "This request is not authorized to perform blob overwrites."
            raise ApiError(403, "UnauthorizedBlobOverwrite", message)
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
    return PageFile(call.store.new_file(), _page_blob_size(call)), {}


def _page_blob_size(call: Call) -> int:
    name = "x-ms-blob-content-length"
    size = call.number(name, most=LARGEST_PAGE_BLOB)
    if size is None or size % PAGE:
        raise bad_header(name, call.header(name))
    return size


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
        sent = call.header("Content-MD5")
        if sent and from_base64("Content-MD5", sent, 16, "InvalidMd5") != md5.digest():
            message = (
                "The MD5 value specified in the request did not match with the MD5 value calculated by the server."
            )
            more = {"UserSpecifiedMd5": sent, "ServerCalculatedMd5": to_base64(md5.digest())}
            raise ApiError(400, "Md5Mismatch", message, more=more)
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


def _kept(call: Call) -> dict[str, str]:
    headers = {shown: call.header(sent) for sent, shown in HEADERS.items() if call.header(sent)}
    if md5 := headers.get("Content-MD5"):
        from_base64("x-ms-blob-content-md5", md5, 16, "InvalidMd5")
    return {"Content-Type": "application/octet-stream", **headers}


def described(blob: StoredBlob) -> dict[str, str]:
    """Return the headers that Get Blob and Get Blob Properties have."""
    headers = {
        **tags(blob),
        **blob.headers,
        **metadata_headers(blob.metadata),
        **blob.lease.headers(),
        "x-ms-blob-type": blob.kind,
        "x-ms-creation-time": date(blob.created),
        "x-ms-server-encrypted": "true",
    }
    if blob.kind == "PageBlob":
        headers["x-ms-blob-sequence-number"] = str(blob.sequence_number)
    return headers


def _find(call: Call, *, reading: bool) -> StoredBlob:
    """Return the blob if lease and conditions let it be read or changed; the caller holds the lock. Raises ApiError."""
    blob = call.blob()
    blob.lease.check(call.lease, "Blob", needed=not reading)
    check(call, blob, reading=reading)
    return blob


def _get(call: Call) -> Response:
    with call.store.lock:
        blob = _find(call, reading=True)
        return read(call, Readable(blob.size, blob.stretch), described(blob))


def _head(call: Call) -> Response:
    with call.store.lock:
        blob = _find(call, reading=True)
        return Response(200, {**described(blob), "Content-Length": str(blob.size), "Accept-Ranges": "bytes"})


def _get_metadata(call: Call) -> Response:
    with call.store.lock:
        blob = _find(call, reading=True)
        return Response(200, {**tags(blob), **metadata_headers(blob.metadata)})


def _set_metadata(call: Call) -> Response:
    metadata = call.metadata()
    with call.store.lock:
        blob = _find(call, reading=False)
        blob.metadata = metadata
        blob.touch()
        return Response(200, {**tags(blob), "x-ms-request-server-encrypted": "true"})


def _set_properties(call: Call) -> Response:
    """https://learn.microsoft.com/rest/api/storageservices/set-blob-properties: headers that are not sent are cleared.

    A request for a page blob's size or sequence number alone leaves the headers as they are.
    """
    size = _page_blob_size(call) if call.header("x-ms-blob-content-length") else None
    action = call.header("x-ms-sequence-number-action").lower()
    if action not in ("", "max", "update", "increment"):
        raise bad_header("x-ms-sequence-number-action", action)
    number = call.number("x-ms-blob-sequence-number")
    if (action == "increment" and number is not None) or (not action and number is not None):
        raise bad_header("x-ms-blob-sequence-number", str(number))
    if action in ("max", "update") and number is None:
        raise missing_header("x-ms-blob-sequence-number")
    kept = _kept(call)
    with call.store.lock:
        blob = _find(call, reading=False)
        if size is not None or action:
            pages = _pages(blob)
            if size is not None:
                pages.resize(size)
            blob.sequence_number = _sequence(blob.sequence_number, action, number)
        if any(call.header(name) for name in HEADERS) or (size is None and not action):
            blob.headers = kept
        blob.touch()
        return Response(200, {**tags(blob), **_number(blob)})


def _sequence(now: int, action: str, number: int | None) -> int:
    match action:
        case "max":
            return max(now, number or 0)
        case "update":
            return number or 0
        case "increment":
            return now + 1
        case _:
            return now


def _number(blob: StoredBlob) -> Mapping[str, str]:
    return {"x-ms-blob-sequence-number": str(blob.sequence_number)} if blob.kind == "PageBlob" else {}


def _pages(blob: StoredBlob) -> PageFile:
    """Return the pages of a page blob. Raises ApiError if it is of another type."""
    if not isinstance(blob.contents, PageFile):
        raise ApiError(409, "InvalidBlobType", "The blob type is invalid for this operation.")
    return blob.contents


def _put_page(call: Call) -> Response:
    with call.store.lock:
        _pages(_find(call, reading=False))
    write = read_page_write(call)
    with call.store.lock:
        # Only now is it sure what the conditions are about.
        blob = _find(call, reading=False)
        check_sequence_number(call, blob)
        write.apply(_pages(blob))
        blob.touch()
        return Response(201, {**tags(blob), **write.headers, **_number(blob), "x-ms-request-server-encrypted": "true"})


def _page_list(call: Call) -> Response:
    with call.store.lock:
        blob = _find(call, reading=True)
        return page_list(call, _pages(blob), tags(blob))


def _delete(call: Call) -> Response:
    with call.store.lock:
        blob = _find(call, reading=False)
        del call.container().blobs[blob.name]
        blob.remove()
    return Response(202, {"x-ms-delete-type-permanent": "true"})


def _lease(call: Call) -> Response:
    with call.store.lock:
        blob = call.blob()
        check(call, blob)
        return change_lease(call, blob)


HANDLERS: Mapping[str, Handler] = {
    "PutBlob": _put,
    "PutPage": _put_page,
    "GetPageRanges": _page_list,
    "GetBlob": _get,
    "GetBlobProperties": _head,
    "GetBlobMetadata": _get_metadata,
    "SetBlobMetadata": _set_metadata,
    "SetBlobProperties": _set_properties,
    "LeaseBlob": _lease,
    "DeleteBlob": _delete,
}
