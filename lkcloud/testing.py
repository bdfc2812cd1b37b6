# SPDX-License-Identifier: Apache-2.0
"""The suite that every provider passes: subclass `ProviderContract` in your tests and give it a provider.

    class TestHetzner(ProviderContract):
        sdk = ("hcloud",)

        @pytest.fixture
        def provider(self) -> Provider: ...

It runs against a real account or a strict stand-in of the cloud; everything it makes is called lkcloud-contract-...
"""

import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import ClassVar

import pytest

from lkcloud import pipeline
from lkcloud.boot import Expectation, boot_test
from lkcloud.disk import BLOCK, Disk, open_disk
from lkcloud.disk.inspect import inspect
from lkcloud.errors import Conflict, ImageChanged, LkcloudError
from lkcloud.provider import (
    Copies,
    Deprecates,
    Deprecation,
    Holds,
    Image,
    Launches,
    Leaves,
    Lists,
    Loads,
    Promotes,
    Provider,
    Run,
    Shares,
    Source,
    Status,
    Withdraws,
)
from lkcloud.reporting import Meter, Silent
from lkcloud.sandbox.tinydisk import write_tiny_disk
from lkcloud.transfer.journal import Journal

MESSAGE = "lkcloud-contract-boot-ok"

CLOCKS = timedelta(minutes=2)
"""How far the clocks of the cloud and of this machine may be apart."""


class CutOff(Silent):
    """A reporter that interrupts the run, as Ctrl-C does, when AFTER bytes of a stage called TITLE are done."""

    def __init__(self, title: str, after: int) -> None:
        self.title, self.after = title, after

    @contextmanager
    def stage(self, title: str) -> Iterator[Meter]:
        """Count the bytes of the stage."""
        yield _CuttingMeter(self.after if title == self.title else sys.maxsize)


class _CuttingMeter:
    def __init__(self, after: int) -> None:
        self._left = after

    def expect(self, total: int, done: int = 0) -> None:
        del total, done

    def advance(self, amount: int) -> None:
        self._left -= amount
        if self._left <= 0:
            raise KeyboardInterrupt

    def status(self, text: str) -> None:
        del text


