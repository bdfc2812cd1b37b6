# SPDX-License-Identifier: Apache-2.0
"""Turns qcow2, VMDK, VHD and VHDX into raw, by `qemu-img`.

An image that points at other files is refused before qemu-img sees it: reading it would bring files of this machine
into the disk (https://qemu-project.gitlab.io/qemu/system/security.html).
"""

import errno
import os
import re
import shutil
import struct
import subprocess
import tempfile
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lkcloud.disk.cut_short import is_cut_short
from lkcloud.disk.detect import Form
from lkcloud.errors import UnusableImage
from lkcloud.reporting import Meter

_DRIVERS = {Form.QCOW2: "qcow2", Form.VMDK: "vmdk", Form.VHD: "vpc", Form.VHDX: "vhdx"}
_QCOW2_EXTERNAL_DATA = 1 << 2
_VHD_DIFFERENCING = 4
_CHECKED = (0, 3, 63)
"""Exit codes of `qemu-img check` for: no errors, room lost but nothing wrong, cannot check this form."""

_VHD_OF_CHS_SIZE = (b"vpc ", b"qemu")
"""The creators whose disks are as large as cylinders x heads x sectors; QEMU would cut the end off others too."""

_PERCENT = re.compile(rb"\((\d+(?:\.\d+)?)/100%\)")


def convert(source: Path, form: Form, output: Path, name: str, meter: Meter, *, held: int) -> None:
    """Write the disk in SOURCE, an absolute path, as a sparse raw file to OUTPUT; METER counts bytes of the disk.

    The open file HELD stays open in qemu-img as long as that runs. Raises UnusableImage, which calls the image NAME,
    if there is no qemu-img or it cannot use the image, and OSError.
    """
    program = shutil.which("qemu-img")
    if program is None:
        raise UnusableImage(
            f"{name} is {form}, and there is no qemu-img to read it with",
            hint="install the Debian package qemu-utils (Fedora: qemu-img), or give a raw image",
        )
    _refuse_other_files(source, form, name)
    size = _virtual_size(program, source, form, name)
    _refuse_damaged(program, source, form, name)
    meter.expect(size)
    command = [program, "convert", "-p", "-O", "raw", *_named(source, form), str(output)]
    with (
        tempfile.TemporaryFile() as complaints,
        subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=complaints, pass_fds=(held,)
        ) as process,
    ):
        try:
            assert process.stdout is not None
            _follow(process.stdout.fileno(), size, meter)
        except BaseException:
            process.kill()
            raise
        if process.wait() != 0:
            complaints.seek(0)
            said = complaints.read()
            if os.strerror(errno.ENOSPC).encode() in said:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            raise _failed(said, form, name)


def _named(source: Path, form: Form) -> list[str]:
    """Return how SOURCE is named to qemu-img; an absolute path is never taken for a protocol."""
    if form is Form.VHD:
        with source.open("rb") as file:
            creator = file.read(32)[28:]
        if creator not in _VHD_OF_CHS_SIZE:
            path = str(source).replace(",", ",,")
            return ["--image-opts", f"driver=vpc,force_size_calc=current_size,file.driver=file,file.filename={path}"]
    return ["-f", _DRIVERS[form], str(source)]


def _follow(descriptor: int, size: int, meter: Meter) -> None:
    """Tell METER of the percentages that come out of DESCRIPTOR."""
    told = 0
    while text := os.read(descriptor, 4096):
        for percent in _PERCENT.findall(text):
            reached = int(size * float(percent) / 100)
            meter.advance(max(reached - told, 0))
            told = max(told, reached)


class _Extent(BaseModel):
    filename: str = ""


class _FormatData(BaseModel):
    model_config = ConfigDict(populate_by_name=True)

    extents: list[_Extent] = []
    data_file: str = Field(default="", alias="data-file")


class _FormatSpecific(BaseModel):
    data: _FormatData = _FormatData()


class _Info(BaseModel):
    """What is used of `qemu-img info --output=json`."""

    virtual_size: int = Field(alias="virtual-size")
    backing_file: str = Field(default="", alias="backing-filename")
    specific: _FormatSpecific = Field(default=_FormatSpecific(), alias="format-specific")

    def other_files(self, source: Path) -> list[str]:
        """Return what else than SOURCE the disk is made of."""
        named = [
            self.backing_file,
            self.specific.data.data_file,
            *(part.filename for part in self.specific.data.extents),
        ]
        return [name for name in named if name and name != str(source)]


def _virtual_size(program: str, source: Path, form: Form, name: str) -> int:
    command = [program, "info", "--output=json", *_named(source, form)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if done.returncode != 0:
        raise _failed(done.stderr, form, name)
    try:
        info = _Info.model_validate_json(done.stdout)
    except ValidationError as error:
        raise UnusableImage(
            f"qemu-img says of {name} what cannot be understood",
            hint="convert it to raw yourself: qemu-img convert -O raw",
        ) from error
    if others := info.other_files(source):
        raise _needs_other_files(name, others[0])
    return info.virtual_size


def _refuse_damaged(program: str, source: Path, form: Form, name: str) -> None:
    """Refuse what `qemu-img convert` would read without a word: it takes what is cut off for zeros."""
    command = [program, "check", *_named(source, form)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if done.returncode not in _CHECKED:
        first = (done.stderr + done.stdout).decode(errors="replace").partition("\n")[0]
        raise UnusableImage(
            f"{name} is damaged: {first.removeprefix('ERROR').removeprefix('qemu-img').lstrip(': ')}",
            hint="download or build it again; `qemu-img check` tells more",
        )
    if is_cut_short(program, _named(source, form), source, form):
        raise UnusableImage(f"{name} was cut short: its end is missing", hint="download or build it again")


def _refuse_other_files(source: Path, form: Form, name: str) -> None:
    with source.open("rb") as file:
        head = file.read(512)
    if form is Form.QCOW2 and len(head) >= 80:
        version, backing = struct.unpack_from(">IQ", head, 4)
        features = struct.unpack_from(">Q", head, 72)[0] if version >= 3 else 0
        if backing or features & _QCOW2_EXTERNAL_DATA:
            raise _needs_other_files(name)
    elif form is Form.VMDK and (head.startswith(b"#") or (head.startswith(b"KDMV") and not any(head[12:20]))):
        # A descriptor in text names the files; with a capacity of 0, QEMU looks for one inside the file.
        raise _needs_other_files(name)
    elif form is Form.VHD and len(head) >= 64 and struct.unpack_from(">I", head, 60)[0] == _VHD_DIFFERENCING:
        raise _needs_other_files(name)


def _needs_other_files(name: str, other: str = "") -> UnusableImage:
    return UnusableImage(
        f"{name} is not a whole disk, it needs " + (f"the file {other}" if other else "other files"),
        hint="make one file of it: qemu-img convert -O raw IMAGE image.raw",
    )


def _failed(complaints: bytes, form: Form, name: str) -> UnusableImage:
    lines = complaints.decode(errors="replace").strip().splitlines()
    said = lines[-1].removeprefix("qemu-img: ").rstrip(".") if lines else "it gives no reason"
    return UnusableImage(
        f"qemu-img cannot read {name} as {form}: {said}", hint="try `qemu-img check` on it, or build it again"
    )
