# SPDX-License-Identifier: Apache-2.0
"""Images found by name, listed and deleted."""

import threading
from datetime import timedelta

import pytest

from lkcloud.errors import Refused, Unreachable
from lkcloud_gcp import images, operations
from lkcloud_gcp.errors import GcpFault
from lkcloud_gcp.sandbox import GcpStandIn
from lkcloud_gcp.sandbox.errors import ApiError
from lkcloud_gcp.session import Session
from tests.gcp.imaging import DIGEST, OTHER_DIGEST, hold
from tests.gcp.pushing import counted, lose_answers, refuse


def test_an_image_of_ours_and_one_of_others(gcp: GcpStandIn, session: Session) -> None:
    hold(gcp, "mine")
    hold(gcp, "theirs", digest="")
    mine, theirs = images.find(session, "mine"), images.find(session, "theirs")
    assert mine is not None
    assert theirs is not None
    assert (mine.id, mine.name, mine.digest, mine.ready) == ("mine", "mine", DIGEST, True)
    assert dict(mine.tags)["lkcloud-version"] == "1"
    assert mine.blobs == ()
    assert theirs.digest == ""
    assert images.find(session, "nobody") is None


@pytest.mark.parametrize("name", ["", "Upper", "ami-0123_4", "a/b", "../x", "x" * 64, "1234567890123456789"])
def test_what_is_no_name_is_no_image_and_is_not_asked_for(name: str, gcp: GcpStandIn, session: Session) -> None:
    assert images.find(session, name) is None
    assert counted(gcp, "images.get") == 0


def test_a_state_that_is_not_ready(gcp: GcpStandIn, session: Session) -> None:
    hold(gcp, state="PENDING")
    found = images.find(session, "image")
    assert found is not None
    assert (found.state, found.ready) == ("PENDING", False)


def test_the_list_has_ours_from_all_pages_oldest_first(gcp: GcpStandIn, session: Session) -> None:
    gcp.windows.page_size = 2
    for name in "edcba":
        hold(gcp, name)
    hold(gcp, "theirs", digest="")
    held = gcp.holdings.engine.images
    for age, name in enumerate("acebd"):
        held[name].created -= timedelta(hours=age)
    held["theirs"].labels = {"lkcloud-digest": "no-digest"}
    found = images.every(session)
    assert [image.name for image in found] == ["d", "b", "e", "c", "a"]
    assert {image.digest for image in found} == {DIGEST}
    assert counted(gcp, "images.list") == 3


def test_a_page_that_is_lost_is_asked_for_again(gcp: GcpStandIn, session: Session) -> None:
    gcp.windows.page_size = 1
    for name in "abc":
        hold(gcp, name)
    lose_answers(gcp, "images.list")
    assert len(images.every(session)) == 3


def test_a_deleted_image_is_gone_and_twice_is_no_error(gcp: GcpStandIn, session: Session) -> None:
    hold(gcp)
    image = images.find(session, "image")
    assert image is not None
    images.delete(session, image)
    assert images.find(session, "image") is None
    images.delete(session, image)


@pytest.mark.parametrize("operation", ["images.delete", "globalOperations.get"])
def test_a_lost_answer_while_deleting(operation: str, gcp: GcpStandIn, session: Session) -> None:
    hold(gcp)
    image = images.find(session, "image")
    assert image is not None
    lose_answers(gcp, operation)
    images.delete(session, image)
    assert images.find(session, "image") is None


def test_an_image_that_is_being_made_is_deleted_when_it_is_there(gcp: GcpStandIn, session: Session) -> None:
    hold(gcp, state="PENDING")
    image = images.find(session, "image")
    assert image is not None

    def ready() -> None:
        gcp.holdings.engine.images["image"].state = "READY"

    timer = threading.Timer(0.8, ready)
    timer.start()
    images.delete(session, image)
    timer.join()
    assert images.find(session, "image") is None
    assert counted(gcp, "images.delete") >= 2


def test_an_image_that_may_not_be_deleted(gcp: GcpStandIn, session: Session) -> None:
    hold(gcp)
    image = images.find(session, "image")
    assert image is not None
    refuse(gcp, "images.delete", ApiError(403, "forbidden", "Required 'compute.images.delete' permission for 'i'"))
    with pytest.raises(Refused, match=r"deleting the image image") as raised:
        images.delete(session, image)
    assert "compute.images.delete" in raised.value.hint


def test_a_failed_operation_tells_all_that_google_says() -> None:
    from google.cloud import compute_v1

    def failed(**fields: object) -> GcpFault:
        found = operations.fault_of(compute_v1.Operation(status=compute_v1.Operation.Status.DONE, **fields))
        assert found is not None
        return found

    errors = compute_v1.Error(
        errors=[
            compute_v1.Errors(code="ONE", message="The first. "),
            compute_v1.Errors(code="TWO"),
            compute_v1.Errors(code="THREE", message="The first."),
        ]
    )
    several = failed(error=errors, http_error_status_code=400, http_error_message="BAD REQUEST")
    assert (several.reason, several.status, several.message) == ("ONE", 400, "The first; TWO")
    bare = failed(error=compute_v1.Error(errors=[compute_v1.Errors()]), http_error_message="FORBIDDEN")
    assert (bare.reason, bare.status, bare.message) == ("", 0, "FORBIDDEN")
    assert failed(http_error_status_code=503).message == "Google gives no reason"
    assert operations.fault_of(compute_v1.Operation(status=compute_v1.Operation.Status.DONE)) is None


def test_an_operation_that_takes_too_long(gcp: GcpStandIn, session: Session) -> None:
    gcp.windows.operation = 5.0
    hold(gcp)
    started = session.images.delete_unary(project=session.project, image="image")
    with pytest.raises(Unreachable, match="gcp: deleting it is not done after 0 seconds") as raised:
        operations.wait(session, started, doing="deleting it", limit=0.3)
    assert "same command" in raised.value.hint


def test_only_the_operation_that_makes_an_image_is_found(gcp: GcpStandIn, session: Session) -> None:
    hold(gcp, digest=OTHER_DIGEST)
    shown = images.get(session, "image")
    assert shown is not None
    assert operations.inserting(session, shown.id) is None
    session.images.delete_unary(project=session.project, image="image")
    assert operations.inserting(session, shown.id) is None
