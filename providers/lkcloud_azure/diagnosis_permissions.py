# SPDX-License-Identifier: Apache-2.0
"""What this identity is allowed, for each thing that it is to do: asked by actions, with the list of `permissions`."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lkcloud.diagnosis import Diagnosis, Health, Purpose, Remedy
from lkcloud.errors import NotFound, Refused
from lkcloud.permissions import Permission, needed
from lkcloud_azure import gallery, permission_checks, permissions, remedies, storage
from lkcloud_azure.naming import COMPUTE, ResourceId
from lkcloud_azure.options import AzureOptions
from lkcloud_azure.permission_checks import Granted
from lkcloud_azure.remedies import Gap, Holder
from lkcloud_azure.session import Session

_ASK = "allow Microsoft.Authorization/permissions/read, as Reader does"
_IN_GALLERY = (Purpose.PROMOTE, Purpose.DEPRECATE, Purpose.SWEEP)
"""Commands that are for versions in galleries alone."""
_ELSEWHERE = (Purpose.COPY, Purpose.PROTECT)
"""Commands that Azure does not know: a version has its copies by the options of its push."""


@dataclass(frozen=True, slots=True)
class _Place:
    """Where permissions are given: GROUP "" is the subscription; GRANTED is None where that is not known."""

    group: str
    granted: Granted | None


@dataclass(frozen=True)
class Permissions:
    """Looks what is allowed; what it has asked once it knows. Without a HOLDER no role can be printed."""

    session: Session
    options: AzureOptions
    holder: Holder | None
    group_there: bool
    _groups: dict[str, Granted | None] = field(default_factory=dict)
    _places: dict[str, _Place] = field(default_factory=dict)
    _tried: dict[str, bool | None] = field(default_factory=dict)

    def diagnose(self, purposes: Sequence[Purpose]) -> Iterator[Diagnosis]:
        """Yield one for each of PURPOSES that Azure knows, and what is wanting of what would help it."""
        for purpose in purposes:
            uses = self.uses(purpose)
            wanted = self._meant(purpose, needed(permissions.PERMISSIONS, uses, helps=False))
            missing, unknown = self._look(wanted)
            if missing:
                what = f"{purpose.value}: not allowed {', '.join(missing)}"
                why = f"`lkcloud {purpose.value}` ends with an error where it needs one of them"
                yield Diagnosis("permissions", Health.PROBLEM, what, why, self._remedy(purpose, uses))
            if unknown:
                what = f"{purpose.value}: nothing is known of {', '.join(unknown)}"
                yield Diagnosis("permissions", Health.UNKNOWN, what, *self._why_unknown())
            if wanted and not missing and not unknown:
                count = len({one.action for one in wanted})
                yield Diagnosis("permissions", Health.GOOD, f"{purpose.value}: all {count} are allowed")
            if not missing:
                yield from self._helping(purpose, uses)

    def uses(self, purpose: Purpose) -> list[str]:
        """Return the words of `permissions.USES` that PURPOSE is with the options."""
        options = self.options
        if purpose in _ELSEWHERE or (purpose in _IN_GALLERY and options.gallery is None):
            return []
        if purpose is Purpose.PUSH:
            return [*permissions.uses_of(options), *([] if self.group_there else ["group"])]
        if purpose is Purpose.SHARE:
            wanted = ["public"] if options.public else []
            return [*wanted, *(["share"] if options.share_with or not options.public else [])]
        return [purpose.value]

    def _meant(self, purpose: Purpose, wanted: Sequence[Permission]) -> list[Permission]:
        """Return what of WANTED the options have to do with: a gallery, a storage account, managed images."""
        options = self.options
        left_out = set() if options.gallery is not None else {"gallery"}
        if not options.storage_account or (purpose is Purpose.PUSH and options.method != "blob"):
            left_out.add("account")
        # Who has a gallery may go without managed images: what is not to be seen is passed over.
        managed = options.gallery is None or purpose is Purpose.PUSH
        return [
            one for one in wanted if one.on not in left_out and (managed or not one.action.startswith(_MANAGED_IMAGES))
        ]

    def _look(self, wanted: Sequence[Permission]) -> tuple[list[str], list[str]]:
        """Return the actions of WANTED that are not allowed, and those of which nothing is known."""
        missing: list[str] = []
        unknown: list[str] = []
        for one in wanted:
            if one.on == "subscription":
                allowed = self._try(one.action)
            else:
                granted = self._place(one.on).granted
                allowed = None if granted is None else not granted.missing([one.action])
            if allowed is None:
                unknown.append(one.action)
            elif not allowed:
                missing.append(one.action)
        return list(dict.fromkeys(missing)), list(dict.fromkeys(unknown))

    def _place(self, on: str) -> _Place:
        """Return what is given ON something, one of the words of `permissions.ON`."""
        if on not in self._places:
            self._places[on] = self._asked(on)
        return self._places[on]

    def _asked(self, on: str) -> _Place:
        options, session = self.options, self.session
        if on in ("gallery", "shared") and options.gallery is not None:
            where: ResourceId | None = gallery.place_of(session, options)
            group = options.gallery_group
        elif on == "account":
            where = self._account()
            group = where.group if where is not None else options.resource_group
        elif on == "encryption set" and options.disk_encryption_set:
            where = ResourceId.parse(options.disk_encryption_set)
            group = where.group if where is not None else options.resource_group
        else:
            where, group = None, options.resource_group
        # What is not there yet is made in the group, whose roles are its as well.
        granted = permission_checks.of_resource(session, where) if where is not None else None
        return _Place(group, granted if granted is not None else self._of_group(group))

    def _account(self) -> ResourceId | None:
        try:
            found = storage.find(self.session, self.options.storage_account or "")
        except Refused:
            return None
        return ResourceId.parse(found.id or "") if found is not None else None

    def _of_group(self, group: str) -> Granted | None:
        if group not in self._groups:
            self._groups[group] = permission_checks.of_group(self.session, group)
        return self._groups[group]

    def _try(self, action: str) -> bool | None:
        """Tell whether ACTION is allowed on the subscription, of which Azure can only be asked by doing it.

        https://learn.microsoft.com/rest/api/authorization/permissions: for groups and resources. Reading makes nothing.
        """
        if action not in self._tried:
            self._tried[action] = self._done(_READS[action]) if action in _READS else None
        return self._tried[action]

    def _done(self, read: Callable[[Any], Any]) -> bool | None:
        try:
            self.session.call("looking what may be seen", lambda: next(iter(read(self.session.compute)), None))
        except Refused:
            return False
        except NotFound:
            return None
        return True

    def _helping(self, purpose: Purpose, uses: Sequence[str]) -> Iterator[Diagnosis]:
        """Yield what would let PURPOSE find more, of what it is known that it is not allowed."""
        every = self._meant(purpose, needed(permissions.PERMISSIONS, uses))
        musts = {one.action for one in needed(permissions.PERMISSIONS, uses, helps=False)}
        missing, _ = self._look([one for one in every if one.action not in musts])
        if missing:
            what = f"{purpose.value}: does without {', '.join(missing)}"
            why = "it works, and finds and removes less of what unfinished pushes have left"
            yield Diagnosis("permissions", Health.NOTE, what, why, self._remedy(purpose, uses))

    def _why_unknown(self) -> tuple[str, Remedy]:
        if not self.group_there:
            why = f"there is no resource group {self.options.resource_group} yet of which Azure could be asked"
            return why, Remedy("make the resource group first, or see docs/azure.md for what the role has to have")
        return "Azure tells what is allowed in a group or on a resource, to whoever may ask", Remedy(_ASK)

    def _remedy(self, purpose: Purpose, uses: Sequence[str]) -> Remedy:
        """Return the roles that have all that PURPOSE needs or has something of, one for each group."""
        if self.holder is None:
            return Remedy("give this identity a role with it, see docs/azure.md")
        wanted: Mapping[str, dict[str, None]] = defaultdict(dict)
        for one in self._meant(purpose, needed(permissions.PERMISSIONS, uses)):
            group = "" if one.on == "subscription" else self._place(one.on).group
            wanted[group][one.action] = None
        root = f"/subscriptions/{self.session.subscription}"
        gaps = [
            Gap(f"{root}/resourceGroups/{group}" if group else root, tuple(actions))
            for group, actions in wanted.items()
        ]
        return remedies.give(self.session.subscription, purpose.value, gaps, self.holder)


_MANAGED_IMAGES = f"{COMPUTE}/images/"
_READS: Mapping[str, Callable[[Any], Any]] = {
    f"{COMPUTE}/virtualMachines/read": lambda compute: compute.virtual_machines.list_all(),
    f"{COMPUTE}/virtualMachineScaleSets/read": lambda compute: compute.virtual_machine_scale_sets.list_all(),
}
"""What is tried on the subscription."""
