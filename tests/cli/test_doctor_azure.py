# SPDX-License-Identifier: Apache-2.0
"""A subscription of Azure that is not ready, as a user sees it, mended by what `doctor --fix` prints."""

import json

from lkcloud.diagnosis import Remedy
from lkcloud_azure.role import everywhere
from lkcloud_azure.sandbox import AzureStandIn
from lkcloud_azure.sandbox.cloud import LOCATION, Group
from lkcloud_azure.session import Session
from tests.cli.conftest import Command
from tests.doctor.az import Mender

ARGUMENTS = ("doctor", "azure", "--for", "push,list", "--azure-gallery", "images")


def test_a_subscription_that_is_not_ready(azure: AzureStandIn, lkcloud: Command) -> None:
    azure.holdings.groups["lkcloud"] = Group("lkcloud", LOCATION, {})
    allowed, data = everywhere(["check", "group", "list"])
    azure.windows.allowed_actions, azure.windows.allowed_data_actions = frozenset(allowed), frozenset(data)
    azure.windows.unregistered = ("Microsoft.Compute",)
    mender = Mender(azure, Session(resource_manager=azure.environment()["LKCLOUD_AZURE_RESOURCE_MANAGER"]))

    table = lkcloud(*ARGUMENTS, code=1).stdout
    assert "$ az provider register --namespace Microsoft.Compute --wait --subscription " in table
    said = " ".join(table.split())
    assert "PROBLEM permissions push: not allowed Microsoft.Compute/disks/beginGetAccess/action" in said
    assert "ok permissions list: all 2 are allowed" in said

    document = json.loads(lkcloud(*ARGUMENTS, "--json", code=1).stdout)
    health = [(one["about"], one["health"]) for one in document["clouds"]["azure"]]
    assert [about for about, word in health if word == "problem"] == ["resource provider", "permissions"]
    assert ("gallery", "unknown") in health  # it may not be looked at yet

    for _ in range(2):  # what it sees then, it has not seen before
        fix = lkcloud(*ARGUMENTS, "--fix", code=1)
        assert fix.stderr == ""
        mender.mend(Remedy(terraform=fix.stdout), "terraform")
    assert "PROBLEM" not in lkcloud(*ARGUMENTS).stdout
    assert lkcloud(*ARGUMENTS, "--fix").stdout.strip() == ""
