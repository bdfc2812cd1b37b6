# SPDX-License-Identifier: Apache-2.0
"""All that the stand-in holds: regions with their snapshots, images, tasks and instances, and the S3 objects."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, Literal

from lkcloud_aws.sandbox.errors import ApiError
from lkcloud_aws.sandbox.moto_side import ACCOUNT, Moto
from lkcloud_aws.sandbox.s3_store import ObjectStore
from lkcloud_aws.sandbox.windows import Windows

if TYPE_CHECKING:
    from lkcloud_aws.sandbox.image import Image
    from lkcloud_aws.sandbox.imports import ImportTask
    from lkcloud_aws.sandbox.instance import Instance
    from lkcloud_aws.sandbox.parameters import Pending
    from lkcloud_aws.sandbox.snapshot import Snapshot

BlockPublicAccess = Literal["block-all-sharing", "block-new-sharing", "unblocked"]


@dataclass(frozen=True, slots=True)
class TokenUse:
    """What a client token was used for: the parameters, and the id of what was made."""

    parameters: str
    made: str


@dataclass(slots=True)
class Region:
    """What one region holds."""

    name: str
    home: Path
    moto: Moto
    snapshots: dict[str, "Snapshot"] = field(default_factory=dict)
    images: dict[str, "Image"] = field(default_factory=dict)
    tasks: dict[str, "ImportTask"] = field(default_factory=dict)
    instances: dict[str, "Instance"] = field(default_factory=dict)
    tokens: dict[tuple[str, str], TokenUse] = field(default_factory=dict)
    parameters: list["Pending"] = field(default_factory=list)
    """Parameters of Systems Manager that have been accepted and are looked at; moto has the others."""
    image_public_access: BlockPublicAccess = "block-new-sharing"
    """Accounts of after April 2023 have it on: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/block-public-access-to-amis.html"""
    snapshot_public_access: BlockPublicAccess = "unblocked"
    default_key: str = ""
    """ARN of the key that encrypts where none is named; "" is the one that AWS manages."""

    def tags(self, resource_id: str) -> dict[str, str]:
        """Return the tags of a resource, to read and to change; DescribeTags shows the same ones."""
        return self.moto.tags(self.name, resource_id)

    def replayed(self, operation: str, token: str, parameters: str, *, error: str) -> str:
        """Return the id that OPERATION made earlier with this client token, "" if it made none.

        Raises ApiError with the code ERROR if it was used with other parameters:
        https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-idempotency.html
        """
        use = self.tokens.get((operation, token)) if token else None
        if use is None:
            return ""
        if use.parameters != parameters:
            status = 409 if error == "ConflictException" else 400
            raise ApiError(error, "The client token was used before with other parameters", status)
        return use.made

    def remember(self, operation: str, token: str, parameters: str, made: str) -> None:
        """Note what was made with a client token, for ever: the id is given again after what it names is deleted."""
        if token:
            self.tokens[operation, token] = TokenUse(parameters, made)


@dataclass(slots=True)
class Cloud:
    """Everything, below HOME. LOCK guards all that is held here and the models behind `moto`; bytes move without it."""

    home: Path
    moto: Moto
    windows: Windows
    s3: ObjectStore
    regions: dict[str, Region] = field(default_factory=dict)
    lock: RLock = field(default_factory=RLock)

    def region(self, name: str) -> Region:
        """Return a region, which begins empty."""
        with self.lock:
            if name not in self.regions:
                home = self.home / name
                home.mkdir(parents=True, exist_ok=True)
                self.regions[name] = Region(name, home, self.moto)
            return self.regions[name]

    def stop_machines(self) -> None:
        """End every machine, and every import."""
        regions = tuple(self.regions.values())
        # Imports end first and without the lock, which they need to get to their end.
        for task in [task for region in regions for task in tuple(region.tasks.values())]:
            task.end()
        with self.lock:
            for instance in [instance for region in regions for instance in region.instances.values()]:
                instance.end()

    def machines_run(self) -> bool:
        """Say whether a machine runs."""
        with self.lock:
            machines = [machine for region in self.regions.values() for machine in region.instances.values()]
            return any(machine.state() in ("pending", "running") for machine in machines)

    def snapshot_file(self, snapshot_id: str) -> Path:
        """Return the raw file with the bytes of a snapshot in whatever region, to read. Raises KeyError."""
        for region in self.regions.values():
            if snapshot_id in region.snapshots:
                return region.snapshots[snapshot_id].raw
        raise KeyError(snapshot_id)


def new_id(prefix: str) -> str:
    """Return an id such as `snap-0123456789abcdef0`."""
    return f"{prefix}-{secrets.token_hex(9)[:17]}"


def fingerprint(parameters: Mapping[str, object]) -> str:
    """Return a text that is equal for equal PARAMETERS, without the client token itself."""
    return repr(sorted((name, repr(value)) for name, value in parameters.items() if name != "ClientToken"))


__all__ = ["ACCOUNT", "Cloud", "Region", "fingerprint", "new_id"]
