# SPDX-License-Identifier: Apache-2.0
"""The lease of a blob or a container: https://learn.microsoft.com/rest/api/storageservices/lease-blob."""

import math
import time
from dataclasses import dataclass
from typing import Literal
from uuid import uuid4

from lkcloud_azure.sandbox.errors import ApiError

INFINITE = -1
"""The duration of a lease that does not end by itself."""

State = Literal["available", "leased", "expired", "breaking", "broken"]
Kind = Literal["Blob", "Container"]


@dataclass(slots=True)
class Lease:
    """A lease; times are those of time.monotonic. ID "" is none."""

    id: str = ""
    duration: int = INFINITE
    until: float = math.inf
    broken_at: float | None = None
    """When a break takes effect or took it."""

    @property
    def state(self) -> State:
        """Its state, in the words of x-ms-lease-state."""
        now = time.monotonic()
        if not self.id:
            return "available"
        if self.broken_at is not None:
            return "breaking" if now < self.broken_at else "broken"
        return "leased" if now < self.until else "expired"

    @property
    def held(self) -> bool:
        """Whether writes need its id."""
        return self.state in ("leased", "breaking")

    def headers(self) -> dict[str, str]:
        """Return what properties say of it."""
        said = {"x-ms-lease-state": self.state, "x-ms-lease-status": "locked" if self.held else "unlocked"}
        if self.state == "leased":
            said["x-ms-lease-duration"] = "infinite" if self.duration == INFINITE else "fixed"
        return said

    def check(self, given: str, kind: Kind, *, needed: bool = True) -> None:
        """Raise ApiError if an operation that names the lease GIVEN ("" = none) must not be done.

        NEEDED is False for reads, which may name none.
        """
        what = kind.lower()
        if self.held and not given:
            if needed:
                message = f"There is currently a lease on the {what} and no lease ID was specified in the request."
                raise ApiError(412, "LeaseIdMissing", message)
        elif self.held and given != self.id:
            message = f"The lease ID specified did not match the lease ID for the {what}."
            raise ApiError(412, f"LeaseIdMismatchWith{kind}Operation", message)
        elif given and not self.held:
            if self.id and given == self.id:
                raise ApiError(412, "LeaseLost", f"A lease ID was specified, but the lease for the {what} has expired.")
            raise ApiError(412, f"LeaseNotPresentWith{kind}Operation", f"There is currently no lease on the {what}.")

    def acquire(self, duration: int, proposed: str) -> None:
        """Take it for DURATION seconds, by the id PROPOSED or a new one. Raises ApiError."""
        if self.state == "leased" and proposed != self.id:
            raise ApiError(409, "LeaseAlreadyPresent", "There is already a lease present.")
        if self.state == "breaking":
            if proposed == self.id:
                message = "The lease ID matched, but the lease is currently in breaking state and cannot be acquired."
                raise ApiError(409, "LeaseIsBreakingAndCannotBeAcquired", message)
            raise ApiError(409, "LeaseAlreadyPresent", "There is already a lease present.")
        self.id, self.duration, self.broken_at = proposed or str(uuid4()), duration, None
        self._extend()

    def renew(self, given: str) -> None:
        """Let its time begin again. Raises ApiError."""
        self._require(given)
        if self.state in ("breaking", "broken"):
            message = "The lease ID matched, but the lease has been broken explicitly and cannot be renewed."
            raise ApiError(409, "LeaseIsBrokenAndCannotBeRenewed", message)
        self._extend()

    def change(self, given: str, proposed: str) -> None:
        """Let it have the id PROPOSED. Raises ApiError."""
        if self.state == "leased" and proposed == self.id:
            return
        if not self.held:
            raise _not_present()
        self._require(given)
        if self.state == "breaking":
            message = "The lease ID matched, but the lease is currently in breaking state and cannot be changed."
            raise ApiError(409, "LeaseIsBreakingAndCannotBeChanged", message)
        self.id = proposed

    def release(self, given: str) -> None:
        """Give it up. Raises ApiError."""
        self._require(given)
        self.id, self.broken_at = "", None

    def end(self, period: int | None) -> int:
        """Break it after PERIOD seconds, or when its time is over; return the seconds until then. Raises ApiError."""
        state, now = self.state, time.monotonic()
        if state == "available":
            raise _not_present()
        if state in ("leased", "breaking"):
            left = self.broken_at if self.broken_at is not None else self.until
            if period is None:
                period = 0 if math.isinf(left) else math.ceil(left - now)
            self.broken_at = min(now + period, left)
        else:
            self.broken_at = now
        return max(math.ceil(self.broken_at - now), 0)

    def _extend(self) -> None:
        self.until = math.inf if self.duration == INFINITE else time.monotonic() + self.duration

    def _require(self, given: str) -> None:
        if not self.id or given != self.id:
            message = (
                "The lease ID specified did not match the lease ID for the resource with the specified lease operation."
            )
            raise ApiError(409, "LeaseIdMismatchWithLeaseOperation", message)


def _not_present() -> ApiError:
    return ApiError(409, "LeaseNotPresentWithLeaseOperation", "There is currently no lease on the resource.")
