# SPDX-License-Identifier: Apache-2.0
"""A tarball uploaded as one stream, in order, to a session that outlives the run that began it.

https://cloud.google.com/storage/docs/performing-resumable-uploads. Parts are compressed ahead, side by side. The
journal has the session's URL, and of each part where it ends in the stream; a later run asks the session how far it
is, and compresses again only the part at which it stopped.
"""

import contextlib
from collections import deque
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from itertools import islice

from lkcloud.errors import Conflict, Corrupt, ImageChanged, LkcloudError, Unreachable
from lkcloud.formats import gzip_member
from lkcloud.provider import Run
from lkcloud.reporting import Meter, Tally
from lkcloud.transfer.engine import Part
from lkcloud.transfer.journal import Transfer
from lkcloud.transfer.retry import retry
from lkcloud_gcp import crc32c, objects
from lkcloud_gcp.data_plane import CHUNK_UNIT, DataPlane, Progress
from lkcloud_gcp.errors import GcpFault, judge
from lkcloud_gcp.naming import DIGEST
from lkcloud_gcp.objects import Stored, Target
from lkcloud_gcp.options import GcpOptions
from lkcloud_gcp.session import Session
from lkcloud_gcp.tarball import MOST, PART, Packed, Tarball, packers

CHUNK = 32 * CHUNK_UNIT
"""Bytes of one request: what a lost connection costs, and the session's own memory of how far it is."""

_AHEAD = 3
"""Parts that are compressed, or being compressed, at a time."""
_SLOWEST = 128 * 1024
"""Bytes a second that the connection must reach for an attempt not to be given up."""
_TIMEOUT = max(60.0, CHUNK / _SLOWEST)
_SESSIONS = 3
"""Sessions that are begun in one run: one can be lost on Google's side, and is not each time."""


