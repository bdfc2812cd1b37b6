# SPDX-License-Identifier: Apache-2.0
"""Terraform, and providers that make whatever they are told."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.terraform.applying import Terraform
from tests.terraform.provider import Known, Providers, serving

ACCOUNT = "123456789012"
SUBSCRIPTION = "0b1f6471-1bf0-4dda-aec3-cb9272f09590"
TENANT = "7a1f0a52-52a4-4f6d-8e0b-3f2a6d5c4b1a"

PROJECT = "myos-images-123456"

KNOWN = Known(
    data={
        "aws_caller_identity": {"account_id": ACCOUNT},
        "aws_partition": {"partition": "aws"},
        "aws_region": {"region": "eu-central-1"},
        "azurerm_subscription": {"id": f"/subscriptions/{SUBSCRIPTION}", "subscription_id": SUBSCRIPTION},
        "azurerm_client_config": {"tenant_id": TENANT, "object_id": TENANT, "subscription_id": SUBSCRIPTION},
        "google_project": {"project_id": PROJECT, "number": ACCOUNT},
    },
    computed={
        "aws_s3_bucket.arn": "arn:aws:s3:::{bucket}",
        "aws_iam_role.arn": f"arn:aws:iam::{ACCOUNT}:role/{{name}}",
        "aws_kms_key.arn": f"arn:aws:kms:eu-central-1:{ACCOUNT}:key/0b1f6471-1bf0-4dda-aec3-cb9272f09590",
        "azurerm_resource_group.id": f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{{name}}",
        "google_project_iam_custom_role.name": "projects/{project}/roles/{role_id}",
        "google_service_account.email": "{account_id}@{project}.iam.gserviceaccount.com",
        "google_service_account.member": "serviceAccount:{account_id}@{project}.iam.gserviceaccount.com",
        "google_iam_workload_identity_pool.name": (
            f"projects/{ACCOUNT}/locations/global/workloadIdentityPools/{{workload_identity_pool_id}}"
        ),
        "google_kms_crypto_key.id": f"projects/{PROJECT}/locations/europe/keyRings/lkcloud/cryptoKeys/{{name}}",
    },
)


@pytest.fixture(scope="session")
def providers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Providers]:
    # A socket's path is short.
    with serving(Path(tmp_path_factory.mktemp("tf")), KNOWN) as found:
        yield found


@pytest.fixture
def terraform(providers: Providers, tmp_path: Path) -> Terraform:
    return Terraform(providers, tmp_path)
