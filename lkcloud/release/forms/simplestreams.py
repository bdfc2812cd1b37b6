# SPDX-License-Identifier: Apache-2.0
"""Simplestreams products, which Juju, MAAS, LXD and cloud-image tools read: image ids of all clouds in one document.

https://git.launchpad.net/simplestreams (doc/README): products hold versions, versions hold items; what is said of a
product holds for all below it.
"""

import re
from typing import Any

from lkcloud.release.forms.words import DEBIAN, newest
from lkcloud.release.manifest import Manifest, Published


def simplestreams(manifest: Manifest, *, content_id: str) -> dict[str, Any]:
    """Return the images of MANIFEST as products; CONTENT_ID names the document, such as `com.example.os:released`."""
    products: dict[str, Any] = {}
    for image in manifest.images:
        arch = DEBIAN.get(image.arch, image.arch)
        product = products.setdefault(
            f"{content_id}:{image.image}:{arch}",
            {"arch": arch, "version": image.version, "versions": {}},
        )
        items = product["versions"].setdefault(image.version, {"items": {}, "pubname": image.name})["items"]
        items[_key(image)] = _item(image)
    return {
        "format": "products:1.0",
        "datatype": "image-ids",
        "content_id": content_id,
        "updated": newest(manifest).strftime("%a, %d %b %Y %H:%M:%S +0000"),
        "products": products,
    }


def _key(image: Published) -> str:
    return re.sub(r"[^a-z0-9]+", "-", f"{image.cloud}-{image.target}-{image.region}".lower())


def _item(image: Published) -> dict[str, str]:
    said = {"id": image.id, "cloud": image.cloud, "region": image.region, "crsn": image.region}
    return {**said, "root_store": "ssd", "virt": "hvm"} if image.type == "ami" else said
