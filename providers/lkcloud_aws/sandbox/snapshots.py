# SPDX-License-Identifier: Apache-2.0
"""EC2's calls on snapshots, and the tags of everything that the stand-in itself holds."""

from collections.abc import Mapping
from typing import Any

from lkcloud_aws.sandbox.cloud import ACCOUNT, Region
from lkcloud_aws.sandbox.ec2_protocol import Call, Handler, Result, check_tags
from lkcloud_aws.sandbox.errors import ApiError, bad_combination, invalid, missing_parameter
from lkcloud_aws.sandbox.listing import filtered, page, tag_values
from lkcloud_aws.sandbox.permissions import EVERYBODY, changes
from lkcloud_aws.sandbox.snapshot import Snapshot

MOST_CHANGES = 500


def find(call: Call, snapshot_id: str) -> Snapshot:
    """Return a snapshot, be it ever so new. Raises ApiError if there is none."""
    snapshot = call.region.snapshots.get(snapshot_id)
    if snapshot is None:
        if not snapshot_id.startswith("snap-"):
            raise ApiError("InvalidSnapshotID.Malformed", f"The snapshot ID '{snapshot_id}' is not valid.")
        raise ApiError("InvalidSnapshot.NotFound", f"The snapshot '{snapshot_id}' does not exist.")
    return snapshot


def _visible(call: Call, snapshot_id: str) -> Snapshot:
    """Return a snapshot. Raises ApiError if there is none, or if it is too new to be seen."""
    snapshot = find(call, snapshot_id)
    if snapshot.unseen_describes > 0:
        snapshot.unseen_describes -= 1
        raise ApiError("InvalidSnapshot.NotFound", f"The snapshot '{snapshot_id}' does not exist.")
    return snapshot


def _described(region: Region, snapshot: Snapshot) -> dict[str, Any]:
    state = snapshot.state
    described: dict[str, Any] = {
        "SnapshotId": snapshot.id,
        "VolumeId": "vol-ffffffff",
        "State": state,
        "StartTime": snapshot.started,
        "Progress": snapshot.progress,
        "OwnerId": ACCOUNT,
        "Description": snapshot.description,
        "VolumeSize": snapshot.volume_size,
        "Encrypted": snapshot.encrypted,
        "StorageTier": "standard",
        "Tags": tag_list(region.tags(snapshot.id)),
    }
    if snapshot.kms_key:
        described["KmsKeyId"] = snapshot.kms_key
    if state == "error":
        described["StateMessage"] = (
            "Given key ID is not accessible" if snapshot.broken else "The snapshot was not written to in time"
        )
    return described


