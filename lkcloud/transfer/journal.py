# SPDX-License-Identifier: Apache-2.0
"""What unfinished uploads have got done, kept on disk so that the next run goes on where this one stopped.

The journal is a hint and the cloud is the truth: a journal that is lost costs bytes sent again, never a wrong image.
Format and guarantees: docs/transfers.md.
"""

import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from lkcloud.errors import LkcloudError
from lkcloud.paths import state_dir
from lkcloud.transfer.locks import exclusive, waiting

_APPLICATION = 0x6C6B636A
"""SQLite's application_id of our file (`lkcj`): https://www.sqlite.org/pragma.html#pragma_application_id"""
_SCHEMA = 1
_BUSY = 30.0
"""Seconds to wait while another process writes; a commit takes well under a millisecond."""
_KEPT = 90 * 24 * 3600
"""Seconds from its beginning for which an unfinished upload is remembered."""

_TABLES = """
CREATE TABLE transfer (
    id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, handle TEXT NOT NULL, begun REAL NOT NULL
);
CREATE TABLE receipt (
    transfer INTEGER NOT NULL, part INTEGER NOT NULL, receipt TEXT NOT NULL, PRIMARY KEY (transfer, part)
) WITHOUT ROWID;
CREATE TRIGGER forget AFTER DELETE ON transfer BEGIN DELETE FROM receipt WHERE transfer = old.id; END;
"""


class Journal:
    """The uploads that are not finished, in one SQLite file that several threads and processes may use at once."""

    def __init__(self, path: Path, connection: sqlite3.Connection, note: str) -> None:
        self.path = path
        self.note = note
        """What the user should know of the opening: that a file was moved aside; "" if all was well."""
        self._connection = connection
        self._lock = threading.Lock()

    @classmethod
    def open(cls, path: Path | None = None) -> Self:
        """Open the journal, or begin one; a file that is not a journal of this version is renamed and `note` says so.

        Raises LkcloudError where the folder cannot be written.
        """
        try:
            path = path or state_dir() / "journal.db"
            (path.parent / "locks").mkdir(mode=0o700, parents=True, exist_ok=True)
            with waiting(path.with_name("journal.lock")):
                try:
                    return cls(path, _connect(path), "")
                except _UnusableError as error:
                    aside = _move_aside(path)
                    note = f"the journal {path} {error}: it is now {aside.name}, and unfinished uploads begin again"
                    return cls(path, _connect(path), note)
        except (OSError, sqlite3.Error, _UnusableError) as error:
            raise _unwritable(path, error) from error

    def close(self) -> None:
        """Close the file; again is no error."""
        with self._lock:
            self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @contextmanager
    def transfer(self, key: str) -> "Iterator[Transfer]":
        """Hold the upload called KEY for the length of the context.

        Raises Conflict at once if another run holds it. The kernel lets go of it when a process dies.
        """
        with exclusive(self.path.parent / "locks", key):
            transfer = Transfer(self, key)
            try:
                yield transfer
            finally:
                transfer.release()

    def unfinished(self) -> list[tuple[str, float]]:
        """Return the keys of the uploads that are remembered and when each began, seconds since 1970, oldest first."""
        rows = self.fetch("SELECT key, begun FROM transfer ORDER BY begun, key")
        return [(str(key), float(str(begun))) for key, begun in rows]

    def fetch(self, statement: str, *values: str | float) -> list[tuple[object, ...]]:
        """Run one STATEMENT as a transaction of its own, and return its rows."""
        with self._lock, self._explained():
            return self._connection.execute(statement, values).fetchall()

    def write(self, statement: str, rows: list[tuple[int, int, str]]) -> None:
        """Run STATEMENT for each of ROWS in one transaction; a killed process cannot lose it once this returns."""
        with self._lock, self._explained():
            if len(rows) == 1:
                self._connection.execute(statement, rows[0])
                return
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                self._connection.executemany(statement, rows)
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            if _is_damage(error):
                raise LkcloudError(
                    f"the journal {self.path} was damaged during the run",
                    hint="remove it and run the same command again",
                ) from error
            raise _unwritable(self.path, error) from error


