# SPDX-License-Identifier: Apache-2.0
"""Images as files: what is in the folder, what is read from it, and what is left alone."""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from lkcloud import pipeline
from lkcloud.disk import Disk, open_disk
from lkcloud.errors import Conflict, LkcloudError, NotFound, Refused, UsageError
from lkcloud.provider import Blob, Image, Run, Source
from lkcloud.sandbox.tinydisk import write_tiny_disk
from lkcloud_qemu import Local, LocalOptions


@pytest.fixture
def image(local: Local, disk: Disk, run: Run) -> Image:
    return pipeline.push(local, disk, name="my-os", run=run, description="a system").image


def test_an_image_is_a_raw_file_and_a_document(folder: Path, path: Path, disk: Disk, image: Image) -> None:
    file = folder / "my-os/disk.raw"
    assert file.read_bytes() == path.read_bytes()
    assert file.stat().st_blocks <= path.stat().st_blocks + 16, "the holes have been filled"
    assert sorted(one.name for one in file.parent.iterdir()) == ["disk.raw", "image.json"]
    document = json.loads((folder / "my-os/image.json").read_text())
    assert document.pop("created").endswith("Z")
    assert document == {
        "version": 1,
        "name": "my-os",
        "digest": disk.content().digest,
        "size": 64 << 20,
        "architecture": "x86_64",
        "firmware": "uefi",
        "bus": "virtio",
        "family": "",
        "description": "a system",
        "tags": {},
    }
    assert image.blobs[0].id == str(file)
    assert dict(image.tags) == {"firmware": "uefi", "bus": "virtio", "description": "a system"}


def test_what_is_no_image_is_left_alone(folder: Path, local: Local, image: Image) -> None:
    (folder / "notes.txt").write_text("mine")
    (folder / "other").mkdir()
    (folder / "other/disk.raw").write_text("mine")
    assert [one.id for one in local.images()] == ["my-os"]
    assert list(local.leftovers("")) == []
    local.delete(replace(image, id="other"))
    local.delete(replace(image, id="../tiny.raw"))
    local.delete(replace(image, id="."))
    local.delete(image)
    assert sorted(one.name for one in folder.iterdir()) == [".work", "notes.txt", "other"]
    assert (folder.parent / "tiny.raw").exists()


def test_only_what_lkcloud_has_left_is_removed(folder: Path, local: Local, image: Image) -> None:
    for place in (folder / "my-os", folder / ".work", folder / ".work/x@deleted-00000000/../../my-os", Path("/")):
        with pytest.raises(UsageError, match="nothing that lkcloud has left"):
            local.delete(Blob("local", "", str(place), "upload"))
    assert local.get("my-os") == image


def test_a_name_that_is_taken_by_something_else_is_told_before_anything_is_copied(
    folder: Path, local: Local, disk: Disk, run: Run
) -> None:
    (folder / "my-os").mkdir(parents=True)
    (folder / "my-os/mine").write_text("mine")
    with pytest.raises(Refused, match="my-os is there, and is no image"):
        pipeline.push(local, disk, name="my-os", run=run)
    assert (folder / "my-os/mine").read_text() == "mine"
    assert not (folder / ".work").exists()


def _other_size(disk: Path) -> None:
    document = json.loads((disk.parent / "image.json").read_text())
    (disk.parent / "image.json").write_text(json.dumps({**document, "size": 1 << 20}))


def _folder(disk: Path) -> None:
    disk.unlink()
    disk.mkdir()


def _link(disk: Path) -> None:
    disk.symlink_to(disk.rename(disk.parents[2] / "moved.raw"))


DAMAGES: dict[str, Callable[[Path], None]] = {
    "missing": Path.unlink,
    "1048576 bytes, not 67108864": lambda disk: os.truncate(disk, 1 << 20),
    "67108865 bytes, not 67108864": lambda disk: os.truncate(disk, (64 << 20) + 1),
    "67108864 bytes, not 1048576": _other_size,
    "no regular file": _folder,
    "no regular file (a link)": _link,
}


@pytest.mark.parametrize("wrong", DAMAGES)
def test_an_image_without_its_disk_is_damaged_and_pushed_anew(
    folder: Path, local: Local, path: Path, disk: Disk, image: Image, run: Run, wrong: str
) -> None:
    DAMAGES[wrong](folder / "my-os/disk.raw")
    damaged = local.get("my-os")
    assert damaged is not None
    assert (damaged.state, damaged.ready, damaged.digest) == ("damaged", False, image.digest)
    assert damaged.blobs[0].state == wrong.removesuffix(" (a link)")
    assert list(local.images()) == [damaged]
    with pytest.raises(NotFound, match=f"my-os is damaged, its disk is {damaged.blobs[0].state}"):
        local.launch(damaged, run)
    assert not pipeline.plan(local, disk, name="my-os", run=run).done
    pushed = pipeline.push(local, disk, name="my-os", run=run)
    assert (pushed.made, pushed.image.ready, pushed.image.state) == (True, True, "available")
    assert (folder / "my-os/disk.raw").read_bytes() == path.read_bytes()
    assert not (folder / "my-os/disk.raw").is_symlink()
    assert list(local.leftovers("")) == []


