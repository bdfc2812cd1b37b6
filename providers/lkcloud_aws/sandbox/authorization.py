# SPDX-License-Identifier: Apache-2.0
"""What a request must be allowed, and what is answered where it is not.

Which actions a request asks for, on which resources and with which condition keys, is that of the Service Authorization
Reference (https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonec2.html and its neighbours).
Nothing is asked for as long as no policy is set (`Windows.policies`).
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from lkcloud.sandbox.http import Request
from lkcloud_aws.sandbox.cloud import ACCOUNT, Cloud, Region
from lkcloud_aws.sandbox.ec2_protocol import Call
from lkcloud_aws.sandbox.errors import ApiError
from lkcloud_aws.sandbox.iam_policy import Decision, Need, decision
from lkcloud_aws.sandbox.regions import partition

USER = f"arn:aws:iam::{ACCOUNT}:user/lkcloud"

VIA_REFERENCES = "ec2-images.amazonaws.com"
"""The service that looks in the caller's name for what uses an image (AmazonEC2ImageReferencesAccessPolicy)."""

_KINDS = {
    "ami": "image",
    "snap": "snapshot",
    "i": "instance",
    "vol": "volume",
    "import-snap": "import-snapshot-task",
    "subnet": "subnet",
    "sg": "security-group",
}
"""Resource types by how ids begin."""
_NOBODYS = ("image", "snapshot")
"""Types whose ARNs have no account."""

_BY_IMAGE = (
    "DeregisterImage", "DescribeImageAttribute", "ModifyImageAttribute", "EnableImage", "DisableImage",
    "EnableImageDeprecation", "DisableImageDeprecation", "EnableImageDeregistrationProtection",
    "DisableImageDeregistrationProtection",
)  # fmt: skip
_BY_SNAPSHOT = (
    "DeleteSnapshot",
    "DescribeSnapshotAttribute",
    "ModifySnapshotAttribute",
    "ResetSnapshotAttribute",
)
_REFERENCES = (
    "ec2:DescribeInstances", "ec2:DescribeLaunchTemplates", "ec2:DescribeLaunchTemplateVersions",
    "ssm:DescribeParameters", "ssm:GetParameters", "imagebuilder:ListImageRecipes",
    "imagebuilder:ListContainerRecipes", "imagebuilder:GetContainerRecipe",
)  # fmt: skip

_S3 = {
    "AbortMultipartUpload": "AbortMultipartUpload",
    "CompleteMultipartUpload": "PutObject",
    "CreateMultipartUpload": "PutObject",
    "DeletePublicAccessBlock": "PutBucketPublicAccessBlock",
    "GetPublicAccessBlock": "GetBucketPublicAccessBlock",
    "HeadBucket": "ListBucket",
    "HeadObject": "GetObject",
    "ListMultipartUploads": "ListBucketMultipartUploads",
    "ListObjectsV2": "ListBucket",
    "ListParts": "ListMultipartUploadParts",
    "PutPublicAccessBlock": "PutBucketPublicAccessBlock",
    "UploadPart": "PutObject",
}
"""Actions that are not named as the operation: https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-with-s3-policy-actions.html"""

_NO_OBJECT = ("NoSuchKey", "404", "NotFound")

KEY_ACTIONS = ("DescribeKey", "CreateGrant", "GenerateDataKeyWithoutPlaintext", "Decrypt", "ReEncryptFrom")
"""What EBS asks of the caller for a key of one's own: https://docs.aws.amazon.com/ebs/latest/userguide/ebs-encryption-requirements.html#ebs-encryption-permissions"""


def allowed(cloud: Cloud, need: Need) -> bool:
    """Tell whether the caller may."""
    return _decision(cloud, need) == "allowed"


def require(cloud: Cloud, service: str, needs: Iterable[Need]) -> None:
    """Raise ApiError, in the words of SERVICE, for the first of NEEDS that is not allowed."""
    for need in needs:
        if (said := _decision(cloud, need)) != "allowed":
            raise _refusal(service, need, said)


def may_use_key(cloud: Cloud, region: Region, key: str) -> bool:
    """Tell whether the caller may let EBS use a KMS key of the account, named by ARN, id or alias."""
    arn = key if key.startswith("arn:") else cloud.moto.kms_key(region.name, key) or key
    context = {"kms:GrantIsForAWSResource": ("true",), "kms:ViaService": (f"ec2.{region.name}.amazonaws.com",)}
    return all(allowed(cloud, Need(f"kms:{one}", arn, context)) for one in KEY_ACTIONS)


