# SPDX-License-Identifier: Apache-2.0
"""Policy documents that allow what lkcloud does, and nothing else.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements.html
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby, product
from string import Formatter
from typing import Any

from lkcloud.permissions import Permission, needed
from lkcloud_aws.permissions import CONDITIONS, ON, SMALL

Document = Mapping[str, Any]
"""A policy as JSON has it: for IAM and for readers, and for nobody here to take apart."""

SHOWN: Mapping[str, tuple[str, ...]] = {
    "partition": ("aws",),
    "account": ("*",),
    "bucket": ("MY-BUCKET",),
    "source": ("MY-DISKS",),
    "role": ("vmimport",),
    "parameter": ("MY-PARAMETER",),
    "key": ("arn:aws:kms:REGION:ACCOUNT:key/ID",),
    "instance_type": SMALL,
}
"""What documents show in the places that are to be filled in."""

TRUST: Document = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": "vmie.amazonaws.com"},
            "Action": "sts:AssumeRole",
            "Condition": {"StringEquals": {"sts:Externalid": "vmimport"}},
        }
    ],
}
"""Who may assume the role of VM Import: https://docs.aws.amazon.com/vm-import/latest/userguide/required-permissions.html"""


def document(
    permissions: Iterable[Permission],
    uses: Iterable[str],
    places: Mapping[str, Sequence[str]] = SHOWN,
    *,
    helps: bool = True,
) -> Document:
    """Return the policy that allows what USES need of PERMISSIONS, and with HELPS what they have something of.

    PLACES fills in names, each with one value or several. What has no place, such as keys where there is no key, is
    left out.
    """
    wanted = sorted(needed(permissions, uses, helps=helps), key=lambda one: (one.on, one.condition))
    statements = []
    for (_, condition), group in groupby(wanted, key=lambda one: (one.on, one.condition)):
        those = list(group)
        if not (found := resources(those[0], places)):
            continue
        statement: dict[str, Any] = {
            "Effect": "Allow",
            "Action": sorted({one.action for one in those}),
            "Resource": found,
        }
        if condition:
            statement["Condition"] = {
                operator: {key: _one_or_all(filled(value, places)) for key, value in operands.items()}
                for operator, operands in CONDITIONS[condition].items()
            }
        statements.append(statement)
    return {"Version": "2012-10-17", "Statement": statements}


def resources(permission: Permission, places: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the ARNs that PERMISSION is given on, with PLACES filled in; none if it has no place."""
    return [one for arn in ON[permission.on] for one in filled(arn, places)]


def filled(text: str, places: Mapping[str, Sequence[str]]) -> list[str]:
    """Return TEXT with each of the values of each of its places."""
    names = [name for _, name, _, _ in Formatter().parse(text) if name]
    return [text.format(**dict(zip(names, values, strict=True))) for values in product(*(places[one] for one in names))]


def _one_or_all(values: list[str]) -> str | list[str]:
    return values[0] if len(values) == 1 else values
