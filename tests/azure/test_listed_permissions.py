# SPDX-License-Identifier: Apache-2.0
"""Each use does with exactly the permissions that the list gives it, and an error names the one that is missing."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from lkcloud.errors import LkcloudError
from lkcloud.permissions import Permission, actions
from lkcloud.provider import Run
from lkcloud_azure.permissions import PERMISSIONS, USES
from lkcloud_azure.role import parted
from lkcloud_azure.roles import BLOB_DATA
from lkcloud_azure.sandbox import AzureStandIn
from lkcloud_azure.session import Session
from tests.azure.imaging import tiny_disk
from tests.azure.scenes import SCENES, Stage
from tests.azure_sandbox.machines import needs_qemu
from tests.permission_pairs import pairs

ALSO: Mapping[str, Sequence[str]] = {
    # A push has a way and a kind of image.
    "disk": ("image",),
    "image": ("disk",),
    "blob": ("image",),
    "gallery": ("disk",),
    "blob-gallery": ("blob", "gallery"),
    "create-gallery": ("disk", "gallery"),
    "trusted": ("disk", "gallery"),
    "encrypt": ("disk", "image"),
    "group": ("disk", "image"),
    # What is checked is what is then done.
    "check": ("disk", "image", "blob", "gallery", "blob-gallery", "create-gallery"),
}
"""Uses that are never alone: what they need beside their own."""

WITH_MACHINES = ("test", "delete", "gc")
"""Uses whose scenes start a machine."""

SCENE_USES = [pytest.param(use, marks=[needs_qemu] if use in WITH_MACHINES else []) for use in USES]


UNSEEN: Mapping[tuple[str, str], str] = {
    ("image", "Microsoft.Compute/images/delete"): "done where the making of one has failed",
    ("gallery", "Microsoft.Compute/galleries/images/versions/delete"): "done where the making of one has failed",
    (
        "test",
        "Microsoft.Compute/disks/write",
    ): "the machine's disk is made with it; whether Azure asks is not documented",
    ("test", "Microsoft.Compute/locations/diskOperations/read"): "asked where the disk has not gone with its machine",
}
"""What is given all the same, and why no test sees it asked for."""


@pytest.fixture
def stage(azure: AzureStandIn, session: Session, run: Run, tmp_path: Path) -> Iterator[Stage]:
    with tiny_disk(tmp_path) as disk:
        yield Stage(azure, session, run, disk)


def uses(use: str, *, helps: bool = False) -> tuple[str, ...]:
    """Return USE and those that it is never without; a push looks at all first, which is a use that only helps it."""
    return use, *ALSO.get(use, ()), *(("check",) if helps and use in ALSO else ())


def allow(azure: AzureStandIn, permissions: Sequence[Permission], use: str, *, helps: bool) -> None:
    allowed, data = parted(actions(permissions, uses(use, helps=helps), helps=helps))
    azure.windows.allowed_actions, azure.windows.allowed_data_actions = frozenset(allowed), frozenset(data)


def without(action: str) -> list[Permission]:
    return [one for one in PERMISSIONS if one.action != action]


def denied(azure: AzureStandIn) -> list[str]:
    return [seen.operation for seen in azure.traffic.log if seen.status == 403]


def test_there_is_a_scene_of_each_use() -> None:
    assert SCENES.keys() == USES.keys()


@pytest.mark.parametrize("use", SCENE_USES)
def test_a_use_does_with_what_it_needs(azure: AzureStandIn, stage: Stage, use: str) -> None:
    act = SCENES[use](stage)
    allow(azure, PERMISSIONS, use, helps=False)
    act()


@pytest.mark.parametrize("use", SCENE_USES)
def test_nothing_is_denied_that_it_would_have_something_of(azure: AzureStandIn, stage: Stage, use: str) -> None:
    act = SCENES[use](stage)
    allow(azure, PERMISSIONS, use, helps=True)
    azure.traffic.clear()
    act()
    assert denied(azure) == []


def needed() -> list[tuple[str, str]]:
    """Return each use with each action that it alone needs."""
    found = []
    for use in USES:
        others = actions(PERMISSIONS, ALSO.get(use, ()), helps=False)
        own = [action for action in actions(PERMISSIONS, [use], helps=False) if action not in others]
        found += [(use, action) for action in own if (use, action) not in UNSEEN]
    return found


@pytest.mark.parametrize(("use", "action"), pairs(needed(), [needs_qemu], WITH_MACHINES))
def test_what_is_needed_and_missing_is_named(azure: AzureStandIn, stage: Stage, use: str, action: str) -> None:
    act = SCENES[use](stage)
    allow(azure, without(action), use, helps=True)
    with pytest.raises(LkcloudError) as raised:
        act()
    said = f"{raised.value.message} {raised.value.hint}"
    # Of blobs Azure does not say which action it is.
    assert (action.lower() in said.lower()) or (
        action.startswith(BLOB_DATA) and "Storage Blob Data Contributor" in said
    ), said


def helping() -> list[tuple[str, str]]:
    return [
        (use, action)
        for use in USES
        for action in actions(PERMISSIONS, [use])
        if action not in actions(PERMISSIONS, uses(use), helps=False) and (use, action) not in UNSEEN
    ]


@pytest.mark.parametrize(("use", "action"), pairs(helping(), [needs_qemu], WITH_MACHINES))
def test_what_helps_is_asked_for_and_not_needed(azure: AzureStandIn, stage: Stage, use: str, action: str) -> None:
    act = SCENES[use](stage)
    allow(azure, without(action), use, helps=True)
    azure.traffic.clear()
    act()
    assert denied(azure) != []
