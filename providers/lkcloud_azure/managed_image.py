# SPDX-License-Identifier: Apache-2.0
"""Managed images: found by name, listed, and made from a managed disk or a page blob.

https://learn.microsoft.com/rest/api/compute/images. A managed image has no place for an architecture (it is x64) nor
for a security type, and is of its region alone.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from lkcloud.errors import Conflict, LkcloudError, NotFound
from lkcloud.provider import Blob, Image, Source
from lkcloud_azure import disk_upload, features, operations
from lkcloud_azure.errors import is_absent, is_busy, status_of
from lkcloud_azure.naming import (
    COMPUTE,
    CREATED,
    FAMILY,
    IMAGE_NAME,
    NAME,
    STAGE,
    WITHDRAWN,
    ResourceId,
    digest_in,
    tag,
    tags_of,
    time_of,
    upload_name,
)
from lkcloud_azure.options import AzureOptions, region_name
from lkcloud_azure.session import Session

if TYPE_CHECKING:
    from azure.mgmt.compute import models

KIND = "managed-image"

STAGE_KIND = "managed-image-stage"
"""Kind of a Blob that is a managed image on the way to a gallery image version; its id is the image's."""


def place_of(session: Session, group: str, name: str) -> ResourceId:
    """Return the id of the managed image NAME in the resource group GROUP."""
    return ResourceId(session.subscription, group, COMPUTE, ("images",), (name,))


def get(session: Session, place: ResourceId) -> Image | None:
    """Return the managed image with this id, whoever made it, None if there is none."""
    name = place.names[0]
    if not IMAGE_NAME.fullmatch(name):
        return None  # Azure would refuse it
    with session.errors(f"looking for the image {name}"):
        try:
            return image_of(session.attempt(lambda: session.compute.images.get(place.group, name)))
        except Exception as error:
            if is_absent(error):
                return None
            raise


def every(session: Session, group: str, *, staged: bool = False) -> list[Image]:
    """Return the managed images of a resource group that lkcloud made; none if there is no such group.

    Those that are STAGED are on the way to a gallery image version, and not among the others.
    """
    try:
        found = session.call("looking for images", lambda: list(session.compute.images.list_by_resource_group(group)))
    except NotFound:
        return []
    return [image_of(shown) for shown in found if digest_in(shown.tags) and staged == bool(tag(shown.tags, STAGE))]


def image_of(shown: "models.Image") -> Image:
    """Return a managed image as the house knows it."""
    place = ResourceId.parse(shown.id or "")
    assert place is not None
    state = (shown.properties.provisioning_state if shown.properties else None) or ""
    return Image(
        cloud="azure",
        region=region_name(shown.location),
        id=str(place),
        name=tag(shown.tags, NAME) if tag(shown.tags, STAGE) else place.names[0],
        kind=KIND,
        account=place.subscription,
        family=tag(shown.tags, FAMILY),
        digest=digest_in(shown.tags),
        state=state,
        ready=state == operations.SUCCEEDED,
        architecture="x64",
        created=time_of(tag(shown.tags, CREATED)),
        tags=tuple(sorted((shown.tags or {}).items())),
        withdrawn=time_of(tag(shown.tags, WITHDRAWN)),
    )


def put_tag(session: Session, place: ResourceId, key: str, value: str) -> None:
    """Let the managed image have the tag KEY with VALUE, "" = have no such tag; others stay as they are.

    A change says all tags. Raises NotFound if there is no such image.
    """
    from azure.mgmt.compute import models

    name, images = place.names[0], session.compute.images
    doing = f"putting a tag on {name}"
    shown = session.call(doing, lambda: images.get(place.group, name))
    tags = {other: said for other, said in (shown.tags or {}).items() if other.lower() != key}
    if value:
        tags[key] = value
    operation = operations.begin(
        session, doing, lambda **how: images.begin_update(place.group, name, models.ImageUpdate(tags=tags), **how)
    )
    operations.wait(session, operation, doing=doing)


@dataclass(frozen=True)
class ManagedImage:
    """The managed image that is to be made of SOURCE, whose bytes are in the upload BLOB.

    If it is STAGED, a gallery image version is made of it, and it goes with the upload.
    """

    session: Session
    options: AzureOptions
    source: Source
    blob: Blob
    staged: bool = False

    @property
    def place(self) -> ResourceId:
        """Its id."""
        name = upload_name(self.source.name, self.source.digest) if self.staged else self.source.name
        return place_of(self.session, self.options.resource_group, name)

    def find(self) -> Image | None:
        """Return the image if it is there; raises Conflict if the name is another image's."""
        found = get(self.session, self.place)
        if found is not None and found.digest != self.source.digest:
            raise Conflict(
                f"azure: the name {found.name} is taken by an image with other content",
                hint="give --replace to put this image in its place, or choose another --name",
            )
        return found

    def begin(self, doing: str) -> tuple[ResourceId, operations.Operation] | None:
        """Ask for the image; None if something else goes on with one of this name, as after it was deleted."""
        images, place = self.session.compute.images, self.place
        wanted = self.request()
        try:
            return place, operations.begin(
                self.session,
                doing,
                lambda **how: images.begin_create_or_update(place.group, place.names[0], wanted, **how),
            )
        except LkcloudError as error:
            # Of two that ask at once, one is told of a conflict, as is who asks again because the answer was lost.
            if is_busy(error.__cause__) or (status_of(error.__cause__) == 409 and get(self.session, place) is not None):
                return None
            raise

    def request(self) -> "models.Image":
        """Return what Azure is asked for."""
        from azure.mgmt.compute import models

        options, source = self.options, self.source
        disk = models.ImageOSDisk(os_type=options.os_type, os_state=options.os_state)
        if self.blob.kind == disk_upload.KIND:
            disk.managed_disk = models.SubResource(id=self.blob.id)
        else:
            disk.blob_uri = self.blob.id
        if options.disk_encryption_set:
            disk.disk_encryption_set = models.DiskEncryptionSetParameters(id=options.disk_encryption_set)
        marks = {CREATED: datetime.now(UTC).isoformat(timespec="seconds"), **({STAGE: "yes"} if self.staged else {})}
        if options.family:
            marks[FAMILY] = options.family
        return models.Image(
            location=self.blob.region,
            tags=tags_of(source.name, source.digest, {**options.tags, **marks}),
            properties=models.ImageProperties(
                # Of a blob Azure takes V1 where nothing is said, of a disk what the disk says.
                hyper_v_generation=features.generation(options, source.facts),
                storage_profile=models.ImageStorageProfile(os_disk=disk),
            ),
        )
