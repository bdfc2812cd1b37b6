# SPDX-License-Identifier: Apache-2.0
"""Cyclic redundancy checks of bytes put together from parts, without the bytes."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Polynomial:
    """A reflected polynomial of WIDTH bits, whose CRC begins and ends with all bits turned over."""

    bits: int
    width: int


CRC32 = Polynomial(0xEDB88320, 32)
CRC32C = Polynomial(0x82F63B78, 32)
CRC64NVME = Polynomial(0x9A6C9329AC4BC9B5, 64)


def joined(polynomial: Polynomial, first: int, second: int, length: int) -> int:
    """Return the CRC of A + B from the CRCs of A and of B, and the LENGTH of B in bytes.

    That of A, multiplied by x to the power of 8 * LENGTH modulo the polynomial, xor that of B.
    """
    return _multiply(first, _power(8 * length, polynomial), polynomial) ^ second


def _multiply(left: int, right: int, polynomial: Polynomial) -> int:
    # Reflected: the highest bit stands for x to the power of 0.
    product = 0
    for bit in range(polynomial.width - 1, -1, -1):
        if left >> bit & 1:
            product ^= right
        right = right >> 1 ^ (polynomial.bits if right & 1 else 0)
    return product


def _power(exponent: int, polynomial: Polynomial) -> int:
    result = 1 << (polynomial.width - 1)
    square = 1 << (polynomial.width - 2)
    while exponent:
        if exponent & 1:
            result = _multiply(result, square, polynomial)
        square = _multiply(square, square, polynomial)
        exponent >>= 1
    return result
