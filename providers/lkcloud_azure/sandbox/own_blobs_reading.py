# SPDX-License-Identifier: Apache-2.0
"""Get Blob's bytes, whole or a range: https://learn.microsoft.com/rest/api/storageservices/get-blob."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from lkcloud.sandbox.http import FileRange, Response
from lkcloud_azure.sandbox.crc64 import crc64
from lkcloud_azure.sandbox.errors import ApiError
from lkcloud_azure.sandbox.own_blobs_call import Call, bad_header, to_base64
from lkcloud_azure.sandbox.own_blobs_pages import out_of_range

_CHECKSUM_LIMIT = 4 << 20
"""Most bytes of a range whose checksum can be asked for (get-blob)."""


@dataclass(frozen=True, slots=True)
class Readable:
    """SIZE bytes; STRETCH returns where a part of them is."""

    size: int
    stretch: Callable[[int, int], FileRange]


def read(call: Call, blob: Readable, headers: dict[str, str]) -> Response:
    """Return the bytes, or those of the range that is asked for. Raises ApiError."""
    headers = {**headers, "Accept-Ranges": "bytes"}
    wanted = _checksum(call)
    asked = call.range()
    if asked is None:
        if wanted:
            raise bad_header(wanted, call.header(wanted))
        return Response(200, headers, files=(blob.stretch(0, blob.size),))
    _, start, last = asked
    if start >= blob.size:
        raise out_of_range(blob.size)
    end = blob.size if last is None else min(last + 1, blob.size)
    part = blob.stretch(start, end - start)
    # That of a range is Content-MD5 then; that of the whole blob has a header of its own.
    if whole := headers.pop("Content-MD5", ""):
        headers["x-ms-blob-content-md5"] = whole
    headers["Content-Range"] = f"bytes {start}-{end - 1}/{blob.size}"
    if wanted:
        if part.length > _CHECKSUM_LIMIT:
            raise bad_header(wanted, call.header(wanted))
        data = b"".join(part.pieces())
        if wanted.endswith("md5"):
            headers["Content-MD5"] = to_base64(hashlib.md5(data, usedforsecurity=False).digest())
        else:
            headers["x-ms-content-crc64"] = to_base64(crc64(data))
        return Response(206, headers, data)
    return Response(206, headers, files=(part,))


def _checksum(call: Call) -> str:
    """Return the header that asks for a checksum of the range, "" if none does. Raises ApiError."""
    names = ("x-ms-range-get-content-md5", "x-ms-range-get-content-crc64")
    wanted = [name for name in names if call.header(name).lower() == "true"]
    if len(wanted) > 1:
        raise ApiError(400, "InvalidInput", "Only one checksum of a range can be asked for.")
    if call.header("x-ms-structured-body"):
        message = "One of the HTTP headers specified in the request is not supported."
        raise ApiError(400, "UnsupportedHeader", message, more={"HeaderName": "x-ms-structured-body"})
    return wanted[0] if wanted else ""
