# SPDX-License-Identifier: Apache-2.0
"""Instances are machines in QEMU that boot the bytes of their image."""

import subprocess
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from google.cloud import compute_v1
from google.cloud.compute_v1 import AttachedDisk, AttachedDiskInitializeParams, NetworkInterface

from lkcloud.sandbox.tinydisk import write_tiny_disk
from lkcloud_gcp.sandbox import GcpStandIn
from lkcloud_gcp.sandbox.instance import first_kept
from tests.gcp_sandbox.computing import GIB, ZONE, Computing, needs_qemu, refused

SAYS = "the guest is here"
UEFI = [{"type_": "UEFI_COMPATIBLE"}]


@pytest.fixture
def engine(gcp: GcpStandIn, tmp_path: Path) -> Computing:
    return Computing.of(gcp, tmp_path)


@pytest.fixture
def tiny(engine: Computing) -> str:
    """Return the URL of the tarball of a disk that boots by BIOS and by UEFI, says SAYS and powers off."""
    write_tiny_disk(engine.folder / "disk.raw", size=GIB, message=SAYS)
    return engine.put(engine.packed())


@pytest.fixture
def empty(engine: Computing) -> Computing:
    """Return an engine with an image that boots nothing, so that its machines run on."""
    engine.image()
    return engine


def until(look: Callable[[], Any], limit: float = 60.0) -> Any:
    deadline = time.monotonic() + limit
    while not (found := look()):
        assert time.monotonic() < deadline, "it has not come"
        time.sleep(0.05)
    return found


def delete(engine: Computing, name: str = "vm", **parameters: str) -> compute_v1.Operation:
    request = compute_v1.DeleteInstanceRequest(project=engine.project, zone=ZONE, instance=name, **parameters)
    return engine.instances.delete_unary(request=request, retry=None)


@needs_qemu
@pytest.mark.parametrize(
    ("features", "kind", "firmware", "interface"),
    [([], "e2-small", "bios", "SCSI"), (UEFI, "n2-standard-2", "uefi", "SCSI"), ([], "c3-standard-4", "bios", "NVME")],
)
def test_a_guest_boots_speaks_and_powers_off(
    engine: Computing, tiny: str, features: list[dict[str, str]], kind: str, firmware: str, interface: str
) -> None:
    engine.cloud.windows.instance_stop = 2
    engine.image(source=tiny, guest_os_features=features)
    operation = engine.run(kind=kind)
    assert (operation.operation_type, operation.zone.rpartition("/")[2]) == ("insert", ZONE)
    engine.done(operation)
    shown = engine.vm()
    assert shown.disks[0].interface == interface
    until(lambda: f"{SAYS} {firmware}" in engine.serial(port=1).contents)
    whole = engine.serial()
    assert (whole.start, whole.next_) == (0, len(whole.contents))
    assert engine.serial(start=whole.next_ - 6).contents == whole.contents[-6:]
    assert engine.serial(start=-3).contents == whole.contents[-3:]
    assert engine.serial(start=whole.next_).contents == ""
    assert engine.serial(port=2).contents == ""
    until(lambda: engine.vm().status == "STOPPING")
    until(lambda: engine.vm().status == "TERMINATED")
    # A machine that is off has no serial port.
    refused(400, "resourceNotReady", engine.serial)
    engine.done(delete(engine))
    refused(404, "notFound", engine.vm)
    refused(404, "notFound", engine.serial)
    refused(404, "notFound", delete, engine)


@pytest.mark.parametrize(
    ("shown", "start", "expected"),
    [
        *((0, 0, 0), (0, -5, 0), (10, 4, 4), (10, 99, 10), (10, -3, 7), (10, -99, 0)),
        *((1048583, 0, 7), (1048583, 9, 9), (1048583, -2097152, 7)),
    ],
)
def test_a_serial_port_keeps_its_last_mib(shown: int, start: int, expected: int) -> None:
    assert first_kept(shown, start) == expected


@needs_qemu
def test_the_life_of_an_instance(empty: Computing) -> None:
    empty.cloud.windows.instance_start = 0.5
    request_id = str(uuid.uuid4())
    operation = empty.run(labels={"a": "b"}, description="a test")
    assert empty.vm().status in ("PROVISIONING", "STAGING")
    refused(400, "resourceNotReady", delete, empty)
    refused(409, "alreadyExists", empty.run)
    empty.done(operation)
    shown = empty.vm()
    assert (shown.status, dict(shown.labels), shown.description) == ("RUNNING", {"a": "b"}, "a test")
    assert shown.machine_type.endswith(f"/zones/{ZONE}/machineTypes/e2-small")
    assert shown.disks[0].boot
    assert shown.disks[0].auto_delete
    assert empty.cloud.idle() == 0
    empty.cloud.windows.operation = 0.4
    operation = delete(empty, request_id=request_id)
    assert empty.vm().status == "STOPPING"
    refused(400, "resourceNotReady", delete, empty)
    assert delete(empty, request_id=request_id).name == operation.name
    empty.done(operation)
    refused(404, "notFound", empty.vm)
    assert not empty.cloud.holdings.engine.machines_run()
    assert not list((empty.cloud.holdings.engine.home / "instances").iterdir())


