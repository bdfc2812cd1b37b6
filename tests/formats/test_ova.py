# SPDX-License-Identifier: Apache-2.0
"""OVAs: an archive that tar programs read, a manifest that is right, a machine that is described as DSP0243 asks."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import xml.etree.ElementTree as ET
from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from lkcloud.disk import open_disk
from lkcloud.disk.extent import Extent, Extents
from lkcloud.errors import UnusableImage, UsageError
from lkcloud.formats import ova
from lkcloud.formats.convert import convert
from lkcloud.formats.ovf import Machine, descriptor
from lkcloud.formats.vmdk import stream_optimized
from lkcloud.sandbox.command import Firmware
from lkcloud.sandbox.tinydisk import write_esp_disk
from lkcloud.sandbox.tinydisk.machine_code import efi_program
from tests import images
from tests.formats.booting import assert_boots, need_machine

MIB = 1024 * 1024
GIB = 1024 * MIB
OVF = "{http://schemas.dmtf.org/ovf/envelope/1}"
VMW = "{http://www.vmware.com/schema/ovf}"
_CIM = "{http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2}"
RASD = _CIM.replace("}", "/CIM_ResourceAllocationSettingData}")
VSSD = _CIM.replace("}", "/CIM_VirtualSystemSettingData}")
Y2K = 946_684_800

RawMaker = Callable[[int, Mapping[int, bytes]], Path]


def write(raw: Path, form: str = "ova", name: str = "") -> Path:
    output = raw.with_name(name or f"out.{form}")
    with open_disk(raw) as disk:
        convert(disk, output, format=form, force=True)
    return output


@pytest.fixture
def raw(make_raw: RawMaker) -> Path:
    """A disk of no whole MiB with data in two grain tables."""
    return make_raw(40 * MIB + 5, {0: b"head", 7 * MIB: os.urandom(MIB), 40 * MIB + 4: b"x"})


@pytest.fixture
def archive(raw: Path) -> Path:
    """The OVA of that disk."""
    return write(raw)


def content(archive: Path, name: str) -> bytes:
    with tarfile.open(archive) as opened:
        member = opened.extractfile(name)
        assert member
        return member.read()


def envelope(archive: Path) -> ET.Element:
    return ET.fromstring(content(archive, "disk.ovf"))


def only(element: ET.Element, path: str) -> ET.Element:
    (found,) = element.findall(path)
    return found


def test_the_members_stand_in_the_order_of_the_standard_and_tell_nothing_of_who_made_them(archive: Path) -> None:
    with tarfile.open(archive) as opened:
        members = opened.getmembers()
    assert [member.name for member in members] == ["disk.ovf", "disk.mf", "disk.vmdk"]
    for member in members:
        assert (member.mode, member.uid, member.gid, member.uname, member.gname) == (0o644, 0, 0, "", "")
        assert (member.mtime, member.type) == (Y2K, tarfile.REGTYPE)
    data = archive.read_bytes()
    headers = [data[member.offset : member.offset + 512] for member in members]
    assert all(header[257:265] == b"ustar\x0000" for header in headers)
    assert len(data) % 10240 == 0
    end = members[-1].offset_data + members[-1].size
    assert len(data) - end >= 1024
    assert not any(data[end:])


@pytest.mark.parametrize("program", ["tar", "bsdtar"])
def test_a_tar_program_extracts_it(program: str, archive: Path, tmp_path: Path) -> None:
    if shutil.which(program) is None:
        pytest.skip("bsdtar is missing: apt-get install libarchive-tools")
    (tmp_path / "there").mkdir()
    subprocess.run([program, "-xf", archive, "-C", tmp_path / "there"], check=True)
    for name in ("disk.ovf", "disk.mf", "disk.vmdk"):
        assert (tmp_path / "there" / name).read_bytes() == content(archive, name)


def test_the_manifest_has_the_digests_of_the_members(archive: Path) -> None:
    lines = content(archive, "disk.mf").decode().splitlines()
    matches = [re.fullmatch(r"SHA256\((disk\.\w+)\)= ([0-9a-f]{64})", line) for line in lines]
    stated = {match[1]: match[2] for match in matches if match}
    names = ["disk.ovf", "disk.vmdk"]
    assert stated == {name: hashlib.sha256(content(archive, name)).hexdigest() for name in names}
    assert len(lines) == 2


def test_the_disk_in_it_is_the_vmdk_of_the_same_disk(raw: Path, archive: Path, tmp_path: Path, qemu_img: str) -> None:
    assert content(archive, "disk.vmdk") == write(raw, "vmdk").read_bytes()
    extracted = tmp_path / "extracted.vmdk"
    extracted.write_bytes(content(archive, "disk.vmdk"))
    subprocess.run([qemu_img, "check", "-f", "vmdk", extracted], check=True, capture_output=True)
    os.truncate(raw, 41 * MIB)
    subprocess.run([qemu_img, "compare", "-f", "raw", "-F", "vmdk", raw, extracted], check=True, capture_output=True)


def test_the_descriptor_leads_to_the_disk_and_states_its_sizes(archive: Path) -> None:
    root = envelope(archive)
    assert root.tag == f"{OVF}Envelope"
    file = only(root, f"{OVF}References/{OVF}File")
    disk = only(root, f"{OVF}DiskSection/{OVF}Disk")
    assert file.get(f"{OVF}href") == "disk.vmdk"
    assert file.get(f"{OVF}size") == str(len(content(archive, "disk.vmdk")))
    assert disk.get(f"{OVF}fileRef") == file.get(f"{OVF}id")
    assert disk.get(f"{OVF}capacity") == str(41 * MIB)
    assert disk.get(f"{OVF}capacityAllocationUnits") == "byte"
    assert MIB < int(disk.get(f"{OVF}populatedSize") or 0) < 2 * MIB
    assert disk.get(f"{OVF}format") == "http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized"
    drive = items(root)["17"]
    assert drive.findtext(f"{RASD}HostResource") == f"ovf:/disk/{disk.get(f'{OVF}diskId')}"


def items(root: ET.Element) -> dict[str, ET.Element]:
    """Return the hardware by the types of CIM."""
    found = root.findall(f"{OVF}VirtualSystem/{OVF}VirtualHardwareSection/{OVF}Item")
    by_type = {item.findtext(f"{RASD}ResourceType") or "": item for item in found}
    assert len(by_type) == len(found)
    return by_type


def test_sections_and_items_are_in_the_order_of_the_schemas(archive: Path) -> None:
    """DSP8023 has sequences, in which each section begins with Info; CIM's elements are in that of the alphabet."""
    root = envelope(archive)
    assert names(root) == ["References", "DiskSection", "NetworkSection", "VirtualSystem"]
    system = only(root, f"{OVF}VirtualSystem")
    assert names(system) == ["Info", "Name", "OperatingSystemSection", "VirtualHardwareSection"]
    hardware = only(system, f"{OVF}VirtualHardwareSection")
    assert names(hardware) == ["Info", "System", *["Item"] * 5, "Config"]
    for section in (*root[1:3], *system[2:]):
        assert names(section)[0] == "Info"
    for element in (only(hardware, f"{OVF}System"), *hardware.findall(f"{OVF}Item")):
        assert names(element) == sorted(names(element))


