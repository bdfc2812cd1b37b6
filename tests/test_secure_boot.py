# SPDX-License-Identifier: Apache-2.0
"""Secure Boot keys are read from certificates and from signature lists, signed ones too, and nothing else."""

import struct
import subprocess
import uuid
from pathlib import Path

import pytest

from lkcloud.errors import UsageError
from lkcloud.secure_boot import Signature, is_certificate, read_key, read_signatures

SHA256 = "c1c41626-504c-4092-aca9-41f936934328"
X509 = "a5c059a1-94e4-4aa7-87b5-ab155c2bf072"
SHA1 = "826ca512-cf10-4ac9-b187-be01496631bd"
OWNER = uuid.UUID("77fa9abd-0359-4d32-bd60-28f4e78f784b").bytes_le


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Return a certificate that OpenSSL has made."""
    folder = tmp_path_factory.mktemp("certificate")
    command = "openssl req -x509 -newkey rsa:2048 -nodes -keyout key -subj /CN=db -outform DER -out db.der -days 2"
    subprocess.run(command.split(), cwd=folder, check=True, capture_output=True)
    return (folder / "db.der").read_bytes()


def listed(kind: str, *data: bytes, header: bytes = b"") -> bytes:
    """Return an EFI_SIGNATURE_LIST, written from the specification."""
    entries = b"".join(OWNER + one for one in data)
    length = 28 + len(header) + len(entries)
    sizes = struct.pack("<III", length, len(header), 16 + len(data[0]))
    return uuid.UUID(kind).bytes_le + sizes + header + entries


def signed(content: bytes, signature: bytes = b"pkcs7" * 9) -> bytes:
    """Return an update of a variable, as dbxupdate.bin is one."""
    when = struct.pack("<HBBBBBBIhBB", 2026, 1, 2, 3, 4, 5, 0, 0, 0, 0, 0)
    guid = uuid.UUID("4aafd29d-68df-49ee-8aa9-347d375665a7").bytes_le
    return when + struct.pack("<IHH", 24 + len(signature), 0x0200, 0x0EF1) + guid + signature + content


def written(folder: Path, content: bytes) -> Path:
    path = folder / "key"
    path.write_bytes(content)
    return path


def test_a_certificate_is_one_signature(tmp_path: Path, certificate: bytes) -> None:
    assert is_certificate(certificate)
    assert read_signatures(written(tmp_path, certificate)) == (Signature("x509", certificate),)
    pem = subprocess.run(["openssl", "x509", "-inform", "DER"], input=certificate, check=True, capture_output=True)
    path = written(tmp_path, pem.stdout)
    assert read_key(path) == certificate
    assert read_signatures(path) == (Signature("x509", certificate),)


def test_lists_in_their_order(tmp_path: Path, certificate: bytes) -> None:
    hashes = [bytes([number]) * 32 for number in range(3)]
    content = listed(SHA256, *hashes[:2]) + listed(X509, certificate) + listed(SHA256, hashes[2], header=b"12345678")
    expected = (
        Signature("sha256", hashes[0]),
        Signature("sha256", hashes[1]),
        Signature("x509", certificate),
        Signature("sha256", hashes[2]),
    )
    assert read_signatures(written(tmp_path, content)) == expected
    assert read_signatures(written(tmp_path, signed(content))) == expected


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"text", "no signature list: it has 4 bytes"),
        (b"\0" * 64, "type 00000000"),
        (listed(SHA1, bytes(20)), "826ca512.* not known"),
        (listed(SHA256, bytes(32))[:-1], "wrong length"),
        (listed(SHA256, bytes(32)) + b"\0", "1 bytes too many"),
        (listed(SHA256, bytes(31)), "at byte 28 is no sha256"),
        (listed(X509, bytes(31)), "at byte 28 is no x509"),
        (uuid.UUID(SHA256).bytes_le + struct.pack("<III", 28, 0, 16), "wrong length"),
        (uuid.UUID(SHA256).bytes_le + struct.pack("<III", 20, 0, 48), "wrong length"),
        (uuid.UUID(SHA256).bytes_le + struct.pack("<III", 28, 0, 48), "no certificate and no signature"),
        (signed(b""), "no certificate and no signature"),
    ],
)
def test_what_is_no_list_is_refused(content: bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message) as raised:
        read_signatures(written(tmp_path, content))
    assert "signature list" in raised.value.hint


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot read the key file"):
        read_signatures(tmp_path / "missing")
