# SPDX-License-Identifier: Apache-2.0
"""EC2's look at what in the account refers to an image: instances of the stand-in, templates and parameters of moto.

https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeImageReferences.html
"""

from collections.abc import Iterator, Mapping
from typing import Any

from lkcloud_aws.sandbox import parameters
from lkcloud_aws.sandbox.cloud import ACCOUNT
from lkcloud_aws.sandbox.ec2_protocol import Call, Handler, Result
from lkcloud_aws.sandbox.errors import ApiError, bad_combination, invalid, missing_parameter
from lkcloud_aws.sandbox.instance import CODES
from lkcloud_aws.sandbox.listing import page

_MOST = 10
_DEPTH = 10
"""Versions of a launch template that are looked at, from the newest, unless `version-depth` says otherwise."""

_OPTIONS = {"ec2:Instance": "state-name", "ec2:LaunchTemplate": "version-depth"}
_ALL = (*_OPTIONS, "ssm:Parameter", "imagebuilder:ImageRecipe", "imagebuilder:ContainerRecipe")


def _describe(call: Call) -> Result:
    wanted = [str(one) for one in call.items("ImageIds")]
    if not wanted:
        raise missing_parameter("ImageId")
    if len(wanted) > _MOST:
        raise invalid(f"At most {_MOST} images can be checked at a time")
    for image_id in wanted:
        # Images of any owner can be asked for; one that nobody has is answered with nothing, as far as is known.
        if not image_id.startswith("ami-"):
            raise ApiError("InvalidAMIID.Malformed", f'Invalid id: "{image_id}" (expecting "ami-...")')
    kinds = _kinds(call)
    call.stop_if_dry_run()
    rows = sorted((image, kind, arn) for kind in kinds for image, arn in _referring(call, kind, kinds[kind]))
    found = [row for row in dict.fromkeys(rows) if row[0] in wanted]
    shown, token = page(found, call, "", key="\n".join, limits=(5, 1000))
    references = [{"ImageId": image, "ResourceType": kind, "Arn": arn} for image, kind, arn in shown]
    return {"ImageReferences": references, **token}


def _kinds(call: Call) -> dict[str, list[str]]:
    """Return the values of the option of each kind of resource that is to be looked at, none where nothing is said."""
    named = call.items("ResourceTypes")
    if not named and not call.flag("IncludeAllResourceTypes"):
        raise bad_combination("Either IncludeAllResourceTypes or ResourceTypes must be specified")
    kinds: dict[str, list[str]] = {kind: [] for kind in (_ALL if call.flag("IncludeAllResourceTypes") else ())}
    for one in named:
        kinds[str(one.get("ResourceType"))] = _values(one)
    return kinds


def _values(named: Mapping[str, Any]) -> list[str]:
    kind = str(named.get("ResourceType"))
    values: list[str] = []
    for option in named.get("ResourceTypeOptions") or []:
        if option.get("OptionName") != _OPTIONS.get(kind):
            raise invalid(f"The option {option.get('OptionName')} is not valid for {kind}")
        values += [str(value) for value in option.get("OptionValues") or []]
    if kind == "ec2:Instance" and set(values) - set(CODES):
        raise invalid(f"Values ({', '.join(values)}) for state-name are invalid.")
    if kind == "ec2:LaunchTemplate" and any(not one.isdecimal() or not 1 <= int(one) <= 10_000 for one in values):
        raise invalid("version-depth is an integer between 1 and 10000")
    return values


def _referring(call: Call, kind: str, values: list[str]) -> Iterator[tuple[str, str]]:
    """Yield the images that resources of KIND refer to, and the resources' ARNs."""
    region, moto = call.region, call.cloud.moto
    if kind == "ec2:Instance":
        for instance in region.instances.values():
            if not values or instance.state() in values:
                yield instance.image.id, _arn(region.name, "ec2", f"instance/{instance.id}")
    elif kind == "ec2:LaunchTemplate":
        for template, image in moto.launch_template_images(region.name, int(values[0]) if values else _DEPTH):
            yield image, _arn(region.name, "ec2", f"launch-template/{template}")
    elif kind == "ssm:Parameter":
        parameters.settle(call.cloud, region)
        for name, image in moto.image_parameters(region.name):
            yield image, _arn(region.name, "ssm", f"parameter/{name.removeprefix('/')}")
    # The sandbox has no Image Builder, and so no recipes.


def _arn(region: str, service: str, resource: str) -> str:
    return f"arn:aws:{service}:{region}:{ACCOUNT}:{resource}"


OPERATIONS: dict[str, Handler] = {"DescribeImageReferences": _describe}
