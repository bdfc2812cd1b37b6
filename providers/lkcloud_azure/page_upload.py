# SPDX-License-Identifier: Apache-2.0
"""A disk's pages written, and compared with what Azure then says that it holds.

Order makes it safe: the pages, the comparison, a look whether the disk has changed, and last the footer, without which
the bytes are no disk. The bytes of each request are compared by their CRC64, which pages are there by Get Page Ranges.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from heapq import merge

from lkcloud.disk import Disk
from lkcloud.disk.extent import Extent
from lkcloud.errors import Corrupt
from lkcloud.provider import Run
from lkcloud.reporting import Meter, Silent
from lkcloud.transfer.buffers import Buffers
from lkcloud.transfer.engine import Limits, Part, send
from lkcloud.transfer.journal import Transfer
from lkcloud.transfer.retry import retry
from lkcloud_azure.data_plane import DataPlane
from lkcloud_azure.errors import judge, retry_after
from lkcloud_azure.options import AzureOptions
from lkcloud_azure.pages import GAP, MOST, Plan, cut, without
from lkcloud_azure.session import Session

SCHEME = f"{MOST}/{GAP}"
"""What the numbers of parts depend on besides the disk: receipts of another scheme are of other parts."""

_PATIENCE = 600.0
"""Seconds for one part: a page blob that is asked too much of throttles for long."""

_TIMEOUT = 60.0
"""Seconds for one request: 4 MiB at 70 KiB/s."""


def _limits(options: AzureOptions) -> Limits:
    """Return how hard the engine tries."""
    return Limits(workers=options.workers, patience=_PATIENCE, attempt_timeout=_TIMEOUT, rate=options.rate)


@dataclass
class PageUpload:
    """Writes DISK, as PLAN has it, by way of PLANE to what messages call TARGET.

    CLEARS says whether pages can be cleared there; zeros are written otherwise.
    """

    session: Session
    options: AzureOptions
    disk: Disk
    plan: Plan
    plane: DataPlane
    target: str
    run: Run
    clears: bool
    _zeroed: list[Extent] = field(default_factory=list)
    """What was written as zeros where nothing had been sent: Azure holds it from then on."""

    def __post_init__(self) -> None:
        self._buffers = Buffers(MOST)

    def write(self, transfer: Transfer) -> str:
        """Write all that TRANSFER has no receipt of, and return the ETag of the blob when it is whole.

        A page that Azure holds and that the journal has no receipt of is written again: only who has sent it knows
        what is in it. Raises ImageChanged if the disk was written to meanwhile, before anything of that is sent, and
        Corrupt if Azure does not hold what was sent.
        """
        with self.run.reporter.stage("upload") as meter, self.session.errors(f"writing {self.target}"):
            meter.expect(self.plan.total + self.plan.footer.length)
            self.plane.access.credentials()  # before many workers ask for them at once
            self._send(self.plan.parts(), self._put, meter, transfer)
            self.audit(whole=False)
            self.disk.check_unchanged()
            footer = Part(0, self.plan.footer.offset, self.plan.footer.length)
            self._send(iter((footer,)), self._put, meter)
            return self.audit(whole=True)

    def audit(self, *, whole: bool) -> str:
        """Compare what Azure holds with what was sent, mend it once, and return the ETag of the blob.

        What is held must have been sent; and what was sent must be held, as far as it is not zero. WHOLE says that the
        footer must be there. Raises Corrupt if it is still different then.
        """
        with self.session.errors(f"comparing {self.target}"):
            for mend in (True, False):
                held = retry(
                    lambda: self.plane.held(_TIMEOUT), judge=judge, attempts=8, patience=_PATIENCE, least=retry_after
                )
                missing = [gap for gap in without(self._sent(whole), held.extents) if self.plan.holds_data(gap)]
                foreign = list(without(held.extents, merge(self._sent(True), self._zeroed)))
                if not missing and not foreign:
                    return held.etag
                if mend:
                    self._mend(missing, foreign)
        wrong = (*missing, *foreign)[0]
        raise Corrupt(
            f"azure: {self.target} does not hold what was sent, at byte {wrong.offset}",
            hint="delete it and run the same command again; if it stays, see that nothing else writes to it",
        )

    def _sent(self, whole: bool) -> Iterator[Extent]:
        yield from self.plan.written()
        if whole:
            yield self.plan.footer

    def _mend(self, missing: list[Extent], foreign: list[Extent]) -> None:
        """Send again what is MISSING, and let FOREIGN be zeros."""
        count = sum(extent.length for extent in (*missing, *foreign))
        self.run.reporter.note(f"{count} bytes of {self.target} are not what was sent: they are written again")
        with Silent().stage("") as meter:
            self._send(_parts(missing), self._put, meter)
            if self.clears:
                pieces = (Part(number, *extent) for number, extent in enumerate(foreign))
                self._send(pieces, self._clear, meter)
            else:
                self._send(_parts(foreign), self._put_zeros, meter)
                self._zeroed = list(merge(self._zeroed, foreign))

    def _send(
        self,
        parts: Iterator[Part],
        put: Callable[[Part, float], str],
        meter: Meter,
        transfer: Transfer | None = None,
    ) -> None:
        how = _limits(self.options)
        send(parts, put, judge=judge, limits=how, meter=meter, transfer=transfer, least=retry_after)

    def _put(self, part: Part, timeout: float) -> str:
        data = self._buffers.own()[: part.length]
        self.plan.layout.readinto(part.offset, data)
        # Nothing but the bytes of the digest is sent, and so a receipt is always one of these.
        self.disk.check_unchanged()
        self.run.tally.add(part.length)
        self.plane.write(part.offset, data, timeout)
        return ""

    def _put_zeros(self, part: Part, timeout: float) -> str:
        self.run.tally.add(part.length)
        self.plane.write(part.offset, memoryview(bytes(part.length)), timeout)
        return ""

    def _clear(self, part: Part, timeout: float) -> str:
        self.plane.clear(Extent(part.offset, part.length), timeout)
        return ""


def _parts(extents: list[Extent]) -> Iterator[Part]:
    """Yield the requests that write EXTENTS, with numbers of their own."""
    pieces = (piece for extent in extents for piece in cut(extent))
    return (Part(number, *piece) for number, piece in enumerate(pieces))
