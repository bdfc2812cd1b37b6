# SPDX-License-Identifier: Apache-2.0
"""The service quotas that the stand-in keeps itself: of a region's public images, and of its snapshots."""

import json
from typing import Any

from lkcloud.sandbox.http import Response
from lkcloud_aws.sandbox.cloud import ACCOUNT, Cloud, Region
from lkcloud_aws.sandbox.errors import ApiError

PUBLIC_IMAGES = "L-0E3CBAB9"
SNAPSHOTS = "L-309BACF6"

_NAMES = {
    ("ec2", PUBLIC_IMAGES): ("Amazon Elastic Compute Cloud (Amazon EC2)", "Public AMIs"),
    ("ebs", SNAPSHOTS): ("Amazon Elastic Block Store (Amazon EBS)", "Snapshots per Region"),
}


def serve(cloud: Cloud, region: Region, operation: str, payload: bytes) -> Response | None:
    """Answer what is asked of these quotas; None if anything else is asked.

    More is granted at once; AWS looks at it first, for a short time or for days
    (https://docs.aws.amazon.com/servicequotas/latest/userguide/request-quota-increase.html).
    """
    asked = json.loads(payload) if operation in ("GetServiceQuota", "RequestServiceQuotaIncrease") else {}
    key = (asked.get("ServiceCode"), asked.get("QuotaCode"))
    if key not in _NAMES:
        return None
    if operation == "GetServiceQuota":
        return _json({"Quota": {**_quota(cloud, region, key), "Adjustable": True, "GlobalQuota": False}})
    wanted = float(asked.get("DesiredValue") or 0)
    if wanted <= _value(cloud, key):
        raise ApiError("IllegalArgumentException", "The desired value must be higher than the quota is", 400)
    if key[1] == PUBLIC_IMAGES:
        cloud.windows.public_images = int(wanted)
    else:
        cloud.windows.snapshots = int(wanted)
    said = _quota(cloud, region, key)
    del said["Value"]
    return _json({"RequestedQuota": {**said, "Id": "granted", "DesiredValue": wanted, "Status": "APPROVED"}})


def _value(cloud: Cloud, key: tuple[str, str]) -> float:
    return float(cloud.windows.public_images if key[1] == PUBLIC_IMAGES else cloud.windows.snapshots)


def _quota(cloud: Cloud, region: Region, key: tuple[str, str]) -> dict[str, Any]:
    (service, code), (service_name, name) = key, _NAMES[key]
    return {
        "ServiceCode": service,
        "ServiceName": service_name,
        "QuotaArn": f"arn:aws:servicequotas:{region.name}:{ACCOUNT}:{service}/{code}",
        "QuotaCode": code,
        "QuotaName": name,
        "Value": _value(cloud, key),
        "Unit": "None",
    }


def _json(document: dict[str, Any]) -> Response:
    return Response(200, {"Content-Type": "application/x-amz-json-1.1"}, json.dumps(document).encode())
