# SPDX-License-Identifier: Apache-2.0
"""The choice of images that are too many keeps its promises, whatever the images are."""

import random
from collections import defaultdict
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lkcloud.life.choice import MAKING, Act, Policy, Selection, Verdict, choose
from lkcloud.provider import Hold, Image

NOW = datetime(2026, 11, 2, 3, 4, 5, tzinfo=UTC)
DAY = timedelta(days=1)


def image(
    number: int,
    days: float | None = 0,
    *,
    family: str = "os",
    architecture: str = "x86_64",
    ready: bool = True,
    withdrawn: float | None = None,
    region: str = "r",
) -> Image:
    """Return an image that is DAYS old and was WITHDRAWN so many days ago."""
    return Image(
        "cloud",
        region,
        f"image-{number:03}",
        f"os-{number}",
        family=family,
        architecture=architecture,
        ready=ready,
        state="READY" if ready else "PENDING",
        created=None if days is None else NOW - days * DAY,
        withdrawn=None if withdrawn is None else NOW - withdrawn * DAY,
    )


ages = st.none() | st.integers(0, 100)
images = st.lists(
    st.builds(
        lambda days, family, architecture, region, ready, withdrawn: image(
            0,
            days,
            family=family,
            architecture=architecture,
            region=region,
            ready=ready,
            withdrawn=None if days is None or withdrawn is None else min(days, withdrawn),
        ),
        ages,
        st.sampled_from(["", "os", "other"]),
        st.sampled_from(["x86_64", "arm64"]),
        st.sampled_from(["r", "s"]),
        st.booleans(),
        ages,
    ),
    max_size=16,
).map(lambda found: [replace(one, id=f"image-{number:03}") for number, one in enumerate(found)])
policies = st.builds(
    lambda keep, days, withdraw: Policy(keep, days * DAY, None if withdraw is None else withdraw * DAY),
    st.integers(0, 5),
    st.integers(0, 60),
    st.none() | st.integers(0, 30),
)


def usable(found: list[Image]) -> dict[tuple[str, ...], list[Image]]:
    kinds: dict[tuple[str, ...], list[Image]] = defaultdict(list)
    for one in found:
        if one.ready and one.withdrawn is None:
            kinds[one.region, one.family, one.architecture].append(one)
    return kinds


def going(verdicts: tuple[Verdict, ...]) -> set[str]:
    return {one.image.id for one in verdicts if one.act is not Act.KEEP}


@given(images, policies, st.booleans())
def test_never_fewer_than_that_are_left(found: list[Image], policy: Policy, together: bool) -> None:
    gone = going(choose(found, policy, now=NOW, together=together))
    for kind in usable(found).values():
        left = [one for one in kind if one.id not in gone]
        assert len(left) >= min(policy.keep, len(kind))


@given(images, policies, st.booleans())
def test_never_a_younger_one_and_none_of_unknown_age(found: list[Image], policy: Policy, together: bool) -> None:
    gone = going(choose(found, policy, now=NOW, together=together))
    for one in found:
        if one.id in gone:
            assert one.created is not None
            assert one.created <= NOW - policy.older_than


@given(images, policies)
def test_of_two_of_a_kind_the_older_one_goes_first(found: list[Image], policy: Policy) -> None:
    gone = going(choose(found, policy, now=NOW))
    for kind in usable(found).values():
        dated = [one for one in kind if one.created is not None]
        for older in dated:
            for newer in dated:
                if older.created < newer.created and newer.id in gone:  # type: ignore[operator]  # both have one
                    assert older.id in gone


@given(images, policies, st.randoms(use_true_random=False))
def test_the_order_of_the_images_is_of_no_matter(found: list[Image], policy: Policy, source: random.Random) -> None:
    shuffled = list(found)
    source.shuffle(shuffled)
    assert choose(found, policy, now=NOW) == choose(shuffled, policy, now=NOW)


@given(images, policies, st.sets(st.integers(0, 16)))
def test_what_is_held_stays_and_the_rest_goes_as_it_would(found: list[Image], policy: Policy, held: set[int]) -> None:
    holds = [Hold(f"image-{number:03}", "is loved") for number in held]
    before = choose(found, policy, now=NOW)
    after = choose(found, policy, now=NOW, holds=holds)
    assert going(after) == going(before) - {hold.image for hold in holds}
    for verdict in after:
        if verdict.image.id in going(before) - going(after):
            assert verdict.reason == "is loved"


