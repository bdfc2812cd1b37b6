# SPDX-License-Identifier: Apache-2.0
"""Releases of what is no disk yet: kernels with their initramfs, and ISOs, with what the file says of them."""

import json
from pathlib import Path

import pytest

from lkcloud.disk import open_disk
from lkcloud.errors import UsageError
from lkcloud.release import job, reading
from tests.assemble.builds import kernel_and_initrd, small_kernel
from tests.cli.conftest import Command
from tests.images import LINUX_SAYS, SAY_AND_POWER_OFF, initramfs
from tests.images import kernel as linux
from tests.release.conftest import Write

RELEASE = """\
    name: os-{image}
    version: "1"
    images:
      - id: x86
        file: out/vmlinuz
        initrd: [base.img, out/more.img]
        cmdline: console=ttyS0 ${WORD}
        boots_by: bios
    targets:
      - cloud: local
"""


@pytest.fixture
def kernel(tmp_path: Path) -> Path:
    """A kernel with two pieces of an initramfs, none of which has the name that LinuxKit would give it."""
    (tmp_path / "out").mkdir()
    (tmp_path / "base.img").write_bytes(b"base" * 999)
    (tmp_path / "out/more.img").write_bytes(b"more" * 999)
    file = tmp_path / "out/vmlinuz"
    file.write_bytes(small_kernel())
    return file


def failure(path: Path) -> UsageError:
    with pytest.raises(UsageError) as caught:
        job.jobs(reading.read(path, {"WORD": "quiet"}))
    return caught.value


def test_the_disk_is_what_convert_makes_of_the_same(
    write: Write, kernel: Path, tmp_path: Path, lkcloud: Command
) -> None:
    kernel_and_initrd(tmp_path)  # of which only the loaders that it needs matter here
    path = write(RELEASE)
    [one] = job.jobs(reading.read(path, {"WORD": "quiet"}))
    assert one.architecture == "x86_64"
    words = ("--cmdline", "console=ttyS0 quiet", "--boots-by", "bios")
    initrds = ("--initrd", tmp_path / "base.img", "--initrd", tmp_path / "out/more.img")
    lkcloud("convert", kernel, tmp_path / "same.raw", *initrds, *words)
    with one.file.open() as disk, open_disk(tmp_path / "same.raw") as same:
        assert disk.content().digest == same.content().digest


def test_one_file_is_a_disk_for_each_way_it_is_started(write: Write, tmp_path: Path, lkcloud: Command) -> None:
    kernel_and_initrd(tmp_path)
    text = """\
        name: os-{image}
        version: "1"
        images:
          - {id: both, file: os}
          - {id: uefi, file: os, boots_by: uefi}
          - {id: loud, file: os-kernel, cmdline: console=ttyS0 debug}
        targets:
          - {cloud: local, test: false, options: {folder: images}}
    """
    done = json.loads(lkcloud("publish", write(text), "--json").stdout)
    assert [image["image"] for image in done["images"]] == ["both", "loud", "uefi"]
    assert len({image["digest"] for image in done["images"]}) == 3


@pytest.mark.parametrize(
    ("old", "new", "line", "message", "hint"),
    [
        ("out/vmlinuz", "disk.raw", 5, "is neither a Linux kernel nor an ISO", "leave out `initrd`, `cmdline` and `bo"),
        ("base.img", "absent.img", 5, "absent.img: No such file or directory", "check its path"),
        ("base.img", "https://example.org/base.img", 6, "is a URL", "an initramfs is given by its path"),
        ("bios", "floppy", 8, "boots_by: should be 'both', 'uefi' or 'bios'", "what is to start it"),
        ("console=ttyS0 ${WORD}", "5", 7, "cmdline: should be a text: put it in quotes", "what the kernel is told"),
        ("[base.img, out/more.img]", "5", 6, "initrd: should be a list", "the paths of its initramfs"),
        ("initrd", "initramfs", 6, "initramfs is not known here", "did you mean initrd?"),
    ],
)
def test_what_is_wrong_is_told_by_line(
    write: Write, disk: Path, kernel: Path, old: str, new: str, line: int, message: str, hint: str
) -> None:
    text = RELEASE.replace(old, new)
    assert text != RELEASE
    error = failure(write(text))
    assert f":{line}:" in error.message
    assert message in error.message
    assert hint in error.hint
    assert "--" not in f"{error.message} {error.hint}"


def test_a_kernel_alone_is_told_which_keys_it_lacks(write: Write, kernel: Path) -> None:
    lines = [line for line in RELEASE.splitlines(keepends=True) if "initrd:" not in line and "cmdline:" not in line]
    error = failure(write("".join(lines)))
    assert "there is no initramfs with it" in error.message
    assert "name the initramfs with `initrd` and what the kernel is told with `cmdline`" in error.hint


@pytest.mark.long
@pytest.mark.timeout(900)
def test_it_boots(
    write: Write, kernel: Path, tmp_path: Path, lkcloud: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel.write_bytes(linux().read_bytes())
    (tmp_path / "base.img").write_bytes(initramfs(SAY_AND_POWER_OFF))
    monkeypatch.setenv("WORD", "panic=-1 quiet")
    monkeypatch.setenv("LKCLOUD_LOCAL_FOLDER", str(tmp_path / "images"))
    text = RELEASE.replace("[base.img, out/more.img]", "base.img")
    test = f"        test: {{expect: '{LINUX_SAYS}.*firmware=bios', timeout: 600}}\n"
    done = json.loads(lkcloud("publish", write(text + test), "--json").stdout)
    assert done["images"][0]["tested"]
