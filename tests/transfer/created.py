# SPDX-License-Identifier: Apache-2.0
"""A server that takes everything."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conftest import Call

CREATED = b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\nETag: abc\r\n\r\n{}"
BLOCK = bytes(range(256)) * 2048


def create(call: "Call") -> None:
    """Take requests and answer 201 to each, until the client closes."""
    while call.request()[0]:
        call.answer(CREATED)
