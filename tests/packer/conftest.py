# SPDX-License-Identifier: Apache-2.0
"""The real Packer in a folder of its own, the templates of docs/packer.md, and clouds on this machine."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from lkcloud.sandbox.tinydisk import write_tiny_disk
from tests.gcp_standin import gcp, serving_gcp
from tests.standin import aws, serving

__all__ = ["aws", "gcp", "serving", "serving_gcp"]

PAGE = Path(__file__).resolve().parents[2] / "docs" / "packer.md"

Build = Callable[..., "subprocess.CompletedProcess[str]"]
Template = Callable[[Sequence[str]], Path]


def documented(kind: str, language: str) -> str:
    """Return the block of code of docs/packer.md that stands behind `<!-- KIND -->`."""
    found = re.search(rf"<!-- {re.escape(kind)} -->\n```{language}\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert found is not None
    return found[1]


def is_packer() -> bool:
    """Return whether there is Packer; the cracklib of some systems has a program of this name."""
    if shutil.which("packer") is None:
        return False
    said = subprocess.run(["packer", "version"], capture_output=True, text=True, check=False, timeout=60)
    return said.stdout.startswith("Packer v")


@pytest.fixture(scope="session")
def there() -> None:
    """Skip where there is no Packer."""
    if not is_packer():
        pytest.skip("needs the Debian package packer")


@pytest.fixture
def folder(there: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder that Packer runs in, with the disk that the page names; lkcloud is on the PATH."""
    monkeypatch.setenv("CHECKPOINT_DISABLE", "1")
    monkeypatch.setenv("PACKER_CONFIG_DIR", str(tmp_path / "packer-config"))
    monkeypatch.setenv("PACKER_CACHE_DIR", str(tmp_path / "packer-cache"))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv("PACKER_LOG", raising=False)
    (tmp_path / "packer-config").mkdir()
    path = tmp_path / "work"
    path.mkdir()
    write_tiny_disk(path / "base.raw", message="myos is up")
    return path


@pytest.fixture
def build(folder: Path) -> Build:
    """Run `packer build`, and see that it ends with CODE; stdout has all that it shows."""

    def run(template: Path, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        command = ["packer", "build", "-color=false", *arguments, template.name]
        done = subprocess.run(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=240,
        )
        assert done.returncode == code, done.stdout
        return done

    return run


@pytest.fixture
def template(folder: Path) -> Template:
    """Write a template: CHAINS of post-processors behind a builder that copies `base.raw` to `output/myos.raw`."""

    def write(chains: Sequence[str]) -> Path:
        path = folder / "test.pkr.hcl"
        path.write_text(
            'source "file" "myos" {\n  source = "base.raw"\n  target = "output/myos.raw"\n}\n'
            f'build {{\n  sources = ["source.file.myos"]\n{"".join(chains)}\n}}\n'
        )
        return path

    return write


def chain(*post_processors: str) -> str:
    """Return post-processors that are one chain."""
    return f"  post-processors {{\n{''.join(post_processors)}  }}\n"


def post_processor(kind: str, *lines: str) -> str:
    """Return one post-processor; LINES are its settings."""
    return "".join(f"    {line}\n" for line in (f'post-processor "{kind}" {{', *(f"  {line}" for line in lines), "}"))


def shell(command: str) -> str:
    """Return a post-processor that runs COMMAND."""
    return post_processor("shell-local", f'inline = ["{command}"]')


MANIFEST = post_processor("manifest")
CHAINS = {
    "`manifest`, lkcloud": lambda lkcloud: [chain(MANIFEST, lkcloud)],
    "`manifest` in a chain of its own, then lkcloud": lambda lkcloud: [MANIFEST, lkcloud],
    "lkcloud alone": lambda lkcloud: [lkcloud],
    "lkcloud with `keep_input_artifact = true`": lambda lkcloud: [
        lkcloud.replace('"]\n', '"]\n      keep_input_artifact = true\n')
    ],
}
"""The rows of the page's table, as chains around the post-processor that is lkcloud."""


def left(folder: Path) -> str:
    """Return in the words of the table what has become of the disk."""
    return "kept" if (folder / "output" / "myos.raw").exists() else "removed"


def in_short(found: list[list[str]]) -> list[object]:
    """Return the parameters for rows FOUND: in the short form the first and the last, in the long form all."""
    ends = (found[0], found[-1])
    return [pytest.param(row, id=row[0], marks=[] if row in ends else [pytest.mark.long]) for row in found]


def rows() -> list[list[str]]:
    table = PAGE.read_text().partition("<!-- what is left -->\n")[2].partition("\n\n")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]
