# SPDX-License-Identifier: Apache-2.0
"""What Google says before anything is made: who we are, the project and its APIs, permissions, quota, the bucket."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import ClassVar

from lkcloud.errors import LkcloudError, NotAuthenticated, NotFound, Refused, Unreachable, UsageError
from lkcloud.provider import Finding, Source
from lkcloud_gcp import bucket, images, resource_manager
from lkcloud_gcp.options import GcpOptions
from lkcloud_gcp.session import Session

_DELETE = "storage.objects.delete"
_OBJECTS = ("storage.objects.create", _DELETE, "storage.objects.get", "storage.objects.list")
"""What an upload does with the objects of the bucket; composing creates, and reads the parts."""

_DAY = 86_400


def check(session: Session, options: GcpOptions, source: Source) -> Iterator[Finding]:
    """Yield what Google knows to stand in the way.

    Raises NotAuthenticated without valid credentials, UsageError without a project.
    """
    _ = session.project
    session.token()
    questions: list[Callable[[], list[Finding]]] = [
        lambda: _project(session, source),
        lambda: _permissions(session, options),
        lambda: _bucket(session, options),
    ]
    # Clients are made here: two threads would make two.
    _ = session.projects, session.images, session.storage
    with ThreadPoolExecutor(len(questions)) as threads:
        for findings in threads.map(lambda ask: ask(), questions):
            yield from findings


@dataclass(frozen=True, slots=True)
class Room:
    """How many images a project has, and may have."""

    used: int
    limit: int

    remedy: ClassVar[str] = "delete images that are not needed (lkcloud list gcp), or ask for a higher quota"

    @property
    def full(self) -> bool:
        """Whether there is no room for another."""
        return self.used >= self.limit

    @property
    def told(self) -> str:
        """What a project has, as the end of a sentence about it."""
        return f"has {self.used} images and may have {self.limit}"


def images_of(session: Session) -> Room | None:
    """Look at the project (compute.projects.get), and return how many images it has; None where that is not told.

    Raises NotFound or UsageError for a project that does not exist, Refused where Compute Engine is not enabled or
    this identity may not look.
    """
    project = session.project
    shown = session.call(
        f"looking at the project {project}", lambda **how: session.projects.get(project=project, **how)
    )
    found = (Room(round(quota.usage), round(quota.limit)) for quota in shown.quotas if quota.metric == "IMAGES")
    return next(found, None)


def granted_on(session: Session, name: str, permissions: Sequence[str]) -> list[str]:
    """Return which of PERMISSIONS we have on the bucket NAME; none is needed to ask.

    https://cloud.google.com/storage/docs/json_api/v1/buckets/testIamPermissions
    """
    have: list[str] = session.call(
        f"asking what is allowed on the bucket {name}",
        lambda **how: session.storage.bucket(name).test_iam_permissions(list(permissions), **how),
    )
    return have


def _project(session: Session, source: Source) -> list[Finding]:
    """Look at the project: that it is there, that Compute Engine is enabled, and that there is room for an image.

    Who may push need not be allowed to look.
    """
    project = session.project
    try:
        room = images_of(session)
    except (NotFound, UsageError) as error:
        return [Finding(error.message, "check --project: it takes the project's id, not its title")]
    except Refused as error:
        if "compute.projects.get" not in error.hint:
            return [Finding(error.message, error.hint)]
        hint = "allow compute.projects.get to have project and quota checked before the upload"
        return [Finding(error.message, hint, obstacle=False)]
    if room is None or not room.full or images.get(session, source.name) is not None:
        return []
    return [Finding(f"the project {project} {room.told}", room.remedy)]


def _permissions(session: Session, options: GcpOptions) -> list[Finding]:
    """Ask whether we may make an image at all; Compute Engine itself has nothing that tells before one is made.

    A role can be given for some names of images only, which the project does not know of: so this is no obstacle.
    """
    wanted = ["compute.images.create"]
    if options.family:
        wanted.append("compute.images.update")
    if options.share_with or options.public:
        wanted += ["compute.images.getIamPolicy", "compute.images.setIamPolicy"]
    missing = resource_manager.missing(session, wanted)
    if not missing:
        return []
    return [
        Finding(
            f"on the project {session.project} this identity has no permission {' or '.join(missing)}",
            "allow it, see docs/gcp.md, unless a role for images of this name does",
            obstacle=False,
        )
    ]


def _bucket(session: Session, options: GcpOptions) -> list[Finding]:
    """Look at the bucket: that it is there and ours, that objects can be made in it and removed again."""
    try:
        found = bucket.find(session, options)
    except (NotAuthenticated, Unreachable):
        raise  # nothing is known of the bucket
    except LkcloudError as error:
        return [Finding(error.message, error.hint)]
    if found is None:
        if options.bucket is None:
            return []  # the upload makes it
        return [
            Finding(
                f"there is no bucket {options.bucket}",
                "make it (gcloud storage buckets create), or leave --bucket out: then lkcloud makes one",
            )
        ]
    return [*_allowed(session, options, found.name), *_kept(options, found)]


def removes(options: GcpOptions) -> bool:
    """Tell whether a push removes objects: parts, or the tarball in the end."""
    return options.method == "composite" or not options.keep_object


def _allowed(session: Session, options: GcpOptions, name: str) -> list[Finding]:
    """Ask whether we have what an upload needs on the bucket."""
    have = granted_on(session, name, _OBJECTS)
    needed = [permission for permission in _OBJECTS if permission != _DELETE or removes(options)]
    missing = [permission for permission in needed if permission not in have]
    if not missing:
        return []
    return [
        Finding(
            f"on the bucket {name} this identity has no permission {' or '.join(missing)}",
            "allow it: the role storage.objectUser has all that an upload needs (docs/gcp.md)",
        )
    ]


def _kept(options: GcpOptions, found: bucket.Bucket) -> list[Finding]:
    """Tell of a bucket that keeps what is to be removed after the upload or the import."""
    seconds = found.settings.retention if found.settings else 0
    if not seconds or not removes(options):
        return []
    return [
        Finding(
            f"the bucket {found.name} keeps each object for {max(1, seconds // _DAY)} days: "
            "nothing could be removed again",
            "give a --bucket without a retention policy, or --method resumable --keep-object",
        )
    ]
