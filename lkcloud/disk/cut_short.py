# SPDX-License-Identifier: Apache-2.0
"""Whether an image for virtual machines ends before its data does, where QEMU reads zeros without a word.

`qemu-img check` tells of clusters of a qcow2 or a VMDK that are missing as a whole, and of no part of one. Of a VHDX
and a dynamic VHD QEMU itself looks whether all blocks are there, but counts their bytes up to whole sectors.
"""

import json
import subprocess
from pathlib import Path

from lkcloud.disk.detect import Form

_SECTOR = 512
_OLD_VHD = 511
"""Bytes of the footer that Virtual PC before 2004 has put behind whole sectors."""


def is_cut_short(program: str, named: list[str], source: Path, form: Form) -> bool:
    """Return whether SOURCE, which is NAMED so to `qemu-img`, PROGRAM, lacks bytes at its end. Raises OSError.

    Of compressed data nothing is known here; reading it fails where it is cut.
    """
    with source.open("rb") as file:
        size = file.seek(0, 2)  # not that of stat(): it can be a block device
    if form in (Form.QCOW2, Form.VMDK):
        return _end_of_data(program, named) > size
    return size % _SECTOR not in ((0, _OLD_VHD) if form is Form.VHD else (0,))


def _end_of_data(program: str, named: list[str]) -> int:
    """Return where the data ends that `qemu-img map` knows the place of: an object on a line, and there may be many."""
    end = 0
    command = [program, "map", "--output=json", *named]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            try:
                extent = json.loads(line.strip().strip(b"[],"))
            except ValueError:
                continue  # the brackets alone; and if it cannot be read, `convert`, which is next, tells why
            if extent["data"] and "offset" in extent:
                end = max(end, extent["offset"] + extent["length"])
    return end
