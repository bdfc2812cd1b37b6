# SPDX-License-Identifier: Apache-2.0
"""What of a disk's fitness for a cloud can be told in milliseconds: a push says it before it sends anything."""

from collections.abc import Iterator

from lkcloud.disk.inspect.facts import DiskFacts
from lkcloud.disk.readiness.needs import Needs
from lkcloud.disk.readiness.report import readiness
from lkcloud.disk.readiness.verdict import Aspect, Check
from lkcloud.formats.layout import Readable

_TOLD_BY_PROVIDERS: tuple[Aspect, ...] = ("size", "firmware")
"""Their `validate` says it, with the options that change it."""


def foreseen(cloud: str, needs: Needs, disk: Readable, facts: DiskFacts) -> Iterator[Check]:
    """Yield what will go wrong with DISK, which FACTS are of, on CLOUD, as far as it shows without unpacking."""
    _, verdicts = readiness(disk, facts, {cloud: needs}, unpack=False)
    for verdict in verdicts:
        for check in verdict.checks:
            if check.state in ("fault", "warning") and check.aspect not in _TOLD_BY_PROVIDERS:
                yield check
