# SPDX-License-Identifier: Apache-2.0
"""What the kernel is told is what was given, by UEFI and by a BIOS, or the disk is refused."""

from pathlib import Path

import pytest

from lkcloud.disk import Disk, open_disk
from lkcloud.disk.assemble.order import Wanted
from lkcloud.disk.inspect import inspect
from lkcloud.disk.inspect.facts import Firmware
from lkcloud.disk.linux.system import look_for_linux
from lkcloud.errors import UnusableImage
from tests.assemble.builds import kernel_and_initrd


def told(disk: Disk) -> str:
    """Return the command line that a loader's file on DISK has."""
    boot = look_for_linux(disk, inspect(disk), unpack=False).boot
    assert boot is not None
    assert boot.command_line is not None
    return boot.command_line.text


@pytest.mark.parametrize("firmware", ["bios", "uefi"])
@pytest.mark.parametrize(
    ("line", "read"),
    [
        ('"a=b c" d "e=f g"', '"a=b c" d "e=f g"'),
        (" a\tb\r\n  c\n", "a b    c"),
        ("x" * 2027, "x" * 2027),
        ("ü=#$y;{z} #", "ü=#$y;{z} #"),
        ("", ""),
    ],
)
def test_words_of_the_command_line(tmp_path: Path, line: str, read: str, firmware: Firmware) -> None:
    with open_disk(kernel_and_initrd(tmp_path), wanted=Wanted(command_line=line, firmware=(firmware,))) as disk:
        assert told(disk).split() == read.split()


@pytest.mark.parametrize(
    ("line", "linux_has"),
    [
        ('"a=b c" d', '"a=b c" d'),
        ('a="b c" d', '"a=b c" d'),
        ('a="b=c d"', '"a=b=c d"'),
        ('a="b" "c" d=""', "a=b c d="),
        ('-- a="b  c"', '-- "a=b  c"'),
    ],
)
def test_quotes_that_are_the_same_to_the_kernel_wherever_grub_puts_them(
    tmp_path: Path, line: str, linux_has: str
) -> None:
    with open_disk(kernel_and_initrd(tmp_path), wanted=Wanted(command_line=line, firmware=("bios",))) as disk:
        assert told(disk) == linux_has


@pytest.mark.parametrize("line", ['a="b', 'x a="b c', 'a=b"c d"', 'a="b c"d', 'a"b c"', '"a b"=c', '""', '"'])
def test_quotes_that_grub_would_take_from_the_kernel(tmp_path: Path, line: str) -> None:
    build = kernel_and_initrd(tmp_path)
    with pytest.raises(UnusableImage, match=r"GRUB cannot give the kernel .* with double quotes around") as caught:
        open_disk(build, wanted=Wanted(command_line=line))
    assert "--boots-by uefi" in caught.value.hint
    with open_disk(build, wanted=Wanted(command_line=line, firmware=("uefi",))) as disk:
        assert told(disk) == line
