# SPDX-License-Identifier: Apache-2.0
"""nbdkit's own reader of qcow2, which shares no code with QEMU's; Debian has it since its release 13."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests import debian

_RELEASE = "trixie"
_LIBRARIES = Path("usr/lib/x86_64-linux-gnu")


def compare(raw: Path, qcow2: Path) -> str:
    """Return what `qemu-img compare` says of RAW and of what nbdkit reads from QCOW2; raise if they differ."""
    if shutil.which("qemu-img") is None:
        pytest.skip("qemu-img is missing: apt-get install qemu-utils")
    home = debian.cached("nbdkit", _unpack)
    libraries = home / _LIBRARIES
    command = [
        # Its C library may be newer than this machine's: it brings its own, and the loader of that.
        *(libraries / "ld-linux-x86-64.so.2", "--library-path", libraries, home / "usr/bin/nbdkit"),
        # Where a client asks for the extents, its filter fails an assertion (1.42).
        *("--readonly", "--unix", "-", "--no-sr", "--filter", libraries / "nbdkit/filters/nbdkit-qcow2dec-filter.so"),
        *(libraries / "nbdkit/plugins/nbdkit-file-plugin.so", qcow2),
        *("--run", f'qemu-img compare -f raw -F raw "{raw}" "$uri"'),
    ]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _unpack(folder: Path) -> None:
    with debian.archive(_RELEASE, "amd64") as packages:
        packages.unpack_all(folder, "nbdkit")
