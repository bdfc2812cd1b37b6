# SPDX-License-Identifier: Apache-2.0
"""Images of both kinds: found by name and by id, listed, deleted."""

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from lkcloud.errors import Refused, UsageError
from lkcloud.provider import Image, Run
from lkcloud_azure import gallery as galleries
from lkcloud_azure import images, leftovers, managed_image, resource_group
from lkcloud_azure.sandbox import AzureStandIn
from lkcloud_azure.sandbox.errors import ApiError
from lkcloud_azure.session import Session
from tests.azure.imaging import (
    DIGEST,
    GROUP,
    OPERATION,
    OTHER_DIGEST,
    hold_image,
    hold_version,
    make_definition,
    make_gallery,
    options_of,
    put_disk,
    registered,
    tiny_disk,
)
from tests.azure.pushing import counted, lose_answers, refuse

IN_GALLERY = options_of(gallery="gal")


def found(session: Session, name: str = "image", **options: object) -> Image:
    image = images.find(session, options_of(**options), name)
    assert image is not None
    return image


@pytest.fixture
def gallery(session: Session) -> None:
    make_gallery(session)
    make_definition(session)


def test_a_managed_image_of_ours_and_one_of_others(azure: AzureStandIn, session: Session) -> None:
    hold_image(azure, "mine")
    hold_image(azure, "theirs", digest="")
    mine, theirs = found(session, "mine"), found(session, "theirs")
    assert (mine.name, mine.digest, mine.ready, mine.kind) == ("mine", DIGEST, True, "managed-image")
    assert (theirs.name, theirs.digest, theirs.created) == ("theirs", "", None)
    assert images.find(session, options_of(), "nobody") is None
    assert images.find(session, options_of(resource_group="elsewhere"), "mine") is None


def test_a_version_is_found_by_its_tags(azure: AzureStandIn, session: Session, gallery: None) -> None:
    make_definition(session, "rows")
    hold_version(azure, "1.0.0", definition="rows", name="first")
    hold_version(azure, "1.0.1", definition="rows", name="second", digest=OTHER_DIGEST)
    hold_version(azure, "1.0.2", definition="rows", name="")
    first = found(session, "first", gallery="gal", definition="rows")
    assert first.id.endswith("/images/rows/versions/1.0.0")
    assert (first.name, first.digest, first.family) == ("first", DIGEST, "rows")
    # Without a definition it is looked for in the one of its own name.
    assert images.find(session, IN_GALLERY, "first") is None
    assert images.find(session, options_of(gallery="gal", definition="rows"), "rows") is None
    assert images.find(session, options_of(gallery="none"), "first") is None


def test_of_several_the_one_that_can_be_used(azure: AzureStandIn, session: Session, gallery: None) -> None:
    hold_version(azure, "1.0.0")
    hold_version(azure, "1.0.10")
    hold_version(azure, "1.0.11", state="Failed")
    assert found(session, gallery="gal").id.endswith("/1.0.10")


def test_an_id_of_either_kind(azure: AzureStandIn, session: Session, gallery: None) -> None:
    hold_image(azure, "mine")
    hold_version(azure, "1.0.0", name="")
    mine = found(session, "mine")
    assert images.get(session, mine.id) == mine
    assert images.get(session, mine.id.upper()) is not None
    place = f"{mine.id.rpartition('/images/')[0]}/galleries/gal/images/image/versions/1.0.0"
    theirs = images.get(session, place)
    assert theirs is not None
    assert (theirs.id, theirs.name, theirs.digest) == (place, "image", "")
    assert images.get(session, place.replace("1.0.0", "1.0.1")) is None
    assert images.get(session, mine.id.replace("mine", "nobody")) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "image",
        "/subscriptions/x",
        "/subscriptions/{s}/resourceGroups/lkcloud/providers/Microsoft.Compute/disks/image",
        "/subscriptions/{s}/resourceGroups/lkcloud/providers/Microsoft.Network/images/image",
        "/subscriptions/{s}/resourceGroups/lkcloud/providers/Microsoft.Compute/galleries/gal/images/image",
        "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/g/providers/Microsoft.Compute/images/image",
    ],
)
def test_what_is_no_id_of_an_image_here_is_not_asked_for(text: str, azure: AzureStandIn, session: Session) -> None:
    azure.traffic.clear()
    assert images.get(session, text.replace("{s}", session.subscription)) is None
    with pytest.raises(UsageError, match="is no image"):
        images.delete(session, Image("azure", "westeurope", text.replace("{s}", session.subscription), "image"))
    assert azure.traffic.operations() == []


