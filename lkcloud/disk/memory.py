# SPDX-License-Identifier: Apache-2.0
"""Memory that the kernel reads into at full speed."""

_ALIGNMENT = 4096


def aligned(length: int) -> tuple[bytearray, int]:
    """Return a bytearray, and where in it LENGTH bytes stand at a whole page of memory.

    A bytearray itself stands at 16 bytes, where x86 copies a quarter as fast: `rep movsb` wants 32 and more. It is
    still one, because comparing a part of it with zeros in place is something that other memory cannot do.
    """
    import ctypes  # here, since most commands read no disk

    buffer = bytearray(length + _ALIGNMENT)
    return buffer, -ctypes.addressof(ctypes.c_char.from_buffer(buffer)) % _ALIGNMENT
