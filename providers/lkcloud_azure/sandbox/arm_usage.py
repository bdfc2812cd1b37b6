# SPDX-License-Identifier: Apache-2.0
"""How much there is in a region and how much there may be: https://learn.microsoft.com/rest/api/compute/usage/list."""

from lkcloud_azure.sandbox.arm_call import ALL, Answer, Call, Route, invalid
from lkcloud_azure.sandbox.arm_versions import COMPUTE
from lkcloud_azure.sandbox.cloud import LOCATIONS, Cloud
from lkcloud_azure.sandbox.disk import Disk
from lkcloud_azure.sandbox.errors import ApiError
from lkcloud_azure.sandbox.gallery import Definition, Gallery, Version

_SHOWN = {
    "StandardDiskCount": "Standard HDD Managed Disks",
    "PremiumDiskCount": "Premium Managed Disks",
    "Gallery": "Gallery",
    "GalleryImage": "Gallery Image",
    "GalleryImageVersion": "Gallery Image Version",
}
_LIMITS = {
    "StandardDiskCount": 50_000,
    "PremiumDiskCount": 50_000,
    "Gallery": 100,
    "GalleryImage": 1000,
    "GalleryImageVersion": 10_000,
}
"""https://learn.microsoft.com/azure/azure-resource-manager/management/azure-subscription-service-limits and
https://learn.microsoft.com/azure/virtual-machines/azure-compute-gallery#limits"""


def usage(cloud: Cloud, region: str) -> dict[str, tuple[int, int]]:
    """Return how many there are in REGION and how many there may be, by Azure's names for what is counted."""
    disks = [disk.sku for disk in cloud.every(Disk) if disk.location == region]
    counts = {
        "StandardDiskCount": disks.count("Standard_LRS"),
        "PremiumDiskCount": disks.count("Premium_LRS"),
        "Gallery": sum(one.location == region for one in cloud.every(Gallery)),
        "GalleryImage": sum(one.location == region for one in cloud.every(Definition)),
        "GalleryImageVersion": sum(one.location == region for one in cloud.every(Version)),
    }
    limits = {**_LIMITS, **dict(cloud.windows.quotas)}
    return {name: (count, limits[name]) for name, count in counts.items()}


def check_quota(cloud: Cloud, region: str, name: str) -> None:
    """Raise ApiError if there may not be one more of what NAME counts.

    The words: https://learn.microsoft.com/azure/quotas/regional-quota-requests, of another thing that is counted.
    """
    count, limit = usage(cloud, region)[name]
    if count >= limit:
        message = (
            f"Operation could not be completed as it results in exceeding approved {name} quota. Additional details - "
            f"Deployment Model: Resource Manager, Location: {region}, Current Limit: {limit}, Current Usage: {count}, "
            f"Additional Required: 1, (Minimum) New Limit Required: {count + 1}."
        )
        raise ApiError(409, "OperationNotAllowed", message)


def _list(call: Call) -> Answer:
    region = call.segments["location"].replace(" ", "").lower()
    if region not in LOCATIONS:
        raise invalid("location", call.segments["location"])
    return call.listed(
        [
            {
                "unit": "Count",
                "currentValue": count,
                "limit": limit,
                "name": {"value": name, "localizedValue": _SHOWN[name]},
            }
            for name, (count, limit) in usage(call.cloud, region).items()
        ]
    )


ROUTES = (
    Route(
        "GET",
        f"{ALL}/providers/Microsoft.Compute/locations/{{location}}/usages",
        "Usage.List",
        COMPUTE,
        _list,
        "Microsoft.Compute/locations/usages/read",
    ),
)
