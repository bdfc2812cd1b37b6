# SPDX-License-Identifier: Apache-2.0
"""What the module for Azure makes."""

import json
from collections.abc import Mapping
from io import StringIO
from typing import Any

import pytest
from ruamel.yaml import YAML

from lkcloud.permissions import actions
from lkcloud_azure import AzureOptions, vm_sizes
from lkcloud_azure.permissions import PERMISSIONS, USES
from lkcloud_azure.role import in_group
from tests.terraform.applying import Applied, Refused, Terraform
from tests.terraform.conftest import SUBSCRIPTION, TENANT

GITHUB = "repo:example/myos:environment:release"
GITLAB = "project_path:images/myos:ref_type:branch:ref:main"
GROUP = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/lkcloud"
NAME = "lkcloud-publisher"


def apply(terraform: Terraform, *uses: str, **more: Any) -> Applied:
    publisher = {"uses": list(uses), **more.pop("publisher", {"github": [GITHUB]})}
    return terraform.apply("azure", location="westeurope", publishers={NAME: publisher}, **more)


def test_a_publisher_may_do_what_its_uses_need_and_nothing_else(terraform: Terraform) -> None:
    uses = [use for use in USES if use != "group"]
    publishers = {use: {"uses": [use]} for use in uses}
    applied = terraform.apply("azure", location="westeurope", publishers=publishers)
    made = {one["name"]: (one["scope"], one["permissions"]) for one in applied.of("azurerm_role_definition")}
    wanted: dict[str, Any] = {}
    for use in uses:
        allowed, data = in_group([use])
        above = actions((one for one in PERMISSIONS if one.on == "subscription"), [use])
        shared = actions((one for one in PERMISSIONS if one.on == "shared"), [use])
        if allowed or data:
            wanted[f"lkcloud {use}, group (lkcloud)"] = GROUP, allowed, data
        if above:
            wanted[f"lkcloud {use}, subscription (lkcloud)"] = f"/subscriptions/{SUBSCRIPTION}", above, []
        if shared:
            wanted[f"lkcloud {use}, sharing (lkcloud)"] = GROUP, shared, []
    assert made.keys() == wanted.keys()
    for name, (scope, [allowed]) in made.items():
        assert (scope, sorted(allowed["actions"]), sorted(allowed["data_actions"] or [])) == wanted[name], name
        assert [allowed["not_actions"], allowed["not_data_actions"]] == [None, None]


def test_the_identity_and_people_that_are_named_have_the_roles(terraform: Terraform) -> None:
    applied = apply(terraform, "disk", "image", "check", publisher={"github": [GITHUB], "principals": [TENANT]})
    given = {(one["scope"], one["principal_id"]) for one in applied.of("azurerm_role_assignment")}
    identity = f"azurerm_user_assigned_identity:{NAME}:principal_id"
    assert given == {(scope, who) for scope in (GROUP, GROUP.partition("/res")[0]) for who in (identity, TENANT)}


def test_who_may_share_may_give_readers_only(terraform: Terraform) -> None:
    applied = apply(terraform, "share")
    [sharing] = [one for one in applied.of("azurerm_role_assignment") if one["condition"]]
    assert "sharing" in sharing["role_definition_id"]
    assert sharing["condition_version"] == "2.0"
    assert sharing["condition"].count("acdd72a7-3385-48ef-bd42-f606fba81ae7") == 2
    assert not any(one["condition"] for one in apply(terraform, "disk").of("azurerm_role_assignment"))


def test_jobs_that_are_named_are_trusted_and_no_others(terraform: Terraform) -> None:
    named = {"github": [GITHUB], "gitlab": [GITLAB]}
    applied = apply(terraform, "disk", publisher=named, gitlab_url="https://gitlab.example.com")
    trusted = applied.of("azurerm_federated_identity_credential")
    assert {(one["issuer"], one["subject"]) for one in trusted} == {
        ("https://token.actions.githubusercontent.com", GITHUB),
        ("https://gitlab.example.com", GITLAB),
    }
    assert {tuple(one["audience"]) for one in trusted} == {("api://AzureADTokenExchange",)}
    assert len({one["name"] for one in trusted}) == 2


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ({"uses": ["fly"]}, "does not know"),
        ({"uses": ["group"]}, "is made here"),
        ({"uses": ["test"], "github": ["repo:example/myos:ref:refs/tags/v*"]}, "in full"),
        ({"uses": ["test"], "gitlab": ["x"]}, "in full"),
    ],
)
def test_what_azure_would_not_compare_is_refused(terraform: Terraform, named: Mapping[str, Any], said: str) -> None:
    with pytest.raises(Refused, match=said):
        terraform.apply("azure", location="westeurope", publishers={NAME: named})


