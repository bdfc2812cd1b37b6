# SPDX-License-Identifier: Apache-2.0
"""Which file it is and in which state: what tells that a file was written to, and what caches are keyed by."""

import os
import stat
from pathlib import Path
from typing import NamedTuple

FINE_TICK_NS = 100_000_000
"""How far apart two writes must be to have different times where times have fractions of a second.

The kernel's clock for them ticks every 1 to 10 ms; the rest is for file systems that round.
"""

COARSE_TICK_NS = 2_000_000_000
"""The same where times are whole seconds; FAT keeps even ones."""


class Identity(NamedTuple):
    """A file at one moment; times are nanoseconds since 1970, 0 for a block device."""

    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int

    @classmethod
    def of(cls, path: Path) -> "Identity":
        """Look at PATH; raises OSError."""
        seen = path.stat()
        if stat.S_ISBLK(seen.st_mode):
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                return cls.of_open(descriptor)
            finally:
                os.close(descriptor)
        return cls(seen.st_dev, seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns)

    @classmethod
    def of_open(cls, descriptor: int) -> "Identity":
        """Look at an open file or block device; raises OSError."""
        seen = os.fstat(descriptor)
        if stat.S_ISBLK(seen.st_mode):
            # A write to a device does not reach the times of its node, so they would promise what they cannot keep.
            return cls(seen.st_dev, seen.st_ino, os.lseek(descriptor, 0, os.SEEK_END), 0, 0)
        return cls(seen.st_dev, seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns)

    def same_bytes(self, other: "Identity") -> bool:
        """Return whether nothing speaks for a write in between; a new mode or name (ctime) is no write."""
        return self[:4] == other[:4]

    def settled(self, now_ns: int) -> bool:
        """Return whether every write from NOW_NS on will show in the times.

        A write that falls into the same tick of the clock as the last one leaves the times as they are, so what was
        read from a file that was only just written must not be remembered under its times. git has the same problem
        with its index (https://git-scm.com/docs/racy-git).
        """
        if self.mtime_ns == 0 and self.ctime_ns == 0:
            return False
        # Programs set the mtime as they like (reproducible builds: whole seconds); the ctime is always the kernel's.
        tick = FINE_TICK_NS if self.ctime_ns % 1_000_000_000 else COARSE_TICK_NS
        return max(self.mtime_ns, self.ctime_ns) + tick <= now_ns
