# SPDX-License-Identifier: Apache-2.0
"""Gallery image versions: made once, found by their tags whatever their number, with all that the options say."""

import base64
import struct
import subprocess
import threading
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from lkcloud.disk import Disk
from lkcloud.errors import Conflict, NotFound, Refused, Unreachable, UsageError
from lkcloud.provider import Blob, Image, Run
from lkcloud.transfer.journal import Journal
from lkcloud_azure import gallery, images, naming
from lkcloud_azure.options import region_name
from lkcloud_azure.register import register
from lkcloud_azure.sandbox import AzureStandIn, Seen
from lkcloud_azure.sandbox.errors import ApiError
from lkcloud_azure.session import Session
from tests.azure.imaging import (
    DIGEST,
    GROUP,
    OPERATION,
    OTHER_DIGEST,
    SIZE,
    Interrupting,
    account_options,
    close_disk,
    hold_version,
    is_there,
    make_definition,
    make_gallery,
    open_disk_for_reading,
    options_of,
    put_blob,
    put_disk,
    registered,
    source_of,
    tiny_disk,
    wait_for,
)
from tests.azure.pushing import Noting, blobs, counted, lose_answers, once, refuse

PUT = "GalleryImageVersions.CreateOrUpdate"
KEY = (
    "/subscriptions/0b1f6471-1bf0-4dda-aec3-cb9272f09590/resourceGroups/lkcloud/providers/Microsoft.Compute"
    "/diskEncryptionSets/keys"
)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    with tiny_disk(tmp_path) as opened:
        yield opened


@pytest.fixture
def blob(azure: AzureStandIn, session: Session) -> Blob:
    make_gallery(session)
    make_definition(session)
    return put_disk(azure)


def version(session: Session, disk: Disk, blob: Blob, run: Run, **options: Any) -> Image:
    return registered(session, disk, blob, run, gallery="gal", **options)


def shown(session: Session, number: str = "1.0.0", name: str = "image") -> Any:
    return session.compute.gallery_image_versions.get(GROUP, "gal", name, number)


def regions(found: Any) -> list[tuple[str, int, str]]:
    """Return name, replicas and storage of each region of a version; Azure shows their names as people write them."""
    targets = found.properties.publishing_profile.target_regions
    return [(region_name(one.name), one.regional_replica_count, one.storage_account_type) for one in targets]


def numbers(session: Session, name: str = "image") -> list[str]:
    return [one.name or "" for one in session.compute.gallery_image_versions.list_by_gallery_image(GROUP, "gal", name)]


def test_a_version_with_nothing_left_to_defaults(
    azure: AzureStandIn, session: Session, disk: Disk, blob: Blob, run: Run
) -> None:
    image = version(session, disk, blob, run, tag=("team=os",))
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
    found = shown(session)
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
    image = version(session, disk, blob, Run(run.journal, noting), create_gallery=True, definition="my-os")
    assert image.id.endswith("/galleries/gal/images/my-os/versions/1.0.0")
    assert (image.name, image.family) == ("image", "my-os")
    assert noting.notes == ["made the gallery gal", "made the image definition my-os"]


def test_no_gallery_no_version(azure: AzureStandIn, session: Session, disk: Disk, run: Run) -> None:
    blob = put_disk(azure)
    with pytest.raises(NotFound, match="no gallery gal"):
        version(session, disk, blob, run)
    assert is_there(azure, blob)


