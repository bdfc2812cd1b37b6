# SPDX-License-Identifier: Apache-2.0
"""The UEFI variable store that RegisterImage takes, read from a file."""

import base64
import binascii
from pathlib import Path

from lkcloud.errors import UsageError

MAX_LENGTH = 64_000
"""Characters of base64 that RegisterImage accepts."""

MAGIC = b"AMZNUEFI"
"""How the store begins (https://github.com/awslabs/python-uefivars, aws.py)."""

_HINT = "give what `aws ec2 get-instance-uefi-data` or `uefivars -o aws` writes, as it is or decoded"


def read(path: Path) -> str:
    """Return the variable store in PATH as base64; the file may hold base64 text or the bytes.

    Raises UsageError for a file that cannot be read or is no such store.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read the UEFI data {path}: {error.strerror}", hint=_HINT) from None
    store = content
    if not content.startswith(MAGIC):
        try:
            store = base64.b64decode(b"".join(content.split()), validate=True)
        except binascii.Error:
            raise UsageError(f"{path} holds neither a UEFI variable store nor base64 of one", hint=_HINT) from None
        if not store.startswith(MAGIC):
            raise UsageError(f"{path} does not hold a UEFI variable store of AWS", hint=_HINT)
    text = base64.b64encode(store).decode()
    if len(text) > MAX_LENGTH:
        raise UsageError(
            f"the UEFI data {path} is {len(text)} characters of base64 and AWS takes {MAX_LENGTH}",
            hint="remove keys and variables that the image does not need",
        )
    return text
