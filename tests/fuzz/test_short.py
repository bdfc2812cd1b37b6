# SPDX-License-Identifier: Apache-2.0
"""The readers of disks on bytes that nobody meant, for a moment; `make fuzz` does it for ten minutes."""

import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.targets import TARGETS

LIMIT = 20.0
"""Seconds, on a machine that has much else to do; an input takes milliseconds where nothing is wrong."""

WORDS = st.sampled_from([0, 1, 2, 0x7F, 0x80, 0xFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF]).map(
    lambda n: n.to_bytes(4, "little")
)
CHANGES = st.lists(st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 255), st.binary(max_size=4) | WORDS), max_size=8)


def packed(changes: list[tuple[int, int, bytes]]) -> bytes:
    return b"".join(place.to_bytes(4, "little") + bytes((kind,)) + value for place, kind, value in changes)


@pytest.mark.parametrize("name", TARGETS)
@given(data=st.binary(max_size=2000) | CHANGES.map(packed))
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_any_bytes(name: str, data: bytes) -> None:
    started = time.monotonic()
    TARGETS[name](data)
    assert time.monotonic() - started < LIMIT