def missing_object(cloud: Cloud, request: Request, error: ApiError) -> ApiError:
    """Return what is said of an object that is not there: who may not list the bucket is not told that.

    https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html, Permissions.
    """
    bucket = request.path.removeprefix("/").partition("/")[0]
    need = Need("s3:ListBucket", f"arn:aws:s3:::{bucket}")
    said = _decision(cloud, need)
    return error if error.code not in _NO_OBJECT or said == "allowed" else _refusal("s3", need, said)


def of_ec2(call: Call) -> Iterator[Need]:
    """Yield what a call of EC2 needs, tags that it puts on what it makes included."""
    name = call.operation
    special: Mapping[str, Callable[[Call], Iterator[Need]]] = {
        "CopyImage": _copy,
        "CreateTags": _tags,
        "DeleteTags": _tags,
        "GetConsoleOutput": _instances,
        "ImportSnapshot": _import,
        "RegisterImage": _register,
        "RunInstances": _run,
        "TerminateInstances": _instances,
    }
    if name in special:
        yield from special[name](call)
    elif name == "DescribeImageReferences":
        yield Need(f"ec2:{name}")
        yield from (Need(action, context={"aws:CalledVia": (VIA_REFERENCES,)}) for action in _REFERENCES)
    elif name in _BY_IMAGE:
        yield _on(call, name, call.text("ImageId"))
    elif name in _BY_SNAPSHOT:
        yield _on(call, name, call.text("SnapshotId"))
    elif name == "CancelImportTask":
        yield _on(call, name, call.text("ImportTaskId"))
    else:
        yield Need(f"ec2:{name}")


def of_ebs(region: Region, operation: str, words: tuple[str, ...], payload: bytes) -> Iterator[Need]:
    """Yield what a request to EBS direct needs."""
    if operation != "StartSnapshot":
        yield Need(f"ebs:{operation}", _arn(region, words[0]), _tagged(region, words[0]))
        return
    yield Need("ebs:StartSnapshot", _arn(region, "snap-*"))
    if json.loads(payload or b"{}").get("Tags"):
        # The reference has ec2:CreateTags as what StartSnapshot depends on.
        yield Need("ec2:CreateTags", _arn(region, "snap-*"), {"ec2:CreateAction": ("StartSnapshot",)})


def of_s3(operation: str, request: Request) -> Iterator[Need]:
    """Yield what a request to S3 needs."""
    action = f"s3:{_S3.get(operation, operation)}"
    yield Need(action, f"arn:aws:s3:::{request.path.removeprefix('/').rstrip('/')}")
    if request.header("x-amz-tagging"):
        yield Need("s3:PutObjectTagging", f"arn:aws:s3:::{request.path.removeprefix('/')}")


def of_other(region: Region, service: str, operation: str, form: Mapping[str, str], payload: bytes) -> Iterator[Need]:
    """Yield what a request to another service needs; nobody needs anything to ask who he is."""
    if (service, operation) == ("sts", "GetCallerIdentity"):
        return
    said: dict[str, Any] = json.loads(payload) if payload[:1] == b"{" else {}
    action = f"{service}:{operation}"
    if operation == "SimulatePrincipalPolicy":
        yield Need(action, form.get("PolicySourceArn", "*"))
    elif service == "iam" and "RoleName" in form:
        yield Need(action, f"arn:aws:iam::{ACCOUNT}:role/{form['RoleName']}")
    elif service == "ssm" and operation in ("PutParameter", "GetParameters", "GetParameter"):
        for name in said.get("Names") or [said.get("Name", "")]:
            yield Need(action, f"arn:aws:ssm:{region.name}:{ACCOUNT}:parameter/{str(name).removeprefix('/')}")
    elif service == "servicequotas" and "QuotaCode" in said:
        place = f"{said['ServiceCode']}/{said['QuotaCode']}"
        yield Need(action, f"arn:aws:servicequotas:{region.name}:{ACCOUNT}:{place}")
    else:
        yield Need(action)