@pytest.mark.parametrize("name", ["", "a/b", "../x", "x" * 81, "-x", "x.", "/subscriptions/x", "ü"])
def test_what_is_no_name_is_no_image_and_is_not_asked_for(name: str, azure: AzureStandIn, session: Session) -> None:
    azure.traffic.clear()
    assert images.find(session, options_of(), name) is None
    assert images.find(session, IN_GALLERY, name) is None
    assert azure.traffic.operations() == []


def test_of_a_subscription_that_is_not_there_nothing_is_known(azure: AzureStandIn) -> None:
    address = azure.environment()["LKCLOUD_AZURE_RESOURCE_MANAGER"]
    elsewhere = Session(resource_manager=address, chosen_subscription="11111111-2222-3333-4444-555555555555")
    place = managed_image.place_of(elsewhere, GROUP, "image")
    for look in (
        lambda: images.find(elsewhere, options_of(), "image"),
        lambda: images.find(elsewhere, IN_GALLERY, "image"),
        lambda: images.get(elsewhere, str(place)),
        lambda: images.every(elsewhere, options_of()),
        lambda: list(leftovers.leftovers(elsewhere, options_of(), "image")),
        lambda: galleries.find(elsewhere, galleries.place_of(elsewhere, IN_GALLERY)),
        lambda: resource_group.find(elsewhere, GROUP),
    ):
        with pytest.raises(UsageError, match="could not be found") as raised:
            look()
        assert "--subscription" in raised.value.hint


def test_a_state_that_is_not_ready(azure: AzureStandIn, session: Session, gallery: None) -> None:
    hold_image(azure, state="Creating")
    hold_version(azure, "1.0.0", state="Creating")
    for image in (found(session), found(session, gallery="gal")):
        assert (image.state, image.ready) == ("Creating", False)


def test_the_list_has_ours_from_all_pages_oldest_first(
    azure: AzureStandIn, session: Session, run: Run, gallery: None, tmp_path: Path
) -> None:
    azure.windows.page_size = 2
    make_definition(session, "rows")
    for age, number in enumerate(("1.0.0", "1.0.1", "1.0.2")):
        version = hold_version(azure, number, definition="rows", name=f"v{number}")
        version.published = datetime.now(UTC) - timedelta(days=9 - age)
    hold_version(azure, "2.0.0", definition="rows", name="")
    for name in "ba":
        hold_image(azure, name)  # nothing tells when they were made
    hold_image(azure, "theirs", digest="")
    hold_image(azure, "wrong").tags["lkcloud-digest"] = "no-digest"
    with tiny_disk(tmp_path) as disk:
        registered(session, disk, put_disk(azure, name="new"), run, name="new")
    names = [image.name for image in images.every(session, IN_GALLERY)]
    assert names == ["a", "b", "v1.0.0", "v1.0.1", "v1.0.2", "new"]
    assert counted(azure, "Images.ListByResourceGroup") == 3
    assert [image.name for image in images.every(session, options_of())] == ["a", "b", "new"]
    rows = options_of(gallery="gal", definition="rows", resource_group="elsewhere", gallery_resource_group=GROUP)
    assert [image.name for image in images.every(session, rows)] == ["v1.0.0", "v1.0.1", "v1.0.2"]
    for options in (options_of(gallery="none"), options_of(gallery="gal", definition="none")):
        assert [image.name for image in images.every(session, options)] == ["a", "b", "new"]


