# SPDX-License-Identifier: Apache-2.0
"""Programs that print a text on the serial port and power the machine off: for a BIOS, and for UEFI.

On x86 COM1 is written to directly (port 0x3f8, 16550 UART), so that nothing depends on what the firmware has set up.
"""

from lkcloud.sandbox.firmware import Architecture
from lkcloud.sandbox.tinydisk.machine_code_arm64 import arm64_code
from lkcloud.sandbox.tinydisk.pe import efi_application

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


def bios_boot_code(text: str) -> bytes:
    """Return boot code for a master boot record that prints TEXT (ASCII); ValueError if it does not fit."""
    code = _BIOS + _terminated(text)
    if len(code) > BOOT_CODE_LIMIT:
        raise ValueError(f"boot code of {len(code)} bytes does not fit into {BOOT_CODE_LIMIT}")
    return code


def efi_program(text: str, architecture: Architecture = "x86_64") -> bytes:
    """Return an EFI application for ARCHITECTURE that prints TEXT (ASCII)."""
    code = arm64_code(text) if architecture == "arm64" else _UEFI + _terminated(text)
    return efi_application(code, architecture)


def _terminated(text: str) -> bytes:
    return text.encode("ascii") + b"\0"
