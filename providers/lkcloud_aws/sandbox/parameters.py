# SPDX-License-Identifier: Apache-2.0
"""PutParameter with the data type aws:ec2:image, which is accepted first and looked at later; the rest is moto's.

https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_PutParameter.html,
https://docs.aws.amazon.com/systems-manager/latest/userguide/parameter-store-ec2-aliases.html
"""

import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lkcloud.sandbox.http import Response
from lkcloud_aws.sandbox import authorization
from lkcloud_aws.sandbox.cloud import Cloud, Region
from lkcloud_aws.sandbox.errors import ApiError
from lkcloud_aws.sandbox.iam_policy import Need

IMAGE = "aws:ec2:image"

_NAME = re.compile(r"[a-zA-Z0-9_.\-/]+")
_MOST_LEVELS = 15
_LONGEST = 1011
"""Characters of a name with the ARN that precedes it."""


@dataclass(frozen=True, slots=True)
class Pending:
    """A parameter that is still looked at; DUE is on the monotonic clock."""

    due: float
    wanted: Mapping[str, Any]


def put(cloud: Cloud, region: Region, payload: bytes) -> Response | None:
    """Accept a PutParameter whose value must be an image; None if it is of another data type."""
    wanted: dict[str, Any] = json.loads(payload)
    name, overwrite = str(wanted.get("Name") or ""), bool(wanted.get("Overwrite"))
    _check_name(region, name)
    existing = cloud.moto.parameter(region.name, name)
    kind = str(wanted.get("DataType") or (existing.data_type if existing else "text"))
    if existing and overwrite and kind != existing.data_type:
        raise _refused(f"The data type of the parameter {name} cannot be changed")
    if kind != IMAGE:
        return None
    if existing and not overwrite:
        raise ApiError("ParameterAlreadyExists", "The parameter already exists.")
    if overwrite and wanted.get("Tags"):
        raise _refused("Invalid request: tags and overwrite can't be used together.")
    if not wanted.get("Type") and not existing:
        raise _refused("A parameter type is required when you create a parameter.")
    if wanted.get("Type") not in (None, "String"):
        raise _refused(f"The data type {IMAGE} is of parameters of the type String")
    region.parameters.append(Pending(time.monotonic() + cloud.windows.parameter_validation, wanted))
    answer = {"Version": existing.version + 1 if existing else 1, "Tier": "Standard"}
    return Response(200, {"Content-Type": "application/x-amz-json-1.1"}, json.dumps(answer).encode())


def _check_name(region: Region, name: str) -> None:
    levels = name.strip("/").split("/")
    reserved = any(levels[0].lower().startswith(word) for word in ("aws", "ssm"))
    arn = f"arn:aws:ssm:{region.name}:123456789012:parameter/"
    if not _NAME.fullmatch(name) or reserved or ("/" in name and not name.startswith("/")):
        raise _refused(
            'Parameter name: can\'t be prefixed with "ssm" (case-insensitive). If formed as a path, it can consist of '
            "sub-paths divided by slash symbol; each sub-path can be formed as a mix of letters, numbers and the "
            "following 3 symbols .-_"
        )
    if len(levels) > _MOST_LEVELS:
        raise ApiError("HierarchyLevelLimitExceededException", "A hierarchy can have a maximum of 15 levels")
    if len(arn) + len(name) > _LONGEST:
        raise _refused("The parameter name is too long")


def settle(cloud: Cloud, region: Region) -> None:
    """Let the parameters that have been looked at long enough have their values, if those are images of the account."""
    now = time.monotonic()
    for pending in [one for one in region.parameters if one.due <= now]:
        region.parameters.remove(pending)
        image = region.images.get(str(pending.wanted.get("Value")))
        # It is looked for in the name of whoever has put it, as the page on such parameters above says.
        if not authorization.allowed(cloud, Need("ec2:DescribeImages")):
            continue
        # "... and that the specified AMI is available in your Amazon Web Services account": else nothing happens, and
        # nobody is told (aws/aws-sdk-java#2919, boto/boto3#3588).
        if image is not None and image.exists and image.state == "available":
            cloud.moto.put_parameter(region.name, pending.wanted)


def _refused(message: str) -> ApiError:
    return ApiError("ValidationException", message)
