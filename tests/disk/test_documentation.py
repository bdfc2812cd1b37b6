# SPDX-License-Identifier: Apache-2.0
"""The worked example of docs/content-digest.md is right, and lkcloud computes the same."""

import re
import subprocess
import sys
from pathlib import Path

from lkcloud.disk import open_disk

PAGE = Path(__file__).parents[2] / "docs" / "content-digest.md"


def fenced(language: str) -> str:
    (block,) = re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), re.DOTALL)
    return str(block)


def test_the_example_prints_what_the_page_says() -> None:
    ran = subprocess.run([sys.executable, "-c", fenced("python")], capture_output=True, text=True, check=True)
    assert ran.stdout == fenced("text")


def test_lkcloud_computes_the_digest_of_the_example(tmp_path: Path) -> None:
    image = tmp_path / "image.raw"
    image.write_bytes(b"boot".ljust(2 * 512 * 1024, b"\0") + b"end")
    with open_disk(image) as disk:
        assert fenced("text").split() == [str(disk.size), disk.content().digest]
