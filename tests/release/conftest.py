# SPDX-License-Identifier: Apache-2.0
"""Release files and disks for tests; clouds are the stand-ins."""

from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

from tests.azure_standin import azure, serving_azure
from tests.cli.conftest import lkcloud
from tests.gcp_standin import gcp, serving_gcp
from tests.images import tiny_bios
from tests.standin import aws, serving

__all__ = ["aws", "azure", "gcp", "lkcloud", "serving", "serving_azure", "serving_gcp"]

Write = Callable[[str], Path]


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """A disk that boots by BIOS and says `release-boot-ok`."""
    path = tmp_path / "disk.raw"
    tiny_bios(path, message="release-boot-ok")
    return path


@pytest.fixture
def staying(disk: Path) -> Path:
    """The same disk, whose machine stays on."""
    tiny_bios(disk, message="release-boot-ok", stays_on=True)
    return disk


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write the text of a release file."""

    def write(text: str) -> Path:
        path = tmp_path / "release.yaml"
        path.write_text(dedent(text))
        return path

    return write
