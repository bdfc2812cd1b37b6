# SPDX-License-Identifier: Apache-2.0
"""An image: what was asked for, its bytes and its state."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lkcloud_gcp.sandbox.compute_call import link
from lkcloud_gcp.sandbox.compute_operations import rfc3339
from lkcloud_gcp.sandbox.engine import new_id
from lkcloud_gcp.sandbox.labels import fingerprint

GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Source:
    """Where the tarball is: an object of Cloud Storage, and the URL that named it."""

    bucket: str
    name: str
    url: str


@dataclass(frozen=True, slots=True)
class KeyFile:
    """A key of Secure Boot, base64 of its CONTENT, and whether it is `X509` or `BIN`."""

    content: str
    file_type: str

    def described(self) -> dict[str, str]:
        """Return it as the API shows it."""
        return {"content": self.content, "fileType": self.file_type}


@dataclass(frozen=True, slots=True)
class InitialState:
    """The keys that a Shielded VM of the image begins with."""

    pk: KeyFile | None
    keks: tuple[KeyFile, ...]
    dbs: tuple[KeyFile, ...]
    dbxs: tuple[KeyFile, ...]

    def described(self) -> dict[str, Any]:
        """Return it as the API shows it."""
        lists = {"keks": self.keks, "dbs": self.dbs, "dbxs": self.dbxs}
        said: dict[str, Any] = {name: [key.described() for key in keys] for name, keys in lists.items() if keys}
        return said | ({"pk": self.pk.described()} if self.pk else {})


@dataclass(frozen=True, slots=True)
class Deprecation:
    """What is said of an image's end; dates are RFC 3339 texts and change nothing."""

    state: str = ""
    replacement: str = ""
    deprecated: str = ""
    obsolete: str = ""
    deleted: str = ""

    def described(self) -> dict[str, str]:
        """Return it as the API shows it."""
        return {name: getattr(self, name) for name in self.__slots__ if getattr(self, name)}


@dataclass(frozen=True, slots=True)
class Specification:
    """What images.insert was asked for."""

    name: str
    source: Source
    description: str = ""
    family: str = ""
    architecture: str = ""
    features: tuple[str, ...] = ()
    licenses: tuple[str, ...] = ()
    locations: tuple[str, ...] = ()
    initial_state: InitialState | None = None
    kms_key: str = ""
    kms_service_account: str = ""
    disk_size_gb: int = 0


@dataclass(slots=True)
class Image:
    """An image; its FILE is there when its state is READY."""

    specification: Specification
    file: Path
    labels: dict[str, str]
    state: str = "PENDING"
    id: str = field(default_factory=new_id)
    created: datetime = field(default_factory=lambda: datetime.now(UTC))
    disk_size_gb: int = 0
    archive_size: int = 0
    deprecation: Deprecation = Deprecation()
    bindings: tuple[Mapping[str, Any], ...] = ()
    policy_version: int = 1
    policy_changes: int = 0

    @property
    def name(self) -> str:
        """The name."""
        return self.specification.name

    @property
    def place(self) -> str:
        """Where it is: `global/images/NAME`."""
        return place(self.name)

    @property
    def bootable_until_now(self) -> bool:
        """Whether something new can be made from it: it is not marked OBSOLETE or DELETED."""
        return self.deprecation.state not in ("OBSOLETE", "DELETED")

    def described(self) -> dict[str, Any]:
        """Return the image as the API shows it; 64-bit numbers are texts."""
        said = self.specification
        described: dict[str, Any] = {
            "kind": "compute#image",
            "id": self.id,
            "name": said.name,
            "creationTimestamp": rfc3339(self.created),
            "selfLink": link(self.place),
            "status": self.state,
            "sourceType": "RAW",
            "rawDisk": {"source": said.source.url, "containerType": "TAR"},
            "diskSizeGb": str(self.disk_size_gb or said.disk_size_gb),
            "archiveSizeBytes": str(self.archive_size),
            "labelFingerprint": fingerprint(self.labels),
            "storageLocations": list(said.locations),
            "enableConfidentialCompute": False,
        }
        described |= {
            name: value
            for name, value in {
                "description": said.description,
                "family": said.family,
                "architecture": said.architecture,
                "labels": dict(self.labels),
                "licenses": list(said.licenses),
                "guestOsFeatures": [{"type": feature} for feature in said.features],
                "deprecated": self.deprecation.described(),
                "shieldedInstanceInitialState": said.initial_state.described() if said.initial_state else None,
            }.items()
            if value
        }
        if said.kms_key:
            # The answer names the version that encrypts, which is the key's primary one.
            key = {"kmsKeyName": f"{said.kms_key}/cryptoKeyVersions/1"}
            account = {"kmsKeyServiceAccount": said.kms_service_account} if said.kms_service_account else {}
            described["imageEncryptionKey"] = key | account
        return described


def place(name: str) -> str:
    """Return where the image NAME is within its project."""
    return f"global/images/{name}"
