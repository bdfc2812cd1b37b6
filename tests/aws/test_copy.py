# SPDX-License-Identifier: Apache-2.0
"""Copies in other regions: made once, waited for, given to whoever may use the image, taken back if they fail."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import Any

import pytest

from lkcloud.disk import BLOCK
from lkcloud.errors import Conflict, NotFound, Refused, UsageError
from lkcloud.provider import Image, Run
from lkcloud.reporting import Reporter
from lkcloud_aws import AwsOptions, copies, copying, images, sharing, snapshots
from lkcloud_aws.sandbox import AwsStandIn, Seen
from lkcloud_aws.sandbox.errors import ApiError
from lkcloud_aws.session import Session
from lkcloud_aws.sharing import Grants
from tests.aws.imaging import DIGEST, OTHER, held, hold, known, snapshots_in, standing_images
from tests.aws.pushing import Interrupting, Noting, counted, described, lose_answers, noise, refuse

WEST, EUROPE = "us-west-2", "eu-west-1"
CLOSED = "ap-east-1"


@pytest.fixture
def image(aws: AwsStandIn, session: Session) -> Image:
    return hold(aws, session, tags={"team": "os"})


def copy(
    session: Session,
    image: Image,
    *copy_to: str,
    reporter: Reporter | None = None,
    replacing: bool = False,
    **options: object,
) -> tuple[Image, ...]:
    chosen = AwsOptions.model_validate({"copy_to": copy_to, **options})
    run = Run(journal=None, reporter=reporter or Noting())  # type: ignore[arg-type]  # nothing is remembered
    return copies.copy(session, chosen, image, run, replacing=replacing)


def kms_key(session: Session, region: str, alias: str = "") -> str:
    client: Any = session.boto.client("kms", region)
    arn = client.create_key()["KeyMetadata"]["Arn"]
    if alias:
        client.create_alias(AliasName=alias, TargetKeyId=arn)
    client.close()
    return str(arn)


def first_block(aws: AwsStandIn, snapshot_id: str) -> bytes:
    with aws.snapshot_file(snapshot_id).open("rb") as file:
        return file.read(BLOCK)


def test_no_region_nothing_asked(aws: AwsStandIn, session: Session, image: Image) -> None:
    aws.traffic.clear()
    assert copy(session, image) == ()
    assert copy(session, image, "us-east-1") == ()
    assert aws.traffic.operations() == []


def test_copies_are_what_the_image_is(aws: AwsStandIn, session: Session, image: Image) -> None:
    west, europe = copy(session, image, WEST, EUROPE)
    assert (west.region, europe.region) == (WEST, EUROPE)
    for one in (west, europe):
        assert one.ready
        assert (one.name, one.digest, one.tags) == (image.name, DIGEST, image.tags)
        [blob] = one.blobs
        assert first_block(aws, blob.id) == noise(7, BLOCK)
        assert aws.holdings.region(one.region).tags(blob.id) == dict(image.tags)
    shown = described(session.at(WEST), west.id)
    assert (shown["Description"], shown["BootMode"], shown["EnaSupport"]) == ("a description", "uefi", True)


def test_the_order_is_that_of_the_options(session: Session, image: Image) -> None:
    assert [one.region for one in copy(session, image, EUROPE, WEST)] == [EUROPE, WEST]


def test_again_makes_nothing(aws: AwsStandIn, session: Session, image: Image) -> None:
    first = copy(session, image, WEST, EUROPE)
    noting = Noting()
    assert copy(session, image, WEST, EUROPE, reporter=noting) == first
    assert counted(aws, "CopyImage") == 2
    assert sorted(noting.notes) == [
        f"the copy in {EUROPE} is there already as {first[1].id}",
        f"the copy in {WEST} is there already as {first[0].id}",
    ]


def test_a_lost_answer_makes_one_copy(aws: AwsStandIn, session: Session, image: Image) -> None:
    lose_answers(aws, "CopyImage")
    [made] = copy(session, image, WEST)
    assert counted(aws, "CopyImage") == 2
    assert standing_images(aws, WEST) == [made.id]


def test_throttles_and_the_limit_of_copies_are_waited_for(aws: AwsStandIn, session: Session, image: Image) -> None:
    aws.traffic.throttle("CopyImage", 1)
    limit = ApiError("ResourceLimitExceeded", "Too many snapshot copies in progress. The limit is 20 ...")
    refuse(aws, "CopyImage", limit, times=2)
    [made] = copy(session, image, WEST)
    assert made.ready


def test_an_interrupted_run_finds_its_copies_again(aws: AwsStandIn, session: Session, image: Image) -> None:
    aws.windows.image_pending = 3
    with pytest.raises(KeyboardInterrupt):
        copy(session, image, WEST, EUROPE, reporter=Interrupting("copy"))
    begun = [standing_images(aws, region) for region in (WEST, EUROPE)]
    aws.windows.image_pending = 0
    made = copy(session, image, WEST, EUROPE)
    for one, before in zip(made, begun, strict=True):
        assert before in ([], [one.id])
        assert standing_images(aws, one.region) == [one.id]


def test_each_region_has_its_key(session: Session, image: Image) -> None:
    key = kms_key(session, WEST)
    aliased = kms_key(session, EUROPE, "alias/images")
    west, europe = copy(session, image, f"{WEST}={key}", f"{EUROPE}=alias/images")
    for one, wanted in ((west, key), (europe, aliased)):
        shown = snapshots.get(session.at(one.region), one.blobs[0].id)
        assert shown is not None
        assert (shown.encrypted, shown.key) == (True, wanted)
    assert copy(session, image, f"{WEST}={key}", f"{EUROPE}=alias/images") == (west, europe)


def test_a_copy_under_another_key_is_none(aws: AwsStandIn, session: Session, image: Image) -> None:
    [plain] = copy(session, image, WEST)
    key = kms_key(session, WEST)
    with pytest.raises(Conflict, match=f"{plain.id}, not encrypted with {key}") as raised:
        copy(session, image, f"{WEST}={key}")
    assert "--replace" in raised.value.hint
    [secret] = copy(session, image, f"{WEST}={key}", replacing=True)
    assert standing_images(aws, WEST) == [secret.id]
    assert snapshots_in(aws, WEST) == [secret.blobs[0].id]
    other = kms_key(session, WEST)
    with pytest.raises(Conflict, match="not encrypted"):
        copy(session, image, f"{WEST}={other}")


def test_a_plain_copy_on_its_way_is_not_taken_for_an_encrypted_one(
    aws: AwsStandIn, session: Session, image: Image
) -> None:
    """While it is pending EC2 shows nothing of how it is encrypted."""
    plain = hold(aws, session, region=WEST)
    held(aws, plain).pending = 1.0
    with pytest.raises(Conflict, match="not encrypted"):
        copy(session, image, f"{WEST}={kms_key(session, WEST)}")


def test_a_copy_that_fails_is_removed_and_the_others_stay(aws: AwsStandIn, session: Session, image: Image) -> None:
    with pytest.raises(Refused, match=f"in {WEST} is in state failed: Copy image failed") as raised:
        copy(session, image, f"{WEST}=alias/none", EUROPE)
    assert "alias/none is a key in us-west-2" in raised.value.hint
    assert (standing_images(aws, WEST), snapshots_in(aws, WEST)) == ([], [])
    assert [one.id for one in raised.value.made] == standing_images(aws, EUROPE)
    assert len(standing_images(aws, EUROPE)) == 1
    # The token of the copy that failed gives back its id for ever.
    kms_key(session, WEST, "alias/none")
    made = copy(session, image, f"{WEST}=alias/none", EUROPE)
    assert [one.id for one in made] == [*standing_images(aws, WEST), *standing_images(aws, EUROPE)]


def test_a_failed_copy_of_an_earlier_run_makes_room(aws: AwsStandIn, session: Session, image: Image) -> None:
    failed = hold(aws, session, region=WEST)
    held(aws, failed).fault = "Copy image failed with an internal error."
    [made] = copy(session, image, WEST)
    assert standing_images(aws, WEST) == [made.id]


def test_a_copy_that_was_deleted_is_made_anew(aws: AwsStandIn, session: Session, image: Image) -> None:
    """Its client token still gives back the id of what is gone."""
    [first] = copy(session, image, WEST)
    images.delete(session.at(WEST), first)
    [second] = copy(session, image, WEST)
    assert second.id != first.id
    assert standing_images(aws, WEST) == [second.id]


def test_a_deleted_copy_that_ec2_has_forgotten_is_given_up(
    aws: AwsStandIn, session: Session, image: Image, run: Run
) -> None:
    [first] = copy(session, image, WEST)
    images.delete(session.at(WEST), first)
    del aws.holdings.region(WEST).images[first.id]
    options = AwsOptions(copy_to=(WEST,))
    one = copying.Copy(
        session.at(WEST),
        options.destinations[0],
        known(session, image.id),
        images.standing(session, image.id),
        Grants(frozenset(), ()),
        run,
        minutes=1,
        settle=0.5,
    )
    assert one.make(lambda _: None, Event()).id == standing_images(aws, WEST)[0]


def test_other_content_is_a_conflict_in_its_region_only(aws: AwsStandIn, session: Session, image: Image) -> None:
    taken = hold(aws, session, region=WEST, digest=OTHER)
    with pytest.raises(Conflict, match=f"taken in {WEST} by {taken.id}, with other content") as raised:
        copy(session, image, WEST, EUROPE)
    assert f"lkcloud delete aws {taken.id} --region {WEST}" in raised.value.hint
    assert len(standing_images(aws, EUROPE)) == 1
    assert standing_images(aws, WEST) == [taken.id]


def test_replacing_takes_the_old_one_away_when_the_copy_is_there(
    aws: AwsStandIn, session: Session, image: Image
) -> None:
    old = hold(aws, session, region=WEST, digest=OTHER)
    [new] = copy(session, image, WEST, replacing=True)
    assert standing_images(aws, WEST) == [new.id]
    assert snapshots_in(aws, WEST) == [new.blobs[0].id]
    done = aws.traffic.operations()
    assert done.index("CopyImage") < done.index("DeregisterImage")
    assert old.id != new.id


def race(aws: AwsStandIn, session: Session, digest: str, age: timedelta) -> list[Image]:
    """Let another run make an image with our name while CopyImage is at work for us."""
    rivals: list[Image] = []

    def hook(seen: Seen) -> None:
        if seen.phase == "before" and seen.operation == "CopyImage" and not rivals:
            rivals.append(hold(aws, session, region=WEST, digest=digest, created=datetime.now(UTC) - age))

    aws.traffic.hooks.append(hook)
    return rivals


def test_of_two_runs_the_older_copy_stays(aws: AwsStandIn, session: Session, image: Image) -> None:
    rivals = race(aws, session, DIGEST, timedelta(minutes=1))
    assert copy(session, image, WEST) == tuple(rivals)
    assert standing_images(aws, WEST) == [rivals[0].id]
    assert snapshots_in(aws, WEST) == [rivals[0].blobs[0].id]


def test_the_run_with_the_younger_copy_takes_its_own_back(aws: AwsStandIn, session: Session, image: Image) -> None:
    rivals = race(aws, session, DIGEST, timedelta(minutes=-1))
    [made] = copy(session, image, WEST)
    assert made.id != rivals[0].id
    assert standing_images(aws, WEST) == sorted([made.id, rivals[0].id])


def test_a_race_with_other_content_is_lost_by_the_younger(aws: AwsStandIn, session: Session, image: Image) -> None:
    rivals = race(aws, session, OTHER, timedelta(minutes=1))
    with pytest.raises(Conflict, match="with other content"):
        copy(session, image, WEST)
    assert standing_images(aws, WEST) == [rivals[0].id]


def test_regions_that_are_not_enabled_are_named_before_anything_is_made(
    aws: AwsStandIn, session: Session, image: Image
) -> None:
    noting = Noting()
    with pytest.raises(Refused, match=f"the region {CLOSED} is not enabled") as raised:
        copy(session, image, WEST, CLOSED, "me-south-1", reporter=noting)
    assert f"aws account enable-region --region-name {CLOSED}" in raised.value.hint
    assert "me-south-1" in noting.warnings[0]
    with pytest.raises(Refused, match="no region cn-north-1 beside us-east-1"):
        copy(session, image, WEST, "cn-north-1")
    assert counted(aws, "CopyImage") == 0


def test_a_region_that_is_optional_may_fail(aws: AwsStandIn, session: Session, image: Image) -> None:
    noting = Noting()
    hold(aws, session, region=WEST, digest=OTHER)
    [made] = copy(session, image, WEST, CLOSED, EUROPE, copy_optional=(WEST, CLOSED), reporter=noting)
    assert made.region == EUROPE
    closed, taken = noting.warnings
    assert "enable-region" in closed
    assert "with other content" in taken


def test_whoever_may_use_the_image_may_use_its_copies(aws: AwsStandIn, session: Session, image: Image) -> None:
    ally, friend = "111111111111", "222222222222"
    sharing.grant(session, image, Grants(frozenset({ally, friend}), (frozenset({ally}),)))
    session.ec2.enable_image_deprecation(ImageId=image.id, DeprecateAt=datetime.now(UTC) + timedelta(days=300))
    made = copy(session, image, WEST, EUROPE)
    date = described(session, image.id)["DeprecationTime"]
    for one in made:
        there = sharing.granted(session.at(one.region), one)
        assert (there.launch, there.volumes) == (frozenset({ally, friend}), (frozenset({ally}),))
        assert described(session.at(one.region), one.id)["DeprecationTime"] == date
    asked = counted(aws, "ModifyImageAttribute"), counted(aws, "EnableImageDeprecation")
    assert copy(session, image, WEST, EUROPE) == made
    assert (counted(aws, "ModifyImageAttribute"), counted(aws, "EnableImageDeprecation")) == asked


def test_a_date_that_aws_has_set_a_little_later_is_left_alone(aws: AwsStandIn, session: Session, image: Image) -> None:
    """As when both are made public: each is deprecated two years after it was made."""
    [made] = copy(session, image, WEST)
    held(aws, image).deprecation = datetime(2030, 1, 1, 0, 0, tzinfo=UTC)
    aws.holdings.region(WEST).images[made.id].deprecation = datetime(2030, 1, 1, 3, 0, tzinfo=UTC)
    copy(session, image, WEST)
    assert counted(aws, "EnableImageDeprecation") == 0
    held(aws, image).deprecation = datetime(2029, 12, 30, tzinfo=UTC)
    copy(session, image, WEST)
    assert counted(aws, "EnableImageDeprecation") == 1


def test_a_replacement_does_not_go_along(aws: AwsStandIn, session: Session, image: Image) -> None:
    """It is the id of an image of the other region."""
    session.ec2.create_tags(Resources=[image.id], Tags=[{"Key": "lkcloud:replacement", "Value": "ami-1"}])
    [made] = copy(session, image, WEST)
    assert made.tags == image.tags


def test_a_copy_of_what_is_deprecated_is_so_soon(aws: AwsStandIn, session: Session, image: Image) -> None:
    held(aws, image).deprecation = datetime(2020, 1, 1, tzinfo=UTC)
    [made] = copy(session, image, WEST)
    date = images.standing(session.at(WEST), made.id).deprecated
    assert date is not None
    assert date - datetime.now(UTC) < timedelta(minutes=2)


def test_an_encrypted_copy_of_a_public_image_is_not_public(aws: AwsStandIn, session: Session, image: Image) -> None:
    for region in ("us-east-1", WEST, EUROPE):
        session.at(region).ec2.disable_image_block_public_access()
    sharing.grant(session, image, Grants(frozenset({"all", "111111111111"}), (frozenset(),)))
    noting = Noting()
    secret, plain = copy(session, image, f"{WEST}={kms_key(session, WEST)}", EUROPE, reporter=noting)
    assert sharing.granted(session.at(WEST), secret).launch == {"111111111111"}
    assert sharing.granted(session.at(EUROPE), plain).launch == {"all", "111111111111"}
    assert f"its copy in {WEST} is encrypted" in noting.warnings[0]


def test_images_that_cannot_be_copied(aws: AwsStandIn, session: Session, image: Image) -> None:
    with pytest.raises(UsageError, match="not made by lkcloud"):
        copy(session, hold(aws, session, "foreign", digest=""), WEST)
    with pytest.raises(NotFound, match="is gone"):
        copy(session, replace(image, id="ami-00000000000000000"), WEST)
    session.ec2.disable_image(ImageId=image.id)
    with pytest.raises(NotFound, match="is disabled"):
        copy(session, image, WEST)
    assert counted(aws, "CopyImage") == 0


def test_a_disabled_copy_is_told(session: Session, image: Image) -> None:
    [made] = copy(session, image, WEST)
    session.at(WEST).ec2.disable_image(ImageId=made.id)
    with pytest.raises(Refused, match="is disabled") as raised:
        copy(session, image, WEST)
    assert "--region us-west-2 --status active" in raised.value.hint


def test_who_may_not_copy_is_told_what_to_allow(aws: AwsStandIn, session: Session, image: Image) -> None:
    refuse(aws, "CopyImage", ApiError("UnauthorizedOperation", "You are not authorized.", 403))
    with pytest.raises(Refused, match=f"to {WEST}") as raised:
        copy(session, image, WEST)
    assert "ec2:CopyImage" in raised.value.hint
