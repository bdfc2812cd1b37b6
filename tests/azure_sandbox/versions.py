# SPDX-License-Identifier: Apache-2.0
"""What tests of gallery image versions say often; they are of the version 1.0.0 of `definition` in `gallery`."""

from typing import Any

from tests.azure_sandbox.arm import GROUP, QUICK, Arm


def regions(*names: str, **more: Any) -> dict[str, Any]:
    return {"publishingProfile": {"targetRegions": [{"name": name} for name in names], **more}}


def update(arm: Arm, **properties: Any) -> Any:
    return arm.compute.gallery_image_versions.begin_update(
        GROUP, "gallery", "definition", "1.0.0", {"properties": {"storageProfile": {}, **properties}}, **QUICK
    )


def get(arm: Arm, name: str = "1.0.0", **more: Any) -> Any:
    return arm.compute.gallery_image_versions.get(GROUP, "gallery", "definition", name, **more)


def delete(arm: Arm, name: str = "1.0.0") -> Any:
    return arm.compute.gallery_image_versions.begin_delete(GROUP, "gallery", "definition", name, **QUICK)


def disk_source(disk_id: str | None) -> dict[str, Any]:
    return {"osDiskImage": {"source": {"id": disk_id}}}
