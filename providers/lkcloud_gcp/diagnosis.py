# SPDX-License-Identifier: Apache-2.0
"""What is found out about a project before a push; `remedies` has what mends it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import requests

from lkcloud.diagnosis import Diagnosis, Health, Purpose, Remedy, clock
from lkcloud.errors import NotAuthenticated, NotFound, Refused, UsageError
from lkcloud_gcp import checks, remedies
from lkcloud_gcp.diagnosis_bucket import Seen, look
from lkcloud_gcp.diagnosis_permissions import Permissions
from lkcloud_gcp.errors import disabled, status_of
from lkcloud_gcp.options import GcpOptions
from lkcloud_gcp.session import Session

COMPUTE = "compute.googleapis.com"

_SKEW = 300.0
"""Seconds. Google asks for `a reasonable timeframe` where a key signs, and names no number; others take this one."""

_TIMEOUT = 10.0

_IN_BUCKET = (Purpose.PUSH, Purpose.DELETE, Purpose.GC)
"""Commands that have to do with the bucket."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who asks: NAME for people, MEMBER as policies name it, "" where the credentials do not tell."""

    name: str
    member: str

    def told(self) -> Diagnosis:
        """Return who it is; without a name no role can be printed ready to be given."""
        if self.member:
            return Diagnosis("identity", Health.GOOD, self.name)
        why = "what gives it permissions cannot be printed ready to apply"
        return Diagnosis(
            "identity", Health.NOTE, self.name, why, Remedy("see what GOOGLE_APPLICATION_CREDENTIALS names")
        )


def diagnose(session: Session, options: GcpOptions, purposes: Sequence[Purpose]) -> Iterator[Diagnosis]:
    """Yield what was found; see `lkcloud.diagnosis.Diagnoses`."""
    time = _clock(session)
    try:
        session.token()
    except NotAuthenticated:
        if time.health is Health.PROBLEM:
            yield time  # a key that signs with a wrong clock is refused: that is what has to be mended
            return
        raise
    who = identity(session.credentials)
    yield who.told()
    yield time
    try:
        project = session.project
    except UsageError as error:
        yield Diagnosis("project", Health.PROBLEM, error.message, "images are made in a project", Remedy(error.hint))
        return
    compute = list(_compute(session, options, purposes))
    yield from compute
    if any(one.about == "project" and one.health is Health.PROBLEM for one in compute):
        return  # of a project that is not there nothing else can be told
    seen = look(session, options) if any(one in _IN_BUCKET for one in purposes) else Seen("", ())
    yield from seen.found
    yield from Permissions(session, options, who.member, seen.bucket).diagnose(purposes)
    if Purpose.SHARE in purposes and options.public:
        yield _policy(project)


def identity(credentials: Any) -> Identity:
    """Return whom CREDENTIALS of google-auth are of, as far as they say it without a request.

    Those of a key, of a machine and of an impersonated account have an address; those of a user have it where
    `gcloud auth application-default login` has written it down.
    """
    if email := str(getattr(credentials, "service_account_email", "") or ""):
        return Identity(f"the service account {email}", f"serviceAccount:{email}" if "@" in email else "")
    if email := str(getattr(credentials, "account", "") or ""):
        return Identity(f"the user {email}", f"user:{email}")
    return Identity(f"an identity that its credentials do not name ({type(credentials).__module__})", "")


def _clock(session: Session) -> Diagnosis:
    """Ask Cloud Storage anything, unsigned: the refusal tells the time."""
    with session.errors("asking for the time"):
        answer = requests.head(session.storage_url, timeout=_TIMEOUT)
    why = "a key's signature is taken in a reasonable timeframe only, and tokens seem to be good when they are not"
    return clock(answer.headers.get("Date", ""), limit=_SKEW, why=why)


def _compute(session: Session, options: GcpOptions, purposes: Sequence[Purpose]) -> Iterator[Diagnosis]:
    """Look at the project, through Compute Engine, and at the zone of the test instance."""
    project = session.project
    why = "images are made in the project"
    try:
        room = checks.images_of(session)
    except (NotFound, UsageError) as error:
        yield Diagnosis("project", Health.PROBLEM, error.message, why, Remedy(error.hint))
        return
    except Refused as error:
        if service := disabled(error.__cause__):
            what = f"{service} is not enabled in the project {project}"
            yield Diagnosis("api", Health.PROBLEM, what, "no image can be made", remedies.enable(project, service))
            return
        if "compute.projects.get" not in error.hint:
            yield Diagnosis("project", Health.PROBLEM, error.message, why, Remedy(error.hint))
            return
        yield Diagnosis(
            "project",
            Health.UNKNOWN,
            f"{project}, which this identity may not look at",
            "its quota is not known before the upload",
            Remedy(do="allow compute.projects.get"),
        )
    else:
        yield Diagnosis("project", Health.GOOD, project)
        if Purpose.PUSH in purposes and room is not None:
            yield _room(project, room)
    yield Diagnosis("api", Health.GOOD, f"{COMPUTE} is enabled")
    if Purpose.TEST in purposes:
        yield _zone(session, options.zone)


def _room(project: str, room: checks.Room) -> Diagnosis:
    if not room.full:
        return Diagnosis("quota", Health.GOOD, f"{room.used} of {room.limit} images")
    why = "the import ends with an error after the disk was sent"
    return Diagnosis("quota", Health.PROBLEM, f"the project {project} {room.told}", why, Remedy(room.remedy))


def _zone(session: Session, zone: str) -> Diagnosis:
    """Look at the zone of the test instance."""
    why = "the test instance is started there"
    another = Remedy(do="give another --zone (gcloud compute zones list)")
    try:
        shown = session.call(
            f"looking at the zone {zone}", lambda **how: session.zones.get(project=session.project, zone=zone, **how)
        )
    except (NotFound, UsageError):
        return Diagnosis("zone", Health.PROBLEM, f"there is no zone {zone}", why, another)
    except Refused as error:
        if status_of(error.__cause__) != 403:
            raise
        do = Remedy(do="allow compute.zones.get")
        return Diagnosis("zone", Health.UNKNOWN, f"{zone}, which this identity may not look at", why, do)
    if shown.status != "UP":
        return Diagnosis("zone", Health.PROBLEM, f"the zone {zone} is {shown.status}", why, another)
    return Diagnosis("zone", Health.GOOD, f"{zone}, of the region {shown.region.rpartition('/')[2]}")


def _policy(project: str) -> Diagnosis:
    """Tell of what forbids `allAuthenticatedUsers`: to ask for it needs an API and a permission that nothing else does.

    https://cloud.google.com/resource-manager/docs/organization-policy/restricting-domains
    """
    words = ("org-policies", "describe", "iam.allowedPolicyMemberDomains", f"--project={project}", "--effective")
    return Diagnosis(
        "organization policy",
        Health.UNKNOWN,
        "whether iam.allowedPolicyMemberDomains lets an image be public",
        "the image is made, and then cannot be shared with everybody",
        Remedy(do="ask who looks after the organization's policies, or look", commands=(remedies.command(*words),)),
    )
