# SPDX-License-Identifier: Apache-2.0
"""Gallery image versions: what they get, from the disk and from all that the options say."""

import base64
import struct
import subprocess
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from lkcloud.disk import Disk
from lkcloud.errors import NotFound, UsageError
from lkcloud.provider import Blob, Run
from lkcloud_azure import images, naming
from lkcloud_azure.options import region_name
from lkcloud_azure.register import register
from lkcloud_azure.sandbox import AzureStandIn
from lkcloud_azure.session import Session
from tests.azure.imaging import (
    DIGEST,
    GROUP,
    SIZE,
    Interrupting,
    account_options,
    is_there,
    make_definition,
    make_gallery,
    options_of,
    put_blob,
    put_disk,
    registered_version,
    shown_version,
    source_of,
)
from tests.azure.pushing import Noting, blobs, counted

KEY = (
    "/subscriptions/0b1f6471-1bf0-4dda-aec3-cb9272f09590/resourceGroups/lkcloud/providers/Microsoft.Compute"
    "/diskEncryptionSets/keys"
)


def regions(found: Any) -> list[tuple[str, int, str]]:
    """Return name, replicas and storage of each region of a version; Azure shows their names as people write them."""
    targets = found.properties.publishing_profile.target_regions
    return [(region_name(one.name), one.regional_replica_count, one.storage_account_type) for one in targets]


def test_a_version_with_nothing_left_to_defaults(
    azure: AzureStandIn, session: Session, disk: Disk, blob: Blob, run: Run
) -> None:
    image = registered_version(session, disk, blob, run, tag=("team=os",))
    compute = f"/subscriptions/{session.subscription}/resourceGroups/lkcloud/providers/Microsoft.Compute"
    assert image.id == f"{compute}/galleries/gal/images/image/versions/1.0.0"
    assert (image.name, image.kind, image.family, image.account) == (
        "image",
        "gallery-image-version",
        "image",
        session.subscription,
    )
    assert (image.region, image.state, image.ready, image.architecture) == ("westeurope", "Succeeded", True, "x64")
    assert image.digest == DIGEST
    assert image.created is not None
    assert abs(datetime.now(UTC) - image.created) < timedelta(minutes=5)
    found = shown_version(session)
    assert found.tags == {"team": "os", **naming.tags_of("image", DIGEST)}
    publishing = found.properties.publishing_profile
    assert publishing.exclude_from_latest
    assert publishing.end_of_life_date is None
    assert publishing.replication_mode == "Full"
    assert regions(found) == [("westeurope", 1, "Standard_LRS")]
    assert found.properties.storage_profile.os_disk_image.source.id == blob.id
    assert not found.properties.safety_profile.block_deletion_before_end_of_life
    assert found.properties.security_profile is None
    with azure.image_file(image.id).open("rb") as file:
        file.seek(SIZE - 4096)
        assert file.read(14) == b"lkcloudlkcloud"
    assert not is_there(azure, blob)


def test_gallery_and_definition_are_made_where_asked_for(
    azure: AzureStandIn, session: Session, disk: Disk, run: Run
) -> None:
    noting = Noting()
    blob = put_disk(azure)
    image = registered_version(session, disk, blob, Run(run.journal, noting), create_gallery=True, definition="my-os")
    assert image.id.endswith("/galleries/gal/images/my-os/versions/1.0.0")
    assert (image.name, image.family) == ("image", "my-os")
    assert noting.notes == ["made the gallery gal", "made the image definition my-os"]


def test_no_gallery_no_version(azure: AzureStandIn, session: Session, disk: Disk, run: Run) -> None:
    blob = put_disk(azure)
    with pytest.raises(NotFound, match="no gallery gal"):
        registered_version(session, disk, blob, run)
    assert is_there(azure, blob)


def test_every_option_reaches_the_version(azure: AzureStandIn, session: Session, disk: Disk, run: Run) -> None:
    make_gallery(session)
    blob = put_disk(azure)
    ends = datetime.now(UTC).replace(microsecond=0) + timedelta(days=365)
    registered_version(
        session,
        disk,
        blob,
        run,
        create_gallery=True,
        gallery_version="3.2.1",
        target_region=("eastus=3:Premium_LRS", "West Europe=2", "northeurope"),
        replicas=4,
        storage_type="Standard_ZRS",
        end_of_life=ends,
        latest=True,
    )
    found = shown_version(session, "3.2.1")
    publishing = found.properties.publishing_profile
    assert regions(found) == [
        ("eastus", 3, "Premium_LRS"),
        ("westeurope", 2, "Standard_ZRS"),
        ("northeurope", 4, "Standard_ZRS"),
    ]
    assert publishing.end_of_life_date == ends
    assert publishing.exclude_from_latest


def test_the_own_region_is_always_one(azure: AzureStandIn, session: Session, disk: Disk, blob: Blob, run: Run) -> None:
    registered_version(session, disk, blob, run, target_region=("eastus",))
    assert [region[0] for region in regions(shown_version(session))] == ["westeurope", "eastus"]


