# SPDX-License-Identifier: Apache-2.0
"""A small kernel with ISO 9660 built in, which no packaged kernel has: it mounts an ISO as its root by itself.

It is built from Debian's source of Linux, which takes some minutes, and kept in the cache.
"""

import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests import debian

WANTED = (
    "64BIT",
    # What it says, and where it says it.
    "PRINTK",
    "TTY",
    "SERIAL_8250",
    "SERIAL_8250_CONSOLE",
    # Firmware, and how a machine goes off.
    "ACPI",
    "EFI",
    "EFI_STUB",
    # The disk on each bus, and its partitions.
    "PCI",
    "PCI_MSI",
    "BLOCK",
    "BLK_DEV",
    "BLK_DEV_NVME",
    "VIRTIO_MENU",
    "VIRTIO_PCI",
    "VIRTIO_BLK",
    "PARTITION_ADVANCED",
    "EFI_PARTITION",
    # File systems; nobody else mounts /dev before init runs.
    "ISO9660_FS",
    "DEVTMPFS",
    "DEVTMPFS_MOUNT",
    "PROC_FS",
    "SYSFS",
    # What busybox as init needs.
    "BINFMT_ELF",
    "BINFMT_SCRIPT",
    "FUTEX",
    "MULTIUSER",
)
UNWANTED = ("EMBEDDED", "EXPERT", "BLK_DEV_INITRD")
"""Without the first two, what nearly every system needs comes by itself; without the third there is no initramfs."""

_PACKAGES = {
    "/usr/bin/bc": "bc",
    "/usr/bin/bison": "bison",
    "/usr/bin/flex": "flex",
    "/usr/bin/gcc": "gcc",
    "/usr/bin/make": "make",
    "/usr/bin/objcopy": "binutils",
    "/usr/bin/xz": "xz-utils",
    "/usr/include/gelf.h": "libelf-dev",
    "/usr/include/stdio.h": "libc6-dev",
}
"""What shows that a package is there which the build needs."""


def iso_kernel() -> Path:
    """Return the bzImage, which is built if it is not in the cache; another choice of options is another kernel."""
    choice = hashlib.sha256(_fragment().encode()).hexdigest()[:12]
    return debian.cached(f"linux-iso9660-{choice}", _make) / "bzImage"


def _fragment() -> str:
    """Return what is chosen, as lines of a `.config`."""
    lines = [f"CONFIG_{name}=y" for name in WANTED] + [f"# CONFIG_{name} is not set" for name in UNWANTED]
    return "\n".join((*lines, ""))


def _make(folder: Path) -> None:
    if platform.machine() != "x86_64":
        pytest.skip("needs a machine with x86-64, for which it builds a kernel")
    if missing := sorted(package for file, package in _PACKAGES.items() if not Path(file).exists()):
        pytest.skip(f"needs the Debian packages {' '.join(missing)}")
    with tempfile.TemporaryDirectory(dir=folder.parent) as name:
        source = _source(Path(name))
        fragment = Path(name) / "fragment"
        fragment.write_text(_fragment())
        _run(source, "make", "ARCH=x86_64", "allnoconfig", f"KCONFIG_ALLCONFIG={fragment}")
        _check((source / ".config").read_text())
        _run(source, "make", "ARCH=x86_64", f"-j{len(os.sched_getaffinity(0))}", "bzImage")
        shutil.copy(source / "arch/x86/boot/bzImage", folder)
        shutil.copy(source / ".config", folder)


def _source(folder: Path) -> Path:
    """Unpack the source of the release's kernel into FOLDER, and return where it is."""
    archive = debian.Archive(("apt-get", "-o", "APT::Sandbox::User=root"))
    package = archive.dependency("linux-source", r"linux-source-\S+")
    archive.unpack(folder, [package])
    [tarball] = folder.glob("usr/src/**/linux-source-*.tar.*")
    source = folder / "source"
    source.mkdir()
    _run(folder, "tar", "--extract", "--strip-components=1", "--file", str(tarball), "--directory", str(source))
    return source


def _check(config: str) -> None:
    """See that CONFIG is what was chosen: an option whose own needs are not met is left out without a word."""
    lines = set(config.splitlines())
    lost = [name for name in WANTED if f"CONFIG_{name}=y" not in lines]
    kept = [name for name in UNWANTED if f"CONFIG_{name}=y" in lines]
    if lost or kept:
        raise RuntimeError(f"this source of Linux takes other options: without {lost}, with {kept}")


def _run(folder: Path, *command: str) -> None:
    # Without what a make that started the tests says to those below it.
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C"}
    done = subprocess.run(command, cwd=folder, env=environment, check=False, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}: {done.stderr[-2000:]}")
