# SPDX-License-Identifier: Apache-2.0
"""From a disk to an image: validate, check, find, upload, register. Done twice, it makes nothing twice."""

import shlex
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from lkcloud.disk import BLOCK, Content, Disk
from lkcloud.disk.ahead import Reading, reading
from lkcloud.disk.inspect import inspect
from lkcloud.disk.readiness.foresight import foreseen
from lkcloud.errors import Conflict, LkcloudError, NotAuthenticated, Refused, Unreachable, UsageError
from lkcloud.life import withdrawal
from lkcloud.provider import (
    Copies,
    Finding,
    Image,
    Leaves,
    Promotes,
    Protects,
    Provider,
    Requires,
    Run,
    Shares,
    Source,
    Tidies,
)
from lkcloud.reporting import Reporter
from lkcloud.transfer.journal import Journal


@dataclass(frozen=True, slots=True)
class Plan:
    """What a push of a disk as NAME would do: EXISTING is the image of that name, FINDINGS are in the way.

    It can be sent to another process.
    """

    name: str
    size: int
    """Bytes of the disk."""
    data: int
    """Bytes of it that are not zero, in whole blocks of 512 KiB."""
    digest: str
    """Its content digest, 64 hexadecimal digits."""
    existing: Image | None
    findings: tuple[Finding, ...]
    error: type[LkcloudError] | None = None
    """What a push would raise for what stands in the way; None if nothing does."""

    @property
    def done(self) -> bool:
        """Whether the image is there already."""
        return self.existing is not None and self.existing.digest == self.digest and self.existing.ready

    @property
    def possible(self) -> bool:
        """Whether nothing stands in the way."""
        return self.error is None


@dataclass(frozen=True, slots=True)
class Pushed:
    """The image of a push; MADE is False where it was there already."""

    image: Image
    source: Source
    made: bool
    sent: int = 0
    """Bytes of the disk that travelled, in the cloud's format; none where all had arrived before."""
    seconds: float = 0.0
    """How long the push took, without a boot test."""


@contextmanager
def running(reporter: Reporter, *, remembering: bool = True) -> Iterator[Run]:
    """Open the journal for a run, and tell REPORTER if a damaged one had to be put aside.

    A run that uploads nothing needs no REMEMBERING, and so no state folder that can be written: its journal is
    thrown away.
    """
    with (
        nullcontext() if remembering else tempfile.TemporaryDirectory() as folder,
        Journal.open(Path(folder) / "journal.db" if folder else None) as journal,
    ):
        if journal.note:
            reporter.warn(journal.note)
        yield Run(journal=journal, reporter=reporter)


def plan(
    provider: Provider, disk: Disk, *, name: str, run: Run, description: str = "", replacing: bool = False
) -> Plan:
    """Find out what a push would do, making nothing; every finding is returned and none is raised."""
    source = Source(disk=disk, name=name, facts=inspect(disk), description=description)
    findings = [*_unwritable(source), *provider.validate(source), *_foreseen(provider, source)]
    error: type[LkcloudError] | None = UsageError if _obstacles(findings) else None
    with reading(disk) as begun:
        if error is None:
            findings += _check(provider, source, run)
            error = Refused if _obstacles(findings) else None
        content = _read(begun, run)
    source = replace(source, digest=content.digest)
    existing = None
    if error is None:
        existing = provider.find(name)
        conflict = _conflict(existing, source, replacing=replacing)
        if conflict:
            findings.append(Finding(conflict.message, conflict.hint))
            error = Conflict
    return Plan(name, disk.size, len(content) * BLOCK, source.digest, existing, tuple(findings), error)


def push(
    provider: Provider, disk: Disk, *, name: str, run: Run, description: str = "", replacing: bool = False
) -> Pushed:
    """Make DISK the image called NAME.

    The image that is there already is returned if its content is the same; with other content it is an error, unless
    REPLACING: then the old image is deleted when the new bytes have arrived.

    Raises UsageError for what can be seen to be impossible, Refused for what the cloud would refuse, Conflict for a
    name that is taken, and what the provider's methods raise.
    """
    began, before = time.monotonic(), run.tally.sent

    def pushed(image: Image, *, made: bool) -> Pushed:
        return Pushed(image, source, made, run.tally.sent - before, time.monotonic() - began)

    source = Source(disk=disk, name=name, facts=inspect(disk), description=description)
    offline = [*_unwritable(source), *provider.validate(source), *_foreseen(provider, source)]
    _require(offline, run.reporter, UsageError)
    with reading(disk) as begun:
        _require(_check(provider, source, run), run.reporter, Refused)
        source = replace(source, digest=_read(begun, run).digest)
    existing = provider.find(name)
    if conflict := _conflict(existing, source, replacing=replacing):
        raise conflict
    if existing and existing.digest == source.digest and existing.ready:
        run.reporter.note(f"{name} is there already as {existing.id}")
        _tidy(provider, source, run)
        return pushed(existing, made=False)
    blob = None
    try:
        blob = provider.upload(source, run)
        if existing and existing.digest != source.digest:
            run.reporter.note(f"replacing {existing.id}")
            provider.delete(existing)
        return pushed(provider.register(source, blob, run), made=True)
    except LkcloudError as error:
        if _has_left(provider, name, error, uploaded=blob is not None):
            removal = removal_command(provider.name, name)
            error.hint = f"{error.hint}; run it again to go on, or remove what is left: {removal}"
        raise


