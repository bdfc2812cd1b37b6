# SPDX-License-Identifier: Apache-2.0
"""What `--method import` needs besides permissions: a bucket in the region, and the role of VM Import."""

from collections.abc import Iterator
from dataclasses import dataclass

from lkcloud.diagnosis import Diagnosis, Health, Remedy
from lkcloud_aws import checks, policy, remedies
from lkcloud_aws.allowed import Asking
from lkcloud_aws.errors import fault
from lkcloud_aws.options import AwsOptions
from lkcloud_aws.permissions import IMPORT_ROLE, IMPORT_USES
from lkcloud_aws.session import Session

_SETTINGS = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
_NO_SETTINGS = "NoSuchPublicAccessBlockConfiguration"


@dataclass(frozen=True)
class Import:
    """Looks at bucket and role of OPTIONS in an ACCOUNT."""

    session: Session
    options: AwsOptions
    account: str

    def diagnose(self) -> Iterator[Diagnosis]:
        """Yield what was found."""
        if self.options.bucket is None:
            remedy = Remedy(do="give --bucket, or use --method ebs, which needs none")
            yield Diagnosis("bucket", Health.PROBLEM, "no bucket is named", "VM Import reads the disk from one", remedy)
        else:
            yield from self._bucket(self.options.bucket)
        yield from self._role(self.options.role)

    def _bucket(self, name: str) -> Iterator[Diagnosis]:
        region, why = self.session.region, "VM Import reads the disk from a bucket of its own region"
        for finding in checks.bucket(self.session, name):
            absent = finding.problem.startswith("there is no bucket")
            remedy = remedies.make_bucket(name, region) if absent else Remedy(do=finding.hint)
            yield Diagnosis("bucket", Health.PROBLEM, finding.problem, why, remedy)
            return
        yield Diagnosis("bucket", Health.GOOD, f"{name}, in {region}")
        yield from self._closed(name)

    def _closed(self, name: str) -> Iterator[Diagnosis]:
        """Look whether the bucket can be made public.

        https://docs.aws.amazon.com/AmazonS3/latest/userguide/access-control-block-public-access.html
        """
        try:
            answer = self.session.attempt(lambda: self.session.s3.get_public_access_block(Bucket=name))
            settings = dict(answer["PublicAccessBlockConfiguration"])
        except Exception as error:
            said = fault(error)
            if said is None:
                raise
            if said.code != _NO_SETTINGS:
                remedy = Remedy(do="allow s3:GetBucketPublicAccessBlock to have it looked at")
                yield Diagnosis("bucket", Health.UNKNOWN, f"cannot see whether {name} can be public", "", remedy)
                return
            settings = {}
        if all(settings.get(word) for word in _SETTINGS):
            yield Diagnosis("bucket", Health.GOOD, f"{name} cannot be made public")
            return
        why = "a policy or an ACL that lets everybody in would give away each disk on its way"
        remedy = remedies.close_bucket(name, self.session.region)
        yield Diagnosis("bucket", Health.NOTE, f"nothing keeps {name} from being made public", why, remedy)

    def _role(self, name: str) -> Iterator[Diagnosis]:
        arn = f"arn:{self._partition}:iam::{self.account}:role/{name}"
        places = {
            "partition": (self._partition,),
            "account": (self.account,),
            "bucket": (self.options.bucket,) if self.options.bucket else (),
            "key": (self.options.kms_key,) if self.options.kms_key else (),
        }
        uses = ["import", *(["encrypt"] if self.options.kms_key else [])]
        assert set(uses) <= set(IMPORT_USES)
        document = policy.document(IMPORT_ROLE, uses, places)
        why = "ImportSnapshot is refused, or its task fails, after the disk has been sent"
        for finding in checks.role(self.session, name):
            if not finding.obstacle:
                yield Diagnosis("role", Health.UNKNOWN, finding.problem, why, Remedy(do=finding.hint))
                return
            absent = finding.problem.startswith("there is no role")
            remedy = remedies.make_role(name, document) if absent else remedies.trust(name)
            yield Diagnosis("role", Health.PROBLEM, finding.problem, why, remedy)
            if absent:
                return
        wanted = [one for one in IMPORT_ROLE if one.serves(uses)]
        answer = Asking(self.session, arn, places, "").of(wanted, dry_runs=False)
        if answer.missing:
            what = f"the role {name} is not allowed {', '.join(answer.missing)}"
            yield Diagnosis("role", Health.PROBLEM, what, why, remedies.allow_role(name, document))
        elif answer.unknown:
            remedy = Remedy(do="allow iam:SimulatePrincipalPolicy")
            yield Diagnosis("role", Health.UNKNOWN, f"cannot see what the role {name} may", why, remedy)
        else:
            yield Diagnosis("role", Health.GOOD, f"{name} lets VM Import read the bucket")

    @property
    def _partition(self) -> str:
        return self.session.boto.get_partition_for_region(self.session.region)
