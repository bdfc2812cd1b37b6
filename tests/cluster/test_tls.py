# SPDX-License-Identifier: Apache-2.0
"""A cluster whose members know one another by certificates, as Dask's own configuration says."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from tests.cluster.processes import Command, Grid
from tests.release.conftest import Write
from tests.release.test_run import TWO_CLOUDS, manifest

ONE = TWO_CLOUDS.replace("test: {expect: release-boot-ok, timeout: 60}", "test: false")


def settings(folder: Path) -> dict[str, str]:
    """Write a certificate, which is its own authority, and return Dask's configuration to trust it alone."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "grid")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    folder.mkdir()
    both = folder / "grid.pem"
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    both.write_bytes(private + certificate.public_bytes(Encoding.PEM))
    kinds = ("SCHEDULER", "WORKER", "CLIENT")
    return {
        "DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION": "True",
        "DASK_DISTRIBUTED__COMM__TLS__CA_FILE": str(both),
        **{f"DASK_DISTRIBUTED__COMM__TLS__{kind}__CERT": str(both) for kind in kinds},
    }


@pytest.fixture
def members(tmp_path: Path) -> dict[str, str]:
    """What the members of the grid are told."""
    return settings(tmp_path / "members")


@pytest.fixture
def secret(tmp_path: Path, members: Mapping[str, str], clouds: Mapping[str, str]) -> Iterator[Grid]:
    grid = Grid(tmp_path / "secret", more=("--protocol", "tls"), settings=members)
    grid.folder.mkdir()
    grid.start()
    yield grid
    grid.stop()


@pytest.mark.usefixtures("aws", "gcp", "disk")
def test_by_certificates(
    secret: Grid, members: Mapping[str, str], clouds: Mapping[str, str], write: Write, tmp_path: Path
) -> None:
    assert secret.address.startswith("tls://")
    secret.add(clouds)
    path = write(ONE)
    stranger = Command(path, secret.address, settings=settings(tmp_path / "strangers")).end()
    assert stranger.code == 1
    assert "does not answer" in stranger.error
    done = Command(path, secret.address, settings=members).end()
    assert (done.code, done.error) == (0, "")
    assert manifest(tmp_path).complete
