# SPDX-License-Identifier: Apache-2.0
"""What is found out about an AWS account before a push; `remedies` has what mends it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lkcloud.diagnosis import Diagnosis, Health, Purpose, Remedy, clock
from lkcloud.errors import LkcloudError
from lkcloud.permissions import needed
from lkcloud.provider import Finding
from lkcloud_aws import checks, distribution, policy, promotion, regions, remedies
from lkcloud_aws.allowed import Asking
from lkcloud_aws.diagnosis_import import Import
from lkcloud_aws.errors import explain, fault
from lkcloud_aws.launch import DEFAULT_TYPES
from lkcloud_aws.options import AwsOptions, Destination
from lkcloud_aws.permissions import PERMISSIONS, SMALL
from lkcloud_aws.session import Session

SNAPSHOTS = "L-309BACF6"
"""How many snapshots a region may have (Service Quotas, Amazon EBS, Snapshots per Region)."""

_SKEW = 300.0
"""Seconds: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-troubleshooting.html; S3 allows 900."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who asks: ARN as STS has it, the ACCOUNT, and the IAM user or role (KIND, "" for the root user) behind it."""

    arn: str
    account: str
    kind: str
    name: str

    @property
    def partition(self) -> str:
        """The partition: `aws`, `aws-cn`, `aws-us-gov`."""
        return self.arn.split(":")[1]

    @property
    def principal(self) -> str:
        """Return the ARN that policies are given to."""
        return f"arn:{self.partition}:iam::{self.account}:{self.kind}/{self.name}"


def diagnose(session: Session, options: AwsOptions, purposes: Sequence[Purpose]) -> Iterator[Diagnosis]:
    """Yield what was found; see `lkcloud.diagnosis.Diagnoses`. Raises UsageError for a region that does not exist."""
    session.region  # noqa: B018 - raises, before any request
    met = _meet(session)
    yield from met.found
    if met.identity is None:
        return
    yield from _permissions(session, options, met.identity, purposes)
    if Purpose.PUSH in purposes:
        yield from _snapshots(session)
        if options.method == "import":
            yield from Import(session, options, met.identity.account).diagnose()
    yield from _afterwards(session, options, purposes)


@dataclass(frozen=True, slots=True)
class _Met:
    identity: Identity | None
    found: tuple[Diagnosis, ...]


def _meet(session: Session) -> _Met:
    """Ask who we are; the answer tells the time, too."""
    why = "AWS takes no request that was signed more than five minutes ago, or will be"
    enabled = "a region that is not enabled knows nobody's credentials"
    try:
        strangers = list(checks.identity(session))
        if strangers:
            return _Met(None, (_told("region", strangers[0], enabled, remedies.enable_region(session.region)),))
        answer = session.attempt(session.sts.get_caller_identity)
    except Exception as error:
        cause = error.__cause__ if isinstance(error, LkcloudError) else error
        told = clock(_headers(getattr(cause, "response", {})).get("date", ""), limit=_SKEW, why=why)
        if told.health is Health.PROBLEM:
            return _Met(None, (told,))
        raise explain(error, "asking who we are") if not isinstance(error, LkcloudError) else error from error
    identity = _identity(answer["Arn"], answer["Account"])
    date = _headers(answer).get("date", "")
    found = [
        Diagnosis("identity", Health.GOOD, f"{identity.arn}, of the account {identity.account}"),
        Diagnosis("region", Health.GOOD, session.region),
        clock(date, limit=_SKEW, why=why),
    ]
    if not identity.kind:
        # https://docs.aws.amazon.com/IAM/latest/UserGuide/root-user-best-practices.html
        remedy = Remedy(do="make a user or a role for lkcloud (terraform/aws does)")
        found[0] = Diagnosis("identity", Health.NOTE, f"{identity.arn}: the root user", "it may do everything", remedy)
    return _Met(identity, tuple(found))


def _headers(answer: Mapping[str, Any]) -> Mapping[str, str]:
    headers: Mapping[str, str] = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    return headers


def _identity(arn: str, account: str) -> Identity:
    """Take apart what STS says: `user/path/name`, `assumed-role/name/session` or `root`."""
    kind, _, rest = arn.split(":", 5)[5].partition("/")
    if kind == "assumed-role":
        return Identity(arn, account, "role", rest.partition("/")[0])
    return Identity(arn, account, "user" if kind == "user" else "", rest)


def _permissions(
    session: Session, options: AwsOptions, identity: Identity, purposes: Iterable[Purpose]
) -> Iterator[Diagnosis]:
    if not identity.kind:
        return  # nothing has to be given to the root user
    places = _places(options, identity)
    chosen = options.instance_type or DEFAULT_TYPES["x86_64"]
    asking = Asking(session, identity.principal, places, chosen)
    for purpose in purposes:
        uses = _uses(options, purpose)
        wanted = needed(PERMISSIONS, uses, helps=False)
        answer = asking.of(wanted)
        remedy = remedies.policy(
            f"lkcloud-{purpose.value}",
            policy.document(PERMISSIONS, uses, places),
            kind=identity.kind,
            holder=identity.name.rpartition("/")[2],
        )
        if answer.missing:
            what = f"{purpose.value}: not allowed {', '.join(answer.missing)}"
            why = f"`lkcloud {purpose.value}` ends with an error where it needs one of them"
            yield Diagnosis("permissions", Health.PROBLEM, what, why, remedy)
        if answer.unknown:
            yield Diagnosis(
                "permissions",
                Health.UNKNOWN,
                f"{purpose.value}: nothing is known of {', '.join(answer.unknown)}",
                "without a dry run it is IAM that tells, and it may not be asked",
                Remedy(do="allow iam:SimulatePrincipalPolicy"),
            )
        if not answer.missing and not answer.unknown:
            count = len({one.action for one in wanted})
            yield Diagnosis("permissions", Health.GOOD, f"{purpose.value}: all {count} are allowed")


