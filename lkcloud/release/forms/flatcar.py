# SPDX-License-Identifier: Apache-2.0
"""The list of AMIs by region that Container Linux began with and Flatcar publishes as *_ami_all.json."""

from typing import Any

from lkcloud.errors import UsageError
from lkcloud.release.manifest import Manifest


def flatcar(manifest: Manifest) -> dict[str, Any]:
    """Return the AMIs of MANIFEST. Raises UsageError where a region has two: the form knows no architectures."""
    amis = [image for image in manifest.images if image.type == "ami"]
    regions = [image.region for image in amis]
    if twice := sorted({region for region in regions if regions.count(region) > 1}):
        raise UsageError(
            f"the manifest has several AMIs in {twice[0]}, and this form has room for one in each region",
            hint="choose an architecture with --arch, or an image with --image",
        )
    return {"amis": [{"name": image.region, "hvm": image.id} for image in amis]}
