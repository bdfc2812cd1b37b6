# SPDX-License-Identifier: Apache-2.0
"""What Compute Engine holds: images, operations and instances."""

import secrets
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lkcloud_gcp.sandbox.compute_operations import Operation
    from lkcloud_gcp.sandbox.compute_templates import Template
    from lkcloud_gcp.sandbox.image import Image
    from lkcloud_gcp.sandbox.instance import Disk, Instance


@dataclass(slots=True)
class Engine:
    """The project's resources; their bytes are in files below HOME."""

    home: Path
    images: dict[str, "Image"] = field(default_factory=dict)
    """By name."""
    operations: dict[str, "Operation"] = field(default_factory=dict)
    """By name, oldest first; global ones and those of zones."""
    instances: dict[tuple[str, str], "Instance"] = field(default_factory=dict)
    """By zone and name."""
    disks: dict[tuple[str, str], "Disk"] = field(default_factory=dict)
    """By zone and name."""
    templates: dict[str, "Template"] = field(default_factory=dict)
    """By name; none of regions."""
    ended: Event = field(default_factory=Event)
    """Set when nothing here goes on any more."""

    def machines_run(self) -> bool:
        """Say whether a machine runs."""
        return any(instance.machine_runs() for instance in tuple(self.instances.values()))

    def stop_machines(self) -> None:
        """End every machine and every operation, for good. The caller does not hold the lock of the cloud."""
        self.ended.set()
        for operation in tuple(self.operations.values()):
            operation.join()
        for instance in tuple(self.instances.values()):
            instance.end()

    def image_file(self, name: str) -> Path:
        """Return the raw file with the bytes of an image, to read. Raises KeyError."""
        return self.images[name].file


def new_id() -> str:
    """Return an id such as Compute Engine gives to resources: a number of 63 bits."""
    return str(secrets.randbits(62) | 1 << 62)
