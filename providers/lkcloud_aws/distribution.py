# SPDX-License-Identifier: Apache-2.0
"""What AWS knows, before an image is made, to stand in the way of copying, sharing and promoting it.

All of it is asked in each region that the image is to be in.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeVar

from lkcloud.provider import Finding, Source
from lkcloud_aws import promotion, regions
from lkcloud_aws.errors import action_of, explain, fault
from lkcloud_aws.naming import DIGEST, filter_value
from lkcloud_aws.options import AwsOptions, Destination
from lkcloud_aws.session import Session
from lkcloud_aws.sharing import unblocking

T = TypeVar("T")
Kind = Literal["image", "snapshot"]

QUOTA = "L-0E3CBAB9"
"""How many images of a region may be public (NixOS/amis#37)."""

_DEFAULT_KEY = "alias/aws/ebs"
_NOBODY = "ami-ffffffffffffffff0"
"""An image that does not exist: whether we may is told before that."""


def check(session: Session, options: AwsOptions, source: Source) -> Iterator[Finding]:
    """Yield what stands in the way of what the options want done with the image afterwards."""
    wanted = [one for one in options.destinations if one.region != session.region]
    shares = options.public or bool(options.share_with)
    if not (wanted or shares or options.ssm_parameter):
        return
    unusable = regions.unusable(session, [one.region for one in wanted])
    for one in wanted:
        if finding := unusable.get(one.region):
            yield Finding(finding.problem, finding.hint, obstacle=not one.optional)
    home = Destination(session.region)
    usable = [home, *(one for one in wanted if one.region not in unusable)]
    places = [Place(session.at(one.region), one, home, options, source.name) for one in usable]
    for place in places:
        place.prepare()
    with ThreadPoolExecutor(min(len(places), 20)) as threads:
        for findings in threads.map(Place.check, places):
            yield from findings


@dataclass(frozen=True)
class Place:
    """A region that the image is to be in: the one that it is made in, which is HOME, or one that it is copied to."""

    session: Session
    destination: Destination
    home: Destination
    options: AwsOptions
    name: str | None
    """The image's, where it is known."""

    @property
    def _is_copied_to(self) -> bool:
        return self.destination is not self.home

    def prepare(self) -> None:
        """Make the clients, which must not be made in a thread."""
        _ = self.session.ec2
        if self.options.public:
            _ = self.session.quotas
        if self.options.ssm_parameter:
            _ = self.session.ssm

    def check(self) -> list[Finding]:
        """Return what stands in the way here; where the image is optional, nothing is an obstacle."""
        findings = [*self._permissions(), *self.encryption()]
        if self.options.public and not self._is_public_already():
            findings += self.blocked("image")
            if self.options.share_snapshot:
                findings += self.blocked("snapshot")
            findings += self.quota()
        findings += promotion.check(self.session, self.options)
        if self.destination.optional:
            findings = [Finding(one.problem, one.hint, obstacle=False) for one in findings]
        return findings

    def _permissions(self) -> Iterator[Finding]:
        """Ask by dry runs whether we may: which image does not matter to the answer."""
        ec2, where = self.session.ec2, self.session.region
        if self._is_copied_to:
            yield from self._may(
                f"copy images to {where}",
                lambda: ec2.copy_image(
                    Name="lkcloud", SourceImageId=_NOBODY, SourceRegion=self.home.region, DryRun=True
                ),
            )
        if self.options.public or self.options.share_with:
            yield from self._may(
                f"share images in {where}",
                lambda: ec2.modify_image_attribute(
                    ImageId=_NOBODY, LaunchPermission={"Add": [{"UserId": "1" * 12}]}, DryRun=True
                ),
            )

    def _may(self, what: str, request: Callable[[], object]) -> list[Finding]:
        try:
            self.session.attempt(request)
        except Exception as error:
            answer = fault(error)
            if answer is None:
                raise explain(error, f"asking whether we may {what}") from error
            if answer.code == "UnauthorizedOperation":
                hint = f"allow {action_of(answer)} and the other permissions of docs/aws.md"
                return [Finding(f"aws: this identity may not {what}", hint)]
        return []

    def encryption(self) -> Iterator[Finding]:
        """Find out whether what nobody asked to encrypt is encrypted here, and then cannot be shared."""
        options, where = self.options, self.session.region
        if options.encrypted or self.destination.key or not (options.public or options.share_with):
            return  # told from the options alone
        ec2 = self.session.ec2
        asked = self._ask(
            f"the encryption default in {where}", lambda: ec2.get_ebs_encryption_by_default()["EbsEncryptionByDefault"]
        )
        if asked is not True:
            yield from () if asked is False else [asked]
            return
        hint = f"switch it off with `aws ec2 disable-ebs-encryption-by-default --region {where}`"
        if options.public:
            yield Finding(
                f"the account encrypts all snapshots in {where}, and what is encrypted cannot be public", hint
            )
            return
        key = self._ask(f"the default key in {where}", lambda: ec2.get_ebs_default_kms_key_id()["KmsKeyId"])
        if isinstance(key, Finding):
            yield key
        elif key.endswith(_DEFAULT_KEY):
            yield Finding(
                f"the account encrypts all snapshots in {where} with AWS's own key, and they cannot be shared",
                "name a key of your own: --encrypted --kms-key for the image, --copy-to REGION=KMS_KEY for a copy",
            )

    def blocked(self, kind: Kind) -> Iterator[Finding]:
        """Look whether the account lets nothing of a KIND be public."""
        ec2, where = self.session.ec2, self.session.region

        def image() -> tuple[str, str]:
            answer = ec2.get_image_block_public_access_state()
            return answer["ImageBlockPublicAccessState"], answer.get("ManagedBy", "")

        def snapshot() -> tuple[str, str]:
            answer = ec2.get_snapshot_block_public_access_state()
            return answer["State"], answer.get("ManagedBy", "")

        found = self._ask(f"block public access in {where}", image if kind == "image" else snapshot)
        if isinstance(found, Finding):
            yield found
            return
        state, manager = found
        if state != "unblocked":
            yield _blocked(kind, where, manager)

    def _is_public_already(self) -> bool:
        if self.name is None:
            return False
        name = filter_value(self.name)
        answer = self.session.call(
            "looking for the image",
            lambda: self.session.ec2.describe_images(
                Owners=["self"],
                Filters=[
                    {"Name": "name", "Values": [name]},
                    {"Name": "is-public", "Values": ["true"]},
                    {"Name": "tag-key", "Values": [DIGEST]},
                ],
                IncludeDeprecated=True,
            ),
        )
        return bool(answer["Images"])

    def quota(self) -> Iterator[Finding]:
        """Look whether there is room for one more public image."""
        quota, there = self.public_images
        if isinstance(quota, Finding):
            yield quota
        elif there >= quota:
            yield Finding(
                f"{there} images of the account are public in {self.session.region}, and its quota is {quota:.0f}",
                f"make some private or delete them, or ask for more (Service Quotas, {QUOTA})",
            )

    @cached_property
    def public_images(self) -> tuple[float | Finding, int]:
        """Return how many images may be public, or why that cannot be told, and how many are."""
        quota = self._ask(
            f"the quota of public images in {self.session.region}",
            lambda: self.session.quotas.get_service_quota(ServiceCode="ec2", QuotaCode=QUOTA)["Quota"]["Value"],
        )

        def count() -> int:
            pages = self.session.ec2.get_paginator("describe_images").paginate(
                Owners=["self"], Filters=[{"Name": "is-public", "Values": ["true"]}], IncludeDeprecated=True
            )
            return sum(len(page["Images"]) for page in pages)

        return quota, 0 if isinstance(quota, Finding) else self.session.call("counting the public images", count)

    def _ask(self, what: str, request: Callable[[], T]) -> T | Finding:
        """Return the answer to REQUEST, or what to tell of one that we may not make: that is no obstacle."""
        try:
            return self.session.attempt(request)
        except Exception as error:
            answer = fault(error)
            if answer is None or answer.status >= 500:
                raise explain(error, f"asking for {what}") from error
            return Finding(f"cannot look at {what} ({answer.code})", explain(error, what).hint, obstacle=False)


def _blocked(kind: Kind, region: str, manager: str) -> Finding:
    problem = f"block public access for {kind}s is on in {region}"
    if manager == "declarative-policy":
        return Finding(f"{problem}, by a policy of the organization", "ask whoever keeps the policy for an exception")
    return Finding(problem, f"switch it off with {unblocking(kind, region)}; it can take ten minutes")
