# SPDX-License-Identifier: Apache-2.0
"""The contract of a stand-in: a cloud on this machine. Each lives in the package of its cloud."""

from collections.abc import Mapping
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import ClassVar, Protocol

from lkcloud.entries import offered
from lkcloud.errors import UsageError

GROUP = "lkcloud.sandboxes"
"""The entry-point group in which a package names its stand-in: `aws = "lkcloud_aws.sandbox:AwsStandIn"`."""


class StandIn(Protocol):
    """A cloud on this machine, as strict as the real one.

    It lives in a process of its own that calls `start` once, then `idle` and `reset` as needed, and `stop` once, all
    from the main thread. Other threads may serve requests meanwhile.
    """

    cloud: ClassVar[str]

    def __init__(self, home: Path) -> None:
        """Keep all bytes in files below HOME, an empty folder that is removed after `stop`."""
        ...

    def start(self) -> None:
        """Serve on a free port of the loopback address; return when it answers."""
        ...

    def environment(self) -> Mapping[str, str]:
        """Return the environment variables that lead a client here: address, credentials, region."""
        ...

    def idle(self) -> float:
        """Return the seconds since the last request; 0 while machines run."""
        ...

    def reset(self) -> None:
        """Empty the cloud: no machines, no images, no bytes. Address and credentials stay."""
        ...

    def stop(self) -> None:
        """End the server and every machine."""
        ...


def stand_ins() -> list[str]:
    """Return the names of the clouds that an installed package has a stand-in for."""
    return sorted(offered(GROUP))


def stand_in(cloud: str) -> EntryPoint:
    """Return where the stand-in of CLOUD is, without importing it. Raises UsageError if no package brings one."""
    known = offered(GROUP)
    if cloud not in known:
        names = ", ".join(stand_ins()) or "none"
        raise UsageError(f"there is no sandbox for {cloud!r}", hint=f"sandboxes that are installed: {names}")
    return known[cloud]
