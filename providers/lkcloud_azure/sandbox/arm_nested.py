# SPDX-License-Identifier: Apache-2.0
"""Resources that have others within them: what stands in the way of deleting them, also for a while after it is gone.

Azure/azure-rest-api-specs#19686 and Azure/azure-sdk-for-go#8314: a nested resource answers 404 already when its parent
is still said to have it.
"""

import time

from lkcloud_azure.naming import ResourceId
from lkcloud_azure.sandbox.arm_call import Call, below_group
from lkcloud_azure.sandbox.cloud import Cloud, Resource
from lkcloud_azure.sandbox.errors import ApiError


def check_empty(call: Call, resource: Resource) -> None:
    """Raise ApiError if there is something within RESOURCE, or was until a moment ago."""
    inner = [one.id for one in call.cloud.below(str(resource.id))]
    own = f"{resource.id}/".lower()
    now = time.monotonic()
    for gone, until in call.cloud.lagging.items():
        if until > now and gone.lower().startswith(own):
            parsed = ResourceId.parse(gone)
            assert parsed is not None
            inner.append(parsed)
    if inner:
        # jenkins-infra/azure#1544
        told = ", ".join(map(below_group, inner[:5]))
        message = (
            f"Cannot delete resource while nested resources exist. Some existing nested resource IDs include: "
            f"'{told}'. Please delete all nested resources before deleting this resource."
        )
        raise ApiError(409, "CannotDeleteResource", message)


def forget(cloud: Cloud, resource: Resource) -> None:
    """Hold RESOURCE no more, and let its parent still have it for a while. The caller holds the lock."""
    cloud.forget(resource)
    if cloud.windows.deleted_version > 0:
        cloud.lagging[str(resource.id)] = time.monotonic() + cloud.windows.deleted_version
