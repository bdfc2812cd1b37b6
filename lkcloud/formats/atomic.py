# SPDX-License-Identifier: Apache-2.0
"""A file that is there as a whole or not at all, and never in the place of one that somebody else made."""

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_NO_NAMELESS = (errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT)
"""What file systems and kernels without O_TMPFILE say."""

_NO_HARD_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS)
"""What file systems without hard links say, FAT and some network shares among them."""


@contextmanager
def whole_file(path: Path, *, replace: bool, flush: bool = True) -> Iterator[int]:
    """Yield the descriptor of a new file that becomes PATH when the context ends well.

    With FLUSH it is on the disk by then: after a power cut the name does not stand for half a file. Until then it has
    no name where the file system can do that, so that not even a killed process leaves anything; elsewhere it has a
    hidden name beside PATH, removed however the context ends. Raises FileExistsError if PATH exists at the end and
    REPLACE is not set (of two processes at once, one wins), and OSError as the file system has it.
    """
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        temporary = f".lkcloud-{secrets.token_hex(8)}"
        file, nameless = _open(temporary, folder)
        try:
            yield file
            if flush:
                os.fsync(file)
            else:
                os.close(os.dup(file))  # network file systems and quotas tell by now that the disk is full
            _publish(f"/proc/self/fd/{file}" if nameless else temporary, temporary, path.name, folder, replace=replace)
            if flush:
                os.fsync(folder)
        finally:
            os.close(file)
            with suppress(FileNotFoundError):
                os.unlink(temporary, dir_fd=folder)
    finally:
        os.close(folder)


def _open(name: str, folder: int) -> tuple[int, bool]:
    """Return a new file for reading and writing, and whether it is nameless; else it is called NAME."""
    if nameless := getattr(os, "O_TMPFILE", 0):
        try:
            file = os.open(".", nameless | os.O_RDWR, 0o666, dir_fd=folder)
        except OSError as error:
            if error.errno not in _NO_NAMELESS:
                raise
        else:
            if Path(f"/proc/self/fd/{file}").exists():
                return file, True
            os.close(file)  # without /proc there is no way to name it later
    return os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666, dir_fd=folder), False


def _publish(source: str, temporary: str, name: str, folder: int, *, replace: bool) -> None:
    """Give the file at SOURCE the name NAME, by way of TEMPORARY where that cannot be done in one step."""
    if not replace:
        if _link(source, name, folder):
            return
        # The claim is exclusive as a link would be; what is then replaced is our own empty file.
        os.close(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, dir_fd=folder))
    try:
        if source != temporary:
            os.link(source, temporary, src_dir_fd=folder, dst_dir_fd=folder)
        os.replace(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        if not replace:
            os.unlink(name, dir_fd=folder)
        raise


def _link(source: str, name: str, folder: int) -> bool:
    """Give SOURCE the name NAME and return True, or False where there are no hard links."""
    try:
        # With a folder given, Python follows the link that /proc/self/fd/N is; without one, it would not.
        os.link(source, name, src_dir_fd=folder, dst_dir_fd=folder)
    except OSError as error:
        if error.errno in _NO_HARD_LINKS:
            return False
        raise
    return True
