# SPDX-License-Identifier: Apache-2.0
"""The flat list that Talos Linux publishes as cloud-images.json, and that Terraform modules pick from.

Keys as in https://github.com/siderolabs/talos (hack/cloud-image-uploader): cloud, version, region, arch, type, id.
"""

from lkcloud.release.forms.words import DEBIAN
from lkcloud.release.manifest import Manifest

_TYPES = {"ami": "hvm", "compute-image": "compute#image"}


def talos(manifest: Manifest) -> list[dict[str, str]]:
    """Return the images of MANIFEST, each with six keys."""
    return [
        {
            "cloud": image.cloud,
            "version": image.version,
            "region": image.region,
            "arch": DEBIAN.get(image.arch, image.arch),
            "type": _TYPES.get(image.type, image.type),
            "id": image.id,
        }
        for image in manifest.images
    ]
