# SPDX-License-Identifier: Apache-2.0
"""Images that are withdrawn, as far as Azure can do that, how it is taken back, and versions whose end has come."""

from datetime import UTC, datetime, timedelta

import pytest

from lkcloud.errors import Conflict, NotFound, Refused
from lkcloud.provider import Deprecation, Image, Run, Status
from lkcloud_azure import Azure, images, lifecycle, managed_image, naming, sharing, sweeping, withdrawal
from lkcloud_azure.naming import WITHDRAWN
from lkcloud_azure.sandbox import AzureStandIn
from lkcloud_azure.sandbox.errors import ApiError
from lkcloud_azure.sandbox.gallery import Version, latest
from lkcloud_azure.session import Session
from tests.azure.imaging import hold_image, hold_version, make_definition, make_gallery, options_of
from tests.azure.pushing import Noting, counted, lose_answers, refuse

JANE = "11111111-2222-3333-4444-555555555555"
UPDATE = "GalleryImageVersions.Update"


@pytest.fixture
def managed(azure: AzureStandIn, session: Session, run: Run) -> Image:
    held = hold_image(azure)
    sharing.share(session, options_of(share_with=f"user:{JANE}"), found(session, str(held.id)), run)
    return found(session, str(held.id))


@pytest.fixture
def version(azure: AzureStandIn, session: Session) -> Image:
    make_gallery(session)
    make_definition(session)
    hold_version(azure, "1.0.1", name="newer", excluded=False)
    held = hold_version(azure, "1.0.0", excluded=False)
    held.tags["theirs"] = "yes"
    return found(session, str(held.id))


def found(session: Session, identity: str) -> Image:
    image = images.get(session, identity)
    assert image is not None
    return image


def withdraw(session: Session, image: Image, run: Run) -> Noting:
    noting = Noting()
    withdrawal.withdraw(session, image, Run(run.journal, noting))
    return noting


def assignments(azure: AzureStandIn) -> list[str]:
    return [one.scope for one in azure.holdings.assignments.values()]


def test_a_managed_image_is_shared_with_nobody_and_then_tagged(
    azure: AzureStandIn, session: Session, managed: Image, run: Run
) -> None:
    azure.traffic.clear()
    noting = withdraw(session, managed, run)
    now = found(session, managed.id)
    assert assignments(azure) == []
    assert now.withdrawn is not None
    assert datetime.now(UTC) - now.withdrawn < timedelta(minutes=5)
    assert (now.digest, now.ready) == (managed.digest, True)
    assert noting.notes == ["image is no longer shared with anybody"]
    done = azure.traffic.operations()
    assert done.index("RoleAssignments.Delete") < done.index("Images.Update")


def test_roles_above_it_and_others_of_it_stay(azure: AzureStandIn, session: Session, managed: Image, run: Run) -> None:
    from azure.mgmt.authorization.v2022_04_01 import models

    group = managed.id.partition("/providers/")[0]
    owner = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635"
    for scope, role in ((group, sharing.READER), (managed.id, owner)):
        wanted = models.RoleAssignmentCreateParameters(
            role_definition_id=f"{group.partition('/resourceGroups')[0]}/providers/Microsoft.Authorization/"
            f"roleDefinitions/{role}",
            principal_id=JANE,
            principal_type="User",
        )
        session.authorization.role_assignments.create(scope, JANE.replace("1", role[0]), wanted)
    withdraw(session, managed, run)
    assert sorted(assignments(azure)) == sorted([group, managed.id])


def test_latest_passes_over_a_version_and_its_tags_stay(
    azure: AzureStandIn, session: Session, version: Image, run: Run
) -> None:
    noting = withdraw(session, version, run)
    now = found(session, version.id)
    assert now.withdrawn is not None
    assert {"theirs": "yes", naming.NAME: "image"}.items() <= dict(now.tags).items()
    held = azure.holdings.get(Version, version.id)
    assert held is not None
    assert held.excluded
    assert "by its number" in noting.notes[0]
    assert counted(azure, UPDATE) == 1


@pytest.mark.parametrize("kind", ["managed", "version"])
def test_again_it_keeps_its_date(
    azure: AzureStandIn, session: Session, run: Run, request: pytest.FixtureRequest, kind: str
) -> None:
    image: Image = request.getfixturevalue(kind)
    withdraw(session, image, run)
    since = found(session, image.id).withdrawn
    azure.traffic.clear()
    assert withdraw(session, image, run).notes == [f"{image.id} is withdrawn already"]
    assert found(session, image.id).withdrawn == since
    assert not {UPDATE, "Images.Update"} & set(azure.traffic.operations())


