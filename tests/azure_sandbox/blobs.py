# SPDX-License-Identifier: Apache-2.0
"""A blob service for tests, the SDK's clients of it, and requests of no client at all."""

import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
import urllib3
from azure.core.credentials import AccessToken, TokenCredential
from azure.core.exceptions import HttpResponseError
from azure.storage.blob import BlobClient, BlobServiceClient, ContainerClient
from urllib3.response import BaseHTTPResponse

from lkcloud.errors import UsageError
from lkcloud.sandbox.traffic import Traffic
from lkcloud_azure.sandbox.access import STORAGE, Tokens
from lkcloud_azure.sandbox.azurite import Azurite
from lkcloud_azure.sandbox.blob_service import BlobService
from lkcloud_azure.sandbox.certificate import Certificate
from lkcloud_azure.sandbox.errors import busy
from lkcloud_azure.sandbox.own_blobs import OwnBlobs
from lkcloud_azure.sandbox.windows import Windows

ACCOUNT = "lkcloudtests"
CONTAINER = "disks"
MIB = 1 << 20
VERSION = "2025-11-05"


@dataclass(frozen=True)
class Token:
    """A credential with one token."""

    token: str

    def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        return AccessToken(self.token, int(time.time()) + 3600)


@dataclass
class Served:
    """A service with the account ACCOUNT, and what it is made of."""

    service: BlobService
    windows: Windows
    traffic: Traffic
    tokens: Tokens
    certificate: Certificate

    @property
    def credential(self) -> TokenCredential:
        return Token(self.tokens.issue(STORAGE))

    @property
    def options(self) -> dict[str, Any]:
        """What every client of the SDK is made with: it trusts the certificate, and does not try again."""
        return {"connection_verify": str(self.certificate.pem), "retry_total": 0}

    def client(self, credential: Any = None) -> BlobServiceClient:
        credential = credential or self.credential
        return BlobServiceClient(self.service.endpoint(ACCOUNT), credential=credential, **self.options)

    def container(self, name: str = CONTAINER) -> ContainerClient:
        """Return a container, which is made if it is not there."""
        container = self.client().get_container_client(name)
        if not container.exists():
            container.create_container()
        return container

    def blob(self, name: str = "disk.vhd", *, size: int = MIB, container: str = CONTAINER) -> BlobClient:
        """Return a page blob that was just made."""
        blob = self.container(container).get_blob_client(name)
        blob.create_page_blob(size)
        return blob

    def at(self, url: str) -> BlobClient:
        """Return a client for URL, which is all that it knows."""
        return BlobClient.from_blob_url(url, **self.options)

    @cached_property
    def pool(self) -> urllib3.PoolManager:
        return urllib3.PoolManager(ca_certs=str(self.certificate.pem), retries=False)

    def raw(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> BaseHTTPResponse:
        """Return the answer to a request for PATH, below the account, or a URL; with a token unless it has `sig`."""
        url = path if path.startswith("https:") else f"{self.service.endpoint(ACCOUNT)}/{path}"
        sent = {"x-ms-version": VERSION, **(headers or {})}
        if "sig=" not in url and "Authorization" not in sent:
            sent["Authorization"] = f"Bearer {self.tokens.issue(STORAGE)}"
        sent = {name: value for name, value in sent.items() if value}
        return self.pool.request(method, url, body=body, headers=sent, redirect=False)

    def refused(self, status: int, code: str, *request: Any, **more: Any) -> dict[str, str]:
        """Make a request that must be refused; return what the answer says."""
        answer = self.raw(*request, **more)
        assert (answer.status, answer.headers.get("x-ms-error-code")) == (status, code), answer.data
        if not answer.data:
            return {}
        said = {child.tag: child.text or "" for child in ET.fromstring(answer.data)}
        assert said["Code"] == code
        return said


@contextmanager
def refused(status: int, code: str) -> Iterator[pytest.ExceptionInfo[HttpResponseError]]:
    """Expect the SDK to be refused."""
    with pytest.raises(HttpResponseError) as refusal:
        yield refusal
    assert (refusal.value.status_code, refusal.value.error_code) == (status, code), refusal.value


Maker = Callable[[Path, Windows, Traffic, Tokens, Certificate], BlobService]


@contextmanager
def serving(maker: Maker, home: Path) -> Iterator[Served]:
    """Run the service that MAKER makes, with files below HOME."""
    windows, certificate = Windows(), Certificate(home)
    tokens, traffic = Tokens(windows), Traffic(lambda seen: busy().xml())
    service = maker(home / "service", windows, traffic, tokens, certificate)
    service.start()
    try:
        service.add_account(ACCOUNT)
        served = Served(service, windows, traffic, tokens, certificate)
        yield served
        served.pool.clear()
    finally:
        service.stop()


@pytest.fixture(scope="session")
def serving_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(OwnBlobs, tmp_path_factory.mktemp("own-blobs")) as served:
        yield served


@pytest.fixture(scope="session")
def serving_azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    try:
        with serving(Azurite, tmp_path_factory.mktemp("azurite")) as served:
            yield served
    except UsageError as missing:
        pytest.skip(f"{missing.message}: tests/packages.sh npm installs it")


@pytest.fixture
def own(serving_own: Served) -> Iterator[Served]:
    """Return the stand-in's own service, with one account that holds nothing."""
    fresh = Windows()
    for name in Windows.__slots__:
        setattr(serving_own.windows, name, getattr(fresh, name))
    serving_own.service.reset()
    serving_own.service.add_account(ACCOUNT)
    serving_own.traffic.clear()
    yield serving_own
    serving_own.traffic.hooks.clear()
    serving_own.tokens.expired = False


@pytest.fixture
def azurite(serving_azurite: Served) -> Served:
    """Return Azurite; what other tests made is there."""
    return serving_azurite


@pytest.fixture(params=["own", "azurite"])
def either(request: pytest.FixtureRequest) -> Served:
    """Return one of the two services."""
    served: Served = request.getfixturevalue(request.param)
    return served
