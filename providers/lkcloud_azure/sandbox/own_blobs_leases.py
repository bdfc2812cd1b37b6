# SPDX-License-Identifier: Apache-2.0
"""Lease Blob and Lease Container: https://learn.microsoft.com/rest/api/storageservices/lease-blob."""

import re

from lkcloud.sandbox.http import Response
from lkcloud_azure.sandbox.leases import INFINITE
from lkcloud_azure.sandbox.own_blobs_call import Call, bad_header, missing_header, tags
from lkcloud_azure.sandbox.store import Entry

_LEASE_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def change_lease(call: Call, entry: Entry) -> Response:
    """Do what CALL asks of the lease of ENTRY; the caller holds the lock. Raises ApiError."""
    action, lease = call.header("x-ms-lease-action").lower(), entry.lease
    proposed = call.header("x-ms-proposed-lease-id").lower()
    if proposed and not _LEASE_ID.fullmatch(proposed):
        raise bad_header("x-ms-proposed-lease-id", proposed)
    if action in ("renew", "change", "release") and not call.lease:
        raise missing_header("x-ms-lease-id")
    status, more = 200, {"x-ms-lease-id": lease.id}
    match action:
        case "acquire":
            lease.acquire(_duration(call), proposed)
            status, more = 201, {"x-ms-lease-id": lease.id}
        case "renew":
            lease.renew(call.lease)
        case "change":
            if not proposed:
                raise missing_header("x-ms-proposed-lease-id")
            lease.change(call.lease, proposed)
            more = {"x-ms-lease-id": lease.id}
        case "release":
            lease.release(call.lease)
            more = {}
        case "break":
            status, more = 202, {"x-ms-lease-time": str(lease.end(call.number("x-ms-lease-break-period", most=60)))}
        case _:
            raise bad_header("x-ms-lease-action", action) if action else missing_header("x-ms-lease-action")
    return Response(status, {**tags(entry), **more})


def _duration(call: Call) -> int:
    duration = call.number("x-ms-lease-duration", least=INFINITE, most=60)
    if duration is None:
        raise missing_header("x-ms-lease-duration")
    if duration != INFINITE and duration < 15:
        raise bad_header("x-ms-lease-duration", str(duration))
    return duration
