# SPDX-License-Identifier: Apache-2.0
"""What runs have left on this machine: images in the cache, uploads that the journal remembers, journals put aside.

None of it is needed: without it bytes travel, or images are unpacked, once more.
"""

from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from lkcloud.disk import kept
from lkcloud.paths import cache_dir, state_dir
from lkcloud.provider import Blob
from lkcloud.transfer.journal import Journal

CACHED = "cached-image"
TRANSFER = "unfinished-upload"
ASIDE = "damaged-journal"

_FOLDERS = ("unpacked", "fetched")
"""Of the cache; the digests there are small, and see to themselves."""


class ThisMachine:
    """This machine, as far as `lkcloud.life.collect` asks of a cloud."""

    name = "this-machine"
    """No cloud is called that."""

    def leftovers(self, name: str) -> Iterator[Blob]:
        """Yield what is there, with the time of its last use; of uploads, which have none, that of their beginning."""
        del name
        for folder in _FOLDERS:
            for entry in kept.entries(cache_dir() / folder):
                yield _blob(entry, CACHED)
        for path in sorted(state_dir().glob("journal.db.*.old")):
            yield _blob(path, ASIDE)
        with Journal.open() as journal:
            for key, begun in journal.unfinished():
                yield Blob(ThisMachine.name, "", key, TRANSFER, created=datetime.fromtimestamp(begun, UTC))

    def delete(self, resource: Blob) -> None:
        """Remove something; what is gone, or in use, is no error. Raises Conflict for an upload that goes on."""
        if resource.kind == TRANSFER:
            with Journal.open() as journal, journal.transfer(resource.id) as transfer:
                transfer.forget()
        elif resource.kind == CACHED:
            kept.remove_unused(Path(resource.id))
        else:
            with suppress(FileNotFoundError):
                Path(resource.id).unlink()


def _blob(path: Path, kind: str) -> Blob:
    used = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    return Blob(ThisMachine.name, "", str(path), kind, created=used)
