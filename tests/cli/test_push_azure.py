# SPDX-License-Identifier: Apache-2.0
"""Pushing to Azure as a user does, with good and with bad input."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from lkcloud.sandbox.tinydisk import write_tiny_disk
from lkcloud_azure.sandbox import AzureStandIn
from tests.azure.imaging import hold_version
from tests.azure.pushing import once
from tests.cli.conftest import Command

SOMEBODY = "11111111-2222-3333-4444-555555555555"
"""The object id of a user."""


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.raw"
    write_tiny_disk(path, size=32 << 20, message="command-line-boot-ok")
    return path


@pytest.fixture
def sandbox(lkcloud: Command) -> Iterator[None]:
    """End the sandbox that the test has started."""
    yield
    lkcloud("sandbox", "down", "azure")


@pytest.mark.long
@pytest.mark.usefixtures("sandbox")
@pytest.mark.parametrize("method", ["disk", "blob"])
def test_a_sandbox_of_its_own_takes_an_image_and_a_version(method: str, lkcloud: Command, tiny: Path) -> None:
    """V1 boots by BIOS, which is quick without KVM."""
    push = ("push", "azure", tiny, "--sandbox", "--method", method, "--hyper-v-generation", "V1")
    tested = ("--test", "--expect", "command-line-boot-ok", "--json")
    gallery = ("--gallery", "releases", "--create-gallery")

    image = json.loads(lkcloud(*push, *tested).stdout)
    assert image["id"].endswith("/resourceGroups/lkcloud/providers/Microsoft.Compute/images/tiny")
    assert (image["made"], image["size"], image["blobs"]) == (True, tiny.stat().st_size, [])
    assert 0 < image["sent"] < tiny.stat().st_size
    assert image["boot"]["line"] == "command-line-boot-ok bios"

    version = json.loads(lkcloud(*push, *gallery, *tested).stdout)
    assert version["id"].endswith("/galleries/releases/images/tiny/versions/1.0.0")
    assert version["digest"] == image["digest"]
    assert version["boot"]["line"] == "command-line-boot-ok bios"

    again = lkcloud(*push, *gallery)
    assert again.stdout == f"{version['id']}\n"
    assert "there already" in again.stderr
    listed = json.loads(lkcloud("list", "azure", "--sandbox", "--gallery", "releases", "--json").stdout)
    assert {one["id"] for one in listed} == {image["id"], version["id"]}


@pytest.mark.usefixtures("azure")
def test_an_image_lives_and_dies(program: Command, tiny: Path) -> None:
    planned = json.loads(program("push", "azure", tiny, "--dry-run", "--json").stdout)
    assert (planned["done"], planned["findings"]) == (False, [])
    assert program("list", "azure").stdout == ""

    first = program("push", "azure", tiny)
    image = first.stdout.strip()
    assert first.stdout == f"{image}\n"
    assert f"next: lkcloud test azure {image}" in first.stderr
    assert program("push", "azure", tiny).stdout == first.stdout

    (listed,) = json.loads(program("list", "azure", "--json").stdout)
    assert (listed["id"], listed["name"], listed["digest"]) == (image, "tiny", planned["digest"])
    tested = program("test", "azure", image, "--expect", "command-line-boot-ok")
    assert "| command-line-boot-ok uefi" in tested.stderr

    program("delete", "azure", image, "--yes")
    assert "nothing called" in program("delete", "azure", image, "--yes").stderr
    assert program("list", "azure").stdout == ""


def test_a_version_leads_others_only_after_it_booted(azure: AzureStandIn, lkcloud: Command, tiny: Path) -> None:
    gallery = ("--gallery", "releases", "--create-gallery", "--hyper-v-generation", "V1")
    leading = ("--latest", "--share-with", SOMEBODY)
    failing = (*leading, "--expect", "never", "--timeout", "5")
    failed = lkcloud("push", "azure", tiny, *gallery, *failing, code=5)
    assert "is private and can be removed: lkcloud delete azure /subscriptions/" in failed.stderr
    assert "RoleAssignments.Create" not in azure.traffic.operations()
    (version,) = json.loads(lkcloud("list", "azure", "--gallery", "releases", "--json").stdout)
    assert azure.holdings.held(version["id"]).described()["properties"]["publishingProfile"]["excludeFromLatest"]

    azure.traffic.clear()
    lkcloud("push", "azure", tiny, *gallery, *leading, "--expect", "command-line-boot-ok")
    done = azure.traffic.operations()
    assert "PutPage" not in done
    assert done.index("VirtualMachines.Delete") < done.index("RoleAssignments.Create")
    assert not azure.holdings.held(version["id"]).described()["properties"]["publishingProfile"]["excludeFromLatest"]

    failed = lkcloud("push", "azure", tiny, *gallery, *failing, code=5)
    assert "was there before" in failed.stderr
    assert "private" not in failed.stderr


@pytest.mark.usefixtures("azure")
def test_a_listed_name_that_could_be_of_several_definitions_wants_the_id(lkcloud: Command, tiny: Path) -> None:
    """Without --definition a name is looked for in the definition that a push of this name would make."""
    gallery = ("--gallery", "gal")
    version = lkcloud("push", "azure", tiny, *gallery, "--definition", "rows", "--create-gallery").stdout.strip()
    assert lkcloud("show", "azure", "tiny", *gallery, "--definition", "rows").stdout
    shown = lkcloud("show", "azure", "tiny", *gallery, code=1).stderr.splitlines()
    assert shown[-1] == f"hint: give the id: {version}"
    deleted = lkcloud("delete", "azure", "tiny", *gallery, "--yes", code=2).stderr.splitlines()
    assert deleted[-1] == f"hint: give the id: {version}"
    assert lkcloud("show", "azure", version, *gallery).stdout


def test_an_upload_that_a_conflict_leaves_is_named(azure: AzureStandIn, lkcloud: Command, tiny: Path) -> None:
    rows = ("--gallery", "gal", "--definition", "rows")
    lkcloud("push", "azure", tiny, *rows, "--create-gallery", "--name", "first")
    once(azure, "after", "PutPage", lambda: hold_version(azure, "1.0.5", definition="rows", name="other"))
    hint = lkcloud("push", "azure", tiny, *rows, "--gallery-version", "1.0.5", code=1).stderr.splitlines()[-1]
    assert "--gallery-version" in hint
    removal = "lkcloud delete azure tiny --gallery gal --definition rows"
    assert hint.endswith(f"; run it again to go on, or remove what is left: {removal}")
    assert "deleted 1" in lkcloud(*removal.split()[1:], "--yes").stderr


@pytest.mark.usefixtures("azure")
def test_who_wants_no_test_is_warned(lkcloud: Command, tiny: Path) -> None:
    done = lkcloud("push", "azure", tiny, "--share-with", SOMEBODY, "--no-test")
    assert "warning: --share-with: it has not been seen to boot" in done.stderr


@pytest.mark.usefixtures("azure")
def test_other_content_wants_replace(lkcloud: Command, tiny: Path) -> None:
    image = lkcloud("push", "azure", tiny).stdout
    write_tiny_disk(tiny, size=32 << 20, message="changed")
    refused = lkcloud("push", "azure", tiny, code=1)
    assert image.strip() in refused.stderr
    assert "--replace" in refused.stderr.splitlines()[-1]
    assert lkcloud("push", "azure", tiny, "--dry-run", code=1).stdout.startswith("! tiny")
    lkcloud("push", "azure", tiny, "--replace")
    assert len(json.loads(lkcloud("list", "azure", "--json").stdout)) == 1


@pytest.mark.parametrize(
    ("arguments", "words", "code"),
    [
        (("--name", "no/name"), "'no/name'", 2),
        (("--tag", "a<b=c"), "--tag", 2),
        (("--target-region", "westeurope=0"), "--target-region", 2),
        (("--gallery", "releases", "--gallery-version", "1.2"), "1.2", 2),
        (("--hyper-v-generation", "V1", "--architecture", "Arm64", "--gallery", "releases"), "Arm64", 2),
        (("--latest",), "--latest", 2),
        (("--method", "blob", "--storage-account", "nosuchaccount"), "nosuchaccount", 1),
        (("--gallery", "none", "--no-create-gallery"), "none", 1),
        (("--location", "atlantis"), "atlantis", 1),
    ],
)
@pytest.mark.usefixtures("azure")
def test_bad_input_is_told_before_anything_is_made(
    arguments: tuple[str, ...], words: str, code: int, azure: AzureStandIn, lkcloud: Command, tiny: Path
) -> None:
    done = lkcloud("push", "azure", tiny, *arguments, code=code)
    error, hint = done.stderr.splitlines()[-2:]
    assert error.startswith("error: ")
    assert words in error
    assert hint.startswith("hint: ")
    assert not [one for one in azure.traffic.operations() if one.endswith((".CreateOrUpdate", "PutBlob", "PutPage"))]


def test_a_word_that_is_no_choice_is_told_plainly(lkcloud: Command, tiny: Path) -> None:
    done = lkcloud("push", "azure", tiny, "--method", "pigeon", code=2)
    assert "'LKCLOUD_AZURE_METHOD'): 'pigeon' is not one of" in done.stderr


@pytest.mark.usefixtures("azure")
def test_without_credentials(lkcloud: Command, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Only what the environment says is tried: other ways would ask a network that is not there, or programs.
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "EnvironmentCredential")
    monkeypatch.delenv("AZURE_CLIENT_SECRET")
    assert "az login" in lkcloud("push", "azure", tiny, code=4).stderr.splitlines()[-1]


@pytest.mark.usefixtures("azure")
def test_with_a_wrong_secret(lkcloud: Command, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_CLIENT_SECRET", "nobody's")
    done = lkcloud("push", "azure", tiny, "--json", code=4)
    told = json.loads(done.stderr.splitlines()[-1])
    assert (told["exit_code"], done.stdout) == (4, "")
    assert "AZURE_CLIENT_SECRET" in told["hint"]