@given(images, st.integers(0, 5), st.integers(0, 60), st.integers(0, 30))
def test_with_two_steps_nothing_is_deleted_that_was_not_withdrawn_long_ago(
    found: list[Image], keep: int, days: int, withdraw: int
) -> None:
    policy = Policy(keep, days * DAY, withdraw * DAY)
    for verdict in choose(found, policy, now=NOW):
        since = verdict.image.withdrawn
        if verdict.act is Act.DELETE:
            assert since is not None
            assert NOW - since >= withdraw * DAY
        if verdict.act is Act.WITHDRAW:
            assert since is None


@given(images, st.integers(0, 5), st.integers(0, 60), st.integers(1, 30))
def test_done_again_it_withdraws_nothing_more(found: list[Image], keep: int, days: int, withdraw: int) -> None:
    policy = Policy(keep, days * DAY, withdraw * DAY)
    first = choose(found, policy, now=NOW)
    then = [
        replace(one.image, withdrawn=NOW) if one.act is Act.WITHDRAW else one.image
        for one in first
        if one.act is not Act.DELETE
    ]
    assert going(choose(then, policy, now=NOW)) == set()


@given(images, policies)
def test_every_image_has_a_verdict_with_a_reason_oldest_first(found: list[Image], policy: Policy) -> None:
    verdicts = choose(found, policy, now=NOW)
    assert {one.image.id for one in verdicts} == {one.id for one in found}
    assert all(one.reason for one in verdicts)
    dates = [one.image.created for one in verdicts if one.image.created]
    assert dates == sorted(dates)


def test_what_is_said_of_each() -> None:
    found = [
        image(1, 90),
        image(2, 80, withdrawn=20),
        image(3, 70, withdrawn=3),
        image(4, 60),
        image(5, 50),
        image(6, 40, family=""),
        image(7, 3),
        image(8, 0.5, ready=False),
        image(9, None),
    ]
    policy = Policy(2, older_than=10 * DAY, withdraw_for=14 * DAY)
    assert [(one.image.id, one.act.value, one.reason) for one in choose(found, policy, now=NOW)] == [
        ("image-009", "keep", "is of an age that the cloud does not tell"),
        ("image-001", "withdraw", "is 90 days old and not of the newest 2"),
        ("image-002", "delete", "was withdrawn on 2026-10-13"),
        ("image-003", "keep", "was withdrawn on 2026-10-30, and goes on 2026-11-13"),
        ("image-004", "withdraw", "is 60 days old and not of the newest 2"),
        ("image-005", "keep", "is one of the newest 2"),
        ("image-006", "keep", "is in no family"),
        ("image-007", "keep", "is 3 days old"),
        ("image-008", "keep", "is 12 hours old"),
    ]
    at_once = choose(found, Policy(2), now=NOW)
    assert going(at_once) == {"image-001", "image-002", "image-003", "image-004"}
    assert at_once[-1].reason == "is PENDING, and may be in the making"


def test_what_is_not_ready_for_long_is_nothing_that_is_made() -> None:
    """It may be switched off, or have failed, and takes nobody's place."""
    found = [image(1, 1, ready=False), image(2, 0), image(3, 0)]
    assert going(choose(found, Policy(1), now=NOW)) == {"image-001", "image-002"}
    almost = replace(found[0], created=NOW - MAKING + timedelta(seconds=1))
    assert going(choose([almost], Policy(0), now=NOW)) == set()


def test_without_a_family_images_are_counted_together_only_if_that_is_wanted() -> None:
    found = [image(number, 10 - number, family="") for number in range(4)]
    assert going(choose(found, Policy(1), now=NOW)) == set()
    assert going(choose(found, Policy(1), now=NOW, together=True)) == {"image-000", "image-001", "image-002"}
    assert len(going(choose(found, Policy(0), now=NOW))) == 4


@pytest.mark.parametrize(
    ("selection", "chosen"),
    [
        (Selection(), [1, 2, 3]),
        (Selection(family="os"), [1, 2]),
        (Selection(name="os-[23]"), [2, 3]),
        (Selection(name="OS-*"), []),
        (Selection(older_than=10 * DAY), [1]),
        (Selection(family="os", name="os-2"), [2]),
    ],
)
def test_selections(selection: Selection, chosen: list[int]) -> None:
    found = [image(1, 10), image(2, 9), image(3, None, family="other")]
    assert [int(one.id[-3:]) for one in selection.chosen(found, NOW)] == chosen
