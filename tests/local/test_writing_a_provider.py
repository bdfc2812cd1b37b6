# SPDX-License-Identifier: Apache-2.0
"""docs/writing-a-provider.md, done word for word: its files in an empty folder, its commands in a shell."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

import pytest

from lkcloud.sandbox.qemu import missing

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "writing-a-provider.md"
FILE = re.compile(r"^`(?P<name>[\w./-]+)`:\n\n```\w+\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
CONSOLE = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
VARIES = ((r"\d+\.\d+ ?s\b", "N s"), (r"\(\d:\d\d:\d\d\)", ""), (r"\d{4}-\d\d-\d\d \d\d:\d\d", "DATE"))
MARK = "@@@ {}"

HERE = """
import site, sysconfig, pathlib, stat
here = pathlib.Path(sysconfig.get_path("purelib"))
(here / "house.pth").write_text("import site; site.addsitedir({house!r})\\n")
program = pathlib.Path(sysconfig.get_path("scripts")) / "lkcloud"
program.write_text("#!" + str(program.parent / "python") + "\\nfrom lkcloud.cli.main import main\\nmain()\\n")
program.chmod(0o755)
"""
"""What an index would have given: lkcloud with what it needs, and its program."""


@dataclass(frozen=True)
class Step:
    """A command of the page, and the end of what it prints."""

    command: str
    shown: str


def steps(page: str) -> list[Step]:
    found = []
    for block in CONSOLE.findall(page):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, shown = part.partition("\n")
            found.append(Step(command, shown.strip()))
    return found


def without_what_varies(text: str) -> str:
    for pattern, replacement in VARIES:
        text = re.sub(pattern, replacement, text)
    return text.strip()


def script(all_steps: list[Step]) -> str:
    """Return the commands for one shell, with a mark in front of each, and lkcloud put where an index would put it."""
    lines = ["set -e"]
    for number, step in enumerate(all_steps):
        lines += [f"echo '{MARK.format(number)}'", step.command]
        if step.command == "python3 -m venv .venv":
            house = sysconfig.get_path("purelib")
            lines += [f".venv/bin/python - <<'END'\n{HERE.format(house=house)}\nEND"]
    return "\n".join(lines)


def environment(home: Path) -> dict[str, str]:
    """Return an environment in which nothing is downloaded, and nothing tells of the tests that we are in."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST_", "LKCLOUD_PROVIDERS"))}
    return {
        **kept,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PIP_NO_INDEX": "1",
        "PIP_NO_BUILD_ISOLATION": "false",  # this is pip's way to say that there is none
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_ROOT_USER_ACTION": "ignore",
        "HOME": str(home),
    }


@pytest.mark.timeout(1200)  # It has a suite in it, and boots machines.
def test_the_page_makes_a_provider_that_keeps_the_contract(tmp_path: Path, own_folders: Path) -> None:
    if packages := missing("x86_64", "uefi"):
        pytest.skip(f"needs the Debian packages {' '.join(packages)}")
    page = PAGE.read_text()
    begun = steps(page)
    for step in begun[:2]:
        assert step.command.startswith(("mkdir -p lkcloud-mycloud/", "cd lkcloud-mycloud"))
    subprocess.run(begun[0].command, shell=True, check=True, cwd=tmp_path)
    package = tmp_path / "lkcloud-mycloud"
    for file in FILE.finditer(page):
        (package / file["name"]).write_text(file["text"])
    try:
        done = subprocess.run(
            ["bash", "-c", script(begun)],
            cwd=tmp_path,
            env=environment(own_folders),
            capture_output=True,
            text=True,
            check=False,
            timeout=1100,
        )
    finally:
        shutil.rmtree(package / ".venv", ignore_errors=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    printed = re.split(r"^@@@ \d+\n", done.stdout, flags=re.MULTILINE)[1:]
    assert len(printed) == len(begun) > 10
    for step, out in zip(begun, printed, strict=True):
        last = out.strip().splitlines()[-len(step.shown.splitlines()) :] if step.shown else []
        assert without_what_varies("\n".join(last)) == without_what_varies(step.shown), step.command


def test_the_files_of_the_page_are_as_ours_are(tmp_path: Path) -> None:
    names = []
    for file in FILE.finditer(PAGE.read_text()):
        names.append(file["name"])
        (tmp_path / file["name"]).parent.mkdir(exist_ok=True)
        (tmp_path / file["name"]).write_text(file["text"])
    assert {"pyproject.toml", "lkcloud_mycloud/provider.py", "tests/test_contract.py"} < set(names)
    ruff = [sys.executable, "-m", "ruff"]
    settings = ["--no-cache", "--config", str(ROOT / "pyproject.toml"), str(tmp_path)]
    subprocess.run([*ruff, "format", "--check", *settings], check=True)
    subprocess.run([*ruff, "check", "--ignore", "D101,D102,D103,I001", *settings], check=True)
