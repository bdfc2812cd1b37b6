# SPDX-License-Identifier: Apache-2.0
"""What Azure Resource Manager looks at in every request."""

import time

import pytest

from lkcloud.sandbox.http import Response
from lkcloud_azure.sandbox.access import CLIENT, PRINCIPAL
from lkcloud_azure.sandbox.cloud import SUBSCRIPTION
from tests.azure_sandbox.arm import COMPUTE, GROUP, PLACE, QUICK, SIZE, Arm, refused

DISK = {"location": PLACE, "properties": {"creationData": {"createOption": "Empty"}, "diskSizeGB": 1}}
NEWEST = "2026-03-02"


def test_every_request_names_a_version(arm: Arm) -> None:
    status, told, _ = arm.raw("GET", f"{COMPUTE}/disks/disk")
    assert (status, told["error"]["code"]) == (400, "MissingApiVersionParameter")


def test_a_version_that_there_is_not(arm: Arm) -> None:
    status, told, _ = arm.raw("GET", f"{COMPUTE}/disks/disk", version="2026-01-01")
    assert (status, told["error"]["code"]) == (400, "NoRegisteredProviderFound")
    assert f"location '{PLACE}' and API version '2026-01-01' for type 'disks'" in told["error"]["message"]
    assert f"The supported api-versions are '{NEWEST}, " in told["error"]["message"]
    status, told, _ = arm.raw("GET", f"/subscriptions/{SUBSCRIPTION}", version="1999-01-01")
    assert (status, told["error"]["code"]) == (400, "InvalidApiVersionParameter")


