# SPDX-License-Identifier: Apache-2.0
"""Release files that are right, and errors that name the line."""

from pathlib import Path

import pytest

from lkcloud.boot import Expectation
from lkcloud.errors import UnusableImage, UsageError
from lkcloud.release import job, reading
from tests.release.conftest import Write

GOOD = """\
    name: "os-{image}-{version_dashed}"
    version: 1.10
    images:
      - id: x86
        file: disk.raw
    targets:
      - cloud: aws
        options:
          region: eu-central-1
          tag: {team: images, build: "{version}"}
      - cloud: gcp
        id: gcp-main
        name: "main-{image}"
        required: false
        test: {expect: "up now", timeout: 60}
    defaults:
      test: {expect: ["login:"]}
      options:
        gcp: {family: os}
"""


def failure(path: Path, environment: dict[str, str] | None = None) -> UsageError:
    with pytest.raises(UsageError) as caught:
        job.jobs(reading.read(path, environment or {}))
    return caught.value


def test_jobs_of_a_release(write: Write, disk: Path) -> None:
    first, second = job.jobs(reading.read(write(GOOD), {}))
    assert (first.label, first.name, first.cloud, first.file) == ("aws/x86", "os-x86-1-1", "aws", str(disk))
    assert first.options == {"region": "eu-central-1", "tag": {"team": "images", "build": "1.1"}}
    assert first.test == Expectation(("login:",))
    assert first.required
    assert first.architecture == "x86_64"
    assert (second.label, second.name) == ("gcp-main/x86", "main-x86")
    assert second.options == {"family": "os"}
    assert second.test == Expectation(("up now",), 60)
    assert not second.required


def test_a_version_is_text_as_it_is_written_when_quoted(write: Write, disk: Path) -> None:
    release = reading.read(write(GOOD.replace("version: 1.10", 'version: "1.10"')), {}).release
    assert release.version == "1.10"


def test_paths_are_relative_to_the_file(
    write: Write, disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert job.jobs(reading.read(write(GOOD), {}))[0].file == str(disk)


def test_the_environment_is_put_in(write: Write, disk: Path) -> None:
    text = GOOD.replace("eu-central-1", "${REGION:-eu-west-1}").replace("version: 1.10", "version: ${BUILD}")
    file = reading.read(write(text), {"BUILD": "77"})
    assert file.release.version == "77"
    assert job.jobs(file)[0].options["region"] == "eu-west-1"


@pytest.mark.parametrize(
    ("old", "new", "line", "message", "hint"),
    [
        ("    required: false", "    requird: false", 14, "requird is not known here", "did you mean required?"),
        ("region: eu-central-1", "regoin: eu-central-1", 9, "regoin is not known here", "did you mean region?"),
        (
            "        gcp: {family: os}",
            "        gcp: {famly: os}",
            19,
            "famly is not known here",
            "did you mean family?",
        ),
        ("cloud: gcp", "cloud: gpc", 11, "there is no cloud called gpc", "did you mean gcp?"),
        ("    file: disk.raw\n", "", 4, "file is missing", "add `file:` there"),
        ("timeout: 60", "timeout: soon", 15, "should be a valid number", "Seconds until the boot test fails."),
        ('expect: "up now"', 'expect: "("', 15, "is not a regular expression", "Regular expressions that"),
        ("id: gcp-main", "id: aws", 1, "two targets are called aws", ""),
        ('"main-{image}"', '"main-{flavour}"', 13, "{flavour} stands for nothing", "write one of those words"),
        ("eu-central-1", "${REGION}", 9, "${REGION} is not set in the environment", "${NAME:-default}"),
        ("cloud: gcp\n", "cloud: gcp\n        images: [arm]\n", 12, "there is no image arm", "there are: x86"),
        ("version: 1.10", "version: 1.10\n    version: 2", 3, "duplicate key", "mend the YAML there"),
        ("version: 1.10", "version: [1", 3, "", "mend the YAML there"),
        ("version: 1.10", "lkcloud: 2\n    version: 1.10", 2, "should be 1", "Version of the form"),
    ],
)
def test_errors_name_the_line_and_what_would_be_right(
    write: Write, disk: Path, old: str, new: str, line: int, message: str, hint: str
) -> None:
    assert old in GOOD
    path = write(GOOD.replace(old, new))
    error = failure(path)
    where, _, rest = error.message.removeprefix(f"{path}:").partition(":")
    if message:
        assert int(where) == line, error.message
    assert rest.partition(":")[0].isdecimal()
    assert message in error.message
    assert hint in error.hint


def test_two_images_of_one_name(write: Write, disk: Path) -> None:
    text = GOOD.replace("os-{image}-", "os-").replace(
        "        file: disk.raw\n", "        file: disk.raw\n      - id: arm\n        file: disk.raw\n"
    )
    error = failure(write(text))
    assert "the images x86 and arm are both called os-1-1 at aws" in error.message


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "holds no release"),
        (b"- a list\n", "holds no release"),
        (b"\xff\xfe", "is not UTF-8 text"),
        (b"a: *missing\n", "undefined alias"),
        (b"#" * (1 << 20) + b"\n", "more than a MiB"),
        (b"a: !!python/object:os.system x\n", ""),
    ],
)
def test_files_that_are_none(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "release.yaml"
    path.write_bytes(content)
    assert message in failure(path).message


def test_no_file(tmp_path: Path) -> None:
    assert "no such file" in failure(tmp_path / "none.yaml").message


def test_a_disk_that_is_not_there(write: Write) -> None:
    with pytest.raises(UnusableImage) as caught:
        job.jobs(reading.read(write(GOOD), {}))
    assert "there is no file" in caught.value.message


def test_only_some(write: Write, disk: Path) -> None:
    file = reading.read(write(GOOD), {})
    assert [one.label for one in job.jobs(file, ("gcp",))] == ["gcp-main/x86"]
    assert [one.label for one in job.jobs(file, ("aws", "gcp-main"))] == ["aws/x86", "gcp-main/x86"]
    with pytest.raises(UsageError) as caught:
        job.jobs(file, ("azure",))
    assert "there are: aws, gcp, gcp-main" in caught.value.hint