def _uses(options: AwsOptions, purpose: Purpose) -> list[str]:
    """Return the words of `permissions.USES` that PURPOSE is with OPTIONS."""
    if purpose is Purpose.PUSH:
        return [options.method, *(["encrypt"] if options.kms_key else [])]
    if purpose is Purpose.SHARE:
        return ["share", *(["share-snapshot"] if options.share_snapshot else [])]
    return [purpose.value]


def _places(options: AwsOptions, identity: Identity) -> Mapping[str, Sequence[str]]:
    """Return what goes into the places of the ARNs; what has no name yet can have any."""
    key = options.kms_key or ""
    keys = f"arn:{identity.partition}:kms:*:{identity.account}:key/*"
    return {
        "partition": (identity.partition,),
        "account": (identity.account,),
        "bucket": (options.bucket,) if options.bucket else (),
        "source": (),
        "role": (options.role,),
        "parameter": tuple(name.removeprefix("/") for name in options.ssm_parameter) or ("*",),
        "key": ((key if key.startswith("arn:") and ":key/" in key else keys),) if key else (),
        "instance_type": tuple(dict.fromkeys((*([options.instance_type] if options.instance_type else []), *SMALL))),
    }


def _snapshots(session: Session) -> Iterator[Diagnosis]:
    """Count the snapshots of the region, and compare that with what there may be."""
    where = session.region

    def count() -> int:
        pages = session.ec2.get_paginator("describe_snapshots").paginate(
            OwnerIds=["self"], PaginationConfig={"PageSize": 1000}
        )
        return sum(len(page["Snapshots"]) for page in pages)

    try:
        asked = session.attempt(lambda: session.quotas.get_service_quota(ServiceCode="ebs", QuotaCode=SNAPSHOTS))
        quota, there = int(asked["Quota"]["Value"]), session.attempt(count)
    except Exception as error:
        if fault(error) is None:
            raise explain(error, "asking for the quota of snapshots") from error
        remedy = Remedy(do=explain(error, "asking for the quota of snapshots").hint)
        yield Diagnosis("quota", Health.UNKNOWN, f"cannot look at the quota of snapshots in {where}", "", remedy)
        return
    what = f"{there:,} of {quota:,} snapshots in {where}"
    if there < quota:
        yield Diagnosis("quota", Health.GOOD, what)
        return
    more = remedies.raise_quota("ebs", SNAPSHOTS, quota + max(100, quota // 10), where)
    yield Diagnosis("quota", Health.PROBLEM, what, "no further snapshot can be made, and so no image", more)


def _afterwards(session: Session, options: AwsOptions, purposes: Sequence[Purpose]) -> Iterator[Diagnosis]:
    """Look at what stands in the way of copying, sharing and promoting, in each region that the image is to be in."""
    copies = [one for one in options.destinations if one.region != session.region]
    home = Destination(session.region)
    places = [home]
    if copies and Purpose.COPY in purposes:
        unusable = regions.unusable(session, [one.region for one in copies])
        for one in copies:
            if finding := unusable.get(one.region):
                why = f"the image cannot be copied to {one.region}"
                yield _told("region", finding, why, remedies.enable_region(one.region), bearable=one.optional)
            else:
                yield Diagnosis("region", Health.GOOD, f"{one.region} is enabled")
                places.append(one)
    for one in places:
        at = session.at(one.region)
        if Purpose.SHARE in purposes and (options.public or options.share_with):
            place = distribution.Place(at, one, home, options, None)
            yield from _sharing(place)
        if Purpose.PROMOTE in purposes:
            for finding in promotion.check(at, options):
                yield _told("parameter", finding, "the parameter cannot lead to the image")


def _sharing(place: distribution.Place) -> Iterator[Diagnosis]:
    options, region, optional = place.options, place.session.region, place.destination.optional

    def told(about: str, found: Iterable[Finding], why: str, remedy: Remedy, good: str) -> Iterator[Diagnosis]:
        looked = [_told(about, one, why, remedy, bearable=optional) for one in found]
        yield from looked or [Diagnosis(about, Health.GOOD, good)]

    why = "what is encrypted with AWS's own key cannot be shared, and what is encrypted at all cannot be public"
    remedy = remedies.encrypt_nothing_by_default(region)
    yield from told("encryption", place.encryption(), why, remedy, f"snapshots in {region} can be shared")
    if not options.public:
        return
    why = "the image boots and is copied, and then cannot be made public"
    kinds: tuple[distribution.Kind, ...] = ("image", "snapshot") if options.share_snapshot else ("image",)
    for kind in kinds:
        remedy = remedies.unblock(kind, region)
        yield from told("public", place.blocked(kind), why, remedy, f"{kind}s in {region} can be public")
    quota, there = place.public_images
    known = there if isinstance(quota, Finding) else int(quota)
    remedy = remedies.raise_quota("ec2", distribution.QUOTA, known + 5, region)
    yield from told("quota", place.quota(), why, remedy, f"{there} of {known} public images in {region}")


def _told(about: str, finding: Finding, why: str, remedy: Remedy | None = None, *, bearable: bool = False) -> Diagnosis:
    """Return what a check has found; one that is no obstacle could not be looked at."""
    if not finding.obstacle:
        return Diagnosis(about, Health.UNKNOWN, finding.problem, why, Remedy(do=finding.hint))
    health = Health.NOTE if bearable else Health.PROBLEM
    return Diagnosis(about, health, finding.problem, why, remedy or Remedy(do=finding.hint))