def test_a_damaged_image_keeps_its_name_from_other_content(
    folder: Path, local: Local, image: Image, run: Run, tmp_path: Path
) -> None:
    (folder / "my-os/disk.raw").unlink()
    write_tiny_disk(tmp_path / "other.raw", message="other")
    with open_disk(tmp_path / "other.raw") as other:
        with pytest.raises(Conflict, match="the name my-os is taken"):
            pipeline.push(local, other, name="my-os", run=run)
        assert local.find("my-os") is not None
        assert pipeline.push(local, other, name="my-os", run=run, replacing=True).image.digest != image.digest


def test_a_link_to_a_folder_is_no_image(folder: Path, local: Local, disk: Disk, image: Image, run: Run) -> None:
    elsewhere = shutil.copytree(folder / "my-os", folder.parent / "elsewhere")
    (folder / "linked").symlink_to(elsewhere)
    (folder / "dangling").symlink_to("nowhere")
    assert local.find("linked") is None
    assert [one.id for one in local.images()] == ["my-os"]
    local.delete(replace(image, id="linked", name="linked"))
    for name in ("linked", "dangling"):
        with pytest.raises(Refused, match=f"{name} is there, and is no image"):
            pipeline.push(local, disk, name=name, run=run)
        assert (folder / name).is_symlink()
    assert sorted(one.name for one in elsewhere.iterdir()) == ["disk.raw", "image.json"]


@pytest.mark.parametrize("kind", ["deleted-01234567", "machine-01234567", "0" * 64])
def test_of_a_link_among_what_is_unfinished_the_link_is_removed(
    folder: Path, local: Local, image: Image, kind: str
) -> None:
    elsewhere = shutil.copytree(folder / "my-os", folder.parent / "elsewhere")
    (folder / f".work/my-os@{kind}").symlink_to(elsewhere)
    (folder / f".work/other@{kind}").write_text("no folder")
    left = list(local.leftovers(""))
    assert [(one.name, one.state) for one in left] == [("my-os", "unfinished"), ("other", "unfinished")]
    for one in left:
        local.delete(one)
    assert list((folder / ".work").iterdir()) == []
    assert sorted(one.name for one in elsewhere.iterdir()) == ["disk.raw", "image.json"]


def test_an_upload_does_not_go_where_a_link_leads(folder: Path, local: Local, source: Source, run: Run) -> None:
    elsewhere = folder.parent / "elsewhere"
    elsewhere.mkdir()
    (folder / ".work").mkdir(parents=True)
    (folder / f".work/my-os@{source.digest}").symlink_to(elsewhere)
    assert local.register(source, local.upload(source, run), run).ready
    assert list(elsewhere.iterdir()) == []


def test_an_image_can_be_renamed_and_copied_as_files_are(folder: Path, local: Local, image: Image) -> None:
    (folder / "my-os").rename(folder / "renamed")
    shutil.copytree(folder / "renamed", folder / "copied")
    assert local.find("my-os") is None
    assert [(one.name, one.digest) for one in local.images()] == [
        (name, image.digest) for name in ("copied", "renamed")
    ]


def test_a_later_lkcloud_may_note_more(folder: Path, local: Local, image: Image, run: Run) -> None:
    file = folder / "my-os/image.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "secure_boot": True, "tags": {"team": "os"}}))
    Local(LocalOptions(folder=folder, family="stable")).promote(image, run)
    document = json.loads(file.read_text())
    assert (document["secure_boot"], document["family"]) == (True, "stable")
    assert ("team", "os") in next(local.images()).tags


@pytest.mark.parametrize("text", ["", "{}", '{"version": 2}', "[" * 100_000], ids=["empty", "nothing", "later", "deep"])
def test_a_damaged_document_is_named(folder: Path, local: Local, image: Image, text: str) -> None:
    (folder / "my-os/image.json").write_text(text)
    for look in (lambda: local.get("my-os"), lambda: list(local.images())):
        with pytest.raises(LkcloudError, match=r"my-os/image.json is damaged: ") as caught:
            look()
        assert caught.value.hint.endswith(f": rm -r {folder / 'my-os'}")


