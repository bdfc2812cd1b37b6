# SPDX-License-Identifier: Apache-2.0
"""The bucket that tarballs go through: the one that the user names, or one of the project's own, made where missing.

Names of buckets are the same for all of Google's customers, so whoever guesses ours could have it first, and would be
given disks: https://cloud.google.com/storage/docs/best-practices#naming
"""

import hashlib
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lkcloud.errors import LkcloudError, NotFound, Refused
from lkcloud.provider import Run
from lkcloud_gcp.errors import disabled, fault, status_of
from lkcloud_gcp.naming import FORMAT_VERSION, VERSION
from lkcloud_gcp.options import GcpOptions
from lkcloud_gcp.session import Session

if TYPE_CHECKING:
    from google.cloud import storage

KEPT_DAYS = 7
"""After so many days a bucket that lkcloud made deletes what is under the prefix."""

_LONGEST = 63
"""https://cloud.google.com/storage/docs/buckets#naming"""

_ANOTHER = "give --bucket with a bucket of your own"


@dataclass(frozen=True, slots=True)
class Settings:
    """How a bucket keeps things, in seconds, and who can be let in.

    RETENTION is how long each object must stay, for good if that is LOCKED, SOFT_DELETE how long what was removed is
    kept. CLOSED is whether nobody can make it public, UNIFORM whether its objects have no access lists of their own.
    """

    retention: int
    locked: bool
    soft_delete: int
    closed: bool
    uniform: bool


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket that may be used; OWN is whether it is the one that lkcloud makes for the project.

    SETTINGS are None where this identity may not look, or has just made it; they are no part of which bucket it is.
    """

    name: str
    location: str
    own: bool
    settings: Settings | None = field(default=None, compare=False)


def name(session: Session, options: GcpOptions) -> str:
    """Return the name of the bucket that OPTIONS mean, whether it is there or not."""
    return options.bucket or default_name(session.project)


def default_name(project: str) -> str:
    """Return the name of the bucket that lkcloud makes for a project.

    Ids of old projects of a domain have a colon and dots (`example.com:web`). A colon is not allowed in the name of a
    bucket, and one with a dot is given only to who owns the domain: https://cloud.google.com/storage/docs/buckets
    """
    plain = re.sub(r"[^a-z0-9-]", "-", project.lower())
    suffix = "-lkcloud"
    if len(plain) + len(suffix) > _LONGEST or plain != project:
        # Two projects must not come to the same name.
        mark = hashlib.sha256(project.encode()).hexdigest()[:8]
        plain = f"{plain[: _LONGEST - len(suffix) - len(mark) - 1]}-{mark}"
    return plain + suffix


def find(session: Session, options: GcpOptions) -> Bucket | None:
    """Return the bucket that OPTIONS mean, None if it is not there.

    One that the user named need not let us look at it: storage.objectUser, the role for its objects, does not
    (https://cloud.google.com/storage/docs/access-control/iam-roles). Its location is "" then.

    Raises Refused for one of our name that this identity may not see, or that is not the project's.
    """
    wanted = name(session, options)
    doing = f"looking for the bucket {wanted}"
    with session.errors(doing):
        try:
            found = session.attempt(lambda **how: session.storage.get_bucket(wanted, **how))
        except Exception as error:
            if status_of(error) == 404:
                return None
            if status_of(error) == 403 and options.bucket is None and not disabled(error):
                raise Refused(
                    f"gcp: the bucket {wanted} belongs to another project, or this identity may not see it",
                    hint=f"{_ANOTHER}, or allow storage.buckets.get on it",
                ) from error
            if options.bucket is not None and _may_not_look(error):
                return Bucket(wanted, "", own=False)
            raise
    if options.bucket is None:
        _require_ours(session, wanted)
    return Bucket(wanted, str(found.location or ""), options.bucket is None, _settings(found))


def _settings(shown: "storage.Bucket") -> Settings:
    return Settings(
        retention=int(shown.retention_period or 0),
        locked=bool(shown.retention_policy_locked),
        soft_delete=int(shown.soft_delete_policy.retention_duration_seconds or 0),
        closed=shown.iam_configuration.public_access_prevention == "enforced",
        uniform=bool(shown.iam_configuration.uniform_bucket_level_access_enabled),
    )


def _may_not_look(error: Exception) -> bool:
    answer = fault(error)
    return answer is not None and answer.status == 403 and "storage.buckets.get" in answer.message


def prepare(session: Session, options: GcpOptions, run: Run) -> Bucket:
    """Return the bucket that OPTIONS mean, after making it if it is the project's own.

    Raises NotFound if the one that the user named is not there, and what `find` raises.
    """
    if found := find(session, options):
        return found
    if options.bucket is not None:
        raise NotFound(
            f"gcp: there is no bucket {options.bucket}",
            hint="make it (gcloud storage buckets create), or leave --bucket out: then lkcloud makes one",
        )
    wanted = name(session, options)
    try:
        location = _make(session, options, wanted)
    except LkcloudError as error:
        # Somebody was quicker: another run of ours, an attempt of this one whose answer was lost, or a stranger.
        if status_of(error.__cause__) != 409:
            raise
        if found := find(session, options):
            return found
        raise Refused(f"gcp: the bucket {wanted} belongs to another project", hint=_ANOTHER) from error
    run.reporter.note(f"made the bucket {wanted} in {location}")
    return Bucket(wanted, location, own=True)


def _make(session: Session, options: GcpOptions, wanted: str) -> str:
    """Make a bucket that nothing becomes public in and that keeps nothing for long, and return its location."""

    def ask(*, timeout: float, retry: None) -> str:
        bucket = session.storage.bucket(wanted)
        bucket.iam_configuration.uniform_bucket_level_access_enabled = True
        bucket.iam_configuration.public_access_prevention = "enforced"
        # Parts are deleted within the hour, and would else be kept, and paid for, another week.
        bucket.soft_delete_policy.retention_duration_seconds = 0
        prefixes = [options.object_prefix] if options.object_prefix else None
        bucket.add_lifecycle_delete_rule(age=KEPT_DAYS, matches_prefix=prefixes)
        bucket.labels = {VERSION: FORMAT_VERSION}
        made = session.storage.create_bucket(
            bucket, project=session.project, location=options.bucket_location, timeout=timeout, retry=retry
        )
        return str(made.location or options.bucket_location)

    return session.call(f"making the bucket {wanted}", ask)


def _require_ours(session: Session, wanted: str) -> None:
    """Raise Refused unless the project's own list of buckets has this one."""

    def ask(*, timeout: float, retry: None) -> list[str]:
        buckets = session.storage.list_buckets(project=session.project, prefix=wanted, timeout=timeout, retry=retry)
        return [str(bucket.name) for bucket in buckets]

    try:
        ours = session.call(f"looking whose the bucket {wanted} is", ask)
    except Refused as error:
        # A stranger may have let all the world see it.
        raise Refused(
            f"gcp: whether the bucket {wanted} belongs to {session.project} cannot be seen: {error.message}",
            hint=f"allow storage.buckets.list on the project, or {_ANOTHER}",
        ) from error
    if wanted not in ours:
        raise Refused(f"gcp: the bucket {wanted} belongs to another project", hint=_ANOTHER)
