# SPDX-License-Identifier: Apache-2.0
"""What doctor finds on Google Cloud: each thing is broken, found, and mended by what was printed."""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import google.oauth2.credentials
import pytest
from google.cloud import storage

from lkcloud.diagnosis import Diagnosis, Health, Purpose, Remedy
from lkcloud.errors import NotAuthenticated
from lkcloud.permissions import actions, needed
from lkcloud_gcp import Gcp, GcpOptions
from lkcloud_gcp.allowed import uses
from lkcloud_gcp.diagnosis import identity
from lkcloud_gcp.permissions import PERMISSIONS
from lkcloud_gcp.sandbox import GcpStandIn
from lkcloud_gcp.session import Session
from tests.doctor.gcloud import MEMBER, Mender
from tests.doctor.printed import differences, rows
from tests.gcp.imaging import hold

BUCKET = "disks"
NAMED = {"bucket": BUCKET}
PUSH, TEST, SHARE = Purpose.PUSH, Purpose.TEST, Purpose.SHARE
OWN = "lkcloud-sandbox-lkcloud"
ZONE = "us-central1-a"
UNKNOWN = {Purpose.COPY, Purpose.PROTECT}
"""What there is nothing of on Google Cloud."""

Doctor = Callable[..., list[Diagnosis]]


@pytest.fixture
def doctor(session: Session) -> Doctor:
    """Look at the project with the session that there is, or with one for another project."""

    def look(*purposes: Purpose, **options: Any) -> list[Diagnosis]:
        provider = Gcp(GcpOptions.model_validate(options))
        if "project" not in options:
            provider.__dict__["_session"] = session
        return list(provider.diagnose(purposes))

    return look


def closed(client: storage.Client, name: str = BUCKET) -> storage.Bucket:
    """Make a bucket as lkcloud does."""
    made = client.bucket(name)
    made.iam_configuration.uniform_bucket_level_access_enabled = True
    made.iam_configuration.public_access_prevention = "enforced"
    made.soft_delete_policy.retention_duration_seconds = 0
    return client.create_bucket(made, location="EU")


@pytest.fixture
def healthy(gcp: GcpStandIn, session: Session) -> GcpStandIn:
    """Return a project that is ready for all of it."""
    closed(session.storage)
    return gcp


@pytest.fixture
def mender(healthy: GcpStandIn, session: Session) -> Mender:
    return Mender(healthy, session.storage)


@dataclass(frozen=True)
class Broken:
    """A thing that can be wrong: how it is broken in a healthy project, what doctor then says, and how it is mended."""

    about: str
    says: str
    break_it: Callable[[GcpStandIn, storage.Client], object]
    ways: tuple[str, ...] = ("commands",)
    purposes: tuple[Purpose, ...] = (PUSH,)
    options: Mapping[str, Any] = field(default_factory=lambda: NAMED)
    health: Health = Health.PROBLEM


def deny(action: str) -> Callable[[GcpStandIn, storage.Client], None]:
    def act(gcp: GcpStandIn, client: storage.Client) -> None:
        gcp.windows.denied_permissions = (action,)

    return act


def disable(service: str) -> Callable[[GcpStandIn, storage.Client], None]:
    def act(gcp: GcpStandIn, client: storage.Client) -> None:
        gcp.windows.disabled_services = (service,)

    return act


def change(**settings: Any) -> Callable[[GcpStandIn, storage.Client], None]:
    """Return what changes settings of the bucket, some of which are below its access or its soft delete."""

    def act(gcp: GcpStandIn, client: storage.Client) -> None:
        bucket = client.get_bucket(BUCKET)
        for name, value in settings.items():
            holder: Any = bucket
            if name == "retention_duration_seconds":
                holder = bucket.soft_delete_policy
            elif name != "retention_period":
                holder = bucket.iam_configuration
            setattr(holder, name, value)
        bucket.patch()

    return act


