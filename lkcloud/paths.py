# SPDX-License-Identifier: Apache-2.0
"""Where lkcloud keeps its own files: the platform's state and cache folders, or what the environment names."""

import os
from pathlib import Path

import platformdirs


def state_dir() -> Path:
    """Return the folder of the journal and the sandbox (LKCLOUD_STATE_DIR), made if it was not there."""
    return _folder("LKCLOUD_STATE_DIR", platformdirs.user_state_dir("lkcloud"))


def cache_dir() -> Path:
    """Return the folder of digests and unpacked images (LKCLOUD_CACHE_DIR), made if it was not there."""
    return _folder("LKCLOUD_CACHE_DIR", platformdirs.user_cache_dir("lkcloud"))


def _folder(variable: str, default: str) -> Path:
    # The sandbox changes to another folder, and what others are told of these must hold there too.
    folder = Path(os.environ.get(variable) or default).absolute()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder
