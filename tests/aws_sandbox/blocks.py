# SPDX-License-Identifier: Apache-2.0
"""Blocks for EBS direct, and a snapshot of them."""

import base64
import hashlib
from typing import Any

BLOCK = 524288


def block(filling: int) -> bytes:
    """Return a block of one byte value, its last byte another."""
    return bytes([filling]) * (BLOCK - 1) + b"\x5a"


def checksum(data: bytes) -> str:
    return base64.b64encode(hashlib.sha256(data).digest()).decode()


def linear(*blocks: bytes) -> str:
    """Return the aggregate checksum of blocks in ascending order of their index."""
    return base64.b64encode(hashlib.sha256(b"".join(hashlib.sha256(one).digest() for one in blocks)).digest()).decode()


def put(ebs: Any, snapshot_id: str, index: int, data: bytes, **other: Any) -> Any:
    parameters = {
        "SnapshotId": snapshot_id,
        "BlockIndex": index,
        "BlockData": data,
        "DataLength": BLOCK,
        "Checksum": checksum(data),
        "ChecksumAlgorithm": "SHA256",
    }
    return ebs.put_snapshot_block(**{**parameters, **other})


def snapshot(ebs: Any, blocks: dict[int, bytes] | None = None, *, size: int = 1, **parameters: Any) -> str:
    """Make a completed snapshot and return its id."""
    blocks = {0: block(1)} if blocks is None else blocks
    made = ebs.start_snapshot(VolumeSize=size, **parameters)["SnapshotId"]
    for index, data in blocks.items():
        put(ebs, made, index, data)
    ebs.complete_snapshot(SnapshotId=made, ChangedBlocksCount=len(blocks))
    return str(made)
