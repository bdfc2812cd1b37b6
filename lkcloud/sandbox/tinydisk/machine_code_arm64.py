# SPDX-License-Identifier: Apache-2.0
"""A program for UEFI on arm64 that prints a text on the serial port and powers the machine off.

Where the serial port is and what kind it is differs between arm64 machines (a PL011 in QEMU, a 16550 elsewhere), so the
firmware's EFI_SERIAL_IO_PROTOCOL writes the text. That passes it on as it is; the console of the firmware would put
escape sequences in, and break the line at its own width.
"""

import struct
from uuid import UUID

_SERIAL_IO = UUID("bb25cf6f-f1d4-11d2-9a0c-0090273fc1fd")
"""EFI_SERIAL_IO_PROTOCOL_GUID (UEFI Specification 2.10, 12.8)."""

_CODE = (
    # Entered with x1 = EFI_SYSTEM_TABLE (UEFI Specification 2.10, 2.3.6). Calls follow the AAPCS64: x0 to x3 hold what
    # is given, x0 the status, x19 survives, and the stack stays aligned to 16 bytes. Each word is an instruction of the
    # Arm Architecture Reference Manual for A-profile (DDI 0487), C6.2, whose name there comes last.
    0xD10043FF,  # 00        sub   sp, sp, #16            SUB (immediate): [sp] the protocol, [sp + 8] the length
    0xAA0103F3,  # 04        mov   x19, x1                MOV (register)
    0xF9403268,  # 08        ldr   x8, [x19, #0x60]       LDR (immediate): EFI_SYSTEM_TABLE.BootServices
    0xF940A108,  # 0c        ldr   x8, [x8, #0x140]       LDR (immediate): EFI_BOOT_SERVICES.LocateProtocol
    0x100002C0,  # 10        adr   x0, 0x68               ADR: which protocol
    0xAA1F03E1,  # 14        mov   x1, xzr                MOV (register): no registration
    0x910003E2,  # 18        mov   x2, sp                 MOV (to/from SP): where its address goes
    0xD63F0100,  # 1c        blr   x8                     BLR
    0xB5000100,  # 20        cbnz  x0, done               CBNZ: not found, so there is no serial port
    0xF94003E0,  # 24        ldr   x0, [sp]               LDR (immediate): the protocol
    0x58000288,  # 28        ldr   x8, 0x78               LDR (literal): the length of the text
    0xF90007E8,  # 2c        str   x8, [sp, #8]           STR (immediate): it is written back to
    0x910023E1,  # 30        add   x1, sp, #8             ADD (immediate)
    0x10000262,  # 34        adr   x2, 0x80               ADR: the text
    0xF9401408,  # 38        ldr   x8, [x0, #0x28]        LDR (immediate): EFI_SERIAL_IO_PROTOCOL.Write
    0xD63F0100,  # 3c        blr   x8                     BLR
    0xF9402E68,  # 40 done:  ldr   x8, [x19, #0x58]       LDR (immediate): EFI_SYSTEM_TABLE.RuntimeServices
    0xF9403508,  # 44        ldr   x8, [x8, #0x68]        LDR (immediate): EFI_RUNTIME_SERVICES.ResetSystem
    0xD2800040,  # 48        mov   x0, #2                 MOV (wide immediate): EfiResetShutdown
    0xAA1F03E1,  # 4c        mov   x1, xzr                MOV (register): EFI_SUCCESS
    0xAA1F03E2,  # 50        mov   x2, xzr                MOV (register): no data
    0xAA1F03E3,  # 54        mov   x3, xzr                MOV (register)
    0xD63F0100,  # 58        blr   x8                     BLR: never returns
    0xD503207F,  # 5c halt:  wfi                          WFI
    0x17FFFFFF,  # 60        b     halt                   B
    0xD503201F,  # 64        nop                          NOP: what follows is aligned to 8 bytes
)


def arm64_code(text: str) -> bytes:
    """Return code for an EFI application that prints TEXT (ASCII): at 0x68 the GUID, at 0x78 the length, then TEXT."""
    said = text.encode("ascii")
    return struct.pack(f"<{len(_CODE)}I", *_CODE) + _SERIAL_IO.bytes_le + struct.pack("<Q", len(said)) + said
