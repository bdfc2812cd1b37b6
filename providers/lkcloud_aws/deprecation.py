# SPDX-License-Identifier: Apache-2.0
"""Images that are no longer to be used: deprecated by AWS at a date, or disabled.

https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ami-deprecate.html,
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/disable-an-ami.html
"""

from datetime import UTC, datetime, timedelta

from lkcloud.errors import LkcloudError, Refused, UsageError
from lkcloud.provider import Deprecation, Image, Run, Status
from lkcloud_aws import images, snapshots
from lkcloud_aws.errors import code_of, explain
from lkcloud_aws.images import Standing
from lkcloud_aws.naming import DELETED, OBSOLETE, REPLACEMENT, WITHDRAWN
from lkcloud_aws.session import Session

_LONGEST = timedelta(days=3652)
"""The ten years of EnableImageDeprecation, in which there are two leap days at least."""

_SOON = timedelta(seconds=90)
"""AWS takes no date in the past and rounds to minutes: after so long a whole minute is surely still to come."""


def deprecate(session: Session, image: Image, deprecation: Deprecation, run: Run) -> None:
    """Say of IMAGE what DEPRECATION says.

    DEPRECATED is so within two minutes; ACTIVE with a date is so until then, when AWS deprecates it. OBSOLETE disables
    the image, which takes it from all whom it was shared with; what comes after enables it again and gives it to
    nobody. The replacement and the other dates are tags, which only this account sees: `lkcloud_aws.sweeping` carries
    them out. Of the four only OBSOLETE leaves the mark of an image that was withdrawn.

    Raises UsageError for what AWS cannot say, NotFound if there is no such image, Refused for a date that a public
    image cannot have.
    """
    _check(image, deprecation)
    before = images.standing(session, image.id)
    with run.reporter.stage("deprecate"):
        _tag(session, image, deprecation)
        if deprecation.status is Status.OBSOLETE:
            _disable(session, image, before, run)
            return
        if before.disabled:
            session.call(f"enabling {image.id}", lambda: session.ec2.enable_image(ImageId=image.id))
            run.reporter.note(f"{image.id} is enabled again, and shared with nobody")
        if deprecation.status is Status.ACTIVE:
            _reactivate(session, image, deprecation.deprecated, before, run)
        elif before.deprecated is not None and before.deprecated <= datetime.now(UTC):
            run.reporter.note(f"{image.id} is deprecated already")
        else:
            schedule(session, image, soon(), run)


def soon() -> datetime:
    """Return the next time at which AWS can deprecate an image, a whole minute."""
    return (datetime.now(UTC) + _SOON).replace(second=0, microsecond=0)


def schedule(session: Session, image: Image, when: datetime, run: Run) -> None:
    """Let AWS deprecate IMAGE at WHEN. Raises Refused for a date that it does not take."""
    try:
        session.attempt(lambda: session.ec2.enable_image_deprecation(ImageId=image.id, DeprecateAt=when))
    except Exception as error:
        raise _date_refusal(session, error, image) from error
    shown = images.standing(session, image.id).deprecated or when
    run.reporter.note(f"{image.id} in {image.region} is deprecated from {shown:%Y-%m-%d %H:%M} UTC on")


def _disable(session: Session, image: Image, before: Standing, run: Run) -> None:
    if before.disabled:
        run.reporter.note(f"{image.id} is disabled already")
        return
    session.call(f"disabling {image.id}", lambda: session.ec2.disable_image(ImageId=image.id))
    run.reporter.note(f"{image.id} in {image.region} is disabled, and no longer shared with anybody")