def test_machines_are_small_ones(terraform: Terraform) -> None:
    assignment = apply(terraform, "test").one("azurerm_resource_group_policy_assignment")
    assert assignment["resource_group_id"] == GROUP
    allowed = json.loads(assignment["parameters"])["listOfAllowedSKUs"]["value"]
    assert sorted(allowed) == sorted(size.name for size in vm_sizes.SIZES)
    assert apply(terraform, "test", vm_sizes=[]).of("azurerm_resource_group_policy_assignment") == []


def test_the_container_is_private(terraform: Terraform) -> None:
    applied = apply(terraform, "blob", "image", storage_account="disks")
    account, container = applied.one("azurerm_storage_account"), applied.one("azurerm_storage_container")
    assert (account["account_kind"], account["is_hns_enabled"]) == ("StorageV2", False)
    assert (account["allow_nested_items_to_be_public"], account["min_tls_version"]) == (False, "TLS1_2")
    assert (container["name"], container["container_access_type"]) == (AzureOptions().container, "private")


def test_gallery_and_definitions(terraform: Terraform) -> None:
    applied = apply(
        terraform,
        "disk",
        "gallery",
        gallery="images",
        definitions={
            "x86": {"offer": "myos", "sku": "x86"},
            "bios": {"offer": "myos", "sku": "bios", "generation": "V1"},
            "arm": {"offer": "myos", "sku": "arm", "architecture": "Arm64", "nvme": False},
        },
    )
    assert applied.one("azurerm_shared_image_gallery")["sharing"] == []
    made = {one["name"]: one for one in applied.of("azurerm_shared_image")}
    assert {name: one["disk_controller_type_nvme_enabled"] for name, one in made.items()} == {
        "x86": True,
        "bios": False,
        "arm": False,
    }
    assert (made["arm"]["architecture"], made["bios"]["hyper_v_generation"]) == ("Arm64", "V1")
    assert applied.outputs["definitions"].keys() == made.keys()


def test_a_gallery_for_everybody_says_who_publishes_it(terraform: Terraform) -> None:
    said = {
        "prefix": "myos",
        "publisher_uri": "https://example.com",
        "publisher_contact": "images@example.com",
        "eula": "https://example.com/license",
    }
    [sharing] = apply(terraform, "public", gallery="images", community=said).one("azurerm_shared_image_gallery")[
        "sharing"
    ]
    assert sharing["permission"] == "Community"
    assert sharing["community_gallery"][0]["publisher_email"] == "images@example.com"


def test_the_key_is_in_a_vault_that_the_encryption_set_may_use(terraform: Terraform) -> None:
    with pytest.raises(Refused, match="give key_vault"):
        apply(terraform, "encrypt", encrypted=True)
    applied = apply(terraform, "encrypt", encrypted=True, key_vault="keys")
    vault = applied.one("azurerm_key_vault")
    assert (vault["rbac_authorization_enabled"], vault["purge_protection_enabled"]) == (True, True)
    names = {one["role_definition_name"] for one in applied.of("azurerm_role_assignment")} - {None}
    assert {name for name in names if name.startswith("Key Vault")} == {
        "Key Vault Crypto Officer",
        "Key Vault Crypto Service Encryption User",
    }
    assert applied.one("azurerm_disk_encryption_set")["auto_key_rotation_enabled"] is True


def test_the_outputs_are_options_of_a_target(terraform: Terraform) -> None:
    applied = apply(terraform, "blob", "gallery", storage_account="disks", gallery="images")
    target = YAML(typ="safe").load(StringIO(applied.outputs["target"]))
    assert target == {"cloud": "azure", "options": applied.outputs["options"]}
    options = AzureOptions.model_validate(target["options"])
    assert (options.subscription, options.resource_group) == (SUBSCRIPTION, "lkcloud")
    assert (options.method, options.storage_account, options.gallery) == ("blob", "disks", "images")
    assert apply(terraform, "disk").outputs["options"].keys() == {"subscription", "resource_group", "location"}
