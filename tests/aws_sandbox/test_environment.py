# SPDX-License-Identifier: Apache-2.0
"""The environment leads an SDK to the stand-in whatever the user has set."""

import subprocess
import sys

import boto3
import pytest

from lkcloud_aws.sandbox import AwsStandIn

NOWHERE = "http://127.0.0.1:9"


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"])
def test_a_proxy_does_not_catch_the_sandbox(
    variable: str, stand_in: AwsStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, NOWHERE)
    for name, value in stand_in.environment().items():
        monkeypatch.setenv(name, value)
    assert boto3.Session().client("sts").get_caller_identity()["Account"]


def test_lkcloud_reaches_the_sandbox_beside_a_proxy(stand_in: AwsStandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", NOWHERE)
    for name, value in stand_in.environment().items():
        monkeypatch.setenv(name, value)
    done = subprocess.run([sys.executable, "-m", "lkcloud", "list", "aws"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("variable", ["NO_PROXY", "no_proxy"])
def test_what_goes_past_the_proxy_already_still_does(
    variable: str, stand_in: AwsStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setenv(variable, "registry.example")
    found = stand_in.environment()
    assert found["NO_PROXY"] == found["no_proxy"] == "registry.example,127.0.0.1,localhost"
