# SPDX-License-Identifier: Apache-2.0
"""Azure Compute Galleries: the gallery, its image definitions and their versions.

https://learn.microsoft.com/azure/virtual-machines/shared-image-galleries
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from lkcloud_azure.naming import ResourceId
from lkcloud_azure.sandbox.cloud import LOCATIONS, Cloud, Resource
from lkcloud_azure.sandbox.disk import GIB

SECURITY = "SecurityType"
"""The feature that limits which machines can be made of an image."""
STANDARD = "Standard"

Number = tuple[int, int, int]


@dataclass(kw_only=True)
class Gallery(Resource):
    """A gallery. SHARING is what was asked for as its sharingProfile, without the names that follow from it."""

    description: str
    sharing: Mapping[str, Any]
    soft_delete: Mapping[str, Any] | None = None
    public: bool = False
    """Whether it can be used by everybody, by its public name."""
    shared_with: dict[str, set[str]] = field(default_factory=dict)
    """The ids of subscriptions and tenants, by `Subscriptions` and `AADTenants`."""

    @property
    def permissions(self) -> Literal["Private", "Groups", "Community"]:
        """How it can be shared."""
        found: Literal["Private", "Groups", "Community"] = self.sharing.get("permissions", "Private")
        return found

    @property
    def public_name(self) -> str:
        """The name by which everybody finds it, "" if it is no community gallery."""
        if self.permissions != "Community":
            return ""
        return f"{self.sharing['communityGalleryInfo']['publicNamePrefix']}-{self.unique}"

    def properties(self) -> dict[str, Any]:
        """Return its properties, without what is told by `$select` and `$expand` only."""
        said: dict[str, Any] = {"identifier": {"uniqueName": f"{self.id.subscription}-{self.name.upper()}"}}
        if self.description:
            said["description"] = self.description
        if self.soft_delete is not None:
            said["softDeletePolicy"] = dict(self.soft_delete)
        if self.sharing:
            said["sharingProfile"] = self.sharing_profile()
        return said

    def sharing_profile(self) -> dict[str, Any]:
        """Return how it is shared, without the groups."""
        said: dict[str, Any] = {"permissions": self.permissions}
        if self.public_name:
            names = {"communityGalleryEnabled": self.public, "publicNames": [self.public_name]}
            said["communityGalleryInfo"] = {**self.sharing["communityGalleryInfo"], **names}
        return said

    def groups(self) -> list[dict[str, Any]]:
        """Return whom it is shared with directly."""
        return [{"type": kind, "ids": sorted(ids)} for kind, ids in self.shared_with.items() if ids]


@dataclass(kw_only=True)
class Definition(Resource):
    """An image definition. SENT is what was asked for, with generation, architecture and FEATURES filled in."""

    sent: Mapping[str, Any]
    features: tuple[Mapping[str, str], ...]

    @property
    def generation(self) -> str:
        """V1 or V2."""
        return str(self.sent["hyperVGeneration"])

    @property
    def architecture(self) -> str:
        """The architecture, `x64` or `Arm64`."""
        return str(self.sent["architecture"])

    @property
    def identifier(self) -> tuple[str, str, str]:
        """Publisher, offer and SKU."""
        said = self.sent["identifier"]
        return said["publisher"], said["offer"], said["sku"]

    def feature(self, name: str) -> str:
        """Return the value of a feature, "" if it has none."""
        return next((one["value"] for one in self.features if one["name"].lower() == name.lower()), "")

    @property
    def security(self) -> str:
        """The SecurityType."""
        return self.feature(SECURITY) or STANDARD

    def properties(self) -> dict[str, Any]:
        """Return its properties."""
        said = {name: value for name, value in self.sent.items() if name not in ("features", "allowUpdateImage")}
        return said | ({"features": [dict(one) for one in self.features]} if self.features else {})


@dataclass(slots=True)
class Region:
    """A region that keeps REPLICAS of a version."""

    name: str
    replicas: int
    storage: str
    excluded: bool
    encryption: Mapping[str, Any] | None = None
    state: Literal["Replicating", "Completed", "Failed"] = "Replicating"
    details: str = ""

    def described(self) -> dict[str, Any]:
        """Return it as the API shows it, which writes the names of regions for people."""
        said: dict[str, Any] = {
            "name": LOCATIONS[self.name],
            "regionalReplicaCount": self.replicas,
            "storageAccountType": self.storage,
            "excludeFromLatest": self.excluded,
        }
        return said | ({"encryption": dict(self.encryption)} if self.encryption else {})


@dataclass(kw_only=True)
class Version(Resource):
    """A version of an image. FILE has its bytes raw, SIZE of them, once it is Succeeded; SENT is what was asked for."""

    sent: Mapping[str, Any]
    regions: tuple[Region, ...]
    file: Path
    size: int = 0
    end_of_life: str = ""
    excluded: bool = False
    """Whether `latest` leads past it, in every region."""
    safety: dict[str, Any] = field(default_factory=dict)
    published: datetime = field(default_factory=lambda: datetime.now(UTC))
    validated: bool = False
    """Whether its fitness for Trusted Launch has been looked at."""

    @property
    def number(self) -> Number:
        """The name as numbers."""
        major, minor, patch = (int(word) for word in self.name.split("."))
        return major, minor, patch

    @property
    def definition_id(self) -> ResourceId:
        """The id of its image definition."""
        return ResourceId(self.id.subscription, self.id.group, self.id.namespace, self.id.kinds[:2], self.id.names[:2])

    def region(self, name: str) -> Region | None:
        """Return what there is of it in the region NAME."""
        return next((region for region in self.regions if region.name == name), None)

    def properties(self) -> dict[str, Any]:
        """Return its properties."""
        profile = self.sent.get("publishingProfile") or {}
        publishing: dict[str, Any] = {
            "targetRegions": [region.described() for region in self.regions],
            "replicaCount": profile.get("replicaCount", 1),
            "excludeFromLatest": self.excluded,
            "publishedDate": self.published.isoformat(),
            "storageAccountType": profile.get("storageAccountType", "Standard_LRS"),
            "replicationMode": profile.get("replicationMode", "Full"),
        }
        if self.end_of_life:
            publishing["endOfLifeDate"] = self.end_of_life
        storage = self.sent["storageProfile"]
        disk: dict[str, Any] = {"hostCaching": "None", **(storage.get("osDiskImage") or {})}
        if self.size:
            disk["sizeInGB"] = -(-self.size // GIB)
        said: dict[str, Any] = {
            "publishingProfile": publishing,
            "storageProfile": {**storage, "osDiskImage": disk},
            "safetyProfile": {
                "reportedForPolicyViolation": False,
                "allowDeletionOfReplicatedLocations": False,
                "blockDeletionBeforeEndOfLife": False,
                **self.safety,
            },
        }
        if self.sent.get("securityProfile"):
            said["securityProfile"] = self.sent["securityProfile"]
        if self.validated:
            status = {"type": "TrustedLaunch", "status": "Succeeded", "executionTime": self.published.isoformat()}
            said["validationsProfile"] = {"validationEtag": self.unique, "executedValidations": [status]}
        return said

    def replication(self) -> dict[str, Any]:
        """Return its replicationStatus."""
        states = {region.state for region in self.regions}
        whole = "Failed" if "Failed" in states else "Completed" if states == {"Completed"} else "InProgress"
        return {
            "aggregatedState": whole,
            "summary": [
                {
                    "region": LOCATIONS[region.name],
                    "state": region.state,
                    "details": region.details,
                    "progress": 100 if region.state == "Completed" else 0,
                }
                for region in self.regions
            ],
        }

    def removed(self, cloud: Cloud) -> None:
        """Give its bytes back."""
        del cloud
        self.file.unlink(missing_ok=True)


def latest(cloud: Cloud, definition: ResourceId | str, region: str) -> Version | None:
    """Return the version that `latest` leads to in REGION: the highest that is not excluded there.

    https://learn.microsoft.com/azure/virtual-machines/shared-image-galleries#image-versions
    """
    return max(_usable(cloud, definition, region), key=lambda version: version.number, default=None)


def _usable(cloud: Cloud, definition: ResourceId | str, region: str) -> Iterator[Version]:
    for version in cloud.every(Version, str(definition)):
        there = version.region(region)
        if version.excluded or version.state not in ("Succeeded", "Updating"):
            continue
        if there is not None and there.state == "Completed" and not there.excluded:
            yield version
