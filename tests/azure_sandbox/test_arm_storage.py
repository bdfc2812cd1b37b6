# SPDX-License-Identifier: Apache-2.0
import pytest
from azure.core.exceptions import HttpResponseError
from azure.storage.blob import BlobServiceClient

from tests.azure_sandbox.arm import GROUP, PLACE, QUICK, Arm, refused

BODY = {"location": PLACE, "sku": {"name": "Standard_LRS"}, "kind": "StorageV2"}


def test_what_a_new_sandbox_has(arm: Arm) -> None:
    (account,) = arm.session.storage.storage_accounts.list()
    assert (account.name, account.location, account.provisioning_state) == ("lkcloudsandbox", PLACE, "Succeeded")
    assert account.is_hns_enabled is False
    assert account.allow_shared_key_access is True
    assert account.public_network_access == "Enabled"
    endpoint = arm.cloud.holdings.blobs.endpoint("lkcloudsandbox")
    assert account.primary_endpoints is not None
    assert account.primary_endpoints.blob == f"{endpoint}/"


def test_an_account_comes_and_goes(arm: Arm) -> None:
    accounts = arm.session.storage.storage_accounts
    made = accounts.begin_create(GROUP, "another", {**BODY, "tags": {"a": "b"}}, **QUICK).result()
    assert (made.name, made.tags, made.sku.name) == ("another", {"a": "b"}, "Standard_LRS")
    keys = accounts.list_keys(GROUP, "another").keys_property or []
    assert [key.key_name for key in keys] == ["key1", "key2"]
    assert made.primary_endpoints is not None
    with BlobServiceClient(str(made.primary_endpoints.blob), credential=str(keys[0].value)) as client:
        client.create_container("here")
    assert [account.name for account in accounts.list_by_resource_group(GROUP)] == ["another"]
    accounts.delete(GROUP, "another")
    accounts.delete(GROUP, "another")
    refused(404, "ResourceNotFound", accounts.get_properties, GROUP, "another")


def test_keys_can_be_made_anew(arm: Arm) -> None:
    accounts = arm.session.storage.storage_accounts
    before = accounts.list_keys("lkcloud-sandbox", "lkcloudsandbox").keys_property or []
    after = accounts.regenerate_key("lkcloud-sandbox", "lkcloudsandbox", {"keyName": "key2"}).keys_property or []
    assert (after[0].value, after[1].value != before[1].value) == (before[0].value, True)
    told = refused(
        400,
        "InvalidRequestPropertyValue",
        accounts.regenerate_key,
        "lkcloud-sandbox",
        "lkcloudsandbox",
        {"keyName": "3"},
    )
    assert "'3'" in told


def test_keys_that_are_not_allowed(arm: Arm) -> None:
    accounts = arm.session.storage.storage_accounts
    (key, *_) = accounts.list_keys("lkcloud-sandbox", "lkcloudsandbox").keys_property or []
    changed = accounts.update("lkcloud-sandbox", "lkcloudsandbox", {"properties": {"allowSharedKeyAccess": False}})
    assert changed.allow_shared_key_access is False
    endpoint = arm.cloud.holdings.blobs.endpoint("lkcloudsandbox")
    with BlobServiceClient(endpoint, credential=str(key.value)) as client:
        with pytest.raises(HttpResponseError) as caught:
            client.create_container("here")
        assert caught.value.error_code == "KeyBasedAuthenticationNotPermitted"
        accounts.update("lkcloud-sandbox", "lkcloudsandbox", {"properties": {"allowSharedKeyAccess": True}})
        client.create_container("here")


@pytest.mark.parametrize(
    ("name", "body", "status", "code"),
    [
        ("With-Dash", BODY, 400, "AccountNameInvalid"),
        ("ab", BODY, 400, "AccountNameInvalid"),
        ("lkcloudsandbox", BODY, 409, "StorageAccountAlreadyTaken"),
        ("another", {**BODY, "location": "moon"}, 400, "LocationNotAvailableForResourceType"),
        ("another", {"location": PLACE, "kind": "StorageV2"}, 400, "InvalidParameter"),
        ("another", {**BODY, "properties": {"isHns": True}}, 400, "BadRequest"),
    ],
)
def test_accounts_that_cannot_be(arm: Arm, name: str, body: dict[str, object], status: int, code: str) -> None:
    refused(status, code, arm.session.storage.storage_accounts.begin_create, GROUP, name, body, **QUICK)


def test_a_namespace_stays_flat(arm: Arm) -> None:
    accounts = arm.session.storage.storage_accounts
    accounts.begin_create(GROUP, "another", BODY, **QUICK).result()
    body = {**BODY, "properties": {"isHnsEnabled": True}}
    refused(409, "StorageAccountPropertyIsReadOnly", accounts.begin_create, GROUP, "another", body, **QUICK)


@pytest.mark.parametrize(
    ("properties", "code"),
    [
        ({"isHnsEnabled": True}, "FeatureNotYetSupportedForHierarchicalNamespaceAccounts"),
        ({"publicNetworkAccess": "Disabled"}, "AuthorizationFailure"),
        ({"networkAcls": {"defaultAction": "Deny"}}, "AuthorizationFailure"),
    ],
)
def test_accounts_that_take_no_page_blob(arm: Arm, properties: dict[str, object], code: str) -> None:
    accounts = arm.session.storage.storage_accounts
    made = accounts.begin_create(GROUP, "another", {**BODY, "properties": properties}, **QUICK).result()
    with BlobServiceClient(str(made.primary_endpoints.blob), credential=arm.session.credential) as client:
        with pytest.raises(HttpResponseError) as caught:
            client.create_container("here").get_blob_client("disk.vhd").create_page_blob(512)
        assert caught.value.error_code == code
