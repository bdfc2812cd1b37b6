# SPDX-License-Identifier: Apache-2.0
"""Raw: the disk as it is."""

from lkcloud.formats.layout import DiskRange, Layout, Readable


def layout(disk: Readable) -> Layout:
    """Return DISK as it is, without padding."""
    return Layout(disk, disk.size, (DiskRange(0, 0, disk.size),))