BREAKS = {
    "Compute Engine is not enabled": Broken(
        "api", "compute.googleapis.com is not enabled", disable("compute.googleapis.com"), ("commands", "terraform")
    ),
    "Cloud Storage is not enabled": Broken(
        "api", "storage.googleapis.com is not enabled", disable("storage.googleapis.com"), ("commands", "terraform")
    ),
    "Resource Manager is not enabled": Broken(
        "permissions",
        "nothing is known of compute.globalOperations.get",
        disable("cloudresourcemanager.googleapis.com"),
        ("commands", "terraform"),
        health=Health.UNKNOWN,
    ),
    "the bucket is not there": Broken(
        "bucket",
        "there is no bucket disks",
        lambda gcp, client: gcp.holdings.store.buckets.pop(BUCKET),
        ("commands", "terraform"),
    ),
    "the bucket keeps everything": Broken(
        "bucket", "keeps each object for 10 days", change(retention_period=10 * 86_400)
    ),
    "the bucket can be made public": Broken(
        "bucket", "can be made public", change(public_access_prevention="inherited"), health=Health.NOTE
    ),
    "objects have access lists": Broken(
        "bucket", "access lists", change(uniform_bucket_level_access_enabled=False), health=Health.NOTE
    ),
    "the bucket keeps what was removed": Broken(
        "bucket",
        "keeps what was removed for 7 days",
        change(retention_duration_seconds=7 * 86_400),
        health=Health.NOTE,
    ),
    "the bucket may not be looked at": Broken(
        "bucket", "may use and not look at", deny("storage.buckets.get"), ("do",), health=Health.UNKNOWN
    ),
    "the project may not be looked at": Broken(
        "project", "may not look at", deny("compute.projects.get"), ("do",), health=Health.UNKNOWN
    ),
    "the zone may not be looked at": Broken(
        "zone", "may not look at", deny("compute.zones.get"), ("do",), (TEST,), health=Health.UNKNOWN
    ),
    "a clock that is late": Broken(
        "clock", "behind the cloud's", lambda gcp, client: gcp.set_clock(120), health=Health.NOTE
    ),
    "a clock that is early": Broken("clock", "before the cloud's", lambda gcp, client: gcp.set_clock(-1200)),
}


def cases() -> Iterator[tuple[str, str]]:
    for what, case in BREAKS.items():
        for way in case.ways:
            yield what, way


@pytest.mark.parametrize(("what", "way"), list(cases()))
def test_it_is_found_and_mended(
    healthy: GcpStandIn, session: Session, doctor: Doctor, mender: Mender, what: str, way: str
) -> None:
    case = BREAKS[what]
    before = doctor(*case.purposes, **case.options)
    assert {one.health for one in before} == {Health.GOOD}, rows(before)
    case.break_it(healthy, session.storage)
    [found] = differences(before, doctor(*case.purposes, **case.options))
    assert (found.about, found.health) == (case.about, case.health)
    assert case.says in found.what
    assert found.why
    mender.mend(found.remedy, way)
    after = doctor(*case.purposes, **case.options)
    assert {one.health for one in after} == {Health.GOOD}, rows(after)


def named_by(found: list[Diagnosis]) -> list[str]:
    return [one.what for one in found if one.about == "permissions" and one.health is not Health.GOOD]


@pytest.mark.parametrize("way", ["commands", "terraform"])
@pytest.mark.parametrize("purpose", [one for one in Purpose if one not in UNKNOWN])
def test_each_permission_that_is_missing_is_named_and_given(
    healthy: GcpStandIn, doctor: Doctor, mender: Mender, purpose: Purpose, way: str
) -> None:
    """All that a command needs, one after the other; what is printed is all that it needs, each where it belongs."""
    options = {**NAMED, "keep_object": True}
    wanted = needed(PERMISSIONS, uses(GcpOptions.model_validate(options), purpose), helps=False)
    looking = frozenset(actions(PERMISSIONS, ["doctor"]))
    for action in sorted({one.action for one in wanted}):
        rest = [one for one in wanted if one.action != action]
        healthy.windows.allowed = looking | {one.action for one in rest if one.on == "project"}
        healthy.windows.allowed_in_bucket = {BUCKET: frozenset(one.action for one in rest if one.on == "bucket")}
        found = doctor(purpose, **options)
        assert named_by(found) == [f"{purpose.value}: not allowed {action}"]
    healthy.windows.allowed, healthy.windows.allowed_in_bucket = looking, {}
    [missing] = [one for one in doctor(purpose, **options) if one.health is Health.PROBLEM]
    mender.mend(missing.remedy, way)
    assert healthy.windows.allowed is not None
    assert not {one.action for one in wanted if one.on == "bucket"} & (healthy.windows.allowed - looking)
    after = doctor(purpose, **options)
    assert {one.health for one in after} == {Health.GOOD}, rows(after)