def test_a_shallow_version(session: Session, disk: Disk, blob: Blob, run: Run) -> None:
    registered_version(session, disk, blob, run, replication_mode="Shallow")
    assert shown_version(session).properties.publishing_profile.replication_mode == "Shallow"


def test_an_end_of_life_without_a_zone_is_in_utc(session: Session, disk: Disk, blob: Blob, run: Run) -> None:
    registered_version(session, disk, blob, run, end_of_life=datetime(2099, 1, 2, 3, 4, 5))
    assert shown_version(session).properties.publishing_profile.end_of_life_date == datetime(
        2099, 1, 2, 3, 4, 5, tzinfo=UTC
    )


def test_a_key_of_ones_own_in_each_region(session: Session, disk: Disk, blob: Blob, run: Run) -> None:
    registered_version(session, disk, blob, run, disk_encryption_set=KEY)
    [region] = shown_version(session).properties.publishing_profile.target_regions
    assert region.encryption.os_disk_image.disk_encryption_set_id == KEY


def test_a_version_of_a_page_blob_names_its_account(
    azure: AzureStandIn, session: Session, disk: Disk, run: Run
) -> None:
    make_gallery(session)
    make_definition(session)
    blob = put_blob(session, azure)
    image = register(session, account_options(gallery="gal"), source_of(disk), blob, run)
    assert image.ready
    source = shown_version(session).properties.storage_profile.os_disk_image.source
    assert source.uri == blob.id
    assert source.storage_account_id.endswith("/providers/Microsoft.Storage/storageAccounts/lkcloudsandbox")
    assert blobs(azure) == []


def test_secure_boot_keys(session: Session, azure: AzureStandIn, disk: Disk, run: Run, tmp_path: Path) -> None:
    command = "openssl req -x509 -newkey rsa:2048 -nodes -keyout key -subj /CN=db -outform DER -out db.der -days 2"
    subprocess.run(command.split(), cwd=tmp_path, check=True, capture_output=True)
    hashes = uuid.UUID("c1c41626-504c-4092-aca9-41f936934328").bytes_le + struct.pack("<III", 76, 0, 48) + bytes(48)
    (tmp_path / "dbx").write_bytes(hashes)
    make_gallery(session)
    make_definition(session, features={"SecurityType": "TrustedLaunchSupported"})
    blob = put_blob(session, azure)
    options = account_options(gallery="gal", signature_db=(tmp_path / "db.der",), revoked_db=(tmp_path / "dbx",))
    register(session, options, source_of(disk), blob, run)
    settings = shown_version(session).properties.security_profile.uefi_settings
    assert settings.signature_template_names == ["MicrosoftUefiCertificateAuthorityTemplate"]
    certificate = base64.b64encode((tmp_path / "db.der").read_bytes()).decode()
    assert [(key.type, key.value) for key in settings.additional_signatures.db] == [("x509", [certificate])]
    assert [key.type for key in settings.additional_signatures.dbx] == ["sha256"]


@pytest.mark.parametrize("security", ["TrustedLaunchSupported", "TrustedLaunchAndConfidentialVmSupported"])
def test_a_disk_becomes_a_version_for_trusted_launch_by_a_managed_image(
    security: str, azure: AzureStandIn, session: Session, disk: Disk, run: Run
) -> None:
    """Azure makes no such versions of disks. Nothing of it is left, and it is no image that anybody sees."""
    make_gallery(session)
    make_definition(session, features={"SecurityType": security})
    blob = put_disk(azure)
    image = registered_version(session, disk, blob, run)
    assert image.ready
    source = shown_version(session).properties.storage_profile.source
    assert source.id.endswith(f"/images/{naming.upload_name('image', DIGEST)}")
    assert list(session.compute.images.list_by_resource_group(GROUP)) == []
    assert not is_there(azure, blob)
    assert images.every(session, options_of(gallery="gal")) == [image]


def test_arm64_for_trusted_launch_is_left_to_azure(azure: AzureStandIn, session: Session, disk: Disk, run: Run) -> None:
    make_gallery(session)
    make_definition(session, architecture="Arm64", features={"SecurityType": "TrustedLaunchSupported"})
    blob = put_disk(azure)
    with pytest.raises(UsageError, match="not supported for the source") as raised:
        registered_version(session, disk, blob, run, architecture="Arm64")
    assert "--method blob" in raised.value.hint
    assert is_there(azure, blob)
    assert counted(azure, "Images.CreateOrUpdate") == 0


def test_an_interrupted_step_goes_on(azure: AzureStandIn, session: Session, disk: Disk, run: Run) -> None:
    make_gallery(session)
    make_definition(session, features={"SecurityType": "TrustedLaunchSupported"})
    blob = put_disk(azure)
    azure.windows.image = 0.4
    with pytest.raises(KeyboardInterrupt):
        registered_version(session, disk, blob, Run(run.journal, Interrupting()))
    assert images.every(session, options_of(gallery="gal")) == []
    assert registered_version(session, disk, blob, run).ready
    assert counted(azure, "Images.CreateOrUpdate") == 1
    assert list(session.compute.images.list_by_resource_group(GROUP)) == []
