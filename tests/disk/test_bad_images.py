# SPDX-License-Identifier: Apache-2.0
"""What cannot be used is refused in one line, with a hint, and exit code 2."""

import gzip
import lzma
import os
import random
import shutil
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lkcloud.disk import open_disk
from lkcloud.errors import UnusableImage

MIB = 1024 * 1024
MakeImage = Callable[..., Path]
needs_qemu_img = pytest.mark.skipif(not shutil.which("qemu-img"), reason="qemu-img (qemu-utils) is not installed")
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make this situation")


def refusal(path: Path | str) -> UnusableImage:
    with pytest.raises(UnusableImage) as caught:
        open_disk(path)
    error = caught.value
    assert error.exit_code == 2
    assert error.hint
    assert "\n" not in error.message
    assert not error.message.endswith(".")
    return error


def test_a_missing_file(tmp_path: Path) -> None:
    assert refusal(tmp_path / "none.raw").message == f"there is no file {tmp_path}/none.raw"


def test_a_link_to_nothing(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("nothing")
    assert "there is no file" in refusal(tmp_path / "link").message


def test_a_folder(tmp_path: Path) -> None:
    assert refusal(tmp_path).message == f"{tmp_path} is a folder"


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert "is a pipe" in refusal(tmp_path / "pipe").message


def test_a_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # the name of a socket is short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        assert refusal("socket").message == "socket is a socket"


def test_a_character_device() -> None:
    assert refusal("/dev/zero").message == "/dev/zero is a character device"


def test_a_file_below_a_file(make_image: MakeImage) -> None:
    assert "Not a directory" in refusal(make_image("file", 1, {}) / "image.raw").message


@pytest.mark.parametrize("name", ["a\0b", "x" * 5000])
def test_a_name_that_no_file_can_have(name: str) -> None:
    refusal(name)


def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    image = tmp_path / "secret.raw"
    image.write_bytes(b"secret")
    image.chmod(0)
    program = (
        "import os, sys\n"
        "from lkcloud.disk import open_disk\n"
        "if os.geteuid() == 0: os.setgroups([]), os.setgid(65534), os.setuid(65534)\n"
        "try: open_disk(sys.argv[1])\n"
        "except Exception as error: print(type(error).__name__, error.message, error.hint)\n"
    )
    ran = subprocess.run([sys.executable, "-c", program, str(image)], capture_output=True, text=True, check=True)
    assert ran.stdout.startswith(f"UnusableImage {image} may not be read by this user change its permissions")


def test_an_empty_file_is_a_disk_without_bytes(make_image: MakeImage) -> None:
    with open_disk(make_image("empty.raw", 0, {})) as disk:
        assert disk.size == 0
        assert disk.read(0, 0) == b""
        assert list(disk.extents()) == []


DATA = random.Random(1).randbytes(300_000) + bytes(400_000) + b"\xaa" * 300_000
COMPRESSED = {
    "gzip": gzip.compress(DATA, 1),
    "xz": lzma.compress(DATA, preset=0),
    "xz without checks": lzma.compress(DATA, check=lzma.CHECK_NONE, preset=0),
    "zstd": zstandard.ZstdCompressor(write_checksum=True).compress(DATA),
    "zstd without check": zstandard.ZstdCompressor(write_checksum=False, write_content_size=False).compress(DATA),
    "two zstd frames": zstandard.compress(DATA[:350_000]) + zstandard.compress(DATA[350_000:]),
}


@pytest.mark.parametrize("form", COMPRESSED)
def test_the_whole_of_it_can_be_used(tmp_path: Path, form: str) -> None:
    (tmp_path / "image").write_bytes(COMPRESSED[form])
    with open_disk(tmp_path / "image") as disk:
        assert disk.read(0, disk.size) == DATA


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(sorted(COMPRESSED)), st.data())
def test_compressed_data_that_was_cut_short(tmp_path: Path, cache: Path, form: str, data: st.DataObject) -> None:
    whole = COMPRESSED[form]
    length = data.draw(st.one_of(st.integers(6, len(whole) - 1), st.integers(len(whole) - 20, len(whole) - 1)))
    first_frame = len(zstandard.compress(DATA[:350_000]))
    if form == "two zstd frames" and length == first_frame:
        return  # a whole file of one frame
    (tmp_path / "image").write_bytes(whole[:length])
    error = refusal(tmp_path / "image")
    assert "cut short" in error.hint or "broken" in error.message
    assert list((cache / "unpacked").iterdir()) == []


@pytest.mark.parametrize("form", ["gzip", "xz", "zstd"])
def test_compressed_data_that_is_broken(tmp_path: Path, form: str) -> None:
    broken = bytearray(COMPRESSED[form])
    broken[150_000] ^= 0xFF
    (tmp_path / "image").write_bytes(broken)
    assert f"the {form} data of {tmp_path}/image is broken" in refusal(tmp_path / "image").message


