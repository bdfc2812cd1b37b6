# SPDX-License-Identifier: Apache-2.0
"""The sandbox of this machine: a folder that knows when it was last used."""

import os
import time
from pathlib import Path

from lkcloud import pipeline
from lkcloud.disk import Disk
from lkcloud.provider import Run
from lkcloud_qemu import Local, LocalOptions
from lkcloud_qemu.sandbox import LocalStandIn

AN_HOUR = 3600.0


def test_it_is_idle_since_the_last_change_and_empty_after_a_reset(tmp_path: Path, disk: Disk, run: Run) -> None:
    serving = LocalStandIn(tmp_path)
    serving.start()
    local = Local(LocalOptions(folder=Path(serving.environment()["LKCLOUD_LOCAL_FOLDER"])))
    pipeline.push(local, disk, name="my-os", run=run)
    assert serving.idle() < AN_HOUR / 2
    for path in (tmp_path / "images", *tmp_path.rglob("images/**/*")):
        os.utime(path, times=(time.time() - AN_HOUR, time.time() - AN_HOUR))
    assert serving.idle() >= AN_HOUR
    (tmp_path / "images/my-os/image.json").touch()
    assert serving.idle() < AN_HOUR / 2
    serving.reset()
    assert list(local.images()) == []
    serving.stop()
