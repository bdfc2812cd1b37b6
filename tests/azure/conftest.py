# SPDX-License-Identifier: Apache-2.0
"""Azure on this machine, empty for each test, and what is needed to push to it."""

from collections.abc import Iterator

import pytest

from lkcloud.provider import Run
from lkcloud.transfer.journal import Journal
from tests.azure_standin import azure, connected, serving_azure, session

__all__ = ["azure", "connected", "serving_azure", "session"]


@pytest.fixture
def run() -> Iterator[Run]:
    with Journal.open() as journal:
        yield Run(journal)
