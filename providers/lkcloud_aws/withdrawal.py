# SPDX-License-Identifier: Apache-2.0
"""Images that are taken from their users before they are deleted: disabled, and marked with the date.

https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/disable-an-ami.html. `lkcloud_aws.deprecation` enables one again.
"""

from datetime import UTC, datetime

from lkcloud.errors import NotFound
from lkcloud.provider import Image, Run
from lkcloud_aws import images, snapshots
from lkcloud_aws.naming import WITHDRAWN
from lkcloud_aws.session import Session


def withdraw(session: Session, image: Image, run: Run) -> None:
    """Disable IMAGE, which takes it from all whom it was shared with and lets nothing new start from it, and mark it.

    Its snapshots are taken back as well, but for those that another image stands on. The mark comes last: what has it
    is private. Raises NotFound if there is no such image.
    """
    shown = images.get(session, image.id)
    if shown is None:
        raise NotFound(f"aws: there is no image {image.id} in {session.region}", hint="check the id and --region")
    if shown.withdrawn is not None:
        run.reporter.note(f"{image.id} is withdrawn already")
        return
    with run.reporter.stage("withdraw"):
        if shown.state != "disabled":
            session.call(f"disabling {image.id}", lambda: session.ec2.disable_image(ImageId=image.id))
        for blob in shown.blobs:
            _take_back(session, blob.id, image.id)
        snapshots.set_tags(session, image.id, {WITHDRAWN: datetime.now(UTC).isoformat(timespec="seconds")})
    run.reporter.note(f"{image.id} in {image.region} is disabled, and no longer shared with anybody")


def _take_back(session: Session, snapshot_id: str, image_id: str) -> None:
    """Share a snapshot with nobody any more."""
    if not images.others_stand_on(session, snapshot_id, image_id):
        session.call(
            f"taking back {snapshot_id}",
            lambda: session.ec2.reset_snapshot_attribute(SnapshotId=snapshot_id, Attribute="createVolumePermission"),
        )
