# SPDX-License-Identifier: Apache-2.0
"""What in the account uses an image, leads to it or protects it.

https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-ami-references.html
"""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from lkcloud.errors import Refused
from lkcloud.provider import Hold, Image
from lkcloud_aws import images
from lkcloud_aws.errors import code_of
from lkcloud_aws.session import Session

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import ImageReferenceTypeDef, ResourceTypeRequestTypeDef

_MOST = 10
"""Images in one request."""

_RUNNING = ("pending", "running", "stopping", "stopped")
"""States of instances that are not gone."""

_KINDS = {
    "ec2:Instance": "the instance",
    "ec2:LaunchTemplate": "the launch template",
    "imagebuilder:ImageRecipe": "the recipe",
    "imagebuilder:ContainerRecipe": "the recipe",
}

_POLICY = "AmazonEC2ImageReferencesAccessPolicy"
"""AWS's own, for all that is looked at (https://docs.aws.amazon.com/aws-managed-policy/latest/reference/)."""


def holds(session: Session, wanted: Sequence[Image]) -> Iterator[Hold]:
    """Yield why images among WANTED, all of the session's region, have to stay.

    Of a launch template AWS looks at the ten newest versions. What other accounts make of an image is not seen.
    """
    for image in wanted:
        if images.standing(session, image.id).protected:
            yield Hold(image.id, "is protected from deregistration")
    ids = [image.id for image in wanted]
    for start in range(0, len(ids), _MOST):
        yield from _references(session, ids[start : start + _MOST])


def _references(session: Session, ids: Sequence[str]) -> Iterator[Hold]:
    instances: ResourceTypeRequestTypeDef = {
        "ResourceType": "ec2:Instance",
        "ResourceTypeOptions": [{"OptionName": "state-name", "OptionValues": _RUNNING}],
    }

    def ask() -> "list[ImageReferenceTypeDef]":
        pages = session.ec2.get_paginator("describe_image_references").paginate(
            ImageIds=ids, IncludeAllResourceTypes=True, ResourceTypes=[instances]
        )
        return [found for page in pages for found in page["ImageReferences"]]

    try:
        found = session.call("looking for what uses the images", ask)
    except Refused as error:
        if code_of(error.__cause__) == "UnauthorizedOperation":
            error.hint = f"attach the AWS managed policy {_POLICY}: what uses an image must not lose it"
        raise
    for image_id, kind, names in _grouped(found):
        if kind == "ssm:Parameter":
            yield Hold(image_id, f"is what the parameter {names} leads to", leads=True)
        else:
            yield Hold(image_id, f"is used by {_KINDS.get(kind, kind)} {names}")


def _grouped(found: "Sequence[ImageReferenceTypeDef]") -> Iterator[tuple[str, str, str]]:
    """Yield image, kind, and the names of all resources of that kind."""
    rows = sorted((one["ImageId"], one["ResourceType"], _name(one["Arn"])) for one in found)
    for (image_id, kind), group in groupby(rows, key=lambda row: row[:2]):
        names = list(dict.fromkeys(name for _, _, name in group))
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        yield image_id, kind, ", ".join(names[:3]) + more


def _name(arn: str) -> str:
    """Return what an ARN names: `arn:aws:ec2:REGION:ACCOUNT:instance/i-1` is `i-1`; a parameter begins with a slash."""
    resource = arn.split(":", 5)[-1]
    kind, _, name = resource.partition("/")
    return f"/{name}" if kind == "parameter" and "/" in name else name or resource
