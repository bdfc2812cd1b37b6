# SPDX-License-Identifier: Apache-2.0
"""This machine keeps the contract of a provider."""

from pathlib import Path

import pytest

from lkcloud.provider import Provider
from lkcloud.testing import ProviderContract
from lkcloud_qemu import Local, LocalOptions


class TestLocal(ProviderContract):
    @pytest.fixture
    def provider(self, tmp_path: Path) -> Provider:
        return Local(LocalOptions(folder=tmp_path / "images"))
