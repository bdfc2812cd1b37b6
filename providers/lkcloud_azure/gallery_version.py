# SPDX-License-Identifier: Apache-2.0
"""Gallery image versions: found by their tags, listed, and made from a managed disk or a page blob.

https://learn.microsoft.com/azure/virtual-machines/image-version. A version's own name is a number; which image it is,
for lkcloud, its tags say.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lkcloud.errors import Conflict, LkcloudError, NotFound, UsageError
from lkcloud.provider import Blob, Finding, Image, Source
from lkcloud_azure import disk_upload, gallery_definition, operations, storage, uefi, version_number
from lkcloud_azure.errors import code_of, is_absent, is_busy, status_of
from lkcloud_azure.naming import IMAGE_NAME, NAME, WITHDRAWN, ResourceId, digest_in, tag, tags_of, time_of, word
from lkcloud_azure.options import AzureOptions, TargetRegion, region_name
from lkcloud_azure.session import Session
from lkcloud_azure.version_number import Number

if TYPE_CHECKING:
    from azure.mgmt.compute import models

KIND = "gallery-image-version"

UPDATING = "Updating"

_FIRST: Number = (1, 0, 0)


def get(session: Session, place: ResourceId) -> Image | None:
    """Return the version with this id, whoever made it, None if there is none."""
    shown = show(session, place)
    if shown is None:
        return None
    return image_of(shown, gallery_definition.architecture(gallery_definition.find(session, place.parent)))


def show(session: Session, place: ResourceId) -> "models.GalleryImageVersion | None":
    """Return the version with this id as Azure shows it, with how far its copies are; None if there is none."""
    gallery, name, number = place.names
    versions = session.compute.gallery_image_versions
    with session.errors(f"looking for version {number} of {name}"):
        try:
            return session.attempt(lambda: versions.get(place.group, gallery, name, number, expand="ReplicationStatus"))
        except Exception as error:
            if is_absent(error):
                return None
            raise


def listed(session: Session, definition: ResourceId) -> "list[models.GalleryImageVersion]":
    """Return all versions in a definition, the highest number last; none if there is no such definition."""
    gallery, name = definition.names
    if not IMAGE_NAME.fullmatch(name):
        return []  # Azure would refuse it
    versions = session.compute.gallery_image_versions
    try:
        found = session.call(
            f"looking for versions of {name}",
            lambda: list(versions.list_by_gallery_image(definition.group, gallery, name)),
        )
    except NotFound:
        return []
    return sorted(found, key=number_of)


def find(session: Session, options: AzureOptions, name: str) -> Image | None:
    """Return the version in the definition of the options that is called NAME by its tags.

    Of several it is the highest of those that can be used, else the highest.
    """
    return max(called(session, options, name), key=lambda image: image.ready, default=None)


def called(session: Session, options: AzureOptions, name: str) -> list[Image]:
    """Return the versions in the definition of the options that are called NAME, the highest number first."""
    definition = gallery_definition.place_of(session, options, name)
    found = [shown for shown in listed(session, definition) if tag(shown.tags, NAME) == name and digest_in(shown.tags)]
    if not found:
        return []
    machine = gallery_definition.architecture(gallery_definition.find(session, definition))
    return [image_of(_settled(session, shown), machine) for shown in reversed(found)]


def every(session: Session, gallery: ResourceId, definition: str | None) -> Iterator[Image]:
    """Yield the versions that lkcloud made, in all definitions of a gallery or in the one named."""
    for shown, machine in ours(session, gallery, definition):
        yield image_of(shown, machine)


def ours(
    session: Session, gallery: ResourceId, definition: str | None
) -> "Iterator[tuple[models.GalleryImageVersion, str]]":
    """Yield these versions as Azure shows them, and the architecture of each."""
    definitions = session.compute.gallery_images
    if definition is None:
        try:
            found = session.call(
                f"looking for image definitions in {gallery.names[0]}",
                lambda: list(definitions.list_by_gallery(gallery.group, gallery.names[0])),
            )
        except NotFound:
            return
    else:
        place = gallery.child("images", definition)
        found = [one for one in (gallery_definition.find(session, place),) if one is not None]
    for shown in found:
        place = gallery.child("images", shown.name or "")
        for version in listed(session, place):
            if digest_in(version.tags):
                yield _settled(session, version), gallery_definition.architecture(shown)


def number_of(shown: "models.GalleryImageVersion") -> Number:
    """Return a version's name as a number."""
    return version_number.parse(shown.name or "") or (0, 0, 0)


