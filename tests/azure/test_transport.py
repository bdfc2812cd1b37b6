# SPDX-License-Identifier: Apache-2.0
"""What the SDK's clients connect by trusts whom the environment says, and nobody else."""

import os
from pathlib import Path

import certifi
import pytest
from azure.core.exceptions import ServiceRequestError
from azure.core.pipeline.transport import HttpRequest

from lkcloud_azure.sandbox import AzureStandIn
from lkcloud_azure.transport import transport


def ask(url: str) -> int:
    with transport(timeout=10) as connecting:
        answer = connecting.send(HttpRequest("GET", url))
    return int(answer.status_code or 0)


@pytest.fixture
def endpoint(azure: AzureStandIn) -> str:
    return f"{azure.environment()['LKCLOUD_AZURE_RESOURCE_MANAGER']}/metadata/endpoints?api-version=2022-09-01"


def test_a_bundle_of_the_environment_is_trusted(endpoint: str) -> None:
    assert ask(endpoint) == 200


def test_without_it_the_certificate_is_refused(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ask(endpoint) == 200
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    monkeypatch.delenv("CURL_CA_BUNDLE", raising=False)
    with pytest.raises(ServiceRequestError, match="CERTIFICATE_VERIFY_FAILED"):
        ask(endpoint)


def test_another_host_is_refused(endpoint: str) -> None:
    other = endpoint.replace("127.0.0.1", "127.0.0.2")
    assert other != endpoint
    with pytest.raises(ServiceRequestError):
        ask(other)


def test_a_bundle_that_has_changed_counts_at_once(
    endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = tmp_path / "bundle.pem"
    bundle.write_bytes(Path(os.environ["REQUESTS_CA_BUNDLE"]).read_bytes())
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
    assert ask(endpoint) == 200
    bundle.write_bytes(Path(certifi.where()).read_bytes())
    with pytest.raises(ServiceRequestError, match="CERTIFICATE_VERIFY_FAILED"):
        ask(endpoint)
