# SPDX-License-Identifier: Apache-2.0
"""The folder of images: what is where in it, and what is said when it cannot be used.

    FOLDER/NAME/disk.raw, image.json     an image
    FOLDER/.work/NAME@DIGEST/            an upload; whole if it has an image.json
    FOLDER/.work/NAME@deleted-XXXXXXXX/  an image that is being deleted
    FOLDER/.work/NAME@machine-XXXXXXXX/  the console of a test machine, and its copy of the firmware

What is begun is in `.work` and goes to its place, or comes from there, by one rename: an image is there as a whole or
not at all, whenever a process is killed, and what a dead one has left is in one place that holds nothing else.
"""

import errno
import re
import secrets
import shlex
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import platformdirs
from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from lkcloud.errors import LkcloudError, Refused
from lkcloud_qemu.options import Architecture, Bus, Firmware

CLOUD = "local"
DISK = "disk.raw"
DOCUMENT = "image.json"

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,127}")
"""What can be a name: one part of a path on every file system, hidden on none, with room for a digest behind it."""


def _in_utc(when: datetime) -> datetime:
    """Return WHEN with a time zone, without which it could not be compared: somebody has written it by hand."""
    return when if when.tzinfo else when.replace(tzinfo=UTC)


class Document(BaseModel):
    """What `image.json` says of an image; fields that a later lkcloud has added are left alone by this one."""

    model_config = ConfigDict(frozen=True, extra="allow")

    version: Literal[1] = 1
    name: str
    digest: str
    size: int
    """Bytes."""
    created: Annotated[datetime, AfterValidator(_in_utc)]
    architecture: Architecture
    firmware: Firmware
    bus: Bus
    family: str = ""
    description: str = ""
    tags: dict[str, str] = {}
    """Whatever somebody wants to note; `lkcloud show` prints them."""


@dataclass(frozen=True, slots=True)
class Folder:
    """The folder at PATH, which need not be there yet."""

    path: Path

    @classmethod
    def chosen(cls, path: Path | None) -> "Folder":
        """Return the folder at PATH, or that of the user (https://specifications.freedesktop.org/basedir-spec/)."""
        return cls((path or Path(platformdirs.user_data_dir("lkcloud")) / "images").expanduser().absolute())

    @property
    def work(self) -> Path:
        """Where what is unfinished is."""
        return self.path / ".work"

    def image(self, name: str) -> Path:
        """Return where the image NAME is."""
        return self.path / name

    def upload(self, name: str, digest: str) -> Path:
        """Return where the upload of the content DIGEST for the image NAME is."""
        return self.work / f"{name}@{digest}"

    def new(self, name: str, what: Literal["deleted", "machine"]) -> Path:
        """Return a place in `.work` that nothing has yet, and make `.work`."""
        self.make()
        return self.work / f"{name}@{what}-{secrets.token_hex(4)}"

    def make(self) -> None:
        """Make the folder, which others need not read."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.work.mkdir(mode=0o700, exist_ok=True)

    @contextmanager
    def explained(self, doing: str, *, may: Literal["read", "write"] = "write") -> Iterator[None]:
        """Raise what the file system says while DOING something as an error of ours; MAY is what one must be let do."""
        try:
            yield
        except OSError as error:
            what = f"{CLOUD}: {doing}: {error.strerror or error} ({error.filename or self.path})"
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise LkcloudError(what, hint=f"make room in {self.path}, or give another --folder") from error
            if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
                raise Refused(what, hint=f"give a --folder that you may {may}") from error
            raise LkcloudError(what, hint=f"look at {self.path}, or give another --folder") from error


def read(place: Path) -> Document | None:
    """Return the document of the image or upload at PLACE, None if there is none, or PLACE is a symbolic link.

    What a link leads to is somebody else's, and not ours to delete. Raises LkcloudError for a document that cannot be
    read, and OSError.
    """
    if place.is_symlink():
        return None
    file = place / DOCUMENT
    try:
        return Document.model_validate_json(file.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise LkcloudError(
            f"{CLOUD}: {file} is damaged: {f'{where}: ' if where else ''}{first['msg']}",
            hint=f"mend it, or remove the image: rm -r {shlex.quote(str(place))}",
        ) from error


def damage(place: Path, document: Document) -> str:
    """Return what is wrong with the disk of the image or upload at PLACE, as far as its size tells; "" if nothing is.

    Its content is not read again, which takes as long as a push. Raises OSError.
    """
    try:
        found = (place / DISK).lstat()
    except FileNotFoundError:
        return "missing"
    if not stat.S_ISREG(found.st_mode):
        return "no regular file"
    return "" if found.st_size == document.size else f"{found.st_size} bytes, not {document.size}"