def image_of(shown: "models.GalleryImageVersion", architecture: str) -> Image:
    """Return a version as the house knows it, in a definition of this ARCHITECTURE."""
    place = ResourceId.parse(shown.id or "")
    said = shown.properties
    assert place is not None
    publishing = said.publishing_profile if said else None
    return Image(
        cloud="azure",
        region=region_name(shown.location),
        id=str(place),
        name=tag(shown.tags, NAME) or place.names[1],
        kind=KIND,
        account=place.subscription,
        family=place.names[1],
        digest=digest_in(shown.tags),
        state=word(said.provisioning_state if said else None),
        ready=_is_ready(shown),
        architecture=architecture,
        created=publishing.published_date if publishing else None,
        tags=tuple(sorted((shown.tags or {}).items())),
        # Who has let `latest` lead to it again by other means needs it, and has left the tag.
        withdrawn=time_of(tag(shown.tags, WITHDRAWN)) if excluded(shown) else None,
    )


@dataclass(frozen=True)
class GalleryVersion:
    """The version that is to be made of SOURCE, whose bytes are in the upload BLOB, in a definition that is there.

    STAGE, if given, makes a managed image of the upload, of which the version is made then.
    """

    session: Session
    options: AzureOptions
    source: Source
    blob: Blob
    stage: Callable[[], Image] | None = None

    @property
    def definition(self) -> ResourceId:
        """The id of its definition."""
        return gallery_definition.place_of(self.session, self.options, self.source.name)

    def find(self) -> Image | None:
        """Return the version if it is there, whatever its number; raises Conflict if its name is another image's."""
        found = called(self.session, self.options, self.source.name)
        ours = [image for image in found if image.digest == self.source.digest]
        if ours:
            return max(ours, key=lambda image: image.ready)
        if found:
            raise Conflict(
                f"azure: the name {self.source.name} is taken by {found[0].id}, with other content",
                hint="give --replace to put this image in its place, or choose another --name",
            )
        return None

    def begin(self, doing: str) -> tuple[ResourceId, operations.Operation] | None:
        """Ask for the version; None if its number has just been taken, or something else goes on there.

        Raises Conflict if the number that the options name is another image's.
        """
        gallery, name = self.definition.names
        there, chosen = (
            {number_of(shown) for shown in listed(self.session, self.definition)},
            self.options.gallery_version,
        )
        number = version_number.text(_number(chosen) if chosen else _next(max(there, default=None)))
        place = self.definition.child("versions", number)
        if chosen and _number(chosen) in there:
            self._require_ours(place)
            return None
        wanted, versions = self.request(), self.session.compute.gallery_image_versions
        try:
            return place, operations.begin(
                self.session,
                doing,
                lambda **how: versions.begin_create_or_update(place.group, gallery, name, number, wanted, **how),
            )
        except LkcloudError as error:
            # Of two that ask at once for one number, one is told of a conflict, as is who asks again because the answer
            # was lost. A PUT of a version is an update if it is there, and one of another source is refused.
            cause = error.__cause__
            if is_busy(cause) or (_is_conflict(cause) and show(self.session, place) is not None):
                return None
            raise

    def request(self) -> "models.GalleryImageVersion":
        """Return what Azure is asked for.

        `latest` does not lead to it before it is promoted. It can be deleted before its end of life, which Azure might
        not allow where nothing is said (https://learn.microsoft.com/azure/virtual-machines/compute-gallery-whats-new).
        """
        from azure.mgmt.compute import models

        options, source = self.options, self.source
        secure_boot = uefi.settings(options)
        return models.GalleryImageVersion(
            location=self.blob.region,
            tags=tags_of(source.name, source.digest, options.tags),
            properties=models.GalleryImageVersionProperties(
                storage_profile=self._storage(),
                publishing_profile=models.GalleryImageVersionPublishingProfile(
                    target_regions=[self._region(one) for one in self._regions()],
                    exclude_from_latest=True,
                    replication_mode=options.replication_mode,
                    end_of_life_date=options.end_of_life,
                ),
                safety_profile=models.GalleryImageVersionSafetyProfile(
                    allow_deletion_of_replicated_locations=True, block_deletion_before_end_of_life=False
                ),
                security_profile=models.ImageVersionSecurityProfile(uefi_settings=secure_boot) if secure_boot else None,
            ),
        )

    def _storage(self) -> "models.GalleryImageVersionStorageProfile":
        """Return where the bytes are.

        An image has a place of its own, a disk and a blob another, and a blob needs its account's id as well
        (https://learn.microsoft.com/azure/virtual-machines/troubleshooting-shared-images).
        """
        from azure.mgmt.compute import models

        if self.stage is not None:
            image = models.GalleryArtifactVersionFullSource(id=self.stage().id)
            return models.GalleryImageVersionStorageProfile(source=image)
        if self.blob.kind == disk_upload.KIND:
            source = models.GalleryDiskImageSource(id=self.blob.id)
        else:
            account = storage.account(self.session, self.options)
            source = models.GalleryDiskImageSource(storage_account_id=str(account.id), uri=self.blob.id)
        disk = models.GalleryOSDiskImage(host_caching="ReadOnly", source=source)
        return models.GalleryImageVersionStorageProfile(os_disk_image=disk)

    def _regions(self) -> tuple[TargetRegion, ...]:
        """Return the regions of the copies; Azure wants the one that the version is made in among them."""
        home = TargetRegion(self.blob.region, None, None)
        named = self.options.target_regions
        return named if home.name in (one.name for one in named) else (home, *named)

    def _region(self, region: TargetRegion) -> "models.TargetRegion":
        from azure.mgmt.compute import models

        options = self.options
        made = models.TargetRegion(
            name=region.name,
            regional_replica_count=region.replicas or options.replicas,
            storage_account_type=region.storage_type or options.storage_type,
        )
        if options.disk_encryption_set:
            disk = models.OSDiskImageEncryption(disk_encryption_set_id=options.disk_encryption_set)
            made.encryption = models.EncryptionImages(os_disk_image=disk)
        return made

    def _require_ours(self, place: ResourceId) -> None:
        """Raise Conflict if the version is another image's; it may be ours by now, or on its way out."""
        shown = show(self.session, place)
        state = shown.properties.provisioning_state if shown and shown.properties else None
        if shown is None or state == "Deleting":
            return
        if (tag(shown.tags, NAME), digest_in(shown.tags)) == (self.source.name, self.source.digest):
            return
        taken = _taken(place, shown)
        raise Conflict(f"azure: {taken.problem}", hint=taken.hint)


