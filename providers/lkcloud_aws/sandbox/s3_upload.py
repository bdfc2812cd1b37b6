# SPDX-License-Identifier: Apache-2.0
"""The bytes of an S3 request on their way into a file: unframed, hashed, and compared with what was promised."""

import base64
import hashlib
import hmac
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from lkcloud.sandbox.http import CHUNK, Body, DropConnection, Request
from lkcloud_aws.sandbox.errors import ApiError
from lkcloud_aws.sandbox.s3_checksums import ALGORITHMS, Algorithm, Running, running, text

MAX_PUT = 5 * 1024**3
"""Bytes of a part or of an object put at once: https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html"""


@dataclass(frozen=True, slots=True)
class Stored:
    """Bytes that came in whole: where they are, and what they hash to."""

    path: Path
    size: int
    md5: bytes
    checksums: dict[Algorithm, bytes] = field(default_factory=dict)


def promised(request: Request) -> dict[Algorithm, str]:
    """Return the checksums that the headers state."""
    found: dict[Algorithm, str] = {}
    for algorithm in ALGORITHMS:
        value = request.header(f"x-amz-checksum-{algorithm.lower()}")
        if value:
            found[algorithm] = value
    return found


def store(request: Request, path: Path, algorithm: Algorithm | None) -> Stored:
    """Write the body of REQUEST to a file and return what came. Raises ApiError if it is wrong, and leaves no file.

    ALGORITHM is computed even if the client promised no such checksum.
    """
    try:
        return _store(request, path, algorithm)
    except (ApiError, DropConnection):
        path.unlink(missing_ok=True)
        raise


def _store(request: Request, path: Path, algorithm: Algorithm | None) -> Stored:
    expected = promised(request)
    trailer = _trailer(request)
    wanted = {*expected, *([trailer] if trailer else []), *([algorithm] if algorithm else [])}
    sums: dict[Algorithm, Running] = {one: running(one) for one in wanted}
    md5 = hashlib.md5(usedforsecurity=False)
    stated = request.header("x-amz-content-sha256")
    payload = hashlib.sha256() if len(stated) == 64 else None
    size = 0
    decoded = _Decoded(request)
    with path.open("wb") as file:
        for piece in decoded:
            size += len(piece)
            if size > MAX_PUT:
                raise ApiError("EntityTooLarge", "Your proposed upload exceeds the maximum allowed size")
            md5.update(piece)
            if payload:
                payload.update(piece)
            for total in sums.values():
                total.update(piece)
            file.write(piece)
    if payload and not hmac.compare_digest(payload.hexdigest(), stated):
        raise ApiError(
            "XAmzContentSHA256Mismatch", "The provided 'x-amz-content-sha256' header does not match what was computed."
        )
    content_md5 = request.header("Content-MD5")
    if content_md5 and _md5(content_md5) != md5.digest():
        raise ApiError("BadDigest", "The Content-MD5 you specified did not match what we received.")
    if trailer:
        expected[trailer] = decoded.trailers.get(f"x-amz-checksum-{trailer.lower()}", "")
    digests = {name: total.digest() for name, total in sums.items()}
    for name, value in expected.items():
        if text(digests[name]) != value:
            raise ApiError("BadDigest", f"The {name} you specified did not match the calculated checksum.")
    return Stored(path, size, md5.digest(), digests)


def _md5(value: str) -> bytes:
    try:
        digest = base64.b64decode(value, validate=True)
    except ValueError:
        digest = b""
    if len(digest) != 16:
        raise ApiError("InvalidDigest", "The Content-MD5 you specified was invalid.")
    return digest


def _trailer(request: Request) -> Algorithm | None:
    name = request.header("x-amz-trailer").strip().lower()
    if not name:
        return None
    for algorithm in ALGORITHMS:
        if name == f"x-amz-checksum-{algorithm.lower()}":
            return algorithm
    raise ApiError("InvalidRequest", f"The trailer {name} is not supported.")


class _Decoded:
    """The body without the framing of aws-chunked, if it has that.

    https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming-trailers.html; the signatures of single chunks
    are not checked.
    """

    def __init__(self, request: Request) -> None:
        self._body = request.body
        self._framed = request.header("x-amz-content-sha256").startswith("STREAMING-")
        length = request.header("x-amz-decoded-content-length")
        if self._framed and not length.isdigit():
            raise ApiError("MissingContentLength", "You must provide the decoded length of the content.", 411)
        self._length = int(length) if self._framed else None
        self.trailers: dict[str, str] = {}

    def __iter__(self) -> Iterator[bytes]:
        if not self._framed:
            yield from self._body.pieces()
            return
        received = 0
        while size := self._chunk_size():
            received += size
            while size:
                piece = _exactly(self._body, min(size, CHUNK))
                size -= len(piece)
                yield piece
            _line(self._body)
        if received != self._length:
            raise ApiError("IncompleteBody", "The content has not the length that was stated.")
        while line := _line(self._body).strip():
            name, _, value = line.partition(b":")
            self.trailers[name.decode().strip().lower()] = value.decode().strip()

    def _chunk_size(self) -> int:
        try:
            return int(_line(self._body).split(b";")[0], 16)
        except ValueError:
            raise ApiError("InvalidChunkSizeError", "A chunk's size is no number.") from None


def _exactly(body: Body, size: int) -> bytes:
    piece = body.read(size)
    if len(piece) < size:
        raise ApiError("IncompleteBody", "The body ended inside a chunk.")
    return piece


def _line(body: Body) -> bytes:
    line = bytearray()
    while not line.endswith(b"\n"):
        byte = body.read(1)
        if not byte:
            break
        line += byte
    return bytes(line)
