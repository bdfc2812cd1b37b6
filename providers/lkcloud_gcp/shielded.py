# SPDX-License-Identifier: Apache-2.0
"""The Secure Boot keys of an image, read from files.

The API knows two types of file, X509 and BIN (compute_v1.FileContentBuffer.FileType), and does not say more of them:
here a certificate in DER is X509, and all else, such as the list of forbidden hashes (dbx), is BIN and sent as it is.
"""

import base64
import binascii
import re
from pathlib import Path
from typing import TYPE_CHECKING

from lkcloud.errors import UsageError
from lkcloud_gcp.options import GcpOptions

if TYPE_CHECKING:
    from google.cloud import compute_v1

_HINT = "give an X.509 certificate in DER or PEM, or a binary signature list"

_PEM = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----(.*?)-----END \1-----", re.DOTALL)

_SEQUENCE = 0x30
"""The tag of a SEQUENCE in DER, which a certificate and its first member are (RFC 5280, 4.1)."""


def initial_state(options: GcpOptions) -> "compute_v1.InitialStateConfig | None":
    """Return the keys that the options name, None if they name none.

    Raises UsageError for a file that cannot be read, is empty, or holds a private key or several certificates.
    """
    if not (options.platform_key or options.key_exchange_key or options.signature_db or options.revoked_db):
        return None
    from google.cloud import compute_v1

    state = compute_v1.InitialStateConfig(
        keks=[read(path) for path in options.key_exchange_key],
        dbs=[read(path) for path in options.signature_db],
        dbxs=[read(path) for path in options.revoked_db],
    )
    if options.platform_key:
        state.pk = read(options.platform_key)
    return state


def read(path: Path) -> "compute_v1.FileContentBuffer":
    """Return a key file as the API takes it. Raises UsageError."""
    from google.cloud import compute_v1

    found = content(path)
    return compute_v1.FileContentBuffer(
        content=base64.b64encode(found).decode(), file_type="X509" if is_certificate(found) else "BIN"
    )


def content(path: Path) -> bytes:
    """Return the content of a key file, a certificate in PEM as DER. Raises UsageError."""
    try:
        found = path.read_bytes()
    except OSError as error:
        raise UsageError(f"gcp: cannot read the key file {path}: {error.strerror}", hint=_HINT) from None
    if not found:
        raise UsageError(f"gcp: the key file {path} is empty", hint=_HINT)
    return _from_pem(path, found) if b"-----BEGIN " in found else found


def _from_pem(path: Path, content: bytes) -> bytes:
    blocks = _PEM.findall(content)
    kinds = sorted({kind.decode() for kind, _ in blocks})
    if kinds != ["CERTIFICATE"]:
        raise UsageError(f"gcp: {path} holds {', '.join(kinds) or 'no whole PEM block'}, no certificate", hint=_HINT)
    if len(blocks) > 1:
        raise UsageError(f"gcp: {path} holds {len(blocks)} certificates", hint="give each in a file of its own")
    try:
        found = base64.b64decode(b"".join(blocks[0][1].split()), validate=True)
    except binascii.Error:
        found = b""
    if not is_certificate(found):
        raise UsageError(f"gcp: the certificate in {path} is damaged", hint=_HINT)
    return found


def is_certificate(content: bytes) -> bool:
    """Tell whether CONTENT is one X.509 certificate in DER, as far as its frame shows.

    A SEQUENCE of just this length, whose first member is a SEQUENCE: other things that come in DER beside keys, such as
    PKCS #7, begin with an object identifier.
    """
    length, begin = _frame(content)
    return length is not None and begin + length == len(content) and content[begin : begin + 1] == bytes([_SEQUENCE])


def _frame(content: bytes) -> tuple[int | None, int]:
    """Return the length of what the outer SEQUENCE holds (None if there is none) and where it begins (X.690, 8.1.3)."""
    if len(content) < 4 or content[0] != _SEQUENCE:
        return None, 0
    first = content[1]
    if first < 0x80:
        return first, 2
    count = first & 0x7F
    if not 1 <= count <= 4:
        return None, 0
    return int.from_bytes(content[2 : 2 + count], "big"), 2 + count
