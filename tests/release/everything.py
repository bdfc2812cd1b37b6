# SPDX-License-Identifier: Apache-2.0
"""A release to three clouds and what became of it, as the clouds' own APIs tell it."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from azure.core.exceptions import ResourceNotFoundError
from azure.mgmt.compute import ComputeManagementClient

from lkcloud.release.manifest import Manifest, Published
from lkcloud.sandbox.tinydisk import write_esp_disk, write_tiny_disk
from lkcloud.sandbox.tinydisk.machine_code import bios_boot_code
from lkcloud.sandbox.traffic import Seen
from lkcloud_aws.sandbox import AwsStandIn
from lkcloud_azure.naming import word
from lkcloud_azure.sandbox import AzureStandIn
from lkcloud_azure.session import Session as AzureSession
from lkcloud_gcp.sandbox import GcpStandIn
from lkcloud_gcp.session import Session as GcpSession
from tests.azure.pushing import others

REGIONS = ("eu-west-1", "us-east-1", "us-west-2")
PLACE = "westeurope"
VERSION = "1.2.3"

RELEASE = """\
name: "myos-{image}-{version_dashed}"
version: 1.2.3
description: "MyOS {version}"
images:
IMAGES
targets:
  - cloud: aws
    options:
      region: us-east-1
      copy_to: [eu-west-1, us-west-2]
      public: true
      share_snapshot: true
      ssm_parameter: "/myos/{architecture}/latest"
  - cloud: gcp
    options:
      family: "myos-{image}"
      public: true
  - cloud: azure
    options:
      resource_group: myos
      gallery: myos
      definition: "myos-{image}"
      gallery_version: "{version}"
      create_gallery: true
      latest: true
      public: true
      community_prefix: myosimages
      publisher_uri: https://myos.example
      publisher_contact: images@myos.example
      eula: https://myos.example/eula
defaults:
  test: {expect: "myos .* is up", timeout: 200}
