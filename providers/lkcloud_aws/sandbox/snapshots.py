# SPDX-License-Identifier: Apache-2.0
"""EC2's calls on snapshots, and the tags of everything that the stand-in itself holds."""

from collections.abc import Mapping
from typing import Any

from lkcloud_aws.sandbox.cloud import ACCOUNT, Cloud, Region, new_id
from lkcloud_aws.sandbox.ec2_protocol import Call, Handler, Result, check_tags
from lkcloud_aws.sandbox.errors import ApiError, invalid
from lkcloud_aws.sandbox.listing import filtered, page, tag_values
from lkcloud_aws.sandbox.snapshot import Snapshot, copy_sparse


def find(call: Call, snapshot_id: str) -> Snapshot:
    """Return a snapshot. Raises ApiError if there is none, or if it is too new to be seen."""
    snapshot = call.region.snapshots.get(snapshot_id)
    if snapshot is None:
        if not snapshot_id.startswith("snap-"):
            raise ApiError("InvalidSnapshotID.Malformed", f"The snapshot ID '{snapshot_id}' is not valid.")
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
        "Tags": _tag_list(region.tags(snapshot.id)),
    }
    if snapshot.kms_key:
        described["KmsKeyId"] = snapshot.kms_key
    if state == "error":
        described["StateMessage"] = "The snapshot was not written to or completed in time"
    return described


def _tag_list(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def _describe(call: Call) -> Result:
    wanted = call.items("SnapshotIds")
    call.stop_if_dry_run()
    for snapshot_id in wanted:
        snapshot = find(call, snapshot_id)
        if snapshot.unseen_describes > 0:
            snapshot.unseen_describes -= 1
            raise ApiError("InvalidSnapshot.NotFound", f"The snapshot '{snapshot_id}' does not exist.")
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


def copied(
    cloud: Cloud, source: Snapshot, target: Region, *, description: str, encrypted: bool, kms_key: str
) -> Snapshot:
    """Make a copy of a snapshot with its bytes in a region."""
    identity = new_id("snap")
    copy = Snapshot(
        id=identity,
        raw=target.home / f"{identity}.raw",
        volume_size=source.volume_size,
        description=description,
        encrypted=encrypted or source.encrypted or cloud.moto.encrypts_by_default(target.name),
        kms_key=kms_key,
        unseen_describes=cloud.windows.unseen_describes,
        inherited=source.inherited,
        digests=dict(source.digests),
    )
    copy_sparse(source.raw, copy.raw)
    copy.seal(cloud.windows.snapshot_pending)
    target.snapshots[identity] = copy
    return copy


def _copy(call: Call) -> Result:
    source_region = call.needed("SourceRegion")
    tags = call.tags("snapshot")["snapshot"]
    source = call.cloud.region(source_region).snapshots.get(call.needed("SourceSnapshotId"))
    if source is None:
        raise ApiError("InvalidSnapshot.NotFound", "The source snapshot does not exist.")
    if source.state != "completed":
        raise ApiError("IncorrectState", f"The snapshot {source.id} is {source.state}")
    minutes = call.parameters.get("CompletionDurationMinutes")
    if minutes is not None and (not 15 <= int(minutes) <= 2880 or int(minutes) % 15):
        raise invalid("CompletionDurationMinutes must be between 15 and 2880, in steps of 15")
    call.stop_if_dry_run()
    copy = copied(
        call.cloud,
        source,
        call.region,
        description=call.text("Description"),
        encrypted=call.flag("Encrypted"),
        kms_key=call.text("KmsKeyId"),
    )
    call.region.tags(copy.id).update(tags)
    return {"SnapshotId": copy.id, "Tags": _tag_list(tags)}


def _describe_attribute(call: Call) -> Result:
    snapshot = find(call, call.needed("SnapshotId"))
    if call.needed("Attribute") != "createVolumePermission":
        return {"SnapshotId": snapshot.id, "ProductCodes": []}
    return {"SnapshotId": snapshot.id, "CreateVolumePermissions": permissions(snapshot.shared_with)}


def permissions(shared_with: set[str]) -> list[dict[str, str]]:
    """Return launch or volume permissions as EC2 shows them."""
    return [_permission(name) for name in sorted(shared_with)]


def _permission(name: str) -> dict[str, str]:
    if name.startswith("arn:"):
        return {"OrganizationArn" if ":organization/" in name else "OrganizationalUnitArn": name}
    return {"Group": name} if name == "all" else {"UserId": name}


def permission_changes(call: Call, structure: str, groups: str) -> tuple[set[str], set[str]]:
    """Return who is to be added and who removed, from either form of the parameters. Raises ApiError for nonsense."""
    added: set[str] = set()
    removed: set[str] = set()
    for name, found in (("Add", added), ("Remove", removed)):
        for one in call.structure(structure).get(name) or []:
            found |= {value for value in one.values() if value}
    listed = {
        *call.items("UserIds"),
        *call.items(groups),
        *call.items("OrganizationArns"),
        *call.items("OrganizationalUnitArns"),
    }
    if listed:
        kind = call.text("OperationType")
        if kind not in ("add", "remove"):
            raise ApiError("MissingParameter", "The request must contain the parameter OperationType")
        (added if kind == "add" else removed).update(listed)
    for one in added | removed:
        account = one.isdigit() and len(one) == 12
        if not account and one != "all" and not one.startswith("arn:"):
            raise ApiError(
                "InvalidAMIAttributeItemValue", f'Invalid attribute item value "{one}" for userId item type.'
            )
    return added, removed


def _modify_attribute(call: Call) -> Result:
    snapshot = find(call, call.needed("SnapshotId"))
    added, removed = permission_changes(call, "CreateVolumePermission", "GroupNames")
    if any(one.startswith("arn:") for one in added | removed):
        raise invalid("A snapshot is shared with accounts, not with organizations")
    if "all" in added and snapshot.encrypted:
        raise ApiError("OperationNotPermitted", "Encrypted snapshots with EBS default key cannot be shared")
    if "all" in added and call.region.snapshot_public_access != "unblocked":
        raise ApiError(
            "OperationNotPermitted",
            "You can't publicly share this snapshot because block public access for snapshots is enabled for this "
            "account.",
        )
    call.stop_if_dry_run()
    snapshot.shared_with = (snapshot.shared_with | added) - removed
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
    "CopySnapshot": _copy,
    "DescribeSnapshotAttribute": _describe_attribute,
    "ModifySnapshotAttribute": _modify_attribute,
}
