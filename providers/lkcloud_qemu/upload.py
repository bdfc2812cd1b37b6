# SPDX-License-Identifier: Apache-2.0
"""From the disk to a file of its own, and from there to the image's place."""

import os
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from lkcloud.disk import open_disk
from lkcloud.errors import Conflict, ImageChanged, NotFound
from lkcloud.provider import Blob, Image, Run, Source
from lkcloud.reporting import Meter
from lkcloud.transfer.locks import exclusive
from lkcloud_qemu import images, leftovers
from lkcloud_qemu.folder import CLOUD, DISK, Document, Folder, damage, read
from lkcloud_qemu.options import LocalOptions
from lkcloud_qemu.readiness import bus_for

_PIECE = 16 << 20
"""Bytes between two moments at which the meter moves and Ctrl-C is heard."""


def upload(folder: Folder, options: LocalOptions, source: Source, run: Run) -> Blob:
    """Copy the data of the disk; one copy that is whole is not made again, and one that is not begins anew.

    What a dead process has written may not have reached the disk, and to read it again costs as much as to write it.
    """
    place = folder.upload(source.name, source.digest)
    with run.reporter.stage("upload") as meter, folder.explained(f"copying {source.disk.path}"):
        folder.make()
        with exclusive(folder.work, place.name):
            document = read(place)
            if document is None or damage(place, document):
                leftovers.remove(place)
                place.mkdir()
                _copy_whole(source, place / DISK, meter, run)
                try:
                    document = _document(options, source)
                    images.write(place, document)
                except Exception:
                    leftovers.remove(place)
                    raise
    # What is said of it comes from its document: whoever pushes the same may put it into its place at any moment.
    return Blob(CLOUD, str(folder.path), str(place), "upload", source.name, source.digest, "complete", document.created)


def register(folder: Folder, source: Source, blob: Blob, run: Run) -> Image:
    """Move the upload to the image's place, from which an image of the same content whose disk is damaged goes.

    Raises Conflict if something else has come there meanwhile: a rename replaces nothing but an empty folder
    (rename(2)).
    """
    place, target = Path(blob.id), folder.image(source.name)
    with run.reporter.stage("register"), folder.explained(f"putting {source.name} into its place"):
        try:
            place.rename(target)
        except OSError as error:
            existing = images.find(folder, source.name)
            if existing is not None and existing.digest == source.digest:
                if existing.ready:
                    with suppress(Conflict):  # Somebody uploads the same once more, and will come here.
                        leftovers.delete(folder, blob)
                    return existing
                run.reporter.note(f"{target} is made anew: its disk is {existing.blobs[0].state}")
                _put_in_place_of_damaged(folder, place, existing)
            elif os.path.lexists(target):
                raise Conflict(
                    f"{CLOUD}: {target} has come to be there", hint="choose another --name, or remove that first"
                ) from error
            else:
                raise
        _flush(folder.path)
    made = images.find(folder, source.name)
    if made is None:
        raise NotFound(f"{CLOUD}: somebody has deleted {source.name} again", hint="push it once more")
    return made


def _put_in_place_of_damaged(folder: Folder, place: Path, damaged: Image) -> None:
    """Delete DAMAGED and move the upload at PLACE there, unless another push has done both by now."""
    with exclusive(folder.work, place.name):
        existing = images.find(folder, damaged.id)
        if existing == damaged:
            images.delete(folder, existing)
        try:
            place.rename(folder.image(damaged.id))
        except OSError:
            existing = images.find(folder, damaged.id)
            if existing is None or not existing.ready:
                raise


def _document(options: LocalOptions, source: Source) -> Document:
    architecture, firmware = options.machine(source.facts)
    return Document(
        name=source.name,
        digest=source.digest,
        size=source.disk.size,
        created=datetime.now(UTC),
        architecture=architecture,
        firmware=firmware,
        bus=options.bus or bus_for(source.disk, source.facts),
        description=source.description,
    )


def _copy_whole(source: Source, file: Path, meter: Meter, run: Run) -> None:
    """Copy the disk to FILE and see that this has the content of the digest: not every write changes a disk's dates.

    What was copied of a disk that changed is of no use to anybody, and removed.
    """
    try:
        _copy(source, file, meter, run)
        source.disk.check_unchanged()
        with open_disk(file) as copy:
            if copy.content().digest != source.digest:
                raise ImageChanged(
                    f"{source.disk.path} changed while it was read",
                    hint="wait until whatever writes the image has finished, then run it again",
                )
    except ImageChanged:
        leftovers.remove(file.parent)
        raise


def _copy(source: Source, file: Path, meter: Meter, run: Run) -> None:
    """Write the data of the disk to FILE, flushed; where it has none FILE has holes."""
    extents = source.disk.extents()
    meter.expect(sum(extent.length for extent in extents))
    output = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    try:
        os.truncate(output, source.disk.size)
        for extent in extents:
            for offset in range(extent.offset, extent.end, _PIECE):
                length = min(_PIECE, extent.end - offset)
                source.disk.copy(offset, length, output)
                run.tally.add(length)
                meter.advance(length)
        os.fsync(output)
    finally:
        os.close(output)


def _flush(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
