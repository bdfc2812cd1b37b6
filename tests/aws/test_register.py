# SPDX-License-Identifier: Apache-2.0
"""Images: registered once, with nothing left to AWS's defaults; found, listed and deleted."""

import base64
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from lkcloud.disk import Disk, open_disk
from lkcloud.errors import Conflict, Refused
from lkcloud.provider import Image, Run
from lkcloud.reporting import Silent
from lkcloud.sandbox.http import Response
from lkcloud.sandbox.tinydisk import write_tiny_disk
from lkcloud_aws import AwsOptions, images, leftovers, snapshots
from lkcloud_aws.naming import listed, tags_of
from lkcloud_aws.register import Registration
from lkcloud_aws.sandbox import AwsStandIn
from lkcloud_aws.sandbox.errors import ApiError
from lkcloud_aws.session import Session
from tests.aws.pushing import MIB, DiskMaker, counted, described, lose_answers, refuse, source_of, upload


@pytest.fixture
def disk(make_disk: DiskMaker) -> Disk:
    return make_disk(MIB, blocks=(0,))


def push(session: Session, disk: Disk, run: Run, *, name: str = "image", **options: object) -> Image:
    made = upload(session, disk, run, name=name, **options)
    return register(session, disk, run, made.id, name=name, **options)


def register(session: Session, disk: Disk, run: Run, snapshot: str, *, name: str = "image", **options: object) -> Image:
    chosen = AwsOptions.model_validate(options)
    return Registration(session, chosen, source_of(disk, name, "a description")).register(snapshot, run)


def uefi_disk(make_disk: DiskMaker, tmp_path: Path) -> Disk:
    made = make_disk(1, name="tiny.raw")
    write_tiny_disk(made.path)
    return open_disk(made.path)


def test_nothing_is_left_to_the_defaults(session: Session, disk: Disk, run: Run) -> None:
    image = push(session, disk, run, tag=("team=os",))
    shown = described(session, image.id)
    assert shown["Architecture"] == "x86_64"
    assert shown["VirtualizationType"] == "hvm"
    assert shown["BootMode"] == "legacy-bios"
    assert shown["ImdsSupport"] == "v2.0"
    assert shown["EnaSupport"] is True
    assert shown["SriovNetSupport"] == "simple"
    assert shown["Description"] == "a description"
    assert shown["RootDeviceName"] == "/dev/xvda"
    assert {tag["Key"]: tag["Value"] for tag in shown["Tags"]} == {
        "Name": "image",
        "team": "os",
        "lkcloud:name": "image",
        "lkcloud:digest": disk.content().digest,
        "lkcloud:version": "1",
    }
    [root] = shown["BlockDeviceMappings"]
    assert root["DeviceName"] == "/dev/xvda"
    assert root["Ebs"]["VolumeType"] == "gp3"
    assert root["Ebs"]["DeleteOnTermination"] is True
    assert image.ready
    assert image.state == "available"


def test_every_option_reaches_the_image(session: Session, make_disk: DiskMaker, run: Run, tmp_path: Path) -> None:
    store = tmp_path / "vars"
    store.write_bytes(b"AMZNUEFI" + bytes(64))
    with uefi_disk(make_disk, tmp_path) as disk:
        image = push(
            session,
            disk,
            run,
            tpm=True,
            uefi_data=store,
            imdsv2=False,
            ena=False,
            sriov=False,
            encrypted=True,
            root_device_name="/dev/sda1",
            volume_size=20,
            iops=4000,
            throughput=250,
            data_volume=("/dev/sdb:7", "/dev/sdc:125:st1"),
        )
    shown = described(session, image.id)
    assert (shown["BootMode"], shown["TpmSupport"]) == ("uefi", "v2.0")
    assert "ImdsSupport" not in shown
    assert not shown.get("EnaSupport")
    assert "SriovNetSupport" not in shown
    root, one, two = (mapping["Ebs"] for mapping in shown["BlockDeviceMappings"])
    assert (root["VolumeSize"], root["Iops"], root["Throughput"]) == (20, 4000, 250)
    assert (one["VolumeSize"], one["VolumeType"], one["Encrypted"]) == (7, "gp3", True)
    assert (two["VolumeSize"], two["VolumeType"]) == (125, "st1")
    kept: Any = session.ec2.describe_image_attribute(ImageId=image.id, Attribute="uefiData")
    assert base64.b64decode(kept["UefiData"]["Value"]) == store.read_bytes()