def check(session: Session, options: AzureOptions, source: Source) -> Iterator[Finding]:
    """Yield what stands in the way of the version that the options name: another image that has its number.

    Nothing does if there is an image of the name of SOURCE, whatever its number.
    """
    if options.gallery_version is None:
        return
    definition = gallery_definition.place_of(session, options, source.name)
    there, number = listed(session, definition), _number(options.gallery_version)
    if any(tag(shown.tags, NAME) == source.name and digest_in(shown.tags) for shown in there):
        return
    for shown in there:
        state = shown.properties.provisioning_state if shown.properties else None
        if number_of(shown) == number and state != "Deleting":
            yield _taken(definition.child("versions", version_number.text(number)), shown)


def _taken(place: ResourceId, shown: "models.GalleryImageVersion") -> Finding:
    whose = tag(shown.tags, NAME) or "an image that lkcloud did not make"
    return Finding(
        f"version {place.names[2]} of {place.names[1]} is {whose}",
        "give another --gallery-version, or leave it out to have the next one",
    )


def excluded(shown: "models.GalleryImageVersion") -> bool:
    """Tell whether `latest` passes over a version in all regions."""
    publishing = shown.properties.publishing_profile if shown.properties else None
    return bool(publishing and publishing.exclude_from_latest)


def _settled(session: Session, shown: "models.GalleryImageVersion") -> "models.GalleryImageVersion":
    """Return a version from a list, with how far its copies are while it is updated: a list does not tell."""
    if shown.properties is None or shown.properties.provisioning_state != UPDATING:
        return shown
    place = ResourceId.parse(shown.id or "")
    assert place is not None
    return show(session, place) or shown


def _is_ready(shown: "models.GalleryImageVersion") -> bool:
    """Tell whether machines can be made from it where it was made.

    One that is being updated, such as copied to more regions, goes on to be there. Where Azure tells how far the copies
    are, that of its own region decides.
    """
    said = shown.properties
    if said is None or said.provisioning_state not in (operations.SUCCEEDED, UPDATING):
        return False
    home, known = region_name(shown.location), said.replication_status.summary if said.replication_status else None
    states: list[Any] = [one.state for one in known or () if region_name(one.region or "") == home]
    return all(state == "Completed" for state in states) if states else said.provisioning_state == operations.SUCCEEDED


def _is_conflict(error: BaseException | None) -> bool:
    """Tell whether something is there already.

    By which status that is told is not sure: cloudfoundry/bosh-azure-cpi-release#720, hashicorp/packer#9716.
    """
    return status_of(error) == 409 or code_of(error) == "PropertyChangeNotAllowed"


def _next(highest: Number | None) -> Number:
    """Return one patch above the HIGHEST number. Raises UsageError if there is none."""
    if highest is None:
        return _FIRST
    major, minor, patch = highest
    if patch >= version_number.MOST:
        raise UsageError(
            f"azure: there is no patch above version {version_number.text(highest)}",
            hint="give a higher --gallery-version",
        )
    return major, minor, patch + 1


def _number(text: str) -> Number:
    found = version_number.parse(text)
    if found is None:
        raise UsageError(f"azure: {text!r} is no version", hint="give --gallery-version as MAJOR.MINOR.PATCH")
    return found
