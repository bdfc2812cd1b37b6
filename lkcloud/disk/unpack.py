# SPDX-License-Identifier: Apache-2.0
"""Unpacks compressed and virtual-machine images to sparse raw files in the cache folder."""

import os
from pathlib import Path

from lkcloud.disk.cached import DISK, cached_disk
from lkcloud.disk.decompress import decompress
from lkcloud.disk.detect import RAW_FORMS, Form, detect, disk_bytes
from lkcloud.disk.identity import Identity
from lkcloud.disk.qemu_img import convert
from lkcloud.errors import ImageChanged, UnusableImage
from lkcloud.reporting import Meter, Reporter

LAYERS = 4
"""How many times over an image may be packed, such as a qcow2 in a gzip: there are files that unpack to themselves."""

_COMPRESSED = (Form.GZIP, Form.XZ, Form.ZSTD)


def open_unpacked(path: Path, form: Form, source: Identity, opened_ns: int, reporter: Reporter) -> int:
    """Return an open file with the raw bytes of the image PATH, which has FORM, unpacking it if that is not done.

    SOURCE is the state of PATH when it was opened, at OPENED_NS. Raises UnusableImage if it cannot be unpacked.
    """

    def make(new: Path, lock: int, meter: Meter) -> None:
        _unpack(path, form, new, lock, meter)
        if not source.same_bytes(Identity.of(path)):
            raise ImageChanged(
                f"{path} changed while it was unpacked", hint="wait until it is written, then run it again"
            )

    times = () if source.settled(opened_ns) else (opened_ns,)
    # Without settled times they do not stand for its bytes yet: never found again.
    return cached_disk(path, (*source, *times), make, kind="unpacked", title="unpack", reporter=reporter)


def _unpack(path: Path, form: Form, new: Path, lock: int, meter: Meter) -> None:
    """Unpack PATH, layer by layer, to NEW / DISK."""
    current = path.absolute()
    for layer in range(LAYERS):
        output = new / f"layer{layer}"
        descriptor = os.open(output, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            if form in _COMPRESSED:
                with current.open("rb") as packed:
                    decompress(packed, form, descriptor, str(path), meter)
                inside = detect(descriptor, os.fstat(descriptor).st_size, f"what {path} holds")
            else:
                convert(current, form, output, str(path), meter, held=lock)
                inside = Form.RAW  # whatever its first bytes are: it is the inside of a disk image
            if layer:
                current.unlink()
            if inside in RAW_FORMS:
                os.ftruncate(descriptor, disk_bytes(inside, os.fstat(descriptor).st_size))
                os.fsync(descriptor)  # a name that outlives a power cut must not stand for half a disk
                output.rename(new / DISK)
                return
        finally:
            os.close(descriptor)
        current, form = output, inside
    raise UnusableImage(f"{path} is packed more than {LAYERS} times over", hint="unpack it and give the disk inside")
