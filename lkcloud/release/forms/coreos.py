# SPDX-License-Identifier: Apache-2.0
"""CoreOS stream metadata, which coreos-installer, OpenShift's installer and Terraform read.

https://github.com/coreos/stream-metadata-go, stream/stream.go. Its images are those of AWS, by region, and of Google
Cloud; it has no place for an image of an Azure gallery. Artifacts are files for download, of which a manifest has none.
"""

from typing import Any

from lkcloud.errors import UsageError
from lkcloud.release.forms.words import RPM, newest, utc
from lkcloud.release.manifest import Manifest


def coreos(manifest: Manifest, *, stream: str) -> dict[str, Any]:
    """Return MANIFEST as the metadata of STREAM. Raises UsageError where one place has two images."""
    architectures: dict[str, Any] = {}
    for image in manifest.images:
        if image.cloud not in ("aws", "gcp"):
            continue
        arch = architectures.setdefault(RPM.get(image.arch, image.arch), {"artifacts": {}, "images": {}})
        images = arch["images"]
        if image.cloud == "aws":
            regions = images.setdefault("aws", {"regions": {}})["regions"]
            if image.region in regions:
                raise _twice(f"{image.region} on AWS")
            regions[image.region] = {"release": image.version, "image": image.id}
        else:
            if "gcp" in images:
                raise _twice("Google Cloud")
            images["gcp"] = {
                "release": image.version,
                "project": image.account,
                **({"family": image.family} if image.family else {}),
                "name": image.name,
            }
    return {
        "stream": stream,
        "metadata": {"last-modified": utc(newest(manifest)), "generator": "lkcloud"},
        "architectures": architectures,
    }


def _twice(place: str) -> UsageError:
    return UsageError(
        f"the manifest has two images of one architecture for {place}, and this form has room for one",
        hint="choose one with --image",
    )
