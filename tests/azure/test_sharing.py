# SPDX-License-Identifier: Apache-2.0
"""Who may use an image: roles are given once, and community galleries published where that is possible."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from lkcloud.errors import LkcloudError, NotFound, Refused, UsageError
from lkcloud.provider import Image, Run
from lkcloud_azure import images, sharing
from lkcloud_azure.options import AzureOptions, Principal
from lkcloud_azure.sandbox import AzureStandIn
from lkcloud_azure.sandbox.errors import ApiError
from lkcloud_azure.session import Session
from tests.azure.imaging import (
    GROUP,
    hold_image,
    hold_version,
    make_definition,
    make_gallery,
    options_of,
    put_disk,
    registered,
    tiny_disk,
)
from tests.azure.pushing import Noting, counted, lose_answers, others, refuse

ALICE, OPS = "11111111-2222-3333-4444-55555555555a", "66666666-7777-8888-9999-00000000000b"
PUT, LIST = "RoleAssignments.Create", "RoleAssignments.ListForScope"
SHARE = "GallerySharingProfile.Update"


@pytest.fixture
def managed(azure: AzureStandIn, session: Session) -> Image:
    hold_image(azure)
    found = images.find(session, options_of(), "image")
    assert found is not None
    return found


@pytest.fixture
def version(azure: AzureStandIn, session: Session) -> Image:
    make_gallery(session)
    make_definition(session)
    return held(azure, session)


@pytest.fixture
def community(azure: AzureStandIn, session: Session) -> Image:
    """Return a version in a community gallery that is not public yet."""
    make_gallery(session, community=True)
    make_definition(session)
    return held(azure, session)


def held(azure: AzureStandIn, session: Session) -> Image:
    hold_version(azure, "1.0.0")
    found = images.find(session, options_of(gallery="gal"), "image")
    assert found is not None
    return found


def share(session: Session, image: Image, run: Run, **options: object) -> Noting:
    noting = Noting()
    sharing.share(session, options_of(**options), image, Run(run.journal, noting))
    return noting


def readers(azure: AzureStandIn) -> list[tuple[str, str]]:
    """Return scope and principal of each assignment of the role Reader."""
    return [(one.scope, one.principal) for one in azure.holdings.assignments.values() if one.role == sharing.READER]


def test_nobody_named_nothing_asked(azure: AzureStandIn, session: Session, managed: Image, run: Run) -> None:
    azure.traffic.clear()
    share(session, managed, run)
    assert azure.traffic.operations() == []


def test_a_managed_image_is_shared_by_itself(azure: AzureStandIn, session: Session, managed: Image, run: Run) -> None:
    noting = share(session, managed, run, share_with=(ALICE, f"user:{OPS}", ALICE.upper()))
    assert readers(azure) == [(managed.id, ALICE), (managed.id, OPS)]
    assert noting.notes == [f"{managed.id} can now be used by {ALICE}, {OPS}"]


def test_of_a_version_its_definition_is_shared(azure: AzureStandIn, session: Session, version: Image, run: Run) -> None:
    """So `latest` works for those who may use it, which it does not for who may use one version."""
    share(session, version, run, share_with=(ALICE,))
    assert readers(azure) == [(version.id.rpartition("/versions/")[0], ALICE)]


def test_again_gives_nothing(azure: AzureStandIn, session: Session, managed: Image, run: Run) -> None:
    share(session, managed, run, share_with=(ALICE,))
    assert share(session, managed, run, share_with=(ALICE,)).notes == []
    assert counted(azure, PUT) == 1


def test_who_has_it_above_has_it(azure: AzureStandIn, session: Session, version: Image, run: Run) -> None:
    give(session, f"/subscriptions/{session.subscription}/resourceGroups/{GROUP}", ALICE)
    assert share(session, version, run, share_with=(ALICE,)).notes == []
    assert counted(azure, PUT) == 1


def test_who_has_it_beside_or_below_has_not(
    azure: AzureStandIn, session: Session, version: Image, managed: Image, run: Run
) -> None:
    hold_image(azure, "image-2")
    for scope in (f"{managed.id}-2", version.id):
        give(session, scope, ALICE)
    assert len(share(session, managed, run, share_with=(ALICE,)).notes) == 1
    assert len(share(session, version, run, share_with=(ALICE,)).notes) == 1


def test_who_may_not_see_assignments_may_give_them(
    azure: AzureStandIn, session: Session, managed: Image, run: Run
) -> None:
    """The same assignment has the same name; one that somebody else has made under another is no error."""
    azure.windows.denied_actions = ("Microsoft.Authorization/roleAssignments/read",)
    share(session, managed, run, share_with=(ALICE,))
    share(session, managed, run, share_with=(ALICE,))
    assert readers(azure) == [(managed.id, ALICE)]
    azure.holdings.assignments.clear()
    give(session, managed.id, ALICE)
    assert share(session, managed, run, share_with=(ALICE,)).notes == []
    assert readers(azure) == [(managed.id, ALICE)]


@pytest.mark.parametrize("operation", [PUT, LIST])
def test_a_lost_answer_gives_once(
    operation: str, azure: AzureStandIn, session: Session, managed: Image, run: Run
) -> None:
    lose_answers(azure, operation)
    share(session, managed, run, share_with=(ALICE,))
    assert readers(azure) == [(managed.id, ALICE)]
    assert counted(azure, operation) == 2


def test_a_service_principal_needs_no_kind(azure: AzureStandIn, session: Session, managed: Image, run: Run) -> None:
    """The SDK would say that it is a user, which Azure refuses; nothing is said where nothing is known."""
    azure.windows.service_principals = (OPS,)
    share(session, managed, run, share_with=(OPS,))
    share(session, managed, run, share_with=(f"serviceprincipal:{OPS}",))
    [assignment] = azure.holdings.assignments.values()
    assert assignment.principal_kind == "ServicePrincipal"
    with pytest.raises(UsageError, match="different from specified") as raised:
        share(session, managed, run, share_with=(f"group:{ALICE}",))
    assert "kind" in raised.value.hint


def test_who_is_not_in_the_directory(azure: AzureStandIn, session: Session, managed: Image, run: Run) -> None:
    azure.windows.strangers = (ALICE,)
    with pytest.raises(UsageError, match="does not exist in the directory") as raised:
        share(session, managed, run, share_with=(ALICE,))
    assert "servicePrincipal:OBJECT_ID" in raised.value.hint


def test_who_may_not_share_is_told_what_it_takes(
    azure: AzureStandIn, session: Session, managed: Image, run: Run
) -> None:
    azure.windows.denied_actions = ("Microsoft.Authorization/roleAssignments/write",)
    with pytest.raises(Refused, match="roleAssignments/write") as raised:
        share(session, managed, run, share_with=(ALICE,))
    assert "Role Based Access Control Administrator" in raised.value.hint


def test_other_trouble_is_told(azure: AzureStandIn, session: Session, managed: Image, run: Run) -> None:
    refuse(azure, LIST, ApiError(400, "BadRequest", "The filter is not good."))
    with pytest.raises(LkcloudError, match="not good"):
        share(session, managed, run, share_with=(ALICE,))
    with pytest.raises(UsageError, match="no id of an image"):
        share(session, Image("azure", "westeurope", "image", "image"), run, share_with=(ALICE,))


def give(session: Session, scope: str, principal: str) -> None:
    """Give the role Reader on SCOPE, as somebody else would."""
    from azure.mgmt.authorization.v2022_04_01 import models

    role = f"/subscriptions/{session.subscription}/providers/Microsoft.Authorization/roleDefinitions/{sharing.READER}"
    wanted = models.RoleAssignmentCreateParameters(role_definition_id=role, principal_id=principal)
    name = f"{len(scope):08x}-0000-4000-8000-000000000000"
    session.authorization.role_assignments.create(scope, name, wanted)


@pytest.mark.parametrize("text", ["alice@example.com", "11111111", f"app:{ALICE}", f"{ALICE}x", ""])
def test_what_is_no_object_id_is_refused_at_once(text: str) -> None:
    with pytest.raises(ValidationError, match="no object id"):
        AzureOptions(share_with=(text,))


def test_principals_are_told_once_and_with_their_kind() -> None:
    texts = (ALICE, f"Group:{OPS}", ALICE.upper(), f"servicePrincipal:{ALICE}")
    assert AzureOptions(share_with=texts).principals == (
        Principal(ALICE, None),
        Principal(OPS, "Group"),
        Principal(ALICE, "ServicePrincipal"),
    )


def test_a_community_gallery_is_published_once(
    azure: AzureStandIn, session: Session, community: Image, run: Run
) -> None:
    noting = share(session, community, run, public=True)
    [note] = noting.notes
    name = note.partition("/CommunityGalleries/")[2].partition("/")[0]
    assert name.startswith("lkcloud-")
    assert note == f"everybody can use /CommunityGalleries/{name}/Images/image/Versions/1.0.0"
    with others(azure):
        seen = session.compute.community_gallery_image_versions.get("westeurope", name, "image", "1.0.0")
    assert seen.name == "1.0.0"
    assert share(session, community, run, public=True).notes == noting.notes
    assert counted(azure, SHARE) == 1


@pytest.mark.parametrize("operation", [SHARE, "Galleries.Get"])
def test_publishing_with_a_lost_answer(
    operation: str, azure: AzureStandIn, session: Session, community: Image, run: Run
) -> None:
    lose_answers(azure, operation)
    assert len(share(session, community, run, public=True).notes) == 1


def test_publishing_that_is_refused(azure: AzureStandIn, session: Session, community: Image, run: Run) -> None:
    azure.windows.denied_actions = ("Microsoft.Compute/galleries/share/action",)
    with pytest.raises(Refused, match="share/action") as raised:
        share(session, community, run, public=True)
    assert "Compute Gallery Sharing Admin" in raised.value.hint


def test_a_private_gallery_cannot_be_public(azure: AzureStandIn, session: Session, version: Image, run: Run) -> None:
    with pytest.raises(UsageError, match="was not made for the community") as raised:
        share(session, version, run, public=True)
    assert "--create-gallery" in raised.value.hint
    assert counted(azure, SHARE) == 0


def test_a_managed_image_cannot_be_public(session: Session, managed: Image, run: Run) -> None:
    with pytest.raises(UsageError, match="cannot be public") as raised:
        share(session, managed, run, public=True)
    assert "--gallery" in raised.value.hint


def test_sovereign_clouds_have_no_community(session: Session, community: Image, run: Run) -> None:
    with pytest.raises(UsageError, match="AzureUSGovernment has no community galleries"):
        share(session, community, run, public=True, cloud_environment="AzureUSGovernment")


def test_what_was_made_elsewhere_would_not_be_shown(
    azure: AzureStandIn, session: Session, community: Image, run: Run
) -> None:
    hold_version(azure, "1.0.0").location = "eastus"
    with pytest.raises(UsageError, match="was made in eastus") as raised:
        share(session, community, run, public=True)
    assert "--location westeurope" in raised.value.hint
    assert counted(azure, SHARE) == 0


def test_what_is_encrypted_is_not_for_everybody(
    azure: AzureStandIn, session: Session, community: Image, run: Run
) -> None:
    key = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/diskEncryptionSets/k"
    hold_version(azure, "1.0.0").regions[0].encryption = {"osDiskImage": {"diskEncryptionSetId": key}}
    with pytest.raises(UsageError, match="encrypted") as raised:
        share(session, community, run, public=True)
    assert "--disk-encryption-set" in raised.value.hint
    assert counted(azure, SHARE) == 0


def test_what_is_gone_cannot_be_shared(azure: AzureStandIn, session: Session, community: Image, run: Run) -> None:
    images.delete(session, community)
    with pytest.raises(NotFound, match="there is no image"):
        share(session, community, run, public=True)


def test_from_push_to_public(azure: AzureStandIn, session: Session, run: Run, tmp_path: Path) -> None:
    options = {
        "gallery": "gal",
        "create_gallery": True,
        "public": True,
        "community_prefix": "lkcloud",
        "publisher_uri": "https://example.com",
        "publisher_contact": "images@example.com",
        "eula": "https://example.com/terms",
    }
    with tiny_disk(tmp_path) as disk:
        image = registered(session, disk, put_disk(azure), run, **options)
    [note] = share(session, image, run, **options).notes
    assert note.startswith("everybody can use /CommunityGalleries/lkcloud-")