class ProviderContract:
    """What `lkcloud.provider.Provider` promises, as tests."""

    sdk: ClassVar[tuple[str, ...]] = ()
    """Top-level modules of the cloud's SDK, which importing the provider must not import."""

    shows_unfinished: ClassVar[bool] = True
    """Whether the cloud lists an upload that has not ended.

    Some do not: a resumable upload of Cloud Storage is known to who has its URL, costs nothing and ends by itself.
    """

    @pytest.fixture
    def provider(self) -> Provider:
        """Return the provider under test, pointed at an account or a stand-in."""
        raise NotImplementedError("give the suite a provider")

    @pytest.fixture
    def copying(self) -> Provider | None:
        """Return the provider with options that name places to copy to, None if it can copy nothing."""
        return None

    @pytest.fixture
    def name(self, provider: Provider) -> Iterator[str]:
        """Return a name that nothing has yet; all that gets it is deleted in the end."""
        name = f"lkcloud-contract-{uuid.uuid4().hex[:12]}"
        yield name
        if image := provider.find(name):
            provider.delete(image)
        if isinstance(provider, Leaves):
            for blob in provider.leftovers(name):
                provider.delete(blob)

    @pytest.fixture
    def disk(self, tmp_path: Path) -> Iterator[Disk]:
        """Return a disk that boots, with some data behind its file system."""
        path = tmp_path / "contract.raw"
        write_tiny_disk(path, size=64 << 20, message=MESSAGE)
        with path.open("r+b") as file:
            for block in range(48, 56):
                file.seek(block * BLOCK)
                file.write(bytes([block]) * BLOCK)  # whole blocks: some providers count blocks, others bytes
        with open_disk(path) as opened:
            yield opened

    @pytest.fixture
    def run(self) -> Iterator[Run]:
        """Return a run with a journal of its own."""
        with Journal.open() as journal:
            yield Run(journal=journal)

    def test_import_leaves_the_sdk_alone(self, provider: Provider) -> None:
        """Importing a provider, which every help does, imports no SDK."""
        module = type(provider).__module__.partition(".")[0]
        code = f"import sys, {module}; print(*(name for name in {self.sdk!r} if name in sys.modules))"
        out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
        assert out.stdout.strip() == ""

    def test_load_leaves_nothing_for_later(self, provider: Provider) -> None:
        """Once it has loaded what it needs, threads that use a provider import nothing big at the same time."""
        if not isinstance(provider, Loads):
            pytest.skip("this provider imports nothing late")
        kind = type(provider)
        package = kind.__module__.partition(".")[0]
        code = (
            f"import sys, pkgutil, {package}, {kind.__module__} as its; from lkcloud import registry\n"
            f"registry.load_all(its.{kind.__name__}())\n"
            f"own = [m.name for m in pkgutil.iter_modules({package}.__path__, '{package}.') if not m.ispkg]\n"
            f"print(*(name for name in [*own, *{self.sdk!r}] if name not in sys.modules))"
        )
        out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
        assert out.stdout.strip() == ""

    def test_options_are_described_and_frozen(self, provider: Provider) -> None:
        """Each option has a description, and the options survive being written and read."""
        model = type(provider.options)
        assert [name for name, field in model.model_fields.items() if not field.description] == []
        assert model.model_config.get("frozen") is True
        assert model.model_config.get("extra") == "forbid"
        assert model.model_validate(provider.options.model_dump(exclude_unset=True)) == provider.options

    def test_findings_have_hints(self, provider: Provider, disk: Disk) -> None:
        """A name that no cloud takes is refused offline, with something to do."""
        bad = Source(disk=disk, name="\n" * 300, facts=inspect(disk))
        findings = list(provider.validate(bad))
        assert any(finding.obstacle for finding in findings)
        assert all(finding.problem and finding.hint for finding in findings)

    def test_empty_disk_is_refused(self, provider: Provider, name: str, run: Run, tmp_path: Path) -> None:
        """A disk without a byte makes no image."""
        path = tmp_path / "empty.raw"
        path.touch()
        with open_disk(path) as empty, pytest.raises(LkcloudError) as caught:
            pipeline.push(provider, empty, name=name, run=run)
        assert caught.value.exit_code == 2

    def test_plan_makes_nothing(self, provider: Provider, disk: Disk, name: str, run: Run) -> None:
        """A dry run finds nothing in the way and leaves nothing behind."""
        planned = pipeline.plan(provider, disk, name=name, run=run)
        assert planned.possible
        assert not planned.done
        assert provider.find(name) is None
        assert self._left(provider, name) == []

    def test_push_twice_makes_one_image(self, provider: Provider, disk: Disk, name: str, run: Run) -> None:
        """The second push sends nothing and returns the first one's image, which `find` and `get` know as well."""
        assert provider.find(name) is None
        first = pipeline.push(provider, disk, name=name, run=run)
        again = pipeline.push(provider, disk, name=name, run=run)
        assert first.made
        assert first.sent > 0
        assert (again.made, again.sent) == (False, 0)
        assert first.image.ready
        assert first.image.digest == disk.content().digest
        assert again.image == provider.find(name) == provider.get(first.image.id)
        assert again.image.id == first.image.id
        assert self._left(provider, name) == []

    def test_upload_twice_is_one_upload(self, provider: Provider, disk: Disk, name: str, run: Run) -> None:
        """An upload that is done already is found and not done again."""
        source = self._source(disk, name)
        assert provider.upload(source, run).id == provider.upload(source, run).id

    def test_other_content_is_a_conflict(
        self, provider: Provider, disk: Disk, name: str, run: Run, tmp_path: Path
    ) -> None:
        """The same name with other content is an error, unless the old image is to be replaced."""
        first = pipeline.push(provider, disk, name=name, run=run)
        other = tmp_path / "other.raw"
        write_tiny_disk(other, size=8 << 20, message="other")
        with open_disk(other) as changed:
            with pytest.raises(Conflict) as caught:
                pipeline.push(provider, changed, name=name, run=run)
            assert "--replace" in caught.value.hint
            second = pipeline.push(provider, changed, name=name, run=run, replacing=True)
        assert second.image.digest != first.image.digest
        # Where an image's id is its name, the id is the new image's now.
        again = second.image if second.image.id == first.image.id else None
        assert provider.get(first.image.id) == again
        assert provider.find(name) == second.image

    def test_interrupted_upload_goes_on(self, provider: Provider, disk: Disk, name: str, run: Run) -> None:
        """After an interruption the same push makes one image and leaves nothing else."""
        with pytest.raises(KeyboardInterrupt):
            pipeline.push(provider, disk, name=name, run=replace(run, reporter=CutOff("upload", after=2 * BLOCK)))
        assert provider.find(name) is None
        if isinstance(provider, Leaves):
            assert bool(list(provider.leftovers(name))) == self.shows_unfinished
        pushed = pipeline.push(provider, disk, name=name, run=run)
        assert provider.find(name) == pushed.image
        assert self._left(provider, name) == []

    def test_leftovers_can_be_deleted(self, provider: Provider, disk: Disk, name: str, run: Run) -> None:
        """What an interrupted push left is found by name and can be removed, twice."""
        if not isinstance(provider, Leaves):
            pytest.skip("this provider finds no leftovers")
        with pytest.raises(KeyboardInterrupt):
            pipeline.push(provider, disk, name=name, run=replace(run, reporter=CutOff("upload", after=2 * BLOCK)))
        left = list(provider.leftovers(name))
        assert bool(left) == self.shows_unfinished
        for blob in [*left, *left]:
            provider.delete(blob)
        assert self._left(provider, name) == []
        assert pipeline.push(provider, disk, name=name, run=run).made

    def test_disk_that_changes_is_refused(self, provider: Provider, name: str, run: Run, tmp_path: Path) -> None:
        """A disk that is written to between the digest and the upload makes no image."""
        path = tmp_path / "changing.raw"
        write_tiny_disk(path, size=8 << 20, message="before")
        with open_disk(path) as changing:
            source = self._source(changing, name)
            with path.open("r+b") as file:
                file.seek(7 << 20)
                file.write(b"after")
            with pytest.raises(ImageChanged):
                provider.upload(source, run)
        assert provider.find(name) is None
        assert self._left(provider, name) == []

    def test_delete_twice(self, provider: Provider, disk: Disk, name: str, run: Run) -> None:
        """A deleted image is gone with all it stood on, and deleting it again is no error."""
        image = pipeline.push(provider, disk, name=name, run=run).image
        provider.delete(image)
        provider.delete(image)
        assert provider.find(name) is None
        assert provider.get(image.id) is None
        assert self._left(provider, name) == []

    def test_lists_what_it_made(self, provider: Provider, disk: Disk, name: str, run: Run) -> None:
        """A list has the image once, with its digest."""
        if not isinstance(provider, Lists):
            pytest.skip("this provider cannot list images")
        image = pipeline.push(provider, disk, name=name, run=run).image
        assert [found for found in provider.images() if found.name == name] == [image]

    def test_copies(self, copying: Provider | None, disk: Disk, name: str, run: Run) -> None:
        """A copy is an image elsewhere with the same name and content, made once, and deleted as any other."""
        if copying is None:
            pytest.skip("this provider cannot copy images")
        assert isinstance(copying, Copies)
        image = pipeline.push(copying, disk, name=name, run=run).image
        copies = copying.copy(image, run)
        try:
            assert copies
            assert len({image.region, *(one.region for one in copies)}) == 1 + len(copies)
            for one in copies:
                assert one.ready
                assert (one.name, one.digest, one.tags) == (image.name, image.digest, image.tags)
            assert copying.copy(image, run) == copies
        finally:
            for one in (*copies, *copies):
                copying.delete(one)
        assert copying.get(image.id) == image

    def test_leftovers_have_dates(self, provider: Provider, disk: Disk, name: str, run: Run) -> None:
        """Of what an interrupted push left it is known how old it is, at least."""
        if not isinstance(provider, Leaves) or not self.shows_unfinished:
            pytest.skip("this provider finds no leftovers")
        began = datetime.now(UTC)
        with pytest.raises(KeyboardInterrupt):
            pipeline.push(provider, disk, name=name, run=replace(run, reporter=CutOff("upload", after=2 * BLOCK)))
        left = [blob for blob in provider.leftovers("") if blob.name == name]
        assert left
        for blob in left:
            assert blob.created is not None
            assert began - CLOCKS < blob.created < datetime.now(UTC) + CLOCKS

    def test_withdrawn_and_taken_back(self, provider: Provider, disk: Disk, name: str, run: Run) -> None:
        """What is withdrawn has a date, keeps it, leads nobody to it, and can be taken back and deleted."""
        if not isinstance(provider, Withdraws):
            pytest.skip("this provider cannot withdraw images")
        image = pipeline.push(provider, disk, name=name, run=run).image
        assert image.withdrawn is None
        began = datetime.now(UTC)
        provider.withdraw(image, run)
        marked = provider.get(image.id)
        assert marked is not None
        assert marked.withdrawn is not None
        assert began - CLOCKS < marked.withdrawn < datetime.now(UTC) + CLOCKS
        provider.withdraw(marked, run)
        assert provider.find(name) == marked
        with pytest.raises(Conflict):
            pipeline.push(provider, disk, name=name, run=run)
        if isinstance(provider, Shares):
            with pytest.raises(Conflict):
                provider.share(marked, run)
        if isinstance(provider, Promotes):
            with pytest.raises(Conflict):
                provider.promote(marked, run)
        if isinstance(provider, Copies):
            with pytest.raises(Conflict):
                provider.copy(marked, run)
        assert isinstance(provider, Deprecates), "what is withdrawn is taken back by `deprecate`"
        provider.deprecate(marked, Deprecation(Status.ACTIVE), run)
        again = provider.get(image.id)
        assert again is not None
        assert (again.withdrawn, again.ready, again.digest) == (None, True, image.digest)
        provider.withdraw(again, run)
        provider.delete(again)
        assert provider.get(image.id) is None

    def test_nothing_holds_an_image_that_nobody_uses(self, provider: Provider, disk: Disk, name: str, run: Run) -> None:
        """A new image that nothing was made of can go."""
        if not isinstance(provider, Holds):
            pytest.skip("this provider cannot tell what uses an image")
        image = pipeline.push(provider, disk, name=name, run=run).image
        assert list(provider.holds([image])) == []

    def test_boots(self, provider: Provider, disk: Disk, name: str, run: Run) -> None:
        """A machine made from the image prints on its console what the disk says, and can be removed twice."""
        if not isinstance(provider, Launches):
            pytest.skip("this provider cannot boot a machine")
        image: Image = pipeline.push(provider, disk, name=name, run=run).image
        booted = boot_test(provider, image, run=run, expectation=Expectation((MESSAGE,), timeout=120, every=0.5))
        assert MESSAGE in booted.line
        machine = provider.launch(image, run)
        machine.terminate()
        machine.terminate()
        assert machine.state() == "stopped"

    def _source(self, disk: Disk, name: str) -> Source:
        return Source(disk=disk, name=name, facts=inspect(disk), digest=disk.content().digest)

    def _left(self, provider: Provider, name: str) -> list[str]:
        """Return the ids of what unfinished pushes of NAME have left."""
        return [blob.id for blob in provider.leftovers(name)] if isinstance(provider, Leaves) else []
