# SPDX-License-Identifier: Apache-2.0
"""The certificate that the stand-in's servers show, and a bundle in which clients find it beside all others.

Azure's SDKs send a token over TLS only, so the stand-in speaks TLS.
"""

import ipaddress
import os
import re
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path

import certifi
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_LIFE = timedelta(days=365)
_SLACK = timedelta(days=1)
"""Before now, for clocks that are behind."""
_PEM = re.compile("-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----\n?", re.DOTALL)


class Certificate:
    """A certificate for 127.0.0.1 and localhost that no authority has signed; its files are in the folder HOME."""

    def __init__(self, home: Path) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self.pem = home / "certificate.pem"
        self.key = home / "key.pem"
        self.bundle = home / "bundle.pem"
        """The certificates that this machine trusts otherwise, and this one."""
        key = ec.generate_private_key(ec.SECP256R1())
        self.key.touch(mode=0o600)
        self.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        self.pem.write_bytes(_signed(key).public_bytes(serialization.Encoding.PEM))
        trusted = dict.fromkeys(
            match[0].strip() for file in (*_trusted(), self.pem) for match in _PEM.finditer(file.read_text("latin-1"))
        )
        self.bundle.write_text("\n".join(trusted) + "\n", "latin-1")

    @cached_property
    def context(self) -> ssl.SSLContext:
        """What a server speaks TLS with."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.pem, self.key)
        return context


def _signed(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "lkcloud sandbox")])
    addresses = [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("localhost")]
    now = datetime.now(UTC)
    public = key.public_key()
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SLACK)
        .not_valid_after(now + _LIFE)
        .add_extension(x509.SubjectAlternativeName(addresses), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(public), critical=False)
        .sign(key, hashes.SHA256())
    )


def _trusted() -> Iterator[Path]:
    """Yield the files with what is trusted already: the user's own choice, requests' list, OpenSSL's and Debian's."""
    paths = ssl.get_default_verify_paths()
    for name in (
        os.environ.get("REQUESTS_CA_BUNDLE"),
        os.environ.get("SSL_CERT_FILE"),
        certifi.where(),
        paths.cafile,
        f"{paths.capath}/ca-certificates.crt" if paths.capath else None,
    ):
        if name and Path(name).is_file():
            yield Path(name)
