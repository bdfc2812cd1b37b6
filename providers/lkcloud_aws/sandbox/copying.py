# SPDX-License-Identifier: Apache-2.0
"""CopyImage and CopySnapshot: called in the region that the copy is made in."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from lkcloud_aws.sandbox import authorization
from lkcloud_aws.sandbox.cloud import Region, fingerprint, new_id
from lkcloud_aws.sandbox.ec2_protocol import Call, Handler, Result
from lkcloud_aws.sandbox.errors import ApiError, bad_combination, invalid
from lkcloud_aws.sandbox.image import Volume
from lkcloud_aws.sandbox.image_rules import check_name
from lkcloud_aws.sandbox.images import made
from lkcloud_aws.sandbox.regions import partition
from lkcloud_aws.sandbox.snapshot import Snapshot, share_bytes
from lkcloud_aws.sandbox.snapshots import tag_list


@dataclass(frozen=True, slots=True)
class _Encryption:
    """How a copy is encrypted; KEY "" is the account's default key. A key that cannot be USABLE shows later."""

    wanted: bool
    key: str = ""
    usable: bool = True


def _encryption(call: Call) -> _Encryption:
    """Return the encryption that CALL asks for.

    "If you specify a KMS key, you must also set the encrypted state to true", "Amazon Web Services authenticates the
    KMS key asynchronously" (CopyImage, KmsKeyId).
    """
    wanted, named = call.flag("Encrypted"), call.text("KmsKeyId")
    by_default = call.cloud.moto.encrypts_by_default(call.region.name)
    if named and not wanted:
        raise bad_combination("The parameter KmsKeyId needs the parameter Encrypted")
    if call.parameters.get("Encrypted") is False and by_default:
        raise invalid("Encryption is on by default in this region and cannot be left out")
    key = call.cloud.moto.kms_key(call.region.name, named) if named else call.region.default_key
    usable = key is not None and (not key or authorization.may_use_key(call.cloud, call.region, key))
    return _Encryption(wanted or by_default, key or "", usable=usable)


def _source_region(call: Call) -> Region:
    name = call.needed("SourceRegion")
    if not call.cloud.moto.opted_in(name):
        raise invalid(f"Invalid source region: {name}")
    if partition(name) != partition(call.region.name):
        # "CopyImage does not support ... Cross-partition copies"; what it answers is not documented.
        raise invalid(f"{name} is in another partition")
    return call.cloud.region(name)


def _check_room(call: Call, wanted: int) -> None:
    """Raise ApiError if a region has too many copies at work.

    These are the words of CopySnapshot (aws-samples/copy-encrypted-ami#3); those of CopyImage are not documented.
    """
    limit = call.cloud.windows.snapshot_copies
    if sum(1 for one in call.region.snapshots.values() if one.copied and one.state == "pending") + wanted > limit:
        raise ApiError(
            "ResourceLimitExceeded",
            f"Too many snapshot copies in progress. The limit is {limit} for this destination region.",
        )


def _copied(call: Call, source: Snapshot, encryption: _Encryption, pending: float, description: str) -> Snapshot:
    """Make a copy of a snapshot, which is completed after PENDING seconds, with the same bytes."""
    identity = new_id("snap")
    copy = Snapshot(
        id=identity,
        raw=call.region.home / f"{identity}.raw",
        volume_size=source.volume_size,
        description=description,
        encrypted=encryption.wanted or source.encrypted,
        kms_key=encryption.key if encryption.wanted or source.encrypted else "",
        unseen_describes=call.cloud.windows.unseen_describes,
        inherited=source.inherited,
        digests=dict(source.digests),
        copied=True,
        broken=not encryption.usable,
    )
    share_bytes(source.raw, copy.raw)
    copy.seal(pending)
    call.region.snapshots[identity] = copy
    return copy


def _copy_image(call: Call) -> Result:
    name, source_id = check_name(call.needed("Name")), call.needed("SourceImageId")
    if len(call.text("Description")) > 255:
        raise invalid("Description must be at most 255 characters")
    tags = call.tags("image", "snapshot")
    token, parameters = call.text("ClientToken"), fingerprint(call.parameters)
    replayed = call.region.replayed("CopyImage", token, parameters, error="IdempotentParameterMismatch")
    if replayed:
        return {"ImageId": replayed}
    encryption, home = _encryption(call), _source_region(call)
    source = home.images.get(source_id)
    if source is None or not source.exists:
        raise ApiError("InvalidAMIID.NotFound", f"The image id '[{source_id}]' does not exist")
    if source.state != "available":
        raise ApiError("InvalidAMIID.Unavailable", f"The image '{source_id}' is {source.state}")
    _check_minutes(call, "SnapshotCopyCompletionDurationMinutes")
    _check_room(call, len(source.snapshot_ids))
    call.stop_if_dry_run()
    image_tags = {**home.tags(source_id), **tags["image"]} if call.flag("CopyImageTags") else tags["image"]
    identity = new_id("ami")
    volumes = tuple(
        _copied_volume(call, volume, home=home, image=identity, encryption=encryption, tags=tags["snapshot"])
        for volume in source.specification.volumes
    )
    said = replace(source.specification, name=name, description=call.text("Description"), volumes=volumes)
    # Names of copies need not differ: CopyImage does not look at those that are there (coreos-assembler,
    # mantle/platform/api/aws/images.go, on a race that it lost).
    image = made(call, said, image_tags, identity)
    image.source_id, image.source_region = source_id, home.name
    if not encryption.usable:
        image.fault = "Copy image failed with an internal error."  # hashicorp/packer#6599, #6737
    call.region.remember("CopyImage", token, parameters, image.id)
    return {"ImageId": image.id}


def _copied_volume(
    call: Call, volume: Volume, *, home: Region, image: str, encryption: _Encryption, tags: Mapping[str, str]
) -> Volume:
    """Return VOLUME of the source, which is in the region HOME, for the copy IMAGE."""
    if not volume.snapshot:
        return volume
    original = home.snapshots[volume.snapshot]
    source = call.needed("SourceImageId")
    description = f"Copied for DestinationAmi {image} from SourceAmi {source} for SourceSnapshot {original.id}."
    copy = _copied(call, original, encryption, call.cloud.windows.image_pending, description)
    call.region.tags(copy.id).update(tags)
    return replace(volume, snapshot=copy.id, encrypted=copy.encrypted, kms_key=copy.kms_key)


def _copy_snapshot(call: Call) -> Result:
    tags = call.tags("snapshot")["snapshot"]
    encryption, home = _encryption(call), _source_region(call)
    source = home.snapshots.get(call.needed("SourceSnapshotId"))
    if source is None:
        raise ApiError("InvalidSnapshot.NotFound", "The source snapshot does not exist.")
    if source.state != "completed":
        raise ApiError("IncorrectState", f"The snapshot {source.id} is {source.state}")
    _check_minutes(call, "CompletionDurationMinutes")
    _check_room(call, 1)
    call.stop_if_dry_run()
    copy = _copied(call, source, encryption, call.cloud.windows.snapshot_pending, call.text("Description"))
    call.region.tags(copy.id).update(tags)
    return {"SnapshotId": copy.id, "Tags": tag_list(tags)}


def _check_minutes(call: Call, name: str) -> None:
    minutes = call.parameters.get(name)
    if minutes is not None and (not 15 <= int(minutes) <= 2880 or int(minutes) % 15):
        raise invalid(f"{name} must be between 15 and 2880, in steps of 15")


OPERATIONS: dict[str, Handler] = {"CopyImage": _copy_image, "CopySnapshot": _copy_snapshot}