def test_who_may_see_the_gallery_alone_sees_its_versions(azure: AzureStandIn, session: Session, gallery: None) -> None:
    hold_version(azure, "1.0.0")
    azure.windows.denied_actions = ("Microsoft.Compute/images/read",)
    assert [image.name for image in images.every(session, IN_GALLERY)] == ["image"]
    with pytest.raises(Refused, match=r"Microsoft\.Compute/images/read"):
        images.every(session, options_of())


def test_a_page_that_is_lost_is_asked_for_again(azure: AzureStandIn, session: Session) -> None:
    azure.windows.page_size = 1
    for name in "abc":
        hold_image(azure, name)
    lose_answers(azure, "Images.ListByResourceGroup")
    assert len(images.every(session, options_of())) == 3


def test_a_deleted_image_is_gone_and_twice_is_no_error(azure: AzureStandIn, session: Session, gallery: None) -> None:
    hold_image(azure)
    hold_version(azure, "1.0.0")
    for image in (found(session), found(session, gallery="gal")):
        images.delete(session, image)
        assert images.get(session, image.id) is None
        images.delete(session, image)


@pytest.mark.parametrize("operation", ["Images.Delete", OPERATION, "Images.Get"])
def test_a_lost_answer_while_deleting(operation: str, azure: AzureStandIn, session: Session) -> None:
    hold_image(azure)
    image = found(session)
    lose_answers(azure, operation)
    images.delete(session, image)
    assert images.get(session, image.id) is None


@pytest.mark.parametrize("options", [{}, {"gallery": "gal"}])
def test_an_image_that_is_being_made_is_deleted_when_it_is_there(
    options: dict[str, str], azure: AzureStandIn, session: Session, gallery: None
) -> None:
    held = hold_version(azure, "1.0.0", state="Creating") if options else hold_image(azure, state="Creating")
    image = found(session, **options)
    timer = threading.Timer(0.3, setattr, [held, "state", "Succeeded"])
    timer.start()
    images.delete(session, image)
    timer.join()
    assert images.get(session, image.id) is None
    assert counted(azure, "GalleryImageVersions.Delete" if options else "Images.Delete") >= 2


def test_a_version_that_was_to_have_a_longer_life_can_be_deleted(
    azure: AzureStandIn, session: Session, run: Run, gallery: None, tmp_path: Path
) -> None:
    """Azure can be told to refuse that, and may do so where nothing is said of it."""
    ends = datetime.now(UTC) + timedelta(days=9)
    with tiny_disk(tmp_path) as disk:
        image = registered(session, disk, put_disk(azure), run, gallery="gal", end_of_life=ends)
    images.delete(session, image)
    assert images.get(session, image.id) is None


def test_a_version_that_others_protect_is_told(azure: AzureStandIn, session: Session, gallery: None) -> None:
    held = hold_version(azure, "1.0.0")
    held.safety, held.end_of_life = {"blockDeletionBeforeEndOfLife": True}, "2099-01-01T00:00:00+00:00"
    with pytest.raises(Refused, match="blockDeletionBeforeEndOfLife") as raised:
        images.delete(session, found(session, gallery="gal"))
    assert "az sig image-version update" in raised.value.hint


def test_an_image_that_may_not_be_deleted(azure: AzureStandIn, session: Session) -> None:
    hold_image(azure)
    azure.windows.denied_actions = ("Microsoft.Compute/images/delete",)
    with pytest.raises(Refused, match=r"Microsoft\.Compute/images/delete"):
        images.delete(session, found(session))


def test_what_else_goes_wrong_is_told(azure: AzureStandIn, session: Session) -> None:
    hold_image(azure)
    refuse(azure, "Images.Delete", ApiError(409, "ScopeLocked", "The scope is locked."))
    with pytest.raises(Refused, match="locked") as raised:
        images.delete(session, found(session))
    assert "az lock list" in raised.value.hint
