# SPDX-License-Identifier: Apache-2.0
"""All that the stand-in holds: the resources of one subscription, and the bytes behind them."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, RLock
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid4

from lkcloud_azure.naming import ResourceId
from lkcloud_azure.sandbox.access import Tokens
from lkcloud_azure.sandbox.blob_service import BlobService
from lkcloud_azure.sandbox.grants import Grants
from lkcloud_azure.sandbox.windows import Windows

if TYPE_CHECKING:
    from lkcloud_azure.sandbox.arm_operations import Operation

SUBSCRIPTION = "0b1f6471-1bf0-4dda-aec3-cb9272f09590"
LOCATION = "westeurope"
FOLDERS = ("disks", "images", "versions")
"""Where bytes are, below the home of the stand-in, beside those of blobs."""
LOCATIONS = {
    "westeurope": "West Europe",
    "northeurope": "North Europe",
    "eastus": "East US",
    "eastus2": "East US 2",
    "westus2": "West US 2",
    "germanywestcentral": "Germany West Central",
    "uksouth": "UK South",
    "southeastasia": "Southeast Asia",
}
"""Name and display name of the regions that there are; Azure has some sixty."""


@dataclass(kw_only=True)
class Resource(ABC):
    """A resource of Azure Resource Manager, of a resource group or within another resource.

    STATE is its provisioningState: `Creating`, `Updating`, `Deleting`, `Succeeded`, `Failed`.
    """

    id: ResourceId
    location: str
    tags: dict[str, str]
    state: str = "Creating"
    unique: str = field(default_factory=lambda: str(uuid4()))
    created: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def name(self) -> str:
        """The last part of the id."""
        return self.id.names[-1]

    @property
    def kind(self) -> str:
        """The type, such as `Microsoft.Compute/galleries/images`."""
        return "/".join((self.id.namespace, *self.id.kinds))

    @abstractmethod
    def properties(self) -> dict[str, Any]:
        """Return what is in `properties` of its document, without provisioningState."""

    def top(self) -> dict[str, Any]:
        """Return what its document has beside `properties` that not every resource's has."""
        return {}

    def removed(self, cloud: "Cloud") -> None:  # noqa: B027 - most have nothing outside
        """Give back what it has outside: bytes, machines. Called without the lock, when it can be found no more."""

    def blocked(self, cloud: "Cloud") -> bool:
        """Tell whether it cannot be deleted now, not even with its resource group."""
        del cloud
        return False

    def busy(self) -> bool:
        """Tell whether something runs for it, which keeps an unused sandbox from ending."""
        return False

    def described(self) -> dict[str, Any]:
        """Return its document."""
        return {
            "name": self.name,
            "id": str(self.id),
            "type": self.kind,
            "location": self.location,
            **({"tags": dict(self.tags)} if self.tags else {}),
            **self.top(),
            "properties": {**self.properties(), "provisioningState": self.state},
        }


R = TypeVar("R", bound=Resource)


@dataclass
class Group:
    """A resource group."""

    name: str
    location: str
    tags: dict[str, str]
    state: str = "Succeeded"


@dataclass(frozen=True, slots=True)
class Assignment:
    """A role that a principal has on a scope and on all that is within."""

    name: str
    scope: str
    role: str
    """The name of the role definition, a UUID."""
    principal: str
    principal_kind: str
    created: datetime
    description: str = ""


@dataclass
class Cloud:
    """What the services share; LOCK is held while state is read and changed, never while bytes travel."""

    home: Path
    windows: Windows
    tokens: Tokens
    blobs: BlobService
    lock: RLock = field(default_factory=RLock)
    groups: dict[str, Group] = field(default_factory=dict)
    """By their names in lower case."""
    resources: dict[str, Resource] = field(default_factory=dict)
    """By their ids in lower case, oldest first."""
    operations: dict[str, "Operation"] = field(default_factory=dict)
    """By their ids."""
    assignments: dict[str, Assignment] = field(default_factory=dict)
    """Role assignments, by their ids in lower case."""
    lagging: dict[str, float] = field(default_factory=dict)
    """Ids of nested resources that are gone, and until when (time.monotonic) their parents still have them."""
    registering: dict[str, float] = field(default_factory=dict)
    """Resource providers, in lower case, and when (time.monotonic) they are registered that were not."""
    ended: Event = field(default_factory=Event)
    """Set when nothing here goes on any more."""

    @property
    def grants(self) -> Grants:
        """The URLs that give access to managed disks."""
        return self.blobs.grants

    def get(self, kind: type[R], resource_id: ResourceId | str) -> R | None:
        """Return the resource of class KIND with this id, None if there is none."""
        found = self.held(resource_id)
        return found if isinstance(found, kind) else None

    def held(self, resource_id: ResourceId | str) -> Resource | None:
        """Return the resource with this id, of whatever class, None if there is none."""
        return self.resources.get(str(resource_id).lower())

    def every(self, kind: type[R], within: str = "") -> Iterator[R]:
        """Yield the resources of class KIND whose id begins with WITHIN, oldest first; the caller holds the lock."""
        return (resource for resource in self.below(within) if isinstance(resource, kind))

    def below(self, within: str = "") -> Iterator[Resource]:
        """Yield the resources whose id begins with WITHIN, of whatever class, oldest first."""
        start = f"{within.lower().rstrip('/')}/" if within else ""
        return (resource for key, resource in tuple(self.resources.items()) if key.startswith(start))

    def add(self, resource: Resource) -> None:
        """Hold RESOURCE, in place of one with its id."""
        self.resources[str(resource.id).lower()] = resource

    def forget(self, resource: Resource) -> None:
        """Hold RESOURCE no more, nor who had roles on it."""
        gone = str(resource.id).lower()
        self.resources.pop(gone, None)
        for key, assignment in tuple(self.assignments.items()):
            if assignment.scope.lower() == gone:
                del self.assignments[key]

    def busy(self) -> bool:
        """Tell whether something runs, such as a machine."""
        return any(resource.busy() for resource in tuple(self.resources.values()))

    def empty(self) -> None:
        """Hold nothing any more; whatever goes on is ended. The caller does not hold the lock."""
        self.ended.set()
        for operation in tuple(self.operations.values()):
            operation.hurry()
        with self.lock:
            held = list(self.resources.values())[::-1]
            for table in (self.groups, self.resources, self.operations, self.assignments):
                table.clear()
            for times in (self.lagging, self.registering):
                times.clear()
        for resource in held:
            resource.removed(self)
        self.ended = Event()

    def file(self, folder: str) -> Path:
        """Return a path for new bytes, in FOLDER, which is there."""
        (self.home / folder).mkdir(parents=True, exist_ok=True)
        return self.home / folder / uuid4().hex
