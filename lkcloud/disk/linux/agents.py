# SPDX-License-Identifier: Apache-2.0
"""Programs that ask a cloud who the machine is, and where they are installed."""

from dataclasses import dataclass

from lkcloud.disk.linux.paths import Pattern


@dataclass(frozen=True, slots=True)
class Agent:
    """A program called NAME, which is there if one of PATHS is."""

    name: str
    paths: tuple[Pattern, ...]

    @classmethod
    def at(cls, name: str, *paths: str) -> "Agent":
        """Return the agent NAME that is at one of PATHS (see Pattern)."""
        return cls(name, tuple(Pattern(path) for path in paths))


CLOUD_INIT = Agent.at("cloud-init", "usr/bin/cloud-init", "usr/local/bin/cloud-init", "etc/cloud/cloud.cfg")
IGNITION = Agent.at(
    "Ignition", "usr/bin/ignition", "usr/lib/dracut/modules.d/30ignition/ignition", "usr/libexec/ignition*"
)
AFTERBURN = Agent.at("Afterburn", "usr/bin/afterburn", "usr/bin/coreos-metadata")
TINY_CLOUD = Agent.at("tiny-cloud", "usr/bin/tiny-cloud", "usr/sbin/tiny-cloud", "lib/tiny-cloud")
# LinuxKit unpacks the containers of its `onboot` section below this folder, with a number in front of each.
LINUXKIT = Agent.at("LinuxKit's metadata package", "containers/onboot/*metadata*")
