# SPDX-License-Identifier: Apache-2.0
"""What Resource Manager knows of a project: what this identity may do in it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lkcloud.errors import Unreachable
from lkcloud_gcp.errors import GcpFault, disabled
from lkcloud_gcp.session import Session

_TIMEOUT = 10.0
"""Seconds: an answer is good to have, and not worth a wait."""

_AT_ONCE = 100
"""Permissions in one request: the page of the method names no limit, so that this is well below any."""


@dataclass(eq=False)
class Unanswered(Exception):
    """Raised where it cannot be asked; DISABLED is the API that is not enabled, if that is why."""

    disabled: str = ""


def granted(session: Session, permissions: Sequence[str]) -> frozenset[str]:
    """Return which of PERMISSIONS this identity has on the project. Raises Unanswered.

    Nothing is needed to ask, but that the API is enabled, which it is not in every project. Where Compute Engine is
    reached by an address of its own and Resource Manager is not, it is not asked: what is at the usual address may be
    another cloud. https://cloud.google.com/resource-manager/reference/rest/v1/projects/testIamPermissions
    """
    from google.auth.transport.requests import AuthorizedSession

    url = session.resource_manager_url
    if url is None:
        raise Unanswered
    path = f"{url}/v1/projects/{session.project}:testIamPermissions"
    have: set[str] = set()
    try:
        with session.errors("asking for permissions"), AuthorizedSession(session.credentials) as http:
            for first in range(0, len(permissions), _AT_ONCE):
                asked = list(permissions[first : first + _AT_ONCE])
                have |= _ask(http, path, asked)
    except Unreachable as error:
        raise Unanswered from error
    return frozenset(have)


def _ask(http: Any, path: str, asked: list[str]) -> set[str]:
    import requests

    answer = http.post(path, json={"permissions": asked}, timeout=_TIMEOUT)
    if answer.status_code != requests.codes.ok:
        raise Unanswered(_disabled(answer))
    return set(answer.json().get("permissions", []))


def _disabled(answer: Any) -> str:
    """Return the API that ANSWER says is not enabled, "" if it says something else."""
    try:
        error = answer.json()["error"]
        reason = str((error.get("errors") or [{}])[0].get("reason", ""))
        info = next((str(one["reason"]) for one in error.get("details", []) if "reason" in one), "")
        return disabled(GcpFault("", answer.status_code, reason, str(error.get("message", "")), info))
    except (ValueError, KeyError, TypeError, AttributeError):
        return ""


def missing(session: Session, permissions: Sequence[str]) -> list[str]:
    """Return which of PERMISSIONS this identity does not have on the project, as far as is known."""
    try:
        have = granted(session, permissions)
    except Unanswered:
        return []
    return [permission for permission in permissions if permission not in have]
