# SPDX-License-Identifier: Apache-2.0
"""Releases carried out against the stand-ins: order, gates, going on, and the manifest at any moment."""

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lkcloud.errors import LkcloudError, UsageError
from lkcloud.release import job, reading
from lkcloud.release.events import Event, PhaseEnded, Said, StageBegan, StageEnded
from lkcloud.release.manifest import Manifest
from lkcloud.release.run import Publication, Result
from lkcloud.release.steps import Bench, Disks, looking
from lkcloud.sandbox.http import Response
from lkcloud.sandbox.traffic import Seen
from lkcloud_aws.sandbox import AwsStandIn
from lkcloud_aws.sandbox.errors import ApiError, render
from lkcloud_gcp.sandbox import GcpStandIn
from lkcloud_gcp.sandbox.cloud import PROJECT
from tests.cli.conftest import Command
from tests.images import tiny_bios
from tests.release.conftest import Write

TWO_CLOUDS = """\
    name: os-{image}
    version: "1"
    images:
      - {id: x86, file: disk.raw}
    targets:
      - cloud: aws
        options: {region: eu-central-1, boot_mode: legacy-bios}
      - cloud: gcp
        options: {family: os, workers: 2, guest_os_feature: GVNIC}
    defaults:
      test: {expect: release-boot-ok, timeout: 60}
"""


