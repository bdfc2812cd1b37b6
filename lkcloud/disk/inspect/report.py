# SPDX-License-Identifier: Apache-2.0
"""The facts of a disk as a document: for people `text()`, for programs `model_dump_json()`."""

from collections.abc import Iterator, Sequence
from typing import Protocol

from pydantic import BaseModel, ConfigDict

from lkcloud.disk.content import Content
from lkcloud.disk.inspect.facts import Architecture, DiskFacts, Firmware, Partition, Table
from lkcloud.disk.inspect.look import inspect
from lkcloud.formats.layout import Readable

_LABEL = 14


class Measured(Readable, Protocol):
    """A disk whose data can be counted and hashed: `lkcloud.disk.Disk` is one."""

    def content(self) -> Content:
        """Return the blocks that are not zero."""
        ...


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True)


class PartitionReport(_Document):
    """A partition; OFFSET and SIZE in bytes."""

    number: int
    offset: int
    size: int
    type: str
    name: str
    filesystem: str


class UkiReport(_Document):
    """A unified kernel image."""

    path: str
    os_release: dict[str, str]
    kernel_version: str
    command_line: str


class InspectReport(_Document):
    """What `lkcloud inspect` tells; SIZE and DATA are bytes, DATA is what is not a hole and not zeros."""

    size: int
    data: int
    digest: str
    table: Table
    partitions: tuple[PartitionReport, ...]
    filesystem: str
    firmware: tuple[Firmware, ...]
    efi_loaders: tuple[str, ...]
    cd_firmware: tuple[Firmware, ...]
    """What starts it as a CD; `firmware` is what starts it as a disk, which is all that a cloud does."""
    cd_loaders: tuple[str, ...]
    architecture: Architecture | None
    ukis: tuple[UkiReport, ...]
    problems: tuple[str, ...]

    def text(self) -> str:
        """Return it for people, in aligned rows without a line break at the end."""
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        yield _row("size", f"{_size(self.size)} ({self.size} bytes)")
        yield _row("data", f"{_size(self.data)} ({self.data} bytes)")
        yield _row("digest", self.digest)
        yield _row("table", self.table)
        if self.filesystem:
            yield _row("file system", self.filesystem)
        yield _row("firmware", self._firmware())
        yield _row("architecture", self.architecture or "unknown")
        if self.partitions:
            yield ""
            yield from _columns(
                [("partition", "offset", "size", "type", "file system", "name")]
                + [
                    (str(p.number), _size(p.offset), _size(p.size), p.type, p.filesystem or "-", p.name or "-")
                    for p in self.partitions
                ]
            )
        for image in self.ukis:
            yield ""
            yield _row("kernel image", image.path)
            yield _row("system", image.os_release.get("PRETTY_NAME") or image.os_release.get("NAME") or "unknown")
            yield _row("kernel", image.kernel_version or "unknown")
            yield _row("command line", image.command_line or "none")
        if self.problems:
            yield ""
            yield from (_row("problem", problem) for problem in self.problems)

    def _firmware(self) -> str:
        uefi, cd_uefi = (f"UEFI ({', '.join(names)})" for names in (self.efi_loaders, self.cd_loaders))
        disk = ", ".join({"bios": "BIOS (boot code)", "uefi": uefi}[one] for one in self.firmware)
        cd = ", ".join({"bios": "BIOS", "uefi": cd_uefi}[one] for one in self.cd_firmware)
        if not cd:
            return disk or "nothing that a BIOS or UEFI starts was found"
        return f"{disk}; as a CD: {cd}" if disk else f"as a CD only: {cd}"


def inspect_report(disk: Measured) -> InspectReport:
    """Look at DISK, count and hash its data; this reads all data once."""
    # First the content: to hash the data is to find it.
    digest = disk.content().digest
    return report(inspect(disk), data=sum(extent.length for extent in disk.extents()), digest=digest)


def report(facts: DiskFacts, *, data: int, digest: str) -> InspectReport:
    """Make the document from FACTS, the bytes of DATA and the content DIGEST."""
    return InspectReport(
        size=facts.size,
        data=data,
        digest=digest,
        table=facts.table,
        partitions=tuple(_partition(partition) for partition in facts.partitions),
        filesystem=facts.filesystem,
        firmware=facts.firmware,
        efi_loaders=facts.efi_loaders,
        cd_firmware=facts.cd_firmware,
        cd_loaders=facts.cd_loaders,
        architecture=facts.architecture,
        ukis=tuple(
            UkiReport(
                path=uki.path,
                os_release=dict(uki.os_release),
                kernel_version=uki.kernel_version,
                command_line=uki.command_line,
            )
            for uki in facts.ukis
        ),
        problems=facts.problems,
    )


def _partition(partition: Partition) -> PartitionReport:
    return PartitionReport(
        number=partition.number,
        offset=partition.offset,
        size=partition.length,
        type=partition.type,
        name=partition.name,
        filesystem=partition.filesystem,
    )


def _row(label: str, value: str) -> str:
    return f"{label:<{_LABEL}}{value}"


def _columns(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _size(amount: int) -> str:
    """Return AMOUNT bytes in the largest unit that leaves at least 1, with one decimal unless it is a whole number."""
    value, unit = float(amount), "bytes"
    for larger in ("KiB", "MiB", "GiB", "TiB", "PiB", "EiB"):
        if value < 1024:
            break
        value, unit = value / 1024, larger
    return f"{value:.0f} {unit}" if value.is_integer() else f"{value:.1f} {unit}"