@needs_qemu
def test_stop(empty: Computing) -> None:
    empty.cloud.windows.instance_stop = 0.3
    empty.done(empty.run())
    operation = empty.instances.stop_unary(project=empty.project, zone=ZONE, instance="vm")
    empty.done(operation)
    assert empty.vm().status == "TERMINATED"
    assert not empty.cloud.holdings.engine.machines_run()


@needs_qemu
def test_a_disk_stays_unless_it_is_deleted_with_its_instance(empty: Computing) -> None:
    parameters = AttachedDiskInitializeParams(source_image="global/images/image", disk_name="kept", disk_size_gb=12)
    empty.done(empty.run(disks=[AttachedDisk(boot=True, initialize_params=parameters)]))
    how = {"credentials": empty.session.credentials}
    address = empty.cloud.environment()["CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE"].removesuffix("/compute/v1/")
    disks = compute_v1.DisksClient(**how, client_options={"api_endpoint": address})
    place = {"project": empty.project, "zone": ZONE}
    shown = disks.get(**place, disk="kept")
    assert (shown.size_gb, shown.users[0].rpartition("/")[2]) == (12, "vm")
    refused(400, "resourceInUseByAnotherResource", disks.delete_unary, **place, disk="kept", retry=None)
    empty.done(delete(empty))
    assert [disk.name for disk in disks.list(**place)] == ["kept"]
    refused(409, "alreadyExists", empty.run, disk={"disk_name": "kept"})
    empty.done(disks.delete_unary(**place, disk="kept"))
    empty.done(empty.run(disk={"disk_name": "gone"}))
    empty.done(delete(empty))
    assert list(disks.list(**place)) == []


@needs_qemu
def test_lists_with_filters(empty: Computing) -> None:
    for name in ("vm-1", "vm-2"):
        empty.done(empty.run(name, labels={"lkcloud-image": name}))

    def names(text: str, zone: str = ZONE) -> list[str]:
        request = compute_v1.ListInstancesRequest(project=empty.project, zone=zone, filter=text)
        return [one.name for one in empty.instances.list(request=request, retry=None)]

    assert names("labels.lkcloud-image:*") == ["vm-1", "vm-2"]
    assert names("labels.lkcloud-image = vm-2") == ["vm-2"]
    assert names("status = RUNNING AND name = vm-1") == ["vm-1"]
    assert names("", "us-central1-b") == []
    assert "Unknown zone" in refused(400, "invalid", names, "", "us-central1-z")


@needs_qemu
def test_images_are_named_in_several_ways(engine: Computing) -> None:
    engine.image(family="things")
    place = f"projects/{engine.project}/global/images"
    forms = (
        f"{place}/image",
        f"{place}/family/things",
        "global/images/family/things",
        f"https://www.googleapis.com/compute/v1/{place}/image",
        f"https://compute.googleapis.com/compute/v1/{place}/family/things",
    )
    for number, form in enumerate(forms):
        engine.done(engine.run(f"vm-{number}", form))


@needs_qemu
def test_a_deprecated_image_is_used_with_a_warning_an_obsolete_one_not(empty: Computing) -> None:
    def mark(state: str) -> None:
        status = compute_v1.DeprecationStatus(state=state, replacement="global/images/newer")
        empty.done(
            empty.images.deprecate_unary(
                project=empty.project, image="image", deprecation_status_resource=status, retry=None
            )
        )

    mark("DEPRECATED")
    (warning,) = empty.done(empty.run()).warnings
    assert warning.code == "DEPRECATED_RESOURCE_USED"
    assert "global/images/newer" in warning.message
    for state in ("OBSOLETE", "DELETED"):
        mark(state)
        refused(400, "invalid", empty.run, "vm-2")


def test_no_instance_of_an_image_that_is_not_ready(engine: Computing) -> None:
    refused(404, "notFound", engine.run)
    refused(404, "notFound", engine.run, image="global/images/family/none")
    refused(404, "notFound", engine.run, image="projects/debian-cloud/global/images/family/debian-12")
    source = engine.small()
    engine.cloud.windows.image_import = 0.5
    operation = engine.insert("image", source)
    refused(400, "resourceNotReady", engine.run)
    engine.done(operation)