def names(element: ET.Element) -> list[str]:
    return [child.tag.partition("}")[2] for child in element]


def test_the_hardware_is_whole(archive: Path) -> None:
    root = envelope(archive)
    hardware = items(root)
    processors, memory, controller, drive, network = (hardware[kind] for kind in ("3", "4", "6", "17", "10"))
    identifiers = [item.findtext(f"{RASD}InstanceID") for item in hardware.values()]
    assert len(set(identifiers)) == len(identifiers)
    assert all(item.findtext(f"{RASD}ElementName") for item in hardware.values())
    assert int(processors.findtext(f"{RASD}VirtualQuantity") or 0) == 2
    assert int(memory.findtext(f"{RASD}VirtualQuantity") or 0) == 2048
    assert memory.findtext(f"{RASD}AllocationUnits") == "byte * 2^20"
    assert drive.findtext(f"{RASD}Parent") == controller.findtext(f"{RASD}InstanceID")
    assert drive.findtext(f"{RASD}AddressOnParent") == "0"
    connected = only(root, f"{OVF}NetworkSection/{OVF}Network").get(f"{OVF}name")
    assert network.findtext(f"{RASD}Connection") == connected
    system = f"{OVF}VirtualSystem/{OVF}VirtualHardwareSection/{OVF}System/"
    assert root.findtext(f"{system}{VSSD}VirtualSystemType") == "vmx-13"
    assert only(root, f"{OVF}VirtualSystem/{OVF}OperatingSystemSection").get(f"{OVF}id") == "101"


def firmware(archive: Path) -> str | None:
    config = only(envelope(archive), f"{OVF}VirtualSystem/{OVF}VirtualHardwareSection/{VMW}Config")
    assert config.get(f"{OVF}required") == "false"
    assert config.get(f"{VMW}key") == "firmware"
    return config.get(f"{VMW}value")


def test_the_firmware_is_what_the_disk_starts_by(raw: Path, tmp_path: Path) -> None:
    write_esp_disk(tmp_path / "efi.raw", {"EFI/BOOT/BOOTX64.EFI": efi_program("")})
    assert firmware(write(raw)) == "bios"
    assert firmware(write(tmp_path / "efi.raw")) == "efi"
    assert firmware(write(images.tiny(tmp_path / "both.raw"))) == "efi"


