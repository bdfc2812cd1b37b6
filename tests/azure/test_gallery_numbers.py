# SPDX-License-Identifier: Apache-2.0
"""Gallery image versions: their numbers, whoever else makes one, and a making that is stopped or fails."""

import threading
from pathlib import Path

import pytest

from lkcloud.disk import Disk
from lkcloud.errors import Conflict, Refused, Unreachable, UsageError
from lkcloud.provider import Blob, Image, Run
from lkcloud.transfer.journal import Journal
from lkcloud_azure import gallery, images, naming
from lkcloud_azure.register import register
from lkcloud_azure.sandbox import AzureStandIn, Seen
from lkcloud_azure.sandbox.errors import ApiError
from lkcloud_azure.session import Session
from tests.azure.imaging import (
    GROUP,
    OPERATION,
    OTHER_DIGEST,
    Interrupting,
    close_disk,
    hold_version,
    is_there,
    make_definition,
    make_gallery,
    open_disk_for_reading,
    options_of,
    put_disk,
    registered_version,
    shown_version,
    source_of,
    wait_for,
)
from tests.azure.pushing import Noting, counted, lose_answers, once, refuse

PUT = "GalleryImageVersions.CreateOrUpdate"


def numbers(session: Session, name: str = "image") -> list[str]:
    return [one.name or "" for one in session.compute.gallery_image_versions.list_by_gallery_image(GROUP, "gal", name)]


def test_the_default_number_is_one_above_the_highest(
    azure: AzureStandIn, session: Session, disk: Disk, blob: Blob, run: Run
) -> None:
    for number in ("1.0.0", "0.99.99", "1.10.9", "1.9.12"):
        hold_version(azure, number, name="other", digest=OTHER_DIGEST)
    assert registered_version(session, disk, blob, run).id.endswith("/versions/1.10.10")


def test_a_number_is_written_as_azure_writes_it(session: Session, disk: Disk, blob: Blob, run: Run) -> None:
    assert registered_version(session, disk, blob, run, gallery_version="01.002.3").id.endswith("/versions/1.2.3")


def test_there_is_a_highest_number(azure: AzureStandIn, session: Session, disk: Disk, blob: Blob, run: Run) -> None:
    hold_version(azure, "1.0.2147483647", name="other")
    with pytest.raises(UsageError, match=r"no patch above version 1\.0\.2147483647") as raised:
        registered_version(session, disk, blob, run)
    assert "--gallery-version" in raised.value.hint


def test_again_gives_the_same_version_whatever_number_is_asked_for(
    azure: AzureStandIn, session: Session, disk: Disk, blob: Blob, run: Run
) -> None:
    first = registered_version(session, disk, blob, run, keep_upload=True)
    assert registered_version(session, disk, blob, run, keep_upload=True) == first
    assert registered_version(session, disk, blob, run, gallery_version="7.0.0") == first
    assert counted(azure, PUT) == 1


def test_a_number_that_another_image_has_is_a_conflict(
    azure: AzureStandIn, session: Session, disk: Disk, blob: Blob, run: Run
) -> None:
    hold_version(azure, "1.2.3", name="other")
    hold_version(azure, "1.2.4", name="")
    with pytest.raises(Conflict, match=r"version 1\.2\.3 of image is other") as raised:
        registered_version(session, disk, blob, run, gallery_version="1.2.3")
    assert "--gallery-version" in raised.value.hint
    with pytest.raises(Conflict, match="that lkcloud did not make"):
        registered_version(session, disk, blob, run, gallery_version="1.2.4")
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
        registered_version(session, disk, blob, run)
    assert "--replace" in raised.value.hint
    assert is_there(azure, blob)


def test_a_number_that_is_taken_meanwhile_is_given_up(
    azure: AzureStandIn, session: Session, disk: Disk, blob: Blob, run: Run
) -> None:
    """A PUT of a version that is there would change it: Azure refuses to change what it is made of."""
    once(azure, "before", PUT, lambda: hold_version(azure, "1.0.0", name="other", digest=OTHER_DIGEST))
    image = registered_version(session, disk, blob, run)
    assert image.id.endswith("/versions/1.0.1")
    assert dict(shown_version(session, "1.0.0").tags) == naming.tags_of("other", OTHER_DIGEST)


def test_a_chosen_number_that_is_taken_meanwhile_is_a_conflict(
    azure: AzureStandIn, session: Session, disk: Disk, blob: Blob, run: Run
) -> None:
    once(azure, "before", PUT, lambda: hold_version(azure, "1.0.0", name="other", digest=OTHER_DIGEST))
    with pytest.raises(Conflict, match=r"version 1\.0\.0 of image is other"):
        registered_version(session, disk, blob, run, gallery_version="1.0.0")


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
    thread = threading.Thread(
        target=lambda: made.append(registered_version(session, disk, blob, run, keep_upload=True).id)
    )
    thread.start()
    made.append(registered_version(session, disk, blob, run, keep_upload=True).id)
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
        made.append(registered_version(session, disk, other, run, **given))

    thread = threading.Thread(target=push_other)
    thread.start()
    made.append(registered_version(session, disk, blob, run))
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
    assert registered_version(session, disk, blob, run).ready
    assert numbers(session) == ["1.0.0"]


