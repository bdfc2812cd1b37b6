# SPDX-License-Identifier: Apache-2.0
"""IAM's decision: what policy documents allow of an action on a resource.

A Deny that fits denies, else an Allow that fits allows, else it is denied:
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal

Document = Mapping[str, Any]
"""A policy as JSON has it."""


@dataclass(frozen=True, slots=True)
class Need:
    """ACTION on a RESOURCE, whose ARN it is or `*`.

    CONTEXT are the condition keys that the request has, each with one value or several
    (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html).
    """

    action: str
    resource: str = "*"
    context: Mapping[str, Sequence[str]] = field(default_factory=dict)


Decision = Literal["allowed", "denied", "not allowed"]


def decision(policies: Sequence[Document], need: Need) -> Decision:
    """Return what POLICIES say to what is needed: `denied` is denied by one, `not allowed` is allowed by none."""
    effects = {
        statement["Effect"] for policy in policies for statement in policy["Statement"] if _fits(statement, need)
    }
    return "denied" if "Deny" in effects else "allowed" if "Allow" in effects else "not allowed"


def _fits(statement: Document, need: Need) -> bool:
    actions, resources = _listed(statement["Action"]), _listed(statement["Resource"])
    return (
        any(_matches(one.lower(), need.action.lower()) for one in actions)
        and any(_matches(one, need.resource) for one in resources)
        and all(
            _holds(operator, key, _listed(values), need.context)
            for operator, operands in statement.get("Condition", {}).items()
            for key, values in operands.items()
        )
    )


def _holds(operator: str, key: str, wanted: Sequence[str], context: Mapping[str, Sequence[str]]) -> bool:
    """Tell whether a condition holds.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html: where the
    request does not have the key, what is negated holds and all else does not; several values are alternatives.
    """
    # Keys are compared without case; the keys of tags are too, but for two that differ in case only.
    have = next((values for name, values in context.items() if name.lower() == key.lower()), ())
    if operator == "Null":
        return (not have) == (wanted[0].lower() == "true")
    if operator == "ForAnyValue:StringEquals":
        return any(value in wanted for value in have)
    if operator == "StringEquals":
        return any(value in wanted for value in have)
    if operator == "StringNotEquals":
        return not any(value in wanted for value in have)
    if operator == "StringLike":
        return any(_matches(pattern, value) for pattern in wanted for value in have)
    if operator == "Bool":
        return any(value.lower() == one.lower() for value in have for one in wanted)
    raise ValueError(f"the sandbox does not know the condition operator {operator}")


def _listed(value: str | Sequence[str]) -> Sequence[str]:
    return [value] if isinstance(value, str) else value


def _matches(pattern: str, text: str) -> bool:
    return _expression(pattern).fullmatch(text) is not None


@cache
def _expression(pattern: str) -> re.Pattern[str]:
    """Return PATTERN, in which `*` is any text and `?` any character, as a regular expression."""
    return re.compile(re.escape(pattern).replace(r"\*", ".*").replace(r"\?", "."), re.DOTALL)