"""


def write_release(folder: Path, *images: str, azure: str = "") -> Path:
    """Write the release file, and disks for IMAGES: `x86` boots by BIOS, which is quick, and `arm` by UEFI.

    AZURE is a further line of the target with this name.
    """
    write_esp_disk(folder / "x86.raw", {}, size=4 << 20, boot_code=bios_boot_code("myos x86 is up\r\n"))
    write_tiny_disk(folder / "arm.raw", message="myos arm is up", architecture="arm64")
    path = folder / "release.yaml"
    text = RELEASE.replace("IMAGES", "\n".join(f"  - {{id: {one}, file: {one}.raw}}" for one in images))
    path.write_text(text.replace("  - cloud: azure\n", f"  - cloud: azure\n    {azure}\n"))
    return path


@dataclass(frozen=True)
class Clouds:
    """The three clouds, asked by clients of their own."""

    aws: AwsStandIn
    gcp: GcpStandIn
    azure: AzureStandIn

    def allow_public_images(self) -> None:
        """Let the account of AWS publish images: that is blocked in new accounts."""
        for region in REGIONS:
            _aws("ec2", region).disable_image_block_public_access()
            _aws("ec2", region).disable_snapshot_block_public_access()

    def forget(self) -> None:
        """Forget the requests so far."""
        for one in (self.aws, self.gcp, self.azure):
            one.traffic.clear()

    def heal(self) -> None:
        """Let nothing fail any more."""
        for one in (self.aws, self.gcp, self.azure):
            one.traffic.hooks.clear()

    def accounts(self) -> set[tuple[str, str]]:
        """Return each cloud with its account, project or subscription."""
        account = _aws("sts", "us-east-1").get_caller_identity()["Account"]
        return {("aws", account), ("gcp", GcpSession().project), ("azure", self._azure().subscription)}

    def changes(self) -> list[str]:
        """Return the operations since then that made or changed something."""
        seen: Iterable[Seen] = (*self.aws.traffic.log, *self.gcp.traffic.log, *self.azure.traffic.log)
        return [one.operation for one in seen if not _reads(one)]

    def machines(self) -> list[str]:
        """Return the ids of the test machines that there are."""
        reservations = [one for region in REGIONS for one in _aws("ec2", region).describe_instances()["Reservations"]]
        instances = [each for one in reservations for each in one["Instances"]]
        found = [one["InstanceId"] for one in instances if one["State"]["Name"] != "terminated"]
        google, azure = GcpSession(), self._azure()
        for _, zone in google.instances.aggregated_list(project=google.project):
            found += [one.name for one in zone.instances]
        return found + [str(one.name) for one in azure.compute.virtual_machines.list_all()]

    def standing(self, image: Published) -> "Standing":
        """Return how the image that the manifest has as IMAGE stands. Raises what the SDK raises if it is not there."""
        return {"aws": self._standing_aws, "gcp": self._standing_gcp, "azure": self._standing_azure}[image.cloud](image)

    def leads_to(self, image: Published) -> str | None:
        """Return the id that the moving name of IMAGE leads to, None if it leads nowhere."""
        return {"aws": _parameter, "gcp": _family_head, "azure": self._latest}[image.cloud](image)

    def _azure(self) -> AzureSession:
        return AzureSession(resource_manager=self.azure.environment()["LKCLOUD_AZURE_RESOURCE_MANAGER"])

    def _standing_aws(self, image: Published) -> "Standing":
        client = _aws("ec2", image.region)
        [shown] = client.describe_images(ImageIds=[image.id], Owners=[image.account])["Images"]
        [mapping] = shown["BlockDeviceMappings"]
        volumes = _volume_permissions(client, mapping["Ebs"]["SnapshotId"])
        assert bool(volumes) == shown["Public"]
        return Standing(shown["Name"], shown["State"], shown["Architecture"], shown["Public"])

    def _standing_gcp(self, image: Published) -> "Standing":
        google = GcpSession()
        shown = google.images.get(project=image.account, image=image.id)
        policy = google.images.get_iam_policy(project=image.account, resource=image.id)
        members = {member for binding in policy.bindings for member in binding.members}
        architecture = shown.architecture.lower()
        return Standing(shown.name, shown.status, architecture, members == {"allAuthenticatedUsers"})

    def _standing_azure(self, image: Published) -> "Standing":
        client = self._azure().compute
        definition = client.gallery_images.get("myos", "myos", image.family)
        version = client.gallery_image_versions.get("myos", "myos", image.family, VERSION)
        assert definition.properties is not None
        assert version.properties is not None
        assert version.id == image.id
        gallery = client.galleries.get("myos", "myos").properties
        assert gallery is not None
        info = gallery.sharing_profile.community_gallery_info if gallery.sharing_profile else None
        with others(self.azure):  # everybody sees what is in a community gallery
            public = info is not None and VERSION in _listed(client, image, *(info.public_names or ()))
        architecture = {"x64": "x86_64", "Arm64": "arm64"}[word(definition.properties.architecture)]
        assert version.tags is not None
        name = version.tags["lkcloud-name"]
        return Standing(name, word(version.properties.provisioning_state), architecture, public)

    def _latest(self, image: Published) -> str | None:
        """Return the version that `latest` of a definition means: the highest that is not excluded from it."""
        listed = self._azure().compute.gallery_image_versions.list_by_gallery_image("myos", "myos", image.family)
        found = []
        for one in listed:
            assert one.properties is not None
            assert one.properties.publishing_profile is not None
            if not one.properties.publishing_profile.exclude_from_latest:
                found.append(str(one.id))
        return max(found, default=None)


@dataclass(frozen=True)
class Standing:
    """What a cloud tells of an image; PUBLIC is whether everybody can use it."""

    name: str
    state: str
    architecture: str
    public: bool


def manifest(folder: Path) -> Manifest:
    """Return the manifest of the release."""
    return Manifest.model_validate(json.loads((folder / "release.json").read_bytes()))


def _aws(service: str, region: str) -> Any:
    return boto3.client(service, region_name=region)  # type: ignore[call-overload]  # its overloads know literal names


_ASKING = ("Describe", "Get", "List", "token", "projects.testIamPermissions")
"""What operations begin with that are asked by POST and change nothing."""


def _reads(seen: Seen) -> bool:
    """Tell whether a request has changed nothing; one that was refused has not, and a dry run of EC2 always is."""
    return seen.method in ("GET", "HEAD") or seen.status >= 400 or seen.operation.startswith(_ASKING)


def _listed(client: ComputeManagementClient, image: Published, gallery: str) -> list[str]:
    """Return the versions of the definition of IMAGE that everybody sees in a community GALLERY, if it is published."""
    try:
        listed = client.community_gallery_image_versions.list(image.region, gallery, image.family)
        return [str(one.name) for one in listed]
    except ResourceNotFoundError:
        return []


def _volume_permissions(client: Any, snapshot: str) -> list[dict[str, str]]:
    """Return who may use a snapshot. EC2 may not know at once of which one that is asked."""
    for _ in range(5):
        try:
            asked = client.describe_snapshot_attribute(SnapshotId=snapshot, Attribute="createVolumePermission")
        except client.exceptions.ClientError as error:
            if error.response["Error"]["Code"] != "InvalidSnapshot.NotFound":
                raise
        else:
            found: list[dict[str, str]] = asked["CreateVolumePermissions"]
            return found
    raise AssertionError(f"there is no {snapshot}")


def _parameter(image: Published) -> str | None:
    asked = {"Names": [f"/myos/{image.arch}/latest"]}
    found = [one["Value"] for one in _aws("ssm", image.region).get_parameters(**asked)["Parameters"]]
    return found[0] if found else None


def _family_head(image: Published) -> str | None:
    from google.api_core.exceptions import NotFound

    google = GcpSession()
    try:
        return google.images.get_from_family(project=image.account, family=f"myos-{image.image}").name
    except NotFound:
        return None
