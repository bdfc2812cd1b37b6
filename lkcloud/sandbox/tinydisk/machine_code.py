# SPDX-License-Identifier: Apache-2.0
"""Two programs for x86 that print a text on the serial port and power the machine off: for a BIOS and for UEFI.

COM1 is written to directly (port 0x3f8, 16550 UART), so that nothing depends on what the firmware has set up.
"""

import struct

BOOT_CODE_LIMIT = 440
"""Bytes of boot code in a master boot record: behind them are the disk signature and the partition table."""

_BIOS = bytes.fromhex(
    # A BIOS loads this at 0x7c00 and starts it in 16-bit real mode. The text follows at 0x7c2a.
    "fa"  #       00        cli
    "31c0"  #     01        xor   ax, ax
    "8ed8"  #     03        mov   ds, ax
    "fc"  #       05        cld
    "be2a7c"  #   06        mov   si, 0x7c2a        the text
    "ac"  #       09 next:  lodsb
    "08c0"  #     0a        or    al, al
    "7412"  #     0c        jz    done
    "88c3"  #     0e        mov   bl, al
    "bafd03"  #   10        mov   dx, 0x3fd         line status register
    "ec"  #       13 wait:  in    al, dx
    "a820"  #     14        test  al, 0x20          transmitter holding register empty
    "74fb"  #     16        jz    wait
    "88d8"  #     18        mov   al, bl
    "baf803"  #   1a        mov   dx, 0x3f8         transmitter holding register
    "ee"  #       1d        out   dx, al
    "ebe9"  #     1e        jmp   next
    "ba0406"  #   20 done:  mov   dx, 0x604         ACPI PM1a control register, where QEMU's pc and q35 have it
    "b80020"  #   23        mov   ax, 0x2000        SLP_EN with sleep type 0, which is S5 there: power off
    "ef"  #       26        out   dx, ax
    "f4"  #       27 halt:  hlt                     any other machine stops here
    "ebfd"  #     28        jmp   halt
)

_UEFI = bytes.fromhex(
    # Entered in 64-bit mode with rdx = EFI_SYSTEM_TABLE (UEFI Specification 2.10, 2.3.4.1). The text follows at 0x3f.
    "4883ec28"  #         00        sub   rsp, 0x28            shadow space for the call, and its alignment
    "4989d7"  #           04        mov   r15, rdx
    "fc"  #               07        cld
    "488d3530000000"  #   08        lea   rsi, [rip + 0x30]    the text
    "ac"  #               0f next:  lodsb
    "84c0"  #             10        test  al, al
    "7414"  #             12        jz    done
    "88c3"  #             14        mov   bl, al
    "66bafd03"  #         16        mov   dx, 0x3fd            line status register
    "ec"  #               1a wait:  in    al, dx
    "a820"  #             1b        test  al, 0x20             transmitter holding register empty
    "74fb"  #             1d        jz    wait
    "88d8"  #             1f        mov   al, bl
    "66baf803"  #         21        mov   dx, 0x3f8            transmitter holding register
    "ee"  #               25        out   dx, al
    "ebe7"  #             26        jmp   next
    "498b4758"  #         28 done:  mov   rax, [r15 + 0x58]    EFI_SYSTEM_TABLE.RuntimeServices
    "b902000000"  #       2c        mov   ecx, 2               EfiResetShutdown
    "31d2"  #             31        xor   edx, edx             EFI_SUCCESS
    "4d31c0"  #           33        xor   r8, r8               no data
    "4d31c9"  #           36        xor   r9, r9
    "ff5068"  #           39        call  [rax + 0x68]         EFI_RUNTIME_SERVICES.ResetSystem, which never returns
    "f4"  #               3c halt:  hlt
    "ebfd"  #             3d        jmp   halt
)

_FILE_ALIGNMENT = 0x200
_SECTION_ALIGNMENT = 0x1000
_HEADERS = 0x200


def bios_boot_code(text: str) -> bytes:
    """Return boot code for a master boot record that prints TEXT (ASCII); ValueError if it does not fit."""
    code = _BIOS + _terminated(text)
    if len(code) > BOOT_CODE_LIMIT:
        raise ValueError(f"boot code of {len(code)} bytes does not fit into {BOOT_CODE_LIMIT}")
    return code


def efi_program(text: str) -> bytes:
    """Return an EFI application for x86_64 that prints TEXT (ASCII)."""
    return _pe32_plus(_UEFI + _terminated(text))


def _terminated(text: str) -> bytes:
    return text.encode("ascii") + b"\0"


def _pe32_plus(code: bytes) -> bytes:
    """Wrap position-independent CODE into a PE32+ EFI application of one section, entered at its first byte.

    Source: https://learn.microsoft.com/windows/win32/debug/pe-format
    """
    in_file = _round_up(len(code), _FILE_ALIGNMENT)
    in_memory = _round_up(len(code), _SECTION_ALIGNMENT)
    dos_header = b"MZ" + bytes(58) + struct.pack("<I", 64)  # offset of the PE signature
    coff_header = struct.pack(
        "<HHIIIHH",
        0x8664,  # machine: x86-64
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
