# SPDX-License-Identifier: Apache-2.0
"""Secure Boot keys as Azure takes them: a template, and certificates and hashes beside it."""

import base64
import struct
import subprocess
import uuid
from pathlib import Path

import pytest

from lkcloud.errors import UsageError
from lkcloud_azure import AzureOptions, uefi

HASH = b"\x80" * 32


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a certificate that OpenSSL has made."""
    folder = tmp_path_factory.mktemp("certificate")
    command = "openssl req -x509 -newkey rsa:2048 -nodes -keyout key -subj /CN=db -outform DER -out db.der -days 2"
    subprocess.run(command.split(), cwd=folder, check=True, capture_output=True)
    return folder / "db.der"


@pytest.fixture
def hashes(tmp_path: Path) -> Path:
    """Return a signature list with two hashes."""
    kind = uuid.UUID("c1c41626-504c-4092-aca9-41f936934328").bytes_le
    path = tmp_path / "dbx.esl"
    path.write_bytes(kind + struct.pack("<III", 28 + 2 * 48, 0, 48) + (bytes(16) + HASH) * 2)
    return path


def text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def test_nothing_said_nothing_sent() -> None:
    assert uefi.settings(AzureOptions()) is None


def test_a_template_alone() -> None:
    made = uefi.settings(AzureOptions(uefi_template="MicrosoftWindowsTemplate"))
    assert made is not None
    assert made.as_dict() == {"signatureTemplateNames": ["MicrosoftWindowsTemplate"]}


def test_every_key_goes_where_it_belongs(certificate: Path, hashes: Path) -> None:
    options = AzureOptions(
        platform_key=certificate,
        key_exchange_key=(certificate,),
        signature_db=(certificate, certificate),
        revoked_db=(hashes, certificate),
    )
    made = uefi.settings(options)
    assert made is not None
    key = text(certificate.read_bytes())
    assert made.as_dict() == {
        "signatureTemplateNames": ["MicrosoftUefiCertificateAuthorityTemplate"],
        "additionalSignatures": {
            "pk": {"type": "x509", "value": [key]},
            "kek": [{"type": "x509", "value": [key]}],
            "db": [{"type": "x509", "value": [key, key]}],
            "dbx": [{"type": "x509", "value": [key]}, {"type": "sha256", "value": [text(HASH)] * 2}],
        },
    }


def test_a_hash_is_no_platform_key(hashes: Path) -> None:
    with pytest.raises(UsageError, match="holds hashes"):
        uefi.settings(AzureOptions(platform_key=hashes))
    with pytest.raises(UsageError, match="holds hashes"):
        uefi.settings(AzureOptions(key_exchange_key=(hashes,)))


def test_one_platform_key(certificate: Path, tmp_path: Path) -> None:
    data = certificate.read_bytes()
    kind = uuid.UUID("a5c059a1-94e4-4aa7-87b5-ab155c2bf072").bytes_le
    one = kind + struct.pack("<III", 28 + 16 + len(data), 0, 16 + len(data)) + bytes(16) + data
    path = tmp_path / "pk.esl"
    path.write_bytes(one)
    made = uefi.settings(AzureOptions(platform_key=path))
    assert made is not None
    assert made.additional_signatures is not None
    assert made.additional_signatures.pk is not None
    assert made.additional_signatures.pk.value == [text(data)]
    path.write_bytes(one * 2)
    with pytest.raises(UsageError, match="holds 2 certificates"):
        uefi.settings(AzureOptions(platform_key=path))
