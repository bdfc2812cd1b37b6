# SPDX-License-Identifier: Apache-2.0
"""What instances.insert accepts.

https://cloud.google.com/compute/docs/reference/rest/v1/instances/insert and the texts of google-cloud-compute's model.
"""

import re
from collections.abc import Mapping
from typing import Any

from lkcloud_gcp.sandbox.cloud import PROJECT
from lkcloud_gcp.sandbox.compute_call import Call, invalid, not_ready, required
from lkcloud_gcp.sandbox.compute_images import find, newest
from lkcloud_gcp.sandbox.errors import ApiError
from lkcloud_gcp.sandbox.image import Image
from lkcloud_gcp.sandbox.image_rules import check_name
from lkcloud_gcp.sandbox.instance import BootDisk, Specification, default_subnetwork
from lkcloud_gcp.sandbox.labels import check_labels
from lkcloud_gcp.sandbox.places import NETWORK, ZONES, MachineType, machine_type, region

_URL = r"(?:https://(?:www|compute)\.googleapis\.com/compute/v1/)?(?:projects/(?P<project>[^/]+)/)?"
_KEY = re.compile(r"[a-zA-Z0-9_-]{1,128}")
_MOST_METADATA = 256 * 1024
"""Bytes of one value: https://cloud.google.com/compute/docs/metadata/setting-custom-metadata"""

_PD = ("pd-standard", "pd-balanced", "pd-ssd", "pd-extreme")
_HYPERDISKS = ("hyperdisk-balanced", "hyperdisk-extreme")

Body = Mapping[str, Any]


def check_zone(zone: str) -> str:
    """Return ZONE. Raises ApiError if there is none of this name."""
    if zone not in ZONES:
        raise invalid("zone", zone, "Unknown zone.")
    return zone


def specification(call: Call, body: Body) -> tuple[Specification, Image]:
    """Return what BODY wants to make, and the image that it boots. Raises ApiError as Compute Engine does."""
    if not body.get("name"):
        raise required("resource.name")
    name = check_name(str(body["name"]), "resource.name")
    kind = _machine_type(call, str(body.get("machineType") or ""))
    disk, image = _boot_disk(call, body, name, kind)
    network, subnetwork = _network(call, body)
    said = Specification(
        name=name,
        zone=call.zone,
        machine_type=kind,
        disk=disk,
        network=network,
        subnetwork=subnetwork,
        description=str(body.get("description") or ""),
        metadata=_metadata((body.get("metadata") or {}).get("items") or []),
        shielded=_shielded(body.get("shieldedInstanceConfig") or {}, image),
        scheduling=body.get("scheduling") or {},
        tags=tuple((body.get("tags") or {}).get("items") or []),
        service_accounts=tuple(body.get("serviceAccounts") or []),
    )
    return said, image


def _parts(url: str, path: str, where: str) -> dict[str, str]:
    """Return the parts of a full or partial URL that is to have PATH, a regular expression. Raises ApiError."""
    match = re.fullmatch(_URL + path, url)
    if match is None:
        raise invalid(where, url, "The URL is malformed.")
    parts = {name: value or "" for name, value in match.groupdict().items()}
    if parts["project"] not in ("", PROJECT):
        # Google has public images in other projects; the sandbox has one project.
        raise ApiError(404, "notFound", f"The resource '{url}' was not found")
    return parts


def _machine_type(call: Call, url: str) -> MachineType:
    where = "resource.machineType"
    if not url:
        raise required(where)
    parts = _parts(url, r"zones/(?P<zone>[^/]+)/machineTypes/(?P<name>[^/]+)", where)
    kind = machine_type(parts["name"])
    if parts["zone"] != call.zone or kind is None:
        raise invalid(where, url, "The referenced resource does not exist.")
    return kind


def _boot_disk(call: Call, body: Body, name: str, kind: MachineType) -> tuple[BootDisk, Image]:
    disks = body.get("disks") or []
    if not disks:
        raise invalid("resource.disks", "", "No disks are specified.")
    if not disks[0].get("boot"):
        # googleapis/nodejs-compute#518
        raise invalid(
            "resource.disks[0]", str(dict(disks[0])), "Boot disk must be the first disk attached to the instance."
        )
    if len(disks) > 1:
        raise invalid("resource.disks[1]", str(dict(disks[1])), "The sandbox attaches one disk.")
    parameters = disks[0].get("initializeParams") or {}
    where = "resource.disks[0].initializeParams"
    if not parameters.get("sourceImage"):
        # googleapis/google-api-go-client#249
        raise invalid(where, "", "Source image must be specified.")
    image = boot_image(call, str(parameters["sourceImage"]), f"{where}.sourceImage")
    _check_architecture(str(parameters.get("architecture") or ""), image, kind, f"{where}.architecture")
    size = int(parameters.get("diskSizeGb") or image.disk_size_gb)
    if size < image.disk_size_gb:
        why = f"Requested disk size cannot be smaller than the image size ({image.disk_size_gb} GB)"
        raise invalid(f"{where}.diskSizeGb", str(size), why)
    disk_name = str(parameters.get("diskName") or name)
    return BootDisk(
        name=check_name(disk_name, f"{where}.diskName"),
        size_gb=size,
        type=_disk_type(call, str(parameters.get("diskType") or ""), kind, f"{where}.diskType"),
        auto_delete=bool(disks[0].get("autoDelete")),
        device_name=str(disks[0].get("deviceName") or "persistent-disk-0"),
        labels=check_labels(parameters.get("labels") or {}, f"{where}.labels"),
    ), image