def _arn(region: Region, identity: str) -> str:
    """Return the ARN of a resource of EC2 by its id; `snap-*` is any snapshot."""
    kind = _KINDS.get(identity.rpartition("-")[0], "")
    account = "" if kind in _NOBODYS else ACCOUNT
    name = "*" if identity.endswith("-*") else identity
    return f"arn:{partition(region.name)}:ec2:{region.name}:{account}:{kind}/{name}"


def _tagged(region: Region, identity: str) -> dict[str, tuple[str, ...]]:
    return {f"aws:ResourceTag/{key}": (value,) for key, value in region.tags(identity).items()}


def _on(call: Call, operation: str, identity: str) -> Need:
    return Need(f"ec2:{operation}", _arn(call.region, identity), _tagged(call.region, identity))


def _made(call: Call) -> Iterator[Need]:
    """Yield what tags need that are put on what is made.

    https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/supported-iam-actions-tagging.html
    """
    kinds = {kind: prefix for prefix, kind in _KINDS.items()}
    for specification in call.items("TagSpecifications"):
        prefix = kinds.get(specification.get("ResourceType"))
        if prefix and specification.get("Tags"):
            arn = _arn(call.region, f"{prefix}-*")
            yield Need("ec2:CreateTags", arn, {"ec2:CreateAction": (call.operation,)})


def _register(call: Call) -> Iterator[Need]:
    yield Need("ec2:RegisterImage", _arn(call.region, "ami-*"))
    for mapping in call.items("BlockDeviceMappings"):
        if snapshot := (mapping.get("Ebs") or {}).get("SnapshotId"):
            yield _on(call, "RegisterImage", snapshot)
    yield from _made(call)


def _copy(call: Call) -> Iterator[Need]:
    for prefix in ("ami", "snap"):
        yield Need("ec2:CopyImage", _arn(call.region, f"{prefix}-*"))
    yield from _made(call)


def _import(call: Call) -> Iterator[Need]:
    for prefix in ("import-snap", "snap"):
        yield Need("ec2:ImportSnapshot", _arn(call.region, f"{prefix}-*"))
    yield from _made(call)


def _tags(call: Call) -> Iterator[Need]:
    for identity in call.items("Resources"):
        yield _on(call, call.operation, str(identity))


def _instances(call: Call) -> Iterator[Need]:
    for identity in call.items("InstanceIds") or [call.text("InstanceId")]:
        yield _on(call, call.operation, str(identity))


def _run(call: Call) -> Iterator[Need]:
    """Yield what a start needs: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ExamplePolicies_EC2.html."""
    tokens = call.structure("MetadataOptions").get("HttpTokens") or "optional"
    machine = {"ec2:InstanceType": (call.text("InstanceType"),), "ec2:MetadataHttpTokens": (str(tokens),)}
    yield Need("ec2:RunInstances", _arn(call.region, "i-*"), machine)
    yield _on(call, "RunInstances", call.text("ImageId"))
    account = f"arn:{partition(call.region.name)}:ec2:{call.region.name}:{ACCOUNT}"
    for interface in call.items("NetworkInterfaces") or [{}]:
        public = str(bool(interface.get("AssociatePublicIpAddress"))).lower()
        yield Need("ec2:RunInstances", f"{account}:network-interface/*", {"ec2:AssociatePublicIpAddress": (public,)})
    for kind in ("security-group", "subnet", "volume"):
        yield Need("ec2:RunInstances", f"{account}:{kind}/*")
    yield from _made(call)


def _decision(cloud: Cloud, need: Need) -> Decision:
    return decision(cloud.windows.policies, need) if cloud.windows.policies else "allowed"


def _refusal(service: str, need: Need, said: Decision) -> ApiError:
    """https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html has the words."""
    why = (
        "with an explicit deny in an identity-based policy"
        if said == "denied"
        else f"because no identity-based policy allows the {need.action} action"
    )
    text = f"User: {USER} is not authorized to perform: {need.action} on resource: {need.resource} {why}"
    if service == "ec2":
        return ApiError("UnauthorizedOperation", f"You are not authorized to perform this operation. {text}", 403)
    if service in ("s3", "iam", "sts"):
        return ApiError("AccessDenied", text, 403)
    return ApiError("AccessDeniedException", text, 403 if service == "ebs" else 400)
