# SPDX-License-Identifier: Apache-2.0
"""A managed image: what it was made from, and its bytes."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lkcloud_azure.sandbox.cloud import Cloud, Resource
from lkcloud_azure.sandbox.disk import GIB


@dataclass(kw_only=True)
class Image(Resource):
    """A managed image; FILE has its bytes raw, SIZE of them, once it is Succeeded. SENT is what was asked for."""

    sent: Mapping[str, Any]
    generation: str
    file: Path
    size: int = 0

    @property
    def os_disk(self) -> Mapping[str, Any]:
        """What was asked for about the disk of the operating system."""
        disk: Mapping[str, Any] = self.sent["storageProfile"]["osDisk"]
        return disk

    def properties(self) -> dict[str, Any]:
        """Return its properties."""
        shown = {"caching": "None", "storageAccountType": "Standard_LRS", **self.os_disk}
        if self.size:
            shown.setdefault("diskSizeGB", -(-self.size // GIB))
        resilient = self.sent["storageProfile"].get("zoneResilient", False)
        return {
            "storageProfile": {"osDisk": shown, "dataDisks": [], "zoneResilient": resilient},
            "hyperVGeneration": self.generation,
        }

    def removed(self, cloud: Cloud) -> None:
        """Give its bytes back."""
        del cloud
        self.file.unlink(missing_ok=True)
