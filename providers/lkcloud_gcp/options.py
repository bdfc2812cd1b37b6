# SPDX-License-Identifier: Apache-2.0
"""What a user can choose on Google Cloud: one field is one flag, one environment variable and one line of the docs."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from lkcloud.provider import Meaning, Options, Used

Architecture = Literal["X86_64", "ARM64"]

_LABEL_KEY = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_LABEL_VALUE = re.compile(r"[a-z0-9_-]{0,63}")
"""https://cloud.google.com/compute/docs/labeling-resources: up to 63 characters; of international ones none here."""


def _label(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not _LABEL_KEY.fullmatch(key) or not _LABEL_VALUE.fullmatch(value):
        raise ValueError(f"{text!r} is not KEY=VALUE of lower-case letters, digits, - and _, at most 63 of each")
    return key, value


def _check_labels(texts: tuple[str, ...]) -> tuple[str, ...]:
    keys = [_label(text)[0] for text in texts]
    if len(set(keys)) < len(keys):
        raise ValueError("a label key can be given once only")
    if any(key.startswith("lkcloud-") for key in keys):
        raise ValueError("labels that begin with lkcloud- are lkcloud's own")
    return texts


def _several(value: object) -> object:
    """Take a mapping (as YAML writes labels) or one string for a sequence of strings."""
    if isinstance(value, Mapping):
        return tuple(f"{key}={item}" for key, item in value.items())
    return (value,) if isinstance(value, str | Path) else value


Labels = Annotated[tuple[str, ...], BeforeValidator(_several), AfterValidator(_check_labels)]
Texts = Annotated[tuple[str, ...], BeforeValidator(_several)]
Files = Annotated[tuple[Path, ...], BeforeValidator(_several)]


class GcpOptions(Options):
    """The options of Google Cloud; credentials are the application default ones, as of every Google library."""

    project: Annotated[
        str | None,
        Used.EVERYWHERE,
        Meaning.ACCOUNT,
        Field(description="Project id; that of the credentials if not given."),
    ] = None
    bucket: Annotated[
        str | None,
        Used.EVERYWHERE,
        Field(description="Bucket for the tarball; if not given, PROJECT-lkcloud, which is made where it is missing."),
    ] = None
    bucket_location: Annotated[
        str, Field(description="Location of a bucket that lkcloud makes, such as EU or europe-west3.")
    ] = "US"
    object_prefix: Annotated[str, Used.EVERYWHERE, Field(description="What object names in the bucket begin with.")] = (
        "lkcloud/"
    )
    object_kms_key: Annotated[
        str | None, Field(description="Cloud KMS key of the objects, projects/P/locations/L/keyRings/R/cryptoKeys/K.")
    ] = None
    keep_object: Annotated[bool, Field(description="Leave the tarball in the bucket after the import.")] = False
    method: Annotated[
        Literal["composite", "resumable"],
        Field(description="`composite` uploads parts side by side and composes them; `resumable` is one stream."),
    ] = "composite"
    compression_level: Annotated[
        int, Field(description="0 (fast) to 3 (small) as ISA-L has them; 4 to 9, zlib-ng's, are slower.", ge=0, le=9)
    ] = 2

    family: Annotated[
        str | None,
        Used.PROMOTE,
        Field(description="Image family; the image joins it last, after its boot test if there is one."),
    ] = None
    architecture: Annotated[Architecture | None, Field(description="Architecture; the disk tells if not given.")] = None
    guest_os_feature: Annotated[
        Texts,
        Field(
            description="Guest OS feature, such as GVNIC; can be repeated. "
            "If none is given, those that fit architecture and firmware."
        ),
    ] = ()
    license: Annotated[Texts, Field(description="Licence, as URL or projects/P/global/licenses/L; repeatable.")] = ()
    label: Annotated[Labels, Field(description="Label of the image, KEY=VALUE; can be repeated.")] = ()
    storage_location: Annotated[
        Texts, Field(description="Region or multi-region that keeps the image, such as eu; the nearest if not given.")
    ] = ()
    kms_key: Annotated[str | None, Field(description="Cloud KMS key that encrypts the image.")] = None
    kms_service_account: Annotated[
        str | None, Field(description="Service account that uses `--kms-key`; Compute Engine's own if not given.")
    ] = None
    platform_key: Annotated[
        Path | None,
        Field(description="Secure Boot platform key (PK), an X.509 certificate (DER or PEM) or a binary list."),
    ] = None
    key_exchange_key: Annotated[
        Files, Field(description="Secure Boot key exchange key (KEK), as the platform key; can be repeated.")
    ] = ()
    signature_db: Annotated[
        Files, Field(description="Secure Boot allowed signatures (db), as the platform key; can be repeated.")
    ] = ()
    revoked_db: Annotated[
        Files, Field(description="Secure Boot forbidden signatures (dbx), as the platform key; can be repeated.")
    ] = ()
    import_timeout: Annotated[int, Field(description="Minutes to wait for the import of the tarball.", ge=1)] = 60

    share_with: Annotated[
        Texts,
        Used.SHARE,
        Field(description="Who may use the image, such as user:EMAIL, group:EMAIL or domain:NAME; can be repeated."),
    ] = ()
    public: Annotated[bool, Used.SHARE, Field(description="Let everybody with a Google account use the image.")] = False

    zone: Annotated[str, Used.LAUNCH, Field(description="Zone of the test instance.")] = "us-central1-a"
    machine_type: Annotated[
        str | None, Used.LAUNCH, Field(description="Type of the test instance; e2-small or t2a-standard-1.")
    ] = None
    network: Annotated[str, Used.LAUNCH, Field(description="Network of the test instance.")] = "default"
    subnetwork: Annotated[
        str | None, Used.LAUNCH, Field(description="Subnetwork of the test instance, in the zone's region.")
    ] = None

    workers: Annotated[int, Field(description="Most parts at a time while uploading.", ge=1, le=64)] = 8
    rate: Annotated[float | None, Field(description="Most parts a second.", gt=0)] = None

    @property
    def labels(self) -> tuple[tuple[str, str], ...]:
        """The labels as pairs."""
        return tuple(_label(text) for text in self.label)
