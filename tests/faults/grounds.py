# SPDX-License-Identifier: Apache-2.0
"""Where a push is killed: a stand-in, how to push there, and what one push that nobody killed would have left."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol

import boto3

from lkcloud.sandbox.traffic import Traffic
from lkcloud_aws.sandbox import AwsStandIn
from lkcloud_azure.naming import NAME as NAME_TAG
from lkcloud_azure.sandbox import AzureStandIn
from lkcloud_azure.sandbox.disk import Disk
from lkcloud_azure.sandbox.gallery import Version
from lkcloud_azure.sandbox.image import Image
from lkcloud_azure.sandbox.network_resources import Interface, VirtualNetwork
from lkcloud_azure.sandbox.own_blobs import OwnBlobs
from lkcloud_azure.sandbox.vm_machine import Machine
from lkcloud_gcp.sandbox import GcpStandIn
from tests.faults import remains
from tests.faults.remains import BUCKET
from tests.holes import PIECE, pieces

NAME = "killed"
WORKERS = 4
"""Few enough for a small push to have more parts."""


class Cloud(Protocol):
    """A stand-in in this process."""

    traffic: Traffic

    def start(self) -> None: ...
    def environment(self) -> Mapping[str, str]: ...
    def reset(self) -> None: ...
    def stop(self) -> None: ...


class Ground(Protocol):
    """One way of pushing to one cloud."""

    data: ClassVar[tuple[str, ...]]
    """The operations that carry the bytes of the disk."""
    unknown: ClassVar[int]
    """Parts that were answered and that the next run may not know of."""
    blocks: ClassVar[int]
    """Blocks of 512 KiB that make a disk of several parts."""
    launching: ClassVar[str]
    """The operation that asks for a test machine."""

    @property
    def cloud(self) -> Cloud:
        """The stand-in, which is started and stopped from outside."""
        ...

    def arguments(self, disk: Path) -> list[str]:
        """Return the arguments behind `lkcloud push`."""
        ...

    def prepare(self) -> None:
        """Make what a push wants to find in an empty cloud."""
        ...

    def wrong(self, disk: Path) -> Iterator[str]:
        """Yield what is not as one push that nobody killed would have left it."""
        ...

    def place(self) -> list[str]:
        """Return the arguments behind `lkcloud gc`."""
        ...

    def left(self) -> Iterator[str]:
        """Yield what the cloud's own APIs list beside images that are ready and what they stand on."""
        ...


