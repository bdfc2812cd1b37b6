# SPDX-License-Identifier: Apache-2.0
"""The permissions that documents and Terraform modules give are those that Google asks for: no fewer, and no more."""

from collections.abc import Sequence

import pytest

from lkcloud.errors import LkcloudError
from lkcloud.permissions import Permission, actions
from lkcloud.permissions import needed as needed_by
from lkcloud.provider import Run
from lkcloud_gcp.permissions import PERMISSIONS, USES
from lkcloud_gcp.sandbox import GcpStandIn
from lkcloud_gcp.session import Session
from tests.gcp.imaging import BUCKET
from tests.gcp.pushing import DiskMaker
from tests.gcp.scenes import DISKS, SCENES, Stage
from tests.permission_pairs import pairs


@pytest.fixture
def stage(gcp: GcpStandIn, session: Session, run: Run, make_disk: DiskMaker, monkeypatch: pytest.MonkeyPatch) -> Stage:
    # In the background the SDK asks for what it tells in traces of a bucket, and does without where that is denied.
    monkeypatch.setenv("DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA", "true")
    # Whatever the tests are allowed, the scenes are set as if by others.
    gcp.windows.allowed, gcp.windows.allowed_in_bucket = None, {}
    return Stage(gcp, session, run, make_disk)


def allow(gcp: GcpStandIn, permissions: Sequence[Permission], use: str, *, helps: bool) -> None:
    """Allow what USE needs, each where the list says; a bucket that is to be made has what the project has."""
    chosen = needed_by(permissions, [use], helps=helps)
    on_project = ("project", "bucket") if use == "bucket" else ("project",)
    gcp.windows.allowed = frozenset(one.action for one in chosen if one.on in on_project)
    gcp.windows.allowed_in_bucket = {
        BUCKET: frozenset(one.action for one in chosen if one.on == "bucket"),
        DISKS: frozenset(one.action for one in chosen if one.on == "source"),
    }


def without(action: str) -> list[Permission]:
    return [one for one in PERMISSIONS if one.action != action]


def denied(gcp: GcpStandIn) -> list[str]:
    """Return the operations that were denied."""
    return [seen.operation for seen in gcp.traffic.log if seen.status == 403]


def test_there_is_a_scene_of_each_use() -> None:
    assert SCENES.keys() == USES.keys()


@pytest.mark.parametrize("use", USES)
def test_a_use_does_with_what_it_needs(gcp: GcpStandIn, stage: Stage, use: str) -> None:
    act = SCENES[use](stage)
    allow(gcp, PERMISSIONS, use, helps=False)
    act()


@pytest.mark.parametrize("use", USES)
def test_nothing_is_denied_that_it_would_have_something_of(gcp: GcpStandIn, stage: Stage, use: str) -> None:
    act = SCENES[use](stage)
    allow(gcp, PERMISSIONS, use, helps=True)
    gcp.traffic.clear()
    act()
    assert denied(gcp) == []


@pytest.mark.parametrize(
    ("use", "action"), pairs([(use, action) for use in USES for action in actions(PERMISSIONS, [use], helps=False)])
)
def test_what_is_needed_and_missing_is_named(gcp: GcpStandIn, stage: Stage, use: str, action: str) -> None:
    act = SCENES[use](stage)
    allow(gcp, without(action), use, helps=True)
    with pytest.raises(LkcloudError) as raised:
        act()
    assert action in f"{raised.value.message} {raised.value.hint}"


def helping() -> list[tuple[str, str]]:
    """Return each use with each action that it has something of and does not need."""
    return [
        (use, action)
        for use in USES
        for action in actions(PERMISSIONS, [use])
        if action not in actions(PERMISSIONS, [use], helps=False)
    ]


@pytest.mark.parametrize(("use", "action"), pairs(helping()))
def test_what_helps_is_asked_for_and_not_needed(gcp: GcpStandIn, stage: Stage, use: str, action: str) -> None:
    act = SCENES[use](stage)
    allow(gcp, without(action), use, helps=True)
    gcp.traffic.clear()
    act()
    assert denied(gcp) != []
