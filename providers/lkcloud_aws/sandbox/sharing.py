# SPDX-License-Identifier: Apache-2.0
"""Who may use an image: its attributes, and the account's block of public access."""

from dataclasses import replace

from lkcloud_aws.sandbox.ec2_protocol import Call, Handler, Result
from lkcloud_aws.sandbox.errors import ApiError, invalid
from lkcloud_aws.sandbox.image import Image
from lkcloud_aws.sandbox.images import visible
from lkcloud_aws.sandbox.permissions import EVERYBODY, Permissions, changes

MOST_CHANGES = 10_000
"""ModifyImageAttribute, UserId: "Up to 10 000 account IDs can be specified in a single request"."""


def _modify(call: Call) -> Result:
    image = visible(call, call.needed("ImageId"))
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
    wanted = changes(call, "LaunchPermission", "UserGroups")
    if not wanted.names:
        raise ApiError("InvalidRequest", "The request received was invalid")
    if len(wanted.names) > MOST_CHANGES:
        raise invalid(f"At most {MOST_CHANGES} permissions can be changed at a time")
    if image.state != "available":
        # "A disabled AMI can't be shared" (DisableImage); of the others nothing is said.
        raise ApiError("InvalidAMIID.Unavailable", f"The image '{image.id}' is {image.state}")
    encrypted = [volume for volume in image.specification.volumes if volume.snapshot and volume.encrypted]
    if EVERYBODY in wanted.added - image.launch_permissions.names:
        _check_public(call, encrypted=bool(encrypted))
    elif wanted.added and any(not volume.kms_key for volume in encrypted):
        # DataDog/stratus-red-team#109, hashicorp/packer#7410
        raise ApiError(
            "InvalidParameter",
            "Snapshots encrypted with the AWS Managed CMK can't be shared. Specify another snapshot.",
        )
    call.stop_if_dry_run()
    image.launch_permissions.change(wanted.added, wanted.removed, unseen=call.cloud.windows.unseen_permissions)
    if EVERYBODY in wanted.added:
        # "By default, the deprecation date of all public AMIs is set to two years from the AMI creation date."
        # https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ami-deprecate.html
        image.deprecation = min(image.deprecation or image.public_end, image.public_end)


def _check_public(call: Call, *, encrypted: bool) -> None:
    if call.region.image_public_access != "unblocked":
        # hortonworks/cloudbreak-images#926, aws-deepracer-community/deepracer-on-the-spot#106
        raise ApiError(
            "OperationNotPermitted",
            "You can\u2019t publicly share this image because block public access for AMIs is enabled for this "
            "account. To publicly share the image, you must call the DisableImageBlockPublicAccess API.",
        )
    if encrypted:
        # opendevstack/ods-core#1062
        raise ApiError(
            "UnsupportedOperation", "Encrypted snapshots can't be shared publicly. Specify another snapshot."
        )
    quota = call.cloud.windows.public_images
    there = [one for one in call.region.images.values() if one.exists and EVERYBODY in one.launch_permissions.names]
    if len(there) >= quota:
        # cloudfoundry/bosh-linux-stemcell-builder#685, iterative/studio-selfhosted#81
        raise ApiError(
            "ResourceLimitExceeded",
            f"You have reached your quota of {quota} for the number of public images allowed in this Region. "
            "Deregister unused public images or make them private, or request an increase in your public AMIs quota.",
        )


def _describe(call: Call) -> Result:
    image = visible(call, call.needed("ImageId"))
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
        answer["LaunchPermissions"] = image.launch_permissions.described()
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
    image = visible(call, call.needed("ImageId"))
    call.stop_if_dry_run()
    image.launch_permissions = Permissions()
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