@pytest.mark.parametrize(
    ("kind", "operation"),
    [("managed", "RoleAssignments.Delete"), ("managed", "Images.Update"), ("version", UPDATE)],
)
def test_what_is_refused_or_whose_answer_is_lost_is_gone_on_from(
    azure: AzureStandIn, session: Session, run: Run, request: pytest.FixtureRequest, kind: str, operation: str
) -> None:
    image: Image = request.getfixturevalue(kind)
    refuse(azure, operation, ApiError(403, "AuthorizationFailed", "The client does not have authorization."))
    with pytest.raises(Refused):
        withdraw(session, image, run)
    assert found(session, image.id).withdrawn is None
    lose_answers(azure, operation)
    withdraw(session, image, run)
    assert found(session, image.id).withdrawn is not None
    assert assignments(azure) == []


@pytest.mark.parametrize("kind", ["managed", "version"])
def test_nobody_new_comes_to_it_until_it_is_taken_back(
    azure: AzureStandIn, session: Session, run: Run, request: pytest.FixtureRequest, kind: str
) -> None:
    image: Image = request.getfixturevalue(kind)
    withdraw(session, image, run)
    provider = Azure(options_of(share_with=JANE, latest=True))
    for lead in (provider.share, provider.promote):
        with pytest.raises(Conflict, match="was withdrawn on") as raised:
            lead(found(session, image.id), run)
        assert f"lkcloud deprecate azure {image.id} --status active" in raised.value.hint
    lifecycle.deprecate(session, found(session, image.id), Deprecation(Status.ACTIVE), run)
    now = found(session, image.id)
    assert now.withdrawn is None
    assert WITHDRAWN not in dict(now.tags)


def test_a_version_with_an_end_of_life_is_taken_back_as_well(
    azure: AzureStandIn, session: Session, version: Image, run: Run
) -> None:
    held = azure.holdings.get(Version, version.id)
    assert held is not None
    held.end_of_life = "2099-01-01T00:00:00+00:00"
    withdraw(session, version, run)
    lifecycle.deprecate(session, found(session, version.id), Deprecation(Status.ACTIVE), run)
    assert found(session, version.id).withdrawn is None
    # What `latest` leads to, promotion decides.
    assert held.excluded
    assert held.end_of_life.startswith("2099-01-01")


def test_who_lets_latest_lead_to_it_again_has_taken_it_back(
    azure: AzureStandIn, session: Session, version: Image, run: Run
) -> None:
    withdraw(session, version, run)
    held = azure.holdings.get(Version, version.id)
    assert held is not None
    held.excluded = False
    assert found(session, version.id).withdrawn is None
    withdraw(session, version, run)
    assert found(session, version.id).withdrawn is not None
    assert held.excluded


def test_what_is_obsolete_keeps_the_mark(session: Session, version: Image, run: Run) -> None:
    withdraw(session, version, run)
    lifecycle.deprecate(session, found(session, version.id), Deprecation(Status.OBSOLETE), run)
    assert found(session, version.id).withdrawn is not None


def test_what_is_gone_cannot_be_withdrawn(session: Session, managed: Image, run: Run) -> None:
    images.delete(session, managed)
    with pytest.raises(NotFound):
        withdraw(session, managed, run)
    place = naming.ResourceId.parse(managed.id)
    assert place is not None
    with pytest.raises(NotFound):
        managed_image.put_tag(session, place, WITHDRAWN, "x")


def test_versions_whose_end_has_come_are_due(azure: AzureStandIn, session: Session, version: Image, run: Run) -> None:
    options = options_of(gallery="gal")
    held = azure.holdings.get(Version, version.id)
    assert held is not None
    held.end_of_life = "2026-01-01T00:00:00+00:00"
    ends = datetime(2026, 1, 1, tzinfo=UTC)
    assert list(sweeping.due(session, options, ends - timedelta(days=1))) == []
    [due] = sweeping.due(session, options, ends)
    assert (due.image.id, due.since, due.ends) == (version.id, ends, True)
    assert due.deprecation == Deprecation(Status.OBSOLETE)
    lifecycle.deprecate(session, due.image, due.deprecation, run)
    assert held.excluded
    [due] = sweeping.due(session, options, ends)
    assert (due.deprecation, due.ends) == (None, True)
    found_head = latest(azure.holdings, version.id.rpartition("/versions/")[0], version.region)
    assert found_head is not None
    assert found_head.name == "1.0.1"
    # Neither another definition nor managed images have such a date.
    assert list(sweeping.due(session, options_of(gallery="gal", definition="other"), ends)) == []
    assert list(sweeping.due(session, options_of(), ends)) == []