def test_every_option_reaches_the_version(azure: AzureStandIn, session: Session, disk: Disk, run: Run) -> None:
    make_gallery(session)
    blob = put_disk(azure)
    ends = datetime.now(UTC).replace(microsecond=0) + timedelta(days=365)
    version(
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
    found = shown(session, "3.2.1")
    publishing = found.properties.publishing_profile
    assert regions(found) == [
        ("eastus", 3, "Premium_LRS"),
        ("westeurope", 2, "Standard_ZRS"),
        ("northeurope", 4, "Standard_ZRS"),
    ]
    assert publishing.end_of_life_date == ends
    assert publishing.exclude_from_latest


def test_the_own_region_is_always_one(azure: AzureStandIn, session: Session, disk: Disk, blob: Blob, run: Run) -> None:
    version(session, disk, blob, run, target_region=("eastus",))
    assert [region[0] for region in regions(shown(session))] == ["westeurope", "eastus"]


def test_a_shallow_version(session: Session, disk: Disk, blob: Blob, run: Run) -> None:
    version(session, disk, blob, run, replication_mode="Shallow")
    assert shown(session).properties.publishing_profile.replication_mode == "Shallow"


def test_an_end_of_life_without_a_zone_is_in_utc(session: Session, disk: Disk, blob: Blob, run: Run) -> None:
    version(session, disk, blob, run, end_of_life=datetime(2099, 1, 2, 3, 4, 5))
    assert shown(session).properties.publishing_profile.end_of_life_date == datetime(2099, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_a_key_of_ones_own_in_each_region(session: Session, disk: Disk, blob: Blob, run: Run) -> None:
    version(session, disk, blob, run, disk_encryption_set=KEY)
    [region] = shown(session).properties.publishing_profile.target_regions
    assert region.encryption.os_disk_image.disk_encryption_set_id == KEY


def test_a_version_of_a_page_blob_names_its_account(
    azure: AzureStandIn, session: Session, disk: Disk, run: Run
) -> None:
    make_gallery(session)
    make_definition(session)
    blob = put_blob(session, azure)
    image = register(session, account_options(gallery="gal"), source_of(disk), blob, run)
    assert image.ready
    source = shown(session).properties.storage_profile.os_disk_image.source
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
    settings = shown(session).properties.security_profile.uefi_settings
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
    image = version(session, disk, blob, run)
    assert image.ready
    source = shown(session).properties.storage_profile.source
    assert source.id.endswith(f"/images/{naming.upload_name('image', DIGEST)}")
    assert list(session.compute.images.list_by_resource_group(GROUP)) == []
    assert not is_there(azure, blob)
    assert images.every(session, options_of(gallery="gal")) == [image]


def test_arm64_for_trusted_launch_is_left_to_azure(azure: AzureStandIn, session: Session, disk: Disk, run: Run) -> None:
    make_gallery(session)
    make_definition(session, architecture="Arm64", features={"SecurityType": "TrustedLaunchSupported"})
    blob = put_disk(azure)
    with pytest.raises(UsageError, match="not supported for the source") as raised:
        version(session, disk, blob, run, architecture="Arm64")
    assert "--method blob" in raised.value.hint
    assert is_there(azure, blob)
    assert counted(azure, "Images.CreateOrUpdate") == 0


def test_an_interrupted_step_goes_on(azure: AzureStandIn, session: Session, disk: Disk, run: Run) -> None:
    make_gallery(session)
    make_definition(session, features={"SecurityType": "TrustedLaunchSupported"})
    blob = put_disk(azure)
    azure.windows.image = 0.4
    with pytest.raises(KeyboardInterrupt):
        version(session, disk, blob, Run(run.journal, Interrupting()))
    assert images.every(session, options_of(gallery="gal")) == []
    assert version(session, disk, blob, run).ready
    assert counted(azure, "Images.CreateOrUpdate") == 1
    assert list(session.compute.images.list_by_resource_group(GROUP)) == []


def test_the_default_number_is_one_above_the_highest(
    azure: AzureStandIn, session: Session, disk: Disk, blob: Blob, run: Run
) -> None:
    for number in ("1.0.0", "0.99.99", "1.10.9", "1.9.12"):
        hold_version(azure, number, name="other", digest=OTHER_DIGEST)
    assert version(session, disk, blob, run).id.endswith("/versions/1.10.10")


def test_a_number_is_written_as_azure_writes_it(session: Session, disk: Disk, blob: Blob, run: Run) -> None:
    assert version(session, disk, blob, run, gallery_version="01.002.3").id.endswith("/versions/1.2.3")


def test_there_is_a_highest_number(azure: AzureStandIn, session: Session, disk: Disk, blob: Blob, run: Run) -> None:
    hold_version(azure, "1.0.2147483647", name="other")
    with pytest.raises(UsageError, match=r"no patch above version 1\.0\.2147483647") as raised:
        version(session, disk, blob, run)
    assert "--gallery-version" in raised.value.hint


def test_again_gives_the_same_version_whatever_number_is_asked_for(
    azure: AzureStandIn, session: Session, disk: Disk, blob: Blob, run: Run
) -> None:
    first = version(session, disk, blob, run, keep_upload=True)
    assert version(session, disk, blob, run, keep_upload=True) == first
    assert version(session, disk, blob, run, gallery_version="7.0.0") == first
    assert counted(azure, PUT) == 1


def test_a_number_that_another_image_has_is_a_conflict(
    azure: AzureStandIn, session: Session, disk: Disk, blob: Blob, run: Run
) -> None:
    hold_version(azure, "1.2.3", name="other")
    hold_version(azure, "1.2.4", name="")
    with pytest.raises(Conflict, match=r"version 1\.2\.3 of image is other") as raised:
        version(session, disk, blob, run, gallery_version="1.2.3")
    assert "--gallery-version" in raised.value.hint
    with pytest.raises(Conflict, match="that lkcloud did not make"):
        version(session, disk, blob, run, gallery_version="1.2.4")
    assert counted(azure, PUT) == 0


def test_a_number_that_another_image_has_is_told_before_a_byte_is_sent(
    azure: AzureStandIn, session: Session, disk: Disk, blob: Blob
) -> None:
    def problems(name: str, number: str | None) -> list[str]:
        options = options_of(gallery="gal", definition="image", gallery_version=number)
        return [finding.problem for finding in gallery.check(session, options, source_of(disk, name=name))]

    hold_version(azure, "1.2.3", name="other")
    hold_version(azure, "1.2.4", name="leaving", state="Deleting")
    assert problems("image", "01.2.3") == ["version 1.2.3 of image is other"]
    assert problems("image", "1.2.4") == problems("image", "1.2.5") == problems("image", None) == []
    # What is there already is found by its name, whatever number is asked for.
    assert problems("other", "1.2.3") == problems("leaving", "1.2.3") == []


def test_a_name_with_other_content_is_a_conflict(
    azure: AzureStandIn, session: Session, disk: Disk, blob: Blob, run: Run
) -> None:
    hold_version(azure, "1.0.0", digest=OTHER_DIGEST)
    with pytest.raises(Conflict, match="other content") as raised:
        version(session, disk, blob, run)
    assert "--replace" in raised.value.hint
    assert is_there(azure, blob)


def test_a_number_that_is_taken_meanwhile_is_given_up(
    azure: AzureStandIn, session: Session, disk: Disk, blob: Blob, run: Run
) -> None:
    """A PUT of a version that is there would change it: Azure refuses to change what it is made of."""
    once(azure, "before", PUT, lambda: hold_version(azure, "1.0.0", name="other", digest=OTHER_DIGEST))
    image = version(session, disk, blob, run)
    assert image.id.endswith("/versions/1.0.1")
    assert dict(shown(session, "1.0.0").tags) == naming.tags_of("other", OTHER_DIGEST)


def test_a_chosen_number_that_is_taken_meanwhile_is_a_conflict(
    azure: AzureStandIn, session: Session, disk: Disk, blob: Blob, run: Run
) -> None:
    once(azure, "before", PUT, lambda: hold_version(azure, "1.0.0", name="other", digest=OTHER_DIGEST))
    with pytest.raises(Conflict, match=r"version 1\.0\.0 of image is other"):
        version(session, disk, blob, run, gallery_version="1.0.0")


def test_two_runs_of_one_image_make_one_version(
    azure: AzureStandIn, session: Session, disk: Disk, blob: Blob, run: Run
) -> None:
    gate = threading.Barrier(2, timeout=10)
    met: list[int] = []

    def together(seen: Seen) -> None:
        if seen.phase == "before" and seen.operation == PUT and len(met) < 2:
            met.append(seen.number)
            gate.wait()

    azure.traffic.hooks.append(together)  # type: ignore[arg-type]  # it answers nothing
    azure.windows.version = 0.3
    made: list[str] = []
    thread = threading.Thread(target=lambda: made.append(version(session, disk, blob, run, keep_upload=True).id))
    thread.start()
    made.append(version(session, disk, blob, run, keep_upload=True).id)
    thread.join()
    assert made[0] == made[1]
    assert numbers(session) == ["1.0.0"]


def test_two_images_at_once_get_two_numbers(
    azure: AzureStandIn, session: Session, disk: Disk, blob: Blob, run: Run
) -> None:
    gate = threading.Barrier(2, timeout=10)
    met: list[int] = []

    def together(seen: Seen) -> None:
        if seen.phase == "before" and seen.operation == PUT and len(met) < 2:
            met.append(seen.number)
            gate.wait()

    azure.traffic.hooks.append(together)  # type: ignore[arg-type]  # it answers nothing
    other = put_disk(azure, name="other", digest=OTHER_DIGEST)
    made: list[Image] = []

    def push_other() -> None:
        given = {"name": "other", "digest": OTHER_DIGEST, "definition": "image"}
        made.append(version(session, disk, other, run, **given))

    thread = threading.Thread(target=push_other)
    thread.start()
    made.append(version(session, disk, blob, run))
    thread.join()
    assert sorted(image.id[-5:] for image in made) == ["1.0.0", "1.0.1"]
    assert {image.name for image in made} == {"image", "other"}
    assert all(dict(image.tags)["lkcloud-name"] == image.name for image in made)


@pytest.mark.parametrize(
    "operation", [PUT, "GalleryImageVersions.Get", "GalleryImageVersions.ListByGalleryImage", OPERATION]
)
def test_a_lost_answer_makes_one_version(
    operation: str, azure: AzureStandIn, session: Session, disk: Disk, blob: Blob, run: Run
) -> None:
    lose_answers(azure, operation)
    assert version(session, disk, blob, run).ready
    assert numbers(session) == ["1.0.0"]


def test_throttles_are_waited_out(azure: AzureStandIn, session: Session, disk: Disk, blob: Blob, run: Run) -> None:
    azure.traffic.throttle(PUT, 2)
    azure.traffic.throttle("GalleryImageVersions.ListByGalleryImage", 1)
    assert version(session, disk, blob, run).ready
    assert numbers(session) == ["1.0.0"]


def test_ctrl_c_leaves_the_making_and_the_next_run_goes_on_with_it(
    azure: AzureStandIn, session: Session, disk: Disk, blob: Blob, run: Run
) -> None:
    azure.windows.version = 0.5
    with pytest.raises(KeyboardInterrupt):
        version(session, disk, blob, Run(run.journal, Interrupting()))
    found = images.find(session, options_of(gallery="gal"), "image")
    assert found is not None
    assert (found.state, found.ready) == ("Creating", False)
    assert version(session, disk, blob, run).ready
    assert counted(azure, PUT) == 1


def test_another_machine_waits_without_the_journal(
    azure: AzureStandIn, session: Session, disk: Disk, blob: Blob, run: Run, tmp_path: Path
) -> None:
    azure.windows.version = 0.5
    with pytest.raises(KeyboardInterrupt):
        version(session, disk, blob, Run(run.journal, Interrupting()))
    with Journal.open(tmp_path / "other" / "journal.db") as journal:
        assert version(session, disk, blob, Run(journal)).ready
    assert counted(azure, PUT) == 1


def test_a_failed_version_is_removed_and_made_again_with_the_reason_told(
    azure: AzureStandIn, session: Session, disk: Disk, blob: Blob, run: Run
) -> None:
    open_disk_for_reading(session, blob)
    with pytest.raises(KeyboardInterrupt):
        version(session, disk, blob, Run(run.journal, Interrupting()))
    wait_for(lambda: shown(session).properties.provisioning_state == "Failed")
    close_disk(session, blob)
    noting = Noting()
    assert version(session, disk, blob, Run(run.journal, noting)).ready
    [warning] = noting.warnings
    assert "internal execution error" in warning
    assert counted(azure, "GalleryImageVersions.Delete") == 1
    assert numbers(session) == ["1.0.0"]


def test_a_version_that_fails_twice_is_told(
    azure: AzureStandIn, session: Session, disk: Disk, blob: Blob, run: Run
) -> None:
    open_disk_for_reading(session, blob)
    with pytest.raises(Refused, match="internal execution error"):
        version(session, disk, blob, run)
    assert numbers(session) == []
    assert counted(azure, PUT) == 2
    assert is_there(azure, blob)


def test_a_version_that_was_in_use_when_it_failed_stays(
    azure: AzureStandIn, session: Session, disk: Disk, blob: Blob, run: Run
) -> None:
    """A change can fail as well as a making; what `latest` leads to is not ours to take away."""
    hold_version(azure, "1.0.0", state="Failed", excluded=False)
    with pytest.raises(Refused, match="`latest` may lead to") as raised:
        version(session, disk, blob, run)
    assert "lkcloud delete azure" in raised.value.hint
    assert numbers(session) == ["1.0.0"]


def test_a_version_that_is_marked_for_deletion_is_waited_for(
    azure: AzureStandIn, session: Session, disk: Disk, blob: Blob, run: Run
) -> None:
    old = hold_version(azure, "1.0.0", state="Deleting")
    timer = threading.Timer(0.3, azure.holdings.forget, [old])
    timer.start()
    assert version(session, disk, blob, run, gallery_version="1.0.0").ready
    timer.join()


def test_a_chosen_number_on_its_way_out_is_waited_for(
    azure: AzureStandIn, session: Session, disk: Disk, blob: Blob, run: Run
) -> None:
    old = hold_version(azure, "1.0.0", name="other", state="Deleting")
    timer = threading.Timer(0.3, azure.holdings.forget, [old])
    timer.start()
    assert version(session, disk, blob, run, gallery_version="1.0.0").id.endswith("/1.0.0")
    timer.join()


def test_one_that_is_being_updated_can_be_used(
    azure: AzureStandIn, session: Session, disk: Disk, blob: Blob, run: Run
) -> None:
    """Copied to another region, it is where it was all the same; a new one is not made, nor is it waited for."""
    held = hold_version(azure, "1.0.0", state="Updating")
    assert version(session, disk, blob, run).ready
    held.regions[0].state = "Replicating"
    found = images.find(session, options_of(gallery="gal"), "image")
    assert found is not None
    assert not found.ready
    assert images.get(session, found.id) == found


def test_the_time_limit_leaves_the_copies_at_work(
    azure: AzureStandIn, session: Session, disk: Disk, blob: Blob, run: Run
) -> None:
    azure.windows.version = 1.0
    short = options_of(gallery="gal").model_copy(update={"image_timeout": 0.003})  # minutes
    with pytest.raises(Unreachable, match="not done") as raised:
        register(session, short, source_of(disk), blob, run)
    assert "--image-timeout" in raised.value.hint
    assert version(session, disk, blob, run).ready
    assert counted(azure, PUT) == 1


def test_a_quota_is_told_and_not_asked_for_again(
    azure: AzureStandIn, session: Session, disk: Disk, blob: Blob, run: Run
) -> None:
    said = "Operation could not be completed as it results in exceeding the approved quota of versions."
    refuse(azure, PUT, ApiError(409, "OperationNotAllowed", said))
    with pytest.raises(Refused, match="quota"):
        version(session, disk, blob, run)
    assert counted(azure, PUT) == 1


def test_a_disk_of_another_generation_is_told(azure: AzureStandIn, session: Session, disk: Disk, run: Run) -> None:
    make_gallery(session)
    make_definition(session)
    with pytest.raises(UsageError, match="different Hypervisor generation"):
        version(session, disk, put_disk(azure, generation="V1"), run)
