# SPDX-License-Identifier: Apache-2.0
"""The SDK's own client of the stand-in's virtual machines, and images for them."""

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from azure.mgmt.compute import models
from azure.mgmt.compute.operations import VirtualMachinesOperations

from lkcloud.sandbox.qemu import missing
from lkcloud.sandbox.tinydisk import write_tiny_disk
from lkcloud_azure.naming import COMPUTE, ResourceId
from lkcloud_azure.sandbox import AzureStandIn, sparse
from lkcloud_azure.sandbox.cloud import SUBSCRIPTION
from lkcloud_azure.sandbox.gallery import Definition, Gallery, Region, Version
from lkcloud_azure.sandbox.image import Image
from lkcloud_azure.session import Session
from tests.azure_sandbox.networks import GROUP, PLACE, QUICK, Networks

SAYS = "hello-from-azure"
PASSWORD = "aA1-" + "x" * 20

needs_qemu = pytest.mark.skipif(
    bool(missing("x86_64", "bios")), reason=f"needs the Debian packages {missing('x86_64', 'bios')}"
)
needs_uefi = pytest.mark.skipif(
    bool(missing("x86_64", "uefi")), reason=f"needs the Debian packages {missing('x86_64', 'uefi')}"
)


def hold_image(
    azure: AzureStandIn,
    disk: Path,
    group: str,
    name: str = "image",
    *,
    generation: str = "V1",
    state: str = "Generalized",
    location: str = PLACE,
) -> Image:
    """Hold a managed image, as if it had been made of DISK; how images are made is tested elsewhere."""
    cloud = azure.holdings
    file = cloud.file("images")
    sparse.copy(disk, file)
    image = Image(
        id=ResourceId(SUBSCRIPTION, group, COMPUTE, ("images",), (name,)),
        location=location,
        tags={},
        state="Succeeded",
        sent={"storageProfile": {"osDisk": {"osType": "Linux", "osState": state}}},
        generation=generation,
        file=file,
        size=file.stat().st_size,
    )
    with cloud.lock:
        cloud.add(image)
    return image


def hold_version(
    azure: AzureStandIn,
    disk: Path,
    group: str,
    *,
    generation: str = "V2",
    architecture: str = "x64",
    state: str = "Generalized",
    regions: tuple[str, ...] = (PLACE,),
    excluded: bool = False,
    number: str = "1.0.0",
    **features: str,
) -> Version:
    """Hold a version of the image definition `definition` in the gallery `gallery`, as if it had been made of DISK."""
    cloud = azure.holdings
    gallery = ResourceId(SUBSCRIPTION, group, COMPUTE, ("galleries",), ("gallery",))
    place = gallery.child("images", "definition")
    sent = {
        "osType": "Linux",
        "osState": state,
        "hyperVGeneration": generation,
        "architecture": architecture,
        "identifier": {"publisher": "p", "offer": "o", "sku": "s"},
    }
    file = cloud.file("images")
    sparse.copy(disk, file)
    common = {"location": PLACE, "tags": {}, "state": "Succeeded"}
    said = tuple({"name": name, "value": value} for name, value in features.items())
    version = Version(
        id=place.child("versions", number),
        sent={"storageProfile": {}},
        regions=tuple(Region(name, 1, "Standard_LRS", excluded=False, state="Completed") for name in regions),
        file=file,
        size=file.stat().st_size,
        excluded=excluded,
        **common,
    )
    with cloud.lock:
        cloud.add(Gallery(id=gallery, description="", sharing={}, **common))
        cloud.add(Definition(id=place, sent=sent, features=said, **common))
        cloud.add(version)
    return version


@dataclass(frozen=True)
class Machines:
    """What a test asks of virtual machines, in a resource group with a network and one interface called `nic`."""

    networks: Networks
    folder: Path
    _disk: list[Path] = field(default_factory=list)

    @classmethod
    def of(cls, cloud: AzureStandIn, session: Session, folder: Path) -> "Machines":
        """Return the clients, and what a machine needs."""
        networks = Networks.of(cloud, session)
        networks.network()
        networks.interface()
        return cls(networks, folder)

    @property
    def cloud(self) -> AzureStandIn:
        return self.networks.cloud

    @property
    def vms(self) -> VirtualMachinesOperations:
        return self.networks.session.compute.virtual_machines

    def id(self, rest: str) -> str:
        """Return the id of something in the group, such as `images/image`."""
        subscription = self.networks.session.subscription
        return f"/subscriptions/{subscription}/resourceGroups/{GROUP}/providers/Microsoft.Compute/{rest}"

    def disk(self) -> Path:
        """Return a raw disk that says something on its serial port by BIOS and by UEFI, and powers off."""
        if not self._disk:
            path = self.folder / "tiny.raw"
            write_tiny_disk(path, message=SAYS)
            self._disk.append(path)
        return self._disk[0]

    def image(
        self, name: str = "image", *, generation: str = "V1", state: str = "Generalized", location: str = PLACE
    ) -> Image:
        """Hold a managed image of `disk`."""
        return hold_image(self.cloud, self.disk(), GROUP, name, generation=generation, state=state, location=location)

    def body(
        self,
        *,
        image: str = "images/image",
        size: str = "Standard_B2s",
        location: str = PLACE,
        interface: str = "networkInterfaces/nic",
        profile: dict[str, Any] | None = None,
        linux: dict[str, Any] | None = None,
        disk: dict[str, Any] | None = None,
        storage: dict[str, Any] | None = None,
        delete: str = "Delete",
        specialized: bool = False,
        **properties: Any,
    ) -> dict[str, Any]:
        """Return what a machine from a generalized image is asked for with, as JSON."""
        os_profile = {
            "computerName": "vm",
            "adminUsername": "tester",
            "adminPassword": PASSWORD,
            "linuxConfiguration": {"disablePasswordAuthentication": False, "provisionVMAgent": False, **(linux or {})},
            "allowExtensionOperations": False,
            **(profile or {}),
        }
        return {
            "location": location,
            "tags": {"use": "test"},
            "properties": {
                "hardwareProfile": {"vmSize": size},
                "storageProfile": {
                    "imageReference": {"id": self.id(image)},
                    "osDisk": {"name": "os", "createOption": "FromImage", "deleteOption": delete, **(disk or {})},
                    **(storage or {}),
                },
                **({} if specialized else {"osProfile": os_profile}),
                "networkProfile": {
                    "networkInterfaces": [
                        {"id": self.networks.id(interface), "properties": {"primary": True, "deleteOption": delete}}
                    ]
                },
                "diagnosticsProfile": {"bootDiagnostics": {"enabled": True}},
                **properties,
            },
        }

    def begin(self, name: str = "vm", **fields: Any) -> Any:
        """Begin to make a machine."""
        return self.vms.begin_create_or_update(GROUP, name, self.body(**fields), **QUICK)

    def make(self, name: str = "vm", **fields: Any) -> models.VirtualMachine:
        """Make a machine from a specialized image, which is there when it runs."""
        return self.begin(name, specialized=True, **fields).result()

    def codes(self, name: str = "vm") -> list[str]:
        """Return the codes of a machine's instance view."""
        return [status.code or "" for status in self.vms.instance_view(GROUP, name).statuses or ()]

    def wait(self, *codes: str, name: str = "vm") -> None:
        """Wait until a machine's instance view has all of CODES."""
        deadline = time.monotonic() + 60
        while not set(codes) <= set(self.codes(name)):
            assert time.monotonic() < deadline, self.codes(name)
            time.sleep(0.02)
