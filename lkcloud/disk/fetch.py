# SPDX-License-Identifier: Apache-2.0
"""Keeps images that are objects as files in the cache folder.

An image is `fetched/<key>/<name>`, its key made from its URL and the version that the service says it has, so one that
was written again is fetched again. How such entries are kept: `lkcloud.disk.kept`. Of processes that want the same
object one fetches it, and the others wait.
"""

import errno
import hashlib
import os
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from lkcloud.disk.identity import FINE_TICK_NS
from lkcloud.disk.kept import new_folder, open_kept, remove_old, settle
from lkcloud.disk.objects import Object, State, file_name, open_object, shown
from lkcloud.disk.scan import PIECE
from lkcloud.disk.sparse import write_sparsely
from lkcloud.errors import Conflict, Corrupt, LkcloudError, Unreachable, UnusableImage
from lkcloud.paths import cache_dir
from lkcloud.reporting import Meter, Reporter
from lkcloud.transfer.engine import Limits, Part, send
from lkcloud.transfer.locks import exclusive
from lkcloud.transfer.retry import Verdict

KEPT = 4
"""How many objects are kept; those used longest ago are removed, unless they are in use."""

PART = 8 * 1024 * 1024
"""Bytes that are asked for at once."""

_WORKERS = 8
_PAUSE = 0.5
"""Seconds between two looks whether another process has fetched it."""


def fetched(url: str, reporter: Reporter) -> tuple[Path, int]:
    """Return the file with the bytes of the object URL, and a descriptor that keeps it there while it is open.

    It is there as a whole or not at all: as many bytes as the service says, with its checksum if it has one. Raises
    UsageError, UnusableImage, and what reading it raises.
    """
    source = open_object(url)
    state = source.state()
    name = re.sub(r"[^A-Za-z0-9._-]", "_", file_name(url))[-100:].lstrip(".") or "image"
    # Without a version nothing tells whether it is still the same.
    version = state.version or secrets.token_hex(8)
    entry_key = hashlib.sha256(f"{shown(url)}\n{version}\n{state.size}".encode()).hexdigest()[:32]
    try:
        folder = cache_dir() / "fetched"
        folder.mkdir(mode=0o700, exist_ok=True)
        entry = folder / entry_key
        held = open_kept(entry)
        if held is None:
            with reporter.stage(f"fetch {name}") as meter, _alone(entry_key, meter):
                held = open_kept(entry)  # another process may have been quicker
                if held is None:
                    with new_folder(folder) as (new, _):
                        _fetch(shown(url), source, state, new / name, meter)
                        settle(new, entry)
                    held = open_kept(entry)
        remove_old(folder, KEPT)
        if held is None:
            raise UnusableImage(f"{shown(url)} was removed from the cache while it was fetched", hint="run it again")
        return next(entry.iterdir()), held
    except OSError as error:
        raise _trouble(shown(url), error) from error


@contextmanager
def _alone(key: str, meter: Meter) -> Iterator[None]:
    """Wait until no other process fetches what KEY stands for, and keep others waiting."""
    folder = cache_dir() / "fetching"
    folder.mkdir(mode=0o700, exist_ok=True)
    with ExitStack() as lock:
        while True:
            try:
                lock.enter_context(exclusive(folder, key))
                break
            except Conflict:
                meter.status("another process fetches it")
                time.sleep(_PAUSE)
        yield


def _fetch(called: str, source: Object, state: State, path: Path, meter: Meter) -> None:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.ftruncate(descriptor, state.size)
        meter.expect(state.size)

        def get(part: Part, timeout: float) -> str:
            position = part.offset
            for piece in source.pieces(state, part.offset, part.length, timeout):
                for start in range(0, len(piece), PIECE):
                    write_sparsely(descriptor, piece[start : start + PIECE], position + start)
                position += len(piece)
            if position != part.offset + part.length:
                raise Unreachable(
                    f"{called}: the bytes ended at {position} of {state.size}", hint="run the same command again"
                )
            return ""

        workers = _WORKERS if state.ranges else 1
        send(_parts(state), get, judge=_judge, limits=Limits(workers=workers, start=workers), meter=meter)
        _check(called, state, descriptor)
        os.fsync(descriptor)  # a name that outlives a power cut must not stand for half an object
    finally:
        os.close(descriptor)
    # From then on the file's times stand for its bytes, and what is learnt of it can be remembered.
    time.sleep(FINE_TICK_NS / 1e9)


def _parts(state: State) -> Iterator[Part]:
    length = PART if state.ranges else max(state.size, 1)
    for number, offset in enumerate(range(0, state.size, length)):
        yield Part(number, offset, min(length, state.size - offset))


def _check(called: str, state: State, descriptor: int) -> None:
    """Raise Corrupt if the file is not what the service says it has."""
    if state.checksum is None:
        return
    hasher = state.checksum.hasher()
    for offset in range(0, state.size, PIECE):
        hasher.update(os.pread(descriptor, PIECE, offset))
    if hasher.digest() != state.checksum.expected:
        raise Corrupt(
            f"{called} arrived with other bytes than the service says it has",
            hint="run the same command again; if it stays, check memory and network",
        )


def _judge(error: Exception) -> Verdict:
    return Verdict.TRANSIENT if isinstance(error, Unreachable) else Verdict.FATAL


def _trouble(called: str, error: OSError) -> LkcloudError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return UnusableImage(
            f"there is no room for {called}",
            hint="free space where the cache folder is, or set LKCLOUD_CACHE_DIR to a folder with more",
        )
    return UnusableImage(
        f"cannot keep {called}: {error.strerror or error}",
        hint="set LKCLOUD_CACHE_DIR to a folder that can be written to, or give the path of a file",
    )
