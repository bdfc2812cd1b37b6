# SPDX-License-Identifier: Apache-2.0
"""Wrap machine code into a file that UEFI firmware starts.

Source: https://learn.microsoft.com/windows/win32/debug/pe-format
"""

import struct

from lkcloud.sandbox.firmware import Architecture

_MACHINES: dict[Architecture, int] = {"x86_64": 0x8664, "arm64": 0xAA64}
_FILE_ALIGNMENT = 0x200
_SECTION_ALIGNMENT = 0x1000
_HEADERS = 0x200


def efi_application(code: bytes, architecture: Architecture) -> bytes:
    """Wrap position-independent CODE into a PE32+ EFI application of one section, entered at its first byte."""
    in_file = _round_up(len(code), _FILE_ALIGNMENT)
    in_memory = _round_up(len(code), _SECTION_ALIGNMENT)
    dos_header = b"MZ" + bytes(58) + struct.pack("<I", 64)  # offset of the PE signature
    coff_header = struct.pack(
        "<HHIIIHH",
        _MACHINES[architecture],
        1,  # sections
        0,  # time stamp
        0,  # symbol table
        0,  # symbols
        240,  # size of the optional header
        0x0206,  # executable, without line numbers and debug information; relocatable, and nothing to relocate
    )
    standard_fields = struct.pack(
        "<HBBIIIII",
        0x020B,  # PE32+
        0,  # linker version
        0,
        in_file,  # size of code
        0,  # size of initialised data
        0,  # size of uninitialised data
        _SECTION_ALIGNMENT,  # entry point
        _SECTION_ALIGNMENT,  # base of code
    )
    image_fields = struct.pack(
        "<QIIHHHHHHIIIIHHQQQQII",
        0x1000_0000,  # preferred address
        _SECTION_ALIGNMENT,
        _FILE_ALIGNMENT,
        *(0, 0, 0, 0, 0, 0),  # versions of operating system, image and subsystem
        0,  # reserved
        _SECTION_ALIGNMENT + in_memory,  # size of the image in memory
        _HEADERS,
        0,  # checksum, which UEFI does not look at
        10,  # subsystem: EFI application
        0,  # DLL characteristics
        *(0x10_0000, 0x1000, 0x10_0000, 0x1000),  # stack and heap, reserved and committed
        0,  # loader flags
        16,  # data directories, all empty
    )
    section = struct.pack(
        "<8sIIIIIIHHI",
        b".text",
        len(code),
        _SECTION_ALIGNMENT,  # where it is in memory
        in_file,
        _HEADERS,  # where it is in the file
        *(0, 0, 0, 0),  # relocations and line numbers
        0x6000_0020,  # code, executable, readable
    )
    headers = dos_header + b"PE\0\0" + coff_header + standard_fields + image_fields + bytes(16 * 8) + section
    return headers.ljust(_HEADERS, b"\0") + code.ljust(in_file, b"\0")


def _round_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple
