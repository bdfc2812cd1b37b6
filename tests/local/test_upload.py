# SPDX-License-Identifier: Apache-2.0
"""Pushes that are stopped, that meet, or find no room: an image is whole or not there, and what is left is known."""

import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from lkcloud import pipeline
from lkcloud.disk import Disk, open_disk
from lkcloud.errors import Conflict, ImageChanged, LkcloudError, Refused
from lkcloud.provider import Run, Source
from lkcloud.sandbox.tinydisk import write_tiny_disk
from lkcloud_qemu import Local, LocalOptions
from tests.local.conftest import MIB

KILLED = """
import os, signal, sys
from contextlib import contextmanager
import lkcloud_qemu.images
from lkcloud import pipeline
from lkcloud.disk import open_disk
from lkcloud.provider import Run
from lkcloud.reporting import Silent
from lkcloud.transfer.journal import Journal
from lkcloud_qemu import Local, LocalOptions

class Killing(Silent):
    @contextmanager
    def stage(self, title):
        if title == sys.argv[1]:
            os.kill(os.getpid(), signal.SIGKILL)
        with super().stage(title) as meter:
            if title == "upload" and sys.argv[1] == "copying":
                meter.advance = lambda amount: os.kill(os.getpid(), signal.SIGKILL)
            yield meter

with Journal.open() as journal, open_disk(sys.argv[3]) as disk:
    run = Run(journal, reporter=Killing())
    pipeline.push(Local(LocalOptions(folder=sys.argv[2])), disk, name="my-os", run=run)
"""


def killed(moment: str, folder: Path, path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, moment, folder, path], check=False, timeout=120)
    assert done.returncode == -9


@pytest.mark.parametrize(
    ("moment", "state", "sends"), [("copying", "unfinished", True), ("register", "complete", False)]
)
def test_a_killed_push_leaves_what_is_found_and_goes_on(
    folder: Path, local: Local, path: Path, disk: Disk, run: Run, moment: str, state: str, *, sends: bool
) -> None:
    killed(moment, folder, path)
    assert local.find("my-os") is None
    assert list(local.images()) == []
    assert [(one.kind, one.state, one.name) for one in local.leftovers("")] == [("upload", state, "my-os")]
    assert list(local.leftovers("other")) == []
    pushed = pipeline.push(local, disk, name="my-os", run=run)
    assert (pushed.made, pushed.sent > 0) == (True, sends)
    assert (folder / "my-os/disk.raw").read_bytes() == path.read_bytes()
    assert list((folder / ".work").iterdir()) == []


def test_an_upload_whose_disk_was_cut_begins_anew(folder: Path, local: Local, path: Path, disk: Disk, run: Run) -> None:
    killed("register", folder, path)
    (left,) = local.leftovers("")
    os.truncate(Path(left.id) / "disk.raw", MIB)
    pushed = pipeline.push(local, disk, name="my-os", run=run)
    assert (pushed.made, pushed.sent > 0, pushed.image.ready) == (True, True, True)
    assert (folder / "my-os/disk.raw").read_bytes() == path.read_bytes()


def test_what_a_killed_push_left_is_removed_with_its_lock(folder: Path, local: Local, path: Path) -> None:
    killed("copying", folder, path)
    assert len(list((folder / ".work").iterdir())) == 2
    (left,) = local.leftovers("my-os")
    local.delete(left)
    assert list((folder / ".work").iterdir()) == []


def test_what_is_half_deleted_is_no_image(folder: Path, local: Local, disk: Disk, run: Run) -> None:
    image = pipeline.push(local, disk, name="my-os", run=run).image
    (folder / "my-os").rename(folder / ".work/my-os@deleted-01234567")
    (left,) = local.leftovers("my-os")
    assert (left.kind, left.state) == ("deleted", "unfinished")
    assert local.get(image.id) is None
    local.delete(image)
    local.delete(left)
    assert list(local.leftovers("")) == []


def test_the_same_upload_at_the_same_time_is_a_conflict(folder: Path, local: Local, source: Source, run: Run) -> None:
    with holding(folder, f"my-os@{source.digest}") as process:
        with pytest.raises(Conflict, match=f"another run is uploading this .process {process.pid}."):
            local.upload(source, run)
        (folder / f".work/my-os@{source.digest}").mkdir()
        (left,) = local.leftovers("my-os")
        with pytest.raises(Conflict):
            local.delete(left)
    assert local.register(source, local.upload(source, run), run).digest == source.digest


