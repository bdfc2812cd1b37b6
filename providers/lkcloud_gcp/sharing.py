# SPDX-License-Identifier: Apache-2.0
"""Who may use an image: members of the role compute.imageUser in the image's own policy.

https://cloud.google.com/compute/docs/images/managing-access-custom-images
"""

from typing import TYPE_CHECKING

from lkcloud.errors import Refused
from lkcloud.polling import poll
from lkcloud.provider import Image, Run
from lkcloud_gcp.errors import explain, status_of
from lkcloud_gcp.options import GcpOptions
from lkcloud_gcp.session import Session

if TYPE_CHECKING:
    from google.cloud import compute_v1

ROLE = "roles/compute.imageUser"

EVERYBODY = "allAuthenticatedUsers"
"""Everybody with a Google account: `allUsers` is refused for images (prowler-cloud/prowler#9718)."""

_VERSION = 3
"""Of the policy's format that is asked for: who reads a policy with conditions must ask for this one

(https://cloud.google.com/iam/docs/policies#versions); without conditions the answer is version 1 all the same.
"""

_ADDRESSES = ("user:", "group:", "serviceaccount:", "domain:")
"""Members whose names are e-mail addresses and domains, which IAM gives back in lower case."""


def share(session: Session, options: GcpOptions, image: Image, run: Run) -> None:
    """Let those whom the options name use IMAGE; other members, roles and conditions stay as they are.

    Nobody named, or all of them may already: nothing is written. Raises Refused where a policy of the organisation
    forbids a member.
    """
    wanted = (*options.share_with, *((EVERYBODY,) if options.public else ()))
    if not wanted:
        return

    with run.reporter.stage("share"):
        added = poll(
            lambda: _add(session, image, wanted),
            what=f"gcp: sharing {image.id}",
            every=0.5,
            limit=60.0,
            hint="others change the image's policy at the same time: run the same command again",
        )
    if added:
        run.reporter.note(f"{image.id} can now be used by {', '.join(added)}")


def _add(session: Session, image: Image, wanted: tuple[str, ...]) -> tuple[str, ...] | None:
    """Return the members that were added, None if somebody else changed the policy in the meantime."""
    policy = _policy(session, image)
    binding = _binding(policy)
    there = {_comparable(member) for member in binding.members}
    missing = tuple(dict.fromkeys(member for member in wanted if _comparable(member) not in there))
    if not missing:
        return ()
    binding.members.extend(missing)
    try:
        _write(session, image, policy)
    except Exception as error:
        if status_of(error) in (409, 412) and _policy(session, image).etag != policy.etag:
            return None
        raise _refusal(error, image) from error
    return missing


def take_back(session: Session, image: Image) -> None:
    """Let nobody use IMAGE by its own policy any more; other roles stay as they are."""
    poll(
        lambda: _remove(session, image),
        what=f"gcp: taking back {image.id}",
        every=0.5,
        limit=60.0,
        hint="others change the image's policy at the same time: run the same command again",
    )


def _remove(session: Session, image: Image) -> bool | None:
    """Take the bindings of our role out of the policy; None if somebody else changed it in the meantime."""
    policy = _policy(session, image)
    kept = [binding for binding in policy.bindings if binding.role != ROLE]
    if len(kept) == len(policy.bindings):
        return True
    del policy.bindings[:]
    policy.bindings.extend(kept)
    try:
        _write(session, image, policy)
    except Exception as error:
        if status_of(error) in (409, 412) and _policy(session, image).etag != policy.etag:
            return None
        raise explain(error, f"taking back {image.id}") or error from error
    return True


def _policy(session: Session, image: Image) -> "compute_v1.Policy":
    from google.cloud import compute_v1

    request = compute_v1.GetIamPolicyImageRequest(
        project=session.project, resource=image.id, options_requested_policy_version=_VERSION
    )
    return session.call(
        f"reading who may use {image.id}", lambda **how: session.images.get_iam_policy(request=request, **how)
    )


def _binding(policy: "compute_v1.Policy") -> "compute_v1.Binding":
    """Return the policy's binding of our role that has no condition, a new one if there is none."""
    from google.cloud import compute_v1

    for binding in policy.bindings:
        if binding.role == ROLE and not binding.condition:
            return binding
    policy.bindings.append(compute_v1.Binding(role=ROLE))
    return policy.bindings[-1]


def _write(session: Session, image: Image, policy: "compute_v1.Policy") -> None:
    """Write POLICY in the place of the one with the same etag; one with conditions was given as version 3."""
    from google.cloud import compute_v1

    request = compute_v1.SetIamPolicyImageRequest(
        project=session.project,
        resource=image.id,
        global_set_policy_request_resource=compute_v1.GlobalSetPolicyRequest(policy=policy),
    )
    session.attempt(lambda **how: session.images.set_iam_policy(request=request, **how))


def _refusal(error: Exception, image: Image) -> Exception:
    """Return what to tell of a policy that was not written although nobody else had changed it."""
    known = explain(error, f"sharing {image.id}")
    if known is None:
        return error
    if status_of(error) in (400, 412) and "permitted customer" in known.message:
        # What IAM says of iam.allowedPolicyMemberDomains, the constraint seldom with it
        # (terraform-google-modules/terraform-example-foundation#1454).
        hint = "ask for an exception to the organisation's policy iam.allowedPolicyMemberDomains, or share with others"
        return Refused(known.message, hint=hint)
    if status_of(error) == 400:
        known.hint = "check --share-with: user:EMAIL, group:EMAIL, serviceAccount:EMAIL or domain:NAME that exists"
    return known


def _comparable(member: str) -> str:
    kind, colon, name = member.partition(":")
    return member.lower() if kind.lower() + colon in _ADDRESSES else f"{kind}{colon}{name}"
