# SPDX-License-Identifier: Apache-2.0
"""The one service quota that the stand-in keeps itself: how many images of a region may be public."""

import json

from lkcloud.sandbox.http import Response
from lkcloud_aws.sandbox.cloud import ACCOUNT, Cloud, Region

PUBLIC_IMAGES = "L-0E3CBAB9"


def serve(cloud: Cloud, region: Region, operation: str, payload: bytes) -> Response | None:
    """Answer GetServiceQuota for that quota; None if anything else is asked."""
    asked = json.loads(payload) if operation == "GetServiceQuota" else {}
    if (asked.get("ServiceCode"), asked.get("QuotaCode")) != ("ec2", PUBLIC_IMAGES):
        return None
    quota = {
        "ServiceCode": "ec2",
        "ServiceName": "Amazon Elastic Compute Cloud (Amazon EC2)",
        "QuotaArn": f"arn:aws:servicequotas:{region.name}:{ACCOUNT}:ec2/{PUBLIC_IMAGES}",
        "QuotaCode": PUBLIC_IMAGES,
        "QuotaName": "Public AMIs",
        "Value": float(cloud.windows.public_images),
        "Unit": "None",
        "Adjustable": True,
        "GlobalQuota": False,
    }
    return Response(200, {"Content-Type": "application/x-amz-json-1.1"}, json.dumps({"Quota": quota}).encode())
