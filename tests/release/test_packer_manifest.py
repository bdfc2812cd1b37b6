# SPDX-License-Identifier: Apache-2.0
"""What Packer's manifest says of a build, and the builds that are added to a manifest like it."""

import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from lkcloud.errors import LkcloudError, NotFound, UsageError
from lkcloud.release import packer_manifest
from lkcloud.release.packer_manifest import Built

RUN, EARLIER = "f9f82569-ca94-0ccc-29d8-9801dbeab07c", "0b5d1a5c-15a4-2a8e-5f0a-1a2a66ad5d57"


def build(name: str, *files: str, run: str = RUN, builder: str = "qemu", **more: Any) -> dict[str, Any]:
    """A build as Packer 1.6.6 writes it; an artifact without files has null for them."""
    return {
        "name": name,
        "builder_type": builder,
        "build_time": 1795755401,
        "files": [{"name": file, "size": 4194304} for file in files] or None,
        "artifact_id": "VM",
        "packer_run_uuid": run,
        "custom_data": None,
        **more,
    }


@pytest.fixture
def manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A manifest of two runs; Packer has built one disk of each name and type, in the folder where we are."""
    monkeypatch.chdir(tmp_path)
    path = Path("packer-manifest.json")
    builds = [
        build("myos", "old/myos.raw", run=EARLIER),
        build("myos", "output/myos.raw"),
        build("myos", "copied/myos.raw", builder="file"),
        build("other", "output/other.raw", "output/other.raw.sha256", "output/efivars.fd", "output/build.log"),
    ]
    for one in builds:
        for file in one["files"]:
            Path(file["name"]).parent.mkdir(exist_ok=True)
            Path(file["name"]).touch()
    write(path, *builds)
    return path


def write(path: Path, *builds: dict[str, Any], last: str = RUN) -> None:
    path.write_text(json.dumps({"builds": builds, "last_run_uuid": last}, indent=2))


def environment(name: str, builder: str = "qemu", run: str = RUN) -> dict[str, str]:
    return {"PACKER_BUILD_NAME": name, "PACKER_BUILDER_TYPE": builder, "PACKER_RUN_UUID": run}


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (environment("myos"), Built(Path("output/myos.raw"), "myos", RUN)),
        (environment("myos", "file"), Built(Path("copied/myos.raw"), "myos", RUN)),
        (environment("myos", run=EARLIER), Built(Path("old/myos.raw"), "myos", EARLIER)),
        (environment("other"), Built(Path("output/other.raw"), "other", RUN)),
        ({"PACKER_BUILD_NAME": "other"}, Built(Path("output/other.raw"), "other", RUN)),
        ({"PACKER_BUILDER_TYPE": "file"}, Built(Path("copied/myos.raw"), "myos", RUN)),
    ],
)
def test_the_environment_chooses(manifest: Path, said: dict[str, str], expected: Built) -> None:
    assert packer_manifest.built(manifest, said) == expected


def test_without_packer_it_is_the_last_run(manifest: Path) -> None:
    write(manifest, build("myos", "old/myos.raw", run=EARLIER), build("myos", "output/myos.raw"))
    assert packer_manifest.built(manifest, {}) == Built(Path("output/myos.raw"), "myos", RUN)


def test_of_a_build_that_is_written_twice_it_is_the_last(manifest: Path) -> None:
    """As by two manifest post-processors, before and after another one."""
    write(manifest, build("myos", "old/myos.raw"), build("myos", "output/myos.raw"))
    assert packer_manifest.built(manifest, environment("myos")).file == Path("output/myos.raw")


def test_a_disk_by_name_belongs_to_the_build_of_the_environment() -> None:
    assert packer_manifest.from_environment(Path("x.raw"), environment("myos")) == Built(Path("x.raw"), "myos", RUN)
    assert packer_manifest.from_environment(Path("x.raw"), {}) == Built(Path("x.raw"), "", "")


@pytest.mark.parametrize(
    ("said", "error", "message", "hint"),
    [
        ({}, UsageError, "several builds: file.myos, qemu.myos, qemu.other", "PACKER_BUILD_NAME"),
        (environment("nobody"), NotFound, f"no build nobody of the run {RUN}", "before lkcloud"),
        (environment("other", "file"), NotFound, "no build other", "before lkcloud"),
        (environment("myos", run="another"), NotFound, "no build myos of the run another", "before lkcloud"),
    ],
)
def test_builds_that_cannot_be_told(
    manifest: Path, said: dict[str, str], error: type[LkcloudError], message: str, hint: str
) -> None:
    with pytest.raises(error, match=message) as caught:
        packer_manifest.built(manifest, said)
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("files", "error", "message", "hint"),
    [
        ([], NotFound, "has no disk: it has no files", "--image"),
        (["output/build.log"], NotFound, "has no disk: output/build.log", "--image"),
        (["output/other.raw", "output/myos.raw"], UsageError, "output/other.raw, output/myos.raw", "--image"),
        (["myos.raw"], NotFound, "is not there: myos.raw", "strip_path"),
    ],
)
def test_disks_that_cannot_be_told(
    manifest: Path, files: list[str], error: type[LkcloudError], message: str, hint: str
) -> None:
    write(manifest, build("myos", *files))
    with pytest.raises(error, match=message) as caught:
        packer_manifest.built(manifest, environment("myos"))
    assert hint in caught.value.hint


NO_MANIFESTS = ["", "no JSON", "[]", "{}", '{"builds": null}', '{"builds": [{}]}', '{"builds": 1}', "\xff"]


@pytest.mark.parametrize("text", NO_MANIFESTS)
def test_files_that_are_something_else(manifest: Path, text: str) -> None:
    manifest.write_bytes(text.encode("latin-1"))
    for refused in (
        lambda: packer_manifest.built(manifest, {}),
        lambda: packer_manifest.require_addable(manifest),
        lambda: packer_manifest.add(manifest, {"builds": [build("aws/myos")], "last_run_uuid": RUN}),
    ):
        with pytest.raises(UsageError, match="is no manifest of Packer"):
            refused()
    assert manifest.read_bytes() == text.encode("latin-1")


def test_no_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="there is no Packer manifest") as caught:
        packer_manifest.built(tmp_path / "missing.json", {})
    assert "--image" in caught.value.hint
    with pytest.raises(UsageError, match="cannot be read"):
        packer_manifest.built(tmp_path, {})


def test_builds_are_added_to_those_of_earlier_runs_and_of_other_clouds(tmp_path: Path) -> None:
    path = tmp_path / "lkcloud-manifest.json"
    added = [
        build("aws/myos", run=EARLIER, artifact_id="eu-central-1:ami-1"),
        build("aws/myos", artifact_id="eu-central-1:ami-2"),
        build("gcp/myos", artifact_id="myos-2"),
        build("aws/myos", artifact_id="us-east-1:ami-3"),
    ]
    for one in added:
        packer_manifest.require_addable(path)
        packer_manifest.add(path, {"builds": [one], "last_run_uuid": one["packer_run_uuid"]})
    assert json.loads(path.read_text()) == {"builds": added, "last_run_uuid": RUN}


def test_what_was_added_before_is_not_added_again(tmp_path: Path) -> None:
    path = tmp_path / "lkcloud-manifest.json"
    first, second = build("aws/myos", artifact_id="r:ami-1"), build("gcp/myos", artifact_id="myos")
    write(path, {**first, "unknown": "kept only where nothing newer is"}, {**second, "unknown": "kept"})
    packer_manifest.add(path, {"builds": [first], "last_run_uuid": RUN})
    assert json.loads(path.read_text())["builds"] == [{**second, "unknown": "kept"}, first]


def test_builds_of_many_at_once_are_all_there(tmp_path: Path) -> None:
    """Packer's builds run side by side, and end at one moment."""
    path = tmp_path / "lkcloud-manifest.json"
    gate = threading.Barrier(8)

    def end(number: int) -> None:
        gate.wait()
        for cloud in ("aws", "gcp", "azure"):
            packer_manifest.add(path, {"builds": [build(f"{cloud}/{number}")], "last_run_uuid": RUN})

    threads = [threading.Thread(target=end, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    names = [one["name"] for one in json.loads(path.read_text())["builds"]]
    assert sorted(names) == sorted(f"{cloud}/{number}" for cloud in ("aws", "gcp", "azure") for number in range(8))


def test_a_folder_that_is_not_there_is_told_beforehand(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="its folder is not there") as caught:
        packer_manifest.require_addable(tmp_path / "missing" / "lkcloud-manifest.json")
    assert "--output" in caught.value.hint


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_of_somebody_else_is_told_beforehand(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(UsageError, match="or not yours"):
        packer_manifest.require_addable(tmp_path / "lkcloud-manifest.json")