def tag_list(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """Return tags as EC2 shows them."""
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def _describe(call: Call) -> Result:
    wanted = call.items("SnapshotIds")
    call.stop_if_dry_run()
    for snapshot_id in wanted:
        _visible(call, snapshot_id)
    owners = call.items("OwnerIds")
    if owners and not {"self", ACCOUNT} & set(owners):
        return {"Snapshots": []}
    known = [one for one in call.region.snapshots.values() if not wanted or one.id in wanted]

    def values(snapshot: Snapshot, name: str) -> list[str] | None:
        simple = {
            "snapshot-id": snapshot.id,
            "status": snapshot.state,
            "description": snapshot.description,
            "owner-id": ACCOUNT,
            "progress": snapshot.progress,
            "volume-size": str(snapshot.volume_size),
            "encrypted": str(snapshot.encrypted).lower(),
            "start-time": snapshot.started.isoformat(),
            "storage-tier": "standard",
        }
        return [simple[name]] if name in simple else tag_values(call.region.tags(snapshot.id), name)

    # DescribeSnapshots, MaxResults: "a value between 5 and 1000".
    found = filtered(known, call, values)
    shown, token = page(found, call, "SnapshotIds", key=lambda one: one.id, limits=(5, 1000))
    return {"Snapshots": [_described(call.region, one) for one in shown], **token}


def users(region: Region, snapshot_id: str) -> list[str]:
    """Return the images that stand on a snapshot."""
    return [image.id for image in region.images.values() if snapshot_id in image.snapshot_ids and image.exists]


def remove(region: Region, snapshot: Snapshot) -> None:
    """Delete a snapshot with its bytes."""
    snapshot.remove()
    region.snapshots.pop(snapshot.id, None)
    region.tags(snapshot.id).clear()


def _delete(call: Call) -> Result:
    snapshot = find(call, call.needed("SnapshotId"))
    used_by = users(call.region, snapshot.id)
    if used_by:
        # https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DeleteSnapshot.html
        raise ApiError("InvalidSnapshot.InUse", f"The snapshot {snapshot.id} is currently in use by {used_by[0]}")
    call.stop_if_dry_run()
    remove(call.region, snapshot)
    return {}


def _describe_attribute(call: Call) -> Result:
    snapshot = _visible(call, call.needed("SnapshotId"))
    if call.needed("Attribute") != "createVolumePermission":
        return {"SnapshotId": snapshot.id, "ProductCodes": []}
    return {"SnapshotId": snapshot.id, "CreateVolumePermissions": snapshot.shared_with.described()}


def _modify_attribute(call: Call) -> Result:
    snapshot = _visible(call, call.needed("SnapshotId"))
    wanted = changes(call, "CreateVolumePermission", "GroupNames")
    # API_ModifySnapshotAttribute: "you cannot do both in a single operation", "up to 500 modifications".
    if wanted.added and wanted.removed:
        raise bad_combination("Permissions cannot be added and removed at the same time")
    if len(wanted.names) > MOST_CHANGES:
        raise invalid(f"At most {MOST_CHANGES} permissions can be changed at a time")
    if not wanted.names:
        raise missing_parameter("CreateVolumePermission")
    if any(one.startswith("arn:") for one in wanted.names):
        raise invalid("A snapshot is shared with accounts, not with organizations")
    public = EVERYBODY in wanted.added
    if wanted.added and snapshot.encrypted and (public or not snapshot.kms_key):
        # hashicorp/packer#7499; what it says of a public one under another key is not documented.
        raise ApiError("OperationNotPermitted", "Encrypted snapshots with EBS default key cannot be shared")
    if public and call.region.snapshot_public_access != "unblocked":
        raise ApiError(
            "OperationNotPermitted",
            "You can't publicly share this snapshot because block public access for snapshots is enabled for this "
            "account.",
        )
    call.stop_if_dry_run()
    snapshot.shared_with.change(wanted.added, wanted.removed, unseen=call.cloud.windows.unseen_permissions)
    return {}


def _reset_attribute(call: Call) -> Result:
    snapshot = _visible(call, call.needed("SnapshotId"))
    # ResetSnapshotAttribute, Attribute: "Currently, only the attribute for permission to create volumes can be reset."
    if call.needed("Attribute") != "createVolumePermission":
        raise invalid(f"Value ({call.text('Attribute')}) for parameter attribute is invalid.")
    call.stop_if_dry_run()
    shared = snapshot.shared_with
    shared.change(frozenset(), shared.names, unseen=call.cloud.windows.unseen_permissions)
    return {}


def _owns(resource_id: str) -> bool:
    return resource_id.startswith(("ami-", "snap-", "import-snap-", "i-"))


def create_tags(call: Call) -> Result | None:
    """Tag what the stand-in holds; None if all of it is moto's."""
    return _change_tags(call, remove_them=False)


def delete_tags(call: Call) -> Result | None:
    """Take tags from what the stand-in holds; None if all of it is moto's."""
    return _change_tags(call, remove_them=True)


def _change_tags(call: Call, *, remove_them: bool) -> Result | None:
    resources = call.items("Resources")
    if not any(_owns(one) for one in resources):
        return None
    for resource_id in resources:
        _check_there(call, resource_id)
    call.stop_if_dry_run()
    for resource_id in resources:
        tags = call.region.tags(resource_id)
        if not remove_them:
            added = check_tags(call.items("Tags"))
            if len({**tags, **added}) > 50:
                raise ApiError("TagLimitExceeded", "The maximum number of Tags for a resource has been reached.")
            tags.update(added)
            continue
        for tag in call.items("Tags"):
            if tag.get("Value") is None or tags.get(tag["Key"]) == tag["Value"]:
                tags.pop(tag["Key"], None)
        if not call.items("Tags"):
            tags.clear()
    return {}


def _check_there(call: Call, resource_id: str) -> None:
    # A new image is not seen at once by CreateTags either (coreos/mantle#1030, hashicorp/packer#2319).
    if resource_id.startswith("snap-"):
        snapshot = find(call, resource_id)
        if snapshot.unseen_tags > 0:
            snapshot.unseen_tags -= 1
            raise ApiError("InvalidSnapshot.NotFound", f"The snapshot '{resource_id}' does not exist.")
    elif resource_id.startswith("ami-"):
        image = call.region.images.get(resource_id)
        if image is None or not image.exists or image.unseen_describes > 0:
            if image:
                image.unseen_describes -= 1
            raise ApiError("InvalidAMIID.NotFound", f"The image id '[{resource_id}]' does not exist")
    elif resource_id.startswith("i-") and resource_id not in call.region.instances:
        raise ApiError("InvalidInstanceID.NotFound", f"The instance ID '{resource_id}' does not exist")
    elif resource_id.startswith("import-snap-") and resource_id not in call.region.tasks:
        raise ApiError("InvalidID", f"The ID '{resource_id}' is not valid")


OPERATIONS: dict[str, Handler] = {
    "DescribeSnapshots": _describe,
    "DeleteSnapshot": _delete,
    "DescribeSnapshotAttribute": _describe_attribute,
    "ModifySnapshotAttribute": _modify_attribute,
    "ResetSnapshotAttribute": _reset_attribute,
}
