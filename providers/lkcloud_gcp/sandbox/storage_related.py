# SPDX-License-Identifier: Apache-2.0
"""The body of an upload of metadata and bytes in one request: multipart/related (RFC 2387) of exactly two parts."""

from collections.abc import Iterator

from lkcloud.sandbox.http import CHUNK, Request
from lkcloud_gcp.sandbox.storage_call import invalid

_LONGEST_HEAD = 64 * 1024
"""Bytes of a boundary with the headers after it; more than any client sends."""


class Related:
    """Reads the two parts in order as they come in; the second is never in memory as a whole."""

    def __init__(self, request: Request) -> None:
        boundary = request.headers.get_param("boundary")
        if request.headers.get_content_type() != "multipart/related" or not isinstance(boundary, str) or not boundary:
            raise invalid("Multipart upload must have Content-Type multipart/related with a boundary.")
        self._mark = b"--" + boundary.encode()
        self._body = request.body
        self._held = b""
        self._ended = False
        self.content_type = ""
        """Of the second part, once the first has been read."""

    def document(self) -> bytes:
        """Return the first part, the metadata. Raises ApiError if it is not there."""
        self._head()
        document = b"".join(self._until_mark())
        self.content_type = self._head()
        return document

    def media(self) -> Iterator[bytes]:
        """Yield the second part. Raises ApiError if the body ends within it or goes on after it."""
        yield from self._until_mark()
        if not self._take(2) == b"--":
            raise invalid("Multipart upload must have exactly two parts.")

    def _head(self) -> str:
        """Read up to the first byte of a part; return its Content-Type."""
        if not self._held and not self._ended:
            # The first mark has no line end before it; give it one, so that all marks look the same.
            self._held = b"\r\n"
            for _ in self._until_mark():
                pass
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            byte = self._take(1)
            head += byte
            if not byte or len(head) > _LONGEST_HEAD:
                raise invalid("Malformed multipart body.")
            if head == b"--":
                raise invalid("Multipart upload must have exactly two parts.")
        for line in head.decode("latin-1").split("\r\n"):
            name, _, value = line.partition(":")
            if name.strip().lower() == "content-type":
                return value.strip()
        return ""

    def _take(self, size: int) -> bytes:
        while len(self._held) < size and not self._ended:
            self._fill()
        taken, self._held = self._held[:size], self._held[size:]
        return taken

    def _fill(self) -> None:
        piece = self._body.read(CHUNK)
        self._ended = not piece
        self._held += piece

    def _until_mark(self) -> Iterator[bytes]:
        """Yield what comes before the next boundary and take the boundary away."""
        mark = b"\r\n" + self._mark
        while True:
            before, found, after = self._held.partition(mark)
            if found:
                self._held = after
                yield before
                return
            if self._ended:
                raise invalid("Malformed multipart body.")
            # A mark may have begun at the end of what has come so far.
            keep = len(mark) - 1
            sure, self._held = self._held[:-keep], self._held[-keep:]
            if sure:
                yield sure
            self._fill()