def test_a_disk_for_both_firmwares_prefers_uefi(
    session: Session, make_disk: DiskMaker, run: Run, tmp_path: Path
) -> None:
    with uefi_disk(make_disk, tmp_path) as disk:
        assert described(session, push(session, disk, run).id)["BootMode"] == "uefi-preferred"


def test_the_family_is_a_tag_of_the_image_alone(session: Session, disk: Disk, run: Run) -> None:
    image = push(session, disk, run, family="my-os")
    assert (image.family, dict(image.tags)["lkcloud:family"]) == ("my-os", "my-os")
    assert push(session, disk, run, family="my-os") == image
    [snapshot] = session.ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"]
    assert "lkcloud:family" not in [tag["Key"] for tag in snapshot["Tags"]]
    assert push(session, disk, run, name="without").family == ""


def test_registering_again_gives_the_same_image(aws: AwsStandIn, session: Session, disk: Disk, run: Run) -> None:
    first = push(session, disk, run)
    assert push(session, disk, run) == first
    assert counted(aws, "RegisterImage") == 1


@pytest.mark.parametrize("operation", ["RegisterImage", "DescribeImages"])
def test_a_lost_answer_makes_one_image(operation: str, aws: AwsStandIn, session: Session, disk: Disk, run: Run) -> None:
    lose_answers(aws, operation)
    image = push(session, disk, run)
    assert [found.id for found in images.every(session)] == [image.id]


def test_another_run_that_registers_first_is_joined(aws: AwsStandIn, session: Session, disk: Disk, run: Run) -> None:
    first = push(session, disk, run)
    # What a run sees that looked for the name just before: nothing.
    unseen = [True]

    def blind(seen: Any) -> Any:
        if seen.phase == "after" and seen.operation == "DescribeImages" and unseen:
            unseen.clear()
            body = '<DescribeImagesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><imagesSet/></DescribeImagesResponse>'
            return Response(200, {"Content-Type": "text/xml"}, body.encode())
        return None

    aws.traffic.hooks.append(blind)
    assert register(session, disk, run, first.blobs[0].id).id == first.id
    assert counted(aws, "RegisterImage") == 2


def test_a_name_with_other_content_is_a_conflict(session: Session, disk: Disk, make_disk: DiskMaker, run: Run) -> None:
    first = push(session, disk, run)
    other = make_disk(MIB, blocks=(1,), name="other.raw")
    with pytest.raises(Conflict, match=first.id) as raised:
        push(session, other, run)
    assert "--replace" in raised.value.hint


def test_an_image_that_others_made_is_a_conflict(session: Session, disk: Disk, run: Run) -> None:
    made = upload(session, disk, run)
    foreign = session.ec2.register_image(
        Name="image",
        Architecture="x86_64",
        VirtualizationType="hvm",
        RootDeviceName="/dev/xvda",
        BlockDeviceMappings=[{"DeviceName": "/dev/xvda", "Ebs": {"SnapshotId": made.id}}],
    )["ImageId"]
    with pytest.raises(Conflict, match=foreign):
        register(session, disk, run, made.id)


def test_a_snapshot_that_is_not_seen_as_completed_everywhere_is_waited_for(
    aws: AwsStandIn, session: Session, disk: Disk, run: Run
) -> None:
    made = upload(session, disk, run)
    refuse(aws, "RegisterImage", ApiError("InvalidSnapshot.NotFound", f"The snapshot '{made.id}' does not exist."))
    refuse(aws, "RegisterImage", ApiError("IncorrectState", f"Snapshot {made.id} is in invalid state - pending"))
    aws.windows.unseen_describes = 2
    assert register(session, disk, run, made.id).ready


def test_a_denied_registration_is_told_at_once(aws: AwsStandIn, session: Session, disk: Disk, run: Run) -> None:
    made = upload(session, disk, run)
    refuse(aws, "RegisterImage", ApiError("UnauthorizedOperation", "you may not", 403), times=9)
    with pytest.raises(Refused, match="you may not") as raised:
        register(session, disk, run, made.id)
    assert "RegisterImage" in raised.value.hint
    assert counted(aws, "RegisterImage") == 1


def test_names_are_found_literally(session: Session, disk: Disk, run: Run) -> None:
    image = push(session, disk, run, name="release-1.0")
    assert images.find(session, "release-1.0") == image
    for pattern in ("release-*", "release-1.?", "*", "release-1"):
        assert images.find(session, pattern) is None


