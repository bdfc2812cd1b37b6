# SPDX-License-Identifier: Apache-2.0
"""Packages of Debian that tests unpack into a cache and nobody installs, of other releases and architectures too.

The cache is LKCLOUD_TEST_CACHE or `.cache` of the checkout. A test whose package apt cannot get is skipped, and the
reason names the package.
"""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

# Read when this is imported: during a test the environment has no settings of lkcloud's.
CACHE = Path(os.environ.get("LKCLOUD_TEST_CACHE") or Path(__file__).parent.parent / ".cache")
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")

# root's apt would rather not write into a folder that its own user cannot reach.
_AS_ROOT = ("-o", "APT::Sandbox::User=root")


def cached(name: str, make: Callable[[Path], None]) -> Path:
    """Return the folder NAME of the cache, which MAKE fills if it is not there.

    Whoever comes at the same time does the same, and the first one wins.
    """
    folder = CACHE / name
    if not folder.is_dir():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
            made = Path(scratch) / "made"
            made.mkdir()
            make(made)
            if not folder.is_dir():
                made.rename(folder)
    return folder


def unpacked(package: str) -> Path:
    """Return the folder with what is in PACKAGE of the release that this machine has."""
    return cached(package, lambda folder: _unpack(folder, [package], ("apt-get", *_AS_ROOT)))


@dataclass(frozen=True, slots=True)
class Archive:
    """A release of Debian for an architecture; what apt knows of this machine does not matter."""

    apt: tuple[str, ...]
    """apt-get with its options."""

    def unpack(self, folder: Path, packages: list[str]) -> None:
        """Unpack the PACKAGES into FOLDER."""
        _unpack(folder, packages, self.apt)

    def unpack_all(self, folder: Path, package: str) -> None:
        """Unpack PACKAGE, and everything that it cannot do without, into FOLDER."""
        planned = output([*self.apt, "install", "--simulate", "--no-install-recommends", package])
        names = re.findall(r"^Inst (\S+)", planned, re.MULTILINE)
        if package not in names:
            pytest.skip(f"needs the Debian package {package}, which apt does not know here")
        self.unpack(folder, names)

    def dependency(self, package: str, pattern: str) -> str:
        """Return what PACKAGE depends on whose name has PATTERN."""
        listed = output(["apt-cache", *self.apt[1:], "depends", package])
        found = re.search(rf"Depends: ({pattern})$", listed, re.MULTILINE)
        if found is None:
            pytest.skip(f"needs the Debian package {package}, which apt does not know here")
        return found[1]


@contextmanager
def archive(suite: str, architecture: str) -> Iterator[Archive]:
    """Yield the release SUITE of Debian for ARCHITECTURE, whose lists are downloaded anew."""
    if shutil.which("apt-get") is None or not KEYRING.exists():
        pytest.skip("needs apt and the Debian package debian-archive-keyring")
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        for folder in ("lists/partial", "cache/archives/partial"):
            (home / folder).mkdir(parents=True)
        (home / "status").touch()
        (home / "sources.list").write_text(f"deb [signed-by={KEYRING}] http://deb.debian.org/debian {suite} main\n")
        settings = {
            "APT::Architecture": architecture,
            "APT::Architectures": architecture,
            "Acquire::Languages": "none",
            "Debug::NoLocking": "1",
            "Dir::Cache": home / "cache",
            "Dir::Etc::sourcelist": home / "sources.list",
            "Dir::Etc::sourceparts": "-",
            "Dir::State::lists": home / "lists",
            "Dir::State::status": home / "status",
        }
        options = [word for key, value in settings.items() for word in ("-o", f"{key}={value}")]
        apt = ("apt-get", *_AS_ROOT, *options)
        if subprocess.run([*apt, "-qq", "update"], capture_output=True, check=False).returncode:
            pytest.skip(f"needs deb.debian.org, where apt does not get at {suite} for {architecture} now")
        yield Archive(apt)


def output(command: list[str], cwd: Path | None = None) -> str:
    """Return the output of COMMAND, `""` if it fails or is not there."""
    if shutil.which(command[0]) is None:
        return ""
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False).stdout


def _unpack(folder: Path, packages: list[str], apt: tuple[str, ...]) -> None:
    with tempfile.TemporaryDirectory(dir=folder.parent) as name:
        output([*apt, "download", *packages], cwd=Path(name))
        archives = sorted(Path(name).glob("*.deb"))
        if len(archives) < len(packages):
            pytest.skip(f"needs the Debian packages {' '.join(packages)}, which apt cannot download now")
        for file in archives:
            subprocess.run(["dpkg-deb", "--extract", file, folder], check=True)
