# SPDX-License-Identifier: Apache-2.0
"""A reporter that says nothing and measures how long each stage of a run takes."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from lkcloud.reporting import Meter, Silent


class Stages(Silent):
    """Keeps the seconds of each stage by its title."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, title: str) -> Iterator[Meter]:
        """Measure a stage; one that comes again adds to the first."""
        began = time.perf_counter()
        with super().stage(title) as meter:
            yield meter
        self.seconds[title] = self.seconds.get(title, 0.0) + time.perf_counter() - began
