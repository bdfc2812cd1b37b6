# SPDX-License-Identifier: Apache-2.0
"""Which of the permissions that lkcloud needs an identity has, and which uses of the list a command is.

The project and the bucket each tell it at once, by testIamPermissions: nothing is made, and none is needed to ask.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from lkcloud.diagnosis import Purpose
from lkcloud.permissions import Permission, needed
from lkcloud_gcp import checks, resource_manager
from lkcloud_gcp.options import GcpOptions
from lkcloud_gcp.permissions import PERMISSIONS
from lkcloud_gcp.resource_manager import Unanswered
from lkcloud_gcp.session import Session

_USES: Mapping[Purpose, str] = {
    Purpose.TEST: "test",
    Purpose.SHARE: "share",
    Purpose.PROMOTE: "promote",
    Purpose.DEPRECATE: "deprecate",
    Purpose.LIST: "list",
    Purpose.DELETE: "delete",
    Purpose.PRUNE: "prune",
    Purpose.SWEEP: "sweep",
    Purpose.GC: "gc",
}
"""Commands that are one use; there is nothing to copy and nothing to protect here."""


def uses(options: GcpOptions, purpose: Purpose) -> tuple[str, ...]:
    """Return the words of `permissions.USES` that PURPOSE is with OPTIONS; none for what Google Cloud does not have."""
    if purpose is not Purpose.PUSH:
        return (_USES[purpose],) if purpose in _USES else ()
    asked = {"bucket": options.bucket is None, "keep": options.keep_object}
    return (options.method, *(use for use, wanted in asked.items() if wanted))


@dataclass(frozen=True, slots=True)
class Answer:
    """What of some permissions is MISSING, where the list has it, and of what nothing is UNKNOWN."""

    missing: tuple[Permission, ...]
    unknown: tuple[Permission, ...]


@dataclass(frozen=True, slots=True)
class Allowed:
    """What an identity has on the project, None where that cannot be asked, and on the bucket, None if it is not there.

    DISABLED is the API without which it cannot be asked.
    """

    project: frozenset[str] | None
    bucket: frozenset[str] | None
    disabled: str = ""

    @classmethod
    def ask(cls, session: Session, bucket: str, wanted: Iterable[Permission]) -> Self:
        """Ask for all that is WANTED, of the bucket as well if it has a name. Raises what Cloud Storage says."""
        asked = sorted({one.action for one in wanted})
        in_bucket = [action for action in asked if action.startswith("storage.")]
        there = frozenset(checks.granted_on(session, bucket, in_bucket)) if bucket and in_bucket else None
        try:
            return cls(resource_manager.granted(session, asked), there)
        except Unanswered as error:
            return cls(None, there, error.disabled)

    def of(self, wanted: Sequence[Permission]) -> Answer:
        """Return what of WANTED is not allowed; a bucket that is not there yet will have what the project has."""
        missing, unknown = [], []
        for one in wanted:
            have = self.bucket if one.on == "bucket" and self.bucket is not None else self.project
            if have is None:
                unknown.append(one)
            elif one.action not in have:
                missing.append(one)
        return Answer(tuple(missing), tuple(unknown))


def wanted(options: GcpOptions, purpose: Purpose, *, helps: bool) -> list[Permission]:
    """Return the permissions that PURPOSE needs, and with HELPS those that it has something of, each once."""
    return needed(PERMISSIONS, uses(options, purpose), helps=helps)
