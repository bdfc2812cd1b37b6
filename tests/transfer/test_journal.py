# SPDX-License-Identifier: Apache-2.0
import os
import resource
import sqlite3
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from lkcloud.errors import Conflict, LkcloudError
from lkcloud.transfer.journal import Journal


def test_what_was_recorded_is_there_for_the_next_run() -> None:
    with Journal.open() as journal, journal.transfer("image") as transfer:
        assert transfer.handle is None
        assert transfer.receipts() == {}
        transfer.begin("snap-1")
        transfer.record(7, "seven")
        transfer.record_all({8: "eight", 9: "", 2**40: 'späte "Quittung"'})
    with Journal.open() as journal, journal.transfer("image") as transfer:
        assert transfer.handle == "snap-1"
        assert transfer.receipts() == {7: "seven", 8: "eight", 9: "", 2**40: 'späte "Quittung"'}
        with journal.transfer("another") as another:
            assert another.handle is None


def test_it_is_in_the_folder_that_the_environment_names() -> None:
    with Journal.open() as journal:
        assert journal.path == Path(os.environ["LKCLOUD_STATE_DIR"]) / "journal.db"
        assert journal.note == ""


def test_nobody_else_may_read_it(tmp_path: Path) -> None:
    """An address of an unfinished upload is as good as a key to it."""
    tmp_path.chmod(0o755)
    with Journal.open(tmp_path / "journal.db") as journal, journal.transfer("x") as transfer:
        transfer.begin("https://storage.googleapis.com/upload?upload_id=secret")
        files = [file for file in tmp_path.iterdir() if file.is_file()]
        assert len(files) > 1
        assert all(file.stat().st_mode & 0o077 == 0 for file in files)


def test_a_transfer_that_is_over_takes_no_receipts() -> None:
    with Journal.open() as journal:
        with journal.transfer("image") as transfer:
            with pytest.raises(RuntimeError):
                transfer.record(1, "before begin")
            transfer.begin("snap-1")
            transfer.forget()
            with pytest.raises(RuntimeError):
                transfer.record(1, "after forget")
            transfer.begin("snap-2")
        with pytest.raises(RuntimeError):
            transfer.record(1, "after the context")
        with journal.transfer("image") as again:
            assert (again.handle, again.receipts()) == ("snap-2", {})


