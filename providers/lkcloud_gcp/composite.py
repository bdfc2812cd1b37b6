# SPDX-License-Identifier: Apache-2.0
"""A tarball uploaded as many objects side by side, which Cloud Storage then puts together.

What the cloud has is what is done: the parts' names, checksums and metadata say all that a later run needs, of this
machine or another. https://cloud.google.com/storage/docs/composite-objects
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from lkcloud.errors import Conflict, Corrupt, ImageChanged, LkcloudError
from lkcloud.formats import gzip_member
from lkcloud.provider import Run
from lkcloud.reporting import Tally
from lkcloud.transfer.engine import Limits, Part, send
from lkcloud.transfer.retry import retry
from lkcloud_gcp import crc32c, objects
from lkcloud_gcp.data_plane import DataPlane
from lkcloud_gcp.errors import GcpFault, judge, status_of
from lkcloud_gcp.objects import MOST_SOURCES, Stored, Target
from lkcloud_gcp.options import GcpOptions
from lkcloud_gcp.session import Session
from lkcloud_gcp.tarball import MIB, PART, Kept, Packed, Tarball, packers

CRC = "lkcloud-crc32"
LENGTH = "lkcloud-length"
"""Metadata of a part: CRC-32 (8 hexadecimal digits) and bytes of what it holds before compression."""
WHOLE = "lkcloud-crc32c"
"""Metadata of the tarball: the CRC-32C that it must have, as Cloud Storage writes it."""

_IN_MEMORY = 32 * MIB
"""Bytes of compressed parts that are held at once; the SDK alone takes 150 MiB."""
_SLOWEST = 128 * 1024
"""Bytes a second that one connection must reach for an attempt not to be given up."""
_LOOK = 30.0
"""Seconds for a look at what stands in the way of a part."""
_ATTEMPTS = 3
"""How often an object that stands in the way and holds something else is replaced."""


@dataclass(frozen=True)
class Composite:
    """Uploads TARBALL as TARGET by way of parts in FOLDER."""

    session: Session
    options: GcpOptions
    tarball: Tarball
    target: Target
    folder: str

    def upload(self, run: Run) -> Stored:
        """Return the object when it is there, whole and checked; its parts are still there then.

        Raises ImageChanged if the disk was written to meanwhile, and Corrupt if the object is not what was sent; then
        nothing is left of it. After any other error the parts stay, for the next run.
        """
        try:
            parts = self._send(run)
            self.tarball.disk.check_unchanged()
        except LkcloudError:
            self._remove_if_changed()
            raise
        return self._put_together(parts)

    def _remove_if_changed(self) -> None:
        """Raise ImageChanged, with no part left, if the disk was written to."""
        try:
            self.tarball.disk.check_unchanged()
        except ImageChanged:
            # What was sent is neither the old disk nor the new one.
            objects.delete_all(self.session, self.target.bucket, self.folder)
            raise

    def _send(self, run: Run) -> list[Stored]:
        """Let each part be there, and the trailer, and return them in order."""
        there = {stored.name: stored for stored in objects.listed(self.session, self.target.bucket, self.folder)}
        workers = min(self.options.workers, max(2, _IN_MEMORY // PART))
        timeout = max(60.0, PART / _SLOWEST)
        limits = Limits(workers=workers, patience=1800.0, attempt_timeout=timeout, rate=self.options.rate)
        with (
            run.reporter.stage("upload") as meter,
            DataPlane.open(self.session, workers) as plane,
            packers(workers) as threads,
            self.session.errors(f"uploading to gs://{self.target.bucket}/{self.folder}"),
        ):
            meter.expect(self.tarball.size)
            sending = _Sending(self, plane, Kept(self.tarball, threads), there, run.tally)
            send(self.tarball.parts(), sending.put, judge=judge, limits=limits, meter=meter)
            retry(partial(sending.put_trailer, timeout), judge=judge, patience=300.0)
            return sending.arrived()

    def _put_together(self, parts: list[Stored]) -> Stored:
        """Compose PARTS, at most 32 objects at a time, until they are one."""
        whole = _whole(parts)
        assert whole.crc32c is not None
        metadata = {**self.target.metadata, WHOLE: crc32c.encode(whole.crc32c)}
        level, row = 1, parts
        try:
            while len(row) > MOST_SOURCES:
                groups = [row[first : first + MOST_SOURCES] for first in range(0, len(row), MOST_SOURCES)]
                wanted = [(group, self._between(level, number)) for number, group in enumerate(groups)]
                row = objects.side_by_side(lambda pair: self._compose(*pair), wanted)
                level += 1
            return self._compose(row, replace(self.target, metadata=metadata))
        except Conflict:
            # Another run that uploads the same may have finished, and removed the parts.
            found = objects.find(self.session, self.target.bucket, self.target.name)
            if found is None or not _fits(found, whole):
                raise
            return found

    def _between(self, level: int, number: int) -> Target:
        name = f"{self.folder}{PART // MIB}m-{level}-{number:06}"
        return replace(self.target, name=name, metadata={})

    def _compose(self, sources: Sequence[Stored], target: Target) -> Stored:
        """Compose SOURCES, or take what an earlier attempt or another run has composed of the same bytes."""
        doing = f"composing gs://{target.bucket}/{target.name}"
        wanted = _whole(sources)
        for _ in range(_ATTEMPTS):
            try:
                with self.session.errors(doing):
                    made = objects.compose(self.session, sources, target)
            except LkcloudError as error:
                if status_of(error.__cause__) not in (404, 412):
                    raise
                found = objects.find(self.session, target.bucket, target.name)
                if found is None:
                    raise Conflict(
                        f"gcp: {doing}: a part is gone, so another run removes them",
                        hint="wait until it has ended, and run the same command again",
                    ) from error
                if _fits(found, wanted):
                    return found
                if target.name == self.target.name:
                    break
                objects.delete(self.session, found)
            else:
                return self._checked(made, wanted)
        raise Conflict(
            f"gcp: {doing}: there is an object of that name with other bytes",
            hint="wait for the run that made it, or delete it and run the same command again",
        )

    def _checked(self, made: Stored, wanted: Stored) -> Stored:
        """Return MADE if its bytes are those WANTED; else remove it and its parts."""
        if _fits(made, wanted):
            return made
        objects.delete(self.session, made)
        objects.delete_all(self.session, self.target.bucket, self.folder)
        raise Corrupt(
            f"gcp: {made.url} is not what was sent",
            hint="run the same command again; if it stays, check memory and network",
        )


class _Sending:
    """Lets one part after the other be there; THERE is what was there before, by name. For any thread."""

    def __init__(self, upload: Composite, plane: DataPlane, kept: Kept, there: dict[str, Stored], tally: Tally) -> None:
        self._session = upload.session
        self._tarball = upload.tarball
        self._upload = upload
        self._plane = plane
        self._there = there
        self._kept = kept
        self._tally = tally
        self._stored: dict[int, Stored] = {}
        self._crcs: dict[int, int] = {}

    def arrived(self) -> list[Stored]:
        """Return all parts in order, the trailer last."""
        return [self._stored[number] for number in range(self._tarball.count + 1)]

    def put(self, part: Part, timeout: float) -> str:
        """Compress and send PART, if it is not there; the engine's `put`."""
        found = self._there.get(self._name(part.number))
        if found is not None:
            # That it bears the digest is not enough: a run that was killed may have read a disk that had changed.
            crc = self._tarball.crc(part)
            if _holds(found, crc, part.length):
                self._stored[part.number], self._crcs[part.number] = found, crc
                return ""
            self._replace(found)
        packed = self._kept.pack(part)
        stored = self._put(part.number, packed, timeout)
        # Another run may compress otherwise: what counts are the bytes before.
        if stored.crc32c != packed.crc32c and not _holds(stored, packed.crc, packed.length):
            raise self._in_the_way(stored)
        self._stored[part.number], self._crcs[part.number] = stored, packed.crc
        return ""

    def put_trailer(self, timeout: float) -> None:
        """Send what follows the last part, if it is not there."""
        crc = 0
        for part in self._tarball.parts():
            crc = gzip_member.combined(crc, self._crcs[part.number], part.length)
        packed, number = self._tarball.trailer(crc), self._tarball.count
        found = self._there.get(self._name(number))
        if found is not None and found.crc32c != packed.crc32c:
            self._replace(found)
            found = None
        stored = found or self._put(number, packed, timeout)
        if stored.crc32c != packed.crc32c:
            raise self._in_the_way(stored)
        self._stored[number] = stored

    def _put(self, number: int, packed: Packed, timeout: float) -> Stored:
        """Send part NUMBER; return it, or what is there in its place."""
        target = replace(
            self._upload.target,
            name=self._name(number),
            metadata={CRC: f"{packed.crc:08x}", LENGTH: str(packed.length)},
        )
        self._tally.add(len(packed.data))
        try:
            return self._plane.put_object(target, packed.data, packed.crc32c, timeout)
        except GcpFault as error:
            if error.status != 412:
                raise
        # An earlier attempt, whose answer was lost, has put it, or another run that uploads the same.
        try:
            return objects.look(self._session, target.bucket, target.name, timeout=_LOOK)
        except Exception as error:
            if status_of(error) != 404:
                raise
            raise Conflict(
                f"gcp: another run has uploaded the same, and removed its parts from {self._upload.folder}",
                hint="wait until it has ended, and run the same command again",
            ) from error

    def _replace(self, found: Stored) -> None:
        objects.delete(self._session, found)
        del self._there[found.name]

    def _in_the_way(self, found: Stored) -> LkcloudError:
        """Return the error of an object that is in a part's place; raise ImageChanged if that is why."""
        self._tarball.disk.check_unchanged()
        return Conflict(
            f"gcp: another run is uploading other bytes as {found.url}",
            hint="wait until it has ended, or stop it, and run the same command again",
        )

    def _name(self, number: int) -> str:
        # The size of parts is in the name, so that those of another version are never taken for ours.
        return f"{self._upload.folder}{PART // MIB}m-{number:06}"


def _holds(stored: Stored, crc: int, length: int) -> bool:
    """Tell whether the metadata of a part name CRC and LENGTH."""
    return stored.metadata.get(CRC) == f"{crc:08x}" and stored.metadata.get(LENGTH) == str(length)


def _whole(sources: Sequence[Stored]) -> Stored:
    """Return what SOURCES one after the other must be, by size and CRC-32C."""
    size, crc = 0, 0
    for source in sources:
        assert source.crc32c is not None  # every object has one
        size, crc = size + source.size, crc32c.combined(crc, source.crc32c, source.size)
    return Stored("", "", 0, size, crc, {})


def _fits(stored: Stored, wanted: Stored) -> bool:
    return (stored.size, stored.crc32c) == (wanted.size, wanted.crc32c)
