# SPDX-License-Identifier: Apache-2.0
"""CRC-32C, the checksum that Cloud Storage has of every object: https://cloud.google.com/storage/docs/data-validation.

Reflected polynomial 0x82F63B78, register and result inverted (RFC 3720, B.4).
"""

import base64

_POLYNOMIAL = 0x82F63B78
_ONE = 1 << 31
"""The polynomial 1: of a reflected register the highest bit is the coefficient of x to the power of 0."""


def combined(crc: int, other: int, other_length: int) -> int:
    """Return the CRC-32C of bytes with CRC followed by OTHER_LENGTH bytes with the CRC-32C OTHER.

    Bytes that follow multiply what came before by x to the power of 8 for each, modulo the polynomial; the inversions
    of the two cancel each other out.
    """
    return _times(_power_of_x(8 * other_length), crc) ^ other


def encode(crc: int) -> str:
    """Return a CRC-32C as Cloud Storage writes it: big-endian, in base64."""
    return base64.b64encode(crc.to_bytes(4, "big")).decode()


def decode(text: str | None) -> int | None:
    """Return the CRC-32C that `encode` wrote; None for none."""
    return int.from_bytes(base64.b64decode(text), "big") if text else None


def _times(a: int, b: int) -> int:
    """Return the product of two reflected polynomials modulo the polynomial."""
    product = 0
    while a:
        if a & _ONE:
            product ^= b
        a = (a << 1) & 0xFFFFFFFF
        b = (b >> 1) ^ _POLYNOMIAL if b & 1 else b >> 1
    return product


def _power_of_x(exponent: int) -> int:
    """Return x to the power of EXPONENT modulo the polynomial, by squaring."""
    result, square = _ONE, _ONE >> 1
    while exponent:
        if exponent & 1:
            result = _times(result, square)
        square = _times(square, square)
        exponent >>= 1
    return result
