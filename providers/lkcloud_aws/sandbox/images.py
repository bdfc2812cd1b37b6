# SPDX-License-Identifier: Apache-2.0
"""EC2's calls on images: register, describe, deregister."""

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from lkcloud_aws.sandbox.cloud import ACCOUNT, new_id
from lkcloud_aws.sandbox.ec2_protocol import Call, Handler, Result
from lkcloud_aws.sandbox.errors import ApiError
from lkcloud_aws.sandbox.image import Image, Specification
from lkcloud_aws.sandbox.image_rules import specification
from lkcloud_aws.sandbox.listing import filtered, page, tag_values
from lkcloud_aws.sandbox.snapshots import remove, users


def find(call: Call, image_id: str) -> Image:
    """Return an image, be it ever so new. Raises ApiError if there is none."""
    image = call.region.images.get(image_id)
    if image is None:
        if not image_id.startswith("ami-"):
            raise ApiError("InvalidAMIID.Malformed", f'Invalid id: "{image_id}" (expecting "ami-...")')
        raise ApiError("InvalidAMIID.NotFound", f"The image id '[{image_id}]' does not exist")
    if not image.exists:
        raise ApiError("InvalidAMIID.Unavailable", f"The image id '[{image_id}]' is no longer available")
    return image


def visible(call: Call, image_id: str) -> Image:
    """Return an image. Raises ApiError if there is none, or if it is too new to be seen."""
    image = call.region.images.get(image_id)
    if image is not None and image.unseen_describes > 0:
        image.unseen_describes -= 1
        raise ApiError("InvalidAMIID.NotFound", f"The image id '[{image_id}]' does not exist")
    return find(call, image_id)


def _register(call: Call) -> Result:
    said = specification(call)
    tags = call.tags("image")["image"]
    taken = next(
        (one for one in call.region.images.values() if one.holds_name and one.specification.name == said.name), None
    )
    if taken:
        raise ApiError("InvalidAMIName.Duplicate", f"AMI name {said.name} is already in use by AMI {taken.id}")
    call.stop_if_dry_run()
    return {"ImageId": made(call, said, tags).id}


def made(call: Call, said: Specification, tags: Mapping[str, str], identity: str = "") -> Image:
    """Make an image, which is `pending` at first; IDENTITY is its id, if that is known before."""
    image = Image(
        id=identity or new_id("ami"),
        specification=said,
        pending=call.cloud.windows.image_pending,
        unseen_describes=call.cloud.windows.unseen_describes,
    )
    call.region.images[image.id] = image
    call.region.tags(image.id).update(tags)
    return image


def _describe(call: Call) -> Result:
    call.stop_if_dry_run()
    wanted = call.items("ImageIds")
    for image_id in wanted:
        visible(call, image_id)
    owners = set(call.items("Owners"))
    if owners and not owners & {"self", ACCOUNT}:
        return {"Images": []}
    runners = set(call.items("ExecutableUsers"))
    now = datetime.now(UTC)
    known = []
    for image in call.region.images.values():
        if not image.exists or (wanted and image.id not in wanted):
            continue
        if image.disabled and not (call.flag("IncludeDisabled") or wanted):
            continue
        # The owner sees deprecated images always: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ami-deprecate.html
        if image.deprecation and image.deprecation < now and not (owners or wanted or call.flag("IncludeDeprecated")):
            continue
        if not runners or image.launch_permissions.names & runners or "self" in runners:
            known.append(image)

    def values(image: Image, name: str) -> list[str] | None:
        found = tag_values(call.region.tags(image.id), name)
        return image.filter_values(ACCOUNT, name) if found is None else found

    found = filtered(known, call, values)
    shown, token = page(found, call, "ImageIds", key=lambda one: one.id, limits=(1, 1000))
    return {"Images": [one.described(ACCOUNT, call.region.tags(one.id)) for one in shown], **token}


def _deregister(call: Call) -> Result:
    image = find(call, call.needed("ImageId"))
    if image.protection != "disabled" or time.monotonic() < image.protected_until:
        # What it answers is not documented.
        raise ApiError("OperationNotPermitted", "You can't deregister an image with deregistration protection.")
    call.stop_if_dry_run()
    image.exists = False
    image.name_held_until = time.monotonic() + call.cloud.windows.name_held
    call.region.tags(image.id).clear()
    results: list[dict[str, Any]] = []
    if call.flag("DeleteAssociatedSnapshots"):
        for snapshot_id in image.snapshot_ids:
            # "If a snapshot is associated with multiple AMIs, it won't be deleted": API_DeregisterImage.
            used = bool(users(call.region, snapshot_id))
            snapshot = call.region.snapshots.get(snapshot_id)
            if snapshot and not used:
                remove(call.region, snapshot)
            results.append({"SnapshotId": snapshot_id, "ReturnCode": "skipped" if used else "success"})
    return {"Return": True, "DeleteSnapshotResults": results}


OPERATIONS: dict[str, Handler] = {
    "RegisterImage": _register,
    "DescribeImages": _describe,
    "DeregisterImage": _deregister,
}