def test_an_older_version_is_good_too(arm: Arm) -> None:
    assert arm.raw("GET", f"{COMPUTE}/disks", version="2019-07-01")[0] == 200


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/providers/Microsoft.Compute/diskettes/a", 404, "InvalidResourceType"),
        ("/providers/Microsoft.Nothing/disks/a", 404, "InvalidResourceNamespace"),
        ("/nothing", 404, "NotFound"),
        ("/providers/Microsoft.Compute/disks/a/beginGetAccess", 405, "MethodNotAllowed"),
    ],
)
def test_paths_that_lead_nowhere(arm: Arm, path: str, status: int, code: str) -> None:
    found, told, _ = arm.raw("GET", f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{GROUP}{path}", version=NEWEST)
    assert (found, told["error"]["code"]) == (status, code)


def test_another_subscription(arm: Arm) -> None:
    other = SUBSCRIPTION[::-1]
    status, told, _ = arm.raw("GET", f"/subscriptions/{other}/providers/Microsoft.Compute/disks", version=NEWEST)
    assert (status, told["error"]["code"]) == (404, "SubscriptionNotFound")


def test_the_case_of_letters_counts_for_nothing(arm: Arm) -> None:
    arm.disk("Disk")
    path = (
        f"/SUBSCRIPTIONS/{SUBSCRIPTION.upper()}/resourcegroups/{GROUP.upper()}/Providers/microsoft.compute/DISKS/dISK"
    )
    status, told, _ = arm.raw("GET", path, version=NEWEST)
    assert (status, told["name"]) == (200, "Disk")
    body = {"LOCATION": "West Europe", "Properties": {"CREATIONDATA": {"createoption": "EMPTY"}, "disksizegb": "1"}}
    assert arm.raw("PUT", f"{COMPUTE}/disks/another", body, version=NEWEST)[0] == 202


@pytest.mark.parametrize(
    ("body", "code", "told"),
    [
        (
            {**DISK, "sise": 1},
            "InvalidRequestContent",
            "Could not find member 'sise' on object of type 'ResourceDefinition'",
        ),
        (
            {**DISK, "properties": {**DISK["properties"], "sise": 1}},
            "BadRequest",
            "Could not find member 'sise' on object of type 'DiskProperties'. Path 'properties.sise', line 1, ",
        ),
        (
            {"location": PLACE, "properties": {"creationData": {}}},
            "InvalidParameter",
            "creationData.createOption' is missing",
        ),
        (
            {"location": PLACE, "properties": {"diskSizeGB": 1}},
            "InvalidParameter",
            "parameter 'creationData' is missing",
        ),
        ({"location": PLACE}, "InvalidParameter", "parameter 'disk.properties' is missing"),
        (
            {"location": PLACE, "properties": {"creationData": {"createOption": "New"}}},
            "BadRequest",
            'converting value "New"',
        ),
        (
            {"location": PLACE, "properties": {"creationData": {"createOption": "Empty"}, "diskSizeGB": "big"}},
            "BadRequest",
            "Error converting value \"big\" to type 'Int64'. Path 'properties.diskSizeGB'",
        ),
        ({"location": PLACE, "properties": []}, "BadRequest", "to type 'DiskProperties'"),
        ({"location": PLACE, "tags": {"a": []}, **DISK}, "BadRequest", "Path 'tags.a'"),
        ({"location": PLACE, "zones": "1", **DISK}, "BadRequest", "Path 'zones'"),
        (b"{", "InvalidRequestContent", "Error reading JSON"),
        (b"[]", "InvalidRequestContent", "Expected an object"),
    ],
)
def test_bodies_are_what_the_model_says(arm: Arm, body: object, code: str, told: str) -> None:
    status, answer, _ = arm.raw("PUT", f"{COMPUTE}/disks/disk", body, version=NEWEST)
    assert (status, answer["error"]["code"]) == (400, code)
    assert told in answer["error"]["message"]


def test_what_can_only_be_read_is_not_looked_at(arm: Arm) -> None:
    body = {**DISK, "name": "other", "properties": {**DISK["properties"], "diskState": "Attached"}}
    status, answer, _ = arm.raw("PUT", f"{COMPUTE}/disks/disk", body, version=NEWEST)
    assert (status, answer["name"], answer["properties"]["diskState"]) == (202, "disk", "Unattached")


@pytest.mark.parametrize(
    ("location", "status", "code"),
    [
        (None, 400, "LocationRequired"),
        ("moon", 400, "LocationNotAvailableForResourceType"),
        ("eastus", 409, "InvalidResourceLocation"),
    ],
)
def test_the_location(arm: Arm, location: str | None, status: int, code: str) -> None:
    arm.disk()
    body = {**DISK, "location": location}
    refused(status, code, arm.compute.disks.begin_create_or_update, GROUP, "disk", body)


@pytest.mark.parametrize(
    ("tags", "code"),
    [
        ({"a<b": ""}, "InvalidTagNameCharacters"),
        ({"x" * 513: ""}, "InvalidTagNameLength"),
        ({"a": "x" * 257}, "InvalidTagValueLength"),
        ({"a": "", "A": ""}, "InvalidTagName"),
        ({str(number): "" for number in range(51)}, "TagsCountExceeded"),
    ],
)
def test_tags_that_are_none(arm: Arm, tags: dict[str, str], code: str) -> None:
    refused(400, code, arm.disk, tags=tags)


def test_who_is_not_allowed(arm: Arm) -> None:
    arm.cloud.windows.denied_actions = ("Microsoft.Compute/disks/WRITE", "Microsoft.Compute/disks/*/action")
    told = refused(403, "AuthorizationFailed", arm.disk)
    assert f"The client '{CLIENT}' with object id '{PRINCIPAL}' does not have authorization" in told
    assert f"action 'Microsoft.Compute/disks/write' over scope '{COMPUTE}/disks/disk'" in told
    told = refused(403, "AuthorizationFailed", arm.grant)
    assert f"'Microsoft.Compute/disks/beginGetAccess/action' over scope '{COMPUTE}/disks/disk'" in told
    assert list(arm.compute.disks.list()) == []


def test_a_provider_that_is_not_registered(arm: Arm) -> None:
    arm.cloud.windows.unregistered = ("Microsoft.Compute",)
    # Not by the SDK, whose policy would register it and wait for ten seconds.
    status, told, _ = arm.raw("PUT", f"{COMPUTE}/disks/disk", DISK, version=NEWEST)
    assert (status, told["error"]["code"]) == (409, "MissingSubscriptionRegistration")
    assert told["error"]["message"].startswith(
        "The subscription is not registered to use namespace 'Microsoft.Compute'."
    )
    providers = arm.session.resources.providers
    assert providers.get("microsoft.compute").registration_state == "NotRegistered"
    arm.cloud.windows.operation = 60
    assert providers.register("Microsoft.Compute").registration_state == "Registering"
    assert arm.raw("PUT", f"{COMPUTE}/disks/disk", DISK, version=NEWEST)[0] == 409
    arm.cloud.reset()
    arm.cloud.windows.operation = 0
    assert providers.register("Microsoft.Compute").registration_state == "Registered"


def test_the_version_that_the_sdk_registers_with(arm: Arm) -> None:
    path = f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Compute"
    arm.cloud.windows.unregistered = ("Microsoft.Compute",)
    assert arm.raw("POST", f"{path}/register", version="2016-02-01")[0] == 200
    assert arm.raw("GET", path, version="2016-02-01")[1]["registrationState"] == "Registered"


def test_providers_tell_what_they_have(arm: Arm) -> None:
    providers = {one.namespace: one for one in arm.session.resources.providers.list()}
    assert {"Microsoft.Compute", "Microsoft.Network", "Microsoft.Storage"} <= set(providers)
    kinds = {kind.resource_type: kind for kind in providers["Microsoft.Compute"].resource_types or []}
    assert NEWEST in (kinds["disks"].api_versions or [])
    assert "West Europe" in (kinds["galleries/images/versions"].locations or [])
    refused(404, "InvalidResourceNamespace", arm.session.resources.providers.get, "Microsoft.Nothing")


def test_lists_come_in_pages(arm: Arm) -> None:
    for number in range(5):
        arm.disk(f"disk{number}", tags={"number": str(number)})
    arm.cloud.windows.page_size = 2
    arm.cloud.traffic.clear()
    assert [disk.name for disk in arm.compute.disks.list_by_resource_group(GROUP)] == [f"disk{n}" for n in range(5)]
    assert arm.cloud.traffic.operations() == ["Disks.ListByResourceGroup"] * 3


def test_throttling(arm: Arm) -> None:
    arm.cloud.traffic.throttle("Disks.Get", 1)
    status, told, headers = arm.raw("GET", f"{COMPUTE}/disks/disk", version=NEWEST)
    assert (status, told["error"]["code"], headers["Retry-After"]) == (429, "OperationNotAllowed", "0")
    assert arm.raw("GET", f"{COMPUTE}/disks/disk", version=NEWEST)[0] == 404


def test_a_hook_stands_before_the_answer(arm: Arm) -> None:
    arm.cloud.traffic.hooks.append(lambda seen: Response(503) if seen.operation == "Disks.Get" else None)
    assert arm.raw("GET", f"{COMPUTE}/disks/disk", version=NEWEST)[0] == 503


def test_every_answer_has_the_headers_that_support_asks_for(arm: Arm) -> None:
    for method, header in (("GET", "reads"), ("DELETE", "deletes"), ("PATCH", "writes")):
        headers = arm.raw(method, f"{COMPUTE}/disks/disk", {}, version=NEWEST)[2]
        assert {
            "x-ms-request-id",
            "x-ms-correlation-request-id",
            f"x-ms-ratelimit-remaining-subscription-{header}",
        } <= set(map(str.lower, headers))


def test_idle_and_stop(arm: Arm) -> None:
    arm.disk()
    assert 0 <= arm.cloud.idle() < 10


def test_bytes_are_gone_after_a_reset(arm: Arm) -> None:
    disk = arm.uploaded()
    file = arm.cloud.disk_file(disk.id or "")
    assert file.stat().st_size == SIZE
    arm.cloud.reset()
    assert not file.exists()
    with pytest.raises(KeyError):
        arm.cloud.disk_file(disk.id or "")
    with pytest.raises(KeyError):
        arm.cloud.image_file(disk.id or "")


def test_operations_show_how_they_go(arm: Arm) -> None:
    arm.cloud.windows.operation, arm.cloud.windows.retry_after = 60, 7
    status, told, headers = arm.raw("PUT", f"{COMPUTE}/disks/disk", DISK, version=NEWEST)
    assert (status, told["properties"]["provisioningState"], headers["Retry-After"]) == (202, "Updating", "7")
    status_url, result_url = headers["Azure-AsyncOperation"], headers["Location"]
    status, told, headers = arm.raw("GET", status_url)
    assert (status, told["status"], headers["Retry-After"]) == (200, "InProgress", "7")
    assert "endTime" not in told
    assert arm.raw("GET", result_url)[0] == 202
    arm.cloud.hurry()
    status, told, headers = arm.raw("GET", status_url)
    assert (told["status"], told["properties"]["output"]["name"]) == ("Succeeded", "disk")
    assert "Retry-After" not in headers
    status, told, _ = arm.raw("GET", result_url)
    assert (status, told["properties"]["provisioningState"]) == (200, "Succeeded")
    refused_status, told, _ = arm.raw("GET", status_url.replace("DiskOperations/", "DiskOperations/0"))
    assert (refused_status, told["error"]["code"]) == (404, "ResourceNotFound")


def test_the_pollers_of_the_sdk_look_again_soon(arm: Arm) -> None:
    """Without a word from the server they wait for 30 seconds."""
    arm.cloud.windows.operation = 0.05
    begun = time.monotonic()
    assert arm.compute.disks.begin_create_or_update(GROUP, "disk", DISK).result().provisioning_state == "Succeeded"
    assert time.monotonic() - begun < 20


def test_where_things_are(arm: Arm) -> None:
    """Whoever registers a cloud of its own asks so, without a token: `az cloud register`, Terraform's metadata_host."""
    status, old, _ = arm.raw("GET", "/metadata/endpoints", version="2015-01-01", Authorization="")
    assert (status, old["authentication"]["loginEndpoint"]) == (200, arm.session.endpoint)
    (cloud,) = arm.raw("GET", "/metadata/endpoints", version="2022-09-01", Authorization="")[1]
    assert cloud["resourceManager"] == cloud["authentication"]["loginEndpoint"] == arm.session.endpoint
    assert cloud["authentication"]["audiences"][-1] == "https://management.azure.com/"


def test_resource_groups(arm: Arm) -> None:
    groups = arm.session.resources.resource_groups
    assert [group.name for group in groups.list()] == ["lkcloud-sandbox", GROUP]
    made = groups.create_or_update("Other", {"location": "East US", "tags": {"a": "b"}})
    assert (made.name, made.location, made.tags) == ("Other", "eastus", {"a": "b"})
    again = groups.create_or_update("OTHER", {"location": "eastus"})
    assert (again.name, again.tags) == ("Other", None)
    assert groups.check_existence("other")
    assert not groups.check_existence("another")
    refused(409, "InvalidResourceGroupLocation", groups.create_or_update, "other", {"location": PLACE})
    refused(400, "LocationNotAvailableForResourceGroup", groups.create_or_update, "new", {"location": "moon"})
    refused(400, "LocationRequired", groups.create_or_update, "new", {"location": ""})
    refused(400, "InvalidResourceGroupName", groups.create_or_update, "end.", {"location": PLACE})
    refused(404, "ResourceGroupNotFound", groups.get, "another")
    refused(404, "ResourceGroupNotFound", groups.begin_delete, "another")
    refused(404, "ResourceGroupNotFound", arm.compute.disks.get, "another", "disk")
    refused(404, "ResourceGroupNotFound", arm.compute.disks.begin_delete, "another", "disk")


def test_a_group_goes_with_all_that_is_in_it(arm: Arm) -> None:
    disk = arm.uploaded()
    image = arm.image(managedDisk={"id": disk.id})
    arm.gallery()
    files = arm.cloud.disk_file(disk.id or ""), arm.cloud.image_file(image.id or "")
    listed = [one.type for one in arm.session.resources.resources.list_by_resource_group(GROUP)]
    assert listed == ["Microsoft.Compute/disks", "Microsoft.Compute/images", "Microsoft.Compute/galleries"]
    only = arm.session.resources.resources.list(filter="resourceType eq 'Microsoft.Compute/disks'")
    assert [one.name for one in only] == ["disk"]
    arm.cloud.windows.operation = 60
    groups = arm.session.resources.resource_groups
    poller = groups.begin_delete(GROUP, **QUICK)
    assert groups.get(GROUP).properties.provisioning_state == "Deleting"
    refused(409, "ResourceGroupBeingDeleted", groups.create_or_update, GROUP, {"location": PLACE})
    arm.cloud.hurry()
    poller.result()
    assert not groups.check_existence(GROUP)
    assert not any(file.exists() for file in files)


def test_a_disk_with_an_active_url_holds_its_group(arm: Arm) -> None:
    """Azure/azure-cli#6927: the deletion does not come to an end."""
    arm.disk()
    arm.grant()
    told = refused(
        0, "ResourceGroupDeletionBlocked", arm.session.resources.resource_groups.begin_delete, GROUP, **QUICK
    )
    assert f"{COMPUTE}/disks/disk" in told
    assert arm.compute.disks.get(GROUP, "disk").disk_state == "ActiveUpload"


def test_subscription_and_locations(arm: Arm) -> None:
    shown = arm.raw("GET", f"/subscriptions/{SUBSCRIPTION}", version="2022-12-01")[1]
    assert (shown["subscriptionId"], shown["state"]) == (SUBSCRIPTION, "Enabled")
    regions = arm.raw("GET", f"/subscriptions/{SUBSCRIPTION}/locations", version="2022-12-01")[1]["value"]
    assert {"westeurope": "West Europe"}.items() <= {one["name"]: one["displayName"] for one in regions}.items()
