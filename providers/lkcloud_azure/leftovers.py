# SPDX-License-Identifier: Apache-2.0
"""What unfinished pushes have left, and how it is removed.

It is looked for in the resource group, the gallery and the storage account of the options, and nowhere else.
"""

from collections.abc import Iterator
from urllib.parse import unquote, urlsplit

from lkcloud.errors import NotFound, Refused, UsageError
from lkcloud.provider import Blob, Image, Source
from lkcloud_azure import (
    blob_upload,
    disk_upload,
    gallery_version,
    images,
    managed_disks,
    managed_image,
    naming,
    operations,
    page_blobs,
    storage,
    vm_removal,
)
from lkcloud_azure.errors import status_of
from lkcloud_azure.naming import ResourceId
from lkcloud_azure.options import AzureOptions
from lkcloud_azure.page_blobs import BlobPlace
from lkcloud_azure.session import Session

_UNUSED = (managed_disks.READY, managed_disks.UPLOADING, managed_disks.UNATTACHED)
"""States of a disk that no machine has."""


def leftovers(session: Session, options: AzureOptions, name: str) -> Iterator[Blob]:
    """Yield test machines, images that have failed, and uploads, of pushes of images called NAME ("" = of any name).

    An upload is one whether it is whole or not, and whether its image is there or not: a push that ends well removes
    it, unless it is to be kept.
    """
    for found in (
        vm_removal.machines(session, options, name),
        _failed(session, options, name),
        stages(session, options, name),
        _disks(session, options, name),
    ):
        yield from _if_allowed(found)
    if options.storage_account:
        yield from _page_blobs(session, options, name)


def tidy(session: Session, options: AzureOptions, source: Source) -> None:
    """Delete the upload of SOURCE by the method of the options, unless it is to be kept; nothing there is no error."""
    if options.gallery is not None:
        for stage in _if_allowed(stages(session, options, source.name, source.digest)):
            delete(session, options, stage)
    if options.keep_upload:
        return
    name = naming.upload_name(source.name, source.digest)
    if options.method == "disk":
        where = managed_disks.disk_id(session, options.resource_group, name)
        found = managed_disks.find(session, where)
        if found is not None and found.is_of(source.name, source.digest):
            managed_disks.delete(session, where)
        return
    place = _place(session, options, f"{name}.vhd")
    blob = place.find()
    if blob is not None and (blob.image, blob.digest) == (source.name, source.digest):
        place.delete()


def stages(session: Session, options: AzureOptions, name: str, digest: str = "") -> Iterator[Blob]:
    """Yield managed images that were made on the way to a version, of any content or of the one with DIGEST."""
    for image in managed_image.every(session, options.resource_group, staged=True):
        if name in ("", image.name) and digest in ("", image.digest):
            yield _of_image(image, managed_image.STAGE_KIND)


def delete(session: Session, options: AzureOptions, blob: Blob) -> None:
    """Delete what `leftovers` found, or the upload of a push; what is gone is no error."""
    if blob.kind == disk_upload.KIND:
        managed_disks.delete(session, _disk_id(session, blob.id))
    elif blob.kind == blob_upload.KIND:
        _page_blob(session, options, blob.id).delete()
    elif blob.kind == vm_removal.KIND:
        vm_removal.delete(session, blob)
    elif blob.kind in (managed_image.KIND, managed_image.STAGE_KIND, gallery_version.KIND):
        images.delete(session, Image("azure", blob.region, blob.id, blob.name))
    else:
        raise UsageError(f"azure: nothing is known of a {blob.kind!r}", hint="delete it with `az resource delete`")


def keep(session: Session, options: AzureOptions, blob: Blob) -> None:
    """Mark the upload of a push as left on purpose."""
    if blob.kind == disk_upload.KIND:
        managed_disks.put_tag(session, _disk_id(session, blob.id), naming.KEPT, "yes")
    else:
        _page_blob(session, options, blob.id).keep()


def _if_allowed(found: Iterator[Blob]) -> Iterator[Blob]:
    """Yield what is FOUND; who may not look at a kind of resource has made none of it."""
    try:
        yield from found
    except Refused as error:
        if status_of(error.__cause__) != 403:
            raise


def _failed(session: Session, options: AzureOptions, name: str) -> Iterator[Blob]:
    """Yield images whose making has failed; one that was in use before it was changed, and that failed, stays."""
    if not name:
        found = images.every(session, options)
    elif options.gallery is None:
        found = [image for image in (images.find(session, options, name),) if image is not None and image.digest]
    else:
        found = gallery_version.called(session, options, name)
    for image in found:
        if image.state in (operations.FAILED, operations.CANCELED) and not images.released(session, image):
            yield _of_image(image, image.kind)


def _of_image(image: Image, kind: str) -> Blob:
    return Blob("azure", image.region, image.id, kind, image.name, image.digest, image.state, image.created)


def _disks(session: Session, options: AzureOptions, name: str) -> Iterator[Blob]:
    for disk in managed_disks.listed(session, options.resource_group):
        image, digest = naming.tag(disk.tags, naming.NAME), naming.digest_in(disk.tags)
        if image and digest and name in ("", image) and disk.upload_size and disk.state in _UNUSED:
            yield disk_upload.blob_of(disk, image, digest)


def _page_blobs(session: Session, options: AzureOptions, name: str) -> Iterator[Blob]:
    """Yield the page blobs in the container of the options; no account and no container is nothing left behind."""
    try:
        account = storage.account(session, options)
        container = storage.service(session, account).get_container_client(options.container)
        found = session.call(
            f"looking into {container.url}",
            lambda: list(container.list_blobs(name_starts_with=naming.UPLOADS, include=["metadata"])),
        )
    except NotFound:
        return
    for shown in found:
        blob = page_blobs.seen(container.get_blob_client(shown.name).url, shown)
        if blob.paged and blob.image and blob.digest and name in ("", blob.image):
            state = "complete" if blob.complete else "unfinished"
            known = blob.image, blob.digest, state
            yield Blob("azure", account.location, blob.url, blob_upload.KIND, *known, blob.written, blob.kept)


def _place(session: Session, options: AzureOptions, name: str) -> BlobPlace:
    service = storage.service(session, storage.account(session, options))
    return BlobPlace.at(session, service, options.container, name)


def _page_blob(session: Session, options: AzureOptions, url: str) -> BlobPlace:
    """Return the place of the blob at URL, which is one of the storage account of the options."""
    account = storage.account(session, options)
    if not url.startswith(f"{account.endpoint}/"):
        raise UsageError(
            f"azure: {url} is not in the storage account {options.storage_account}", hint="give its --storage-account"
        )
    path = unquote(urlsplit(url).path)[len(urlsplit(account.endpoint).path) :]
    container, _, name = path.lstrip("/").partition("/")
    return BlobPlace.at(session, storage.service(session, account), container, name)


def _disk_id(session: Session, disk_id: str) -> ResourceId:
    place = ResourceId.parse(disk_id)
    if place is None or not place.is_of("disks") or place.subscription.lower() != session.subscription.lower():
        raise UsageError(
            f"azure: {disk_id!r} is no managed disk of the subscription {session.subscription}",
            hint="give the id of the disk of an upload, and its --subscription",
        )
    return place
