# SPDX-License-Identifier: Apache-2.0
"""Which regions the account can use."""

from collections.abc import Iterable

from lkcloud.provider import Finding
from lkcloud_aws.session import Session


def unusable(session: Session, regions: Iterable[str]) -> dict[str, Finding]:
    """Return which of REGIONS the account cannot use, and why; those of another partition do not exist for it."""
    wanted = list(regions)
    if not wanted:
        return {}
    answer = session.call("asking for the regions", lambda: session.ec2.describe_regions(AllRegions=True))
    statuses = {one["RegionName"]: one.get("OptInStatus", "") for one in answer["Regions"]}
    found: dict[str, Finding] = {}
    for region in wanted:
        if region not in statuses:
            found[region] = Finding(
                f"there is no region {region} beside {session.region}",
                "`aws ec2 describe-regions` shows those there are",
            )
        elif statuses[region] == "not-opted-in":
            found[region] = not_enabled(region)
    return found


def not_enabled(region: str) -> Finding:
    """Return what to tell of a region that the account has not opted in to."""
    return Finding(
        f"the region {region} is not enabled for the account",
        f"enable it with `aws account enable-region --region-name {region}`, or choose another region",
    )