@pytest.mark.parametrize("form", ["gzip", "xz", "zstd"])
def test_compressed_data_with_something_else_behind_it(tmp_path: Path, form: str) -> None:
    (tmp_path / "image").write_bytes(COMPRESSED[form] + b"something else")
    assert "broken" in refusal(tmp_path / "image").message


def test_a_file_packed_too_often(tmp_path: Path) -> None:
    data = b"disk"
    for _ in range(5):
        data = gzip.compress(data)
    (tmp_path / "image").write_bytes(data)
    assert "more than 4 times" in refusal(tmp_path / "image").message


@pytest.mark.parametrize(
    ("start", "word"),
    [
        (b"BZh9", "bzip2"),
        (b"PK\x03\x04", "zip archive"),
        (b"7z\xbc\xaf\x27\x1c", "7-Zip"),
        (b"\x04\x22\x4d\x18", "lz4"),
        (bytes(257) + b"ustar", "tar archive"),
        (bytes(64) + b"\x7f\x10\xda\xbe", "VDI"),
    ],
)
def test_a_file_that_is_known_to_be_no_disk(make_image: MakeImage, tmp_path: Path, start: bytes, word: str) -> None:
    assert word in refusal(make_image("image", 10_000, {0: start})).message
    (tmp_path / "packed").write_bytes(gzip.compress(start.ljust(10_000, b"\0")))
    assert word in refusal(tmp_path / "packed").message


def create(path: Path, *arguments: str) -> Path:
    subprocess.run(["qemu-img", "create", "-q", *arguments, str(path), "8M"], check=True)
    return path


@needs_qemu_img
def test_a_qcow2_with_a_backing_file(tmp_path: Path) -> None:
    base = create(tmp_path / "base.qcow2", "-f", "qcow2")
    error = refusal(create(tmp_path / "top.qcow2", "-f", "qcow2", "-b", str(base), "-F", "qcow2"))
    assert "needs other files" in error.message
    assert "qemu-img convert" in error.hint


@needs_qemu_img
def test_a_qcow2_with_its_data_in_another_file(tmp_path: Path) -> None:
    image = create(tmp_path / "image.qcow2", "-f", "qcow2", "-o", f"data_file={tmp_path}/data.raw")
    assert "needs other files" in refusal(image).message


@needs_qemu_img
@pytest.mark.parametrize("kind", ["monolithicFlat", "twoGbMaxExtentFlat", "twoGbMaxExtentSparse"])
def test_a_vmdk_of_several_files(tmp_path: Path, kind: str) -> None:
    assert "needs other files" in refusal(create(tmp_path / "i.vmdk", "-f", "vmdk", "-o", f"subformat={kind}")).message


@needs_qemu_img
def test_a_vmdk_with_a_parent(tmp_path: Path) -> None:
    base = create(tmp_path / "base.vmdk", "-f", "vmdk")
    error = refusal(create(tmp_path / "top.vmdk", "-f", "vmdk", "-b", str(base), "-F", "vmdk"))
    assert f"needs the file {base}" in error.message


@needs_qemu_img
def test_a_vmdk_that_hides_the_name_of_another_file_in_itself(tmp_path: Path) -> None:
    """A sparse header with capacity 0: QEMU then follows the descriptor inside the file, wherever that points."""
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret".ljust(MIB, b"!"))
    descriptor = (
        '# Disk DescriptorFile\nversion=1\nCID=12345678\nparentCID=ffffffff\ncreateType="monolithicFlat"\n'
        f'RW 2048 FLAT "{secret}" 0\n'
    ).encode()
    image = tmp_path / "image.vmdk"
    header = struct.pack("<4sIIQQQQ", b"KDMV", 1, 3, 0, 128, 1, 20)
    image.write_bytes((header.ljust(512, b"\0") + descriptor).ljust(MIB, b"\0"))
    assert "needs other files" in refusal(image).message


def test_a_differencing_vhd(make_image: MakeImage) -> None:
    footer = b"conectix".ljust(60, b"\0") + struct.pack(">I", 4)
    assert "needs other files" in refusal(make_image("image.vhd", MIB, {0: footer})).message


@needs_qemu_img
@pytest.mark.parametrize("magic", [b"QFI\xfb", b"KDMV\1\0\0\0\3\0\0\0\1", b"conectix", b"vhdxfile"])
@pytest.mark.parametrize("size", [8, 512, MIB])
def test_a_broken_image_gives_the_last_word_of_qemu_img(make_image: MakeImage, magic: bytes, size: int) -> None:
    error = refusal(make_image("image", max(size, len(magic)), {0: magic}))
    assert "qemu-img cannot read" in error.message or "needs other files" in error.message


