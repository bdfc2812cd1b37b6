# SPDX-License-Identifier: Apache-2.0
"""The checksums of S3: of bytes as they come in, of parts together, and of a whole object put together from parts.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html
"""

import base64
import hashlib
import importlib
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import crc32c

from lkcloud_aws.sandbox.errors import ApiError

Algorithm = Literal["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"]
Type = Literal["COMPOSITE", "FULL_OBJECT"]

ALGORITHMS: tuple[Algorithm, ...] = ("CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256")


class Running(Protocol):
    """A checksum that grows with the bytes."""

    def update(self, data: bytes) -> None:
        """Take in more bytes."""
        ...

    def digest(self) -> bytes:
        """Return the checksum so far, big-endian."""
        ...


@dataclass(frozen=True, slots=True)
class _Crc:
    step: Callable[[bytes, int], int]
    width: int
    """Bits."""
    polynomial: int
    """Reflected."""


class _RunningCrc:
    def __init__(self, crc: _Crc) -> None:
        self._crc = crc
        self._value = 0

    def update(self, data: bytes) -> None:
        self._value = self._crc.step(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(self._crc.width // 8, "big")


def _crc64nvme() -> Callable[[bytes, int], int]:
    # No small library has it; awscrt does, where the user has installed it for boto3.
    try:
        step: Callable[[bytes, int], int] = importlib.import_module("awscrt.checksums").crc64nvme
    except ImportError:
        raise ApiError("NotImplemented", "The sandbox needs the package awscrt to check CRC64NVME", 501) from None
    return step


def _crc(algorithm: Algorithm) -> _Crc | None:
    if algorithm == "CRC32":
        return _Crc(zlib.crc32, 32, 0xEDB88320)
    if algorithm == "CRC32C":
        return _Crc(crc32c.crc32c, 32, 0x82F63B78)
    if algorithm == "CRC64NVME":
        return _Crc(_crc64nvme(), 64, 0x9A6C9329AC4BC9B5)
    return None


def running(algorithm: Algorithm) -> Running:
    """Begin a checksum."""
    crc = _crc(algorithm)
    if crc is not None:
        return _RunningCrc(crc)
    return hashlib.sha1(usedforsecurity=False) if algorithm == "SHA1" else hashlib.sha256()


def text(digest: bytes) -> str:
    """Return a checksum as it stands in headers and XML."""
    return base64.b64encode(digest).decode()


def composite(algorithm: Algorithm, digests: Sequence[bytes]) -> str:
    """Return the checksum of checksums `base64-N` of the parts of an object."""
    whole = running(algorithm)
    whole.update(b"".join(digests))
    return f"{text(whole.digest())}-{len(digests)}"


def full(algorithm: Algorithm, parts: Sequence[tuple[bytes, int]]) -> str:
    """Return the checksum of the whole object from those of its parts and their lengths in bytes; CRCs only."""
    crc = _crc(algorithm)
    if crc is None:
        raise ApiError("InvalidRequest", f"The checksum type FULL_OBJECT cannot be used with {algorithm}")
    value = 0
    for digest, length in parts:
        value = _shift(value, length, crc) ^ int.from_bytes(digest, "big")
    return text(value.to_bytes(crc.width // 8, "big"))


def _shift(value: int, length: int, crc: _Crc) -> int:
    # The CRC of A + B is that of A, multiplied by x to the power of 8 * len(B) modulo the polynomial, xor that of B.
    return _multiply(value, _power(8 * length, crc), crc)


def _multiply(left: int, right: int, crc: _Crc) -> int:
    # Reflected: the highest bit stands for x to the power of 0.
    product = 0
    for bit in range(crc.width - 1, -1, -1):
        if left >> bit & 1:
            product ^= right
        right = right >> 1 ^ (crc.polynomial if right & 1 else 0)
    return product


def _power(exponent: int, crc: _Crc) -> int:
    result = 1 << (crc.width - 1)
    square = 1 << (crc.width - 2)
    while exponent:
        if exponent & 1:
            result = _multiply(result, square, crc)
        square = _multiply(square, square, crc)
        exponent >>= 1
    return result
