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

from lkcloud.sandbox.crc import CRC32, CRC32C, CRC64NVME, Polynomial, joined
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
    polynomial: Polynomial


class _RunningCrc:
    def __init__(self, crc: _Crc) -> None:
        self._crc = crc
        self._value = 0

    def update(self, data: bytes) -> None:
        self._value = self._crc.step(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(self._crc.polynomial.width // 8, "big")


def _crc64nvme() -> Callable[[bytes, int], int]:
    # No small library has it; awscrt does, where the user has installed it for boto3.
    try:
        step: Callable[[bytes, int], int] = importlib.import_module("awscrt.checksums").crc64nvme
    except ImportError:
        raise ApiError("NotImplemented", "The sandbox needs the package awscrt to check CRC64NVME", 501) from None
    return step


def _crc(algorithm: Algorithm) -> _Crc | None:
    if algorithm == "CRC32":
        return _Crc(zlib.crc32, CRC32)
    if algorithm == "CRC32C":
        return _Crc(crc32c.crc32c, CRC32C)
    if algorithm == "CRC64NVME":
        return _Crc(_crc64nvme(), CRC64NVME)
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
        value = joined(crc.polynomial, value, int.from_bytes(digest, "big"), length)
    return text(value.to_bytes(crc.polynomial.width // 8, "big"))