@needs_qemu_img
@pytest.mark.parametrize(
    "form", [["qcow2"], ["qcow2", "-c"], ["vmdk"], ["vmdk", "-o", "subformat=streamOptimized"], ["vpc"], ["vhdx"]]
)
def test_an_image_cut_short(make_image: MakeImage, tmp_path: Path, form: list[str]) -> None:
    """`qemu-img convert` alone reads zeros for what is missing of a qcow2 or a VMDK."""
    raw = make_image("raw", 8 * MIB, {0: os.urandom(6 * MIB)})
    image = tmp_path / "image"
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", *form, str(raw), str(image)], check=True)
    open_disk(image).close()
    os.truncate(image, 3 * MIB)
    refusal(image)


@needs_qemu_img
@pytest.mark.parametrize("cut", [100, 514, 60_000])
@pytest.mark.parametrize(
    "form", [["qcow2"], ["qcow2", "-o", "cluster_size=2M"], ["vmdk"], ["vhdx"], ["vpc", "-o", "force_size=on"]]
)
def test_an_image_that_lacks_a_part_of_its_last_cluster(
    make_image: MakeImage, tmp_path: Path, form: list[str], cut: int
) -> None:
    """`qemu-img check` finds nothing there, and `qemu-img convert` reads zeros."""
    raw = make_image("raw", 8 * MIB, {MIB: os.urandom(7 * MIB)})
    image = tmp_path / "image"
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", *form, str(raw), str(image)], check=True)
    with open_disk(image) as disk:
        assert disk.read(0, disk.size) == raw.read_bytes()
    os.truncate(image, image.stat().st_size - cut)
    refusal(image)


@needs_qemu_img
def test_a_qcow2_that_only_wastes_room_can_be_used(make_image: MakeImage, tmp_path: Path) -> None:
    raw = make_image("raw", 8 * MIB, {0: b"data"})
    image = tmp_path / "image"
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", str(raw), str(image)], check=True)
    with image.open("r+b") as file:
        file.seek(0x30)
        (refcounts,) = struct.unpack(">Q", file.read(8))
        file.seek(refcounts)
        (block,) = struct.unpack(">Q", file.read(8))
        file.seek(block + 2 * 1000)
        file.write(struct.pack(">H", 1))  # a cluster that nothing uses
        file.truncate(1001 * 65536)
    checked = subprocess.run(["qemu-img", "check", str(image)], capture_output=True, check=False)
    assert checked.returncode == 3
    with open_disk(image) as disk:
        assert disk.read(0, 4) == b"data"


@needs_qemu_img
def test_an_encrypted_qcow2(make_image: MakeImage) -> None:
    image = create(make_image("image.qcow2", 0, {}), "-f", "qcow2")
    with image.open("r+b") as file:
        file.seek(32)
        file.write(struct.pack(">I", 1))  # the method: AES
    assert "encrypt" in refusal(image).message.lower()


def test_without_qemu_img_the_hint_names_the_package(
    make_image: MakeImage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = make_image("image", MIB, {0: b"QFI\xfb"})
    monkeypatch.setenv("PATH", str(tmp_path))
    error = refusal(image)
    assert "there is no qemu-img" in error.message
    assert "qemu-utils" in error.hint


def test_a_cache_folder_that_cannot_be_made(
    make_image: MakeImage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "image").write_bytes(gzip.compress(b"disk"))
    monkeypatch.setenv("LKCLOUD_CACHE_DIR", str(make_image("file", 0, {}) / "cache"))
    error = refusal(tmp_path / "image")
    assert "cannot unpack" in error.message
    assert "LKCLOUD_CACHE_DIR" in error.hint


@pytest.fixture
def small_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)], check=False)
    if mounted.returncode != 0:
        pytest.skip("a small file system cannot be mounted here")
    monkeypatch.setenv("LKCLOUD_CACHE_DIR", str(folder))
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@as_root
@needs_qemu_img
@pytest.mark.parametrize("form", ["gzip", "qcow2"])
def test_an_image_that_unpacks_to_more_than_there_is_room_for(
    make_image: MakeImage, tmp_path: Path, small_cache: Path, form: str
) -> None:
    raw = make_image("raw", 8 * MIB, {0: b"x" * 8 * MIB})
    image = tmp_path / "image"
    if form == "gzip":
        image.write_bytes(gzip.compress(raw.read_bytes()))
    else:
        subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", str(raw), str(image)], check=True)
    error = refusal(image)
    assert error.message == f"there is no room for the disk that {image} comes to"
    assert str(small_cache) in error.hint
    assert list((small_cache / "unpacked").iterdir()) == []
