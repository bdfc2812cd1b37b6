# SPDX-License-Identifier: Apache-2.0
"""What an image says that its guest can, and the Secure Boot keys that it brings."""

import base64
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import pkcs7
from cryptography.x509.oid import NameOID

from lkcloud.disk.inspect import DiskFacts
from lkcloud.disk.inspect.facts import Architecture
from lkcloud.errors import UsageError
from lkcloud_gcp import GcpOptions, features, shielded

COMMON = ("VIRTIO_SCSI_MULTIQUEUE", "GVNIC")


def facts(*loaders: str, architecture: Architecture | None = None, bios: bool = False) -> DiskFacts:
    return DiskFacts(
        size=1 << 30,
        table="gpt",
        partitions=(),
        filesystem="",
        bios=bios,
        efi_loaders=loaders,
        architecture=architecture,
        ukis=(),
        problems=(),
    )


@pytest.fixture(scope="module")
def certificate() -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test key")])
    now = datetime(2026, 1, 1, tzinfo=UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + timedelta(days=1))
    return builder.sign(key, hashes.SHA256()), key


def der(certificate: tuple[x509.Certificate, ec.EllipticCurvePrivateKey]) -> bytes:
    return certificate[0].public_bytes(serialization.Encoding.DER)


@pytest.mark.parametrize(
    ("disk", "expected"),
    [
        (facts("BOOTX64.EFI", architecture="x86_64"), (*COMMON, "UEFI_COMPATIBLE")),
        (facts("BOOTX64.EFI", architecture="x86_64", bios=True), (*COMMON, "UEFI_COMPATIBLE")),
        (facts(architecture="x86_64", bios=True), COMMON),
        (facts(), COMMON),
        (facts("BOOTAA64.EFI", architecture="arm64"), (*COMMON, "UEFI_COMPATIBLE")),
        (facts(architecture="arm64"), (*COMMON, "UEFI_COMPATIBLE")),
        # A loader of another architecture is none.
        (facts("BOOTIA32.EFI", architecture="x86_64"), COMMON),
    ],
)
def test_features_follow_architecture_and_firmware(disk: DiskFacts, expected: tuple[str, ...]) -> None:
    assert features.guest_os_features(GcpOptions(), disk) == expected


@pytest.mark.parametrize("architecture", ["X86_64", "ARM64"])
def test_nothing_that_only_some_guests_can_is_promised(architecture: str) -> None:
    options = GcpOptions.model_validate({"architecture": architecture})
    named = features.guest_os_features(options, facts("BOOTX64.EFI", "BOOTAA64.EFI"))
    assert not [name for name in named if name.startswith(("SEV", "SNP", "TDX", "IDPF"))]


def test_the_option_is_taken_as_it_is_and_once() -> None:
    options = GcpOptions(guest_os_feature=("SEV_CAPABLE", "GVNIC", "SEV_CAPABLE"))
    assert features.guest_os_features(options, facts("BOOTX64.EFI")) == ("SEV_CAPABLE", "GVNIC")


def test_architecture_by_option_then_disk_then_x86() -> None:
    assert features.architecture(GcpOptions(architecture="ARM64"), facts(architecture="x86_64")) == "ARM64"
    assert features.architecture(GcpOptions(), facts(architecture="arm64")) == "ARM64"
    assert features.architecture(GcpOptions(), facts(architecture="x86_64")) == "X86_64"
    assert features.architecture(GcpOptions(), facts()) == "X86_64"


def test_no_keys_no_initial_state() -> None:
    assert shielded.initial_state(GcpOptions()) is None


def test_every_key_goes_into_its_own_list(
    tmp_path: Path, certificate: tuple[x509.Certificate, ec.EllipticCurvePrivateKey]
) -> None:
    whole = der(certificate)
    pk, kek, db, dbx = (tmp_path / name for name in ("pk.der", "kek.pem", "db.der", "dbx.bin"))
    pk.write_bytes(whole)
    kek.write_text("Bag Attributes: none\r\n" + ssl.DER_cert_to_PEM_cert(whole).replace("\n", "\r\n"))
    db.write_bytes(whole)
    dbx.write_bytes(b"\x26\x16\xc4\xc1" + bytes(64))
    options = GcpOptions(platform_key=pk, key_exchange_key=(kek,), signature_db=(db, db), revoked_db=(dbx,))
    state = shielded.initial_state(options)
    assert state is not None
    assert [key.file_type for key in (state.pk, *state.keks, *state.dbs, *state.dbxs)] == ["X509"] * 4 + ["BIN"]
    assert {base64.b64decode(key.content) for key in (state.pk, *state.keks, *state.dbs)} == {whole}
    assert base64.b64decode(state.dbxs[0].content) == dbx.read_bytes()


def test_what_only_looks_like_a_certificate_is_binary(
    tmp_path: Path, certificate: tuple[x509.Certificate, ec.EllipticCurvePrivateKey]
) -> None:
    whole = der(certificate)
    bundle = pkcs7.serialize_certificates([certificate[0]], serialization.Encoding.DER)
    assert bundle[:1] == whole[:1]
    for content in (whole + b"\0", whole[:-1], bundle, b"0", b"\x30\x80\0\0", b"\x30\x02\x30\x00" + bytes(7)):
        path = tmp_path / "key"
        path.write_bytes(content)
        assert shielded.read(path).file_type == "BIN"


def test_key_files_that_cannot_be_used_are_refused(
    tmp_path: Path, certificate: tuple[x509.Certificate, ec.EllipticCurvePrivateKey]
) -> None:
    pem = ssl.DER_cert_to_PEM_cert(der(certificate))
    secret = certificate[1].private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    cases = {
        "empty": (b"", "is empty"),
        "private": (secret, "PRIVATE KEY"),
        "both": (pem.encode() + secret, "PRIVATE KEY"),
        "chain": (pem.encode() * 2, "holds 2 certificates"),
        "damaged": (pem.replace("M", "*", 1).encode(), "damaged"),
        "cut": (pem.encode()[:-10], "no whole PEM block"),
        "other": (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "damaged"),
    }
    for name, (content, message) in cases.items():
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(UsageError, match=message) as raised:
            shielded.read(path)
        assert "DER" in raised.value.hint or "file of its own" in raised.value.hint
    with pytest.raises(UsageError, match="cannot read"):
        shielded.read(tmp_path / "missing")
    with pytest.raises(UsageError, match="cannot read"):
        shielded.read(tmp_path)