def test_a_command_in_a_hint_can_be_given_to_a_shell(tmp_path: Path, disk: Disk, run: Run) -> None:
    folder = tmp_path / "it's mine; all of it"
    local = Local(LocalOptions(folder=folder))
    pipeline.push(local, disk, name="my-os", run=run)
    (folder / "my-os/image.json").write_text("{")
    with pytest.raises(LkcloudError) as caught:
        local.find("my-os")
    command = caught.value.hint.partition("remove the image: ")[2]
    subprocess.run(command, shell=True, check=True)
    assert list(folder.iterdir()) == [folder / ".work"]


@pytest.fixture
def of_another(disk: Disk, run: Run) -> Iterator[Path]:
    """An image whose files only another user may change; as root, by being nobody for as long as the test."""
    with tempfile.TemporaryDirectory() as name:
        pipeline.push(Local(LocalOptions(folder=Path(name))), disk, name="my-os", run=run)
        image, user = Path(name) / "my-os", os.geteuid()
        image.parent.chmod(0o755)
        image.chmod(0o555)
        if user == 0:
            os.seteuid(65534)
        try:
            yield image
        finally:
            os.seteuid(user)
            image.chmod(0o755)


def test_what_may_not_be_written_is_named(of_another: Path, run: Run) -> None:
    local = Local(LocalOptions(folder=of_another.parent, family="stable"))
    (image,) = local.images()
    with pytest.raises(Refused) as caught:
        local.promote(image, run)
    assert caught.value.message.endswith(f"Permission denied ({of_another}/image.json)")
    assert caught.value.hint == "give a --folder that you may write"


def test_what_may_not_be_read_is_named(of_another: Path) -> None:
    user = os.geteuid()
    os.seteuid(os.getuid())
    (of_another / "image.json").chmod(0)
    os.seteuid(user)
    with pytest.raises(Refused) as caught:
        list(Local(LocalOptions(folder=of_another.parent)).images())
    assert caught.value.message.endswith(f"Permission denied ({of_another}/image.json)")
    assert caught.value.hint == "give a --folder that you may read"


def test_a_date_without_a_time_zone_is_in_utc(folder: Path, local: Local, image: Image, run: Run) -> None:
    shutil.copytree(folder / "my-os", folder / "older")
    file = folder / "older/image.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "created": "2024-02-29T12:00:00"}))
    assert [(one.name, one.created) for one in local.images()] == [
        ("older", datetime(2024, 2, 29, 12, tzinfo=UTC)),
        ("my-os", image.created),
    ]


def test_a_description_that_cannot_be_written_is_told_before_anything_is_copied(
    folder: Path, local: Local, disk: Disk, run: Run
) -> None:
    latin = os.fsdecode(b"caf\xe9")
    planned = pipeline.plan(local, disk, name="my-os", run=run, description=latin)
    assert (planned.error, planned.findings[0].problem) == (UsageError, "the description is not UTF-8")
    with pytest.raises(UsageError, match="the description is not UTF-8"):
        pipeline.push(local, disk, name="my-os", run=run, description=latin)
    assert not folder.exists()


def test_a_family_is_joined_and_changed(folder: Path, image: Image, run: Run) -> None:
    for family in ("testing", "stable"):
        joining = Local(LocalOptions(folder=folder, family=family))
        joining.promote(image, run)
        assert [one.family for one in joining.images()] == [family]
    Local(LocalOptions(folder=folder)).promote(image, run)
    assert [one.family for one in joining.images()] == ["stable"]


@pytest.mark.parametrize("name", ["", ".hidden", "a/b", "..", "a@b", "x" * 129, "name\n", "ä"])
def test_names_that_cannot_be_folders(local: Local, source: Source, name: str) -> None:
    assert local.find(name) is None
    (finding,) = local.validate(replace(source, name=name))
    given = finding.hint.removeprefix("give --name ")
    assert list(local.validate(replace(source, name=given))) == []


@pytest.mark.parametrize("name", ["a", "My_OS-1.2+git", "x" * 128])
def test_names_that_can(local: Local, source: Source, run: Run, name: str) -> None:
    assert pipeline.push(local, source.disk, name=name, run=run).image.id == name


def test_hardware_that_does_not_fit_is_told(folder: Path, source: Source) -> None:
    def problems(**options: str) -> list[tuple[str, bool]]:
        local = Local(LocalOptions.model_validate({"folder": folder, **options}))
        return [(one.problem, one.obstacle) for one in local.validate(source)]

    assert problems() == []
    assert problems(firmware="bios") == []
    assert problems(architecture="arm64") == [("the disk is for x86_64, and the machine for arm64", False)]
    assert problems(architecture="arm64", firmware="bios")[0] == ("no arm64 machine boots by BIOS", True)
