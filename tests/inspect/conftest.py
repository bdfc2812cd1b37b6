# SPDX-License-Identifier: Apache-2.0
"""The Linux disks, made once for all tests of this folder: nobody writes to them."""

from pathlib import Path

import pytest

from tests.images import debian_bios, debian_uki


@pytest.fixture(scope="session")
def uki_disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return debian_uki(tmp_path_factory.mktemp("uki") / "uki.raw")


@pytest.fixture(scope="session")
def grub_disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return debian_bios(tmp_path_factory.mktemp("grub") / "grub.raw")
