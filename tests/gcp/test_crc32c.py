# SPDX-License-Identifier: Apache-2.0
"""CRC-32C of bytes put together, against that of the bytes."""

import google_crc32c
from hypothesis import given
from hypothesis import strategies as st

from lkcloud_gcp import crc32c


@given(st.binary(max_size=4096), st.binary(max_size=4096))
def test_combined_is_that_of_both(first: bytes, second: bytes) -> None:
    parts = google_crc32c.value(first), google_crc32c.value(second)
    assert crc32c.combined(*parts, len(second)) == google_crc32c.value(first + second)


def test_of_long_bytes() -> None:
    length, zeros, whole = 1 << 20, bytes(1 << 20), 0
    one = google_crc32c.value(zeros)
    crc = 0
    for _ in range(100):
        crc = crc32c.combined(crc, one, length)
        whole = google_crc32c.extend(whole, zeros)
    assert crc == whole
    # 2^40 bytes of zeros in 40 steps, and at once.
    doubled = one
    for step in range(20):
        doubled = crc32c.combined(doubled, doubled, length << step)
    assert crc32c.combined(crc32c.combined(0, doubled, length << 20), doubled, length << 20) == crc32c.combined(
        doubled, doubled, length << 20
    )


def test_the_check_value_of_rfc_3720_as_google_writes_it() -> None:
    # RFC 3720, B.4: 32 bytes of zeros have aa 36 91 8a, written with the lowest byte first.
    assert google_crc32c.value(bytes(32)) == 0x8A9136AA
    assert crc32c.encode(0x8A9136AA) == "ipE2qg=="
    assert crc32c.decode("ipE2qg==") == 0x8A9136AA
    assert crc32c.decode(None) is None
