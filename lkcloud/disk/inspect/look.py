# SPDX-License-Identifier: Apache-2.0
"""Look at a disk: one function that asks each reader of this folder."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet

from lkcloud.disk.inspect.bios import has_boot_code
from lkcloud.disk.inspect.efi import look_for_efi
from lkcloud.disk.inspect.facts import Architecture, DiskFacts, Partition
from lkcloud.disk.inspect.filesystems import filesystem
from lkcloud.disk.inspect.partition_types import architecture_of
from lkcloud.disk.inspect.table import read_table
from lkcloud.disk.inspect.window import Window
from lkcloud.formats.layout import Readable


def inspect(disk: Readable) -> DiskFacts:
    """Tell what DISK is from a few reads, whatever its size: milliseconds, some seconds if it was made to be slow.

    Never raises for what the bytes are: what is not understood stays unknown, what is odd becomes a problem. An error
    of `disk.read` itself is passed on.
    """
    whole = Window(disk, 0, disk.size)
    table = read_table(whole)
    plain = filesystem(whole) if table.kind == "none" else ""
    bios = has_boot_code(whole, has_table=table.kind != "none", active=table.active)
    efi = look_for_efi(whole, table.partitions, plain)
    return DiskFacts(
        size=disk.size,
        table=table.kind,
        partitions=table.partitions,
        filesystem=plain,
        bios=bios,
        efi_loaders=efi.loaders,
        architecture=_architecture(efi.architectures, table.partitions, bios=bios),
        ukis=efi.ukis,
        problems=(*table.problems, *efi.problems),
        sector_size=table.sector_size,
    )


def _architecture(
    of_programs: AbstractSet[Architecture], partitions: Sequence[Partition], *, bios: bool
) -> Architecture | None:
    """Decide by the EFI programs, then by the types of the partitions; a BIOS exists on x86 alone."""
    of_partitions = {found for partition in partitions if (found := architecture_of(partition.type))}
    for candidates in (of_programs, of_partitions):
        if len(candidates) == 1:
            return next(iter(candidates))
    return "x86_64" if bios else None