def test_images_are_listed_over_pages_oldest_first(aws: AwsStandIn, session: Session, disk: Disk, run: Run) -> None:
    made = [push(session, disk, run, name=f"image-{number}") for number in range(3)]
    aws.windows.page_size = 1
    assert {found.id for found in images.every(session)} == {one.id for one in made}
    assert images.find(session, "image-1") == made[1]
    days = [found.created for found in images.every(session) if found.created]
    assert days == sorted(days)


def test_deleting_takes_the_snapshots_and_again_is_no_error(session: Session, disk: Disk, run: Run) -> None:
    image = push(session, disk, run)
    images.delete(session, image)
    images.delete(session, image)
    assert images.get(session, image.id) is None
    assert images.find(session, "image") is None
    assert snapshots.ours(session) == []


def test_a_snapshot_that_another_image_stands_on_stays(aws: AwsStandIn, session: Session, disk: Disk, run: Run) -> None:
    aws.windows.unseen_describes = 0
    image = push(session, disk, run)
    other = session.ec2.register_image(
        Name="other",
        Architecture="x86_64",
        VirtualizationType="hvm",
        RootDeviceName="/dev/xvda",
        BlockDeviceMappings=[{"DeviceName": "/dev/xvda", "Ebs": {"SnapshotId": image.blobs[0].id}}],
        TagSpecifications=[{"ResourceType": "image", "Tags": listed(tags_of("other", image.digest))}],
    )["ImageId"]
    images.delete(session, image)
    assert [found.id for found in snapshots.ours(session)] == [image.blobs[0].id]
    with Silent().stage("wait") as meter:  # before it is available EC2 shows it without its snapshot
        images.delete(session, images.wait(session, other, minutes=1, meter=meter))
    assert snapshots.ours(session) == []


def test_a_deprecated_image_is_still_found(session: Session, disk: Disk, run: Run) -> None:
    image = push(session, disk, run)
    session.ec2.enable_image_deprecation(ImageId=image.id, DeprecateAt="2035-01-01T00:00:00Z")
    found = images.find(session, "image")
    assert found is not None
    assert found.id == image.id


def test_leftovers_are_snapshots_without_an_image(session: Session, disk: Disk, run: Run) -> None:
    options = AwsOptions()
    push(session, disk, run, name="kept")
    left = upload(session, disk, run, name="left")
    assert [blob.id for blob in leftovers.leftovers(session, options, "")] == [left.id]
    assert [blob.id for blob in leftovers.leftovers(session, options, "left")] == [left.id]
    assert list(leftovers.leftovers(session, options, "kept")) == []
    [blob] = leftovers.leftovers(session, options, "left")
    assert blob.created is not None
    assert datetime.now(UTC) - blob.created < timedelta(minutes=5)
    leftovers.delete(session, blob)
    leftovers.delete(session, blob)
    assert list(leftovers.leftovers(session, options, "")) == []


def test_what_an_identity_may_not_look_at_it_has_not_made(
    aws: AwsStandIn, session: Session, bucket: str, disk: Disk, run: Run
) -> None:
    left = upload(session, disk, run)
    for operation in ("DescribeImportSnapshotTasks", "DescribeInstances"):
        refuse(aws, operation, ApiError("UnauthorizedOperation", "you may not", 403), times=99)
    assert [blob.id for blob in leftovers.leftovers(session, AwsOptions(), "image")] == [left.id]
    with pytest.raises(Refused, match="you may not"):
        list(leftovers.leftovers(session, AwsOptions(bucket=bucket), "image"))


def test_the_name_of_an_image_just_deleted_is_waited_for(
    aws: AwsStandIn, session: Session, disk: Disk, make_disk: DiskMaker, run: Run
) -> None:
    aws.windows.name_held = 0.7
    old = push(session, disk, run)
    other = make_disk(MIB, blocks=(1,), name="other.raw")
    made = upload(session, other, run)
    images.delete(session, old)
    new = register(session, other, run, made.id)
    assert counted(aws, "RegisterImage") > 2
    assert images.find(session, "image") == new
    assert new.digest == other.content().digest


def test_a_disabled_image_is_told_at_once(session: Session, disk: Disk, run: Run) -> None:
    image = push(session, disk, run)
    session.ec2.disable_image(ImageId=image.id)
    with pytest.raises(Refused, match=f"{image.id} is disabled") as raised:
        register(session, disk, run, image.blobs[0].id)
    assert f"lkcloud deprecate aws {image.id} --status active" in raised.value.hint
    assert "--name" in raised.value.hint
    found = images.get(session, image.id)
    assert found is not None
    assert (found.state, found.ready) == ("disabled", False)