class _SessionLost(Exception):
    """The session is gone, or has not what it is known to have had."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """Of a part: where it ends in the stream, its own CRC-32, and the CRC-32C of the stream up to there."""

    end: int
    crc: int
    crc32c: int

    def text(self) -> str:
        """Return what the journal remembers."""
        return f"{self.end} {self.crc:08x} {self.crc32c:08x}"

    @classmethod
    def of(cls, text: str) -> "Receipt":
        """Read what `text` gave."""
        end, crc, stream = text.split()
        return cls(int(end), int(crc, 16), int(stream, 16))


@dataclass(frozen=True)
class Resumable:
    """Uploads TARBALL as TARGET."""

    session: Session
    options: GcpOptions
    tarball: Tarball
    target: Target

    def upload(self, transfer: Transfer, run: Run) -> Stored:
        """Return the object when it is there, whole and checked.

        Raises ImageChanged if the disk was written to meanwhile, with the session given up, and Corrupt if the object
        is not what was sent, with the object deleted.
        """
        with run.reporter.stage("upload") as meter:
            for _ in range(_SESSIONS):
                url = self._begin(transfer)
                with (
                    DataPlane.open(self.session, 1, url) as plane,
                    self.session.errors(f"uploading gs://{self.target.bucket}/{self.target.name}"),
                ):
                    try:
                        return self._stream(plane, url, transfer, meter, run.tally)
                    except _SessionLost:
                        transfer.forget()
                    except ImageChanged:
                        with contextlib.suppress(LkcloudError, GcpFault):  # it ends by itself within a week
                            plane.cancel(url, _TIMEOUT)
                        transfer.forget()
                        raise
        raise Unreachable(
            f"gcp: {_SESSIONS} resumable uploads were begun and lost",
            hint="run the same command again, or drop --method",
        )

    def _begin(self, transfer: Transfer) -> str:
        """Return the URL of the session to go on with, or of a new one."""
        if transfer.handle:
            return transfer.handle
        url = objects.begin_session(self.session, self.target)
        transfer.begin(url)
        return url

    def _stream(self, plane: DataPlane, url: str, transfer: Transfer, meter: Meter, tally: Tally) -> Stored:
        receipts = {number: Receipt.of(text) for number, text in transfer.receipts().items()}
        began = self.ask(partial(plane.status, url, _TIMEOUT)) if receipts else Progress(0)
        if began.stored is not None:
            raise _SessionLost  # it was finished, and the object is gone: else it would have been found
        first, ended = self._first(receipts, began.persisted)
        meter.expect(self.tarball.size, done=min(first * PART, self.tarball.size))
        sender = _Sender(self, plane, url, ended.end, began.persisted, tally=tally)
        crc = self._skipped_crc(receipts, first)
        stream = ended.crc32c
        with contextlib.closing(self._packed(first)) as packing:
            for part, packed in packing:
                end = sender.end + len(packed.data)
                stream = crc32c.combined(stream, packed.crc32c, len(packed.data))
                crc = gzip_member.combined(crc, packed.crc, packed.length)
                receipt = Receipt(end, packed.crc, stream)
                if receipts.get(part.number, receipt) != receipt:
                    raise _SessionLost  # what is there was compressed otherwise: another level, or another library
                # Before the bytes: what the session has is then never unknown.
                transfer.record(part.number, receipt.text())
                sender.add(packed.data)
                meter.advance(part.length)
        self.tarball.disk.check_unchanged()
        trailer = self.tarball.trailer(crc)
        stream = crc32c.combined(stream, trailer.crc32c, len(trailer.data))
        return self._checked(sender.finish(trailer.data, stream), sender.end, stream)

    def _first(self, receipts: Mapping[int, Receipt], persisted: int) -> tuple[int, Receipt]:
        """Return the first part that is to be compressed, and the receipt of the one before it.

        Raises _SessionLost if the session has more than is known of, or what is there is of a disk that had changed.
        """
        number, before = 0, Receipt(0, 0, 0)
        while (receipt := receipts.get(number)) is not None and receipt.end <= persisted:
            # A run that was killed may have read a disk that had changed, and that is as before by now.
            if self.tarball.crc(self.tarball.part(number)) != receipt.crc:
                self.tarball.disk.check_unchanged()
                raise _SessionLost
            number, before = number + 1, receipt
        if persisted > before.end and number not in receipts:
            raise _SessionLost
        return number, before

    def _skipped_crc(self, receipts: Mapping[int, Receipt], first: int) -> int:
        """Return the CRC-32 of the parts before FIRST."""
        crc = 0
        for number in range(first):
            crc = gzip_member.combined(crc, receipts[number].crc, self.tarball.part(number).length)
        return crc

    def _packed(self, first: int) -> Generator[tuple[Part, Packed], None, None]:
        """Yield the parts from FIRST on in order, compressed ahead side by side; each lasts until the next one."""
        pool = packers(min(_AHEAD, self.options.workers))
        free = [bytearray(MOST) for _ in range(_AHEAD)]
        waiting: deque[tuple[Part, bytearray, Future[Packed]]] = deque()
        rest = iter(range(first, self.tarball.count))
        try:
            while True:
                for number in islice(rest, len(free)):
                    part, buffer = self.tarball.part(number), free.pop()
                    waiting.append((part, buffer, pool.submit(self.tarball.pack, part, buffer)))
                if not waiting:
                    return
                part, buffer, packed = waiting.popleft()
                yield part, packed.result()
                del packed
                free.append(buffer)
        finally:
            pool.shutdown(cancel_futures=True)

    def ask(self, request: Callable[[], Progress]) -> Progress:
        """Make a request to the session, again as long as that may help. Raises _SessionLost if it is gone."""
        try:
            return retry(request, judge=judge, patience=300.0)
        except GcpFault as error:
            # https://cloud.google.com/storage/docs/resumable-uploads: start over at these two.
            if error.status in (404, 410):
                raise _SessionLost from error
            raise

    def other(self, error: GcpFault) -> Stored:
        """Return the object that another run has made meanwhile, of the same disk."""
        found = objects.find(self.session, self.target.bucket, self.target.name)
        if found is None or found.metadata.get(DIGEST) != self.target.metadata[DIGEST]:
            raise Conflict(
                f"gcp: gs://{self.target.bucket}/{self.target.name} is there, with other bytes",
                hint="wait for the run that made it, or delete it and run the same command again",
            ) from error
        return found

    def _checked(self, stored: Stored, size: int, crc: int) -> Stored:
        if (stored.size, stored.crc32c) == (size, crc):
            return stored
        objects.delete(self.session, stored)
        raise Corrupt(
            f"gcp: {stored.url} is not what was sent",
            hint="run the same command again; if it stays, check memory and network",
        )


class _Sender:
    """Sends a stream to the session URL in chunks; it begins at byte START, of which PERSISTED are there already."""

    def __init__(
        self, upload: Resumable, plane: DataPlane, url: str, start: int, persisted: int, *, tally: Tally
    ) -> None:
        self.end = start
        """Where the stream stands: the bytes that were added, and those before START."""
        self._upload = upload
        self._plane = plane
        self._url = url
        self._persisted = persisted
        self._tally = tally
        self._buffer = bytearray()
        """The bytes of the stream from `_held` on that are not known to be there."""
        self._held = start

    def add(self, data: bytes | memoryview) -> None:
        """Go on with DATA, and send what makes whole chunks."""
        self._append(data)
        while self.end - self._persisted > CHUNK:  # not the last byte: the last request must not be empty
            self._send(CHUNK, total=None, crc=None)

    def finish(self, data: bytes | memoryview, crc: int) -> Stored:
        """End with DATA; CRC is the CRC-32C of the whole stream. Return the object."""
        self._append(data)
        while True:
            stored = self._send(self.end - self._persisted, total=self.end, crc=crc)
            if stored is not None:
                return stored

    def _append(self, data: bytes | memoryview) -> None:
        self._buffer += data
        self.end += len(data)
        self._drop()

    def _drop(self) -> None:
        """Forget the bytes that are there."""
        if self._persisted > self._held:
            count = min(self._persisted - self._held, len(self._buffer))
            del self._buffer[:count]
            self._held += count

    def _send(self, length: int, *, total: int | None, crc: int | None) -> Stored | None:
        """Send LENGTH bytes once; take in how many of them were kept. Return the object if that was the last of it."""
        asking = False

        def attempt() -> Progress:
            nonlocal asking
            if asking:
                # Whether the bytes of the attempt before have got through is known there only.
                progress = self._plane.status(self._url, _TIMEOUT)
                if progress.stored is not None or progress.persisted != self._persisted:
                    return progress
            asking = True
            # Released at once: a buffer that there is a view of can neither grow nor shrink.
            with memoryview(self._buffer) as view, view[:length] as data:
                self._tally.add(len(data))
                progress = self._plane.put_chunk(
                    self._url, data, self._persisted, total=total, crc=crc, timeout=_TIMEOUT
                )
            if progress.stored is None and progress.persisted == self._persisted:
                raise GcpFault("storage.objects.insert", 503, "", "nothing of the chunk was kept")
            return progress

        try:
            progress = self._upload.ask(attempt)
        except GcpFault as error:
            if error.status != 412:
                raise
            return self._upload.other(error)
        if progress.stored is None and not self._held <= progress.persisted <= self.end:
            raise _SessionLost
        self._persisted = progress.persisted
        self._drop()
        return progress.stored
