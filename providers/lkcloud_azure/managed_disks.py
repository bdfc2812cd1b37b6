# SPDX-License-Identifier: Apache-2.0
"""Managed disks: found, made for an upload, opened for writing by URL, closed and deleted.

https://learn.microsoft.com/azure/virtual-machines/linux/disks-upload-vhd-to-managed-disk-cli
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from lkcloud.errors import LkcloudError, NotFound, Refused
from lkcloud_azure import operations
from lkcloud_azure.errors import code_of, is_absent, status_of
from lkcloud_azure.naming import COMPUTE, NAME, ResourceId, digest_in, tag, word
from lkcloud_azure.options import region_name
from lkcloud_azure.session import Session

if TYPE_CHECKING:
    from azure.mgmt.compute import models

READY = "ReadyToUpload"
"""State of a disk that nobody may write to yet."""

UPLOADING = "ActiveUpload"
"""State of a disk that somebody was given a URL to write to."""

UNATTACHED = "Unattached"
"""State of a disk that was written, and of which no URL is in use."""

ACCESS_SECONDS = 86_400
"""How long a URL for writing is good; then it is asked for again."""


@dataclass(frozen=True, slots=True)
class ManagedDisk:
    """A disk as it is now; what Azure does not tell of it is empty.

    UNIQUE tells it from another one that had the same name.
    """

    id: ResourceId
    unique: str
    location: str
    state: str
    provisioning: str
    upload_size: int
    """Bytes that it was made for, the footer of a VHD among them; 0 if it was not made for an upload."""
    generation: str
    architecture: str
    controllers: frozenset[str]
    """Disk controller types in capitals: Azure writes both `NVMe` and `NVME` (SupportedCapabilities in the SDK)."""
    os_type: str
    encryption_set: str
    """Resource id of the disk encryption set, "" if the platform's key encrypts it."""
    tags: Mapping[str, str]
    created: datetime | None

    @property
    def name(self) -> str:
        """Its name."""
        return self.id.names[-1]

    @property
    def writable(self) -> bool:
        """Whether it is still to be written."""
        return self.state in (READY, UPLOADING)

    def is_of(self, image: str, digest: str) -> bool:
        """Tell whether it holds, or will hold, the image called IMAGE with this content DIGEST."""
        return digest_in(self.tags) == digest and tag(self.tags, NAME) == image


def disk_id(session: Session, group: str, name: str) -> ResourceId:
    """Return the id of the disk NAME, whether there is one or not."""
    return ResourceId(session.subscription, group, COMPUTE, ("disks",), (name,))


def find(session: Session, where: ResourceId) -> ManagedDisk | None:
    """Return the disk, None if there is none."""
    with session.errors(f"looking for the disk {where.names[-1]}"):
        try:
            return _disk(session.attempt(lambda: session.compute.disks.get(where.group, where.names[-1])))
        except Exception as error:
            if is_absent(error):
                return None
            raise


def listed(session: Session, group: str) -> list[ManagedDisk]:
    """Return all disks of a resource group; none if there is no such group."""
    try:
        found = session.call("looking for disks", lambda: list(session.compute.disks.list_by_resource_group(group)))
    except NotFound:
        return []
    return [_disk(shown) for shown in found]


def make(session: Session, where: ResourceId, disk: "models.Disk") -> None:
    """Make the disk and wait until it is there."""
    doing = f"making the disk {where.names[-1]}"
    begun = operations.begin(
        session,
        doing,
        lambda **how: session.compute.disks.begin_create_or_update(where.group, where.names[-1], disk, **how),
    )
    operations.wait(session, begun, doing=doing)


def put_tag(session: Session, where: ResourceId, key: str, value: str) -> None:
    """Let the disk have the tag KEY with VALUE; others stay as they are. A change says all tags."""
    from azure.mgmt.compute import models

    doing, disks = f"putting a tag on {where.names[-1]}", session.compute.disks
    shown = session.call(doing, lambda: disks.get(where.group, where.names[-1]))
    change = models.DiskUpdate(tags={**(shown.tags or {}), key: value})
    begun = operations.begin(
        session, doing, lambda **how: disks.begin_update(where.group, where.names[-1], change, **how)
    )
    operations.wait(session, begun, doing=doing)


def grant(session: Session, where: ResourceId) -> str:
    """Return a URL by which the disk can be written."""
    from azure.mgmt.compute import models

    doing = f"asking for access to the disk {where.names[-1]}"
    data = models.GrantAccessData(access=models.AccessLevel.WRITE, duration_in_seconds=ACCESS_SECONDS)
    begun = operations.begin(
        session,
        doing,
        lambda **how: session.compute.disks.begin_grant_access(where.group, where.names[-1], data, **how),
    )
    ended = operations.wait(session, begun, doing=doing)
    url = _url(ended) or (_url(operations.result(session, begun, doing=doing)) if begun.result_url else "")
    if not url:
        raise Refused(f"azure: {doing}: Azure has granted it and names no URL", hint="run the same command again later")
    return url


def revoke(session: Session, where: ResourceId) -> None:
    """Let no URL give access to the disk; what was written for an upload is then a disk, if its VHD is one."""
    doing = f"ending access to the disk {where.names[-1]}"
    begun = operations.begin(
        session, doing, lambda **how: session.compute.disks.begin_revoke_access(where.group, where.names[-1], **how)
    )
    operations.wait(session, begun, doing=doing)


def delete(session: Session, where: ResourceId) -> None:
    """Delete the disk, whatever its state; one that is gone is no error."""
    found = find(session, where)
    if found is None:
        return
    if found.state not in (UNATTACHED, READY):
        _close(session, where)
    doing = f"deleting the disk {where.names[-1]}"
    with session.errors(doing):
        try:
            begun = operations.begin(
                session, doing, lambda **how: session.compute.disks.begin_delete(where.group, where.names[-1], **how)
            )
            operations.wait(session, begun, doing=doing)
        except LkcloudError as error:
            if status_of(error.__cause__) != 404:
                raise


def _close(session: Session, where: ResourceId) -> None:
    """Let nobody write to a disk that is to be deleted: Azure deletes none that somebody has access to."""
    try:
        revoke(session, where)
    except LkcloudError as error:
        # A disk that is not whole is refused, as InvalidVhd (microsoft/AzureStorageExplorer#8800); access is over then.
        if code_of(error.__cause__) != "InvalidVhd" and status_of(error.__cause__) != 404:
            raise


def _url(shown: Mapping[str, Any]) -> str:
    """Return the URL in the result of beginGetAccess, or in the status of its operation, which has it deeper."""
    output = (shown.get("properties") or {}).get("output") or shown
    return str(output.get("accessSAS") or "")


def _disk(shown: "models.Disk") -> ManagedDisk:
    properties, tags = shown.properties, shown.tags or {}
    where = ResourceId.parse(shown.id or "")
    assert where is not None
    assert properties is not None
    abilities, encryption = properties.supported_capabilities, properties.encryption
    return ManagedDisk(
        id=where,
        unique=properties.unique_id or "",
        location=region_name(shown.location),
        state=word(properties.disk_state),
        provisioning=properties.provisioning_state or "",
        upload_size=properties.creation_data.upload_size_bytes or 0,
        generation=word(properties.hyper_v_generation),
        architecture=word(abilities.architecture if abilities else None),
        controllers=frozenset(
            re.findall(r"\w+", ((abilities.disk_controller_types if abilities else None) or "").upper())
        ),
        os_type=word(properties.os_type),
        encryption_set=(encryption.disk_encryption_set_id if encryption else None) or "",
        tags=tags,
        created=properties.time_created,
    )