@pytest.mark.parametrize(
    ("reason", "fields"),
    [
        ("required", {"name": ""}),
        ("invalid", {"name": "Upper"}),
        ("required", {"machine_type": ""}),
        ("invalid", {"machine_type": "e2-small"}),
        ("invalid", {"machine_type": "zones/us-central1-b/machineTypes/e2-small"}),
        ("invalid", {"kind": "e2-tiny"}),
        ("invalid", {"kind": "e2-standard-3"}),
        ("invalidResourceUsage", {"kind": "t2a-standard-1"}),
        ("invalidResourceUsage", {"kind": "c4a-standard-1"}),
        ("badRequest", {"kind": "c4-standard-2", "disk": {"disk_type": f"zones/{ZONE}/diskTypes/pd-ssd"}}),
        ("badRequest", {"disk": {"disk_type": f"zones/{ZONE}/diskTypes/hyperdisk-balanced"}}),
        ("invalid", {"disk": {"disk_type": "pd-ssd"}}),
        ("invalid", {"disk": {"disk_type": f"zones/{ZONE}/diskTypes/pd-fast"}}),
        ("invalid", {"disk": {"disk_type": "zones/us-central1-b/diskTypes/pd-ssd"}}),
        ("invalid", {"disk": {"disk_size_gb": 1}}),
        ("invalid", {"disk": {"architecture": "ARM64"}}),
        ("invalid", {"disk": {"disk_name": "Upper"}}),
        ("invalid", {"disk": {"labels": {"Upper": ""}}}),
        ("invalid", {"image": ""}),
        ("invalid", {"image": "image"}),
        ("invalid", {"image": "family/things"}),
        ("invalid", {"image": "https://example.com/projects/lkcloud-sandbox/global/images/image"}),
        ("invalid", {"disks": []}),
        ("invalid", {"disks": [AttachedDisk(initialize_params={"source_image": "global/images/image"})]}),
        ("invalid", {"disks": [AttachedDisk(boot=True)]}),
        ("invalid", {"network_interfaces": []}),
        ("invalid", {"network_interfaces": [NetworkInterface(network="default")]}),
        ("invalid", {"network_interfaces": [NetworkInterface(network="global/networks/none")]}),
        (
            "invalid",
            {"network_interfaces": [NetworkInterface(subnetwork="regions/europe-west1/subnetworks/default")]},
        ),
        ("invalid", {"network_interfaces": [NetworkInterface(subnetwork="regions/us-central1/subnetworks/none")]}),
        ("invalid", {"labels": {"a": "Upper"}}),
        ("invalid", {"metadata": {"items": [{"key": "a b", "value": "1"}]}}),
        ("invalid", {"metadata": {"items": [{"key": "a", "value": "1"}, {"key": "a", "value": "2"}]}}),
        ("invalid", {"metadata": {"items": [{"key": "a", "value": "1" * 262145}]}}),
        ("invalid", {"shielded_instance_config": {"enable_secure_boot": True}}),
    ],
)
def test_what_insert_refuses(engine: Computing, reason: str, fields: dict[str, Any]) -> None:
    engine.disk(size=2 * GIB)
    engine.image(source=engine.put(engine.packed()))
    refused(400, reason, engine.run, **fields)
    assert list(engine.instances.list(project=engine.project, zone=ZONE)) == []


def test_an_arm_image_on_an_x86_machine(engine: Computing) -> None:
    engine.image(architecture="ARM64")
    told = refused(400, "invalidResourceUsage", engine.run)
    assert "(ARM64) is not compatible with machine type architecture (X86_64)" in told


@needs_qemu
def test_metadata_network_and_shielded_options_are_shown(engine: Computing) -> None:
    engine.image(guest_os_features=UEFI)
    engine.done(
        engine.run(
            metadata={"items": [{"key": "serial-port-enable", "value": "true"}]},
            network_interfaces=[NetworkInterface(subnetwork="regions/us-central1/subnetworks/default")],
            scheduling={"automatic_restart": False},
            shielded_instance_config={"enable_secure_boot": True, "enable_vtpm": True},
        )
    )
    shown = engine.vm()
    assert [(item.key, item.value) for item in shown.metadata.items] == [("serial-port-enable", "true")]
    assert shown.network_interfaces[0].subnetwork.endswith("/regions/us-central1/subnetworks/default")
    assert shown.scheduling.automatic_restart is False
    assert shown.shielded_instance_config.enable_secure_boot


def test_without_qemu_the_operation_says_what_to_install(empty: Computing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    told = empty.failed(empty.run())
    assert "qemu-system-x86" in told
    refused(404, "notFound", empty.vm)


@needs_qemu
def test_a_reset_ends_the_machines(empty: Computing) -> None:
    empty.done(empty.run())
    home = empty.cloud.holdings.engine.home
    found = subprocess.run(["pgrep", "-f", str(home)], capture_output=True, text=True, check=False).stdout
    assert found
    empty.cloud.reset()
    left = subprocess.run(["pgrep", "-f", str(home)], capture_output=True, text=True, check=False).stdout
    assert left == ""