class Heard:
    """A listener that remembers."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def __call__(self, event: Event) -> None:
        self.events.append(event)

    def ends(self) -> list[tuple[str, str, str]]:
        """Return (target, phase, outcome) of all phases that have ended, sorted."""
        return sorted((e.target, e.phase, e.outcome) for e in self.events if isinstance(e, PhaseEnded))

    def stages(self, target: str) -> list[str]:
        """Return the titles of the stages of a target, in order."""
        return [e.stage for e in self.events if isinstance(e, StageBegan) and e.target == target]


Publish = Callable[..., Result]


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def publish(tmp_path: Path, heard: Heard) -> Publish:
    """Carry out the release file PATH, or only some of it."""

    def publish(path: Path, only: tuple[str, ...] = ()) -> Result:
        file = reading.read(path)
        with Disks() as disks, ThreadPoolExecutor(8) as executor:
            bench = Bench(heard, disks)
            return Publication(
                job.jobs(file, only, looking(executor, bench)),
                version=file.release.version,
                executor=executor,
                bench=bench,
                listener=heard,
                output=tmp_path / "release.json",
                whole=not only,
            ).run()

    return publish


def manifest(folder: Path) -> Manifest:
    return Manifest.model_validate_json((folder / "release.json").read_bytes())


def fail(operation: str, status: int = 403) -> Callable[[Seen], Response | None]:
    """Let requests of an OPERATION be refused."""

    def refuse(seen: Seen) -> Response | None:
        if seen.phase == "before" and seen.operation == operation:
            body = json.dumps({"error": {"code": status, "message": "no", "errors": [{"reason": "forbidden"}]}})
            return Response(status, {"Content-Type": "application/json"}, body.encode())
        return None

    return refuse


def test_published_tested_shared_and_promoted(
    aws: AwsStandIn, gcp: GcpStandIn, write: Write, disk: Path, publish: Publish, heard: Heard, tmp_path: Path
) -> None:
    result = publish(write(TWO_CLOUDS))
    assert result.exit_code == 0
    assert result.manifest == manifest(tmp_path)
    assert result.manifest.complete
    assert [(one.cloud, one.target, one.arch) for one in result.manifest.images] == [
        ("aws", "aws", "x86_64"),
        ("gcp", "gcp", "x86_64"),
    ]
    assert all(one.tested and one.shared and one.promoted for one in result.manifest.images)
    assert heard.ends() == [
        ("aws", "make", "made"),
        ("aws", "promote", "done"),
        ("aws", "share", "done"),
        ("gcp", "make", "made"),
        ("gcp", "promote", "done"),
        ("gcp", "share", "done"),
    ]
    assert any("release-boot-ok" in e.text for e in heard.events if isinstance(e, Said) and e.kind == "console")


def test_nobody_may_use_an_image_before_all_have_booted(
    aws: AwsStandIn, gcp: GcpStandIn, write: Write, disk: Path, publish: Publish, heard: Heard
) -> None:
    publish(write(TWO_CLOUDS))
    phases = [e.phase for e in heard.events if isinstance(e, PhaseEnded)]
    assert phases == ["make", "make", "share", "share", "promote", "promote"]


def test_again_makes_nothing_and_says_the_same(
    aws: AwsStandIn, gcp: GcpStandIn, write: Write, disk: Path, publish: Publish, heard: Heard, tmp_path: Path
) -> None:
    path = write(TWO_CLOUDS)
    publish(path)
    before = (tmp_path / "release.json").read_bytes()
    aws.traffic.clear()
    heard.events.clear()
    assert publish(path).exit_code == 0
    assert (tmp_path / "release.json").read_bytes() == before
    assert [end for end in heard.ends() if end[1] == "make"] == [("aws", "make", "there"), ("gcp", "make", "there")]
    operations = set(aws.traffic.operations())
    assert not operations & {"StartSnapshot", "CompleteSnapshot", "RunInstances"}
    assert "boot test" not in heard.stages("gcp")


def test_only_the_very_image_that_has_booted_is_not_booted_again(
    gcp: GcpStandIn, write: Write, disk: Path, publish: Publish, heard: Heard, lkcloud: Command, tmp_path: Path
) -> None:
    def again() -> str:
        """Publish; return what came of the image, which must have booted in this run."""
        heard.events.clear()
        [image] = publish(path, ("gcp",)).manifest.images
        assert "boot test" in heard.stages("gcp")
        assert image.tested
        return heard.ends()[0][2]

    path = write(TWO_CLOUDS)
    assert again() == "made"
    said = (tmp_path / "release.json").read_text()
    (tmp_path / "release.json").write_text(said.replace(f'"account": "{PROJECT}"', '"account": "another-project"'))
    assert (tmp_path / "release.json").read_text() != said
    assert again() == "there"
    lkcloud("delete", "gcp", "os-x86", "--yes")
    assert again() == "made"


def test_a_manifest_of_the_sandbox_and_one_of_clouds_are_not_mixed(
    write: Write, disk: Path, publish: Publish, tmp_path: Path
) -> None:
    manifest = tmp_path / "release.json"
    manifest.write_text('{"lkcloud": "1", "version": "1", "sandbox": true, "complete": true}')
    before = manifest.read_bytes()
    with pytest.raises(UsageError, match=r"release\.json is the manifest of a release in the sandbox") as raised:
        publish(write(TWO_CLOUDS))
    assert "-o" in raised.value.hint
    assert manifest.read_bytes() == before


def test_a_target_that_fails_leaves_the_others_and_is_gone_on_with(
    aws: AwsStandIn, gcp: GcpStandIn, write: Write, disk: Path, publish: Publish, heard: Heard, tmp_path: Path
) -> None:
    path = write(TWO_CLOUDS)
    gcp.traffic.hooks.append(fail("images.insert"))
    result = publish(path)
    assert result.exit_code == 3
    assert not result.manifest.complete
    assert [(one.target, one.tested, one.shared, one.promoted) for one in result.manifest.images] == [
        ("aws", True, False, False)
    ]
    (problem,) = result.manifest.problems
    assert (problem.target, problem.image) == ("gcp", "x86")
    assert problem.error
    assert problem.hint
    assert ("aws", "share", "held") in heard.ends()

    gcp.traffic.hooks.clear()
    aws.traffic.clear()
    again = publish(path)
    assert again.exit_code == 0
    assert again.manifest.complete
    assert again.manifest.problems == ()
    assert not set(aws.traffic.operations()) & {"StartSnapshot", "CompleteSnapshot", "RunInstances"}


def test_copies_that_were_made_are_in_the_manifest_where_another_failed(
    aws: AwsStandIn, write: Write, disk: Path, publish: Publish
) -> None:
    copied = ["eu-central-1", "eu-west-1", "us-west-2"]
    text = TWO_CLOUDS.replace("boot_mode", "copy_to: [us-west-2, eu-west-1], boot_mode")
    path = write(text[: text.index("      - cloud: gcp")] + text[text.index("    defaults:") :])

    def refuse_in_the_west(operation: str) -> None:
        def hook(seen: Seen) -> Response | None:
            if (seen.phase, seen.operation, seen.region) == ("before", operation, "us-west-2"):
                return render(seen.service, ApiError("InvalidRequest", "no", 400), "refused")
            return None

        aws.traffic.hooks[:] = [hook]

    refuse_in_the_west("CopyImage")
    first = publish(path)
    assert (first.exit_code, first.manifest.complete) == (3, False)
    assert [(one.region, one.tested) for one in first.manifest.images] == [("eu-central-1", True), ("eu-west-1", True)]
    [problem] = first.manifest.problems
    assert "us-west-2" in problem.error

    aws.traffic.hooks.clear()
    second = publish(path)
    assert second.manifest.complete
    assert [one.region for one in second.manifest.images] == copied

    # What cannot be looked at now has been there.
    refuse_in_the_west("DescribeImages")
    third = publish(path)
    assert (third.exit_code, third.manifest.complete) == (3, False)
    assert third.manifest.images == second.manifest.images


def test_a_boot_test_that_fails_promotes_nothing_anywhere(
    aws: AwsStandIn, gcp: GcpStandIn, write: Write, disk: Path, publish: Publish, heard: Heard, tmp_path: Path
) -> None:
    path = write(
        TWO_CLOUDS.replace(
            "guest_os_feature: GVNIC}", "guest_os_feature: GVNIC}\n        test: {expect: never said, timeout: 5}"
        )
    )
    result = publish(path)
    assert result.exit_code == 5
    assert result.stopped_at == "make"
    assert [(one.target, one.tested, one.shared, one.promoted) for one in manifest(tmp_path).images] == [
        ("aws", True, False, False),
        ("gcp", False, False, False),
    ]
    assert [one.target for one in result.manifest.problems] == ["gcp"]
    [failed] = [e for e in heard.events if isinstance(e, PhaseEnded) and e.outcome == "failed"]
    assert (failed.target, failed.id) == ("gcp", "os-x86")
    assert gcp.holdings.engine.images["os-x86"].specification.family == ""


def test_what_is_not_required_holds_up_nobody(
    aws: AwsStandIn, gcp: GcpStandIn, write: Write, disk: Path, publish: Publish, heard: Heard
) -> None:
    gcp.traffic.hooks.append(fail("images.insert"))
    result = publish(write(TWO_CLOUDS.replace("- cloud: gcp", "- cloud: gcp\n        required: false")))
    assert result.exit_code == 0
    assert result.manifest.complete
    assert ("aws", "promote", "done") in heard.ends()
    assert [one.target for one in result.manifest.problems] == ["gcp"]


def test_what_one_cloud_cannot_take_is_told_before_a_byte_travels(
    aws: AwsStandIn, gcp: GcpStandIn, write: Write, disk: Path, publish: Publish, tmp_path: Path
) -> None:
    with pytest.raises(UsageError) as caught:
        publish(write(TWO_CLOUDS.replace("os-{image}", "OS-{image}")))
    assert "gcp/x86: " in caught.value.message
    assert caught.value.hint == "give `name` os-x86"
    assert aws.traffic.operations() == []
    assert not (tmp_path / "release.json").exists()


def test_a_part_of_a_release_keeps_what_the_manifest_says_of_the_rest(
    aws: AwsStandIn, gcp: GcpStandIn, write: Write, disk: Path, publish: Publish
) -> None:
    path = write(TWO_CLOUDS)
    first = publish(path, ("aws",))
    assert first.exit_code == 0
    assert [one.target for one in first.manifest.images] == ["aws"]
    assert not first.manifest.complete
    second = publish(path, ("gcp",))
    assert [one.target for one in second.manifest.images] == ["aws", "gcp"]
    assert publish(path).manifest.complete


def test_a_disk_is_read_once_for_all_its_targets(
    aws: AwsStandIn, gcp: GcpStandIn, write: Write, disk: Path, publish: Publish, heard: Heard, tmp_path: Path
) -> None:
    tiny_bios(disk, size=64 << 20, message="release-boot-ok")
    publish(write(TWO_CLOUDS))
    digests = {one.digest for one in manifest(tmp_path).images}
    assert len(digests) == 1
    read = [event.bytes for event in heard.events if isinstance(event, StageEnded) and event.stage == "read"]
    assert len(read) == 2
    assert read.count(0) == 1, read  # the other target has found it read, or waited for that


def test_a_manifest_that_cannot_be_written_is_told_first(
    aws: AwsStandIn, gcp: GcpStandIn, write: Write, disk: Path, publish: Publish, tmp_path: Path
) -> None:
    (tmp_path / "release.json").mkdir()
    with pytest.raises(LkcloudError) as caught:
        publish(write(TWO_CLOUDS))
    assert caught.value.hint
    assert "StartSnapshot" not in aws.traffic.operations()


def test_ctrl_c_stops_the_jobs_and_leaves_no_machine(
    aws: AwsStandIn, gcp: GcpStandIn, write: Write, staying: Path, heard: Heard, tmp_path: Path
) -> None:
    text = TWO_CLOUDS.replace("expect: release-boot-ok, timeout: 60", "expect: never said, timeout: 60")
    file = reading.read(write(text))
    booting = threading.Semaphore(0)

    def listener(event: Event) -> None:
        heard(event)
        if isinstance(event, StageBegan) and event.stage == "boot test":
            booting.release()

    def interrupt() -> None:
        booting.acquire()
        booting.acquire()
        bench.stop()

    with Disks() as disks, ThreadPoolExecutor(8) as executor:
        bench = Bench(listener, disks)
        publication = Publication(
            job.jobs(file),
            version="1",
            executor=executor,
            bench=bench,
            listener=listener,
            output=tmp_path / "release.json",
        )
        threading.Thread(target=interrupt).start()
        with pytest.raises(KeyboardInterrupt):
            publication.run()
    assert not gcp.holdings.engine.instances
    assert aws.traffic.operations().count("RunInstances") == aws.traffic.operations().count("TerminateInstances") == 1
