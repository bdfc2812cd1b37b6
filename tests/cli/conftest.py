# SPDX-License-Identifier: Apache-2.0
"""The program in a folder of its own, and clouds on this machine for it."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.azure_standin import azure, serving_azure
from tests.gcp_standin import gcp, serving_gcp
from tests.standin import aws, serving

__all__ = ["aws", "azure", "gcp", "serving", "serving_azure", "serving_gcp"]

Command = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def lkcloud(tmp_path: Path) -> Command:
    """Run lkcloud with arguments, and see that it ends with CODE."""

    def run(*arguments: str | Path, code: int = 0) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "lkcloud", *map(str, arguments)]
        done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=tmp_path, timeout=240)
        assert done.returncode == code, done.stderr
        return done

    return run
