# SPDX-License-Identifier: Apache-2.0
"""What is found out about the bucket that tarballs go through."""

from collections.abc import Iterator
from dataclasses import dataclass

from lkcloud.diagnosis import Diagnosis, Health, Remedy
from lkcloud.errors import LkcloudError, NotAuthenticated, Unreachable
from lkcloud_gcp import bucket, checks, remedies
from lkcloud_gcp.bucket import Bucket, Settings
from lkcloud_gcp.errors import disabled
from lkcloud_gcp.options import GcpOptions
from lkcloud_gcp.session import Session

_DAY = 86_400
_SENT = "the disk goes through it on its way to Compute Engine"


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen: the name of the BUCKET, "" where there is none that could be used, and what was FOUND."""

    bucket: str
    found: tuple[Diagnosis, ...]


def look(session: Session, options: GcpOptions) -> Seen:
    """Look at the bucket that OPTIONS mean. Raises NotAuthenticated and Unreachable."""
    name = bucket.name(session, options)
    try:
        found = bucket.find(session, options)
    except (NotAuthenticated, Unreachable):
        raise
    except LkcloudError as error:
        if service := disabled(error.__cause__):
            what = f"{service} is not enabled in the project {session.project}"
            told = Diagnosis("api", Health.PROBLEM, what, _SENT, remedies.enable(session.project, service))
        else:
            told = Diagnosis("bucket", Health.PROBLEM, error.message, _SENT, Remedy(error.hint))
        return Seen("", (told,))
    if found is not None:
        return Seen(found.name, tuple(_found(options, found)))
    if options.bucket is None:
        what = f"{name} is not there yet: the first push makes it, in {options.bucket_location}"
        return Seen("", (Diagnosis("bucket", Health.GOOD, what),))
    remedy = remedies.make_bucket(options, session.project, name)
    return Seen("", (Diagnosis("bucket", Health.PROBLEM, f"there is no bucket {name}", _SENT, remedy),))


def _found(options: GcpOptions, found: Bucket) -> Iterator[Diagnosis]:
    """Yield what there is to tell of a bucket that is there."""
    settings = found.settings
    if settings is None:
        yield Diagnosis(
            "bucket",
            Health.UNKNOWN,
            f"{found.name}, which this identity may use and not look at",
            "a retention policy is seen when nothing can be removed again",
            Remedy(do="allow storage.buckets.get on it"),
        )
        return
    told = list(_unwell(options, found.name, settings))
    yield from told or [Diagnosis("bucket", Health.GOOD, f"{found.name}, in {found.location}")]


def _unwell(options: GcpOptions, name: str, settings: Settings) -> Iterator[Diagnosis]:
    if settings.retention and checks.removes(options):
        days = max(1, settings.retention // _DAY)
        what = f"{name} keeps each object for {days} days"
        why = "nothing that was sent could be removed again, and parts could not be put together"
        remedy = Remedy(do="give another --bucket: this policy is locked, for good")
        if not settings.locked:
            do = "or give another --bucket, or --method resumable --keep-object"
            remedy = remedies.change_bucket(name, "--clear-retention-period", do)
        yield Diagnosis("bucket", Health.PROBLEM, what, why, remedy)
    if not settings.closed:
        why = "disks that nobody has tested are in it for the time of a push"
        remedy = remedies.change_bucket(name, "--public-access-prevention")
        yield Diagnosis("bucket", Health.NOTE, f"{name} can be made public", why, remedy)
    if not settings.uniform:
        why = "access lists of objects can let in whom no policy names"
        remedy = remedies.change_bucket(name, "--uniform-bucket-level-access")
        yield Diagnosis("bucket", Health.NOTE, f"the objects of {name} have access lists of their own", why, remedy)
    if settings.soft_delete:
        what = f"{name} keeps what was removed for {settings.soft_delete // _DAY} days"
        remedy = remedies.change_bucket(name, "--clear-soft-delete")
        yield Diagnosis("bucket", Health.NOTE, what, "the parts of each push are paid for as long", remedy)