def holding(folder: Path, key: str) -> "subprocess.Popen[str]":
    """Start a process that holds an upload."""
    code = """
        import sys
        from pathlib import Path
        from lkcloud.transfer.locks import exclusive
        folder = Path(sys.argv[1]) / ".work"
        folder.mkdir(parents=True)
        with exclusive(folder, sys.argv[2]):
            print("held", flush=True)
            sys.stdin.read()
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), folder, key],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_whoever_comes_second_with_the_same_content_gets_the_first_ones_image(
    local: Local, source: Source, run: Run
) -> None:
    first, second = local.upload(source, run), local.upload(source, run)
    assert first == second
    assert local.register(source, first, run) == local.register(source, second, run)
    assert local.register(source, local.upload(source, run), run) == local.find("my-os")
    assert list(local.leftovers("")) == []


def test_whoever_comes_second_with_other_content_takes_nothing_away(
    folder: Path, local: Local, source: Source, run: Run, tmp_path: Path
) -> None:
    write_tiny_disk(tmp_path / "other.raw", message="other")
    mine = local.upload(source, run)
    with open_disk(tmp_path / "other.raw") as other:
        theirs = pipeline.push(local, other, name="my-os", run=run).image
    with pytest.raises(Conflict, match="has come to be there"):
        local.register(source, mine, run)
    assert local.find("my-os") == theirs
    assert (folder / "my-os/disk.raw").stat().st_size == 4 * MIB
    assert [one.id for one in local.leftovers("my-os")] == [mine.id]


@pytest.mark.parametrize("damaged", [False, True], ids=["new", "damaged"])
def test_many_at_once_make_one_image(
    folder: Path, path: Path, local: Local, disk: Disk, run: Run, *, damaged: bool
) -> None:
    if damaged:
        pipeline.push(local, disk, name="my-os", run=run)
        (folder / "my-os/disk.raw").unlink()
    code = KILLED.replace("sys.argv[1]", "'never'")
    started = [
        subprocess.Popen([sys.executable, "-c", code, "", folder, path], stderr=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    errors = [process.communicate(timeout=240)[1] for process in started]
    for error in errors:
        assert not error or "Conflict" in error, error
    assert "" in errors
    assert [one.name for one in local.images()] == ["my-os"]
    assert (folder / "my-os/disk.raw").read_bytes() == path.read_bytes()
    assert list(local.leftovers("")) == []


def test_a_change_that_the_dates_do_not_show_is_found_in_the_copy(local: Local, source: Source, run: Run) -> None:
    with pytest.raises(ImageChanged):
        local.upload(replace(source, digest="0" * 64), run)
    assert list(local.leftovers("")) == []


def test_nothing_is_left_where_the_document_cannot_be_written(local: Local, source: Source, run: Run) -> None:
    with pytest.raises(ValueError, match="surrogates not allowed"):
        local.upload(replace(source, description="caf\udce9"), run)
    assert list(local.leftovers("")) == []


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system with 2 MiB; only root can make it."""
    folder = tmp_path / "small"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("a small file system cannot be mounted here")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk_is_told_and_what_was_written_can_be_removed(small: Path, disk: Disk, run: Run) -> None:
    local = Local(LocalOptions(folder=small / "images"))
    with pytest.raises(LkcloudError, match="No space left on device") as caught:
        pipeline.push(local, disk, name="my-os", run=run)
    assert "make room in" in caught.value.hint
    assert "lkcloud delete local my-os" in caught.value.hint
    assert local.find("my-os") is None
    (left,) = local.leftovers("my-os")
    local.delete(left)
    assert list(local.leftovers("")) == []


def test_another_file_system_is_copied_to_by_reading_and_writing(small: Path, tmp_path: Path, run: Run) -> None:
    path = tmp_path / "tiny.raw"
    write_tiny_disk(path)
    with open_disk(path) as disk:
        pipeline.push(Local(LocalOptions(folder=small)), disk, name="my-os", run=run)
    assert (small / "my-os/disk.raw").read_bytes() == path.read_bytes()


@pytest.mark.parametrize("place", ["/sys/lkcloud-images", "tiny.raw/images", "tiny.raw"])
def test_a_folder_that_cannot_be_written_to(tmp_path: Path, disk: Disk, run: Run, place: str) -> None:
    local = Local(LocalOptions(folder=tmp_path / place))
    with pytest.raises(Refused) as caught:
        pipeline.push(local, disk, name="my-os", run=run)
    assert "folder" in caught.value.hint


def test_a_folder_that_is_not_there_has_no_images(local: Local, folder: Path) -> None:
    assert list(local.images()) == []
    assert list(local.leftovers("")) == []
    assert local.find("my-os") is None
    assert not folder.exists()
