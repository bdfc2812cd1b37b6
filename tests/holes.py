# SPDX-License-Identifier: Apache-2.0
"""What sparse files hold beside their holes: of a volume of whole GiB little was ever written."""

import errno
import os
from collections.abc import Iterator
from typing import IO

PIECE = 1 << 20


def pieces(file: IO[bytes]) -> Iterator[int]:
    """Go through the data behind where FILE stands, and yield how long each piece is; holes, of zeros, are left out."""
    at, end = file.tell(), file.seek(0, os.SEEK_END)
    while at < end:
        try:
            at = file.seek(at, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO:  # that is: there is no more data
                raise
            return
        hole = file.seek(at, os.SEEK_HOLE)
        file.seek(at)
        yield (length := min(PIECE, hole - at))
        at += length
