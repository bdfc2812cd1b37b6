# SPDX-License-Identifier: Apache-2.0
"""Secure Boot keys as files: X.509 certificates, and signature lists (UEFI specification, 32.4.1)."""

import base64
import binascii
import re
import struct
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lkcloud.errors import UsageError

_HINT = "give an X.509 certificate in DER or PEM, or a binary signature list"

_PEM = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----(.*?)-----END \1-----", re.DOTALL)

_SEQUENCE = 0x30
"""The tag of a SEQUENCE in DER, which a certificate and its first member are (RFC 5280, 4.1)."""

_LIST = struct.Struct("<16sIII")
"""EFI_SIGNATURE_LIST: type of its signatures, its own length, that of its header, that of each signature."""
_OWNER = 16
"""Bytes of each signature that say whose it is; the data follow."""
_KINDS: dict[uuid.UUID, "Kind"] = {
    uuid.UUID("c1c41626-504c-4092-aca9-41f936934328"): "sha256",
    uuid.UUID("a5c059a1-94e4-4aa7-87b5-ab155c2bf072"): "x509",
}
"""EFI_CERT_SHA256_GUID and EFI_CERT_X509_GUID."""

_SIGNED = struct.Struct("<16sIHH16s")
"""EFI_VARIABLE_AUTHENTICATION_2, with which updates such as dbxupdate.bin begin: a time, and a certificate of this
length, revision, type and GUID; what is signed follows it."""
_SIGNED_BY = (0x0200, 0x0EF1, uuid.UUID("4aafd29d-68df-49ee-8aa9-347d375665a7"))
"""Revision, WIN_CERT_TYPE_EFI_GUID and EFI_CERT_TYPE_PKCS7_GUID."""

Kind = Literal["x509", "sha256"]


@dataclass(frozen=True, slots=True)
class Signature:
    """One entry of a signature list: a certificate in DER, or the 32 bytes of a SHA-256 hash."""

    kind: Kind
    data: bytes


def read_key(path: Path) -> bytes:
    """Return the content of a key file, a certificate in PEM as DER.

    Raises UsageError for a file that cannot be read, is empty, or holds a private key or several certificates.
    """
    try:
        found = path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read the key file {path}: {error.strerror}", hint=_HINT) from None
    if not found:
        raise UsageError(f"the key file {path} is empty", hint=_HINT)
    return _from_pem(path, found) if b"-----BEGIN " in found else found


def read_signatures(path: Path) -> tuple[Signature, ...]:
    """Return what a key file holds: its one certificate, or the signatures of its lists, in their order.

    A list may be signed, as an update of dbx is; the signature of the update is left out. Raises UsageError as
    `read_key` does, and for a file that is neither.
    """
    content = read_key(path)
    if is_certificate(content):
        return (Signature("x509", content),)
    try:
        found = tuple(_listed(_unsigned(content)))
    except ValueError as error:
        raise UsageError(f"{path} is no certificate, and no signature list: {error}", hint=_HINT) from None
    if not found:
        raise UsageError(f"{path} holds no certificate and no signature", hint=_HINT)
    return found


def is_certificate(content: bytes) -> bool:
    """Tell whether CONTENT is one X.509 certificate in DER, as far as its frame shows.

    A SEQUENCE of just this length, whose first member is a SEQUENCE: other things that come in DER beside keys, such as
    PKCS #7, begin with an object identifier.
    """
    length, begin = _frame(content)
    return length is not None and begin + length == len(content) and content[begin : begin + 1] == bytes([_SEQUENCE])


def _from_pem(path: Path, content: bytes) -> bytes:
    blocks = _PEM.findall(content)
    kinds = sorted({kind.decode() for kind, _ in blocks})
    if kinds != ["CERTIFICATE"]:
        raise UsageError(f"{path} holds {', '.join(kinds) or 'no whole PEM block'}, no certificate", hint=_HINT)
    if len(blocks) > 1:
        raise UsageError(f"{path} holds {len(blocks)} certificates", hint="give each in a file of its own")
    try:
        found = base64.b64decode(b"".join(blocks[0][1].split()), validate=True)
    except binascii.Error:
        found = b""
    if not is_certificate(found):
        raise UsageError(f"the certificate in {path} is damaged", hint=_HINT)
    return found


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


def _unsigned(content: bytes) -> bytes:
    """Return a signed update without what it is signed with."""
    if len(content) < _SIGNED.size:
        return content
    time, length, revision, kind, guid = _SIGNED.unpack_from(content)
    return content[len(time) + length :] if (revision, kind, uuid.UUID(bytes_le=guid)) == _SIGNED_BY else content


def _listed(content: bytes) -> Iterator[Signature]:
    """Yield the signatures of the lists in CONTENT. Raises ValueError where it is not made of lists."""
    position = 0
    while position < len(content):
        if len(content) - position < _LIST.size:
            raise ValueError(f"it has {len(content) - position} bytes too many")
        guid, length, header, size = _LIST.unpack_from(content, position)
        kind = _KINDS.get(uuid.UUID(bytes_le=guid))
        if kind is None:
            raise ValueError(f"signatures of the type {uuid.UUID(bytes_le=guid)} are not known")
        begin, end = position + _LIST.size + header, position + length
        if not begin <= end <= len(content) or size <= _OWNER or (end - begin) % size:
            raise ValueError(f"the list at byte {position} has a wrong length")
        for entry in range(begin, end, size):
            data = content[entry + _OWNER : entry + size]
            if len(data) != 32 if kind == "sha256" else not is_certificate(data):
                raise ValueError(f"the signature at byte {entry} is no {kind}")
            yield Signature(kind, data)
        position = end
