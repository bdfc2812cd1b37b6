# SPDX-License-Identifier: Apache-2.0
"""Who may use an image: its IAM policy.

https://cloud.google.com/compute/docs/reference/rest/v1/images/setIamPolicy and
https://cloud.google.com/iam/docs/reference/rest/v1/Policy
"""

import base64
import re
from collections.abc import Mapping
from typing import Any

from lkcloud_gcp.sandbox import authorization
from lkcloud_gcp.sandbox.compute_call import Call, Handler, Result, invalid, required
from lkcloud_gcp.sandbox.compute_images import find
from lkcloud_gcp.sandbox.errors import ApiError
from lkcloud_gcp.sandbox.image import Image

PERMISSIONS = frozenset(
    f"compute.images.{verb}"
    for verb in (
        *("create", "delete", "deprecate", "get", "getFromFamily", "getIamPolicy", "list", "setIamPolicy"),
        *("setLabels", "update", "useReadOnly"),
    )
)
"""https://cloud.google.com/iam/docs/permissions-reference; those on tag bindings are left out."""

_ROLE = re.compile(r"roles/[a-z]\w*(\.\w+)*|(projects|organizations)/[^/]+/roles/\w[\w.]*")
_MEMBER = re.compile(
    r"allAuthenticatedUsers|(user|serviceAccount|group):[^@\s:]+@[^@\s:]+\.[^@\s:]+|domain:[^@\s:]+\.[^@\s:]+"
    r"|(projectOwner|projectEditor|projectViewer):\S+|principal(Set)?://\S+|deleted:\S+"
)


def _etag(image: Image) -> str:
    """Return the etag; that of a policy that was never set is Google's `ACAB`."""
    return base64.b64encode(b"\0\x20\x01" if image.policy_changes == 0 else b"\x07%07d" % image.policy_changes).decode()


def _described(image: Image) -> Result:
    policy: dict[str, Any] = {"version": image.policy_version, "etag": _etag(image)}
    return policy | ({"bindings": [dict(binding) for binding in image.bindings]} if image.bindings else {})


def _get(call: Call) -> Result:
    call.check_query("optionsRequestedPolicyVersion")
    version = call.query.get("optionsRequestedPolicyVersion") or "0"
    if version not in ("0", "1", "3"):
        raise invalid("optionsRequestedPolicyVersion", version, "Valid values are 0, 1, and 3.")
    image = find(call, call.name)
    if version != "3" and any(binding.get("condition") for binding in image.bindings):
        # GetPolicyOptions: "Requests for policies with any conditional role bindings must specify version 3." What is
        # answered to another version is not said there.
        raise invalid("optionsRequestedPolicyVersion", version, "The policy has conditions, which need version 3.")
    return _described(image)


def _set(call: Call) -> Result:
    call.check_query()
    body = call.body("GlobalSetPolicyRequest")
    image = find(call, call.name)
    # The flat fields are "deprecated. Use 'policy'"; whoever sends them is refused rather than misunderstood.
    policy = body.get("policy")
    if policy is None:
        raise required("policy")
    version = int(policy.get("version") or 0)
    if version not in (0, 1, 3):
        raise invalid("policy.version", str(version), "Valid values are 0, 1, and 3.")
    sent = str(policy.get("etag") or "")
    if sent and sent != _etag(image):
        # https://cloud.google.com/iam/docs/retry-strategy: a 409 that asks for the whole read-modify-write again
        # (pulumi/pulumi-google-native#862, of another API of Google's). Without an etag the policy is overwritten.
        message = (
            "There were concurrent policy changes. Please retry the whole read-modify-write with exponential backoff. "
            f"The request's ETag '{sent}' did not match the current policy's ETag '{_etag(image)}'."
        )
        raise ApiError(409, "aborted", message)
    bindings = tuple(_binding(binding, version, sent) for binding in policy.get("bindings") or [])
    image.bindings = bindings
    # The same place: with no conditional role bindings "the response uses version 1", whatever was asked for.
    image.policy_version = 3 if any(binding.get("condition") for binding in bindings) else 1
    image.policy_changes += 1
    return _described(image)


def _binding(binding: Mapping[str, Any], version: int, etag: str) -> Mapping[str, Any]:
    role, members = str(binding.get("role") or ""), [str(member) for member in binding.get("members") or []]
    if not _ROLE.fullmatch(role):
        raise invalid("policy.bindings.role", role, "Role is not supported for this resource.")
    if not members:
        # Policy.bindings: "Each of the bindings must contain at least one principal."
        raise invalid("policy.bindings.members", "", "A binding must have at least one member.")
    for member in members:
        if member == "allUsers":
            # Images can be shared with all authenticated users only (prowler-cloud/prowler#9718).
            raise invalid("policy.bindings.members", member, "allUsers is not supported for images.")
        if not _MEMBER.fullmatch(member):
            raise invalid("policy.bindings.members", member, "The member is of an unknown type or malformed.")
    if binding.get("condition") and (version != 3 or not etag):
        raise invalid("policy.version", str(version), "A condition needs version 3 and the etag.")
    return {**binding, "members": sorted(set(members))}


def _test(call: Call) -> Result:
    call.check_query()
    body = call.body("TestPermissionsRequest")
    find(call, call.name)
    asked = [str(permission) for permission in body.get("permissions") or []]
    for permission in asked:
        if permission not in PERMISSIONS:
            raise invalid("permissions", permission, f"Permission {permission} is not valid for this resource.")
    granted = [permission for permission in asked if authorization.has(call.cloud, permission)]
    return {"permissions": granted} if granted else {}


HANDLERS: dict[str, Handler] = {
    "images.getIamPolicy": _get,
    "images.setIamPolicy": _set,
    "images.testIamPermissions": _test,
}
