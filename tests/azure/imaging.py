# SPDX-License-Identifier: Apache-2.0
"""Images for tests: an upload that is whole, what is made of it, and what the stand-in is made to hold or to refuse."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

from lkcloud.disk import Disk, open_disk
from lkcloud.disk.inspect import inspect
from lkcloud.polling import poll
from lkcloud.provider import Blob, Image, Run, Source
from lkcloud.reporting import Meter, Silent
from lkcloud.sandbox.http import Response
from lkcloud.sandbox.tinydisk import write_tiny_disk
from lkcloud_azure import AzureOptions, naming
from lkcloud_azure.naming import COMPUTE, ResourceId
from lkcloud_azure.register import register
from lkcloud_azure.sandbox import AzureStandIn, Seen
from lkcloud_azure.sandbox import disk as held_disk
from lkcloud_azure.sandbox import gallery as held_gallery
from lkcloud_azure.sandbox import image as held_image
from lkcloud_azure.sandbox.cloud import LOCATION, SUBSCRIPTION, Group
from lkcloud_azure.session import Session
from tests.azure.pushing import hook

GROUP = "lkcloud"
MIB = 1 << 20
SIZE = 20 * MIB
DIGEST = "5a" * 32
OTHER_DIGEST = "6b" * 32

OPERATION = "Operations.Get"
"""A look at how far an operation is, in the log of the stand-in."""


@contextmanager
def tiny_disk(folder: Path) -> Iterator[Disk]:
    """Make a disk that boots by UEFI on x64."""
    write_tiny_disk(folder / "tiny.raw", size=SIZE)
    with open_disk(folder / "tiny.raw") as opened:
        yield opened


def source_of(disk: Disk, *, name: str = "image", digest: str = DIGEST) -> Source:
    return Source(disk, name, inspect(disk), digest, "a description")


def options_of(**options: object) -> AzureOptions:
    return AzureOptions.model_validate({"location": LOCATION, **options})


def put_disk(
    azure: AzureStandIn, *, name: str = "image", digest: str = DIGEST, generation: str = "V2", location: str = LOCATION
) -> Blob:
    """Let the stand-in hold a disk that was uploaded, and return it as `upload` would."""
    cloud = azure.holdings
    cloud.groups.setdefault(GROUP, Group(GROUP, LOCATION, {}))
    file = cloud.file("disks")
    with file.open("wb") as opened:
        opened.truncate(SIZE)
        opened.seek(SIZE - 4096)
        opened.write(b"lkcloud" * 64)
    creation = {"createOption": "Upload", "uploadSizeBytes": SIZE + 512}
    where = ResourceId(SUBSCRIPTION, GROUP, COMPUTE, ("disks",), (naming.upload_name(name, digest),))
    disk = held_disk.Disk(
        id=where,
        location=location,
        tags=naming.tags_of(name, digest),
        state="Succeeded",
        sent={"osType": "Linux", "hyperVGeneration": generation, "creationData": creation},
        sku="Standard_LRS",
        size=SIZE,
        file=file,
    )
    with cloud.lock:
        cloud.add(disk)
    return Blob("azure", location, str(where), "disk", name, digest, "Unattached")


def put_blob(session: Session, azure: AzureStandIn, *, name: str = "image", digest: str = DIGEST) -> Blob:
    """Put a fixed VHD into the storage account where the upload of the image NAME belongs, by the SDK."""
    from lkcloud_azure import storage
    from lkcloud_azure.page_blobs import BlobPlace
    from lkcloud_azure.sandbox import vhd_footer

    azure.holdings.groups.setdefault(GROUP, Group(GROUP, LOCATION, {}))
    account = storage.account(session, account_options())
    place = BlobPlace.at(
        session, storage.service(session, account), "lkcloud", f"{naming.upload_name(name, digest)}.vhd"
    )
    made = place.make(size=SIZE + 512, image=name, digest=digest)
    place.client.upload_page(b"lkcloud " * 64, offset=0, length=512)
    place.client.upload_page(vhd_footer.footer(SIZE), offset=SIZE, length=512)
    found = place.find()
    assert found is not None
    assert place.mark_complete(made, found.etag)
    return Blob("azure", account.location, place.url, "page-blob", name, digest, "complete")


def account_options(**options: object) -> AzureOptions:
    """Return options that name the storage account of the sandbox."""
    return options_of(method="blob", storage_account="lkcloudsandbox", **options)


def registered(
    session: Session, disk: Disk, blob: Blob, run: Run, *, name: str = "image", digest: str = DIGEST, **options: object
) -> Image:
    """Register as `Azure.register` does, with the session that there is."""
    return register(session, options_of(**options), source_of(disk, name=name, digest=digest), blob, run)


def registered_version(session: Session, disk: Disk, blob: Blob, run: Run, **options: Any) -> Image:
    """Register in the gallery that `make_gallery` makes."""
    return registered(session, disk, blob, run, gallery="gal", **options)


def shown_version(session: Session, number: str = "1.0.0", name: str = "image") -> Any:
    return session.compute.gallery_image_versions.get(GROUP, "gal", name, number)


def hold_image(
    azure: AzureStandIn, name: str = "image", *, state: str = "Succeeded", digest: str = DIGEST
) -> held_image.Image:
    """Let the stand-in hold a managed image that no request has made."""
    cloud = azure.holdings
    cloud.groups.setdefault(GROUP, Group(GROUP, LOCATION, {}))
    file = cloud.file("images")
    file.write_bytes(bytes(4096))
    sent = {"storageProfile": {"osDisk": {"osType": "Linux", "osState": "Generalized"}}}
    image = held_image.Image(
        id=ResourceId(SUBSCRIPTION, GROUP, COMPUTE, ("images",), (name,)),
        location=LOCATION,
        tags=naming.tags_of(name, digest) if digest else {},
        state=state,
        sent=sent,
        generation="V2",
        file=file,
        size=4096,
    )
    with cloud.lock:
        cloud.add(image)
    return image


def make_gallery(session: Session, *, location: str = LOCATION, community: bool = False) -> None:
    """Make the gallery `gal` as a user would."""
    from azure.mgmt.compute import models

    session.resources.resource_groups.create_or_update(GROUP, {"location": LOCATION})  # type: ignore[arg-type]
    info = models.CommunityGalleryInfo(
        public_name_prefix="lkcloud",
        publisher_uri="https://example.com",
        publisher_contact="images@example.com",
        eula="https://example.com/terms",
    )
    sharing = models.SharingProfile(permissions="Community", community_gallery_info=info) if community else None
    wanted = models.Gallery(location=location, properties=models.GalleryProperties(sharing_profile=sharing))
    session.compute.galleries.begin_create_or_update(GROUP, "gal", wanted, polling_interval=0).result()


def make_definition(
    session: Session,
    name: str = "image",
    *,
    location: str = LOCATION,
    identifier: tuple[str, str, str] | None = None,
    features: Mapping[str, str] = MappingProxyType({"SecurityType": "Standard"}),
    **properties: str,
) -> None:
    """Make an image definition in the gallery `gal` as a user would."""
    from azure.mgmt.compute import models

    publisher, offer, sku = identifier or ("me", name, "sku")
    usual = {"os_type": "Linux", "os_state": "Generalized", "hyper_v_generation": "V2", "architecture": "x64"}
    wanted = models.GalleryImage(
        location=location,
        properties=models.GalleryImageProperties(
            identifier=models.GalleryImageIdentifier(publisher=publisher, offer=offer, sku=sku),
            features=[models.GalleryImageFeature(name=key, value=value) for key, value in features.items()],
            **{**usual, **properties},  # type: ignore[arg-type]  # values of enumerations
        ),
    )
    session.compute.gallery_images.begin_create_or_update(GROUP, "gal", name, wanted, polling_interval=0).result()


def hold_version(
    azure: AzureStandIn,
    number: str,
    *,
    name: str = "image",
    digest: str = DIGEST,
    definition: str = "image",
    state: str = "Succeeded",
    excluded: bool = True,
) -> held_gallery.Version:
    """Let the stand-in hold a version that no request has made, in a definition that is there; NAME "" is not ours."""
    cloud = azure.holdings
    where = ResourceId(SUBSCRIPTION, GROUP, COMPUTE, ("galleries", "images", "versions"), ("gal", definition, number))
    home = held_gallery.Region(LOCATION, 1, "Standard_LRS", excluded=False, state="Completed")
    version = held_gallery.Version(
        id=where,
        location=LOCATION,
        tags=naming.tags_of(name, digest) if name else {},
        state=state,
        sent={"storageProfile": {"osDiskImage": {"source": {"id": f"/a-disk-of/{name}/{digest}"}}}},
        regions=(home,),
        file=cloud.file("versions"),
        size=SIZE,
        excluded=excluded,
    )
    with cloud.lock:
        cloud.add(version)
    return version


def open_disk_for_reading(session: Session, blob: Blob) -> None:
    """Let somebody have access to the disk: an image made of it fails (Azure/azure-cli#10192)."""
    from azure.mgmt.compute import models

    data = models.GrantAccessData(access="Read", duration_in_seconds=600)
    session.compute.disks.begin_grant_access(GROUP, blob.id.rpartition("/")[2], data, polling_interval=0).result()


def close_disk(session: Session, blob: Blob) -> None:
    """Let nobody have access to the disk any more."""
    session.compute.disks.begin_revoke_access(GROUP, blob.id.rpartition("/")[2], polling_interval=0).result()


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until CONDITION holds."""
    poll(lambda: condition() or None, what="a test", every=0.05, limit=10, hint="look")


def is_there(azure: AzureStandIn, blob: Blob) -> bool:
    """Tell whether the disk of an upload is still there."""
    return azure.holdings.get(held_disk.Disk, blob.id) is not None


def answer(azure: AzureStandIn, operation: str, response: Callable[[Seen], Response | None], times: int = 1) -> None:
    """Do what the next TIMES requests of OPERATION ask for, and let RESPONSE answer them."""
    hook(azure, "after", operation, response, times)


def ended(azure: AzureStandIn, code: str, message: str, *, status: str = "Failed") -> None:
    """Let the next look at an operation show that it has ended badly."""
    document = {"status": status, "error": {"code": code, "message": message}} if code else {"status": status}
    said = Response(200, {"Content-Type": "application/json"}, json.dumps(document).encode())
    answer(azure, OPERATION, lambda _: said)


class Interrupting(Silent):
    """A reporter that interrupts the run, as Ctrl-C does, when a stage first tells how far the cloud is."""

    @contextmanager
    def stage(self, title: str) -> Iterator[Meter]:
        del title
        yield _InterruptingMeter()


class _InterruptingMeter:
    def expect(self, total: int, done: int = 0) -> None:
        pass

    def advance(self, amount: int) -> None:
        pass

    def status(self, text: str) -> None:
        raise KeyboardInterrupt(text)


class Statuses(Silent):
    """A reporter that remembers the cloud's own words on how far it is."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    @contextmanager
    def stage(self, title: str) -> Iterator[Meter]:
        """Pass on what the stage says."""
        del title
        yield _Statuses(self.seen)


class _Statuses:
    def __init__(self, seen: list[str]) -> None:
        self._seen = seen

    def expect(self, total: int, done: int = 0) -> None:
        pass

    def advance(self, amount: int) -> None:
        pass

    def status(self, text: str) -> None:
        self._seen.append(text)
