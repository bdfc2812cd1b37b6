# SPDX-License-Identifier: Apache-2.0
"""Compute Engine's calls on what is there from the start: the project, zones, machine types and networks."""

from typing import Any

from lkcloud_gcp.sandbox.cloud import PROJECT
from lkcloud_gcp.sandbox.compute_call import ROOT, Call, Handler, Result, link, not_found
from lkcloud_gcp.sandbox.compute_lists import listed
from lkcloud_gcp.sandbox.instance_rules import check_zone
from lkcloud_gcp.sandbox.places import NETWORK, REGIONS, ZONES, machine_type, region


def _project(call: Call) -> Result:
    call.check_query()
    # Limits of a project: https://cloud.google.com/compute/resource-usage. They are shown, and not enforced.
    quotas = (
        ("IMAGES", float(call.cloud.windows.images), float(len(call.engine.images))),
        ("NETWORKS", 15.0, 1.0),
    )
    return {
        "kind": "compute#project",
        "id": "1234567890123456789",
        "name": PROJECT,
        "selfLink": f"{ROOT}projects/{PROJECT}",
        "creationTimestamp": "2025-01-01T00:00:00.000-08:00",
        "commonInstanceMetadata": {"kind": "compute#metadata", "fingerprint": "AAAAAAAAAAA="},
        "quotas": [{"metric": name, "limit": limit, "usage": used} for name, limit, used in quotas],
        "defaultServiceAccount": "123456789012-compute@developer.gserviceaccount.com",
        "xpnProjectStatus": "UNSPECIFIED_XPN_PROJECT_STATUS",
        "defaultNetworkTier": "PREMIUM",
        "vmDnsSetting": "ZONAL_ONLY",
    }


def _described(call: Call, zone: str) -> dict[str, Any]:
    return {
        "kind": "compute#zone",
        "id": str(2000 + ZONES.index(zone)),
        "name": zone,
        "description": zone,
        "status": "DOWN" if zone in call.cloud.windows.zones_down else "UP",
        "region": link(f"regions/{region(zone)}"),
        "selfLink": link(f"zones/{zone}"),
    }


def _zone(call: Call) -> Result:
    call.check_query()
    if call.name not in ZONES:
        raise not_found(f"zones/{call.name}")
    return _described(call, call.name)


def _zones(call: Call) -> Result:
    call.check_query("filter", "maxResults", "orderBy", "pageToken", "returnPartialSuccess")
    return listed(call, "compute#zoneList", "zones", [_described(call, zone) for zone in ZONES])


def _machine_type(call: Call) -> Result:
    call.check_query()
    path = f"zones/{check_zone(call.zone)}/machineTypes/{call.name}"
    found = machine_type(call.name)
    if found is None:
        raise not_found(path)
    return {
        "kind": "compute#machineType",
        "id": "800001",
        "name": found.name,
        "guestCpus": found.cpus,
        "memoryMb": found.memory_mib,
        "architecture": found.series.architecture,
        "zone": call.zone,
        "selfLink": link(path),
    }


def _network(call: Call) -> Result:
    call.check_query()
    path = f"global/networks/{call.name}"
    if call.name != NETWORK:
        raise not_found(path)
    return {
        "kind": "compute#network",
        "id": "700001",
        "name": NETWORK,
        "autoCreateSubnetworks": True,
        "subnetworks": [link(f"regions/{name}/subnetworks/{NETWORK}") for name in REGIONS],
        "selfLink": link(path),
    }


HANDLERS: dict[str, Handler] = {
    "projects.get": _project,
    "zones.get": _zone,
    "zones.list": _zones,
    "machineTypes.get": _machine_type,
    "networks.get": _network,
}
