# SPDX-License-Identifier: Apache-2.0
"""Writes a layout to a file: as it is and sparse, or compressed."""

import os
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from threading import Lock

from lkcloud.disk import Extent
from lkcloud.formats import gzip_member
from lkcloud.formats.append import appending, write_all
from lkcloud.formats.gzip_member import Deflated
from lkcloud.formats.layout import Layout
from lkcloud.reporting import Meter
from lkcloud.workers import in_order

# One worker reads while the other writes: a quarter less time than one alone, and more of them gain nothing.
_PIECE = 1024 * 1024
_WORKERS = 2

_RANGE = 4 * gzip_member.PIECE  # what a worker compresses at a time: some tens of milliseconds


def write_sparse(layout: Layout, file: int, meter: Meter) -> None:
    """Write the data of LAYOUT to the empty FILE; METER is told of bytes of data.

    If a worker fails, or on Ctrl-C, the others end after their piece. Raises OSError and what reading the disk raises.
    """
    os.truncate(file, layout.size)
    pieces = _pieces(layout)
    lock = Lock()

    def work() -> None:
        buffer = memoryview(bytearray(_PIECE))
        try:
            while True:
                with lock:
                    piece = next(pieces, None)
                if piece is None:
                    return
                data = buffer[: piece.length]
                layout.readinto(piece.offset, data)
                write_all(file, data, piece.offset)
                meter.advance(piece.length)
        finally:
            stop()

    def stop() -> None:
        with lock:
            pieces.close()

    with ThreadPoolExecutor(_WORKERS) as executor:
        try:
            for worker in [executor.submit(work) for _ in range(_WORKERS)]:
                worker.result()
        finally:
            stop()


def write_gzip(layout: Layout, file: int, meter: Meter, *, level: int) -> int:
    """Write LAYOUT to the empty FILE as one gzip member, compressed at LEVEL by all processors; return its bytes.

    METER is told of bytes of LAYOUT. If a worker fails, or on Ctrl-C, the others end after some MiB. Raises OSError and
    what reading the disk raises.
    """

    def compress(offset: int) -> Deflated:
        return gzip_member.deflate(layout, offset, min(_RANGE, layout.size - offset), level=level)

    crc = 0
    with (
        appending(file) as output,
        closing(in_order(compress, range(0, layout.size, _RANGE), name="deflate")) as compressed,
    ):
        output.append(gzip_member.HEADER)
        for made in compressed:
            output.append(made.data)
            crc = gzip_member.combined(crc, made.crc, made.length)
            meter.advance(made.length)
        output.append(gzip_member.trailer(crc, layout.size))
        return output.position


def _pieces(layout: Layout) -> Generator[Extent]:
    for extent in layout.data_ranges():
        for offset in range(extent.offset, extent.end, _PIECE):
            yield Extent(offset, min(_PIECE, extent.end - offset))