def copy(provider: Provider, image: Image, *, run: Run, replacing: bool = False) -> tuple[Image, ...]:
    """Copy IMAGE to the places that the options of PROVIDER name, and return the copies; see `Copies.copy`.

    A provider that cannot has no such options. Raises what its method raises.
    """
    return provider.copy(image, run, replacing=replacing) if isinstance(provider, Copies) else ()


def publish(provider: Provider, image: Image, *, run: Run, copies: Sequence[Image] = ()) -> None:
    """Share, promote and protect IMAGE and its COPIES as the options of PROVIDER say.

    This comes last: others may use them from then on. All are shared before the first is promoted. What a provider
    cannot do it has no options for. Raises what its methods raise.
    """
    images = (image, *copies)
    if isinstance(provider, Shares):
        for one in images:
            provider.share(one, run)
    if isinstance(provider, Promotes):
        for one in images:
            provider.promote(one, run)
    if isinstance(provider, Protects):
        for one in images:
            provider.protect(one, run)


def removal_command(cloud: str, name: str) -> str:
    """Return the command that removes what unfinished pushes of NAME have left on CLOUD."""
    return f"lkcloud delete {cloud} {shlex.quote(name)}"


def _tidy(provider: Provider, source: Source, run: Run) -> None:
    """Remove what an earlier push has left; the image is there, so nothing of that may fail this one."""
    if isinstance(provider, Tidies):
        try:
            provider.tidy(source, run)
        except LkcloudError as error:
            run.reporter.warn(f"{error.message} ({error.hint})")


def _has_left(provider: Provider, name: str, error: LkcloudError, *, uploaded: bool) -> bool:
    """Return whether the push of NAME that ended with ERROR has left something that can be found."""
    # Who cannot be reached would keep us waiting again.
    if not isinstance(provider, Leaves) or isinstance(error, Unreachable | NotAuthenticated):
        return False
    if isinstance(error, Conflict) and not uploaded:
        return False  # It is with a run that still goes on; one about the image leaves the upload.
    try:
        return next(iter(provider.leftovers(name)), None) is not None
    except LkcloudError:
        return False  # The first error is the one to tell.


def _unwritable(source: Source) -> Iterator[Finding]:
    """Yield whether the description cannot be written: an argument that is not UTF-8 has lone surrogates for bytes."""
    try:
        source.description.encode()
    except UnicodeEncodeError:
        yield Finding("the description is not UTF-8", "give --description in UTF-8")


def _foreseen(provider: Provider, source: Source) -> Iterator[Finding]:
    """Yield what the disk itself shows of how it will fare there: no obstacle, since it may know better."""
    if isinstance(provider, Requires):
        for check in foreseen(provider.name, provider.needs(), source.disk, source.facts):
            hint = check.hint or "see `lkcloud inspect --for`"
            yield Finding(f"{check.aspect}: {check.what}", hint, obstacle=False)


def _check(provider: Provider, source: Source, run: Run) -> list[Finding]:
    with run.reporter.stage("check"):
        return list(provider.check(source))


def _read(begun: Reading, run: Run) -> Content:
    with run.reporter.stage("read") as meter:
        return begun.content(meter)


def _obstacles(findings: Iterable[Finding]) -> bool:
    return any(finding.obstacle for finding in findings)


def _conflict(existing: Image | None, source: Source, *, replacing: bool) -> Conflict | None:
    """Return the error of a name that an image with other content has, or one that is about to be deleted."""
    if existing is not None and existing.digest == source.digest:
        return withdrawal.conflict(existing)
    if existing is None or replacing:
        return None
    origin = f"content {existing.digest[:12]}" if existing.digest else "content that lkcloud did not upload"
    return Conflict(
        f"{existing.cloud}: the name {existing.name} is taken by {existing.id}, with {origin}",
        hint="give --replace to put this image in its place, or choose another --name",
    )


def _require(findings: Iterable[Finding], reporter: Reporter, error: type[LkcloudError]) -> None:
    """Raise ERROR for the first obstacle; the others are told, so that they can be mended in one go."""
    obstacles: list[Finding] = []
    for finding in findings:
        if finding.obstacle:
            obstacles.append(finding)
        else:
            reporter.warn(f"{finding.problem} ({finding.hint})")
    for finding in obstacles[1:]:
        reporter.warn(f"{finding.problem} ({finding.hint})")
    if obstacles:
        raise error(obstacles[0].problem, hint=obstacles[0].hint)
