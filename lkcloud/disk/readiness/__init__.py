# SPDX-License-Identifier: Apache-2.0
"""Whether a disk would boot on a cloud, told from the disk alone: what the cloud needs is said by its provider."""

from lkcloud.disk.readiness.needs import Console, Device, Needs, Sizes
from lkcloud.disk.readiness.report import ReadinessReport, readiness_report
from lkcloud.disk.readiness.verdict import Check, Verdict

__all__ = ["Check", "Console", "Device", "Needs", "ReadinessReport", "Sizes", "Verdict", "readiness_report"]
