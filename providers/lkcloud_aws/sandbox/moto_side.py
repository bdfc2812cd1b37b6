# SPDX-License-Identifier: Apache-2.0
"""What is left to moto: buckets and their settings, IAM, STS, VPCs, regions and everything that no push needs.

moto keeps its state in the process, so a process holds one stand-in.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from moto.backends import get_backend
from moto.core.base_backend import BackendDict
from moto.core.model_instances import reset_model_data
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

from lkcloud.sandbox.http import Request, Response
from lkcloud_aws.sandbox.errors import ApiError

ACCOUNT: str = DEFAULT_ACCOUNT_ID

ROLE = "vmimport"
_TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": "vmie.amazonaws.com"},
            "Action": "sts:AssumeRole",
            "Condition": {"StringEquals": {"sts:Externalid": ROLE}},
        }
    ],
}
_POLICY = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Action": ["s3:GetBucketLocation", "s3:GetObject", "s3:ListBucket"], "Resource": "*"},
        {
            "Effect": "Allow",
            "Action": ["ec2:ModifySnapshotAttribute", "ec2:CopySnapshot", "ec2:RegisterImage", "ec2:Describe*"],
            "Resource": "*",
        },
    ],
}


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of Systems Manager."""

    data_type: str
    version: int


class Moto:
    """moto's services in this process, and the few things of theirs that the stand-in itself looks at."""

    def __init__(self) -> None:
        self._regions: dict[str, str] = {}
        self._application = DomainDispatcherApplication(create_backend_app)

    def reset(self) -> None:
        """Empty moto, then make the role that every account needs before its first import.

        Its trust policy is the one of https://docs.aws.amazon.com/vm-import/latest/userguide/required-permissions.html
        """
        BackendDict.reset()
        reset_model_data()
        self._regions = {}
        iam = self._iam()
        iam.create_role(ROLE, json.dumps(_TRUST), "/", None, "Lets VM Import read disks", [], None)
        iam.put_role_policy(ROLE, ROLE, json.dumps(_POLICY))

    def tags(self, region: str, resource_id: str) -> dict[str, str]:
        """Return the tags that EC2 keeps for a resource, to read and to change."""
        tags: dict[str, str] = get_backend("ec2")[ACCOUNT][region].tags[resource_id]
        return tags

    def trust_policy(self, role: str) -> dict[str, Any] | None:
        """Return the trust policy of a role; None if there is no such role."""
        for candidate in self._iam().get_roles():
            if candidate.name == role:
                document: dict[str, Any] = json.loads(candidate.assume_role_policy_document)
                return document
        return None

    def bucket_region(self, bucket: str) -> str | None:
        """Return the region of a bucket; None if there is no such bucket."""
        found = self._s3().buckets.get(bucket)
        return None if found is None else str(found.region_name)

    def regions(self) -> Mapping[str, str]:
        """Return whether each region, of all partitions, needs opting in, in EC2's words."""
        if not self._regions:
            found = get_backend("ec2")[ACCOUNT]["us-east-1"].describe_regions()
            self._regions = {one.name: str(one.opt_in_status) for one in found}
        return self._regions

    def opted_in(self, region: str) -> bool:
        """Say whether the account can use a region: it exists and needs no opting in, or somebody has done that."""
        return self.regions().get(region) in ("opt-in-not-required", "opted-in")

    def opt_in(self, region: str) -> None:
        """Let the account use a region."""
        self.regions()
        if self._regions[region] == "not-opted-in":
            self._regions[region] = "opted-in"

    def role_policies(self, role: str) -> "list[dict[str, Any]] | None":
        """Return the policies that a role has within itself; None if there is no such role."""
        iam = self._iam()
        if self.trust_policy(role) is None:
            return None
        names = iam.list_role_policies(role)
        return [json.loads(iam.get_role_policy(role, name)[1]) for name in names]

    def kms_key(self, region: str, named: str) -> str | None:
        """Return the ARN of the key that NAMED (id, alias, or the ARN of either) means in a region.

        "" is the one that AWS manages for EBS; None is no key, or one that cannot encrypt volumes.
        """
        partition, service, home, account, resource = [*named.split(":", 5)[1:], *[""] * 5][:5]
        if named.startswith("arn:"):
            if (service, home, account) != ("kms", region, ACCOUNT) or not partition:
                return None
            named = resource.removeprefix("key/")
        if named == "alias/aws/ebs":
            return ""
        backend = get_backend("kms")[ACCOUNT][region]
        if named.startswith("alias/"):
            named = str(backend.get_key_id_from_alias(named))
        found = backend.keys.get(named)
        if found is None or found.key_state != "Enabled" or found.key_spec != "SYMMETRIC_DEFAULT":
            return None
        return str(found.arn)

    def parameter(self, region: str, name: str) -> "Parameter | None":
        """Return a parameter of Systems Manager; None if there is none."""
        found = get_backend("ssm")[ACCOUNT][region].get_parameter(name)
        return None if found is None else Parameter(str(found.data_type), int(found.version))

    def put_parameter(self, region: str, wanted: Mapping[str, Any]) -> None:
        """Make or overwrite a parameter, as PutParameter asks for it."""
        backend: Any = get_backend("ssm")[ACCOUNT][region]  # its types do not say what may be None
        backend.put_parameter(
            name=wanted["Name"],
            description=wanted.get("Description"),
            value=wanted["Value"],
            parameter_type=wanted.get("Type"),
            allowed_pattern=wanted.get("AllowedPattern"),
            keyid=None,
            overwrite=bool(wanted.get("Overwrite")),
            tags=wanted.get("Tags"),
            data_type=wanted.get("DataType"),
            tier=wanted.get("Tier"),
            policies=wanted.get("Policies"),
        )

    def image_parameters(self, region: str) -> list[tuple[str, str]]:
        """Return name and value of the parameters of Systems Manager that hold images."""
        found = get_backend("ssm")[ACCOUNT][region].describe_parameters([], [])
        return [(str(one.name), str(one.value)) for one in found if one.data_type == "aws:ec2:image"]

    def launch_template_images(self, region: str, depth: int) -> list[tuple[str, str]]:
        """Return the ids of launch templates and the images that the newest DEPTH versions of each name."""
        templates = get_backend("ec2")[ACCOUNT][region].launch_templates.values()
        return [(str(one.id), str(version.image_id)) for one in templates for version in one.versions[-depth:]]

    def encrypts_by_default(self, region: str) -> bool:
        """Say whether EBS encrypts new snapshots and volumes of a region by default."""
        return bool(get_backend("ec2")[ACCOUNT][region].ebs_encryption_by_default)

    def default_subnet(self, region: str, subnet_id: str) -> tuple[str, str, str] | None:
        """Return id, VPC and zone of a subnet, of a default one for ""; None if there is none."""
        for subnet in get_backend("ec2")[ACCOUNT][region].describe_subnets():
            if subnet.id == subnet_id or (not subnet_id and subnet.default_for_az):
                return str(subnet.id), str(subnet.vpc_id), str(subnet.availability_zone)
        return None

    def security_group_exists(self, region: str, group_id: str) -> bool:
        """Say whether a security group exists."""
        groups = get_backend("ec2")[ACCOUNT][region].describe_security_groups()
        return any(group.id == group_id for group in groups)

    def instance_type_architectures(self, region: str, instance_type: str) -> list[str]:
        """Return the architectures of an instance type; none if there is no such type."""
        for one in get_backend("ec2")[ACCOUNT][region].describe_instance_types():
            if one["InstanceType"] == instance_type:
                return list(one["ProcessorInfo"]["SupportedArchitectures"])
        return []

    def forward(self, request: Request, payload: bytes) -> Response:
        """Let moto answer REQUEST. Raises ApiError for what it cannot do either."""
        environ: dict[str, Any] = {
            "REQUEST_METHOD": request.method,
            "SCRIPT_NAME": "",
            "PATH_INFO": request.path.encode().decode("latin-1"),
            "QUERY_STRING": request.raw_query,
            "REQUEST_URI": request.target,
            "RAW_URI": request.target,
            "SERVER_NAME": "127.0.0.1",
            "SERVER_PORT": request.header("Host").rpartition(":")[2],
            "SERVER_PROTOCOL": "HTTP/1.1",
            "CONTENT_TYPE": request.header("Content-Type"),
            "CONTENT_LENGTH": str(len(payload)),
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": BytesIO(payload),
            "wsgi.errors": BytesIO(),
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
        }
        for name, value in request.headers.items():
            if name.lower() not in ("content-type", "content-length", "transfer-encoding"):
                environ["HTTP_" + name.upper().replace("-", "_")] = value
        status: list[int] = []
        headers: dict[str, str] = {}

        def start(line: str, pairs: list[tuple[str, str]], _exception: object = None) -> None:
            status.append(int(line.split(" ", 1)[0]))
            headers.update(pairs)

        try:
            body = b"".join(self._application(environ, start))
        except NotImplementedError as error:
            raise ApiError("InvalidAction", f"The sandbox cannot do this: {error}", 400) from error
        headers.pop("Content-Length" if request.method != "HEAD" else "", None)
        headers.pop("Connection", None)
        return Response(status[-1], headers, body)

    @staticmethod
    def _iam() -> Any:  # moto's models have no usable types
        return get_backend("iam")[ACCOUNT]["aws"]

    @staticmethod
    def _s3() -> Any:  # moto's models have no usable types
        return get_backend("s3")[ACCOUNT]["aws"]
