# SPDX-License-Identifier: Apache-2.0
"""What is in a cloud beside images that are ready and what they stand on, as the cloud's own APIs list it."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from lkcloud.polling import poll
from lkcloud_azure.naming import word

BUCKET = "lkcloud-killed"
GROUP = "lkcloud"

_PENDING = 60.0
"""Seconds for an image that the cloud still makes; nobody waits for it any more."""


@contextmanager
def in_environment(settings: Mapping[str, str]) -> Iterator[None]:
    """Let SDKs of this process find the cloud that SETTINGS lead to."""
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name)
            else:
                os.environ[name] = value


def settled(look: Callable[[], list[str]], passing: Callable[[str], bool]) -> list[str]:
    """Return what LOOK finds when none of it is PASSING any more."""

    def attempt() -> list[str] | None:
        found = look()
        return None if any(passing(one) for one in found) else found

    return poll(attempt, what="what the cloud makes", every=0.2, limit=_PENDING, hint="look at the stand-in")


def of_aws(client: Callable[[str], Any]) -> Iterator[str]:
    """Yield what is left in EC2 and S3, by clients of boto3."""
    ec2, s3 = client("ec2"), client("s3")

    def images() -> list[str]:
        shown = ec2.describe_images(Owners=["self"], IncludeDisabled=True)["Images"]
        return [f"image {one['ImageId']} is {one['State']}" for one in shown]

    yield from (one for one in settled(images, lambda one: one.endswith("pending")) if not one.endswith("available"))
    images_now = ec2.describe_images(Owners=["self"], IncludeDisabled=True)["Images"]
    used = {mapping["Ebs"]["SnapshotId"] for one in images_now for mapping in one["BlockDeviceMappings"]}
    for snapshot in ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"]:
        if snapshot["SnapshotId"] not in used:
            yield f"snapshot {snapshot['SnapshotId']} is {snapshot['State']}"
    for reservation in ec2.describe_instances()["Reservations"]:
        for instance in reservation["Instances"]:
            if instance["State"]["Name"] != "terminated":
                yield f"instance {instance['InstanceId']} is {instance['State']['Name']}"
    for task in ec2.describe_import_snapshot_tasks()["ImportSnapshotTasks"]:
        if task["SnapshotTaskDetail"]["Status"] in ("active", "pending"):
            yield f"import {task['ImportTaskId']}"
    for bucket in s3.list_buckets()["Buckets"]:
        name = bucket["Name"]
        yield from (f"upload of {one['Key']}" for one in s3.list_multipart_uploads(Bucket=name).get("Uploads", []))
        yield from (f"object {one['Key']}" for one in s3.list_objects_v2(Bucket=name).get("Contents", []))


def of_gcp() -> Iterator[str]:
    """Yield what is left in Compute Engine and Cloud Storage, by Google's own clients."""
    from google.cloud import compute_v1

    from lkcloud_gcp.session import Session

    session = Session()
    project = session.project

    def images() -> list[str]:
        return [f"image {one.name} is {one.status}" for one in session.images.list(project=project)]

    found = settled(images, lambda one: one.endswith(("PENDING", "DELETING")))
    yield from (one for one in found if not one.endswith("READY"))
    request = compute_v1.AggregatedListInstancesRequest(project=project)
    for _, scope in session.instances.aggregated_list(request=request):
        yield from (f"instance {one.name} is {one.status}" for one in scope.instances)
    # Disks come and go with instances, in the zone that they are in.
    disks = session._compute(compute_v1.DisksClient)
    yield from (f"disk {one.name}" for one in disks.list(project=project, zone="us-central1-a"))
    for bucket in session.storage.list_buckets():
        yield from (f"object {one.name}" for one in session.storage.list_blobs(bucket.name))


def of_azure() -> Iterator[str]:
    """Yield what is left in the resource group and the storage account, by Azure's own clients."""
    from azure.core.exceptions import ResourceNotFoundError

    from lkcloud_azure import storage
    from lkcloud_azure.options import AzureOptions
    from lkcloud_azure.session import Session

    session = Session("AzureCloud", os.environ["LKCLOUD_AZURE_RESOURCE_MANAGER"], None)
    compute, network = session.compute, session.network

    def images() -> list[str]:
        shown: list[Any] = [*compute.images.list_by_resource_group(GROUP)]
        for gallery in compute.galleries.list_by_resource_group(GROUP):
            for definition in compute.gallery_images.list_by_gallery(GROUP, gallery.name or ""):
                versions = compute.gallery_image_versions
                shown += versions.list_by_gallery_image(GROUP, gallery.name or "", definition.name or "")
        return [f"image {one.name} is {_state(one)}{_stage(one)}" for one in shown]

    try:
        found = settled(images, lambda one: one.endswith(("Creating", "Updating", "Deleting")))
        yield from (one for one in found if not one.endswith("Succeeded"))
        lists: Mapping[str, Callable[[], Any]] = {
            "machine": lambda: compute.virtual_machines.list(GROUP),
            "disk": lambda: compute.disks.list_by_resource_group(GROUP),
            "interface": lambda: network.network_interfaces.list(GROUP),
            "network": lambda: network.virtual_networks.list(GROUP),
        }
        for kind, request in lists.items():
            yield from (f"{kind} {one.name}" for one in request())
    except ResourceNotFoundError:
        pass  # there is no resource group, and so nothing in it
    account = storage.account(session, AzureOptions(storage_account=os.environ["LKCLOUD_AZURE_STORAGE_ACCOUNT"]))
    service = storage.service(session, account)
    for container in service.list_containers():
        blobs = service.get_container_client(container.name).list_blobs()
        yield from (f"blob {one.name}" for one in blobs)


def _state(shown: Any) -> str:
    return word(shown.properties.provisioning_state)


def _stage(shown: Any) -> str:
    """Return what tells a managed image that is a step on the way to a version from one that somebody wanted."""
    return ", and is a step" if "lkcloud-stage" in (shown.tags or {}) else ""
