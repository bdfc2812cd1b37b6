# SPDX-License-Identifier: Apache-2.0
"""Containers: made, described, leased and deleted."""

import re
import time
from collections.abc import Mapping

from lkcloud.sandbox.http import Response
from lkcloud_azure.sandbox.errors import ApiError
from lkcloud_azure.sandbox.own_blobs_blobs import Handler
from lkcloud_azure.sandbox.own_blobs_call import Call, metadata_headers, tags
from lkcloud_azure.sandbox.own_blobs_conditions import check
from lkcloud_azure.sandbox.own_blobs_leases import change_lease
from lkcloud_azure.sandbox.store import Container

_NAME = re.compile(r"(?!.*--)[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")
"""https://learn.microsoft.com/rest/api/storageservices/naming-and-referencing-containers--blobs--and-metadata"""


def check_name(name: str) -> None:
    """Raise ApiError if NAME is no container's."""
    if not 3 <= len(name) <= 63:
        message = "The specified resource name length is not within the permissible limits."
        raise ApiError(400, "OutOfRangeInput", message)
    if not _NAME.fullmatch(name):
        raise ApiError(400, "InvalidResourceName", "The specifed resource name contains invalid characters.")


def _create(call: Call) -> Response:
    name, account = call.address.container, call.account()
    check_name(name)
    if call.header("x-ms-blob-public-access"):
        # The default of accounts since 2023: https://learn.microsoft.com/azure/storage/blobs/anonymous-read-access-prevent.
        raise ApiError(409, "PublicAccessNotPermitted", "Public access is not permitted on this storage account.")
    metadata = call.metadata()
    with call.store.lock:
        if name in account.containers:
            raise ApiError(409, "ContainerAlreadyExists", "The specified container already exists.")
        if time.monotonic() < account.deleted.get(name, 0):
            raise ApiError(
                409, "ContainerBeingDeleted", "The specified container is being deleted. Try operation later."
            )
        container = Container(name, metadata)
        account.containers[name] = container
        return Response(201, tags(container))


def _properties(call: Call) -> Response:
    with call.store.lock:
        container = call.container()
        container.lease.check(call.lease, "Container", needed=False)
        more = {"x-ms-has-immutability-policy": "false", "x-ms-has-legal-hold": "false"}
        return Response(
            200, {**tags(container), **metadata_headers(container.metadata), **container.lease.headers(), **more}
        )


def _set_metadata(call: Call) -> Response:
    metadata = call.metadata()
    with call.store.lock:
        container = call.container()
        container.lease.check(call.lease, "Container", needed=False)
        check(call, container)
        container.metadata = metadata
        container.touch()
        return Response(200, tags(container))


def _delete(call: Call) -> Response:
    with call.store.lock:
        container = call.container()
        container.lease.check(call.lease, "Container")
        check(call, container)
        account = call.account()
        del account.containers[container.name]
        account.deleted[container.name] = time.monotonic() + call.windows.deleted_container
        call.store.drop(container)
    return Response(202)


def _lease(call: Call) -> Response:
    with call.store.lock:
        container = call.container()
        check(call, container)
        return change_lease(call, container)


HANDLERS: Mapping[str, Handler] = {
    "CreateContainer": _create,
    "GetContainerProperties": _properties,
    "SetContainerMetadata": _set_metadata,
    "LeaseContainer": _lease,
    "DeleteContainer": _delete,
}
