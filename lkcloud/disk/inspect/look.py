# SPDX-License-Identifier: Apache-2.0
"""Look at a disk: one function that asks each reader of this folder."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet

from lkcloud.disk.inspect.bios import has_boot_code
from lkcloud.disk.inspect.efi import look_for_efi
from lkcloud.disk.inspect.el_torito import BootCatalogue, read_catalogue
from lkcloud.disk.inspect.facts import LOADERS, Architecture, DiskFacts, Firmware, Partition
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
    plain = filesystem(whole)
    bios = has_boot_code(whole, has_table=table.kind != "none", active=table.active)
    efi = look_for_efi(whole, table.partitions, plain if table.kind == "none" else "")
    catalogue = read_catalogue(whole) if plain == "iso9660" else None
    cd = look_for_efi(*_cd_volume(whole, catalogue))
    cd_bios = catalogue is not None and catalogue.image("bios") is not None
    cd_firmware: tuple[Firmware, ...] = ("bios",) if cd_bios else ()
    if not LOADERS.keys().isdisjoint(cd.loaders):
        cd_firmware += ("uefi",)
    return DiskFacts(
        size=disk.size,
        table=table.kind,
        partitions=table.partitions,
        filesystem=plain if table.kind == "none" else "",
        bios=bios,
        efi_loaders=efi.loaders,
        architecture=_architecture(efi.architectures | cd.architectures, table.partitions, bios=bios or cd_bios),
        # On a hybrid the volume of the CD is a partition as well.
        ukis=efi.ukis or cd.ukis,
        problems=tuple(dict.fromkeys((*table.problems, *efi.problems, *cd.problems))),
        sector_size=table.sector_size,
        cd_firmware=cd_firmware,
        cd_loaders=cd.loaders,
    )


def _cd_volume(whole: Window, catalogue: BootCatalogue | None) -> tuple[Window, tuple[Partition, ...], str]:
    """Return the volume that UEFI starts from a CD as `look_for_efi` takes it: nothing if CATALOGUE has none."""
    image = catalogue.image("uefi") if catalogue else None
    if image is None:
        return Window(whole.disk, 0, 0), (), ""
    return Window(whole.disk, *image.place), (), "vfat"


def _architecture(
    of_programs: AbstractSet[Architecture], partitions: Sequence[Partition], *, bios: bool
) -> Architecture | None:
    """Decide by the EFI programs, then by the types of the partitions; a BIOS exists on x86 alone."""
    of_partitions = {found for partition in partitions if (found := architecture_of(partition.type))}
    for candidates in (of_programs, of_partitions):
        if len(candidates) == 1:
            return next(iter(candidates))
    return "x86_64" if bios else None
