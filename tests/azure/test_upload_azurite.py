# SPDX-License-Identifier: Apache-2.0
"""Page blobs written into Azurite, Microsoft's own emulator, which tells each write as a range of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from lkcloud.errors import UsageError
from lkcloud.provider import Run
from lkcloud_azure.page_blobs import BlobPlace
from lkcloud_azure.sandbox import AzureStandIn
from lkcloud_azure.session import Session
from lkcloud_azure.storage import account, service
from tests.azure.pushing import MIB, DiskMaker, OtherMachine, assert_same_bytes, noise, options_of, upload
from tests.azure_standin import SHORT


@pytest.fixture(scope="module")
def with_azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AzureStandIn]:
    """Return a stand-in whose blobs are Azurite's."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("LKCLOUD_SANDBOX_BLOBS", "azurite")
        try:
            stand_in = AzureStandIn(tmp_path_factory.mktemp("azure-with-azurite"))
        except UsageError as missing:
            pytest.skip(missing.message)
    stand_in.windows.operation = SHORT.operation
    stand_in.start()
    yield stand_in
    stand_in.stop()


@pytest.fixture
def emulated(with_azurite: AzureStandIn, monkeypatch: pytest.MonkeyPatch, own_folders: Path) -> Session:
    """Return a session with that stand-in."""
    for variable, value in with_azurite.environment().items():
        monkeypatch.setenv(variable, value)
    return Session(resource_manager=with_azurite.environment()["LKCLOUD_AZURE_RESOURCE_MANAGER"])


def test_the_bytes_arrive(
    with_azurite: AzureStandIn, emulated: Session, make_disk: DiskMaker, run: Run, tmp_path: Path
) -> None:
    pieces = {number * 300_000: noise(number, 5_000) for number in range(100)}
    disk = make_disk(48 * MIB + 777, pieces={**pieces, 36 * MIB: noise(1, 9 * MIB), 48 * MIB: b"end"})
    blob = upload(emulated, disk, run, method="blob")
    assert_same_bytes(with_azurite, blob, disk, tmp_path)
    sent = run.tally.sent
    with OtherMachine(tmp_path) as other:
        assert upload(emulated, disk, other, method="blob") == blob
        assert other.tally.sent == 0
    assert sent > 9 * MIB


def test_what_nobody_sent_is_cleared(
    with_azurite: AzureStandIn, emulated: Session, make_disk: DiskMaker, run: Run, tmp_path: Path
) -> None:
    disk = make_disk(24 * MIB, pieces={8 * MIB: noise(3, MIB)})
    options = options_of()
    digest = disk.content().digest
    blobs = service(emulated, account(emulated, options))
    place = BlobPlace.at(emulated, blobs, options.container, f"lkcloud-other-{digest[:16]}.vhd")
    place.make(size=24 * MIB + 512, image="other", digest=digest)
    place.client.upload_page(b"\7" * 1024, 4 * MIB, 1024)
    blob = upload(emulated, disk, run, method="blob", name="other")
    assert_same_bytes(with_azurite, blob, disk, tmp_path)
