# SPDX-License-Identifier: Apache-2.0
"""Parameters of Systems Manager whose values must be images."""

from collections.abc import Callable
from typing import Any

import pytest

from lkcloud_aws.sandbox import AwsStandIn
from tests.aws_sandbox.conftest import Clients, Register

SAID = {"Name": "/os/stable", "Type": "String", "DataType": "aws:ec2:image"}


@pytest.fixture
def ssm(client: Clients) -> Any:
    return client("ssm")


def value(ssm: Any, name: str = "/os/stable") -> str:
    found = ssm.get_parameters(Names=[name])["Parameters"]
    return str(found[0]["Value"]) if found else ""


def test_an_image_becomes_the_value_after_a_while(
    ssm: Any, register: Register, stand_in: AwsStandIn, wait: Callable[..., Any]
) -> None:
    stand_in.windows.parameter_validation = 0.2
    made = register()
    tags = [{"Key": "by", "Value": "me"}]
    assert ssm.put_parameter(**SAID, Value=made, Tags=tags)["Version"] == 1
    assert value(ssm) == ""
    wait(lambda: value(ssm) == made)
    [shown] = ssm.get_parameters(Names=["/os/stable"])["Parameters"]
    assert (shown["DataType"], shown["Version"]) == ("aws:ec2:image", 1)
    assert ssm.list_tags_for_resource(ResourceType="Parameter", ResourceId="/os/stable")["TagList"] == tags


def test_what_is_no_image_of_the_account_never_arrives(
    ec2: Any, ssm: Any, client: Clients, register: Register, refused: Callable[..., Any]
) -> None:
    """Nobody is told."""
    made, gone = register(), register("gone")
    ec2.deregister_image(ImageId=gone)
    west = client("ec2", "us-west-2")
    elsewhere = west.copy_image(Name="copy", SourceImageId=made, SourceRegion="us-east-1")["ImageId"]
    for wrong in ("ami-00000000000000000", gone, elsewhere, "image"):
        ssm.put_parameter(**SAID, Value=wrong)
        assert value(ssm) == ""
    refused("ParameterNotFound", ssm.get_parameter, Name="/os/stable")
    ssm.put_parameter(**SAID, Value=made)
    ssm.put_parameter(**SAID, Value=gone, Overwrite=True)
    assert value(ssm) == made


def test_overwriting_has_its_rules(ssm: Any, register: Register, refused: Callable[..., Any]) -> None:
    first, second = register("first"), register("second")
    refused("ValidationException", ssm.put_parameter, Name="/os/stable", DataType="aws:ec2:image", Value=first)
    ssm.put_parameter(**SAID, Value=first)
    assert value(ssm) == first
    refused("ParameterAlreadyExists", ssm.put_parameter, **SAID, Value=second)
    tags = [{"Key": "by", "Value": "me"}]
    refused("ValidationException", ssm.put_parameter, **SAID, Value=second, Overwrite=True, Tags=tags)
    assert ssm.put_parameter(**SAID, Value=second, Overwrite=True)["Version"] == 2
    assert value(ssm) == second
    ssm.put_parameter(Name="plain", Type="String", Value="v")
    for name, kind in (("plain", "aws:ec2:image"), ("/os/stable", "text")):
        change = {"Name": name, "Type": "String", "DataType": kind, "Value": first, "Overwrite": True}
        refused("ValidationException", ssm.put_parameter, **change)


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("os/stable", "ValidationException"),
        ("/aws/stable", "ValidationException"),
        ("SSM-stable", "ValidationException"),
        ("a b", "ValidationException"),
        ("/a" * 16, "HierarchyLevelLimitExceededException"),
        ("a" * 1000, "ValidationException"),
    ],
)
def test_names_have_their_form(ssm: Any, register: Register, refused: Callable[..., Any], name: str, code: str) -> None:
    refused(code, ssm.put_parameter, **{**SAID, "Name": name}, Value=register())


@pytest.mark.parametrize("kind", ["StringList", "SecureString"])
def test_only_strings_are_images(ssm: Any, register: Register, refused: Callable[..., Any], kind: str) -> None:
    refused("ValidationException", ssm.put_parameter, **{**SAID, "Type": kind}, Value=register())


def test_who_is_not_let_in(client: Clients, stand_in: AwsStandIn, refused: Callable[..., Any]) -> None:
    names = {"Names": ["a"]}
    refused("UnrecognizedClientException", client("ssm", "ap-east-1").get_parameters, **names)
    stranger = client("ssm", aws_access_key_id="AKIAAAAAAAAAAAAAAAAA")
    refused("UnrecognizedClientException", stranger.get_parameters, **names)
    stand_in.expire_credentials()
    refused("ExpiredTokenException", client("ssm").get_parameters, **names)
    stand_in.expire_credentials(expired=False)
    stand_in.traffic.throttle("GetParameters", 1)
    refused("ThrottlingException", client("ssm").get_parameters, **names)
