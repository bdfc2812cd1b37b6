# SPDX-License-Identifier: Apache-2.0
"""What is read of kernels: Debian's, and ones that were made for what Debian's have not."""

import bz2
import gzip
import lzma
import struct
from collections.abc import Callable

import lz4.block
import pytest
import zstandard

from lkcloud.disk.linux.kernel import Kernel, read_kernel
from tests.images import kernel, kernel_release
from tests.readiness.kernels import Bytes, arm64_image, bzimage, configuration, kallsyms, vmlinux, zboot

WANTED = ("nvme_probe", "virtscsi_probe", "function_number_7", "ena_probe")
CONFIG = 'CONFIG_BLK_DEV_NVME=y\n# CONFIG_GVE is not set\nCONFIG_EXT4_FS=m\nCONFIG_CMDLINE="console=ttyS0 quiet"\n'


def lz4_legacy(data: bytes) -> bytes:
    """Pack DATA as `lz4 -l` does: blocks of 8 MiB, each with its length in front."""
    packed = bytearray(b"\x02\x21\x4c\x18")
    for start in range(0, len(data), 8 << 20):
        block = lz4.block.compress(data[start : start + (8 << 20)], store_size=False)
        packed += struct.pack("<I", len(block)) + block
    return bytes(packed)


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lambda data: lzma.compress(data, check=lzma.CHECK_CRC32),
    "lzma": lambda data: lzma.compress(data, format=lzma.FORMAT_ALONE),
    "zstd": lambda data: zstandard.ZstdCompressor(level=3).compress(data),
    "lz4": lz4_legacy,
}


def read(data: bytes) -> Kernel:
    found = read_kernel(Bytes(data), WANTED)
    assert found is not None
    return found


def test_debians_kernel_tells_what_its_configuration_says() -> None:
    path = kernel()
    found = read(path.read_bytes())
    assert (found.architecture, found.release, found.problem) == ("x86_64", kernel_release(), "")
    assert found.symbols == {"nvme_probe"}
    settings = path.with_name(f"config-{kernel_release()}").read_text()
    assert "CONFIG_BLK_DEV_NVME=y" in settings
    assert "CONFIG_SCSI_VIRTIO=m" in settings
    assert "# CONFIG_IKCONFIG is not set" in settings
    assert found.config is None


@pytest.mark.parametrize("form", PACKERS)
def test_each_form_of_packing(form: str) -> None:
    # The build puts the unpacked size behind what is packed.
    payload = PACKERS[form](vmlinux(configuration(CONFIG), kallsyms())) + struct.pack("<I", 3 << 20)
    found = read(bzimage(payload))
    assert (found.architecture, found.release, found.problem) == ("x86_64", "6.12.3-test", "")
    assert found.symbols == {"nvme_probe", "function_number_7"}
    assert found.config is not None
    assert dict(found.config) == {
        "CONFIG_BLK_DEV_NVME": "y",
        "CONFIG_EXT4_FS": "m",
        "CONFIG_CMDLINE": "console=ttyS0 quiet",
    }


@pytest.mark.parametrize("sorting_list", [True, False])
@pytest.mark.parametrize("long_names", [True, False])
def test_layouts_of_the_table_of_symbols(sorting_list: bool, long_names: bool) -> None:
    table = kallsyms(sorting_list=sorting_list, long_names=long_names)
    assert read(bzimage(vmlinux(table))).symbols == {"nvme_probe", "function_number_7"}


def test_tables_far_into_a_large_kernel() -> None:
    data = vmlinux(bytes(21 << 20), kallsyms(), bytes(30 << 20), size=60 << 20)
    assert read(bzimage(data)).symbols == {"nvme_probe", "function_number_7"}


def test_a_kernel_without_the_table() -> None:
    found = read(bzimage(vmlinux()))
    assert (found.release, found.symbols, found.config) == ("6.12.3-test", None, None)


def test_what_looks_like_the_table_and_is_none() -> None:
    table = bytearray(kallsyms())
    table[-512:] = bytes(512)  # the offsets of the tokens
    assert read(bzimage(vmlinux(bytes(table)))).symbols is None
    names = kallsyms(names=[f"not_a_kernel_{number}" for number in range(3000)])
    assert read(bzimage(vmlinux(names))).symbols is None


def test_arm64_kernels_packed_and_not() -> None:
    image = arm64_image(kallsyms())
    expected = ("arm64", "6.12.3-test", {"nvme_probe", "function_number_7"}, "")
    for data in (image, gzip.compress(image), zboot("zstd", PACKERS["zstd"](image))):
        found = read(data)
        assert (found.architecture, found.release, found.symbols, found.problem) == expected


def test_what_is_not_read_is_told() -> None:
    assert read(bzimage(b"\x89LZO\0\r\n\x1a\n" + bytes(100))).problem == "it is compressed with LZO, which is not read"
    assert read(bzimage(b"something")).problem == "it is compressed with something unknown"
    whole = gzip.compress(vmlinux(kallsyms()))
    assert read(bzimage(whole[: len(whole) // 2])).problem == "its compressed data ends in the middle"
    broken = bytearray(whole)
    broken[100:110] = bytes(10)
    assert read(bzimage(bytes(broken))).problem.startswith("its gzip data is broken: ")
    old = bytearray(bzimage(whole))
    struct.pack_into("<H", old, 0x206, 0x204)
    assert read(bytes(old)).problem == "it is older than Linux 2.6.26"


@pytest.mark.parametrize(
    "data", [b"", b"MZ", bytes(5000), b"\x1f\x8b" + bytes(50), gzip.compress(b"text" * 5000, mtime=0)]
)
def test_what_is_no_kernel(data: bytes) -> None:
    assert read_kernel(Bytes(data), WANTED) is None


def test_only_the_header_is_read_if_nothing_is_to_be_unpacked() -> None:
    file = Bytes(bzimage(gzip.compress(vmlinux(kallsyms()))))
    found = read_kernel(file, WANTED, unpack=False)
    assert found == Kernel("x86_64", "6.12.3-test")
    assert file.bytes_read < 8192
