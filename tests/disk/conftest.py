# SPDX-License-Identifier: Apache-2.0
"""Images to open."""

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from lkcloud.disk.identity import FINE_TICK_NS

MakeImage = Callable[..., Path]


@pytest.fixture
def make_image(tmp_path: Path) -> MakeImage:
    """Return a function that writes a sparse file of SIZE bytes with DATA at its offsets."""

    def make(name: str, size: int, data: Mapping[int, bytes], *, settled: bool = False) -> Path:
        path = tmp_path / name
        with path.open("wb") as file:
            file.truncate(size)
            for offset, piece in data.items():
                file.seek(offset)
                file.write(piece)
        if settled:
            time.sleep(1.5 * FINE_TICK_NS / 1e9)
        return path

    return make


@pytest.fixture
def cache(own_folders: Path) -> Path:
    return Path(os.environ["LKCLOUD_CACHE_DIR"])
