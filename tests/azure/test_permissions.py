# SPDX-License-Identifier: Apache-2.0
"""The permissions that the documents and the checks name are those that the calls need: no fewer, and no more."""

import json
from pathlib import Path
from typing import Any

import pytest

from lkcloud import pipeline
from lkcloud.disk import open_disk
from lkcloud.provider import Deprecation, Image, Run, Status
from lkcloud.sandbox.tinydisk import write_tiny_disk
from lkcloud_azure import Azure, permissions
from lkcloud_azure.roles import Grant
from lkcloud_azure.sandbox import AzureStandIn
from lkcloud_azure.sandbox.arm_registry import routes
from lkcloud_azure.sandbox.own_blobs_routes import NEEDS
from tests.azure.pushing import options_of
from tests.azure_sandbox.machines import needs_qemu

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "azure.md"

LINKED = {
    "Microsoft.Compute/diskEncryptionSets/read",
    "Microsoft.Network/networkInterfaces/join/action",
    "Microsoft.Network/virtualNetworks/subnets/join/action",
}
LIST_KEYS = "Microsoft.Storage/storageAccounts/listKeys/action"
"""What Azure asks for of resources that another one makes use of: no request of ours."""

ABOVE = {
    "Microsoft.Compute/locations/usages/read",
    "Microsoft.Resources/subscriptions/read",
    "Microsoft.Resources/subscriptions/providers/read",
    "Microsoft.Resources/subscriptions/resourceGroups/write",
}
"""What is asked or made of the subscription, which a role for a resource group cannot have."""

SHARING = {"Microsoft.Authorization/roleAssignments/read", "Microsoft.Authorization/roleAssignments/write"}
"""What the document names beside the role."""


def role() -> tuple[Grant, set[str]]:
    """Return the actions and the data actions of the role that the document shows."""
    text = DOCUMENT.read_text().partition("<!-- generated: azure role -->\n```json\n")[2].partition("```")[0]
    found = json.loads(text)
    assert found["Actions"] == sorted(found["Actions"])
    return Grant(tuple(found["Actions"]), ()), set(found["DataActions"])


def asked(azure: AzureStandIn) -> set[str]:
    """Return the actions and data actions of all requests so far."""
    patterns = [(route.method, route.pattern(), route.needed()) for route in routes()]
    requests = {(seen.method, seen.path) for seen in azure.traffic.log if seen.service == "arm"}
    return {
        next(action for known, pattern, action in patterns if known == method and pattern.fullmatch(path))
        for method, path in requests
    } | {NEEDS[seen.operation].action for seen in azure.traffic.log if seen.operation in NEEDS}


def push(provider: Azure, folder: Path, run: Run, name: str) -> Image:
    path = folder / "disk.raw"
    write_tiny_disk(path, size=20 << 20)
    with open_disk(path) as disk:
        return pipeline.push(provider, disk, name=name, run=run).image


def live(azure: AzureStandIn, folder: Path, run: Run, **options: Any) -> None:
    """Let an image go its whole way: pushed, listed, shared, promoted, booted, and deleted."""
    provider = Azure(options_of(resource_manager=azure.environment()["LKCLOUD_AZURE_RESOURCE_MANAGER"], **options))
    image = push(provider, folder, run, "image")
    list(provider.images())
    provider.share(image, run)
    if provider.options.gallery:
        provider.promote(image, run)
        provider.deprecate(image, Deprecation(status=Status.OBSOLETE), run)
    machine = provider.launch(image, run)
    machine.state()
    machine.console()
    machine.terminate()
    for left in list(provider.leftovers("")):
        provider.delete(left)
    provider.delete(image)


@needs_qemu
def test_the_documents_role_has_what_is_asked_and_nothing_else(azure: AzureStandIn, tmp_path: Path, run: Run) -> None:
    gallery = {"gallery": "images", "create_gallery": True, "latest": True}
    shared = {"share_with": ("7a1f0a52-52a4-4f6d-8e0b-3f2a6d5c4b1a",)}
    live(azure, tmp_path, run, **shared)
    live(azure, tmp_path, run, method="blob")
    live(azure, tmp_path, run, **gallery, **shared)
    live(azure, tmp_path, run, **gallery, method="blob", definition="other", sku="other")
    needed, (known, data) = asked(azure), role()
    assert data < needed
    needed -= data
    assert {action for action in needed if not known.allows(action)} == ABOVE | SHARING
    every = {*needed, *LINKED, LIST_KEYS}
    assert [one for one in known.actions if not any(Grant((one,), ()).allows(action) for action in every)] == []


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"method": "blob"},
        {"gallery": "images", "create_gallery": True},
        {"gallery": "images", "create_gallery": True, "method": "blob"},
        {"gallery": "images", "create_gallery": True, "security_type": "TrustedLaunchSupported"},
        {"keep_upload": True},
    ],
)
def test_a_push_does_with_what_the_checks_ask_for(
    azure: AzureStandIn, tmp_path: Path, run: Run, options: dict[str, Any]
) -> None:
    """Nothing that changes anything is done beyond that, and the group, which can be made by another identity."""
    provider = Azure(options_of(resource_manager=azure.environment()["LKCLOUD_AZURE_RESOURCE_MANAGER"], **options))
    push(provider, tmp_path, run, "image")
    chosen = provider.options
    actions, data = permissions.of_account(chosen) if chosen.method == "blob" else ([], [])
    known = {*permissions.of_group(chosen), *permissions.of_gallery(chosen), *actions, *data}
    done = {action for action in asked(azure) if not action.endswith("/read")}
    if chosen.method == "disk":
        done = {action for action in done if "/blobs/" not in action}  # by URL, which nobody needs a role for
    assert done - known == {"Microsoft.Resources/subscriptions/resourceGroups/write"}
    assert {action for action in known if not action.endswith("/read")} - done <= {LIST_KEYS}
