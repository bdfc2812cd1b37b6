# SPDX-License-Identifier: Apache-2.0
"""An empty Google Cloud for each test, Google's own client of Cloud Storage, and requests of no client at all."""

from collections.abc import Iterator

import google.auth
import pytest
import urllib3
from google.auth.transport.requests import Request
from google.cloud import storage

from lkcloud_gcp.sandbox import GcpStandIn
from tests.gcp_sandbox.raw import Raw
from tests.gcp_standin import gcp, serving_gcp

__all__ = ["gcp", "serving_gcp"]

SCOPE = "https://www.googleapis.com/auth/cloud-platform"


@pytest.fixture
def client(gcp: GcpStandIn) -> Iterator[storage.Client]:
    """Return a client that signs in as the environment says."""
    credentials, project = google.auth.default(scopes=[SCOPE])
    address = gcp.environment()["CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE"].removesuffix("/storage/v1/")
    one = storage.Client(project=project, credentials=credentials, client_options={"api_endpoint": address})
    yield one
    one.close()


@pytest.fixture
def bucket(client: storage.Client) -> storage.Bucket:
    """Return an empty bucket in the EU."""
    return client.create_bucket("lkcloud-disks", location="EU")


@pytest.fixture
def raw(gcp: GcpStandIn) -> Iterator[Raw]:
    """Send requests as they are, signed in, once each."""
    credentials, _ = google.auth.default(scopes=[SCOPE])
    credentials.refresh(Request())
    address = gcp.environment()["CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE"].removesuffix("/storage/v1/")
    with urllib3.PoolManager(retries=False) as pool:
        yield Raw(pool, address, str(credentials.token))
