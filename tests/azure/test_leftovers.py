# SPDX-License-Identifier: Apache-2.0
"""What pushes that died have left is found by name, and can be removed, twice."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from lkcloud.errors import Refused, UsageError
from lkcloud.provider import Blob, Run, Source
from lkcloud_azure import leftovers, naming, storage
from lkcloud_azure.options import AzureOptions
from lkcloud_azure.sandbox import AzureStandIn
from lkcloud_azure.sandbox.disk import Disk as HeldDisk
from lkcloud_azure.session import Session
from tests.azure.imaging import (
    DIGEST,
    GROUP,
    OTHER_DIGEST,
    Interrupting,
    account_options,
    hold_image,
    hold_version,
    is_there,
    make_definition,
    make_gallery,
    options_of,
    put_blob,
    put_disk,
    registered,
    source_of,
    tiny_disk,
)
from tests.azure.pushing import DiskMaker, blobs, counted, cut_off, disks

OPTIONS = options_of()
ACCOUNT = account_options()


def listed(session: Session, name: str = "", options: AzureOptions = OPTIONS) -> list[Blob]:
    return list(leftovers.leftovers(session, options, name))


@pytest.fixture
def source(tmp_path: Path) -> Source:
    with tiny_disk(tmp_path) as disk:
        return source_of(disk)


def test_nothing_and_no_group_is_nothing(azure: AzureStandIn, session: Session) -> None:
    everywhere = account_options(gallery="gal", gallery_resource_group="galleries")
    assert listed(session, "", everywhere) == listed(session, "image", everywhere) == []
    assert listed(session, "", options_of(storage_account="nobodysaccount")) == []


def test_disks_of_one_name_and_of_all(azure: AzureStandIn, session: Session) -> None:
    mine = put_disk(azure)
    other = put_disk(azure, name="other", digest=OTHER_DIGEST)
    in_use = held(azure, put_disk(azure, name="image", digest="7c" * 32))
    in_use.managed_by = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/virtualMachines/vm"
    foreign = held(azure, put_disk(azure, name="image", digest="8d" * 32))
    foreign.tags = {}
    copied = held(azure, put_disk(azure, name="image", digest="9e" * 32))
    copied.sent = {**copied.sent, "creationData": {"createOption": "Empty"}}

    assert listed(session, "image") == [mine]
    assert listed(session, "other") == [other]
    assert listed(session) == [mine, other]
    assert listed(session, "imag") == []
    assert listed(session, "image", options_of(resource_group="elsewhere")) == []
    for blob in listed(session) * 2:
        leftovers.delete(session, OPTIONS, blob)
    assert listed(session) == []
    assert sorted(disk.name for disk in disks(azure)) == sorted(disk.name for disk in (in_use, foreign, copied))


def held(azure: AzureStandIn, blob: Blob) -> HeldDisk:
    found = azure.holdings.get(HeldDisk, blob.id)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("method", "kind", "state"), [("disk", "disk", "ActiveUpload"), ("blob", "page-blob", "unfinished")]
)
def test_an_upload_that_was_cut_off(
    method: str, kind: str, state: str, azure: AzureStandIn, session: Session, run: Run, make_disk: DiskMaker
) -> None:
    disk = make_disk(32 << 20, blocks=tuple(range(24)))
    cut_off(azure, session, disk, run, parts=1, method=method)
    [left] = listed(session, "image", ACCOUNT)
    assert (left.kind, left.state, left.name, left.digest) == (kind, state, "image", disk.content().digest)
    for blob in [left, left]:
        leftovers.delete(session, ACCOUNT, blob)
    assert listed(session, "", ACCOUNT) == []
    assert disks(azure) == []
    assert blobs(azure) == []


def test_page_blobs_of_one_name_and_of_all(azure: AzureStandIn, session: Session) -> None:
    mine = put_blob(session, azure)
    other = put_blob(session, azure, name="my other/image", digest=OTHER_DIGEST)
    client = storage.service(session, storage.account(session, ACCOUNT))
    container = client.get_container_client("lkcloud")
    container.upload_blob("lkcloud-notes.vhd", b"x" * 512, blob_type="PageBlob", length=512)
    container.upload_blob("lkcloud-text.vhd", b"text", metadata={"lkcloud_name": "image", "lkcloud_digest": DIGEST})
    assert listed(session, "image", ACCOUNT) == [mine]
    assert listed(session, "my other/image", ACCOUNT) == [other]
    assert listed(session, "", ACCOUNT) == [mine, other]
    assert listed(session) == []  # no account is named
    for blob in [*listed(session, "", ACCOUNT), mine]:
        leftovers.delete(session, ACCOUNT, blob)
    assert [blob.name for blob in container.list_blobs()] == ["lkcloud-notes.vhd", "lkcloud-text.vhd"]


def test_all_of_it_has_dates(azure: AzureStandIn, session: Session) -> None:
    put_disk(azure)
    put_blob(session, azure)
    before = datetime.now(UTC).replace(microsecond=0)
    tags = {naming.CREATED: before.isoformat()}
    hold_image(azure, "bad", state="Failed").tags.update(tags)
    hold_image(azure, "stage").tags.update({**tags, naming.STAGE: "yes"})
    make_gallery(session)
    make_definition(session)
    hold_version(azure, "1.0.0", name="worse", state="Failed")
    found = {blob.kind: blob.created for blob in listed(session, "", account_options(gallery="gal"))}
    assert found.keys() == {"disk", "page-blob", "managed-image", "managed-image-stage", "gallery-image-version"}
    for created in found.values():
        assert created is not None
        assert timedelta(minutes=-1) < datetime.now(UTC) - created < timedelta(minutes=5)


def test_who_may_not_look_at_a_kind_of_resource_has_made_none(azure: AzureStandIn, session: Session) -> None:
    hold_image(azure, state="Failed")
    disk = put_disk(azure)
    azure.windows.denied_actions = ("Microsoft.Compute/virtualMachines/*", "Microsoft.Compute/images/read")
    assert listed(session) == [disk]
    azure.windows.denied_actions = ("Microsoft.Compute/disks/read", "Microsoft.Compute/virtualMachines/read")
    assert [blob.kind for blob in listed(session)] == ["managed-image"]


def test_an_account_that_may_not_be_looked_into_is_told(azure: AzureStandIn, session: Session) -> None:
    put_blob(session, azure)
    azure.windows.denied_actions = ("Microsoft.Storage/storageAccounts/blobServices/containers/blobs/*",)
    with pytest.raises(Refused) as raised:
        listed(session, "", ACCOUNT)
    assert "Storage Blob Data Contributor" in raised.value.hint


def test_what_is_left_of_a_test_machine(azure: AzureStandIn, session: Session) -> None:
    """Here its network: the machine has gone before."""
    from azure.mgmt.network import models

    name = "lkcloud-test-0123456789abcdef"
    hold_image(azure)
    wanted = models.VirtualNetwork(
        location="westeurope",
        tags={naming.IMAGE: "/an/image", naming.NAME: "image"},
        properties=models.VirtualNetworkPropertiesFormat(
            address_space=models.AddressSpace(address_prefixes=["10.0.0.0/24"])
        ),
    )
    session.network.virtual_networks.begin_create_or_update(GROUP, name, wanted, polling_interval=0).result()
    [left] = listed(session, "image")
    assert (left.kind, left.name) == ("test-machine", "image")
    assert left.id.endswith(f"/virtualMachines/{name}")
    assert listed(session, "other") == []
    for _ in range(2):
        leftovers.delete(session, OPTIONS, left)
    assert listed(session) == []
    assert list(session.network.virtual_networks.list(GROUP)) == []


def test_images_that_have_failed(azure: AzureStandIn, session: Session) -> None:
    hold_image(azure, "image")
    hold_image(azure, "bad", state="Failed")
    hold_image(azure, "theirs", state="Failed", digest="")
    [bad] = listed(session, "bad")
    assert (bad.kind, bad.name, bad.digest, bad.state) == ("managed-image", "bad", DIGEST, "Failed")
    assert listed(session) == [bad]
    assert listed(session, "image") == listed(session, "theirs") == []
    for _ in range(2):
        leftovers.delete(session, OPTIONS, bad)
    assert listed(session) == []
    assert sorted(one.name or "" for one in session.compute.images.list_by_resource_group(GROUP)) == ["image", "theirs"]


def test_versions_that_have_failed(azure: AzureStandIn, session: Session) -> None:
    """One that `latest` leads to has failed when it was changed, and is no leftover."""
    make_gallery(session)
    make_definition(session)
    make_definition(session, "rows")
    hold_version(azure, "1.0.0")
    hold_version(azure, "1.0.1", state="Failed")
    hold_version(azure, "1.0.2", state="Failed", excluded=False)
    hold_version(azure, "1.0.0", definition="rows", name="other", state="Failed")
    options = options_of(gallery="gal")
    [bad] = listed(session, "image", options)
    assert (bad.kind, bad.name, bad.state) == ("gallery-image-version", "image", "Failed")
    assert bad.id.endswith("/images/image/versions/1.0.1")
    assert {blob.name for blob in listed(session, "", options)} == {"image", "other"}
    assert [blob.name for blob in listed(session, "other", options_of(gallery="gal", definition="rows"))] == ["other"]
    for blob in listed(session, "", options):
        leftovers.delete(session, options, blob)
    assert listed(session, "", options) == []


def test_a_step_on_the_way_to_a_version(azure: AzureStandIn, session: Session, run: Run, tmp_path: Path) -> None:
    make_gallery(session)
    make_definition(session, features={"SecurityType": "TrustedLaunchSupported"})
    options = options_of(gallery="gal")
    disk = put_disk(azure)
    azure.windows.image = 0.2
    with tiny_disk(tmp_path) as opened, pytest.raises(KeyboardInterrupt):
        registered(session, opened, disk, Run(run.journal, Interrupting()), gallery="gal")
    step, upload = listed(session, "image", options)
    assert (step.kind, step.name, step.digest) == ("managed-image-stage", "image", DIGEST)
    assert upload == disk
    assert listed(session, "other", options) == []
    for _ in range(2):
        leftovers.delete(session, options, step)
    assert listed(session, "image", options) == [disk]


def test_a_push_that_died_before_its_upload_was_removed_is_tidied_up(
    azure: AzureStandIn, session: Session, source: Source
) -> None:
    mine = put_disk(azure)
    other = put_disk(azure, digest=OTHER_DIGEST)
    leftovers.tidy(session, options_of(keep_upload=True), source)
    assert is_there(azure, mine)
    for _ in range(2):
        leftovers.tidy(session, OPTIONS, source)
    assert not is_there(azure, mine)
    assert is_there(azure, other)
    held(azure, other).tags = naming.tags_of("image", DIGEST)  # by its name it is another's
    leftovers.tidy(session, OPTIONS, source)
    assert is_there(azure, other)


def test_a_page_blob_is_tidied_up(azure: AzureStandIn, session: Session, source: Source) -> None:
    put_blob(session, azure)
    put_blob(session, azure, digest=OTHER_DIGEST)
    leftovers.tidy(session, account_options(keep_upload=True), source)
    assert len(blobs(azure)) == 2
    for _ in range(2):
        leftovers.tidy(session, ACCOUNT, source)
    assert [blob.digest for blob in listed(session, "", ACCOUNT)] == [OTHER_DIGEST]


def test_a_step_is_tidied_up(azure: AzureStandIn, session: Session, source: Source) -> None:
    make_gallery(session)
    for digest in (DIGEST, OTHER_DIGEST):
        image = hold_image(azure, naming.upload_name("image", digest), digest=digest)
        image.tags = {**naming.tags_of("image", digest), naming.STAGE: "yes"}
    leftovers.tidy(session, options_of(gallery="gal", keep_upload=True), source)
    assert [blob.digest for blob in listed(session)] == [OTHER_DIGEST]


@pytest.mark.parametrize(
    ("kind", "blob_id"),
    [
        ("disk", "lkcloud-image"),
        ("disk", "/subscriptions/{s}/resourceGroups/lkcloud/providers/Microsoft.Compute/images/image"),
        (
            "disk",
            "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/g/providers/Microsoft.Compute/disks/d",
        ),
        ("managed-image", "/subscriptions/{s}/resourceGroups/lkcloud/providers/Microsoft.Compute/disks/disk"),
        ("test-machine", "/subscriptions/{s}/resourceGroups/lkcloud/providers/Microsoft.Compute/virtualMachines/mine"),
        ("snapshot", "snap-1"),
    ],
)
def test_what_is_not_known_is_not_deleted(kind: str, blob_id: str, azure: AzureStandIn, session: Session) -> None:
    kept = put_disk(azure)
    azure.traffic.clear()
    with pytest.raises(UsageError):
        leftovers.delete(session, OPTIONS, Blob("azure", "", blob_id.replace("{s}", session.subscription), kind))
    assert azure.traffic.operations() == []
    assert is_there(azure, kept)


@pytest.mark.parametrize("url", ["https://other.blob.core.windows.net/lkcloud/x.vhd", "x.vhd"])
def test_a_blob_of_another_account_is_not_deleted(url: str, azure: AzureStandIn, session: Session) -> None:
    with pytest.raises(UsageError, match="is not in the storage account"):
        leftovers.delete(session, ACCOUNT, Blob("azure", "", url, "page-blob"))
    assert counted(azure, "DeleteBlob") == 0
