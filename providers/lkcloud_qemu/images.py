# SPDX-License-Identifier: Apache-2.0
"""Images: found, listed, put into a family, deleted."""

from collections.abc import Iterator
from pathlib import Path

from lkcloud.formats.atomic import whole_file
from lkcloud.provider import Blob, Image
from lkcloud_qemu import leftovers
from lkcloud_qemu.folder import CLOUD, DISK, DOCUMENT, NAME, Document, Folder, damage, read

DISK_KIND = "file"
AVAILABLE, DAMAGED = "available", "damaged"
"""The states of an image; the second is that of one whose disk is not what the push has put there."""


def find(folder: Folder, name: str) -> Image | None:
    """Return the image called NAME, which is its id too."""
    if not NAME.fullmatch(name):
        return None
    with folder.explained(f"looking for {name}", may="read"):
        place = folder.image(name)
        document = read(place)
        return _image(place, document) if document else None


def every(folder: Folder) -> list[Image]:
    """Return all images, oldest first; what else is in the folder is left alone."""
    with folder.explained("looking for images", may="read"):
        names = [entry.name for entry in folder.path.iterdir()] if folder.path.exists() else []
    found = filter(None, (find(folder, name) for name in names))
    return sorted(found, key=lambda image: (image.created, image.id))


def promote(folder: Folder, image: Image, family: str) -> None:
    """Note that IMAGE is of FAMILY; it stays there under its name, and nothing is led astray meanwhile."""
    with folder.explained(f"putting {image.id} into the family {family}"):
        place = folder.image(image.id)
        document = read(place)
        if document and document.family != family:
            write(place, document.model_copy(update={"family": family}))


def delete(folder: Folder, image: Image) -> None:
    """Delete IMAGE; first it goes from its place, so that none is ever seen of which half is gone."""
    with folder.explained(f"deleting {image.id}"):
        place = folder.image(image.id)
        if not NAME.fullmatch(image.id) or read(place) is None:
            return
        doomed = folder.new(image.id, "deleted")
        try:
            place.rename(doomed)
        except FileNotFoundError:
            return  # Somebody else deletes it.
        leftovers.remove(doomed)


def write(place: Path, document: Document) -> None:
    """Write the document of the image or upload at PLACE. Raises OSError."""
    text = document.model_dump_json(indent=2) + "\n"
    try:
        with whole_file(place / DOCUMENT, replace=True) as file, open(file, "w", closefd=False) as stream:
            stream.write(text)
    except OSError as error:
        error.filename = str(place / DOCUMENT)  # It was opened from its folder, and has no path yet or a short one.
        raise


def _image(place: Path, document: Document) -> Image:
    # The folder's name counts, not the one in the document: an image is renamed with `mv`.
    region, file = str(place.parent), str(place / DISK)
    wrong = damage(place, document)
    return Image(
        cloud=CLOUD,
        region=region,
        id=place.name,
        name=place.name,
        family=document.family,
        digest=document.digest,
        state=DAMAGED if wrong else AVAILABLE,
        ready=not wrong,
        architecture=document.architecture,
        created=document.created,
        blobs=(
            Blob(CLOUD, region, file, DISK_KIND, place.name, document.digest, wrong or AVAILABLE, document.created),
        ),
        tags=tuple(sorted(_tags(document))),
    )


def _tags(document: Document) -> Iterator[tuple[str, str]]:
    yield from document.tags.items()
    yield "firmware", document.firmware
    yield "bus", document.bus
    if document.description:
        yield "description", document.description
