# SPDX-License-Identifier: Apache-2.0
"""Managed images: what they get, from the disk and all that the options say; the upload goes when it is done with."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from lkcloud.disk import Disk
from lkcloud.provider import Blob, Run
from lkcloud_azure import leftovers, naming
from lkcloud_azure.register import register
from lkcloud_azure.sandbox import AzureStandIn
from lkcloud_azure.sandbox.errors import ApiError
from lkcloud_azure.session import Session
from tests.azure.imaging import (
    DIGEST,
    GROUP,
    SIZE,
    account_options,
    is_there,
    options_of,
    put_blob,
    put_disk,
    registered,
    source_of,
)
from tests.azure.pushing import Noting, blobs, refuse

KEY = (
    "/subscriptions/0b1f6471-1bf0-4dda-aec3-cb9272f09590/resourceGroups/lkcloud/providers/Microsoft.Compute"
    "/diskEncryptionSets/keys"
)


@pytest.fixture
def blob(azure: AzureStandIn) -> Blob:
    return put_disk(azure)


def shown(session: Session, name: str = "image") -> Any:
    return session.compute.images.get(GROUP, name)


def test_an_image_with_nothing_left_to_defaults(
    azure: AzureStandIn, session: Session, disk: Disk, blob: Blob, run: Run
) -> None:
    image = registered(session, disk, blob, run, tag=("team=os",))
    place = f"/subscriptions/{session.subscription}/resourceGroups/lkcloud/providers/Microsoft.Compute/images/image"
    assert (image.id, image.name, image.kind, image.region) == (place, "image", "managed-image", "westeurope")
    assert (image.state, image.ready, image.digest, image.architecture) == ("Succeeded", True, DIGEST, "x64")
    assert image.created is not None
    assert abs(datetime.now(UTC) - image.created) < timedelta(minutes=5)
    assert image.blobs == ()
    found = shown(session)
    tags = dict(found.tags)
    assert tags.pop("lkcloud-created") == image.created.isoformat()
    assert tags == {"team": "os", **naming.tags_of("image", DIGEST)}
    assert found.properties.hyper_v_generation == "V2"
    os_disk = found.properties.storage_profile.os_disk
    assert (os_disk.os_type, os_disk.os_state, os_disk.managed_disk.id) == ("Linux", "Generalized", blob.id)
    assert os_disk.disk_encryption_set is None
    with azure.image_file(image.id).open("rb") as file:
        file.seek(SIZE - 4096)
        assert file.read(14) == b"lkcloudlkcloud"


def test_every_option_reaches_the_image(azure: AzureStandIn, session: Session, disk: Disk, run: Run) -> None:
    blob = put_disk(azure, generation="V1")
    chosen = {"hyper_v_generation": "V1", "os_type": "Windows", "disk_encryption_set": KEY, "tag": ("a=b", "c=d")}
    registered(session, disk, blob, run, **chosen)
    found = shown(session)
    assert found.properties.hyper_v_generation == "V1"
    assert found.properties.storage_profile.os_disk.os_type == "Windows"
    assert found.properties.storage_profile.os_disk.disk_encryption_set.id == KEY
    assert (found.tags["a"], found.tags["c"]) == ("b", "d")


def test_an_image_of_a_page_blob(azure: AzureStandIn, session: Session, disk: Disk, run: Run) -> None:
    blob = put_blob(session, azure)
    image = register(session, account_options(), source_of(disk), blob, run)
    assert image.ready
    found = shown(session)
    assert found.properties.storage_profile.os_disk.blob_uri == blob.id
    assert found.properties.hyper_v_generation == "V2"
    assert azure.image_file(image.id).stat().st_size == SIZE
    assert blobs(azure) == []


def test_the_upload_goes_when_the_image_is_there(
    azure: AzureStandIn, session: Session, disk: Disk, blob: Blob, run: Run
) -> None:
    registered(session, disk, blob, run)
    assert not is_there(azure, blob)


def test_the_upload_stays_if_it_is_to_be_kept(
    azure: AzureStandIn, session: Session, disk: Disk, blob: Blob, run: Run
) -> None:
    assert [one.kept for one in leftovers.leftovers(session, options_of(), "image")] == [False]
    registered(session, disk, blob, run, keep_upload=True)
    assert is_there(azure, blob)
    [left] = leftovers.leftovers(session, options_of(), "image")
    assert (left.id, left.name, left.kept) == (blob.id, "image", True)


def test_a_page_blob_stays_as_well(azure: AzureStandIn, session: Session, disk: Disk, run: Run) -> None:
    blob = put_blob(session, azure)
    chosen = {"method": "blob", "storage_account": "lkcloudsandbox"}
    registered(session, disk, blob, run, keep_upload=True, **chosen)
    [left] = leftovers.leftovers(session, account_options(), "image")
    assert (left.id, left.state, left.kept) == (blob.id, "complete", True)


def test_an_upload_that_cannot_be_marked_as_kept_is_told(
    azure: AzureStandIn, session: Session, disk: Disk, blob: Blob, run: Run
) -> None:
    refuse(azure, "Disks.Update", ApiError(403, "AuthorizationFailed", "The client does not have authorization."))
    noting = Noting()
    assert registered(session, disk, blob, Run(run.journal, noting), keep_upload=True).ready
    [warning] = noting.warnings
    assert "is not marked as kept" in warning


def test_an_upload_that_may_not_be_removed_is_told(
    azure: AzureStandIn, session: Session, disk: Disk, blob: Blob, run: Run
) -> None:
    azure.windows.denied_actions = ("Microsoft.Compute/disks/delete",)
    noting = Noting()
    assert registered(session, disk, blob, Run(run.journal, noting)).ready
    [warning] = noting.warnings
    assert blob.id in warning
    assert "left behind" in warning


def test_the_family_of_a_managed_image_is_a_tag(session: Session, disk: Disk, blob: Blob, run: Run) -> None:
    image = registered(session, disk, blob, run, family="my-os")
    assert (image.family, dict(image.tags)[naming.FAMILY]) == ("my-os", "my-os")