class Transfers(RuleBasedStateMachine):
    """A journal that is closed and opened at any time holds what a plain dictionary holds."""

    keys = st.sampled_from(["a", "b", "c"])

    @initialize()
    def begin_journal(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "journal.db"
        self.journal = Journal.open(self.path)
        self.model: dict[str, tuple[str, dict[int, str]]] = {}

    @rule(key=keys, handle=st.sampled_from(["one", "two"]))
    def begin(self, key: str, handle: str) -> None:
        with self.journal.transfer(key) as transfer:
            transfer.begin(handle)
        if self.model.get(key, ("", {}))[0] != handle:
            self.model[key] = (handle, {})

    @rule(key=keys, receipts=st.dictionaries(st.integers(0, 2**62), st.text(max_size=20), max_size=5))
    def record(self, key: str, receipts: dict[int, str]) -> None:
        if key in self.model:
            with self.journal.transfer(key) as transfer:
                transfer.record_all(receipts)
            self.model[key][1].update(receipts)

    @rule(key=keys)
    def forget(self, key: str) -> None:
        with self.journal.transfer(key) as transfer:
            transfer.forget()
        self.model.pop(key, None)

    @rule()
    def reopen(self) -> None:
        self.journal.close()
        self.journal = Journal.open(self.path)
        assert self.journal.note == ""

    @invariant()
    def they_agree(self) -> None:
        for key in ("a", "b", "c"):
            with self.journal.transfer(key) as transfer:
                handle, receipts = self.model.get(key, (None, {}))
                assert (transfer.handle, transfer.receipts()) == (handle, receipts)

    def teardown(self) -> None:
        self.journal.close()
        self.folder.cleanup()


test_it_holds_what_a_dictionary_holds = Transfers.TestCase
test_it_holds_what_a_dictionary_holds.settings = settings(max_examples=25, stateful_step_count=15, deadline=None)


def test_the_second_to_ask_for_a_transfer_is_refused_at_once() -> None:
    with Journal.open() as one, Journal.open() as two, one.transfer("image"):
        began = time.monotonic()
        with pytest.raises(Conflict, match=f"another run is uploading this .process {os.getpid()}.") as raised:
            two.transfer("image").__enter__()
        assert time.monotonic() - began < 1
        assert "run the same command again" in raised.value.hint
        with two.transfer("another image"):
            pass
    with Journal.open() as three, three.transfer("image"):
        pass


def test_of_many_threads_that_ask_exactly_one_holds_a_transfer() -> None:
    inside: list[int] = []
    most: list[int] = []
    refused: list[Conflict] = []

    def ask() -> None:
        for _ in range(100):
            try:
                with journal.transfer("image"):
                    inside.append(1)
                    most.append(len(inside))
                    inside.pop()
            except Conflict as conflict:
                refused.append(conflict)

    with Journal.open() as journal:
        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert max(most) == 1
    assert len(most) + len(refused) == 800
    assert not list((journal.path.parent / "locks").iterdir())


def test_threads_and_journals_write_at_the_same_time() -> None:
    def write(name: str) -> None:
        with Journal.open() as journal, journal.transfer(name) as transfer:
            transfer.begin(f"handle of {name}")
            for part in range(300):
                transfer.record(part, f"{name} {part}")

    threads = [threading.Thread(target=write, args=(f"image {number}",)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with Journal.open() as journal:
        for number in range(6):
            with journal.transfer(f"image {number}") as transfer:
                assert transfer.receipts() == {part: f"image {number} {part}" for part in range(300)}


def _something_else(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE song (title TEXT)")
    connection.close()


def _of_the_future(path: Path) -> None:
    Journal.open(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()


def _damaged(path: Path) -> None:
    with Journal.open(path) as journal, journal.transfer("image") as transfer:
        transfer.begin("snap-1")
        transfer.record_all(dict.fromkeys(range(5000), "x" * 44))
    content = bytearray(path.read_bytes())
    content[8192:40960] = os.urandom(40960 - 8192)
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda path: path.write_bytes(os.urandom(50000)), "is damaged"),
        (lambda path: path.write_bytes(b"SQLite format 3\0" + os.urandom(2000)), "is damaged"),
        (lambda path: path.write_text("a note of mine"), "is damaged"),
        (_damaged, "is damaged"),
        (_something_else, "something else"),
        (_of_the_future, "another version"),
    ],
    ids=["noise", "half a file", "text", "damaged inside", "other database", "newer"],
)
def test_a_file_that_is_no_journal_is_moved_aside_and_kept(make: object, word: str, tmp_path: Path) -> None:
    assert callable(make)
    path = tmp_path / "journal.db"
    make(path)
    before = path.read_bytes()
    with Journal.open(path) as journal:
        assert word in journal.note
        with journal.transfer("image") as transfer:
            assert transfer.handle is None
            transfer.begin("snap-2")
            transfer.record(1, "x")
    (aside,) = tmp_path.glob("journal.db.*.old")
    assert aside.name in journal.note
    assert aside.read_bytes() == before
    with Journal.open(path) as journal:
        assert journal.note == ""


def test_an_empty_file_is_a_new_journal(tmp_path: Path) -> None:
    (tmp_path / "journal.db").touch()
    with Journal.open(tmp_path / "journal.db") as journal:
        assert journal.note == ""


def test_uploads_that_nobody_goes_on_with_are_forgotten_after_a_season() -> None:
    with Journal.open() as journal:
        for key in ("old", "young"):
            with journal.transfer(key) as transfer:
                transfer.begin("snap-1")
                transfer.record(1, "x")
        with sqlite3.connect(journal.path) as connection:
            connection.execute("UPDATE transfer SET begun = begun - 91 * 86400 WHERE key = 'old'")
        connection.close()
    with Journal.open() as journal:
        with journal.transfer("old") as transfer:
            assert transfer.handle is None
        with journal.transfer("young") as transfer:
            assert transfer.receipts() == {1: "x"}
        with sqlite3.connect(journal.path) as connection:
            assert connection.execute("SELECT count(*) FROM receipt").fetchone() == (1,)
        connection.close()


@pytest.fixture
def folder_of_another() -> Iterator[Path]:
    """A folder that this process cannot write to; as root, by being another user for as long as the test."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o555)
        user = os.geteuid()
        if user == 0:
            os.seteuid(65534)
        try:
            yield folder
        finally:
            os.seteuid(user)
            folder.chmod(0o755)


@pytest.mark.parametrize("below", [".", "state", "a/b/c"])
def test_a_folder_that_cannot_be_written_names_the_variable(
    below: str, folder_of_another: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LKCLOUD_STATE_DIR", str(folder_of_another / below))
    with pytest.raises(LkcloudError, match="cannot be kept") as raised:
        Journal.open()
    assert "LKCLOUD_STATE_DIR" in raised.value.hint


def test_a_file_where_the_folder_should_be_names_the_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("LKCLOUD_STATE_DIR", str(tmp_path / "file"))
    with pytest.raises(LkcloudError, match="cannot be kept") as raised:
        Journal.open()
    assert "LKCLOUD_STATE_DIR" in raised.value.hint


def test_a_full_disk_is_said_and_loses_nothing_that_was_recorded() -> None:
    """The limit on a file's size stands for the disk; SIGXFSZ is ignored by Python itself."""
    with Journal.open() as journal, journal.transfer("image") as transfer:
        transfer.begin("snap-1")
        transfer.record(1, "x")
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
        try:
            with pytest.raises(LkcloudError, match="cannot be kept") as raised:
                transfer.record_all(dict.fromkeys(range(2, 50000), "y" * 100))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert "space" in raised.value.hint
        assert transfer.receipts() == {1: "x"}
        transfer.record(2, "y")
        assert transfer.receipts() == {1: "x", 2: "y"}


def test_two_hundred_thousand_receipts_are_no_burden() -> None:
    receipts = {part: f"{part:044d}" for part in range(200_000)}
    with Journal.open() as journal, journal.transfer("image") as transfer:
        transfer.begin("snap-1")
        began = time.monotonic()
        for first in range(0, 200_000, 1000):
            transfer.record_all({part: receipts[part] for part in range(first, first + 1000)})
        assert time.monotonic() - began < 10
        assert journal.path.stat().st_size < 40e6
    began = time.monotonic()
    with Journal.open() as journal, journal.transfer("image") as transfer:
        assert transfer.receipts() == receipts
        transfer.forget()
        assert transfer.receipts() == {}
    assert time.monotonic() - began < 10


def test_a_receipt_costs_less_than_a_request() -> None:
    """A commit is about 20 us; the bound is far above, so that a busy machine does not fail it."""
    with Journal.open() as journal, journal.transfer("image") as transfer:
        transfer.begin("snap-1")
        began = time.process_time()
        for part in range(5000):
            transfer.record(part, "x" * 44)
        assert (time.process_time() - began) / 5000 < 0.0003
