# SPDX-License-Identifier: Apache-2.0
"""Put Page and Get Page Ranges: of page blobs, and of managed disks by their URL."""

import hashlib
import sys
import xml.etree.ElementTree as ET
from dataclasses import dataclass

from lkcloud.sandbox.http import Response
from lkcloud_azure.sandbox.crc64 import crc64
from lkcloud_azure.sandbox.errors import ApiError
from lkcloud_azure.sandbox.own_blobs_call import (
    Call,
    add,
    bad_header,
    bad_parameter,
    check_md5,
    document,
    from_base64,
    missing_header,
    not_here,
    to_base64,
)
from lkcloud_azure.sandbox.page_file import PAGE, PageFile

LARGEST = 4 << 20
"""Most bytes of one Put Page: https://learn.microsoft.com/rest/api/storageservices/put-page."""

MOST_RANGES = 10_000
"""Most ranges in one answer to Get Page Ranges: https://learn.microsoft.com/rest/api/storageservices/get-page-ranges."""

_FIRST_PAGED = "2020-10-02"
"""The first version with marker and maxresults; before it, all ranges came at once (the same page)."""


@dataclass(frozen=True, slots=True)
class PageWrite:
    """What a Put Page asks for: DATA at OFFSET, or None to clear LENGTH bytes; HEADERS are its answer's checksums."""

    offset: int
    length: int
    data: bytes | None
    headers: dict[str, str]

    def apply(self, pages: PageFile) -> None:
        """Change PAGES. Raises ApiError if they are not as many."""
        if self.offset + self.length > pages.size:
            raise _invalid_range()
        if self.data is None:
            pages.clear(self.offset, self.length)
        else:
            pages.write(self.offset, self.data)


def read_page_write(call: Call) -> PageWrite:
    """Read a Put Page with its body, which is held in memory. Raises ApiError."""
    action = call.header("x-ms-page-write").lower()
    if not action:
        raise missing_header("x-ms-page-write")
    if action not in ("update", "clear"):
        raise bad_header("x-ms-page-write", call.header("x-ms-page-write"))
    if call.header("x-ms-copy-source"):
        raise not_here("Put Page From URL")
    if call.header("x-ms-structured-body"):
        message = "One of the HTTP headers specified in the request is not supported."
        raise ApiError(400, "UnsupportedHeader", message, more={"HeaderName": "x-ms-structured-body"})
    offset, length = _whole_pages(call)
    if not call.header("Content-Length"):
        raise ApiError(411, "MissingContentLengthHeader", "Content-Length HTTP header is missing.")
    size = call.number("Content-Length") or 0
    if action == "clear":
        # "When x-ms-page-write is clear, set this header to 0": put-page.
        if size:
            raise bad_header("Content-Length", str(size))
        return PageWrite(offset, length, None, {})
    if size > LARGEST:
        message = "The request body is too large and exceeds the maximum permissible limit."
        raise ApiError(413, "RequestBodyTooLarge", message, more={"MaxLimit": str(LARGEST)})
    if length > LARGEST:
        raise _invalid_range()
    if size != length:
        # put-page says that range and body must be equally long, and does not name the error: this one is a guess.
        raise bad_header("Content-Length", str(size))
    data = call.request.body.read(size)
    return PageWrite(offset, length, data, _checked(call, data))


def page_list(call: Call, pages: PageFile, headers: dict[str, str]) -> Response:
    """Answer Get Page Ranges out of PAGES. Raises ApiError."""
    if "prevsnapshot" in call.request.query or call.header("x-ms-previous-snapshot-url"):
        raise not_here("differences from a snapshot")
    start, end = 0, pages.size
    if (asked := call.range()) is not None:
        start, end = asked[1], min(asked[2] + 1, pages.size) if asked[2] is not None else pages.size
        if start >= pages.size:
            raise out_of_range(pages.size)
    # Ranges are of whole pages, whatever part of them was asked for.
    start, end = start // PAGE * PAGE, -(-end // PAGE) * PAGE
    start, most = max(start, _marker(call)), _most(call)
    found = pages.ranges(start, end - start)
    root = ET.Element("PageList")
    for begin, stop in found[:most]:
        one = ET.SubElement(root, "PageRange")
        add(one, "Start", begin)
        add(one, "End", stop - 1)
    if len(found) > most:
        add(root, "NextMarker", f"2!{found[most][0]}")
    else:
        ET.SubElement(root, "NextMarker")
    return document(root, {**headers, "x-ms-blob-content-length": str(pages.size)})


def out_of_range(size: int) -> ApiError:
    """Return what is said of a range that begins behind the end."""
    message = "The range specified is invalid for the current size of the resource."
    return ApiError(416, "InvalidRange", message, {"Content-Range": f"bytes */{size}"})


def _whole_pages(call: Call) -> tuple[int, int]:
    asked = call.range()
    if asked is None:
        raise missing_header("x-ms-range")
    name, start, last = asked
    # Pages that are cut are an ill-formed header (https://www.volcengine.com/article/3337950 has such an answer);
    # whole pages that are not there are InvalidPageRange.
    if last is None or start % PAGE or (last + 1) % PAGE:
        raise bad_header(name, call.header(name))
    return start, last + 1 - start


def _checked(call: Call, data: bytes) -> dict[str, str]:
    """Return the checksums of the answer; raise ApiError if those of the request are not the data's.

    The service also answers with a CRC64 where the request has no checksum (put-page), which clients need no more than
    the sandbox has time for.
    """
    md5, crc = call.header("Content-MD5"), call.header("x-ms-content-crc64")
    if md5 and crc:
        message = "Both Content-MD5 and x-ms-content-crc64 are specified: only one of them can be."
        raise ApiError(400, "InvalidInput", message)
    if md5:
        check_md5(md5, hashlib.md5(data, usedforsecurity=False).digest())
        return {"Content-MD5": md5}
    if crc:
        digest = crc64(data)
        if from_base64("x-ms-content-crc64", crc, 8) != digest:
            message = (
                "The CRC64 value specified in the request did not match with the CRC64 value calculated by the server."
            )
            more = {"UserSpecifiedCrc": crc, "ServerCalculatedCrc": to_base64(digest)}
            raise ApiError(400, "Crc64Mismatch", message, more=more)
        return {"x-ms-content-crc64": crc}
    return {}


def _marker(call: Call) -> int:
    text = call.request.query.get("marker", "")
    version, _, offset = text.partition("!")
    if text and not (version == "2" and offset.isdecimal()):
        raise bad_parameter("marker", text, "It is none that this service gave out.")
    return int(offset or 0)


def _most(call: Call) -> int:
    """Return how many ranges an answer has at most. Raises ApiError."""
    text = call.request.query.get("maxresults", "")
    if call.header("x-ms-version") < _FIRST_PAGED:
        return sys.maxsize
    if text and (not text.isdecimal() or int(text) == 0):
        raise bad_parameter("maxresults", text, "It must be a number above 0.")
    return min(int(text or MOST_RANGES), MOST_RANGES, call.windows.page_ranges)


def _invalid_range() -> ApiError:
    return ApiError(416, "InvalidPageRange", "The page range specified is invalid.")
