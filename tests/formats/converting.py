# SPDX-License-Identifier: Apache-2.0
"""Converting, and looking at what came of it."""

from pathlib import Path

from lkcloud.disk import open_disk
from lkcloud.formats.convert import Converted, convert


def write(raw: Path, output: Path, form: str = "raw", *, force: bool = False) -> Converted:
    with open_disk(raw) as disk:
        return convert(disk, output, format=form, force=force)


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())
