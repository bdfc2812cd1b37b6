# SPDX-License-Identifier: Apache-2.0
"""The verdicts of the clouds that are installed."""

from pathlib import Path

from lkcloud import registry
from lkcloud.disk import open_disk
from lkcloud.disk.readiness import Needs, ReadinessReport, readiness_report
from lkcloud.disk.readiness.report import CloudReport
from lkcloud.provider import Requires


def needs() -> dict[str, Needs]:
    found = {}
    for cloud in registry.clouds():
        provider = registry.make(cloud, registry.options_of(registry.load(cloud))())
        assert isinstance(provider, Requires)
        found[cloud] = provider.needs()
    return found


def judged(path: Path) -> ReadinessReport:
    with open_disk(path) as disk:
        return readiness_report(disk, needs())


def words(report: ReadinessReport) -> dict[str, str]:
    return {one.cloud: one.verdict for one in report.clouds}


def cloud(report: ReadinessReport, name: str) -> CloudReport:
    return next(one for one in report.clouds if one.cloud == name)


def said(report: ReadinessReport, name: str, aspect: str) -> list[tuple[str, str]]:
    """Return states and words of an ASPECT on the cloud NAME."""
    return [(one.state, one.what) for one in cloud(report, name).checks if one.aspect == aspect]
