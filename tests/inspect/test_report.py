# SPDX-License-Identifier: Apache-2.0
"""The document that `lkcloud inspect` prints."""

import json
from pathlib import Path

import pytest

from lkcloud.disk import open_disk
from lkcloud.disk.inspect.report import InspectReport, inspect_report
from lkcloud.sandbox.tinydisk import write_tiny_disk
from tests.images import COMMAND_LINE, kernel_release

DOCUMENTATION = Path(__file__).parents[2] / "docs" / "inspect.md"


def look(path: Path) -> InspectReport:
    with open_disk(path) as disk:
        return inspect_report(disk)


def test_the_text_is_the_one_in_the_documentation(tmp_path: Path) -> None:
    write_tiny_disk(tmp_path / "tiny.raw")
    example = DOCUMENTATION.read_text().partition("```text\n")[2].partition("\n```")[0]
    assert look(tmp_path / "tiny.raw").text() == example


def test_the_document_is_json_and_can_be_read_back(uki_disk: Path) -> None:
    document = look(uki_disk)
    parsed = json.loads(document.model_dump_json())
    assert parsed["size"] == uki_disk.stat().st_size
    assert 0 < parsed["data"] <= uki_disk.stat().st_blocks * 512
    assert (parsed["table"], parsed["firmware"], parsed["architecture"]) == ("gpt", ["uefi"], "x86_64")
    assert parsed["partitions"][0] | {"size": 0} == {
        "number": 1, "offset": 1048576, "size": 0, "type": "EFI system", "name": "esp", "filesystem": "vfat",
    }  # fmt: skip
    assert parsed["ukis"][0]["os_release"]["PRETTY_NAME"] == "lkcloud test 1.0"
    assert InspectReport.model_validate_json(document.model_dump_json()) == document


def test_the_text_shows_a_kernel_image(uki_disk: Path) -> None:
    rows = look(uki_disk).text().splitlines()
    assert rows[-4:] == [
        "kernel image  EFI/BOOT/BOOTX64.EFI",
        "system        lkcloud test 1.0",
        f"kernel        {kernel_release()}",
        f"command line  {COMMAND_LINE}",
    ]


@pytest.mark.parametrize(
    ("size", "shown"),
    [(1, "1 bytes"), (1023, "1023 bytes"), (1024, "1 KiB"), (1536, "1.5 KiB"), (2**40 + 2**38, "1.2 TiB")],
)
def test_sizes_are_shown_in_the_largest_unit(tmp_path: Path, size: int, shown: str) -> None:
    with (tmp_path / "disk.raw").open("wb") as file:
        file.truncate(size)
    assert look(tmp_path / "disk.raw").text().splitlines()[0] == f"size          {shown} ({size} bytes)"


def test_problems_are_the_last_rows(tmp_path: Path) -> None:
    write_tiny_disk(tmp_path / "tiny.raw")
    with (tmp_path / "tiny.raw").open("r+b") as file:
        file.truncate(5 * 2**20)
    rows = look(tmp_path / "tiny.raw").text().splitlines()
    assert rows[-2:] == [
        "",
        "problem       the backup GPT is in sector 8191 and not in the last one, 10239: the disk has grown",
    ]
