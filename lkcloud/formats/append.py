# SPDX-License-Identifier: Apache-2.0
"""Writes a file from its start to its end, and has it flushed to the disk meanwhile."""

import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

_FLUSH = 32 * 1024 * 1024  # so much is sent to the disk while the processors have more to do, not all of it in the end


class Appender:
    """Appends to an open file; made by `appending`. POSITION is where the next byte goes."""

    def __init__(self, file: int, flusher: ThreadPoolExecutor) -> None:
        self.position = 0
        self._file = file
        self._flusher = flusher
        self._flushed = 0
        self._flush: Future[None] | None = None

    def append(self, data: bytes | bytearray | memoryview) -> None:
        """Write DATA behind what is there. Raises OSError."""
        self.position = write_all(self._file, data, self.position)
        if self.position - self._flushed >= _FLUSH and (self._flush is None or self._flush.done()):
            self.finish()
            self._flush, self._flushed = self._flusher.submit(os.fdatasync, self._file), self.position

    def finish(self) -> None:
        """Wait for the flush that is under way. Raises OSError if it failed."""
        flush, self._flush = self._flush, None
        if flush:
            # The kernel tells each failure once only, so whoever flushes in the end would not hear of it.
            flush.result()


@contextmanager
def appending(file: int) -> Iterator[Appender]:
    """Yield an appender to the empty open FILE; nothing of it is left when the context ends.

    Raises OSError in the end if a flush failed.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="flush") as flusher:
        appender = Appender(file, flusher)
        yield appender
        appender.finish()


def write_all(file: int, data: bytes | bytearray | memoryview, offset: int) -> int:
    """Write DATA at OFFSET of FILE and return where it ends. Raises OSError."""
    rest = memoryview(data)
    while rest:
        written = os.pwrite(file, rest, offset)
        rest, offset = rest[written:], offset + written
    return offset
