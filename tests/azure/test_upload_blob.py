# SPDX-License-Identifier: Apache-2.0
"""Page blobs: what they are called and say of themselves, and that none of another is written to."""

from pathlib import Path

import pytest

from lkcloud.disk import Disk
from lkcloud.errors import Conflict, Corrupt, NotAuthenticated, NotFound, Refused, UsageError
from lkcloud.provider import Run
from lkcloud_azure import naming, storage
from lkcloud_azure.page_blobs import BlobPlace
from lkcloud_azure.pages import MOST
from lkcloud_azure.sandbox import ACCOUNT, AzureStandIn
from lkcloud_azure.sandbox.own_blobs import OwnBlobs
from lkcloud_azure.sandbox.page_file import PageFile
from lkcloud_azure.sandbox.storage_account import StorageAccount
from lkcloud_azure.sandbox.store import StoredBlob
from lkcloud_azure.session import Session
from tests.azure.pushing import (
    MIB,
    DiskMaker,
    assert_same_bytes,
    blobs,
    counted,
    cut_off,
    noise,
    once,
    options_of,
    others,
    pages,
    upload,
)

PARTS = 6
WRITE = "Microsoft.Storage/storageAccounts/blobServices/containers/write"


@pytest.fixture
def disk(make_disk: DiskMaker) -> Disk:
    """A disk of six parts, the last one of a MiB."""
    return make_disk(40 * MIB, pieces={0: noise(1, 2 * MOST), 16 * MIB: noise(2, 3 * MOST + MIB)})


@pytest.fixture
def place(session: Session, disk: Disk) -> BlobPlace:
    """Where the page blob of the disk will be, in a container that is there."""
    account = storage.account(session, options_of())
    service = storage.service(session, account)
    service.create_container("lkcloud")
    return BlobPlace.at(session, service, "lkcloud", f"{naming.upload_name('image', disk.content().digest)}.vhd")


def account(azure: AzureStandIn) -> StorageAccount:
    (found,) = azure.holdings.every(StorageAccount)
    return found


def touched(azure: AzureStandIn, offset: int = 39 * MIB) -> None:
    """Write to the only blob as something else would."""
    pages(azure, "blob").write(offset, b"\7" * 512)
    blobs(azure)[0].touch()


def test_the_blob_says_what_it_is(azure: AzureStandIn, session: Session, disk: Disk, run: Run) -> None:
    digest = disk.content().digest
    blob = upload(session, disk, run, method="blob")
    (made,) = blobs(azure)
    assert made.name == f"lkcloud-image-{digest[:16]}.vhd"
    assert made.metadata == {"lkcloud_name": "image", "lkcloud_digest": digest, "lkcloud_complete": "yes"}
    assert made.size == 40 * MIB + 512
    assert blob.id == f"{azure.holdings.blobs.endpoint(ACCOUNT)}/lkcloud/{made.name}"
    assert (blob.kind, blob.region, blob.state) == ("page-blob", "westeurope", "complete")


def test_a_blob_that_is_begun_says_so(azure: AzureStandIn, session: Session, disk: Disk, run: Run) -> None:
    cut_off(azure, session, disk, run, 3, method="blob")
    assert blobs(azure)[0].metadata["lkcloud_complete"] == "no"


def test_a_name_of_any_letters_is_found_again(
    azure: AzureStandIn, session: Session, disk: Disk, run: Run, tmp_path: Path
) -> None:
    name = "Bild für Öl, 100 %"
    blob = upload(session, disk, run, method="blob", name=name)
    azure.traffic.clear()
    assert upload(session, disk, run, method="blob", name=name) == blob
    assert counted(azure, "PutPage") == 0
    assert blob.name == name


def test_who_may_make_no_container_can_use_one(
    azure: AzureStandIn, session: Session, disk: Disk, run: Run, place: BlobPlace, tmp_path: Path
) -> None:
    azure.windows.denied_actions = (WRITE,)
    assert_same_bytes(azure, upload(session, disk, run, method="blob"), disk, tmp_path)
    with pytest.raises(Refused, match="not authorized") as caught:
        upload(session, disk, run, method="blob", container="other")
    assert "Storage Blob Data Contributor" in caught.value.hint


def test_a_container_that_is_being_deleted_is_waited_for(
    azure: AzureStandIn, session: Session, disk: Disk, run: Run, place: BlobPlace, tmp_path: Path
) -> None:
    azure.windows.deleted_container = 0.3
    with others(azure):
        place.container.delete_container()
    blob = upload(session, disk, run, method="blob")
    assert_same_bytes(azure, blob, disk, tmp_path)


def test_who_may_not_write_is_told_the_role(azure: AzureStandIn, session: Session, disk: Disk, run: Run) -> None:
    azure.windows.denied_actions = ("Microsoft.Storage/storageAccounts/blobServices/containers/blobs/*",)
    with pytest.raises(Refused) as caught:
        upload(session, disk, run, method="blob")
    assert "Storage Blob Data Contributor" in caught.value.hint


