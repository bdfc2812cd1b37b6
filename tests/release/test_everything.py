# SPDX-License-Identifier: Apache-2.0
"""One release file, two architectures, three clouds: published, again, broken in the middle, and not booting."""

import re
from collections.abc import Iterable
from pathlib import Path

import pytest

from lkcloud.release.manifest import Published
from lkcloud.sandbox.qemu import missing
from lkcloud_aws.sandbox import AwsStandIn
from lkcloud_aws.sandbox.errors import ApiError as AwsError
from lkcloud_azure.sandbox import AzureStandIn
from lkcloud_azure.sandbox.errors import ApiError as AzureError
from lkcloud_gcp.sandbox import GcpStandIn
from lkcloud_gcp.sandbox.errors import ApiError as GcpError
from tests.aws import pushing as aws_pushing
from tests.azure import pushing as azure_pushing
from tests.cli.conftest import Command
from tests.gcp import pushing as gcp_pushing
from tests.release.everything import PLACE, REGIONS, Clouds, manifest, write_release

pytestmark = pytest.mark.skipif(bool(missing("x86_64", "bios")), reason="needs apt install qemu-system-x86")
needs_arm64 = pytest.mark.skipif(
    bool(missing("arm64", "uefi")), reason="needs apt install qemu-system-arm qemu-efi-aarch64"
)


def places(*images: str) -> list[tuple[str, str, str]]:
    """Return target, image and region of all that a release makes of IMAGES, sorted."""
    regions = [*(("aws", region) for region in REGIONS), ("azure", PLACE), ("gcp", "global")]
    return sorted((target, image, region) for image in images for target, region in regions)


def where(images: Iterable[Published]) -> list[tuple[str, str, str]]:
    """Return target, image and region of IMAGES, sorted."""
    return sorted((one.target, one.image, one.region) for one in images)


def listing(images: Iterable[Published]) -> list[str]:
    """Return what the command prints of IMAGES."""
    return [f"{one.target}/{one.image}  {one.region}  {one.id}" for one in images]


@pytest.fixture
def clouds(aws: AwsStandIn, gcp: GcpStandIn, azure: AzureStandIn) -> Clouds:
    found = Clouds(aws, gcp, azure)
    found.allow_public_images()
    return found


def require_published(clouds: Clouds, images: Iterable[Published]) -> None:
    """See that each image is there, for its architecture, that everybody can use it, and that its name leads to it."""
    for one in images:
        assert (one.tested, one.shared, one.promoted) == (True, True, True)
        found = clouds.standing(one)
        architecture = {"x86": "x86_64", "arm": "arm64"}[one.image]
        assert (found.name, found.state, found.public) == (one.name, one.state, True)
        assert (found.architecture, one.arch) == (architecture, architecture)
        assert clouds.leads_to(one) == one.id


def require_private(clouds: Clouds, images: Iterable[Published]) -> None:
    """See that each image is there, that nobody else can use it, and that nothing leads to it."""
    for one in images:
        assert (one.shared, one.promoted) == (False, False)
        assert clouds.standing(one).public is False
        assert clouds.leads_to(one) is None


@needs_arm64
def test_two_architectures_to_three_clouds_and_again(lkcloud: Command, tmp_path: Path, clouds: Clouds) -> None:
    release = write_release(tmp_path, "x86", "arm")
    done = lkcloud("publish", release)
    made = manifest(tmp_path)
    assert (made.complete, made.version, made.problems) == (True, "1.2.3", ())
    assert where(made.images) == places("x86", "arm")
    assert {one.name for one in made.images} == {"myos-x86-1-2-3", "myos-arm-1-2-3"}
    assert {(one.cloud, one.account) for one in made.images} == clouds.accounts()
    require_published(clouds, made.images)
    assert done.stdout.splitlines() == listing(made.images)
    for target in ("aws", "gcp", "azure"):
        assert f"{target}/x86: | myos x86 is up\n" in done.stderr
        assert f"{target}/arm: | myos arm is up uefi\n" in done.stderr
    assert clouds.machines() == []

    before = (tmp_path / "release.json").read_bytes()
    clouds.forget()
    again = lkcloud("publish", release)
    assert clouds.changes() == []
    assert (tmp_path / "release.json").read_bytes() == before
    assert again.stdout == done.stdout


