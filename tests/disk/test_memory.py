# SPDX-License-Identifier: Apache-2.0
"""Memory for reading stands at whole pages."""

import ctypes

import pytest

from lkcloud.disk.memory import aligned


@pytest.mark.parametrize("length", [1, 4095, 4096, 4097, 1 << 20])
def test_there_is_room_at_a_whole_page(length: int) -> None:
    for _ in range(5):
        buffer, begin = aligned(length)
        assert (ctypes.addressof(ctypes.c_char.from_buffer(buffer)) + begin) % 4096 == 0
        assert len(memoryview(buffer)[begin : begin + length]) == length
        assert not any(buffer)
