# SPDX-License-Identifier: Apache-2.0
"""Which of the permissions that lkcloud needs an identity has, found out without making anything.

EC2 answers a dry run as it would answer the request itself. What has none, and what a condition narrows, is simulated
by IAM; who may not ask for that is told what could not be found out.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from lkcloud.permissions import Permission
from lkcloud_aws import policy
from lkcloud_aws.errors import fault
from lkcloud_aws.naming import DIGEST
from lkcloud_aws.session import Session

if TYPE_CHECKING:
    from mypy_boto3_iam.type_defs import EvaluationResultTypeDef

_NOBODY = "ami-ffffffffffffffff0"
_NOTHING = "snap-ffffffffffffffff0"
"""What does not exist: whether we may is told before that."""

_DRY: Mapping[str, Mapping[str, Any]] = {
    "RegisterImage": {
        "Name": "lkcloud",
        "RootDeviceName": "/dev/xvda",
        "BlockDeviceMappings": [{"DeviceName": "/dev/xvda", "Ebs": {"SnapshotId": _NOTHING}}],
    },
    "CopyImage": {"Name": "lkcloud", "SourceImageId": _NOBODY, "SourceRegion": "us-east-1"},
    "ModifyImageAttribute": {"ImageId": _NOBODY, "LaunchPermission": {"Add": [{"UserId": "1" * 12}]}},
    "DescribeImageAttribute": {"ImageId": _NOBODY, "Attribute": "launchPermission"},
    "DescribeSnapshotAttribute": {"SnapshotId": _NOTHING, "Attribute": "createVolumePermission"},
}
"""Requests of EC2 for a dry run; those that only look need nothing said."""

_SAMPLES = {
    ":image/*": f":image/{_NOBODY}",
    ":snapshot/*": f":snapshot/{_NOTHING}",
    ":instance/*": ":instance/i-ffffffffffffffff0",
    ":import-snapshot-task/*": ":import-snapshot-task/import-snap-ffffffffffffffff0",
    ":network-interface/*": ":network-interface/eni-ffffffffffffffff0",
    ":security-group/*": ":security-group/sg-ffffffffffffffff0",
    ":subnet/*": ":subnet/subnet-ffffffffffffffff0",
    ":volume/*": ":volume/vol-ffffffffffffffff0",
}


_MEANT: Mapping[str, tuple[str, ...]] = {
    "ec2:Describe*": ("ec2:DescribeImages", "ec2:DescribeSnapshots"),
    "kms:GenerateDataKey*": ("kms:GenerateDataKeyWithoutPlaintext",),
    "kms:ReEncrypt*": ("kms:ReEncryptFrom", "kms:ReEncryptTo"),
}
"""What of a wildcard is used: a simulation takes none."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Actions that are not allowed, and those of which nothing is known."""

    missing: tuple[str, ...]
    unknown: tuple[str, ...]


@dataclass(frozen=True)
class Asking:
    """Asks what the user or role PRINCIPAL (an ARN) may; PLACES and CONTEXT fill in names and conditions."""

    session: Session
    principal: str
    places: Mapping[str, Sequence[str]]
    instance_type: str

    def of(self, permissions: Iterable[Permission], *, dry_runs: bool = True) -> Answer:
        """Ask for PERMISSIONS; DRY_RUNS are only of the caller's own."""
        found: dict[str, bool | None] = {}
        left: list[Permission] = []
        for one in permissions:
            allowed = self._dry_run(one) if dry_runs and not one.condition else None
            if allowed is None:
                left.append(one)
            else:
                found[one.action] = found.get(one.action) is not False and allowed
        for action, allowed in self._simulated(left):
            before = found.get(action)
            found[action] = False if False in (before, allowed) else None if allowed is None else True
        return Answer(
            tuple(sorted(action for action, allowed in found.items() if allowed is False)),
            tuple(sorted(action for action, allowed in found.items() if allowed is None)),
        )

    def _dry_run(self, one: Permission) -> bool | None:
        """Return what a dry run says; None where there is none, or it says nothing of that."""
        service, _, operation = one.action.partition(":")
        ec2 = self.session.ec2
        if service != "ec2" or operation not in ec2.meta.service_model.operation_names:
            return None
        shape = ec2.meta.service_model.operation_model(operation).input_shape
        request = _DRY.get(operation, {})
        looks = operation.startswith(("Describe", "Get")) and shape is not None and not shape.required_members
        if shape is None or "DryRun" not in shape.members or not (request or looks):
            return None
        method = getattr(ec2, _snake(operation))
        try:
            self.session.attempt(lambda: method(**request, DryRun=True))
        except Exception as error:
            answer = fault(error)
            if answer is not None and answer.code == "UnauthorizedOperation":
                return False
            if answer is not None and (answer.code == "DryRunOperation" or "NotFound" in answer.code):
                return True
        return None

    def _simulated(self, permissions: Iterable[Permission]) -> Iterator[tuple[str, bool | None]]:
        """Yield each action with what IAM says: on all resources of it, None if it may not be asked."""
        by = sorted(permissions, key=lambda one: (one.on, one.condition))
        for (_, condition), group in groupby(by, key=lambda one: (one.on, one.condition)):
            those = list(group)
            actions = sorted({one.action for one in those})
            resources = [_sample(arn, self.session.region) for arn in policy.resources(those[0], self.places)]
            if not resources:
                continue  # what is not named is not used
            try:
                said = self._evaluated(actions, resources, condition)
            except Exception as error:
                if fault(error) is None:
                    raise
                yield from ((action, None) for action in actions)
                continue
            for action in actions:
                own = [one for one in said if one["EvalActionName"] in _meant(action)]
                yield action, all(one["EvalDecision"] == "allowed" for one in own) if own else None

    def _evaluated(self, actions: list[str], resources: list[str], condition: str) -> "list[EvaluationResultTypeDef]":
        """Return what IAM says of each of ACTIONS on each of RESOURCES."""
        pages = self.session.iam.get_paginator("simulate_principal_policy").paginate(
            PolicySourceArn=self.principal,
            ActionNames=[one for action in actions for one in _meant(action)],
            ResourceArns=resources,
            ContextEntries=self._context(condition),
        )
        return self.session.attempt(lambda: [one for page in pages for one in page["EvaluationResults"]])

    def _context(self, condition: str) -> list[Any]:
        """Return the condition keys that a request has which is as lkcloud's are."""
        keys: Mapping[str, tuple[str, str, str]] = {
            "own": (f"aws:ResourceTag/{DIGEST}", "string", "0" * 64),
            "small": ("ec2:InstanceType", "string", self.instance_type),
            "import": ("iam:PassedToService", "string", "vmie.amazonaws.com"),
            "grant": ("kms:GrantIsForAWSResource", "boolean", "true"),
            "references": ("aws:CalledVia", "stringList", "ec2-images.amazonaws.com"),
        }
        if condition not in keys:
            return []
        name, kind, value = keys[condition]
        return [{"ContextKeyName": name, "ContextKeyType": kind, "ContextKeyValues": [value]}]


def _meant(action: str) -> tuple[str, ...]:
    return _MEANT.get(action, (action,))


def _sample(arn: str, region: str) -> str:
    """Return one that ARN, which has wildcards, fits: a simulation is of resources that could be."""
    for ending, sample in _SAMPLES.items():
        if arn.endswith(ending):
            arn = arn.removesuffix(ending) + sample
    parts = arn.split(":")
    if len(parts) > 3 and parts[3] == "*":
        parts[3] = region
    return ":".join(parts)


def _snake(operation: str) -> str:
    from botocore import xform_name

    return xform_name(operation)
