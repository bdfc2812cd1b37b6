# SPDX-License-Identifier: Apache-2.0
"""Galleries and image definitions: made where the user asks for it, taken as they are where the image fits."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lkcloud.disk import Disk
from lkcloud.errors import Conflict, LkcloudError, NotFound, UsageError
from lkcloud.provider import Finding, Run
from lkcloud_azure import AzureOptions, gallery, gallery_definition
from lkcloud_azure.sandbox import AzureStandIn
from lkcloud_azure.sandbox.errors import ApiError
from lkcloud_azure.session import Session
from tests.azure.imaging import GROUP, make_definition, make_gallery, options_of, put_disk, source_of, tiny_disk
from tests.azure.pushing import Noting, counted, lose_answers, others, refuse

COMMUNITY = {
    "community_prefix": "lkcloud",
    "publisher_uri": "https://example.com",
    "publisher_contact": "images@example.com",
    "eula": "https://example.com/terms",
}


@pytest.fixture
def disk(tmp_path: Path, azure: AzureStandIn) -> Iterator[Disk]:
    put_disk(azure)  # the resource group is there by then
    with tiny_disk(tmp_path) as opened:
        yield opened


def chosen(**options: object) -> AzureOptions:
    return options_of(gallery="gal", **options)


def ensure(session: Session, disk: Disk, run: Run, **options: object) -> tuple[str, Noting]:
    noting = Noting()
    security = gallery.ensure(session, chosen(**options), source_of(disk), "westeurope", Run(run.journal, noting))
    return security, noting


def definition(session: Session, name: str = "image") -> Any:
    return session.compute.gallery_images.get(GROUP, "gal", name)


def features(shown: Any) -> dict[str, str]:
    return {one.name: one.value for one in shown.properties.features}


def check(session: Session, disk: Disk, **options: object) -> list[Finding]:
    return list(gallery.check(session, chosen(**options), source_of(disk)))


def test_nothing_to_make_where_none_is_named(azure: AzureStandIn, session: Session, disk: Disk) -> None:
    azure.traffic.clear()
    assert list(gallery.check(session, options_of(), source_of(disk))) == []
    assert azure.traffic.operations() == []


def test_gallery_and_definition_are_made_with_all_that_is_known(session: Session, disk: Disk, run: Run) -> None:
    security, noting = ensure(session, disk, run, create_gallery=True, tag=("team=os",))
    assert security == "Standard"
    assert noting.notes == ["made the gallery gal", "made the image definition image"]
    made = session.compute.galleries.get(GROUP, "gal")
    assert (made.location, made.tags, gallery.permission(made)) == ("westeurope", {"team": "os"}, "Private")
    shown = definition(session)
    said = shown.properties
    assert (shown.location, shown.tags, said.description) == ("westeurope", {"team": "os"}, "a description")
    assert (said.architecture, said.hyper_v_generation, said.os_type, said.os_state) == (
        "x64",
        "V2",
        "Linux",
        "Generalized",
    )
    identifier = said.identifier
    assert (identifier.publisher, identifier.offer, identifier.sku) == ("lkcloud", "image", "v2-x64")
    # Where no security type is said, Azure takes one for Trusted Launch.
    assert features(shown) == {
        "SecurityType": "Standard",
        "DiskControllerTypes": "SCSI, NVMe",
        "IsAcceleratedNetworkSupported": "True",
    }


def test_every_option_reaches_the_definition(session: Session, disk: Disk, run: Run) -> None:
    security, _ = ensure(
        session,
        disk,
        run,
        create_gallery=True,
        definition="def",
        architecture="Arm64",
        os_type="Windows",
        os_state="Specialized",
        publisher="me",
        offer="my-os",
        sku="arm",
        security_type="TrustedLaunchSupported",
        disk_controller_type=("SCSI",),
        accelerated_network=False,
    )
    assert security == "TrustedLaunchSupported"
    said = definition(session, "def").properties
    assert (said.architecture, said.hyper_v_generation, said.os_type, said.os_state) == (
        "Arm64",
        "V2",
        "Windows",
        "Specialized",
    )
    assert (said.identifier.publisher, said.identifier.offer, said.identifier.sku) == ("me", "my-os", "arm")
    assert features(definition(session, "def")) == {
        "SecurityType": "TrustedLaunchSupported",
        "DiskControllerTypes": "SCSI",
        "IsAcceleratedNetworkSupported": "False",
    }


def test_a_first_generation_has_no_nvme(session: Session, disk: Disk, run: Run) -> None:
    ensure(session, disk, run, create_gallery=True, hyper_v_generation="V1")
    shown = definition(session)
    assert shown.properties.hyper_v_generation == "V1"
    assert features(shown) == {"SecurityType": "Standard", "IsAcceleratedNetworkSupported": "True"}
    assert gallery_definition.controllers(shown) == ("SCSI",)
    assert check(session, disk, hyper_v_generation="V1", disk_controller_type=("SCSI",)) == []


def test_a_long_name_makes_a_shorter_offer(session: Session, disk: Disk, run: Run) -> None:
    name = "n" * 63 + "." + "m" * 16
    ensure(session, disk, run, create_gallery=True, definition=name)
    assert definition(session, name).properties.identifier.offer == "n" * 63


def test_a_gallery_in_another_resource_group(session: Session, disk: Disk, run: Run) -> None:
    ensure(session, disk, run, create_gallery=True, gallery_resource_group="galleries")
    assert session.resources.resource_groups.get("galleries").location == "westeurope"
    assert session.compute.galleries.get("galleries", "gal").name == "gal"


def test_what_is_missing_is_not_made_unasked(azure: AzureStandIn, session: Session, disk: Disk, run: Run) -> None:
    with pytest.raises(NotFound, match="no gallery gal in the resource group lkcloud") as raised:
        ensure(session, disk, run)
    assert "--create-gallery" in raised.value.hint
    [finding] = check(session, disk)
    assert (f"azure: {finding.problem}", finding.hint) == (raised.value.message, raised.value.hint)
    make_gallery(session)
    with pytest.raises(NotFound, match="no image definition image in the gallery gal") as raised:
        ensure(session, disk, run)
    assert "--create-gallery" in raised.value.hint
    [finding] = check(session, disk)
    assert (f"azure: {finding.problem}", finding.hint) == (raised.value.message, raised.value.hint)
    assert counted(azure, "GalleryImages.CreateOrUpdate") == 0


def test_what_will_be_made_is_in_nobodys_way(session: Session, disk: Disk) -> None:
    assert check(session, disk, create_gallery=True) == []
    make_gallery(session)
    assert check(session, disk, create_gallery=True) == []
    make_definition(session)
    assert check(session, disk) == []


def test_what_is_there_is_taken_and_not_written_to(azure: AzureStandIn, session: Session, disk: Disk, run: Run) -> None:
    make_gallery(session, location="eastus")
    make_definition(session, location="eastus", features={"SecurityType": "TrustedLaunchSupported"})
    azure.traffic.clear()
    security, noting = ensure(session, disk, run, create_gallery=True)
    assert (security, noting.notes) == ("TrustedLaunchSupported", [])
    assert azure.traffic.operations() == ["Galleries.Get", "GalleryImages.Get"]


@pytest.mark.parametrize(
    ("made", "options", "message"),
    [
        ({"architecture": "Arm64"}, {}, "architecture Arm64, and the image has x64"),
        ({"hyper_v_generation": "V1", "features": {"SecurityType": "Standard"}}, {}, "Hyper-V generation V1"),
        ({}, {"hyper_v_generation": "V1"}, "Hyper-V generation V2, and the image has V1"),
        ({"os_type": "Windows"}, {}, "operating system Windows"),
        ({"os_state": "Specialized"}, {}, "operating system state Specialized"),
        ({}, {"security_type": "TrustedLaunchSupported"}, "security type Standard, and not TrustedLaunchSupported"),
        (
            {"features": {"SecurityType": "TrustedLaunchSupported"}},
            {"security_type": "Standard"},
            "security type TrustedLaunchSupported, and not Standard",
        ),
        ({}, {"disk_controller_type": ("SCSI", "NVMe")}, "disk controller types SCSI, and not SCSI, NVMe"),
        ({}, {"accelerated_network": True}, "accelerated network False, and not True"),
        ({}, {"publisher": "somebody"}, "publisher me, and not somebody"),
        ({}, {"offer": "other"}, "offer image, and not other"),
        ({}, {"sku": "other"}, "SKU sku, and not other"),
        ({}, {"uefi_template": "MicrosoftWindowsTemplate"}, "no Secure Boot keys of their own"),
    ],
)
def test_a_definition_for_other_images_is_told(
    made: dict[str, Any], options: dict[str, Any], message: str, session: Session, disk: Disk, run: Run
) -> None:
    make_gallery(session)
    make_definition(session, **{"features": {"SecurityType": "Standard"}, **made})
    with pytest.raises(UsageError, match=message) as raised:
        ensure(session, disk, run, create_gallery=True, **options)
    assert "--definition" in raised.value.hint
    problems = [f"azure: {finding.problem}" for finding in check(session, disk, **options)]
    assert raised.value.message in problems


def test_words_that_mean_the_same_are_the_same(session: Session, disk: Disk, run: Run) -> None:
    make_gallery(session)
    said = {"SecurityType": "trustedlaunchsupported", "diskcontrollertypes": "NVMe,SCSI"}
    make_definition(session, features={**said, "IsAcceleratedNetworkSupported": "TRUE"})
    security, _ = ensure(
        session,
        disk,
        run,
        security_type="TrustedLaunchSupported",
        disk_controller_type=("SCSI", "NVMe"),
        accelerated_network=True,
        uefi_template="MicrosoftWindowsTemplate",
    )
    assert security.lower() == "trustedlaunchsupported"


def test_an_identifier_that_another_definition_has(session: Session, disk: Disk, run: Run) -> None:
    make_gallery(session)
    make_definition(session, "other", identifier=("lkcloud", "image", "v2-x64"))
    with pytest.raises(Conflict, match="other identified by") as raised:
        ensure(session, disk, run, create_gallery=True)
    assert "--offer" in raised.value.hint
    [finding] = check(session, disk, create_gallery=True)
    assert "the image definition other has" in finding.problem
    assert finding.hint == raised.value.hint
    assert check(session, disk, create_gallery=True, sku="another") == []


def test_a_gallery_that_has_its_name_elsewhere(session: Session, disk: Disk, run: Run) -> None:
    """The names of galleries are unique in a subscription."""
    ensure(session, disk, run, create_gallery=True, gallery_resource_group="galleries")
    with pytest.raises(Conflict, match="not unique"):
        ensure(session, disk, run, create_gallery=True)


@pytest.mark.parametrize(
    "operation", ["Galleries.CreateOrUpdate", "GalleryImages.CreateOrUpdate", "Galleries.Get", "GalleryImages.Get"]
)
def test_a_lost_answer_makes_them_once(
    operation: str, azure: AzureStandIn, session: Session, disk: Disk, run: Run
) -> None:
    lose_answers(azure, operation)
    ensure(session, disk, run, create_gallery=True)
    assert [one.name for one in session.compute.gallery_images.list_by_gallery(GROUP, "gal")] == ["image"]


def test_two_runs_at_once_make_them_once(azure: AzureStandIn, session: Session, disk: Disk, run: Run) -> None:
    gate = threading.Barrier(2, timeout=10)
    met: list[str] = []

    def together(seen: Any) -> None:
        if seen.phase == "before" and seen.operation.endswith(".CreateOrUpdate") and met.count(seen.operation) < 2:
            met.append(seen.operation)
            gate.wait()

    azure.traffic.hooks.append(together)  # type: ignore[arg-type]  # it answers nothing
    made: list[str] = []
    thread = threading.Thread(target=lambda: made.append(ensure(session, disk, run, create_gallery=True)[0]))
    thread.start()
    made.append(ensure(session, disk, run, create_gallery=True)[0])
    thread.join()
    assert made == ["Standard", "Standard"]
    assert counted(azure, "Galleries.CreateOrUpdate") == 2


def test_one_that_is_being_deleted_is_made_again(azure: AzureStandIn, session: Session, disk: Disk, run: Run) -> None:
    make_gallery(session)
    make_definition(session)
    azure.windows.operation = 0.3
    with others(azure):
        session.compute.gallery_images.begin_delete(GROUP, "gal", "image", polling=False)
    ensure(session, disk, run, create_gallery=True)
    assert definition(session).properties.identifier.publisher == "lkcloud"


def test_a_gallery_for_the_community(session: Session, disk: Disk, run: Run) -> None:
    ensure(session, disk, run, create_gallery=True, **COMMUNITY)
    shown = session.compute.galleries.get(GROUP, "gal")
    assert gallery.permission(shown) == "Community"
    assert shown.properties is not None
    assert shown.properties.sharing_profile is not None
    info = shown.properties.sharing_profile.community_gallery_info
    assert info is not None
    assert (info.public_name_prefix, info.publisher_uri) == ("lkcloud", "https://example.com")
    assert (info.publisher_contact, info.eula) == ("images@example.com", "https://example.com/terms")
    assert not info.community_gallery_enabled
    assert check(session, disk, public=True) == []


@pytest.mark.parametrize("left_out", list(COMMUNITY))
def test_a_gallery_for_the_community_says_whose_it_is(left_out: str, session: Session, disk: Disk, run: Run) -> None:
    given = {key: value for key, value in COMMUNITY.items() if key != left_out}
    with pytest.raises(UsageError, match="whose it is") as raised:
        ensure(session, disk, run, create_gallery=True, public=True, **given)
    assert "--publisher-uri" in raised.value.hint
    [finding] = check(session, disk, create_gallery=True, public=True, **given)
    assert "whose it is" in finding.problem


def test_a_private_gallery_cannot_become_public(session: Session, disk: Disk) -> None:
    make_gallery(session)
    make_definition(session)
    [finding] = check(session, disk, public=True)
    assert "cannot become public" in finding.problem


def test_what_azure_refuses_is_told(azure: AzureStandIn, session: Session, disk: Disk, run: Run) -> None:
    azure.windows.denied_actions = ("Microsoft.Compute/galleries/write",)
    with pytest.raises(LkcloudError, match=r"Microsoft\.Compute/galleries/write"):
        ensure(session, disk, run, create_gallery=True)
    azure.windows.denied_actions = ()
    refuse(azure, "GalleryImages.CreateOrUpdate", ApiError(400, "InvalidParameter", "The value is invalid."))
    with pytest.raises(UsageError, match="is invalid"):
        ensure(session, disk, run, create_gallery=True)


def test_a_name_that_no_definition_has_is_not_asked_for(azure: AzureStandIn, session: Session) -> None:
    azure.traffic.clear()
    place = gallery_definition.place_of(session, chosen(), "a/../b")
    assert gallery_definition.find(session, place) is None
    assert azure.traffic.operations() == []
