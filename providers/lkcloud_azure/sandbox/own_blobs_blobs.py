# SPDX-License-Identifier: Apache-2.0
"""Blobs that are there: described, read, changed, leased and deleted."""

from collections.abc import Callable, Mapping

from lkcloud.sandbox.http import Response
from lkcloud_azure.sandbox.errors import ApiError
from lkcloud_azure.sandbox.own_blobs_call import (
    Call,
    bad_header,
    date,
    metadata_headers,
    missing_header,
    tags,
)
from lkcloud_azure.sandbox.own_blobs_conditions import check, check_sequence_number
from lkcloud_azure.sandbox.own_blobs_leases import change_lease
from lkcloud_azure.sandbox.own_blobs_pages import page_list, read_page_write
from lkcloud_azure.sandbox.own_blobs_put import HEADERS, kept_headers, page_blob_size, put_blob
from lkcloud_azure.sandbox.own_blobs_reading import Readable, read
from lkcloud_azure.sandbox.page_file import PageFile
from lkcloud_azure.sandbox.store import StoredBlob

Handler = Callable[[Call], Response]


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
    size = page_blob_size(call) if call.header("x-ms-blob-content-length") else None
    action = call.header("x-ms-sequence-number-action").lower()
    if action not in ("", "max", "update", "increment"):
        raise bad_header("x-ms-sequence-number-action", action)
    number = call.number("x-ms-blob-sequence-number")
    if (action == "increment" and number is not None) or (not action and number is not None):
        raise bad_header("x-ms-blob-sequence-number", str(number))
    if action in ("max", "update") and number is None:
        raise missing_header("x-ms-blob-sequence-number")
    kept = kept_headers(call)
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
    "PutBlob": put_blob,
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