def test_a_bucket_that_is_to_be_made_asks_the_project(gcp: GcpStandIn, session: Session, doctor: Doctor) -> None:
    gcp.windows.allowed = frozenset(actions(PERMISSIONS, ["doctor"]))
    [missing] = [one for one in doctor(PUSH) if one.health is Health.PROBLEM]
    for action in ("storage.buckets.create", "storage.objects.create", "compute.images.create"):
        assert action in missing.what
    Mender(gcp, session.storage).mend(missing.remedy, "terraform")
    found = doctor(PUSH)
    assert {one.health for one in found} == {Health.GOOD}
    assert f"{OWN} is not there yet: the first push makes it, in US" in [one.what for one in found]
    closed(session.storage, OWN)
    gcp.windows.denied_permissions = ("storage.buckets.create",)
    assert {one.health for one in doctor(PUSH)} == {Health.GOOD}  # nobody makes it again


@pytest.mark.parametrize("way", ["commands", "terraform"])
def test_a_bucket_that_is_named_and_not_there_is_made_first(
    gcp: GcpStandIn, session: Session, doctor: Doctor, way: str
) -> None:
    gcp.windows.allowed = frozenset(actions(PERMISSIONS, ["doctor"]))
    problems = [one for one in doctor(PUSH, **NAMED) if one.health is Health.PROBLEM]
    assert [one.about for one in problems] == ["bucket", "permissions"]
    gcp.windows.allowed |= {"storage.buckets.create"}  # of whoever mends it
    whole = "\n\n".join(one.remedy.terraform for one in problems)
    commands = tuple(command for one in problems for command in one.remedy.commands)
    Mender(gcp, session.storage).mend(Remedy(commands=commands, terraform=whole), way)
    assert "storage.objects.create" not in gcp.windows.allowed
    after = doctor(PUSH, **NAMED)
    assert {one.health for one in after} == {Health.GOOD}, rows(after)


def test_uses_that_the_options_ask_for(healthy: GcpStandIn, doctor: Doctor) -> None:
    healthy.windows.denied_permissions = ("storage.objects.update",)
    assert named_by(doctor(PUSH, **NAMED)) == []
    assert named_by(doctor(PUSH, keep_object=True, **NAMED)) == ["push: not allowed storage.objects.update"]


def test_what_there_is_nothing_of_asks_for_nothing(healthy: GcpStandIn, doctor: Doctor) -> None:
    assert not [one for one in doctor(*UNKNOWN) if one.about in ("permissions", "bucket")]


def test_a_full_project(healthy: GcpStandIn, doctor: Doctor) -> None:
    hold(healthy)
    healthy.windows.images = 1
    [found] = [one for one in doctor(PUSH, **NAMED) if one.health is Health.PROBLEM]
    assert (found.about, "has 1 images and may have 1" in found.what) == ("quota", True)
    assert found.remedy.do.startswith("delete images")
    assert not [one for one in doctor(TEST, **NAMED) if one.about == "quota"]
    Gcp(GcpOptions()).delete(Gcp(GcpOptions()).find("image"))  # type: ignore[arg-type]  # it is there
    assert {one.health for one in doctor(PUSH, **NAMED)} == {Health.GOOD}


def test_zones(healthy: GcpStandIn, doctor: Doctor) -> None:
    [found] = [one for one in doctor(TEST, zone="mars-north1-a") if one.health is not Health.GOOD]
    assert (found.about, found.health) == ("zone", Health.PROBLEM)
    assert "no zone mars-north1-a" in found.what
    healthy.windows.zones_down = (ZONE,)
    [down] = [one for one in doctor(TEST) if one.health is not Health.GOOD]
    assert (down.about, down.what) == ("zone", f"the zone {ZONE} is DOWN")
    assert found.remedy == down.remedy
    assert "give another --zone" in found.remedy.do
    assert {one.health for one in doctor(TEST, zone="europe-west3-a")} == {Health.GOOD}
    assert {one.health for one in doctor(PUSH, **NAMED)} == {Health.GOOD}