def test_throttles_are_waited_out(azure: AzureStandIn, session: Session, disk: Disk, blob: Blob, run: Run) -> None:
    azure.traffic.throttle(PUT, 2)
    azure.traffic.throttle("GalleryImageVersions.ListByGalleryImage", 1)
    assert registered_version(session, disk, blob, run).ready
    assert numbers(session) == ["1.0.0"]


def test_ctrl_c_leaves_the_making_and_the_next_run_goes_on_with_it(
    azure: AzureStandIn, session: Session, disk: Disk, blob: Blob, run: Run
) -> None:
    azure.windows.version = 0.5
    with pytest.raises(KeyboardInterrupt):
        registered_version(session, disk, blob, Run(run.journal, Interrupting()))
    found = images.find(session, options_of(gallery="gal"), "image")
    assert found is not None
    assert (found.state, found.ready) == ("Creating", False)
    assert registered_version(session, disk, blob, run).ready
    assert counted(azure, PUT) == 1


def test_another_machine_waits_without_the_journal(
    azure: AzureStandIn, session: Session, disk: Disk, blob: Blob, run: Run, tmp_path: Path
) -> None:
    azure.windows.version = 0.5
    with pytest.raises(KeyboardInterrupt):
        registered_version(session, disk, blob, Run(run.journal, Interrupting()))
    with Journal.open(tmp_path / "other" / "journal.db") as journal:
        assert registered_version(session, disk, blob, Run(journal)).ready
    assert counted(azure, PUT) == 1


def test_a_failed_version_is_removed_and_made_again_with_the_reason_told(
    azure: AzureStandIn, session: Session, disk: Disk, blob: Blob, run: Run
) -> None:
    open_disk_for_reading(session, blob)
    with pytest.raises(KeyboardInterrupt):
        registered_version(session, disk, blob, Run(run.journal, Interrupting()))
    wait_for(lambda: shown_version(session).properties.provisioning_state == "Failed")
    close_disk(session, blob)
    noting = Noting()
    assert registered_version(session, disk, blob, Run(run.journal, noting)).ready
    [warning] = noting.warnings
    assert "internal execution error" in warning
    assert counted(azure, "GalleryImageVersions.Delete") == 1
    assert numbers(session) == ["1.0.0"]


def test_a_version_that_fails_twice_is_told(
    azure: AzureStandIn, session: Session, disk: Disk, blob: Blob, run: Run
) -> None:
    open_disk_for_reading(session, blob)
    with pytest.raises(Refused, match="internal execution error"):
        registered_version(session, disk, blob, run)
    assert numbers(session) == []
    assert counted(azure, PUT) == 2
    assert is_there(azure, blob)


def test_a_version_that_was_in_use_when_it_failed_stays(
    azure: AzureStandIn, session: Session, disk: Disk, blob: Blob, run: Run
) -> None:
    """A change can fail as well as a making; what `latest` leads to is not ours to take away."""
    hold_version(azure, "1.0.0", state="Failed", excluded=False)
    with pytest.raises(Refused, match="`latest` may lead to") as raised:
        registered_version(session, disk, blob, run)
    assert "lkcloud delete azure" in raised.value.hint
    assert numbers(session) == ["1.0.0"]


def test_a_version_that_is_marked_for_deletion_is_waited_for(
    azure: AzureStandIn, session: Session, disk: Disk, blob: Blob, run: Run
) -> None:
    old = hold_version(azure, "1.0.0", state="Deleting")
    timer = threading.Timer(0.3, azure.holdings.forget, [old])
    timer.start()
    assert registered_version(session, disk, blob, run, gallery_version="1.0.0").ready
    timer.join()


def test_a_chosen_number_on_its_way_out_is_waited_for(
    azure: AzureStandIn, session: Session, disk: Disk, blob: Blob, run: Run
) -> None:
    old = hold_version(azure, "1.0.0", name="other", state="Deleting")
    timer = threading.Timer(0.3, azure.holdings.forget, [old])
    timer.start()
    assert registered_version(session, disk, blob, run, gallery_version="1.0.0").id.endswith("/1.0.0")
    timer.join()


def test_one_that_is_being_updated_can_be_used(
    azure: AzureStandIn, session: Session, disk: Disk, blob: Blob, run: Run
) -> None:
    """Copied to another region, it is where it was all the same; a new one is not made, nor is it waited for."""
    held = hold_version(azure, "1.0.0", state="Updating")
    assert registered_version(session, disk, blob, run).ready
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
    assert registered_version(session, disk, blob, run).ready
    assert counted(azure, PUT) == 1


def test_a_quota_is_told_and_not_asked_for_again(
    azure: AzureStandIn, session: Session, disk: Disk, blob: Blob, run: Run
) -> None:
    said = "Operation could not be completed as it results in exceeding the approved quota of versions."
    refuse(azure, PUT, ApiError(409, "OperationNotAllowed", said))
    with pytest.raises(Refused, match="quota"):
        registered_version(session, disk, blob, run)
    assert counted(azure, PUT) == 1


def test_a_disk_of_another_generation_is_told(azure: AzureStandIn, session: Session, disk: Disk, run: Run) -> None:
    make_gallery(session)
    make_definition(session)
    with pytest.raises(UsageError, match="different Hypervisor generation"):
        registered_version(session, disk, put_disk(azure, generation="V1"), run)
