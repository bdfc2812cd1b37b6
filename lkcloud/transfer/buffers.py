# SPDX-License-Identifier: Apache-2.0
"""Memory for the bytes of blocks and parts, kept from one to the next."""

import threading


class Buffers(threading.local):
    """SIZE bytes for each thread: new memory for each block would cost a tenth of the time of all."""

    def __init__(self, size: int) -> None:
        self._bytes = memoryview(bytearray(size))

    def own(self) -> memoryview:
        """Return the calling thread's bytes, which hold what it left there."""
        return self._bytes
