# SPDX-License-Identifier: Apache-2.0
"""Who may use an image: its attributes, and the account's block of public access."""

from dataclasses import replace

from lkcloud_aws.sandbox.ec2_protocol import Call, Handler, Result
from lkcloud_aws.sandbox.errors import ApiError, invalid
from lkcloud_aws.sandbox.image import Image
from lkcloud_aws.sandbox.images import find
from lkcloud_aws.sandbox.snapshots import permission_changes, permissions


def _modify(call: Call) -> Result:
    image = find(call, call.needed("ImageId"))
    attribute = call.text("Attribute")
    description, imds = call.structure("Description"), call.structure("ImdsSupport")
    shares = call.structure("LaunchPermission") or attribute == "launchPermission"
    if [bool(description), bool(imds), bool(shares)].count(True) > 1:
        raise ApiError("InvalidParameterCombination", "Only one attribute can be changed at a time")
    if description or attribute == "description":
        call.stop_if_dry_run()
        text = str(description.get("Value") or call.text("Value"))
        image.specification = replace(image.specification, description=text)
    elif imds or attribute == "imdsSupport":
        # "v2.0" cannot be taken back: API_ModifyImageAttribute.
        if str(imds.get("Value") or call.text("Value")) != "v2.0":
            raise invalid("imdsSupport can be set to v2.0 only")
        call.stop_if_dry_run()
        image.specification = replace(image.specification, imds="v2.0")
    else:
        _share(call, image)
    return {}


def _share(call: Call, image: Image) -> None:
    added, removed = permission_changes(call, "LaunchPermission", "UserGroups")
    if not added | removed:
        raise ApiError("InvalidRequest", "The request received was invalid")
    if "all" in added and call.region.image_public_access != "unblocked":
        # https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/block-public-access-to-amis.html
        raise ApiError(
            "OperationNotPermitted",
            "You can't publicly share this image because block public access for AMIs is enabled for this account.",
        )
    if "all" in added and any(volume.encrypted for volume in image.specification.volumes):
        raise ApiError("InvalidParameter", "You can't make an image with encrypted volumes public")
    if image.disabled:
        raise ApiError("InvalidAMIID.Unavailable", f"The image '{image.id}' is disabled")
    call.stop_if_dry_run()
    image.launch_permissions = (image.launch_permissions | added) - removed


def _describe(call: Call) -> Result:
    image = find(call, call.needed("ImageId"))
    attribute = call.needed("Attribute")
    said = image.specification
    answer: dict[str, object] = {"ImageId": image.id}
    single = {
        "description": ("Description", said.description),
        "bootMode": ("BootMode", said.boot_mode),
        "tpmSupport": ("TpmSupport", said.tpm),
        "imdsSupport": ("ImdsSupport", said.imds),
        "uefiData": ("UefiData", said.uefi_data),
        "sriovNetSupport": ("SriovNetSupport", said.sriov),
        "deregistrationProtection": ("DeregistrationProtection", image.protection),
    }
    if attribute == "launchPermission":
        answer["LaunchPermissions"] = permissions(image.launch_permissions)
    elif attribute == "blockDeviceMapping":
        # EC2 has never let anybody read it, whatever the permissions.
        raise ApiError("AuthFailure", "Unauthorized attempt to access restricted resource", 403)
    elif attribute in single:
        name, value = single[attribute]
        answer[name] = {"Value": value} if value else {}
    else:
        raise invalid(f"Value ({attribute}) for parameter attribute is invalid.")
    return answer


def _reset(call: Call) -> Result:
    image = find(call, call.needed("ImageId"))
    call.stop_if_dry_run()
    image.launch_permissions = set()
    return {}


def _get_image_access(call: Call) -> Result:
    return {"ImageBlockPublicAccessState": call.region.image_public_access, "ManagedBy": "account"}


def _block_images(call: Call) -> Result:
    call.needed("ImageBlockPublicAccessState")
    call.stop_if_dry_run()
    call.region.image_public_access = "block-new-sharing"
    return {"ImageBlockPublicAccessState": "block-new-sharing"}


def _unblock_images(call: Call) -> Result:
    call.stop_if_dry_run()
    call.region.image_public_access = "unblocked"
    return {"ImageBlockPublicAccessState": "unblocked"}


def _get_snapshot_access(call: Call) -> Result:
    return {"State": call.region.snapshot_public_access, "ManagedBy": "account"}


def _block_snapshots(call: Call) -> Result:
    wanted = call.needed("State")
    call.stop_if_dry_run()
    call.region.snapshot_public_access = "block-all-sharing" if wanted == "block-all-sharing" else "block-new-sharing"
    return {"State": wanted}


def _unblock_snapshots(call: Call) -> Result:
    call.stop_if_dry_run()
    call.region.snapshot_public_access = "unblocked"
    return {"State": "unblocked"}


OPERATIONS: dict[str, Handler] = {
    "ModifyImageAttribute": _modify,
    "DescribeImageAttribute": _describe,
    "ResetImageAttribute": _reset,
    "GetImageBlockPublicAccessState": _get_image_access,
    "EnableImageBlockPublicAccess": _block_images,
    "DisableImageBlockPublicAccess": _unblock_images,
    "GetSnapshotBlockPublicAccessState": _get_snapshot_access,
    "EnableSnapshotBlockPublicAccess": _block_snapshots,
    "DisableSnapshotBlockPublicAccess": _unblock_snapshots,
}
