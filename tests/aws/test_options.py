# SPDX-License-Identifier: Apache-2.0
"""The options of AWS: what is taken, what is refused, and that showing them costs nothing."""

import subprocess
import sys

import pytest
from pydantic import ValidationError

from lkcloud_aws import AwsOptions
from lkcloud_aws.options import DataVolume, Destination


def test_every_option_has_a_description_and_a_default() -> None:
    for name, field in AwsOptions.model_fields.items():
        assert field.description, name
        assert not field.is_required(), name


def test_the_defaults_are_the_documented_ones() -> None:
    options = AwsOptions()
    assert (options.method, options.import_format, options.volume_type, options.root_device_name) == (
        "ebs",
        "vhd",
        "gp3",
        "/dev/xvda",
    )
    assert options.imdsv2
    assert options.ena
    assert options.sriov
    assert not options.tpm


def test_tags_are_pairs_and_a_value_may_hold_equals_signs() -> None:
    assert AwsOptions(tag=("team=os", "query=a=b", "empty=")).tags == (
        ("team", "os"),
        ("query", "a=b"),
        ("empty", ""),
    )


def test_tags_can_be_written_as_a_mapping() -> None:
    assert AwsOptions.model_validate({"tag": {"team": "os"}}).tags == (("team", "os"),)


@pytest.mark.parametrize("tags", [("no-equals",), ("=value",), ("a=1", "a=2")])
def test_bad_tags_are_refused(tags: tuple[str, ...]) -> None:
    with pytest.raises(ValidationError):
        AwsOptions(tag=tags)


def test_data_volumes_are_taken_apart() -> None:
    assert AwsOptions(data_volume=("/dev/xvdb:20", "xvdc:500:st1")).data_volumes == (
        DataVolume("/dev/xvdb", 20, "gp3"),
        DataVolume("xvdc", 500, "st1"),
    )


@pytest.mark.parametrize(
    "volumes",
    [
        ("/dev/xvdb",),
        ("/dev/xvdb:0",),
        ("/dev/xvdb:-1",),
        ("/dev/xvdb:70000",),
        ("/dev/xvdb:20:fast",),
        ("/dev/xvdb:20:io2",),
        ("/etc/passwd:20",),
        ("/dev/xvdb:1", "/dev/xvdb:2"),
    ],
)
def test_bad_data_volumes_are_refused(volumes: tuple[str, ...]) -> None:
    with pytest.raises(ValidationError):
        AwsOptions(data_volume=volumes)


@pytest.mark.parametrize("device", ["/dev/nvme1n1", "sd1", "hdfoo", "sda1", "/dev/sd", "/dev/xvda/", "/dev/sdb\n", "x"])
def test_names_that_no_device_has_are_refused(device: str) -> None:
    with pytest.raises(ValidationError):
        AwsOptions(root_device_name=device)
    with pytest.raises(ValidationError):
        AwsOptions(data_volume=(f"{device}:20",))


@pytest.mark.parametrize("device", ["/dev/sda1", "/dev/xvda", "/dev/xvdba", "/dev/hda", "xvdb", "sdf"])
def test_names_of_devices_are_taken(device: str) -> None:
    assert AwsOptions(root_device_name=device).root_device_name == device
    assert AwsOptions(data_volume=(f"{device}:20",)).data_volumes[0].device == device


@pytest.mark.parametrize("field", ["snapshot_timeout", "workers", "volume_size", "rate"])
def test_numbers_have_bounds(field: str) -> None:
    with pytest.raises(ValidationError):
        AwsOptions.model_validate({field: 0})


def test_options_are_frozen_and_unknown_ones_refused() -> None:
    with pytest.raises(ValidationError):
        AwsOptions().region = "eu-west-1"  # type: ignore[misc]  # what is tested
    with pytest.raises(ValidationError):
        AwsOptions.model_validate({"regoin": "eu-west-1"})


def test_importing_the_provider_loads_neither_the_sdk_nor_the_stand_in() -> None:
    code = "import sys, lkcloud_aws; print(*sorted({'boto3', 'botocore', 'moto', 'urllib3'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "\n"


UNIT = "arn:aws:organizations::123456789012:ou/o-abcdefghij/ou-abcd-12345678"
KEY = "arn:aws:kms:eu-west-1:123456789012:key/0123"


def test_destinations_are_regions_with_keys() -> None:
    options = AwsOptions(
        copy_to=("us-west-2", f"eu-west-1={KEY}", "eu-north-1=alias/a/b"), copy_optional=("us-west-2",)
    )
    assert options.destinations == (
        Destination("us-west-2", "", optional=True),
        Destination("eu-west-1", KEY),
        Destination("eu-north-1", "alias/a/b"),
    )


def test_yaml_may_write_mappings_and_numbers() -> None:
    options = AwsOptions.model_validate(
        {"copy_to": {"us-west-2": None, "eu-west-1": "alias/images"}, "share_with": [123456789012, UNIT]}
    )
    assert options.copy_to == ("us-west-2", "eu-west-1=alias/images")
    assert options.share_with == ("123456789012", UNIT)
    assert AwsOptions.model_validate({"share_with": 123456789012}).share_with == ("123456789012",)
    assert AwsOptions.model_validate({"ssm_parameter": "/os/stable"}).ssm_parameter == ("/os/stable",)


@pytest.mark.parametrize(
    ("field", "texts", "words"),
    [
        ("copy_to", ("europe",), "is not REGION"),
        ("copy_to", ("eu-west-1=",), "no KMS key"),
        ("copy_to", ("eu-west-1=mine",), "no KMS key"),
        ("copy_to", (f"us-west-2={KEY}",), "must be there"),
        ("copy_to", ("eu-west-1", "eu-west-1=alias/a"), "once only"),
        ("share_with", ("1234",), "12 digits"),
        ("share_with", ("all",), "12 digits"),
        ("share_with", ("arn:aws:iam::123456789012:root",), "ARN of an organization"),
        ("share_with", ("arn:aws:organizations::123456789012:organization/o-1",), "ARN of an organization"),
        ("ssm_parameter", ("os/stable",), "begin it with /"),
        ("ssm_parameter", ("/os stable",), "no name"),
        ("ssm_parameter", ("/os//stable",), "no name"),
        ("ssm_parameter", ("/os/",), "no name"),
        ("ssm_parameter", ("",), "no name"),
        ("ssm_parameter", ("/aws/os",), "keeps for itself"),
        ("ssm_parameter", ("Ssm-os",), "keeps for itself"),
        ("ssm_parameter", ("/a" * 16,), "too long"),
        ("ssm_parameter", ("a" * 951,), "too long"),
        ("deregistration_protection", "maybe", "'on', 'cooldown' or 'off'"),
    ],
)
def test_what_others_cannot_get_is_refused(field: str, texts: object, words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        AwsOptions.model_validate({field: texts})