def boot_image(call: Call, url: str, where: str) -> Image:
    """Return the image that URL means, if something new can be made of it. Raises ApiError."""
    parts = _parts(url, r"global/images/(?P<family>family/)?(?P<name>[^/]+)", where)
    image = newest(call, parts["name"]) if parts["family"] else find(call, parts["name"])
    if image.state != "READY":
        raise not_ready(image.place)
    if image.deprecation.state in ("OBSOLETE", "DELETED"):
        # DeprecationStatus: "Operations which use OBSOLETE or DELETED resources will be rejected".
        raise invalid(where, url, f"The referenced image is {image.deprecation.state}.")
    return image


def _check_architecture(asked: str, image: Image, kind: MachineType, where: str) -> None:
    # An image that does not say is one for X86_64 (googleapis/java-compute#708).
    has, needs = image.specification.architecture or "X86_64", kind.series.architecture
    if asked and asked != has:
        why = f"Requested architecture must be the same as the source resource architecture ({has})."
        raise invalid(where, asked, why)
    if has != needs:
        # related-sciences/gce-github-runner#46, kubermatic/machine-controller#1520
        why = f"Requested boot disk architecture ({has}) is not compatible with machine type architecture ({needs})."
        raise ApiError(400, "invalidResourceUsage", f"Invalid resource usage: '{why}'.")


def _disk_type(call: Call, url: str, kind: MachineType, where: str) -> str:
    takes = kind.series.disks
    if not url:
        # AttachedDiskInitializeParams.disk_type lists these defaults.
        return {"pd": "pd-standard", "any": "pd-balanced", "hyperdisk": "hyperdisk-balanced"}[takes]
    parts = _parts(url, r"zones/(?P<zone>[^/]+)/diskTypes/(?P<name>[^/]+)", where)
    name = parts["name"]
    if parts["zone"] != call.zone or name not in (*_PD, *_HYPERDISKS):
        raise invalid(where, url, "The referenced resource does not exist.")
    if (takes == "pd" and name in _HYPERDISKS) or (takes == "hyperdisk" and name in _PD) or name == "hyperdisk-extreme":
        # DataBiosphere/dsub#301; GoogleCloudPlatform/cluster-toolkit#2809: no boot disk is a hyperdisk-extreme.
        message = f"[{name}, {kind.name}] features are not compatible for creating instance."
        raise ApiError(400, "badRequest", message)
    return name


def _network(call: Call, body: Body) -> tuple[str, str]:
    """Return network and subnetwork."""
    interfaces = body.get("networkInterfaces") or []
    if len(interfaces) != 1:
        # googleapis/google-cloud-java#915. Google takes more than one today.
        raise invalid(
            "resource.networkInterfaces", "", "At least one network interface is required, the sandbox has one."
        )
    where = "resource.networkInterfaces[0]"
    network, subnetwork = str(interfaces[0].get("network") or ""), str(interfaces[0].get("subnetwork") or "")
    if network and _parts(network, r"global/networks/(?P<name>[^/]+)", f"{where}.network")["name"] != NETWORK:
        raise invalid(f"{where}.network", network, "The referenced network resource cannot be found.")
    if subnetwork:
        path = r"regions/(?P<region>[^/]+)/subnetworks/(?P<name>[^/]+)"
        parts = _parts(subnetwork, path, f"{where}.subnetwork")
        if (parts["region"], parts["name"]) != (region(call.zone), NETWORK):
            raise invalid(f"{where}.subnetwork", subnetwork, "The referenced subnetwork resource cannot be found.")
    return f"global/networks/{NETWORK}", default_subnetwork(call.zone)


def _metadata(items: list[Body]) -> tuple[tuple[str, str], ...]:
    pairs = tuple((str(item.get("key") or ""), str(item.get("value") or "")) for item in items)
    for key, value in pairs:
        if not _KEY.fullmatch(key):
            raise invalid("resource.metadata.items", key, "Must be a match of regex '[a-zA-Z0-9-_]{1,128}'")
        if len(value.encode()) > _MOST_METADATA:
            raise invalid(f"resource.metadata.items[{key}]", "", "Metadata entry is too large")
    if len({key for key, _ in pairs}) < len(pairs):
        raise invalid("resource.metadata", "", "Duplicate metadata key")
    return pairs


def _shielded(wanted: Body, image: Image) -> dict[str, bool]:
    chosen = {name: bool(value) for name, value in wanted.items()}
    if any(chosen.values()) and "UEFI_COMPATIBLE" not in image.specification.features:
        # Such a machine does not get past its firmware (GoogleCloudPlatform/compute-archlinux-image-builder#44); that
        # it can be asked for is not wanted here.
        raise invalid("resource.shieldedInstanceConfig", "", "A Shielded VM needs an image that is UEFI_COMPATIBLE.")
    return chosen