def test_a_project_that_is_not_there_or_not_known(
    healthy: GcpStandIn, doctor: Doctor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    [found] = [one for one in doctor(*Purpose, project="no-such-project") if one.health is not Health.GOOD]
    assert (found.about, found.health) == ("project", Health.PROBLEM)
    assert "check --project" in found.remedy.do
    monkeypatch.delenv("GOOGLE_CLOUD_PROJECT")
    key = json.loads(Path(os.environ["GOOGLE_APPLICATION_CREDENTIALS"]).read_text())
    del key["project_id"]
    (tmp_path / "key.json").write_text(json.dumps(key))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "key.json"))
    [unknown] = [one for one in Gcp(GcpOptions()).diagnose([PUSH]) if one.health is not Health.GOOD]
    assert (unknown.about, unknown.health) == ("project", Health.PROBLEM)
    assert unknown.remedy.do == "give --project, or set GOOGLE_CLOUD_PROJECT"
    assert {one.health for one in doctor(PUSH, project="lkcloud-sandbox", **NAMED)} == {Health.GOOD}


def test_buckets_of_others_and_policies_for_good(healthy: GcpStandIn, session: Session, doctor: Doctor) -> None:
    healthy.windows.foreign_buckets = (OWN,)
    [found] = [one for one in doctor(PUSH) if one.health is not Health.GOOD]
    assert (found.about, found.health) == ("bucket", Health.PROBLEM)
    assert "belongs to another project" in found.what
    assert "give --bucket" in found.remedy.do
    assert {one.health for one in doctor(PUSH, **NAMED)} == {Health.GOOD}
    change(retention_period=86_400)(healthy, session.storage)
    healthy.holdings.store.buckets[BUCKET].settings["retentionPolicy"]["isLocked"] = True
    [locked] = [one for one in doctor(PUSH, **NAMED) if one.health is not Health.GOOD]
    assert locked.remedy.commands == ()
    assert "another --bucket" in locked.remedy.do
    assert {one.health for one in doctor(PUSH, method="resumable", keep_object=True, **NAMED)} == {Health.GOOD}


def test_a_policy_of_the_organization_cannot_be_seen(healthy: GcpStandIn, doctor: Doctor) -> None:
    [found] = [one for one in doctor(SHARE, public=True) if one.health is not Health.GOOD]
    assert (found.about, found.health) == ("organization policy", Health.UNKNOWN)
    [command] = found.remedy.commands
    assert command.startswith("gcloud org-policies describe iam.allowedPolicyMemberDomains --project=lkcloud-sandbox")
    assert {one.health for one in doctor(SHARE, share_with=["user:jane@example.com"])} == {Health.GOOD}


def test_who_it_is(session: Session) -> None:
    assert identity(session.credentials).member == MEMBER
    user = google.oauth2.credentials.Credentials("token", account="jane@example.com")  # type: ignore[no-untyped-call]
    assert identity(user).member == "user:jane@example.com"
    nobody = identity(google.oauth2.credentials.Credentials("token"))  # type: ignore[no-untyped-call]
    assert (nobody.member, nobody.told().health) == ("", Health.NOTE)


def test_a_clock_that_is_wrong_is_told_where_nobody_can_sign_in(healthy: GcpStandIn, doctor: Doctor) -> None:
    healthy.set_clock(7200)
    [found] = doctor(PUSH, project="lkcloud-sandbox", **NAMED)  # a new session, that has no token yet
    assert (found.about, found.health) == ("clock", Health.PROBLEM)
    healthy.set_clock(0)
    assert {one.health for one in doctor(PUSH, project="lkcloud-sandbox", **NAMED)} == {Health.GOOD}
    healthy.expire_credentials()
    with pytest.raises(NotAuthenticated):
        doctor(PUSH, project="lkcloud-sandbox", **NAMED)


def test_nothing_is_made(healthy: GcpStandIn, doctor: Doctor) -> None:
    healthy.traffic.clear()
    doctor(*Purpose, public=True, **NAMED)
    doctor(*Purpose)
    verbs = {name.partition(".")[2] for name in healthy.traffic.operations() if "." in name}
    assert verbs == {"get", "testIamPermissions"}
    assert list(healthy.holdings.store.buckets) == [BUCKET]