def test_a_disk_for_arm64_is_refused(tmp_path: Path) -> None:
    write_esp_disk(tmp_path / "arm.raw", {"EFI/BOOT/BOOTAA64.EFI": efi_program("", "arm64")})
    with pytest.raises(UnusableImage, match="arm64") as caught:
        write(tmp_path / "arm.raw")
    assert "vmdk" in caught.value.hint
    assert not (tmp_path / "out.ova").exists()


def test_an_empty_disk_is_refused(make_raw: RawMaker) -> None:
    with pytest.raises(UnusableImage) as caught:
        write(make_raw(0, {}))
    assert caught.value.hint


@pytest.mark.parametrize(("stated", "time"), [("1700000000", 1_700_000_000), ("5", 5), (str(2**40), 8**11 - 1)])
def test_the_time_is_that_of_source_date_epoch(
    stated: str, time: int, archive: Path, raw: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", stated)
    later = write(raw, name="later.ova")
    with tarfile.open(later) as opened:
        assert {member.mtime for member in opened} == {time}
    assert [content(later, name) for name in ("disk.ovf", "disk.vmdk")] == [
        content(archive, name) for name in ("disk.ovf", "disk.vmdk")
    ]


def test_a_source_date_epoch_that_is_no_number_is_refused(raw: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "yesterday")
    with pytest.raises(UsageError, match="SOURCE_DATE_EPOCH"):
        write(raw)


CONVERT = """
import sys
from pathlib import Path
from lkcloud.disk import open_disk
from lkcloud.formats.convert import convert
with open_disk(Path(sys.argv[1])) as disk:
    convert(disk, Path(sys.argv[2]), format="ova")
"""


def test_whoever_writes_it_and_whatever_it_is_called_it_is_the_same_file(raw: Path, archive: Path) -> None:
    made = {archive.read_bytes()}
    for workers in ("1", "2", "5"):
        output = raw.with_name(f"made by {workers}.ova")
        environment = {**os.environ, "PYTHONPATH": ":".join(sys.path), "LKCLOUD_WORKERS": workers}
        subprocess.run([sys.executable, "-c", CONVERT, raw, output], env=environment, check=True)
        made.add(output.read_bytes())
    assert len(made) == 1


@dataclass(frozen=True)
class Zeros:
    """A disk of SIZE zeros."""

    size: int

    def extents(self) -> Sequence[Extent]:
        return Extents(array("Q"))

    def read(self, offset: int, length: int) -> bytes:
        return bytes(length)

    def readinto(self, offset: int, buffer: bytearray | memoryview) -> None:
        buffer[:] = bytes(len(buffer))


@pytest.mark.parametrize("size", [8 * GIB - 512, 8 * GIB, 2 * 1024 * GIB])
def test_a_disk_of_any_size_is_found_behind_the_others(size: int, tmp_path: Path) -> None:
    """The VMDK is left a hole, so that no bytes need be written; 8 GiB is more than the digits of USTAR can say."""
    made = ova.Appliance(stream_optimized(Zeros(MIB), 2), Machine(MIB, 0, uefi=False), Y2K)
    archive = tmp_path / "large.ova"
    front = made._front(size, "0" * 64)
    assert len(front) == len(made._front(0, "0" * 64))
    archive.write_bytes(front)
    os.truncate(archive, len(front) + size + 1024)
    with tarfile.open(archive) as opened:
        assert [(member.name, member.size) for member in opened][2] == ("disk.vmdk", size)
    listed = subprocess.run(["tar", "-tvf", archive], capture_output=True, text=True, check=True).stdout
    assert listed.splitlines()[2].split()[2] == str(size)
    assert (front[-512 + 257 : -512 + 265] == b"ustar\x0000") == (size < 8 * GIB)


def test_the_descriptor_is_as_long_for_every_size() -> None:
    machine = Machine(MIB, 0, uefi=True)
    lengths = {len(descriptor(machine, "disk.vmdk", size)) for size in (0, 9, 10, 2**41, 2**64 - 1)}
    assert len(lengths) == 1


@pytest.mark.parametrize("by", ["bios", "uefi"])
def test_the_disk_in_it_boots(by: Firmware, tmp_path: Path, qemu_img: str) -> None:
    need_machine(by)
    disk = tmp_path / "disk.vmdk"
    disk.write_bytes(content(write(images.tiny(tmp_path / "tiny.raw")), "disk.vmdk"))
    assert_boots(disk, "vmdk", by, tmp_path / "vm")
