# SPDX-License-Identifier: Apache-2.0
"""What is asked of AWS before the first byte: who we are, where, and what we may."""

import json

import pytest

from lkcloud.errors import NotAuthenticated
from lkcloud.provider import Finding
from lkcloud_aws import AwsOptions, checks
from lkcloud_aws.sandbox import AwsStandIn
from lkcloud_aws.sandbox.errors import ApiError
from lkcloud_aws.session import Session
from tests.aws.pushing import MIB, TRUST, DiskMaker, counted, delete_role, refuse, source_of


def look(session: Session, make_disk: DiskMaker, **options: object) -> list[Finding]:
    source = source_of(make_disk(MIB, blocks=(0,)))
    return list(checks.check(session, AwsOptions.model_validate(options), source))


def test_a_good_account_has_no_finding_and_nothing_is_made(
    aws: AwsStandIn, session: Session, bucket: str, make_disk: DiskMaker
) -> None:
    aws.traffic.clear()
    assert look(session, make_disk) == []
    assert look(session, make_disk, method="import", bucket=bucket) == []
    assert set(aws.traffic.operations()) <= {"GetCallerIdentity", "RegisterImage", "HeadBucket", "GetRole"}
    assert session.ec2.describe_images(Owners=["self"])["Images"] == []


def test_no_credentials_are_told(aws: AwsStandIn, make_disk: DiskMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(NotAuthenticated) as raised:
        look(Session(), make_disk)
    assert "aws configure" in raised.value.hint


def test_wrong_credentials_are_told(aws: AwsStandIn, make_disk: DiskMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIANOBODY")
    with pytest.raises(NotAuthenticated, match="InvalidClientTokenId"):
        look(Session(), make_disk)


def test_expired_credentials_are_told(aws: AwsStandIn, session: Session, make_disk: DiskMaker) -> None:
    aws.expire_credentials()
    with pytest.raises(NotAuthenticated) as raised:
        look(session, make_disk)
    assert "expired" in raised.value.hint


def test_a_region_that_is_not_enabled_is_told_apart_from_wrong_credentials(
    aws: AwsStandIn, make_disk: DiskMaker
) -> None:
    refuse(aws, "GetCallerIdentity", ApiError("InvalidClientTokenId", "The security token is invalid", 403))
    findings = look(Session(None, "ap-east-1"), make_disk)
    assert "enable-region" in findings[0].hint
    assert findings[0].obstacle


def test_a_missing_permission_to_register_is_told_before_the_upload(
    aws: AwsStandIn, session: Session, make_disk: DiskMaker
) -> None:
    refuse(aws, "RegisterImage", ApiError("UnauthorizedOperation", "you may not", 403))
    [finding] = look(session, make_disk)
    assert finding.obstacle
    assert "ec2:RegisterImage" in finding.hint


def test_what_only_aws_knows_to_be_wrong_is_told_before_the_upload(session: Session, make_disk: DiskMaker) -> None:
    # The sandbox refuses a TPM for arm64 as AWS does by its last report; offline it is a warning.
    [finding] = look(session, make_disk, tpm=True, architecture="arm64")
    assert finding.obstacle
    assert "InvalidParameterValue" in finding.problem
    assert "tpmSupport" in finding.problem


@pytest.mark.parametrize("code", ["InvalidBlockDeviceMapping", "InvalidParameterCombination", "UnknownParameter"])
def test_a_request_that_aws_finds_fault_with_is_told(
    code: str, aws: AwsStandIn, session: Session, make_disk: DiskMaker
) -> None:
    refuse(aws, "RegisterImage", ApiError(code, "It does not fit."))
    [finding] = look(session, make_disk)
    assert finding.problem.endswith(f"{code}: It does not fit")


@pytest.mark.parametrize(
    "code", ["InvalidSnapshot.NotFound", "InvalidSnapshotID.Malformed", "InvalidAMIName.Duplicate"]
)
def test_what_a_dry_run_says_of_snapshot_and_name_is_no_finding(
    code: str, aws: AwsStandIn, session: Session, make_disk: DiskMaker
) -> None:
    refuse(aws, "RegisterImage", ApiError(code, "no"))
    assert look(session, make_disk) == []


def test_a_missing_bucket_is_told(session: Session, make_disk: DiskMaker) -> None:
    [finding] = look(session, make_disk, method="import", bucket="no-such-bucket")
    assert finding == Finding("there is no bucket no-such-bucket", finding.hint)


def test_a_bucket_in_another_region_is_told(session: Session, make_disk: DiskMaker) -> None:
    session.s3.create_bucket(Bucket="far", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    [finding] = look(session, make_disk, method="import", bucket="far")
    assert finding.problem == "the bucket far is in eu-west-1 and the push goes to us-east-1"


def test_a_bucket_of_others_is_told(aws: AwsStandIn, session: Session, bucket: str, make_disk: DiskMaker) -> None:
    refuse(aws, "HeadBucket", ApiError("AccessDenied", "Forbidden", 403))
    [finding] = look(session, make_disk, method="import", bucket=bucket)
    assert "may not use the bucket" in finding.problem


def test_a_missing_role_is_told(session: Session, bucket: str, make_disk: DiskMaker) -> None:
    delete_role(session)
    [finding] = look(session, make_disk, method="import", bucket=bucket)
    assert finding.obstacle
    assert finding.problem == "there is no role vmimport"


@pytest.mark.parametrize(
    ("service", "external_id", "trusted"),
    [
        ("vmie.amazonaws.com", "vmimport", True),
        (["ec2.amazonaws.com", "vmie.amazonaws.com"], ["vmimport"], True),
        ("ec2.amazonaws.com", "vmimport", False),
        ("vmie.amazonaws.com", "other", False),
    ],
)
def test_a_role_must_trust_vm_import(
    service: object, external_id: object, trusted: bool, session: Session, bucket: str, make_disk: DiskMaker
) -> None:
    condition = {"StringEquals": {"sts:ExternalId": external_id}}
    statement = {**TRUST["Statement"][0], "Principal": {"Service": service}, "Condition": condition}  # type: ignore[dict-item]  # plain JSON
    session.iam.create_role(RoleName="own", AssumeRolePolicyDocument=json.dumps({"Statement": statement}))
    findings = look(session, make_disk, method="import", bucket=bucket, role="own")
    assert [finding.obstacle for finding in findings] == ([] if trusted else [True])


def test_not_being_allowed_to_look_at_the_role_is_no_obstacle(
    aws: AwsStandIn, session: Session, bucket: str, make_disk: DiskMaker
) -> None:
    refuse(aws, "GetRole", ApiError("AccessDenied", "you may not", 403))
    [finding] = look(session, make_disk, method="import", bucket=bucket)
    assert not finding.obstacle
    assert counted(aws, "GetRole") == 1
