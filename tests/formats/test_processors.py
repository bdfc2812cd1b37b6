# SPDX-License-Identifier: Apache-2.0
"""The bytes of what is written do not depend on the processor: the libraries choose their code by it."""

import hashlib
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROCESSORS = ("Nehalem", "Haswell", "EPYC")
"""SSE 4.2, AVX2, and a newer one; QEMU 7.2 emulates no AVX-512."""

FORMATS = ("gce", "vmdk", "qcow2-zlib", "qcow2-zstd")


@pytest.mark.long
@pytest.mark.skipif(platform.machine() != "x86_64", reason="emulates the processors of x86-64")
def test_other_processors_write_the_same(tmp_path: Path) -> None:
    """Takes a minute or two: Python and all that it loads runs in an emulated processor."""
    emulator = shutil.which("qemu-x86_64") or shutil.which("qemu-x86_64-static")
    if emulator is None:
        pytest.skip("needs the Debian package qemu-user")
    (tmp_path / "disk.raw").write_bytes(Path(os.path.realpath(sys.executable)).read_bytes()[: 3 << 20])
    program = """
import sys
from pathlib import Path
from lkcloud.disk import open_disk
from lkcloud.formats.convert import convert
for form in sys.argv[2:]:
    with open_disk(sys.argv[1]) as disk:
        convert(disk, Path(form), format=form)
"""
    seen: dict[str, set[str]] = {form: set() for form in FORMATS}
    for processor in ("", *PROCESSORS):
        folder = tmp_path / (processor or "native")
        folder.mkdir()
        emulated = [emulator, "-cpu", processor] if processor else []
        command = [*emulated, sys.executable, "-c", program, str(tmp_path / "disk.raw"), *FORMATS]
        subprocess.run(command, cwd=folder, check=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
        for form in FORMATS:
            seen[form].add(hashlib.sha256((folder / form).read_bytes()).hexdigest())
    assert {form: len(digests) for form, digests in seen.items()} == dict.fromkeys(FORMATS, 1)
