# SPDX-License-Identifier: Apache-2.0
"""Who asks, and IAM's simulation of what somebody may.

https://docs.aws.amazon.com/IAM/latest/APIReference/API_SimulatePrincipalPolicy.html

Of the caller it is what the policies say that are enforced (`Windows.policies`), of a role what its own say.
"""

from collections.abc import Iterator, Mapping, Sequence
from xml.sax.saxutils import escape

from lkcloud.sandbox.http import Response
from lkcloud_aws.sandbox import authorization
from lkcloud_aws.sandbox.cloud import ACCOUNT, Cloud
from lkcloud_aws.sandbox.errors import XML, ApiError
from lkcloud_aws.sandbox.iam_policy import Document, Need, decision

_WORDS = {"allowed": "allowed", "denied": "explicitDeny", "not allowed": "implicitDeny"}


def serve(cloud: Cloud, form: Mapping[str, str], request_id: str) -> Response:
    """Answer a simulation of each action on each resource."""
    policies = _policies(cloud, form.get("PolicySourceArn", ""))
    context = {
        form[f"{entry}.ContextKeyName"]: tuple(_members(form, f"{entry}.ContextKeyValues"))
        for entry in _entries(form, "ContextEntries")
    }
    results = "".join(
        f"<member><EvalActionName>{escape(action)}</EvalActionName><EvalResourceName>{escape(resource)}"
        f"</EvalResourceName><EvalDecision>{_said(policies, Need(action, resource, context))}</EvalDecision></member>"
        for action in _members(form, "ActionNames")
        for resource in list(_members(form, "ResourceArns")) or ["*"]
    )
    body = (
        '<SimulatePrincipalPolicyResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/">'
        f"<SimulatePrincipalPolicyResult><EvaluationResults>{results}</EvaluationResults>"
        "<IsTruncated>false</IsTruncated></SimulatePrincipalPolicyResult>"
        f"<ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata></SimulatePrincipalPolicyResponse>"
    )
    return Response(200, {"Content-Type": XML}, body.encode())


def identity(cloud: Cloud, request_id: str) -> Response:
    """Answer who asks, https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html."""
    arn = cloud.windows.caller or authorization.USER
    body = (
        '<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>'
        f"<Arn>{arn}</Arn><UserId>AIDALKCLOUDSANDBOX00</UserId><Account>{ACCOUNT}</Account>"
        f"</GetCallerIdentityResult><ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata>"
        "</GetCallerIdentityResponse>"
    )
    return Response(200, {"Content-Type": XML}, body.encode())


def _policies(cloud: Cloud, arn: str) -> Sequence[Document] | None:
    """Return the policies of the user or role ARN; None for who may do everything."""
    if arn == authorization.USER:
        return cloud.windows.policies or None
    prefix = f"arn:aws:iam::{ACCOUNT}:role/"
    found = cloud.moto.role_policies(arn.removeprefix(prefix)) if arn.startswith(prefix) else None
    if found is None:
        raise ApiError("NoSuchEntity", f"The entity {arn} cannot be found.", 404)
    return found


def _said(policies: Sequence[Document] | None, need: Need) -> str:
    return "allowed" if policies is None else _WORDS[decision(policies, need)]


def _entries(form: Mapping[str, str], name: str) -> Iterator[str]:
    numbers = {int(key.split(".")[2]) for key in form if key.startswith(f"{name}.member.")}
    return (f"{name}.member.{number}" for number in sorted(numbers))


def _members(form: Mapping[str, str], name: str) -> Iterator[str]:
    return (form[key] for key in _entries(form, name))
