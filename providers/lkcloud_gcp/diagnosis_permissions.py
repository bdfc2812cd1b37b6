# SPDX-License-Identifier: Apache-2.0
"""What is found out about the permissions of an identity: for each purpose whether all that it needs is allowed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lkcloud.diagnosis import Diagnosis, Health, Purpose, Remedy
from lkcloud.errors import LkcloudError, NotAuthenticated, Unreachable
from lkcloud.permissions import Permission
from lkcloud_gcp import remedies
from lkcloud_gcp.allowed import Allowed, Answer, wanted
from lkcloud_gcp.options import GcpOptions
from lkcloud_gcp.session import Session


@dataclass(frozen=True, slots=True)
class Permissions:
    """The permissions of MEMBER ("" if it is not known), and BUCKET, "" if there is none that could be used."""

    session: Session
    options: GcpOptions
    member: str
    bucket: str

    def diagnose(self, purposes: Sequence[Purpose]) -> Iterator[Diagnosis]:
        """Ask for all at once, and tell of each of PURPOSES."""
        every = [one for purpose in purposes for one in self._wanted(purpose, helps=False)]
        if not every:
            return
        try:
            have = Allowed.ask(self.session, self.bucket, every)
        except (NotAuthenticated, Unreachable):
            raise
        except LkcloudError as error:
            why = "nothing is known of what is allowed on the bucket"
            yield Diagnosis("permissions", Health.UNKNOWN, error.message, why, Remedy(error.hint))
            return
        for purpose in purposes:
            if needs := self._wanted(purpose, helps=False):
                yield from self._told(purpose, have, needs)

    def _told(self, purpose: Purpose, have: Allowed, needs: Sequence[Permission]) -> Iterator[Diagnosis]:
        answer = have.of(needs)
        if answer.missing:
            what = f"{purpose.value}: not allowed {_named(answer.missing)}"
            # A role can have a condition on names, which the project knows nothing of.
            why = f"`lkcloud {purpose.value}` ends with an error, unless a role for images of some names allows it"
            remedy = remedies.allow(list(self._roles(purpose, answer.missing)))
            yield Diagnosis("permissions", Health.PROBLEM, what, why, remedy)
        if answer.unknown:
            what = f"{purpose.value}: nothing is known of {_named(answer.unknown)}"
            why = "the project tells it through Resource Manager, which cannot be asked"
            remedy = remedies.enable(self.session.project, have.disabled) if have.disabled else Remedy()
            yield Diagnosis("permissions", Health.UNKNOWN, what, why, remedy)
        if answer == Answer((), ()):
            count = len({one.action for one in needs})
            yield Diagnosis("permissions", Health.GOOD, f"{purpose.value}: all {count} are allowed")

    def _roles(self, purpose: Purpose, missing: Sequence[Permission]) -> Iterator[remedies.Role]:
        """Yield a role for each place where something is MISSING, with all that is needed there, or helps."""
        every = self._wanted(purpose, helps=True)
        for place in dict.fromkeys(("", self._holder)):
            if any(self._place(one) == place for one in missing):
                name = f"lkcloud_{purpose.value}{'_bucket' if place else ''}"
                actions = sorted({one.action for one in every if self._place(one) == place})
                yield remedies.Role(name, self.session.project, place, actions, self.member, made=bool(self.bucket))

    def _wanted(self, purpose: Purpose, *, helps: bool) -> list[Permission]:
        """Return what PURPOSE needs; nobody makes a bucket that is there."""
        found = wanted(self.options, purpose, helps=helps)
        return [one for one in found if not (self.bucket and one.action == "storage.buckets.create")]

    def _place(self, permission: Permission) -> str:
        """Return the bucket that a permission is given on, "" for the project, which a bucket to be made will be in."""
        return self._holder if permission.on == "bucket" else ""

    @property
    def _holder(self) -> str:
        """The bucket that roles are given on: one that the user names and that is not there yet is to be made first."""
        return self.bucket or self.options.bucket or ""


def _named(permissions: Sequence[Permission]) -> str:
    return ", ".join(dict.fromkeys(one.action for one in permissions))