class Transfer:
    """One unfinished upload; from `Journal.transfer`."""

    def __init__(self, journal: Journal, key: str) -> None:
        self._journal = journal
        self._key = key
        self._id: int | None = None
        self.handle: str | None = None
        """The cloud's id of the unfinished upload, such as a snapshot id; None before `begin`."""
        for identity, handle in journal.fetch("SELECT id, handle FROM transfer WHERE key = ?", key):
            self._id, self.handle = int(str(identity)), str(handle)

    def begin(self, handle: str) -> None:
        """Remember the cloud's HANDLE; receipts of another handle are forgotten."""
        if handle == self.handle:
            return
        self.forget()
        rows = self._journal.fetch(
            "INSERT INTO transfer (key, handle, begun) VALUES (?, ?, ?) RETURNING id", self._key, handle, time.time()
        )
        self._id, self.handle = int(str(rows[0][0])), handle

    def receipts(self) -> Mapping[int, str]:
        """Return the receipt of each part that has arrived, by part number."""
        return dict(self._receipts())

    def record(self, part: int, receipt: str) -> None:
        """Remember that PART has arrived; kill -9 cannot undo it once this returns."""
        self.record_all({part: receipt})

    def record_all(self, receipts: Mapping[int, str]) -> None:
        """Remember many receipts in one transaction, at a small part of the cost of one each."""
        if self._id is None:
            raise RuntimeError("a receipt before begin(), or after the transfer was forgotten or released")
        identity = self._id
        self._journal.write(
            "INSERT OR REPLACE INTO receipt (transfer, part, receipt) VALUES (?, ?, ?)",
            [(identity, part, receipt) for part, receipt in receipts.items()],
        )

    def forget(self) -> None:
        """Remember nothing of this upload: it is finished, or removed."""
        if self._id is not None:
            self._journal.fetch("DELETE FROM transfer WHERE id = ?", self._id)
        self.release()

    def release(self) -> None:
        """Take no further receipts."""
        self._id = self.handle = None

    def _receipts(self) -> Iterator[tuple[int, str]]:
        if self._id is not None:
            for part, receipt in self._journal.fetch("SELECT part, receipt FROM receipt WHERE transfer = ?", self._id):
                yield int(str(part)), str(receipt)


class _UnusableError(Exception):
    """The file is there and is no journal of this version."""


def _connect(path: Path) -> sqlite3.Connection:
    # Who reads the address of an unfinished upload may write to it: this is for its owner alone, in any folder.
    path.touch(mode=0o600)
    connection = sqlite3.connect(path, timeout=_BUSY, isolation_level=None, check_same_thread=False)
    try:
        _prepare(connection)
    except sqlite3.DatabaseError as error:
        connection.close()
        if _is_damage(error):
            raise _UnusableError("is damaged") from error
        raise
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare(connection: sqlite3.Connection) -> None:
    application, schema = (
        connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")
    )
    tables = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    if tables and application != _APPLICATION:
        raise _UnusableError("is a database of something else")
    if tables and schema != _SCHEMA:
        raise _UnusableError("was written by another version of lkcloud")
    if connection.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
        raise _UnusableError("is damaged")
    # WAL with NORMAL: a commit is in the kernel's hands when it returns, so it outlives the process (though not a
    # power cut) without an fsync: https://www.sqlite.org/pragma.html#pragma_synchronous
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    if not tables:
        pragmas = f"PRAGMA application_id = {_APPLICATION}; PRAGMA user_version = {_SCHEMA};"
        connection.executescript(f"BEGIN IMMEDIATE; {_TABLES} {pragmas} COMMIT;")
    connection.execute("DELETE FROM transfer WHERE begun < ?", (time.time() - _KEPT,))


def _is_damage(error: sqlite3.DatabaseError) -> bool:
    # The low byte is the error, the rest says where it was found: https://www.sqlite.org/rescode.html
    return error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT)


def _move_aside(path: Path) -> Path:
    aside = path.with_name(f"{path.name}.{time.strftime('%Y%m%dT%H%M%S')}.old")
    path.replace(aside)
    for tail in ("-wal", "-shm"):
        path.with_name(path.name + tail).unlink(missing_ok=True)
    return aside


def _unwritable(path: Path | None, error: Exception) -> LkcloudError:
    where = path.parent if path else "state folder"
    return LkcloudError(
        f"the journal of uploads cannot be kept in {where}: {error}".rstrip("."),
        hint="make that folder writable and give it space, or name another one in LKCLOUD_STATE_DIR",
    )
