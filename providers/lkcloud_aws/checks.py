# SPDX-License-Identifier: Apache-2.0
"""What AWS says before anything is made: who we are, the region, the bucket, the role, the permission to register.

What it says of the image's way to others is in `distribution`.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from lkcloud.provider import Finding, Source
from lkcloud_aws import distribution
from lkcloud_aws.errors import action_of, code_of, explain, fault
from lkcloud_aws.options import AwsOptions
from lkcloud_aws.regions import not_enabled
from lkcloud_aws.register import Registration
from lkcloud_aws.session import Session

_UNKNOWN = ("InvalidClientTokenId", "UnrecognizedClientException", "AuthFailure")

_WRONG_REQUEST = (
    "InvalidAMIName.Malformed",
    "InvalidBlockDeviceMapping",
    "InvalidParameter",
    "InvalidRequest",
    "MissingParameter",
    "UnknownParameter",
    "Unsupported",
    "ValidationError",
)
"""How the codes begin that find fault with what is asked, whatever the snapshot."""

_ROLE_HINT = "make the role as docs/aws.md, Setup, shows, or use --method ebs, which needs none"


def check(session: Session, options: AwsOptions, source: Source) -> Iterator[Finding]:
    """Yield what AWS knows to stand in the way.

    Raises NotAuthenticated without valid credentials, UsageError without a region that exists.
    """
    session.region  # noqa: B018 - raises for a region that is not given or does not exist, before any request
    strangers = list(identity(session))
    if strangers:
        yield from strangers
        return
    questions: list[Callable[[], list[Finding]]] = [lambda: _registering(session, options, source)]
    # A client must not be made in a thread.
    _ = session.ec2
    if options.method == "import" and options.bucket:
        _ = session.s3, session.iam
        wanted = options.bucket
        questions += [lambda: bucket(session, wanted), lambda: role(session, options.role)]
    with ThreadPoolExecutor(len(questions)) as threads:
        for findings in threads.map(lambda ask: ask(), questions):
            yield from findings
    yield from distribution.check(session, options, source)


def identity(session: Session) -> Iterator[Finding]:
    """Ask who we are. A region that is not enabled answers as if it did not know the credentials."""
    _ = session.credentials
    try:
        session.attempt(session.sts.get_caller_identity)
    except Exception as error:
        if code_of(error) in _UNKNOWN and _is_disabled(session):
            yield not_enabled(session.region)
            return
        raise explain(error, "asking who we are") from error


def _is_disabled(session: Session) -> bool:
    """Ask a region that every account has whether ours is enabled; False if it does not know us either."""
    partition = session.boto.get_partition_for_region(session.region)
    home = {"aws": "us-east-1", "aws-cn": "cn-north-1", "aws-us-gov": "us-gov-west-1"}.get(partition)
    if home is None:
        return False
    try:
        found = Session(session.profile, home).ec2.describe_regions(RegionNames=[session.region], AllRegions=True)
    except Exception as error:
        if fault(error) is None:
            raise explain(error, "asking for the regions") from error
        return False
    return any(region.get("OptInStatus") == "not-opted-in" for region in found["Regions"])


def _registering(session: Session, options: AwsOptions, source: Source) -> list[Finding]:
    """Find out, before the bytes travel, whether we may register an image at all.

    A dry run answers DryRunOperation if all is well and UnauthorizedOperation if not. What it says of the snapshot,
    which is not there yet, and of the name, which may be about to be replaced, is no finding.
    """
    request = Registration(session, options, source).request("snap-ffffffffffffffff0")
    request["DryRun"] = True
    try:
        session.attempt(lambda: session.ec2.register_image(**request))
    except Exception as error:
        answer = fault(error)
        if answer is None:
            raise explain(error, "asking whether we may register images") from error
        if answer.code == "UnauthorizedOperation":
            return [
                Finding(
                    "aws: this identity may not register images",
                    f"allow {action_of(answer)} and the other permissions of docs/aws.md",
                )
            ]
        if answer.code.startswith(_WRONG_REQUEST):
            said = answer.message.strip().rstrip(".")
            return [Finding(f"AWS would not register the image: {answer.code}: {said}", "change the option it names")]
    return []


def bucket(session: Session, name: str) -> list[Finding]:
    """Ask for the bucket; VM Import reads only those of its own region."""
    hint = f"make a bucket in {session.region}, or use --method ebs, which needs none"
    try:
        answer = session.attempt(lambda: session.s3.head_bucket(Bucket=name))
        region = answer.get("BucketRegion") or ""
    except Exception as error:
        answered = fault(error)
        if answered is None:
            raise explain(error, f"looking for the bucket {name}") from error
        if answered.status == 404 or answered.code == "NoSuchBucket":
            return [Finding(f"there is no bucket {name}", hint)]
        region = _region_header(error)
        if answered.status == 403 and region in ("", session.region):
            return [
                Finding(
                    f"this identity may not use the bucket {name}",
                    "allow s3:ListBucket and the other permissions of docs/aws.md, or give a --bucket of yours",
                )
            ]
        if not region:
            raise explain(error, f"looking for the bucket {name}") from error
    if region and region != session.region:
        return [Finding(f"the bucket {name} is in {region} and the push goes to {session.region}", hint)]
    return []


def _region_header(error: Exception) -> str:
    response: Mapping[str, Any] = getattr(error, "response", {})
    headers: Mapping[str, str] = response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    return headers.get("x-amz-bucket-region", "")


def role(session: Session, name: str) -> list[Finding]:
    """Look at the role of VM Import; many who may push may not look, which is no obstacle."""
    try:
        answer = session.attempt(lambda: session.iam.get_role(RoleName=name))
    except Exception as error:
        answered = fault(error)
        if answered is None:
            raise explain(error, f"looking for the role {name}") from error
        if answered.code in ("NoSuchEntity", "NoSuchEntityException"):
            return [Finding(f"there is no role {name}", _ROLE_HINT)]
        return [
            Finding(
                f"cannot look at the role {name} ({answered.code})",
                "allow iam:GetRole to have it checked before the upload",
                obstacle=False,
            )
        ]
    policy: object = answer["Role"].get("AssumeRolePolicyDocument")
    if not trusts_import(json.loads(policy) if isinstance(policy, str) else policy):
        return [Finding(f"VM Import may not assume the role {name}", _ROLE_HINT)]
    return []


def trusts_import(policy: Any) -> bool:
    """Tell whether a trust POLICY lets vmie.amazonaws.com in, which says `vmimport` as the external id."""
    statements = _listed(policy.get("Statement")) if isinstance(policy, Mapping) else []
    for statement in statements:
        services = _listed(statement.get("Principal", {}).get("Service"))
        allowed = statement.get("Effect") == "Allow" and any(str(one).startswith("vmie.") for one in services)
        conditions = statement.get("Condition", {})
        wanted = [
            str(value)
            for operands in conditions.values()
            for key, values in operands.items()
            if key.lower() == "sts:externalid"
            for value in _listed(values)
        ]
        if allowed and (not wanted or "vmimport" in wanted):
            return True
    return False


def _listed(value: Any) -> Sequence[Any]:
    return [] if value is None else value if isinstance(value, list) else [value]
