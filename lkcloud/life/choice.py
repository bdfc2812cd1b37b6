# SPDX-License-Identifier: Apache-2.0
"""Which images are too many. All of it is a matter of the images alone: no cloud is asked, and nothing is done."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from fnmatch import fnmatchcase

from lkcloud.life import age
from lkcloud.provider import Hold, Image

MAKING = timedelta(days=1)
"""For so long an image that is not ready is taken for one that is being made."""

_EVER = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Selection:
    """Which images are meant: those of a FAMILY, whose NAME matches a pattern of the shell, that are OLDER_THAN that.

    None leaves that out. An image of which the cloud does not tell how old it is is older than nothing.
    """

    family: str | None = None
    name: str | None = None
    older_than: timedelta | None = None

    def chosen(self, images: Iterable[Image], now: datetime) -> list[Image]:
        """Return those of IMAGES that are meant, in their order."""
        return [image for image in images if self._means(image, now)]

    def _means(self, image: Image, now: datetime) -> bool:
        return (
            (self.family is None or image.family == self.family)
            and (self.name is None or fnmatchcase(image.name, self.name))
            and (self.older_than is None or _is_older(image, self.older_than, now))
        )


@dataclass(frozen=True, slots=True)
class Policy:
    """How many images stay, and how the others go.

    KEEP is how many of the newest stay of each family and architecture in each region, of those that can be used. None
    that is not OLDER_THAN that goes. If WITHDRAW_FOR is given, an image is withdrawn first, and deleted when it has
    been so for that long.
    """

    keep: int
    older_than: timedelta = timedelta()
    withdraw_for: timedelta | None = None


class Act(Enum):
    """What is to be done with an image; the values are the words that are shown."""

    KEEP = "keep"
    WITHDRAW = "withdraw"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to be done with IMAGE, for a REASON that can follow its name."""

    image: Image
    act: Act
    reason: str


def choose(
    images: Sequence[Image],
    policy: Policy,
    *,
    now: datetime,
    holds: Iterable[Hold] = (),
    together: bool = False,
) -> tuple[Verdict, ...]:
    """Return a verdict on each of IMAGES, oldest first.

    What belongs to no family may be of any kind, and which of it is the newest says nothing: it stays, unless it has
    been chosen to be counted TOGETHER, or none is to be kept. What HOLDS name stays in any case.
    """
    reasons: dict[str, list[str]] = defaultdict(list)
    for hold in holds:
        reasons[hold.image].append(hold.reason)
    newest = _newest(images, policy.keep)
    verdicts = []
    for image in sorted(images, key=_order):
        act, reason = _verdict(image, policy, now, counted=image.id in newest, together=together)
        if act is not Act.KEEP and image.id in reasons:
            act, reason = Act.KEEP, " and ".join(reasons[image.id])
        verdicts.append(Verdict(image, act, reason))
    return tuple(verdicts)


def _verdict(image: Image, policy: Policy, now: datetime, *, counted: bool, together: bool) -> tuple[Act, str]:
    if image.created is None:
        return Act.KEEP, "is of an age that the cloud does not tell"
    old = f"is {age.words(now - image.created)} old"
    if not _is_older(image, policy.older_than, now):
        return Act.KEEP, old
    if image.withdrawn is not None:
        return _of_withdrawn(image.withdrawn, policy, now)
    for spared, reason in (
        (not image.ready and not _is_older(image, MAKING, now), f"is {image.state}, and may be in the making"),
        (bool(policy.keep) and not image.family and not together, "is in no family"),
        (counted, f"is one of the newest {policy.keep}"),
    ):
        if spared:
            return Act.KEEP, reason
    act = Act.DELETE if policy.withdraw_for is None else Act.WITHDRAW
    return act, f"{old} and not of the newest {policy.keep}" if policy.keep else old


def _of_withdrawn(since: datetime, policy: Policy, now: datetime) -> tuple[Act, str]:
    when = f"was withdrawn on {since:%Y-%m-%d}"
    if policy.withdraw_for is None or now - since >= policy.withdraw_for:
        return Act.DELETE, when
    return Act.KEEP, f"{when}, and goes on {since + policy.withdraw_for:%Y-%m-%d}"


def _newest(images: Iterable[Image], keep: int) -> set[str]:
    """Return the ids of the newest KEEP of each kind, of those that can be used and that nobody has withdrawn."""
    kinds: dict[tuple[str, ...], list[Image]] = defaultdict(list)
    for image in images:
        if image.ready and image.withdrawn is None:
            kinds[image.kind, image.region, image.family, image.architecture].append(image)
    return {image.id for found in kinds.values() for image in sorted(found, key=_order, reverse=True)[:keep]}


def _is_older(image: Image, limit: timedelta, now: datetime) -> bool:
    return image.created is not None and now - image.created >= limit


def _order(image: Image) -> tuple[datetime, str]:
    return image.created or _EVER, image.id
