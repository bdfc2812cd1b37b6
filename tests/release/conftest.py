# SPDX-License-Identifier: Apache-2.0
"""Release files and disks for tests; clouds are the stand-ins."""

from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

from lkcloud.sandbox.tinydisk import write_tiny_disk
from tests.azure_standin import azure, serving_azure
from tests.cli.conftest import lkcloud
from tests.gcp_standin import gcp, serving_gcp
from tests.standin import aws, serving

__all__ = ["aws", "azure", "gcp", "lkcloud", "serving", "serving_azure", "serving_gcp"]

Write = Callable[[str], Path]


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """A disk that boots and says `release-boot-ok`."""
    path = tmp_path / "disk.raw"
    write_tiny_disk(path, size=4 << 20, message="release-boot-ok")
    return path


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write the text of a release file."""

    def write(text: str) -> Path:
        path = tmp_path / "release.yaml"
        path.write_text(dedent(text))
        return path

    return write
