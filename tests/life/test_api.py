# SPDX-License-Identifier: Apache-2.0
"""The life of images from Python."""

from datetime import UTC, datetime, timedelta

import lkcloud
from lkcloud_gcp.sandbox import GcpStandIn
from lkcloud_gcp.session import Session
from tests.gcp.imaging import BUCKET, hold, is_there, put
from tests.gcp_standin import gcp, serving_gcp

__all__ = ["gcp", "serving_gcp"]

DAY = timedelta(days=1)


def test_too_many_images_are_pruned(gcp: GcpStandIn) -> None:
    images = gcp.holdings.engine.images
    for day in range(3):
        hold(gcp, f"os-{day}", family="os")
        images[f"os-{day}"].created = datetime.now(UTC) - (9 - day) * DAY
    verdicts = lkcloud.too_many("gcp", lkcloud.Policy(keep=1, older_than=8 * DAY))
    assert [(one.image.name, one.act.value) for one in verdicts] == [
        ("os-0", "delete"),
        ("os-1", "delete"),
        ("os-2", "keep"),
    ]
    assert lkcloud.too_many("gcp", lkcloud.Policy(keep=1), lkcloud.Selection(family="other")) == ()
    outcomes = lkcloud.prune(verdicts, "gcp")
    assert [one.error for one in outcomes] == [None, None]
    assert sorted(images) == ["os-2"]


def test_dates_are_carried_out(gcp: GcpStandIn) -> None:
    hold(gcp, "old")
    [image] = lkcloud.images("gcp")
    status = lkcloud.Deprecation(deleted=datetime.now(UTC) - DAY)
    lkcloud.deprecate(image, "gcp", status)
    [outcome] = lkcloud.sweep(lkcloud.due("gcp"), "gcp")
    assert outcome.error is None
    assert gcp.holdings.engine.images["old"].deprecation.state == "DELETED"
    lkcloud.sweep(lkcloud.due("gcp", deleting=True), "gcp")
    assert lkcloud.images("gcp") == []


def test_leftovers_are_removed(gcp: GcpStandIn) -> None:
    left = put(Session(), b"left")
    assert [one.goes for one in lkcloud.leftovers("gcp", bucket=BUCKET)] == [False]
    found = lkcloud.leftovers("gcp", older_than=timedelta(), bucket=BUCKET)
    assert [one.error for one in lkcloud.remove(found, "gcp", bucket=BUCKET)] == [None]
    assert not is_there(gcp, left)
