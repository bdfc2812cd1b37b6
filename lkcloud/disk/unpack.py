# SPDX-License-Identifier: Apache-2.0
"""Keeps compressed and virtual-machine images as sparse raw files in the cache folder.

An image is `unpacked/<key>/disk.raw`, its key made from the state of its file, so one that was written to gets a new
one. How such entries are kept: `lkcloud.disk.kept`.
"""

import errno
import hashlib
import os
from pathlib import Path

from lkcloud.disk.decompress import decompress
from lkcloud.disk.detect import RAW_FORMS, Form, detect, disk_bytes
from lkcloud.disk.identity import Identity
from lkcloud.disk.kept import new_folder, open_kept, remove_old, settle
from lkcloud.disk.qemu_img import convert
from lkcloud.errors import ImageChanged, LkcloudError, UnusableImage
from lkcloud.paths import cache_dir
from lkcloud.reporting import Meter, Reporter

KEPT = 4
"""How many unpacked images are kept; those used longest ago are removed, unless they are in use."""

LAYERS = 4
"""How many times over an image may be packed, such as a qcow2 in a gzip: there are files that unpack to themselves."""

_DISK = "disk.raw"
_COMPRESSED = (Form.GZIP, Form.XZ, Form.ZSTD)


def open_unpacked(path: Path, form: Form, source: Identity, opened_ns: int, reporter: Reporter) -> int:
    """Return an open file with the raw bytes of the image PATH, which has FORM, unpacking it if that is not done.

    SOURCE is the state of PATH when it was opened, at OPENED_NS. Raises UnusableImage if it cannot be unpacked.
    """
    key = hashlib.sha256(repr(tuple(source)).encode())
    if not source.settled(opened_ns):
        key.update(str(opened_ns).encode())  # its times do not stand for its bytes yet: never found again
    try:
        folder = cache_dir() / "unpacked"
        folder.mkdir(mode=0o700, exist_ok=True)
        final = folder / key.hexdigest()[:32]
        descriptor = open_kept(final)
        if descriptor is None:
            with new_folder(folder) as (new, lock):
                with reporter.stage(f"unpack {path.name}") as meter:
                    _unpack(path, form, new, lock, meter)
                if not source.same_bytes(Identity.of(path)):
                    raise ImageChanged(
                        f"{path} changed while it was unpacked", hint="wait until it is written, then run it again"
                    )
                settle(new, final)
            descriptor = open_kept(final)
        remove_old(folder, KEPT)
    except OSError as error:
        raise _trouble(path, error) from error
    if descriptor is None:
        raise UnusableImage(f"{path} was removed from the cache while it was unpacked", hint="run it again")
    return descriptor


def _unpack(path: Path, form: Form, new: Path, lock: int, meter: Meter) -> None:
    """Unpack PATH, layer by layer, to NEW / _DISK."""
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
                output.rename(new / _DISK)
                return
        finally:
            os.close(descriptor)
        current, form = output, inside
    raise UnusableImage(f"{path} is packed more than {LAYERS} times over", hint="unpack it and give the disk inside")


def _trouble(path: Path, error: OSError) -> LkcloudError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return UnusableImage(
            f"there is no room for the disk that {path} unpacks to",
            hint=f"free space where {_folder_name()} is, or set LKCLOUD_CACHE_DIR to a folder with more",
        )
    return UnusableImage(
        f"cannot unpack {path}: {error.strerror or error}",
        hint="set LKCLOUD_CACHE_DIR to a folder that can be written to, or give a raw image",
    )


def _folder_name() -> str:
    try:
        return str(cache_dir())
    except OSError:
        return "the cache folder"
