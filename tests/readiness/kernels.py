# SPDX-License-Identifier: Apache-2.0
"""Kernels that never run: the headers and tables that are read, byte by byte, as Linux's build writes them."""

import gzip
import struct
from collections.abc import Sequence

BANNER = b"Linux version 6.12.3-test (someone@somewhere) #1 SMP\n\0"
NAMES = ("start_kernel", *(f"function_number_{number}" for number in range(2000)), "nvme_probe")


class Bytes:
    """A file in memory."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.size = len(data)
        self.bytes_read = 0

    def read(self, offset: int, length: int) -> bytes:
        assert offset >= 0
        assert length >= 0
        self.bytes_read += min(length, max(0, self.size - offset))
        return self.data[offset : offset + length]


def kallsyms(names: Sequence[str] = NAMES, *, sorting_list: bool = True, long_names: bool = False) -> bytes:
    """Return the table of symbols, with tokens that stand for two letters, as scripts/kallsyms.c lays it out.

    With SORTING_LIST it has what some releases put between markers and tokens. With LONG_NAMES there is a symbol whose
    length takes two bytes, as since Linux 6.1.
    """
    pairs = ["_p", "ro", "be", "fu", "nc", "ti", "on"]
    tokens = [bytes((code,)) if 0x20 < code < 0x7F else b"" for code in range(256)]
    for place, pair in enumerate(pairs, 0x80):
        tokens[place] = pair.encode()
    symbols = [*names, "x" * 300] if long_names else names
    packed, markers = bytearray(), []
    for number, name in enumerate(symbols):
        if number % 256 == 0:
            markers.append(len(packed))
        text = f"t{name}"
        for place, pair in enumerate(pairs, 0x80):
            text = text.replace(pair, chr(place))
        raw = text.encode("latin-1")
        packed += bytes((len(raw),)) if len(raw) < 0x80 else bytes((len(raw) & 0x7F | 0x80, len(raw) >> 7))
        packed += raw
    table = struct.pack("<I4x", len(symbols)) + _aligned(bytes(packed))
    table += _aligned(struct.pack(f"<{len(markers)}I", *markers))
    if sorting_list:
        table += _aligned(b"".join(number.to_bytes(3, "big") for number in range(len(symbols))))
    offsets, end = [], 0
    for token in tokens:
        offsets.append(end)
        end += len(token) + 1
    table += _aligned(b"".join(token + b"\0" for token in tokens))
    return table + struct.pack("<256H", *offsets)


def configuration(text: str) -> bytes:
    """Return what CONFIG_IKCONFIG puts into a kernel."""
    return b"IKCFG_ST" + gzip.compress(text.encode(), mtime=0) + b"IKCFG_ED"


def vmlinux(*tables: bytes, size: int = 3 * 1024 * 1024) -> bytes:
    """Return an ELF file for x86-64, which a bzImage has packed inside, with TABLES in it."""
    head = bytearray(4096)
    head[:6] = b"\x7fELF\x02\x01"
    struct.pack_into("<H", head, 18, 62)
    filled = bytes(head) + _aligned(BANNER) + b"".join(bytes(4096) + _aligned(table) for table in tables)
    return filled.ljust(size, b"\0")


def bzimage(payload: bytes, *, release: str = "6.12.3-test") -> bytes:
    """Return a kernel for x86-64 with PAYLOAD, which is packed already (https://docs.kernel.org/arch/x86/boot.html)."""
    setup_sectors = 4
    head = bytearray((setup_sectors + 1) * 512)
    head[0x1F1] = setup_sectors
    head[0x1FE:0x206] = b"\x55\xaa\xeb\x66HdrS"
    struct.pack_into("<H", head, 0x206, 0x20F)
    struct.pack_into("<H", head, 0x20E, 0x400)  # the version is at that + 0x200
    struct.pack_into("<H", head, 0x236, 1)
    struct.pack_into("<II", head, 0x248, 64, len(payload))
    version = f"{release} (someone@somewhere) #1\0".encode()
    head[0x600 : 0x600 + len(version)] = version
    return bytes(head) + bytes(64) + payload


def arm64_image(*tables: bytes) -> bytes:
    """Return an arm64 Image (https://docs.kernel.org/arch/arm64/booting.html)."""
    head = bytearray(4096)
    head[0x38:0x3C] = b"ARM\x64"
    return bytes(head) + _aligned(BANNER) + b"".join(_aligned(table) for table in tables) + bytes(4096)


def zboot(form: str, packed: bytes) -> bytes:
    """Return an EFI program that unpacks an arm64 Image, PACKED as FORM says (zboot-header.S of Linux)."""
    head = bytearray(512)
    head[:2], head[4:8] = b"MZ", b"zimg"
    struct.pack_into("<II", head, 8, 512, len(packed))
    head[24 : 24 + len(form)] = form.encode()
    struct.pack_into("<I", head, 60, 128)
    head[128:132] = b"PE\0\0"
    struct.pack_into("<HH", head, 132, 0xAA64, 0)
    return bytes(head) + packed


def _aligned(data: bytes) -> bytes:
    return data + bytes(-len(data) % 8)
