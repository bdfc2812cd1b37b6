# SPDX-License-Identifier: Apache-2.0
"""`lkcloud VERB local`, as a user has it: the folder of the data home, a folder of one's own, and the sandbox's."""

import json
from pathlib import Path

import pytest

from lkcloud.sandbox import client
from lkcloud.sandbox.tinydisk import write_tiny_disk
from tests.cli.conftest import Command
from tests.images import tiny_bios


@pytest.fixture
def image(tmp_path: Path) -> Path:
    write_tiny_disk(tmp_path / "my-os.raw", message="local-boot-ok")
    return tmp_path / "my-os.raw"


def test_from_a_disk_to_a_tested_image_and_away_again(lkcloud: Command, image: Path, own_folders: Path) -> None:
    folder = own_folders / ".local/share/lkcloud/images"
    assert lkcloud("push", "local", image, "--dry-run").stdout.startswith("+ my-os: 4.0 MiB")
    assert not folder.exists()
    done = lkcloud("push", "local", image, "--test", "--expect", "local-boot-ok", "--family", "stable")
    assert done.stdout == "my-os\n"
    assert "| local-boot-ok uefi" in done.stderr
    assert (folder / "my-os/disk.raw").read_bytes() == image.read_bytes()
    assert "my-os is there already" in lkcloud("push", "local", image).stderr
    tested = lkcloud("test", "local", "my-os", "--expect", "boot-ok bios", "--firmware", "bios")
    assert tested.stdout.startswith("my-os booted in ")
    assert f"file:         {folder / 'my-os/disk.raw'}" in lkcloud("show", "local", "my-os").stdout
    assert lkcloud("list", "local", "--family", "stable").stdout.startswith("my-os  my-os  ")
    assert lkcloud("list", "local", "--family", "other").stdout == ""
    assert lkcloud("prune", "local", "--keep", "0", "--yes").stdout.startswith("delete    my-os  my-os  is ")
    assert lkcloud("list", "local").stdout == ""
    assert "there is nothing called my-os" in lkcloud("delete", "local", "my-os", "--yes").stderr


def test_of_a_machine_that_is_kept_the_console_stays_and_nothing_costs(
    lkcloud: Command, tmp_path: Path, own_folders: Path
) -> None:
    tiny_bios(tmp_path / "my-os.raw", message="kept-boot-ok")
    lkcloud("push", "local", tmp_path / "my-os.raw")
    told = lkcloud("test", "local", "my-os", "--expect", "kept-boot-ok", "--firmware", "bios", "--keep").stderr
    (home,) = (own_folders / ".local/share/lkcloud/images/.work").iterdir()
    assert f"kept the console of the machine in {home}; the machine itself ends with this command\n" in told
    assert "costs" not in told
    assert "kept-boot-ok bios" in (home / "console").read_text()


@pytest.mark.long
def test_other_content_needs_replace(lkcloud: Command, image: Path, tmp_path: Path) -> None:
    lkcloud("push", "local", image)
    write_tiny_disk(image, message="another")
    assert "--replace" in lkcloud("push", "local", image, code=1).stderr
    lkcloud("push", "local", image, "--replace", "--test", "--expect", "another")


def test_the_folder_comes_from_the_environment_too(
    lkcloud: Command, image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LKCLOUD_LOCAL_FOLDER", "kept")
    lkcloud("push", "local", image)
    assert (tmp_path / "kept/my-os/image.json").exists()
    assert "kept/my-os" in json.loads(lkcloud("show", "local", "my-os", "--json").stdout)["blobs"][0]["id"]


def test_the_sandbox_has_a_folder_of_its_own(lkcloud: Command, image: Path, own_folders: Path) -> None:
    try:
        lkcloud("push", "local", image, "--sandbox", "--test", "--expect", "local-boot-ok")
        folder = lkcloud("sandbox", "env", "local").stdout.partition("LKCLOUD_LOCAL_FOLDER=")[2].strip()
        assert (Path(folder) / "my-os/disk.raw").exists()
        assert not (own_folders / ".local").exists()
        lkcloud("sandbox", "reset", "local")
        assert lkcloud("list", "local", "--sandbox").stdout == ""
        assert (Path(folder)).exists()
    finally:
        client.down("local")
    assert not Path(folder).exists()


def test_gc_takes_what_is_old_and_leaves_images(
    lkcloud: Command, image: Path, own_folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LKCLOUD_PROVIDERS", "local")
    assert "local: nothing to remove" in lkcloud("gc").stderr
    lkcloud("push", "local", image)
    folder = own_folders / ".local/share/lkcloud/images"
    left = folder / ".work" / f"other@{'0' * 64}"
    left.mkdir()
    (left / "disk.raw").write_bytes(b"half")
    shown = lkcloud("gc", "--local", "--yes").stdout
    assert shown.startswith(f"keep    local  {left}  upload  other  unfinished  ")
    assert f"remove  local  {left}" in lkcloud("gc", "--older-than", "0s", "--yes").stdout
    assert [one.name for one in folder.iterdir() if one.name != ".work"] == ["my-os"]
    assert not left.exists()


def test_doctor_tells_of_the_folder_and_of_qemu(
    lkcloud: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {one["about"]: one for one in _diagnosed(lkcloud, 0)}
    assert found["folder"]["health"] == "ok"
    assert found["qemu"]["health"] == "ok"
    monkeypatch.setenv("PATH", "/nowhere")
    assert [one["health"] for one in _diagnosed(lkcloud, 0)] == ["ok", "note", "note"]
    (tmp_path / "file").touch()
    monkeypatch.setenv("LKCLOUD_LOCAL_FOLDER", "file/images")
    assert _diagnosed(lkcloud, 1)[0]["what"].endswith("file is no folder")


def _diagnosed(lkcloud: Command, code: int) -> list[dict[str, str]]:
    found: list[dict[str, str]] = json.loads(lkcloud("doctor", "local", "--json", code=code).stdout)["clouds"]["local"]
    return found


RELEASE = """\
name: "my-os-{version_dashed}"
version: 1.0.0
images:
  - {id: main, file: my-os.raw}
targets:
  - cloud: local
    options: {folder: images, family: stable}
defaults:
  test: {expect: local-boot-ok, timeout: 240}
"""


@pytest.mark.long
def test_a_release_goes_to_its_folder_and_in_the_sandbox_to_another(
    lkcloud: Command, image: Path, tmp_path: Path
) -> None:
    (tmp_path / "release.yaml").write_text(RELEASE)
    try:
        lkcloud("publish", "release.yaml", "--sandbox")
    finally:
        client.down("local")
    assert not (tmp_path / "images").exists()
    assert json.loads((tmp_path / "release.sandbox.json").read_text())["complete"]
    assert not (tmp_path / "release.json").exists()
    lkcloud("publish", "release.yaml")
    (made,) = json.loads((tmp_path / "release.json").read_text())["images"]
    assert (made["id"], made["region"], made["tested"]) == ("my-os-1-0-0", str(tmp_path / "images"), True)
    assert (made["family"], made["promoted"]) == ("stable", True)
    assert (tmp_path / "images/my-os-1-0-0/disk.raw").read_bytes() == image.read_bytes()
