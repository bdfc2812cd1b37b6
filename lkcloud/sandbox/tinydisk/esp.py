# SPDX-License-Identifier: Apache-2.0
"""A disk with one EFI system partition that holds the files given."""

from collections.abc import Mapping
from pathlib import Path

from lkcloud.disk.assemble.fat import Content, fat_volume, smallest_volume
from lkcloud.disk.assemble.gpt import ALIGNMENT, EFI_SYSTEM, NewPartition, smallest_disk, write_gpt_disk

MIB = 1024 * 1024


def esp(files: Mapping[str, Content], *, offset: int = ALIGNMENT) -> NewPartition:
    """Return an EFI system partition with FILES, paths with `/` to contents, just big enough; a whole number of MiB.

    OFFSET is where on the disk it will be, in bytes: the file system, FAT12 or FAT16, repeats it.
    """
    size = smallest_volume(files)
    return NewPartition(EFI_SYSTEM, "esp", size, fat_volume(size, files, hidden_sectors=offset // 512, label="ESP"))


def write_esp_disk(
    path: str | Path, files: Mapping[str, Content], *, size: int | None = None, boot_code: bytes = b""
) -> None:
    """Write a raw disk with one EFI system partition that holds FILES, paths with `/` to contents.

    SIZE is in bytes, a multiple of 512, the smallest possible if not given; BOOT_CODE goes to the master boot record.
    Raises ValueError if something does not fit.
    """
    partition = esp(files)
    if size is None:
        size = smallest_disk([partition.size])
    write_gpt_disk(path, [partition], size=size, boot_code=boot_code)
