# SPDX-License-Identifier: Apache-2.0
"""What doctor says of permissions on Azure is the list: each that is missing is named, and all are given."""

import pytest

from lkcloud.diagnosis import Health, Purpose, Remedy
from lkcloud.permissions import needed
from lkcloud_azure.diagnosis_permissions import Permissions
from lkcloud_azure.naming import COMPUTE
from lkcloud_azure.permissions import PERMISSIONS
from lkcloud_azure.roles import BLOB_DATA
from lkcloud_azure.sandbox import AzureStandIn
from lkcloud_azure.sandbox.cloud import LOCATION, Group
from lkcloud_azure.session import Session
from lkcloud_azure.sharing import READER
from tests.azure.diagnosing import Doctor, allow
from tests.azure.imaging import GROUP
from tests.azure.pushing import options_of
from tests.azure.scenes import KEY
from tests.doctor.az import Mender
from tests.doctor.printed import differences

PUSH, SHARE, DELETE = Purpose.PUSH, Purpose.SHARE, Purpose.DELETE
BLOB = {"method": "blob"}
GALLERY = {"gallery": "gal"}
BOTH = ("commands", "terraform")


def uses(purpose: Purpose, gallery: bool) -> list[str]:
    if purpose is PUSH:
        return ["disk", "gallery" if gallery else "image"]
    return [] if not gallery and purpose.value in ("promote", "deprecate", "sweep") else [purpose.value]


PURPOSES = [one for one in Purpose if one not in (Purpose.COPY, Purpose.PROTECT)]
"""What there is something of on Azure."""


@pytest.mark.parametrize("gallery", [False, True])
@pytest.mark.parametrize("purpose", PURPOSES)
def test_each_permission_that_is_missing_is_named(
    healthy: AzureStandIn, doctor: Doctor, purpose: Purpose, gallery: bool
) -> None:
    """All that a command needs, one after the other."""
    options = GALLERY if gallery else {}
    wanted = needed(PERMISSIONS, uses(purpose, gallery), helps=False)
    named: set[str] = set()
    for action in sorted({one.action for one in wanted}):
        allow(healthy, [one.action for one in PERMISSIONS if one.action != action])
        found = [one for one in doctor(purpose, **options) if one.about == "permissions"]
        if found[0].health is Health.PROBLEM:
            assert [one.what for one in found] == [f"{purpose.value}: not allowed {action}"]
            named.add(action)
    # The others are for a gallery where there is none, and for managed images where there is one.
    left = {one.action for one in wanted} - named
    if gallery:
        assert left == {one.action for one in wanted if one.action.startswith(f"{COMPUTE}/images/") and purpose != PUSH}
    else:
        assert left == {one.action for one in wanted if one.on == "gallery"}


@pytest.mark.parametrize("way", BOTH)
@pytest.mark.parametrize("gallery", [False, True])
@pytest.mark.parametrize("purpose", PURPOSES)
def test_what_is_missing_is_given(
    healthy: AzureStandIn, doctor: Doctor, mender: Mender, purpose: Purpose, gallery: bool, way: str
) -> None:
    """What is printed is all that a command needs or has something of."""
    options = GALLERY if gallery else {}
    allow(healthy, [one.action for one in needed(PERMISSIONS, ["check", "group"])])
    lacking = [one for one in doctor(purpose, **options) if one.health is Health.PROBLEM]
    if not uses(purpose, gallery):
        assert lacking == []
        return
    mender.mend(lacking[0].remedy, way)
    assert [one.health for one in doctor(purpose, **options) if one.about == "permissions"] == [Health.GOOD]


def test_who_may_share_is_given_one_role_to_give(healthy: AzureStandIn, doctor: Doctor, mender: Mender) -> None:
    for way in BOTH:
        allow(healthy, [one.action for one in PERMISSIONS if "roleAssignments" not in one.action])
        [lacking] = [one for one in doctor(SHARE) if one.health is Health.PROBLEM]
        mender.mend(lacking.remedy, way)
        assert [one.health for one in doctor(SHARE) if one.about == "permissions"] == [Health.GOOD]
    by_command, by_terraform = mender.conditions
    assert by_command == by_terraform.replace('\\"', '"')
    assert by_command.count(f"ForAnyOfAnyValues:GuidEquals {{{READER}}}") == 2


def test_what_helps_is_a_note(healthy: AzureStandIn, doctor: Doctor, mender: Mender) -> None:
    before = doctor(DELETE)
    must = [one.action for one in needed(PERMISSIONS, ["delete"], helps=False)]
    allow(healthy, [*must, *(one.action for one in needed(PERMISSIONS, ["check"]))])
    [note] = differences(before, doctor(DELETE))
    assert (note.about, note.health) == ("permissions", Health.NOTE)
    assert note.what.startswith(f"delete: does without {COMPUTE}/disks/delete")
    mender.mend(note.remedy, "terraform")
    assert {one.health for one in doctor(DELETE)} == {Health.GOOD}


def test_data_actions_are_apart(healthy: AzureStandIn, doctor: Doctor, mender: Mender) -> None:
    healthy.windows.allowed_data_actions = frozenset()
    [lacking] = [one for one in doctor(PUSH, **BLOB) if one.health is Health.PROBLEM]
    assert lacking.what == f"push: not allowed {BLOB_DATA}delete, {BLOB_DATA}read, {BLOB_DATA}write"
    # The account is in a group of its own, and so is its role.
    assert [f"resourceGroups/{name}" in lacking.remedy.terraform for name in (GROUP, "lkcloud-sandbox")] == [True, True]
    mender.mend(lacking.remedy, "commands")
    assert {one.health for one in doctor(PUSH, **BLOB)} == {Health.GOOD}


def test_a_disk_encryption_set_is_asked_for_in_its_own_group(healthy: AzureStandIn, doctor: Doctor) -> None:
    action = f"{COMPUTE}/diskEncryptionSets/read"
    [unknown] = [one for one in doctor(PUSH, disk_encryption_set=KEY) if one.health is not Health.GOOD]
    assert (unknown.health, unknown.what) == (Health.UNKNOWN, f"push: nothing is known of {action}")
    healthy.holdings.groups["keys"] = Group("keys", LOCATION, {})
    assert {one.health for one in doctor(PUSH, disk_encryption_set=KEY)} == {Health.GOOD}
    allow(healthy, [one.action for one in PERMISSIONS if one.action != action])
    [lacking] = [one for one in doctor(PUSH, disk_encryption_set=KEY) if one.health is not Health.GOOD]
    assert lacking.what == f"push: not allowed {action}"
    assert "/resourceGroups/keys" in lacking.remedy.terraform


def test_who_is_not_known_is_given_nothing(healthy: AzureStandIn, session: Session) -> None:
    allow(healthy, ["Microsoft.Authorization/permissions/read"])
    [lacking] = Permissions(session, options_of(), None, group_there=True).diagnose([Purpose.LIST])
    assert lacking.health is Health.PROBLEM
    assert lacking.remedy == Remedy("give this identity a role with it, see docs/azure.md")


@pytest.mark.parametrize("purpose", [Purpose.COPY, Purpose.PROTECT])
def test_what_azure_does_not_know_asks_for_nothing(healthy: AzureStandIn, doctor: Doctor, purpose: Purpose) -> None:
    assert "permissions" not in [one.about for one in doctor(purpose)]