def _tag(session: Session, image: Image, deprecation: Deprecation) -> None:
    """Let the tags say what AWS has no place for.

    The mark of a withdrawn image goes before the image can be used again: what has it will be deleted.
    """
    dates = {OBSOLETE: deprecation.obsolete, DELETED: deprecation.deleted}
    wanted = {key: when.isoformat(timespec="seconds") for key, when in dates.items() if when is not None}
    if deprecation.replacement:
        wanted[REPLACEMENT] = deprecation.replacement
    if wanted:
        snapshots.set_tags(session, image.id, wanted)
    kept = {*wanted, *([WITHDRAWN] if deprecation.status is Status.OBSOLETE else [])}
    gone = {REPLACEMENT, OBSOLETE, DELETED, WITHDRAWN} & dict(image.tags).keys() - kept
    if gone:
        session.call(
            f"taking tags from {image.id}",
            lambda: session.ec2.delete_tags(Resources=[image.id], Tags=[{"Key": key} for key in sorted(gone)]),
        )


def _reactivate(session: Session, image: Image, until: datetime | None, before: Standing, run: Run) -> None:
    if until is not None:
        schedule(session, image, until, run)
    elif before.deprecated is not None:
        _cancel(session, image, run)


def _cancel(session: Session, image: Image, run: Run) -> None:
    """Take the date away; for a public image AWS says yes and leaves it."""
    session.call(
        f"cancelling the deprecation of {image.id}",
        lambda: session.ec2.disable_image_deprecation(ImageId=image.id),
    )
    after = images.standing(session, image.id)
    if after.deprecated is None or not after.public:
        return
    if after.deprecated <= datetime.now(UTC):
        raise Refused(
            f"aws: {image.id} is public and stays deprecated, as AWS lets no public image be otherwise after its date",
            hint=f"make it private first: {_privatizing(session, image)}",
        )
    run.reporter.warn(
        f"{image.id} is public: AWS deprecates it at {after.deprecated:%Y-%m-%d %H:%M} UTC all the same "
        f"(make it private first: {_privatizing(session, image)})"
    )


def _check(image: Image, deprecation: Deprecation) -> None:
    status, when = deprecation.status, deprecation.deprecated
    if status is Status.DELETED:
        raise UsageError("aws: an image cannot be marked as deleted", hint=f"delete it: lkcloud delete aws {image.id}")
    if deprecation.replacement == image.id:
        raise UsageError(f"aws: {image.id} cannot replace itself", hint="name another image as the replacement")
    dates = [one for one in (when, deprecation.obsolete, deprecation.deleted) if one is not None]
    if deprecation.replacement and status is Status.ACTIVE and not dates:
        raise UsageError(
            "aws: an image that stays active has no replacement", hint="leave it out, or say when it is deprecated"
        )
    for one in dates:
        if one.tzinfo is None:
            raise UsageError(f"aws: the date has no time zone: {one}", hint="end it with Z or +00:00")
    if dates != sorted(dates):
        raise UsageError("aws: an image is deprecated first, then obsolete, then deleted", hint="order the dates")
    if when is None:
        return
    now = datetime.now(UTC)
    if status is not Status.ACTIVE:
        raise UsageError(
            f"aws: an image that is {status.value} now is not to be deprecated at a date",
            hint="give --status active: AWS deprecates it at that date by itself"
            if when > now
            else "leave the date out",
        )
    if not now < when < now + _LONGEST:
        raise UsageError(
            f"aws: AWS takes no date in the past, nor one after ten years: {when}", hint="choose another date"
        )


def _date_refusal(session: Session, error: Exception, image: Image) -> LkcloudError:
    known = explain(error, f"deprecating {image.id} in {image.region}")
    if code_of(error).startswith("InvalidParameter"):
        # "except for public AMIs, where the upper limit is 2 years from the creation date" (EnableImageDeprecation)
        known.hint = (
            "a public image is deprecated two years after it was made at the latest; to change that make it private "
            f"first: {_privatizing(session, image)}"
        )
    return known


def _privatizing(session: Session, image: Image) -> str:
    return (
        f"`aws ec2 reset-image-attribute --attribute launchPermission --image-id {image.id} --region {session.region}`"
    )
