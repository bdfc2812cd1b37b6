# SPDX-License-Identifier: Apache-2.0
"""Images that are there already, for tests of what is done with them."""

import hashlib
from datetime import datetime

from lkcloud.provider import Image
from lkcloud_aws import images
from lkcloud_aws.naming import tags_of
from lkcloud_aws.sandbox import AwsStandIn
from lkcloud_aws.sandbox.cloud import new_id
from lkcloud_aws.sandbox.image import Image as HeldImage
from lkcloud_aws.sandbox.image import Specification, Volume
from lkcloud_aws.sandbox.snapshot import BLOCK, Snapshot
from lkcloud_aws.session import Session
from tests.aws.pushing import noise

DIGEST, OTHER = "1" * 64, "2" * 64
HOME = "us-east-1"


def hold(
    aws: AwsStandIn,
    session: Session,
    name: str = "image",
    *,
    region: str = HOME,
    digest: str = DIGEST,
    encrypted: bool = False,
    key: str = "",
    tags: dict[str, str] | None = None,
    created: datetime | None = None,
) -> Image:
    """Let AWS hold an image that a push has made, and return it as lkcloud knows it."""
    home = aws.holdings.region(region)
    identity, data = new_id("snap"), noise(7, BLOCK)
    snapshot = Snapshot(identity, home.home / f"{identity}.raw", 1, encrypted=encrypted, kms_key=key)
    snapshot.put(0, data, hashlib.sha256(data).digest())
    snapshot.seal(0)
    volume = Volume("/dev/xvda", identity, 1, "gp3", encrypted=encrypted, kms_key=key)
    said = Specification(name, "a description", "x86_64", "hvm", "/dev/xvda", (volume,), boot_mode="uefi", ena=True)
    image = HeldImage(new_id("ami"), said)
    if created is not None:
        image.created = created
    own = tags_of(name, digest, tuple((tags or {}).items())) if digest else tags or {}
    with aws.holdings.lock:
        home.snapshots[identity] = snapshot
        home.images[image.id] = image
        home.tags(image.id).update(own)
        home.tags(identity).update(own)
    return known(session, image.id, region)


def known(session: Session, image_id: str, region: str = HOME) -> Image:
    """Return an image as lkcloud knows it now."""
    found = images.get(session.at(region), image_id)
    assert found is not None
    return found


def held(aws: AwsStandIn, image: Image) -> HeldImage:
    """Return what the stand-in holds of an image."""
    return aws.holdings.region(image.region).images[image.id]


def standing_images(aws: AwsStandIn, region: str) -> list[str]:
    """Return the ids of the images that are in a region."""
    return sorted(one.id for one in aws.holdings.region(region).images.values() if one.exists)


def snapshots_in(aws: AwsStandIn, region: str) -> list[str]:
    """Return the ids of the snapshots that are in a region."""
    return sorted(aws.holdings.region(region).snapshots)
