# SPDX-License-Identifier: Apache-2.0
"""OVA: a tar archive of a machine's description, a manifest, and its disk as a stream-optimised VMDK.

Format: DMTF DSP0243 1.1.0, "Open Virtualization Format Specification"; the order of the files is that of section 5.3,
in which the manifest may follow the descriptor, and the archive is USTAR (POSIX 1003.1).
"""

import hashlib
import tarfile
from dataclasses import dataclass

from lkcloud.disk.inspect import inspect
from lkcloud.errors import UnusableImage
from lkcloud.formats.append import Appender, write_all
from lkcloud.formats.layout import Readable
from lkcloud.formats.ovf import Machine, descriptor
from lkcloud.formats.vhd import source_date
from lkcloud.formats.vmdk import MEMBER, StreamOptimized, stream_optimized
from lkcloud.reporting import Meter

DESCRIPTOR = "disk.ovf"
MANIFEST = "disk.mf"
"""The names of the members, with `vmdk.MEMBER`: the same for every disk, so that they tell no disk from another."""

_RECORD = tarfile.RECORDSIZE
_BLOCK = tarfile.BLOCKSIZE
_OCTAL = 8**11  # sizes and times below it fit the digits that USTAR has for them


@dataclass(frozen=True, slots=True)
class Appliance:
    """An OVA: MACHINE with DISK, all members of the TIME (Unix, seconds)."""

    disk: StreamOptimized
    machine: Machine
    time: int

    @property
    def work(self) -> int:
        """Bytes that a meter will be told of."""
        return self.disk.work

    def write(self, file: int, meter: Meter) -> int:
        """Write it to the empty open FILE and return its bytes; METER is told of WORK bytes.

        The disk is written first, behind room for what describes it, which is filled in the end. The same disk gives
        the same bytes. Raises what `StreamOptimized.stream` raises, and OSError.
        """
        room = len(self._front(0, hashlib.sha256().hexdigest()))
        digest = hashlib.sha256()
        output = Appender(file, room)

        def append(data: bytes) -> None:
            output.append(data)
            digest.update(data)

        self.disk.stream(append, meter)
        size = output.position - room
        marked = output.position + 2 * _BLOCK  # two blocks of zeros mark the end of an archive
        output.append(bytes(-(-marked // _RECORD) * _RECORD - output.position))
        write_all(file, self._front(size, digest.hexdigest()), 0)
        return output.position

    def _front(self, size: int, digest: str) -> bytes:
        """Return all that stands before the SIZE bytes of the VMDK whose SHA-256 is DIGEST: of one length always."""
        description = descriptor(self.machine, MEMBER, size)
        lines = ((DESCRIPTOR, hashlib.sha256(description).hexdigest()), (MEMBER, digest))
        # Some of VMware's products take "SHA256 " with a space for an algorithm that they do not know.
        manifest = "".join(f"SHA256({name})= {value}\n" for name, value in lines).encode()
        return self._member(DESCRIPTOR, description) + self._member(MANIFEST, manifest) + self._header(MEMBER, size)

    def _member(self, name: str, content: bytes) -> bytes:
        return self._header(name, len(content)) + content + bytes(-len(content) % _BLOCK)

    def _header(self, name: str, size: int) -> bytes:
        """Return the header of a member: that of GNU tar for 8 GiB and more, which USTAR cannot say.

        vSphere reads GNU's and not the one that POSIX has for this.
        """
        member = tarfile.TarInfo(name)
        member.size, member.mtime = size, self.time
        return member.tobuf(tarfile.USTAR_FORMAT if size < _OCTAL else tarfile.GNU_FORMAT)


def appliance(disk: Readable, level: int) -> Appliance:
    """Return DISK, its VMDK compressed at LEVEL, as an OVA whose machine starts by UEFI if DISK can, else by BIOS.

    The time of the members is SOURCE_DATE_EPOCH or else 2000-01-01. Raises UnusableImage for a disk that no VMDK can
    hold or that is of another architecture than x86-64, UsageError (a SOURCE_DATE_EPOCH that is no number), and what
    reading the disk raises.
    """
    content = stream_optimized(disk, level)
    facts = inspect(disk)
    if facts.architecture == "arm64":
        raise UnusableImage(
            "the disk is for arm64, and lkcloud describes machines for x86-64 only in an OVA",
            hint="use the vmdk format, and describe the machine where the disk is imported",
        )
    machine = Machine(capacity=content.capacity, populated=content.work, uefi="uefi" in facts.firmware)
    return Appliance(content, machine, min(max(source_date(), 0), _OCTAL - 1))