def test_a_blob_of_another_is_left_alone(
    azure: AzureStandIn, session: Session, disk: Disk, run: Run, place: BlobPlace
) -> None:
    place.client.create_page_blob(MIB, metadata={"owner": "somebody"})
    with pytest.raises(Conflict, match="none of this image"):
        upload(session, disk, run, method="blob")
    assert blobs(azure)[0].metadata == {"owner": "somebody"}


def test_a_blob_of_ours_that_is_too_small_is_made_anew(
    azure: AzureStandIn, session: Session, disk: Disk, run: Run, place: BlobPlace, tmp_path: Path
) -> None:
    place.make(size=MIB, image="image", digest=disk.content().digest)
    assert_same_bytes(azure, upload(session, disk, run, method="blob"), disk, tmp_path)


def test_a_blob_that_takes_the_place_of_ours_is_not_written_to(
    azure: AzureStandIn, session: Session, disk: Disk, run: Run, place: BlobPlace
) -> None:
    def replace() -> None:
        place.client.create_page_blob(40 * MIB + 512, metadata={"owner": "somebody"})

    once(azure, "after", "PutPage", replace, skip=2)
    with pytest.raises(Conflict):
        upload(session, disk, run, method="blob")
    (found,) = blobs(azure)
    assert found.metadata == {"owner": "somebody"}
    assert isinstance(found.contents, PageFile)
    assert found.contents.ranges() == []


def test_what_is_written_to_before_it_is_marked_is_looked_at_again(
    azure: AzureStandIn, session: Session, disk: Disk, run: Run, tmp_path: Path
) -> None:
    once(azure, "before", "SetBlobMetadata", lambda: touched(azure))
    blob = upload(session, disk, run, method="blob")
    assert counted(azure, "SetBlobMetadata") == 2
    assert_same_bytes(azure, blob, disk, tmp_path)


def test_what_is_written_to_without_end_is_not_marked(
    azure: AzureStandIn, session: Session, disk: Disk, run: Run
) -> None:
    for skip in range(10):
        once(azure, "before", "SetBlobMetadata", lambda: touched(azure), skip=skip)
    with pytest.raises(Corrupt, match="something else writes"):
        upload(session, disk, run, method="blob")
    assert blobs(azure)[0].metadata["lkcloud_complete"] == "no"


def test_what_is_written_to_while_it_is_listed_is_listed_again(
    azure: AzureStandIn, session: Session, make_disk: DiskMaker, run: Run, tmp_path: Path
) -> None:
    azure.windows.page_ranges = 2
    disk = make_disk(64 * MIB, pieces={number * 8 * MIB: noise(number, 4096) for number in range(5)})
    once(azure, "after", "GetPageRanges", lambda: touched(azure), skip=4)
    blob = upload(session, disk, run, method="blob")
    assert_same_bytes(azure, blob, disk, tmp_path)


def test_a_token_that_ends_soon_is_renewed(
    azure: AzureStandIn, session: Session, disk: Disk, run: Run, tmp_path: Path
) -> None:
    fresh = Session(resource_manager=session.resource_manager)
    azure.windows.token_life = 200
    blob = upload(fresh, disk, run, method="blob")
    assert counted(azure, "token") > PARTS
    assert_same_bytes(azure, blob, disk, tmp_path)


def test_tokens_that_are_no_longer_taken_are_told(azure: AzureStandIn, session: Session, disk: Disk, run: Run) -> None:
    once(azure, "after", "PutPage", azure.expire_credentials, skip=1)
    with pytest.raises(NotAuthenticated):
        upload(session, disk, run, method="blob")


def test_accounts_that_cannot_be_used_are_told_before_anything_is_made(
    azure: AzureStandIn, session: Session, disk: Disk, run: Run
) -> None:
    with pytest.raises(UsageError, match="needs a storage account"):
        upload(session, disk, run, method="blob", storage_account=None)
    with pytest.raises(NotFound, match="no storage account nobodyhasit"):
        upload(session, disk, run, method="blob", storage_account="nobodyhasit")
    with pytest.raises(UsageError, match="is in westeurope, and the image in northeurope"):
        upload(session, disk, run, method="blob", location="northeurope")
    account(azure).settings["isHnsEnabled"] = True
    with pytest.raises(UsageError, match="hierarchical"):
        upload(session, disk, run, method="blob")
    service = azure.holdings.blobs
    assert isinstance(service, OwnBlobs)
    assert service.store.accounts[ACCOUNT].containers == {}


def test_a_blob_that_is_no_page_blob_gives_way(
    azure: AzureStandIn, session: Session, disk: Disk, run: Run, place: BlobPlace, tmp_path: Path
) -> None:
    metadata = {"lkcloud_name": "image", "lkcloud_digest": disk.content().digest}
    place.client.upload_blob(b"no pages", metadata=metadata)
    assert_same_bytes(azure, upload(session, disk, run, method="blob"), disk, tmp_path)
    assert [one.kind for one in blobs(azure)] == ["PageBlob"]
    assert all(isinstance(one, StoredBlob) for one in blobs(azure))