def deny(clouds: Clouds, operation: str) -> str:
    """Let a cloud refuse all requests of OPERATION, and return the cloud."""
    service, _, name = operation.partition(" ")
    if service == "aws":
        aws_pushing.refuse(clouds.aws, name, AwsError("UnauthorizedOperation", "you may not", 403), 99)
    elif service == "gcp":
        gcp_pushing.refuse(clouds.gcp, name, GcpError(403, "forbidden", "you may not"), 99)
    else:
        azure_pushing.refuse(clouds.azure, name, AzureError(403, "AuthorizationFailed", "you may not"), 99)
    return service


@pytest.mark.parametrize(
    "operation",
    [
        "azure GalleryImageVersions.CreateOrUpdate",
        pytest.param("azure VirtualMachines.CreateOrUpdate", marks=pytest.mark.long),
        pytest.param("aws CompleteSnapshot", marks=pytest.mark.long),
        pytest.param("aws RunInstances", marks=pytest.mark.long),
        pytest.param("gcp images.insert", marks=pytest.mark.long),
        pytest.param("gcp instances.insert", marks=pytest.mark.long),
    ],
)
def test_one_cloud_fails_in_the_middle_and_the_next_run_finishes(
    lkcloud: Command, tmp_path: Path, clouds: Clouds, operation: str
) -> None:
    release = write_release(tmp_path, "x86")
    broken = deny(clouds, operation)
    done = lkcloud("publish", release, code=3)
    made = manifest(tmp_path)
    assert not made.complete
    [problem] = made.problems
    assert (problem.target, problem.image) == (broken, "x86")
    well = [one for one in made.images if one.target != broken]
    assert where(well) == [place for place in places("x86") if place[0] != broken]
    assert all(one.tested for one in well)
    assert not any(one.tested for one in made.images if one.target == broken)
    require_private(clouds, made.images)
    assert clouds.machines() == []
    assert done.stdout.splitlines() == listing(made.images)
    assert f"{broken}/x86: error: {problem.error}\n{broken}/x86: hint: {problem.hint}\n" in done.stderr
    for target in {"aws", "gcp", "azure"} - {broken}:
        assert re.search(
            f"^{target}/x86: held: .* waits until all required images are there$", done.stderr, re.MULTILINE
        )
    last = f"error: 1 of 3 images failed, and nothing was shared or promoted: {broken}/x86\n"
    assert done.stderr.splitlines(keepends=True)[-2] == last

    clouds.heal()
    clouds.forget()
    lkcloud("publish", release)
    finished = manifest(tmp_path)
    assert (finished.complete, finished.problems) == (True, ())
    assert where(finished.images) == places("x86")
    assert {one.id for one in well} <= {one.id for one in finished.images}
    require_published(clouds, finished.images)
    changed = clouds.changes()
    made_again = {"aws": "StartSnapshot", "gcp": "images.insert", "azure": "GalleryImageVersions.CreateOrUpdate"}
    booted_again = {"aws": "RunInstances", "gcp": "instances.insert", "azure": "VirtualMachines.CreateOrUpdate"}
    for target in {"aws", "gcp", "azure"} - {broken}:
        assert not {made_again[target], booted_again[target]} & set(changed)
    assert booted_again[broken] in changed


@pytest.mark.long
def test_what_does_not_boot_on_one_cloud_is_promoted_on_none(lkcloud: Command, tmp_path: Path, clouds: Clouds) -> None:
    release = write_release(tmp_path, "x86", azure="test: {expect: never said, timeout: 2}")
    done = lkcloud("publish", release, code=5)
    made = manifest(tmp_path)
    assert not made.complete
    assert where(made.images) == places("x86")
    assert {one.target for one in made.images if one.tested} == {"aws", "gcp"}
    require_private(clouds, made.images)
    assert clouds.machines() == []
    [problem] = made.problems
    assert problem.target == "azure"
    assert "did not show within 2 seconds that it booted" in problem.error
    assert done.stdout.splitlines() == listing(made.images)
    [unbooted] = [one for one in made.images if one.target == "azure"]
    assert f"azure/x86: there is {unbooted.id} all the same\n" in done.stderr
    assert "error: 1 of 3 images failed, and nothing was shared or promoted: azure/x86\n" in done.stderr
