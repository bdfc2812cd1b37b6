# SPDX-License-Identifier: Apache-2.0
"""What a disk holds, as the SHA-256 of each block that is not zero; the content digest follows from it."""

import hashlib
import struct
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

BLOCK = 512 * 1024
"""Bytes of a block: the block of the EBS direct APIs, so that one hash serves the digest and the upload."""


@dataclass(frozen=True, slots=True)
class Block:
    """A block that is not all zeros; SHA256 (32 bytes) is over BLOCK bytes, the last block padded with zeros."""

    index: int
    sha256: bytes


@dataclass(frozen=True)
class Content:
    """The blocks of a disk of SIZE bytes that are not zero, in ascending order.

    INDEXES are the block numbers and HASHES their SHA-256 digests, 32 bytes each, end to end: 40 bytes a block.
    """

    size: int
    indexes: "array[int]"
    hashes: bytes

    def __post_init__(self) -> None:
        if len(self.hashes) != 32 * len(self.indexes):
            raise ValueError(f"{len(self.indexes)} blocks do not go with {len(self.hashes)} bytes of hashes")

    def __len__(self) -> int:
        return len(self.indexes)

    def blocks(self) -> Iterator[Block]:
        """Yield the blocks in ascending order."""
        for position, index in enumerate(self.indexes):
            yield Block(index, self.hashes[32 * position : 32 * position + 32])

    @cached_property
    def digest(self) -> str:
        """The content digest, 64 hexadecimal digits.

        SHA-256 over the size and then, for each block that is not zero in ascending order, its index and its SHA-256;
        numbers are unsigned, 8 bytes, big-endian (docs/content-digest.md).
        """
        total = hashlib.sha256(struct.pack(">Q", self.size))
        for block in self.blocks():
            total.update(struct.pack(">Q", block.index) + block.sha256)
        return total.hexdigest()
