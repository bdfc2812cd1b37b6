# SPDX-License-Identifier: Apache-2.0
"""Instances of all zones at once.

https://cloud.google.com/compute/docs/reference/rest/v1/instances/aggregatedList
"""

from typing import Any

from lkcloud_gcp.sandbox.compute_call import Call, Handler, Result, invalid, link
from lkcloud_gcp.sandbox.compute_lists import parse_filter
from lkcloud_gcp.sandbox.places import ZONES

_MOST = 500


def _list(call: Call) -> Result:
    """Return a page of instances by zone; a zone without any on this page has a warning in their place.

    The sandbox knows no other order than by zone and name, and no service projects.
    """
    call.check_query("filter", "maxResults", "pageToken", "returnPartialSuccess", "includeAllScopes")
    passes = parse_filter(call.query.get("filter", ""))
    described = [(zone, one.described()) for (zone, _), one in sorted(call.engine.instances.items())]
    found = [(zone, one) for zone, one in described if passes(one)]
    size = min(call.number("maxResults", _MOST, 0, _MOST) or _MOST, call.cloud.windows.page_size)
    token = call.query.get("pageToken") or "0"
    if not token.isdecimal():
        raise invalid("pageToken", token, "Invalid pageToken")
    begin = int(token)
    scopes: dict[str, dict[str, Any]] = {}
    for zone in ZONES:
        page = [one for where, one in found[begin : begin + size] if where == zone]
        scopes[f"zones/{zone}"] = {"instances": page} if page else {"warning": _nothing(zone)}
    answer: dict[str, Any] = {
        "kind": "compute#instanceAggregatedList",
        "selfLink": link("aggregated/instances"),
        "items": scopes,
    }
    if begin + size < len(found):
        answer["nextPageToken"] = str(begin + size)
    return answer


def _nothing(zone: str) -> dict[str, Any]:
    message = f"There are no results for scope 'zones/{zone}' on this page."
    return {
        "code": "NO_RESULTS_ON_PAGE",
        "message": message,
        "data": [{"key": "scope", "value": f"zones/{zone}"}],
    }


HANDLERS: dict[str, Handler] = {"instances.aggregatedList": _list}
