# SPDX-License-Identifier: Apache-2.0
"""What a user can choose on Azure: one field is one flag, one environment variable and one line of the docs."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from lkcloud.provider import Meaning, Options, Used

Architecture = Literal["x64", "Arm64"]
Generation = Literal["V1", "V2"]
SecurityType = Literal[
    "Standard",
    "TrustedLaunchSupported",
    "TrustedLaunch",
    "ConfidentialVMSupported",
    "ConfidentialVM",
    "TrustedLaunchAndConfidentialVmSupported",
]
StorageType = Literal["Standard_LRS", "Standard_ZRS", "Premium_LRS"]

_TAG = re.compile(r"(?P<key>[^<>%&\\?/=]{1,512})=(?P<value>.{0,256})")
"""https://learn.microsoft.com/azure/azure-resource-manager/management/tag-resources#limitations"""

_REGION = re.compile(
    r"(?P<name>[A-Za-z0-9 ]+)(=(?P<replicas>\d+))?(:(?P<storage>Standard_LRS|Standard_ZRS|Premium_LRS))?"
)


_PRINCIPAL = re.compile(
    r"((?P<kind>user|group|serviceprincipal):)?(?P<id>[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})", re.IGNORECASE
)
_KINDS = {"user": "User", "group": "Group", "serviceprincipal": "ServicePrincipal"}
"""https://learn.microsoft.com/rest/api/authorization/role-assignments/create: principalType."""


@dataclass(frozen=True, slots=True)
class TargetRegion:
    """A region that keeps replicas of a gallery image version; None is what the options say for all regions."""

    name: str
    replicas: int | None
    storage_type: str | None


@dataclass(frozen=True, slots=True)
class Principal:
    """Whom an image is shared with; None as the KIND leaves it to Azure to find out."""

    object_id: str
    kind: str | None


def _tag(text: str) -> tuple[str, str]:
    match = _TAG.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not KEY=VALUE, with a key of 1 to 512 characters without <>%&\\?/ and a value")
    return match["key"], match["value"]


def _check_tags(texts: tuple[str, ...]) -> tuple[str, ...]:
    # Azure compares tag names without regard to case.
    keys = [_tag(text)[0].lower() for text in texts]
    if len(set(keys)) < len(keys):
        raise ValueError("a tag can be given once only")
    if any(key.startswith("lkcloud-") for key in keys):
        raise ValueError("tags that begin with lkcloud- are lkcloud's own")
    return texts


def _region(text: str) -> TargetRegion:
    match = _REGION.fullmatch(text)
    if match is None or match["replicas"] == "0":
        raise ValueError(f"{text!r} is not REGION, REGION=REPLICAS or REGION=REPLICAS:STORAGE_TYPE")
    replicas = int(match["replicas"]) if match["replicas"] else None
    return TargetRegion(region_name(match["name"]), replicas, match["storage"])


def _check_regions(texts: tuple[str, ...]) -> tuple[str, ...]:
    names = [_region(text).name for text in texts]
    if len(set(names)) < len(names):
        raise ValueError("a region can be given once only")
    return texts


def _principal(text: str) -> Principal:
    match = _PRINCIPAL.fullmatch(text)
    if match is None:
        raise ValueError(
            f"{text!r} is no object id of the directory, such as servicePrincipal:00000000-0000-0000-0000-000000000000"
        )
    return Principal(match["id"].lower(), _KINDS.get((match["kind"] or "").lower()))


def _check_principals(texts: tuple[str, ...]) -> tuple[str, ...]:
    for text in texts:
        _principal(text)
    return texts


def region_name(text: str) -> str:
    """Return a region as the API writes it: `West Europe` is `westeurope`."""
    return text.replace(" ", "").lower()


def _several(value: object) -> object:
    """Take a mapping (as YAML writes tags) or one string for a sequence of strings."""
    if isinstance(value, Mapping):
        return tuple(f"{key}={item}" for key, item in value.items())
    return (value,) if isinstance(value, str | Path) else value


