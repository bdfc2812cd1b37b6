# SPDX-License-Identifier: Apache-2.0
"""Writes what is not zero."""

import os
from array import array

from lkcloud.disk.extent import Extents
from lkcloud.disk.scan import append_data


def write_sparsely(output: int, piece: bytes, offset: int) -> None:
    """Write PIECE, of up to `scan.PIECE` bytes, at OFFSET of the open file OUTPUT, without its pages of zeros.

    Where it leaves them out the file must have none but zeros. Raises OSError.
    """
    data: array[int] = array("Q")
    append_data(piece, len(piece), 0, data)
    for extent in Extents(data):
        _write(output, memoryview(piece)[extent.offset : extent.end], offset + extent.offset)


def _write(output: int, view: memoryview, offset: int) -> None:
    while view:
        count = os.pwrite(output, view, offset)
        offset += count
        view = view[count:]
