# SPDX-License-Identifier: Apache-2.0
"""Which partition table a disk has, and its partitions."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lkcloud.disk.inspect.facts import Partition, Table
from lkcloud.disk.inspect.filesystems import filesystem
from lkcloud.disk.inspect.gpt import GptEntry, read_gpt
from lkcloud.disk.inspect.mbr import PROTECTIVE, Mbr, MbrEntry, read_mbr
from lkcloud.disk.inspect.partition_types import is_extended, mbr_type
from lkcloud.disk.inspect.window import Window


@dataclass(frozen=True, slots=True)
class PartitionTable:
    """The table of a disk; ACTIVE are the offsets of the partitions marked as active, or as bootable by a BIOS."""

    kind: Table
    partitions: tuple[Partition, ...]
    active: tuple[int, ...]
    problems: tuple[str, ...]
    sector_size: int = 512


def read_table(whole: Window) -> PartitionTable:
    """Return the table of the disk WHOLE.

    A GPT counts where the MBR protects it or is empty; beside an MBR with other partitions it is a leftover.
    """
    mbr, gpt = read_mbr(whole), read_gpt(whole)
    if gpt is not None and (mbr is None or mbr.is_protective or not mbr.entries):
        partitions = tuple(_gpt_partition(whole, entry) for entry in gpt.entries)
        problems = (*gpt.problems, *_protection_problems(mbr), *_misplaced(partitions, whole.length))
        active = tuple(entry.offset for entry in gpt.entries if entry.legacy_boot)
        return PartitionTable("gpt", partitions, active, problems, gpt.sector_size)
    if mbr is None or not mbr.entries:
        return PartitionTable("none", (), (), ())
    partitions = tuple(_mbr_partition(whole, entry) for entry in mbr.entries if entry.type != PROTECTIVE)
    problems = mbr.problems
    if mbr.is_protective:
        problems += ("the MBR protects a GPT that is not there",)
    elif gpt is not None:
        problems += ("there is a GPT beside the MBR, which does not protect it: probably a leftover",)
    active = tuple(entry.offset for entry in mbr.entries if entry.active and entry.type != PROTECTIVE)
    problems = (*problems, *_misplaced(partitions, whole.length))
    return PartitionTable("mbr" if partitions else "gpt", partitions, active, problems)


def _gpt_partition(whole: Window, entry: GptEntry) -> Partition:
    content = filesystem(Window(whole.disk, entry.offset, entry.length))
    return Partition(entry.number, entry.offset, entry.length, entry.type, entry.name, content)


def _mbr_partition(whole: Window, entry: MbrEntry) -> Partition:
    kind = mbr_type(entry.type)
    # An extended partition is a box for others and has no content of its own.
    content = "" if entry.is_extended else filesystem(Window(whole.disk, entry.offset, entry.length))
    return Partition(entry.number, entry.offset, entry.length, kind, "", content)


def _protection_problems(mbr: Mbr | None) -> Iterator[str]:
    if mbr is None or not mbr.is_protective:
        yield "the GPT has no protective MBR: firmware and Linux may not see it"
    elif mbr.is_hybrid:
        yield "the MBR is a hybrid one: it has partitions of its own beside those of the GPT"


def _misplaced(partitions: Sequence[Partition], size: int) -> Iterator[str]:
    for partition in partitions:
        if partition.end > size:
            yield f"partition {partition.number} ends {partition.end - size} bytes behind the end of the disk"
    furthest: Partition | None = None
    for partition in sorted(partitions, key=lambda partition: partition.offset):
        if not partition.length or is_extended(partition.type):
            continue
        if furthest is not None and partition.offset < furthest.end:
            yield f"partitions {furthest.number} and {partition.number} overlap"
        if furthest is None or partition.end > furthest.end:
            furthest = partition
