# SPDX-License-Identifier: Apache-2.0
"""Release files that are right, and errors that name the line."""

from pathlib import Path

import pytest

from lkcloud.boot import Expectation
from lkcloud.errors import UsageError
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
    assert (first.label, first.name, first.cloud, first.file.path) == ("aws/x86", "os-x86-1-10", "aws", str(disk))
    assert first.options == {"region": "eu-central-1", "tag": {"team": "images", "build": "1.10"}}
    assert first.test == Expectation(("login:",))
    assert first.required
    assert first.architecture == "x86_64"
    assert (second.label, second.name) == ("gcp-main/x86", "main-x86")
    assert second.options == {"family": "os"}
    assert second.test == Expectation(("up now",), 60)
    assert not second.required


@pytest.mark.parametrize(
    ("written", "version"),
    [("1.10", "1.10"), ('"1.10"', "1.10"), ("2026-11-27", "2026-11-27"), ("007", "007"), ("1e3", "1e3"), ("7", "7")],
)
def test_a_version_is_text_as_it_is_written(write: Write, disk: Path, written: str, version: str) -> None:
    """YAML makes numbers and dates of what has no quotes, and 1.10 would be 1.1."""
    release = reading.read(write(GOOD.replace("version: 1.10", f"version: {written}")), {}).release
    assert release.version == version


def test_merged_mappings(write: Write, disk: Path) -> None:
    text = GOOD.replace("options:\n          region", "options:\n          <<: {kms_key: alias/os}\n          region")
    assert job.jobs(reading.read(write(text), {}))[0].options["kms_key"] == "alias/os"
    error = failure(write(text.replace("kms_key", "kms_kee")))
    assert "kms_kee is not known here" in error.message
    assert ":9:" in error.message  # the mapping that it is merged into


def test_paths_are_relative_to_the_file(
    write: Write, disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert job.jobs(reading.read(write(GOOD), {}))[0].file.path == str(disk)


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
        ("id: gcp-main", "id: aws", 12, "two targets are called aws", "give each target an `id:` of its own"),
        ('"main-{image}"', '"main-{flavour}"', 13, "{flavour} stands for nothing", "write one of those words"),
        ("eu-central-1", "${REGION}", 9, "${REGION} is not set in the environment", "${NAME:-default}"),
        ("cloud: gcp\n", "cloud: gcp\n        images: [arm]\n", 12, "there is no image arm", "there are: x86"),
        ("version: 1.10", "version: 1.10\n    version: 2", 3, "duplicate key", "give it once"),
        ("version: 1.10", "version: [1", 3, "", "mend the YAML there"),
        ("version: 1.10", 'version: ""', 2, "version: should not be empty", "The version, which"),
        ("version: 1.10", "version:", 2, "version: has no value", "The version, which"),
        ("version: 1.10", "version: [1]", 2, "version: should be a text", "The version, which"),
        ("- id: x86", "- id: 86", 4, "id: should be a text: put it in quotes", "What targets call it"),
        ("required: false", "required: soon", 14, "required: should be true or false", "Whether nothing is shared"),
        ("required: false", "images: 5", 14, "images: should be a list, as [a, b]", "The ids of the images"),
        ("required: false", "images: [x86", 14, "", "mend the YAML there"),
        ("required: false", "options: [x86]", 14, "should be a mapping, of lines `key: value`", "The cloud's own"),
        ("- id: x86\n        file: disk.raw", "- disk.raw", 4, "should be a mapping", "Its keys: id, file, name"),
        ("os-{image}", "os\x01", 1, "the character U+0001 cannot be in YAML", "take it out"),
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
    assert "the images x86 and arm are both called os-1-10 at aws" in error.message


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "holds no release"),
        (b"- a list\n", "holds no release"),
        (b"\xff\xfe", "is not UTF-8 text"),
        (b"a: *missing\n", "undefined alias"),
        (b"#" * (1 << 20) + b"\n", "more than a MiB"),
        (b"a: !!python/object:os.system x\n", ""),
        (b"a: " + b"[" * 1200 + b"]" * 1200 + b"\n", "is nested too deeply"),
        (
            b"a0: &a0 [x, x]\n" + b"".join(b"a%d: &a%d [*a%d, *a%d]\n" % (n, n, n - 1, n - 1) for n in range(1, 40)),
            "holds more than 100000 values",
        ),
        (b"a: &a [*a]\n", ""),
        (b"a: &a {b: *a}\n", ""),
    ],
)
def test_files_that_are_none(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "release.yaml"
    path.write_bytes(content)
    assert message in failure(path).message


def test_no_file(tmp_path: Path) -> None:
    assert "no such file" in failure(tmp_path / "none.yaml").message


def test_a_disk_that_is_not_there(write: Write) -> None:
    path = write(GOOD)
    error = failure(path)
    assert error.message == f"{path}:5:5: there is no file {path.parent / 'disk.raw'}"
    assert "check the path" in error.hint
    error = failure(write(GOOD.replace("disk.raw", "http://example.com/disk.raw")))
    assert error.message == f"{path}:5:5: http://example.com/disk.raw is not protected on its way"


def test_only_some(write: Write, disk: Path) -> None:
    file = reading.read(write(GOOD), {})
    assert [one.label for one in job.jobs(file, ("gcp",))] == ["gcp-main/x86"]
    assert [one.label for one in job.jobs(file, ("aws", "gcp-main"))] == ["aws/x86", "gcp-main/x86"]
    with pytest.raises(UsageError) as caught:
        job.jobs(file, ("azure",))
    assert "there are: aws, gcp, gcp-main" in caught.value.hint
