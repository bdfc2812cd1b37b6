# SPDX-License-Identifier: Apache-2.0
"""The SDK's clients for one run, made when they are first needed."""

import difflib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import boto3
import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

from lkcloud.errors import UsageError
from lkcloud.transfer.retry import retry
from lkcloud_aws.errors import explain, judge, no_region

if TYPE_CHECKING:
    from botocore.credentials import Credentials
    from mypy_boto3_ebs import EBSClient
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_iam import IAMClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_service_quotas import ServiceQuotasClient
    from mypy_boto3_ssm import SSMClient
    from mypy_boto3_sts import STSClient

T = TypeVar("T")

_PATIENCE = 120.0
"""Seconds for one call of the control plane: EC2 asks for back-off of minutes when it throttles an account."""


@dataclass(frozen=True)
class Session:
    """Clients of one REGION, of a PROFILE of the AWS configuration; None is the configuration's default."""

    profile: str | None = None
    chosen_region: str | None = None
    home: "Session | None" = field(default=None, repr=False)
    """The session that this one has been made by, whose configuration it uses."""

    def at(self, region: str) -> "Session":
        """Return the session of another REGION with the same configuration, the same one each time."""
        if self.home is not None:
            return self.home.at(region)
        if region == self.region:
            return self
        if region not in self._elsewhere:
            self._elsewhere[region] = Session(self.profile, region, self)
        return self._elsewhere[region]

    @cached_property
    def _elsewhere(self) -> "dict[str, Session]":
        return {}

    @cached_property
    def boto(self) -> boto3.session.Session:
        """The SDK's session, one for all regions: a second one over the same configuration would change the first's."""
        if self.home is not None:
            return self.home.boto
        with self.errors("reading the AWS configuration"):
            return boto3.session.Session(botocore_session=self._core, region_name=self.chosen_region)

    @cached_property
    def _core(self) -> botocore.session.Session:
        """What holds the configuration: ours, since boto3 keeps its own to itself."""
        return botocore.session.Session(profile=self.profile)

    @cached_property
    def region(self) -> str:
        """The region; raises UsageError where none is known, or one that AWS does not have."""
        region = self.chosen_region or self.boto.region_name
        if not region:
            raise no_region()
        known = {name for part in self.boto.get_available_partitions() for name in self._regions(part)}
        # A region that is newer than the SDK is in no list, but its name has the form of the others.
        if region not in known and not self._plausible(region):
            near = difflib.get_close_matches(region, sorted(known), n=1, cutoff=0.5)
            hint = f"did you mean {near[0]}?" if near else "see `aws ec2 describe-regions`"
            raise UsageError(f"aws: there is no region {region!r}", hint=hint)
        return region

    def _regions(self, partition: str) -> list[str]:
        return self.boto.get_available_regions("ec2", partition_name=partition)

    def _plausible(self, region: str) -> bool:
        """Tell whether REGION is one number away from those that the SDK knows, such as eu-west-9."""
        stem = region.rstrip("0123456789")
        known = (name for part in self.boto.get_available_partitions() for name in self._regions(part))
        return stem != region and any(name.rstrip("0123456789") == stem for name in known)

    @property
    def credentials(self) -> "Credentials":
        """The credentials, which refresh themselves; raises NotAuthenticated if there are none."""
        with self.errors("looking for credentials"):
            found = self.boto.get_credentials()
            if found is None:
                raise NoCredentialsError
        return found

    @cached_property
    def ec2(self) -> "EC2Client":
        """Of EC2."""
        client: EC2Client = self._client("ec2")
        return client

    @cached_property
    def ebs(self) -> "EBSClient":
        """Of the EBS direct APIs."""
        client: EBSClient = self._client("ebs")
        return client

    @cached_property
    def s3(self) -> "S3Client":
        """Of S3."""
        client: S3Client = self._client("s3")
        return client

    @cached_property
    def sts(self) -> "STSClient":
        """Of STS."""
        client: STSClient = self._client("sts")
        return client

    @cached_property
    def ssm(self) -> "SSMClient":
        """Of Systems Manager."""
        client: SSMClient = self._client("ssm")
        return client

    @cached_property
    def quotas(self) -> "ServiceQuotasClient":
        """Of the service quotas."""
        client: ServiceQuotasClient = self._client("service-quotas")
        return client

    @cached_property
    def iam(self) -> "IAMClient":
        """Of IAM."""
        client: IAMClient = self._client("iam")
        return client

    def bucket_url(self, bucket: str) -> str:
        """Return the URL of BUCKET as the SDK would address it (by host or path, dual stack, FIPS), with a slash."""
        client = self.s3
        if (urlsplit(client.meta.endpoint_url).hostname or "").endswith((".amazonaws.com", ".amazonaws.com.cn")):
            # With the default style the SDK presigns for S3's global endpoint, which redirects.
            client = self._client("s3", virtual=True)
        url = client.generate_presigned_url("put_object", Params={"Bucket": bucket, "Key": "k"})
        return url.partition("?")[0].removesuffix("k")

    def _client(self, service: str, *, virtual: bool = False) -> Any:
        config = Config(
            # Retry is in one place, lkcloud.transfer.retry.
            retries={"total_max_attempts": 1, "mode": "standard"},
            connect_timeout=10,
            read_timeout=60,
            user_agent_extra="lkcloud",
            s3={"addressing_style": "virtual"} if virtual else None,
        )
        create: Any = self.boto.client  # its overloads know literal names only
        with self.errors(f"making a client of {service}"):
            return create(service, region_name=self.region, config=config)

    @contextmanager
    def errors(self, doing: str) -> Iterator[None]:
        """Turn the SDK's errors into lkcloud's; DOING is what went on, such as `registering the image`."""
        try:
            yield
        except (BotoCoreError, ClientError) as error:
            raise explain(error, doing) from error

    def call(self, doing: str, request: Callable[[], T]) -> T:
        """Make a REQUEST of the control plane, again as long as AWS throttles or stumbles; errors are lkcloud's."""
        with self.errors(doing):
            return self.attempt(request)

    def attempt(self, request: Callable[[], T]) -> T:
        """Make a REQUEST as `call` does, with the SDK's errors for a caller that tells them apart."""
        return retry(request, judge=judge, attempts=6, patience=_PATIENCE)

    @property
    def ca(self) -> str | None:
        """The bundle of certificates that AWS_CA_BUNDLE or the profile names, for connections beside the SDK's."""
        if self.home is not None:
            return self.home.ca
        found = self._core.get_config_variable("ca_bundle")
        return str(found) if found else None