class _Aws:
    blocks = 40
    launching = "RunInstances"

    def __init__(self, home: Path) -> None:
        self.cloud = AwsStandIn(home)

    def prepare(self) -> None:
        pass

    def place(self) -> list[str]:
        return ["aws"]

    def left(self) -> Iterator[str]:
        return remains.of_aws(self.client)

    def client(self, service: Literal["s3", "ec2"] | str) -> Any:
        settings = self.cloud.environment()
        return boto3.client(
            service,
            endpoint_url=settings["AWS_ENDPOINT_URL"],
            region_name=settings["AWS_REGION"],
            aws_access_key_id=settings["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=settings["AWS_SECRET_ACCESS_KEY"],
        )

    def wrong(self, disk: Path) -> Iterator[str]:
        ec2 = self.client("ec2")
        images = ec2.describe_images(Owners=["self"])["Images"]
        snapshots = ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"]
        if [image["Name"] for image in images] != [NAME]:
            yield f"{len(images)} images"
        if len(snapshots) != 1:
            yield f"{len(snapshots)} snapshots"
        for image in images:
            snapshot = image["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"]
            if not same_bytes(disk, self.cloud.snapshot_file(snapshot)):
                yield f"{snapshot} has other bytes"


class AwsEbs(_Aws):
    """EBS direct: it tells nobody which blocks a pending snapshot has."""

    data = ("PutSnapshotBlock",)
    unknown = WORKERS

    def arguments(self, disk: Path) -> list[str]:
        return ["aws", str(disk)]


class AwsImport(_Aws):
    """Snapshot import by way of S3, which tells what parts it has."""

    data = ("UploadPart",)
    unknown = 0

    def prepare(self) -> None:
        self.client("s3").create_bucket(Bucket=BUCKET)

    def arguments(self, disk: Path) -> list[str]:
        return ["aws", str(disk), "--method", "import", "--bucket", BUCKET]

    def place(self) -> list[str]:
        return ["aws", "--aws-bucket", BUCKET]

    def wrong(self, disk: Path) -> Iterator[str]:
        yield from super().wrong(disk)
        s3 = self.client("s3")
        yield from (f"upload of {one['Key']}" for one in s3.list_multipart_uploads(Bucket=BUCKET).get("Uploads", []))
        yield from (f"object {one['Key']}" for one in s3.list_objects_v2(Bucket=BUCKET).get("Contents", []))


class _Gcp:
    data = ("objects.put", "objects.chunk")
    launching = "instances.insert"
    unknown = 0
    blocks = 160

    def __init__(self, home: Path) -> None:
        self.cloud = GcpStandIn(home)

    def prepare(self) -> None:
        pass

    def place(self) -> list[str]:
        return ["gcp"]

    def left(self) -> Iterator[str]:
        with remains.in_environment(self.cloud.environment()):
            yield from remains.of_gcp()

    def wrong(self, disk: Path) -> Iterator[str]:
        holdings = self.cloud.holdings
        images = list(holdings.engine.images)
        if images != [NAME]:
            yield f"{len(images)} images"
        for image in images:
            if not same_bytes(disk, self.cloud.image_file(image)):
                yield f"{image} has other bytes"
        yield from (f"object {name}" for bucket in holdings.store.buckets.values() for name in bucket.objects)


class GcpComposite(_Gcp):
    """Parts side by side: Cloud Storage tells which it has."""

    def arguments(self, disk: Path) -> list[str]:
        return ["gcp", str(disk), "--method", "composite"]


class GcpResumable(_Gcp):
    """One stream: Cloud Storage tells how far it has come."""

    def arguments(self, disk: Path) -> list[str]:
        return ["gcp", str(disk), "--method", "resumable"]


class _Azure:
    """Azure tells which pages are there, and not what is in them: that is known by the journal."""

    data = ("PutPage",)
    unknown = WORKERS
    blocks = 40
    launching = "VirtualMachines.CreateOrUpdate"

    def __init__(self, home: Path) -> None:
        self.cloud = AzureStandIn(home)

    def prepare(self) -> None:
        pass

    def place(self) -> list[str]:
        return ["azure"]

    def left(self) -> Iterator[str]:
        with remains.in_environment(self.cloud.environment()):
            yield from remains.of_azure()

    def wrong(self, disk: Path) -> Iterator[str]:
        holdings = self.cloud.holdings
        images = [one for kind in (Image, Version) for one in holdings.every(kind)]
        if [one.tags.get(NAME_TAG) for one in images] != [NAME]:
            yield f"images {', '.join(one.name for one in images) or 'none'}"
        for image in images:
            if image.state != "Succeeded":
                yield f"{image.name} is {image.state}"
            elif not same_bytes(disk, self.cloud.image_file(str(image.id))):
                yield f"{image.name} has other bytes"
        for kind in (Disk, Machine, Interface, VirtualNetwork):
            yield from (f"{one.kind} {one.name}" for one in holdings.every(kind))
        blobs = holdings.blobs
        assert isinstance(blobs, OwnBlobs)
        for account in blobs.store.accounts.values():
            for container in account.containers.values():
                yield from (f"blob {name}" for name in container.blobs)


class AzureDisk(_Azure):
    """Straight into a managed disk, which becomes a managed image."""

    def arguments(self, disk: Path) -> list[str]:
        return ["azure", str(disk)]


class AzureBlob(_Azure):
    """By way of a page blob, which becomes a managed image."""

    def arguments(self, disk: Path) -> list[str]:
        return ["azure", str(disk), "--method", "blob"]


class AzureGallery(_Azure):
    """By way of a managed disk into a gallery, which the push makes."""

    def arguments(self, disk: Path) -> list[str]:
        return ["azure", str(disk), "--gallery", "killed", "--create-gallery"]

    def place(self) -> list[str]:
        return ["azure", "--azure-gallery", "killed"]


GROUNDS: Mapping[str, type[AwsEbs | AwsImport | GcpComposite | GcpResumable | AzureDisk | AzureBlob | AzureGallery]] = {
    "aws-ebs": AwsEbs,
    "aws-import": AwsImport,
    "gcp-composite": GcpComposite,
    "gcp-resumable": GcpResumable,
    "azure-disk": AzureDisk,
    "azure-blob": AzureBlob,
    "azure-gallery": AzureGallery,
}


def same_bytes(disk: Path, snapshot: Path) -> bool:
    """Tell whether SNAPSHOT holds the bytes of DISK and then zeros."""
    with disk.open("rb") as wanted, snapshot.open("rb") as found:
        while want := wanted.read(PIECE):
            if found.read(len(want)) != want:
                return False
        return all(found.read(length) == bytes(length) for length in pieces(found))
