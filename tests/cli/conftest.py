# SPDX-License-Identifier: Apache-2.0
"""The program in a folder of its own, and clouds on this machine for it."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.azure_standin import azure, serving_azure
from tests.forks import Forks
from tests.gcp_standin import gcp, serving_gcp
from tests.standin import aws, serving

__all__ = ["aws", "azure", "gcp", "serving", "serving_azure", "serving_gcp"]

Command = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def lkcloud(forks: Forks, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Command:
    """Run lkcloud with arguments, in a process that had not to import the SDKs, and see that it ends with CODE."""
    log = tmp_path_factory.mktemp("log") / "lkcloud"

    def run(*arguments: str | Path, code: int = 0) -> subprocess.CompletedProcess[str]:
        done = forks.run([*map(str, arguments)], folder=tmp_path, log=log)
        assert done.returncode == code, done.stderr
        return done

    return run


@pytest.fixture
def program(tmp_path: Path) -> Command:
    """Run the program lkcloud with arguments, as a user does, and see that it ends with CODE."""

    def run(*arguments: str | Path, code: int = 0) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "lkcloud", *map(str, arguments)]
        done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=tmp_path, timeout=240)
        assert done.returncode == code, done.stderr
        return done

    return run
