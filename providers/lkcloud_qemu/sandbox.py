# SPDX-License-Identifier: Apache-2.0
"""The sandbox of this machine: another folder, which is removed with it. There is nobody to serve anything."""

import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

from lkcloud.registry import variable


class LocalStandIn:
    """A folder of images below HOME."""

    cloud: ClassVar[str] = "local"

    def __init__(self, home: Path) -> None:
        self._folder = home / "images"

    def start(self) -> None:
        """Make the folder."""
        self._folder.mkdir()

    def environment(self) -> Mapping[str, str]:
        """Return the variable of the option that says which folder it is."""
        return {variable(self.cloud, "folder"): str(self._folder)}

    def idle(self) -> float:
        """Return the seconds since the last change of a file; a machine writes its console, and an upload its disk."""
        changed = self._folder.stat().st_mtime
        for path in self._folder.rglob("*"):
            with suppress(FileNotFoundError):
                changed = max(changed, path.stat().st_mtime)
        return max(0.0, time.time() - changed)

    def reset(self) -> None:
        """Remove all images."""
        shutil.rmtree(self._folder)
        self._folder.mkdir()

    def stop(self) -> None:
        """Leave the folder to who called, and who removes it."""
