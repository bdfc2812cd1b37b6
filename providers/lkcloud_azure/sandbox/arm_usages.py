# SPDX-License-Identifier: Apache-2.0
"""How much of each quota of Microsoft.Compute is used in a region.

https://learn.microsoft.com/rest/api/compute/usage/list; the names are those that `az vm list-usage` tells. The limits:
https://learn.microsoft.com/azure/azure-resource-manager/management/azure-subscription-service-limits and
https://learn.microsoft.com/azure/virtual-machines/azure-compute-gallery#limits.
"""

from lkcloud_azure.sandbox.arm_call import ALL, Answer, Call, Route
from lkcloud_azure.sandbox.arm_versions import COMPUTE
from lkcloud_azure.sandbox.cloud import LOCATIONS, Resource
from lkcloud_azure.sandbox.disk import Disk
from lkcloud_azure.sandbox.errors import ApiError
from lkcloud_azure.sandbox.gallery import Definition, Gallery, Version
from lkcloud_azure.sandbox.vm_machine import Machine

_COUNTED: tuple[tuple[str, str, type[Resource], int], ...] = (
    ("virtualMachines", "Virtual Machines", Machine, 25_000),
    ("StandardDiskCount", "Standard Storage Managed Disks", Disk, 50_000),
    ("Gallery", "Gallery", Gallery, 100),
    ("GalleryImage", "Gallery Image", Definition, 1_000),
    ("GalleryImageVersion", "Gallery Image Version", Version, 10_000),
)


def _list(call: Call) -> Answer:
    place = call.segments["location"].replace(" ", "").lower()
    if place not in LOCATIONS:
        message = (
            f"No registered resource provider found for location '{place}' and API version '{call.version}' for type "
            f"'locations/usages'. The supported locations are '{', '.join(LOCATIONS)}'."
        )
        raise ApiError(400, "NoRegisteredProviderFound", message)
    return call.listed(
        [
            {
                "limit": limit,
                "unit": "Count",
                "currentValue": sum(one.location == place for one in call.cloud.every(kind)),
                "name": {"value": name, "localizedValue": shown},
            }
            for name, shown, kind, limit in _COUNTED
        ]
    )


ROUTES = (
    Route("GET", f"{ALL}/providers/Microsoft.Compute/locations/{{location}}/usages", "Usage.List", COMPUTE, _list),
)
