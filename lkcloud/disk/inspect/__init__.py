# SPDX-License-Identifier: Apache-2.0
"""What a disk is, read from its own bytes: partitions, file systems, firmware, architecture, unified kernel images."""

from lkcloud.disk.inspect.facts import DiskFacts, Partition, Uki
from lkcloud.disk.inspect.look import inspect

__all__ = ["DiskFacts", "Partition", "Uki", "inspect"]