Texts = Annotated[tuple[str, ...], BeforeValidator(_several)]
Tags = Annotated[tuple[str, ...], BeforeValidator(_several), AfterValidator(_check_tags)]
Regions = Annotated[tuple[str, ...], BeforeValidator(_several), AfterValidator(_check_regions)]
Principals = Annotated[tuple[str, ...], BeforeValidator(_several), AfterValidator(_check_principals)]
Files = Annotated[tuple[Path, ...], BeforeValidator(_several)]


class AzureOptions(Options):
    """The options of Azure; credentials are those of DefaultAzureCredential, as of every Azure SDK."""

    cloud_environment: Annotated[
        Literal["AzureCloud", "AzureUSGovernment", "AzureChinaCloud"],
        Used.EVERYWHERE,
        Meaning.ACCOUNT,
        Field(description="Which Azure, by the names of the Azure CLI."),
    ] = "AzureCloud"
    resource_manager: Annotated[
        str | None,
        Used.EVERYWHERE,
        Meaning.ACCOUNT,
        Field(description="URL of another Azure Resource Manager, such as that of the sandbox."),
    ] = None
    subscription: Annotated[
        str | None,
        Used.EVERYWHERE,
        Meaning.ACCOUNT,
        Field(description="Subscription id; AZURE_SUBSCRIPTION_ID, or the only one there is, if not given."),
    ] = None
    resource_group: Annotated[
        str, Used.EVERYWHERE, Field(description="Resource group of all that is made; made where it is missing.")
    ] = "lkcloud"
    location: Annotated[
        str | None,
        Used.EVERYWHERE,
        AfterValidator(lambda text: text and region_name(text)),
        Field(description="Region, such as westeurope; that of the resource group if not given."),
    ] = None

    method: Annotated[
        Literal["disk", "blob"],
        Field(
            description="`disk` writes straight into a managed disk and needs no storage account; "
            "`blob` goes by a page blob."
        ),
    ] = "disk"
    storage_account: Annotated[
        str | None, Used.EVERYWHERE, Field(description="Storage account for `--method blob`, in the same region.")
    ] = None
    container: Annotated[
        str, Used.EVERYWHERE, Field(description="Container for the page blob; made where it is missing.")
    ] = "lkcloud"
    keep_upload: Annotated[bool, Field(description="Leave the managed disk or page blob when the image is made.")] = (
        False
    )
    disk_encryption_set: Annotated[
        str | None, Field(description="Resource id of a disk encryption set, whose key encrypts disk and image.")
    ] = None

    architecture: Annotated[Architecture | None, Field(description="Architecture; the disk tells if not given.")] = None
    hyper_v_generation: Annotated[
        Generation | None, Field(description="V1 boots by BIOS, V2 by UEFI; the disk tells if not given.")
    ] = None
    os_type: Annotated[Literal["Linux", "Windows"], Field(description="Operating system.")] = "Linux"
    os_state: Annotated[
        Literal["Generalized", "Specialized"],
        Field(description="Generalized images take a user name and a host name from Azure when a machine is made."),
    ] = "Generalized"
    tag: Annotated[
        Tags,
        Used.LAUNCH,
        Field(description="Tag of all that is made, KEY=VALUE; can be repeated."),
    ] = ()
    family: Annotated[
        str | None,
        Field(
            description="What a managed image is one of a row of, a tag; a version has its definition.",
            min_length=1,
            max_length=256,
        ),
    ] = None

    gallery: Annotated[
        str | None,
        Used.EVERYWHERE,
        Field(description="Azure Compute Gallery that the image becomes a version in; a managed image if not given."),
    ] = None
    gallery_resource_group: Annotated[
        str | None, Used.EVERYWHERE, Field(description="Resource group of the gallery, if it is another one.")
    ] = None
    definition: Annotated[
        str | None,
        Used.EVERYWHERE,
        Field(description="Image definition in the gallery; that of the image's name if not given."),
    ] = None
    gallery_version: Annotated[
        str | None, Field(description="Version, MAJOR.MINOR.PATCH; one patch above the highest if not given.")
    ] = None
    create_gallery: Annotated[
        bool, Field(description="Make the gallery and the image definition where they are missing.")
    ] = False
    publisher: Annotated[str, Field(description="Publisher of an image definition that is made.")] = "lkcloud"
    offer: Annotated[
        str | None, Field(description="Offer of an image definition that is made; its name if not given.")
    ] = None
    sku: Annotated[
        str | None,
        Field(description="SKU of an image definition that is made; generation and architecture if not given."),
    ] = None
    security_type: Annotated[
        SecurityType,
        Field(description="Security type of an image definition that is made; the version must be fit for it."),
    ] = "Standard"
    disk_controller_type: Annotated[
        Texts,
        Field(description="Disk controller that the image has drivers for, SCSI or NVMe; can be repeated."),
    ] = ("SCSI", "NVMe")
    accelerated_network: Annotated[
        bool, Field(description="Whether the image has drivers for accelerated networking (MANA, Mellanox).")
    ] = True
    target_region: Annotated[
        Regions,
        Field(description="Region of the version, REGION[=REPLICAS[:STORAGE_TYPE]]; repeatable. [default: --location]"),
    ] = ()
    replicas: Annotated[int, Field(description="Replicas in each region, where it says nothing else.", ge=1)] = 1
    storage_type: Annotated[StorageType, Field(description="Storage of the replicas, where a region says nothing.")] = (
        "Standard_LRS"
    )
    replication_mode: Annotated[
        Literal["Full", "Shallow"], Field(description="Shallow is quick, for tests: one replica in one region.")
    ] = "Full"
    end_of_life: Annotated[
        datetime | None,
        Field(description="When the version should no longer be used; Azure tells it, and does no more."),
    ] = None
    uefi_template: Annotated[
        Literal["MicrosoftUefiCertificateAuthorityTemplate", "MicrosoftWindowsTemplate", "NoSignatureTemplate"],
        Field(description="Secure Boot keys that those of the next four options are added to."),
    ] = "MicrosoftUefiCertificateAuthorityTemplate"
    platform_key: Annotated[
        Path | None, Field(description="Secure Boot platform key (PK), an X.509 certificate (DER or PEM).")
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
    image_timeout: Annotated[
        int, Field(description="Minutes to wait for the image or the version, whose copies can take hours.", ge=1)
    ] = 240

    latest: Annotated[
        bool, Used.PROMOTE, Field(description="Let `latest` of the image definition lead to this version, last of all.")
    ] = False
    share_with: Annotated[
        Principals,
        Used.SHARE,
        Field(
            description="Who may use the image, [user:|group:|servicePrincipal:]OBJECT_ID; can be repeated. "
            "The kind is needed only of one that was just made."
        ),
    ] = ()
    public: Annotated[
        bool,
        Used.SHARE,
        Field(description="Publish the gallery as a community gallery, for everybody with an account."),
    ] = False
    community_prefix: Annotated[
        str | None, Field(description="What the public name of a community gallery that is made begins with.")
    ] = None
    publisher_uri: Annotated[str | None, Field(description="Web page of who publishes a community gallery.")] = None
    publisher_contact: Annotated[
        str | None, Field(description="E-mail address of who publishes a community gallery.")
    ] = None
    eula: Annotated[str | None, Field(description="URL of the licence terms of a community gallery.")] = None

    vm_size: Annotated[
        str | None,
        Used.LAUNCH,
        Field(description="Size of the test machine; a small one that boots the image if not given."),
    ] = None
    subnet: Annotated[
        str | None,
        Used.LAUNCH,
        Field(description="Resource id of a subnet for the test machine; one is made and removed if not given."),
    ] = None

    workers: Annotated[int, Field(description="Most requests at a time while uploading.", ge=1, le=64)] = 16
    rate: Annotated[float | None, Field(description="Most requests a second.", gt=0)] = None

    @property
    def tags(self) -> dict[str, str]:
        """The tags by name."""
        return dict(_tag(text) for text in self.tag)

    @property
    def target_regions(self) -> tuple[TargetRegion, ...]:
        """The regions of a gallery image version, as they were given."""
        return tuple(_region(text) for text in self.target_region)

    @property
    def principals(self) -> tuple[Principal, ...]:
        """Whom the image is shared with, each once."""
        return tuple(dict.fromkeys(_principal(text) for text in self.share_with))

    @property
    def gallery_group(self) -> str:
        """The resource group of the gallery."""
        return self.gallery_resource_group or self.resource_group
