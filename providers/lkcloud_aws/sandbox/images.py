# SPDX-License-Identifier: Apache-2.0
"""EC2's calls on images: register, describe, copy, deprecate, protect, disable, deregister."""

import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from lkcloud_aws.sandbox.cloud import ACCOUNT, fingerprint, new_id
from lkcloud_aws.sandbox.ec2_protocol import Call, Handler, Result
from lkcloud_aws.sandbox.errors import ApiError, invalid
from lkcloud_aws.sandbox.image import Image, Specification, Volume
from lkcloud_aws.sandbox.image_rules import check_name, specification
from lkcloud_aws.sandbox.listing import filtered, page, tag_values
from lkcloud_aws.sandbox.snapshots import copied, remove, users


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


def _visible(call: Call, image_id: str) -> Image:
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
    return {"ImageId": _made(call, said, tags).id}


def _made(call: Call, said: Specification, tags: Mapping[str, str]) -> Image:
    image = Image(
        id=new_id("ami"),
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
        _visible(call, image_id)
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
        if not runners or image.launch_permissions & runners or "self" in runners:
            known.append(image)

    def values(image: Image, name: str) -> list[str] | None:
        found = tag_values(call.region.tags(image.id), name)
        return image.filter_values(ACCOUNT, name) if found is None else found

    found = filtered(known, call, values)
    shown, token = page(found, call, "ImageIds", key=lambda one: one.id, limits=(1, 1000))
    return {"Images": [one.described(ACCOUNT, call.region.tags(one.id)) for one in shown], **token}


def _copy(call: Call) -> Result:
    name, source_id = check_name(call.needed("Name")), call.needed("SourceImageId")
    source_region = call.needed("SourceRegion")
    tags = call.tags("image", "snapshot")
    token, parameters = call.text("ClientToken"), fingerprint(call.parameters)
    replayed = call.region.replayed("CopyImage", token, parameters, error="IdempotentParameterMismatch")
    if replayed:
        return {"ImageId": replayed}
    if call.parameters.get("Encrypted") is False and call.cloud.moto.encrypts_by_default(call.region.name):
        raise invalid("Encryption is on by default in this region and cannot be left out")
    source = call.cloud.region(source_region).images.get(source_id)
    if source is None or not source.exists:
        raise ApiError("InvalidAMIID.NotFound", f"The image id '[{source_id}]' does not exist")
    if source.state != "available":
        raise ApiError("InvalidAMIID.Unavailable", f"The image '{source_id}' is {source.state}")
    call.stop_if_dry_run()
    volumes = tuple(
        _copied_volume(call, source, source_region, volume, tags["snapshot"]) for volume in source.specification.volumes
    )
    said = replace(
        source.specification,
        name=name,
        volumes=volumes,
        description=call.text("Description") or source.specification.description,
    )
    image_tags = dict(tags["image"])
    if call.flag("CopyImageTags"):
        image_tags = {**call.cloud.region(source_region).tags(source_id), **image_tags}
    image = _made(call, said, image_tags)
    image.source_id, image.source_region = source_id, source_region
    call.region.remember("CopyImage", token, parameters, image.id)
    return {"ImageId": image.id}


def _copied_volume(call: Call, source: Image, source_region: str, volume: Volume, tags: Mapping[str, str]) -> Volume:
    if not volume.snapshot:
        return volume
    original = call.cloud.region(source_region).snapshots[volume.snapshot]
    copy = copied(
        call.cloud,
        original,
        call.region,
        description=f"Copied for DestinationAmi from SourceAmi {source.id} for SourceSnapshot {original.id}",
        encrypted=call.flag("Encrypted"),
        kms_key=call.text("KmsKeyId"),
    )
    call.region.tags(copy.id).update(tags)
    return replace(volume, snapshot=copy.id, encrypted=copy.encrypted, kms_key=copy.kms_key)


def _deregister(call: Call) -> Result:
    image = find(call, call.needed("ImageId"))
    if image.protection != "disabled":
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


def _deprecate(call: Call) -> Result:
    image = find(call, call.needed("ImageId"))
    when = call.parameters.get("DeprecateAt")
    if not isinstance(when, datetime):
        raise ApiError("MissingParameter", "The request must contain the parameter DeprecateAt")
    when = when.replace(tzinfo=UTC)
    now = datetime.now(UTC)
    # https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_EnableImageDeprecation.html
    if when < now:
        raise invalid("The deprecation date cannot be in the past")
    if when > now + timedelta(days=3653):
        raise invalid("The deprecation date can be at most 10 years from now")
    if "all" in image.launch_permissions and when > image.created + timedelta(days=731):
        raise invalid("The deprecation date of a public image can be at most 2 years from its creation")
    call.stop_if_dry_run()
    # "If you specify a value for seconds, Amazon EC2 rounds the seconds to the nearest minute."
    image.deprecation = (when + timedelta(seconds=30)).replace(second=0, microsecond=0)
    return {"Return": True}


def _undeprecate(call: Call) -> Result:
    image = find(call, call.needed("ImageId"))
    call.stop_if_dry_run()
    image.deprecation = None
    return {"Return": True}


def _protect(call: Call) -> Result:
    image = find(call, call.needed("ImageId"))
    call.stop_if_dry_run()
    image.protection = "enabled-with-cooldown" if call.flag("WithCooldown") else "enabled-without-cooldown"
    return {"Return": image.protection}


def _unprotect(call: Call) -> Result:
    image = find(call, call.needed("ImageId"))
    call.stop_if_dry_run()
    if image.protection == "enabled-with-cooldown":
        raise ApiError("OperationNotPermitted", "The protection stays for 24 hours after it has been disabled")
    image.protection = "disabled"
    return {"Return": image.protection}


def _disable(call: Call) -> Result:
    image = find(call, call.needed("ImageId"))
    call.stop_if_dry_run()
    # "launch permissions are removed", and EnableImage does not bring them back: API_DisableImage.
    image.disabled, image.launch_permissions = True, set()
    return {"Return": True}


def _enable(call: Call) -> Result:
    image = find(call, call.needed("ImageId"))
    call.stop_if_dry_run()
    image.disabled = False
    return {"Return": True}


OPERATIONS: dict[str, Handler] = {
    "RegisterImage": _register,
    "DescribeImages": _describe,
    "CopyImage": _copy,
    "DeregisterImage": _deregister,
    "EnableImageDeprecation": _deprecate,
    "DisableImageDeprecation": _undeprecate,
    "EnableImageDeregistrationProtection": _protect,
    "DisableImageDeregistrationProtection": _unprotect,
    "DisableImage": _disable,
    "EnableImage": _enable,
}
