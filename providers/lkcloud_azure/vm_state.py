# SPDX-License-Identifier: Apache-2.0
"""What Azure's instance view says of a machine, in the house's words.

https://learn.microsoft.com/azure/virtual-machines/states-billing
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from azure.mgmt.compute import models

_STOPPED = ("stopping", "stopped", "deallocating", "deallocated", "hibernated", "hibernating")


@dataclass(frozen=True, slots=True)
class Standing:
    """How a machine stands: `ProvisioningState/PROVISIONING/DETAIL` and `PowerState/POWER`, in lower case."""

    provisioning: str = ""
    detail: str = ""
    """An error's code as Azure writes it, or how far the guest's provisioning is; "" where nothing is told."""
    power: str = ""
    message: str = ""
    """What Azure says to it."""

    @classmethod
    def of(cls, statuses: "Iterable[models.InstanceViewStatus] | None") -> "Standing":
        """Return what STATUSES of an instance view mean."""
        provisioning, detail, power, message = "", "", "", ""
        for status in statuses or ():
            kind, _, rest = (status.code or "").partition("/")
            if kind == "ProvisioningState":
                provisioning, _, detail = rest.partition("/")
                message = status.message or status.display_status or ""
            elif kind == "PowerState":
                power = rest.lower()
        return cls(provisioning.lower(), detail, power, message)

    @property
    def _of_guest(self) -> bool:
        """Whether it is the guest that has not told Azure that it is ready: one without an agent never does."""
        return self.detail.lower().startswith("osprovisioning")

    @property
    def failure(self) -> str:
        """Why the machine cannot run, "" if nothing says that it cannot.

        That the guest has not told in time that it is ready (OSProvisioningTimedOut) is no such reason.
        """
        if self.provisioning not in ("failed", "canceled") or self._of_guest:
            return ""
        return ": ".join(filter(None, (self.detail, self.message))) or self.provisioning

    @property
    def placed(self) -> bool:
        """Whether there is a host for the machine, on which it has been started."""
        # A machine that is being made may be seen as stopped for a moment before it starts.
        return self.power == "running" or (self.power in _STOPPED and self._made)

    @property
    def _made(self) -> bool:
        return self.provisioning != "creating" or self._of_guest

    @property
    def leaving(self) -> bool:
        """Whether it is being deleted."""
        return self.provisioning == "deleting"

    @property
    def state(self) -> str:
        """Return `starting`, `running`, `stopped` or `failed: REASON`."""
        if self.failure:
            return f"failed: {self.failure}"
        if self.leaving:
            return "stopped"
        if self.power == "running":
            return "running"
        return "stopped" if self.power in _STOPPED and self._made else "starting"
