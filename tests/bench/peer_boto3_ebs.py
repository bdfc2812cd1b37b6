# SPDX-License-Identifier: Apache-2.0
"""peer_boto3_ebs.py DISK: a snapshot written with boto3 and 16 threads, as a good script of today does it.

Blocks of zeros are not sent. Prints {"blocks", "seconds": {"send"}}: reading, hashing and sending, which go together.
"""

import base64
import hashlib
import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import boto3
from botocore.config import Config

BLOCK = 512 * 1024
THREADS = 16


def main(path: str) -> None:
    """Upload the disk at PATH."""
    client = boto3.client("ebs", config=Config(max_pool_connections=THREADS))
    disk = os.open(path, os.O_RDONLY)
    size = os.fstat(disk).st_size
    snapshot = client.start_snapshot(VolumeSize=-(-size // 1024**3), Description="bench")["SnapshotId"]
    zeros = bytes(BLOCK)

    def send(index: int) -> bytes | None:
        data = os.pread(disk, BLOCK, index * BLOCK).ljust(BLOCK, b"\0")
        if data == zeros:
            return None
        digest = hashlib.sha256(data).digest()
        client.put_snapshot_block(
            SnapshotId=snapshot,
            BlockIndex=index,
            BlockData=data,
            DataLength=BLOCK,
            Checksum=base64.b64encode(digest).decode(),
            ChecksumAlgorithm="SHA256",
        )
        return digest

    began = time.perf_counter()
    with ThreadPoolExecutor(THREADS) as threads:
        digests = [digest for digest in threads.map(send, range(-(-size // BLOCK))) if digest]
    seconds = time.perf_counter() - began
    client.complete_snapshot(
        SnapshotId=snapshot,
        ChangedBlocksCount=len(digests),
        Checksum=base64.b64encode(hashlib.sha256(b"".join(digests)).digest()).decode(),
        ChecksumAlgorithm="SHA256",
        ChecksumAggregationMethod="LINEAR",
    )
    print(json.dumps({"blocks": len(digests), "seconds": {"send": seconds}}))


main(sys.argv[1])
