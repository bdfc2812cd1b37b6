# SPDX-License-Identifier: Apache-2.0
"""Pushing to Google Cloud as a user does, with good and with bad input."""

import json
from pathlib import Path

import pytest

from lkcloud.sandbox.tinydisk import write_tiny_disk
from lkcloud_gcp.sandbox import GcpStandIn
from lkcloud_gcp.session import Session
from tests.cli.conftest import Command


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.raw"
    write_tiny_disk(path, message="command-line-boot-ok")
    return path


@pytest.mark.usefixtures("gcp")
def test_an_image_lives_and_dies(program: Command, tiny: Path) -> None:
    planned = json.loads(program("push", "gcp", tiny, "--dry-run", "--json").stdout)
    assert (planned["done"], planned["findings"]) == (False, [])

    first = program("push", "gcp", tiny)
    assert first.stdout == "tiny\n"
    assert "next: lkcloud test gcp tiny" in first.stderr
    again = program("push", "gcp", tiny)
    assert again.stdout == first.stdout
    assert "there already" in again.stderr

    listed = json.loads(program("list", "gcp", "--json").stdout)
    assert [(found["id"], found["digest"]) for found in listed] == [("tiny", planned["digest"])]
    tested = program("test", "gcp", "tiny", "--expect", "command-line-boot-ok")
    assert "| command-line-boot-ok uefi" in tested.stderr

    program("delete", "gcp", "tiny", "--yes")
    assert "nothing called" in program("delete", "gcp", "tiny", "--yes").stderr
    assert program("list", "gcp").stdout == ""


@pytest.mark.usefixtures("gcp")
def test_an_image_by_the_url_of_an_object(lkcloud: Command, tiny: Path) -> None:
    bucket = Session().storage.create_bucket("builds-9")
    bucket.blob("night 7/tiny.raw").upload_from_filename(tiny)
    tiny.unlink()
    done = lkcloud("push", "gcp", "gs://builds-9/night 7/tiny.raw")
    assert done.stdout == "tiny\n"
    assert "fetch tiny.raw: " in done.stderr
    assert "there is no object gs://builds-9/none" in lkcloud("push", "gcp", "gs://builds-9/none", code=1).stderr


@pytest.mark.long
def test_an_image_is_promoted_and_shared_only_after_it_booted(gcp: GcpStandIn, lkcloud: Command, tiny: Path) -> None:
    leading = ("--family", "stable", "--share-with", "user:jane@example.com")
    lkcloud("push", "gcp", tiny, *leading, "--expect", "never", "--timeout", "5", code=5)
    assert not {"images.patch", "images.setIamPolicy"} & set(gcp.traffic.operations())
    gcp.traffic.clear()
    lkcloud("push", "gcp", tiny, *leading, "--expect", "command-line-boot-ok")
    done = gcp.traffic.operations()
    assert "images.insert" not in done
    assert done.index("instances.delete") < done.index("images.setIamPolicy") < done.index("images.patch")


@pytest.mark.usefixtures("gcp")
def test_who_wants_no_test_is_warned(lkcloud: Command, tiny: Path) -> None:
    done = lkcloud("push", "gcp", tiny, "--public", "--no-test")
    assert "warning: --public: it has not been seen to boot" in done.stderr


@pytest.mark.usefixtures("gcp")
def test_an_image_is_deprecated_for_another(lkcloud: Command, tiny: Path) -> None:
    lkcloud("push", "gcp", tiny, "--name", "old")
    lkcloud("push", "gcp", tiny, "--name", "new")
    done = lkcloud("deprecate", "gcp", "old", "--replacement", "new", "--deleted-on", "2027-01-31")
    assert "old is deprecated" in done.stderr
    assert "there is no image" in lkcloud("deprecate", "gcp", "old", "--replacement", "none", code=1).stderr
    lkcloud("share", "gcp", "new", "--public")
    assert "nobody is named" in lkcloud("share", "gcp", "new", code=2).stderr
    lkcloud("promote", "gcp", "new", "--family", "stable")
    assert "no name is given" in lkcloud("promote", "gcp", "new", code=2).stderr


@pytest.mark.usefixtures("gcp")
def test_an_option_of_another_verb_is_refused(lkcloud: Command, tiny: Path) -> None:
    lkcloud("push", "gcp", tiny, "--name", "new")
    for verb, option in (("share", ("--family", "stable")), ("promote", ("--public",))):
        assert option[0] in lkcloud(verb, "gcp", "new", *option, code=2).stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--name", "Big_Name"), "name"),
        (("--guest-os-feature", "TELEPATHY"), "TELEPATHY"),
        (("--label", "Team=A"), "--label"),
        (("--bucket", "none-such-bucket"), "none-such-bucket"),
    ],
)
@pytest.mark.usefixtures("gcp")
def test_bad_input_is_told_before_anything_is_made(
    arguments: tuple[str, str], words: str, lkcloud: Command, tiny: Path
) -> None:
    code = 1 if arguments[0] == "--bucket" else 2
    done = lkcloud("push", "gcp", tiny, *arguments, code=code)
    error, hint = done.stderr.splitlines()[-2:]
    assert error.startswith("error: ")
    assert words in error
    assert hint.startswith("hint: ")


def test_a_word_that_is_no_choice_is_told_plainly(lkcloud: Command, tiny: Path) -> None:
    done = lkcloud("push", "gcp", tiny, "--method", "pigeon", code=2)
    assert "'LKCLOUD_GCP_METHOD'): 'pigeon' is not one of" in done.stderr


def test_without_credentials(lkcloud: Command, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    done = lkcloud("push", "gcp", tiny, "--project", "p", code=4)
    assert "gcloud auth application-default login" in done.stderr


def test_clouds_that_cannot_copy_say_so(lkcloud: Command) -> None:
    assert "gcp" not in lkcloud("copy", "--help").stdout
    assert "gcp cannot copy images yet" in lkcloud("copy", "gcp", "x", code=2).stderr
    assert "gcp cannot protect images yet" in lkcloud("protect", "gcp", "x", code=2).stderr
