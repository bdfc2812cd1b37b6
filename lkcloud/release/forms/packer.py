# SPDX-License-Identifier: Apache-2.0
"""What Packer's manifest post-processor writes: https://developer.hashicorp.com/packer/docs/post-processors/manifest.

CI scripts read `.builds[-1].artifact_id`; of AMIs that is `REGION:ID`, several with commas between.
"""

import uuid
from typing import Any

from lkcloud.release.forms.words import newest
from lkcloud.release.manifest import Manifest, Published

_NAMESPACE = uuid.UUID("6f1b0c4e-2a57-5d3b-8f0a-5b8a1f4c9d27")


def packer(manifest: Manifest, *, run_uuid: str = "") -> dict[str, Any]:
    """Return MANIFEST as a Packer manifest: a build for each image of each target.

    RUN_UUID is Packer's own, of the run that this belongs to; without one it follows from what is in the manifest.
    """
    run = run_uuid or str(uuid.uuid5(_NAMESPACE, " ".join(image.id for image in manifest.images)))
    builds: dict[tuple[str, str], list[Published]] = {}
    for image in manifest.images:
        builds.setdefault((image.target, image.image), []).append(image)
    return {
        "builds": [
            {
                "name": f"{target}/{name}",
                "builder_type": f"lkcloud.{images[0].cloud}",
                "build_time": int(max((i.created for i in images if i.created), default=newest(manifest)).timestamp()),
                "files": None,
                "artifact_id": ",".join(_artifact_id(image) for image in images),
                "packer_run_uuid": run,
                "custom_data": _known(version=manifest.version, arch=images[0].arch, digest=images[0].digest),
            }
            for (target, name), images in builds.items()
        ],
        "last_run_uuid": run,
    }


def _artifact_id(image: Published) -> str:
    return f"{image.region}:{image.id}" if image.type == "ami" else image.id


def _known(**data: str) -> dict[str, str]:
    """Return DATA without what is not known."""
    return {key: value for key, value in data.items() if value}
