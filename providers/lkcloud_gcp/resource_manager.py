# SPDX-License-Identifier: Apache-2.0
"""What Resource Manager knows of a project: what this identity may do in it."""

from collections.abc import Sequence

from lkcloud.errors import Unreachable
from lkcloud_gcp.session import Session

_TIMEOUT = 10.0
"""Seconds: an answer is good to have, and not worth a wait."""


def missing(session: Session, permissions: Sequence[str]) -> list[str]:
    """Return which of PERMISSIONS this identity does not have on the project, as far as is known.

    Nothing is needed to ask, but that the API is enabled, which it is not in every project; where it does not answer,
    nothing is known to be missing. Where Compute Engine is reached by an address of its own and Resource Manager is
    not, it is not asked: what is at the usual address may be another cloud.
    https://cloud.google.com/resource-manager/reference/rest/v1/projects/testIamPermissions
    """
    import requests
    from google.auth.transport.requests import AuthorizedSession

    url = session.resource_manager_url
    if url is None:
        return []
    path = f"{url}/v1/projects/{session.project}:testIamPermissions"
    try:
        with session.errors("asking for permissions"), AuthorizedSession(session.credentials) as http:
            answer = http.post(path, json={"permissions": list(permissions)}, timeout=_TIMEOUT)
            if answer.status_code != requests.codes.ok:
                return []
            have = answer.json().get("permissions", [])
    except Unreachable:
        return []
    return [permission for permission in permissions if permission not in have]
