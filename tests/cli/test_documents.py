# SPDX-License-Identifier: Apache-2.0
"""What README and the library's page show is what happens."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import lkcloud
from lkcloud.errors import UsageError
from lkcloud.sandbox import client
from lkcloud.sandbox.tinydisk import write_tiny_disk

ROOT = Path(__file__).resolve().parents[2]
VARIES = (
    (r"ami-[0-9a-f]{17}", "ami-..."),
    (r"\d+\.\d s", "N s"),
    (r"\d+\.\d [KMG]iB/s", "N MiB/s"),
    (r"snapshot: .*%\n", ""),
    (r"boot test: (starting|running)\n", ""),
    (r"register: (pending|available)\n", ""),
    (r"\| BdsDxe.*\n", ""),
)


def without_what_varies(text: str) -> str:
    """Return TEXT without ids, times and the states that a look may or may not meet."""
    for pattern, replacement in VARIES:
        text = re.sub(pattern, replacement, text)
    return text


def test_readme_shows_what_a_push_prints(tmp_path: Path) -> None:
    readme = (ROOT / "README.md").read_text()
    example = re.search(r"<!-- README example -->\n```console\n(.*?)```", readme, re.DOTALL)
    assert example is not None
    printed = ""
    try:
        for line in re.findall(r"^\$ (.*)$", example[1], re.MULTILINE):
            command = [sys.executable, "-m", *shlex.split(line)]
            done = subprocess.run(
                command,
                cwd=tmp_path,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
                timeout=240,
            )
            assert done.returncode == 0, done.stdout
            printed += f"$ {line}\n{done.stdout}"
    finally:
        client.down("aws")
    assert without_what_varies(printed) == without_what_varies(example[1])


@pytest.mark.usefixtures("aws")
def test_library_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (ROOT / "docs" / "library.md").read_text()
    example = re.search(r"```python\n(.*?)```", page, re.DOTALL)
    assert example is not None
    write_tiny_disk(tmp_path / "image.raw", message="hello")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    done = subprocess.run(
        [sys.executable, "-c", example[1]], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=240
    )
    assert done.returncode == 0, done.stderr
    assert "made" in done.stdout
    assert "hello uefi" in done.stdout
    assert lkcloud.find("my-os-1", "aws", region="eu-central-1") is None


@pytest.mark.parametrize(
    ("options", "words"),
    [({"volume_size": 0}, "volume_size: "), ({"regoin": "eu-central-1"}, "regoin: ")],
)
def test_options_that_do_not_fit_are_usage_errors(options: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        lkcloud.cloud("aws", **options)
    assert caught.value.hint
