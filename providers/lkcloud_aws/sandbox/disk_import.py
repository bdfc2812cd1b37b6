# SPDX-License-Identifier: Apache-2.0
"""Uploaded disk files into raw ones, by qemu-img: a reader that shares nothing with lkcloud's own formats."""

import json
import shutil
import subprocess
from pathlib import Path

from lkcloud_aws.sandbox.snapshot import GIB

MAX_IMPORT = 16 * 1024 * GIB
"""Bytes: https://docs.aws.amazon.com/vm-import/latest/userguide/vmimport-limitations.html"""


class UnusableDisk(Exception):
    """The file is no disk of the format; the text is what the task says."""


def to_raw(source: Path, form: str, target: Path) -> int:
    """Turn a file of the format RAW, VHD or VMDK into the raw file TARGET, and return its size in bytes.

    A RAW file is moved. Raises UnusableDisk.
    """
    if form == "RAW":
        size = source.stat().st_size
        if size == 0:
            raise UnusableDisk("ClientError: Disk validation failed [The disk is empty]")
        source.rename(target)
        return size
    if shutil.which("qemu-img") is None:
        raise UnusableDisk("ServerError: the sandbox reads this format with qemu-img (Debian package qemu-utils)")
    options = _options(source, form)
    info = _run("info", "--output=json", "--image-opts", options)
    described = json.loads(info)
    if form == "VMDK":
        kind = described.get("format-specific", {}).get("data", {}).get("create-type")
        # https://docs.aws.amazon.com/vm-import/latest/userguide/vmie_prereqs.html: "stream-optimized VMDK" only.
        if kind != "streamOptimized":
            raise UnusableDisk(f"ClientError: Disk validation failed [Unsupported VMDK type {kind}]")
    size = int(described["virtual-size"])
    if size > MAX_IMPORT:
        raise UnusableDisk("ClientError: Disk validation failed [The disk is too large]")
    _run("convert", "-O", "raw", "-S", "4k", "--image-opts", options, str(target))
    return size


def _options(source: Path, form: str) -> str:
    if form == "VHD":
        # The size is the one in the footer, not the one that the geometry there comes to.
        return f"driver=vpc,force_size_calc=current_size,file.driver=file,file.filename={source}"
    return f"driver=vmdk,file.driver=file,file.filename={source}"


def _run(*words: str) -> str:
    done = subprocess.run(["qemu-img", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        # The words of a task that was given a file of another format (osbuild/osbuild-composer#706).
        raise UnusableDisk("ClientError: Disk validation failed [Unsupported specified file format]")
    return done.stdout
