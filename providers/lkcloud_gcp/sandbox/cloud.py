# SPDX-License-Identifier: Apache-2.0
"""All that the stand-in holds: the objects of Cloud Storage, and Compute Engine's images and instances."""

from dataclasses import dataclass, field
from pathlib import Path
from threading import RLock

from lkcloud_gcp.sandbox.engine import Engine
from lkcloud_gcp.sandbox.store import Store
from lkcloud_gcp.sandbox.windows import Windows

PROJECT = "lkcloud-sandbox"
PROJECT_NUMBER = "123456789012"


@dataclass(slots=True)
class Cloud:
    """What the services share; LOCK is held while state is read and changed, never while bytes travel."""

    home: Path
    windows: Windows
    store: Store
    engine: Engine
    lock: RLock = field(default_factory=RLock)
