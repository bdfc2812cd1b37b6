# SPDX-License-Identifier: Apache-2.0
"""Which regions there are, and which of them the account can use."""

import json
from functools import cache

from boto3.session import Session

from lkcloud.sandbox.http import Response
from lkcloud_aws.sandbox.cloud import Cloud
from lkcloud_aws.sandbox.ec2_protocol import Call, Handler, Result
from lkcloud_aws.sandbox.errors import ApiError, invalid
from lkcloud_aws.sandbox.listing import filtered


@cache
def _endpoints() -> Session:
    return Session()


@cache
def partition(region: str) -> str:
    """Return the partition of a region: `aws`, `aws-cn`, `aws-us-gov` and so on."""
    return _endpoints().get_partition_for_region(region)


def _describe(call: Call) -> Result:
    """Answer with the regions of the caller's partition; those that are not opted in to only if they are asked for.

    https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeRegions.html
    """
    statuses = call.cloud.moto.regions()
    known = {name: status for name, status in statuses.items() if partition(name) == partition(call.region.name)}
    wanted = call.items("RegionNames")
    for name in wanted:
        if name not in known:
            raise invalid(f"Invalid region names specified: [{name}]")
    call.stop_if_dry_run()

    def values(name: str, condition: str) -> list[str] | None:
        found = {
            "region-name": name,
            "opt-in-status": known[name],
            "endpoint": f"ec2.{name}.amazonaws.com",
        }
        return [found[condition]] if condition in found else None

    shown = [
        name
        for name, status in known.items()
        if (name in wanted if wanted else call.flag("AllRegions") or status != "not-opted-in")
    ]
    return {
        "Regions": [
            {"RegionName": name, "OptInStatus": known[name], "Endpoint": f"ec2.{name}.amazonaws.com"}
            for name in filtered(shown, call, values)
        ]
    }


def enable(cloud: Cloud, payload: bytes) -> Response:
    """Opt in to a region: the account can use it at once, in AWS within minutes.

    https://docs.aws.amazon.com/accounts/latest/reference/API_EnableRegion.html
    """
    name = json.loads(payload).get("RegionName", "")
    if name not in cloud.moto.regions():
        raise ApiError("ValidationException", f"The region {name} does not exist", 400)
    cloud.moto.opt_in(name)
    return Response(200)


OPERATIONS: dict[str, Handler] = {"DescribeRegions": _describe}
