# SPDX-License-Identifier: Apache-2.0
"""What a disk of a release is made of: one file, or a kernel or an ISO with what is said of it."""

from dataclasses import dataclass

from lkcloud.disk import Disk, open_disk
from lkcloud.disk.assemble.order import Wanted
from lkcloud.disk.objects import is_url
from lkcloud.disk.open import named_file
from lkcloud.reporting import Reporter, Silent

_SILENT = Silent()


@dataclass(frozen=True, slots=True)
class ImageFile:
    """The image at PATH, and what of a kernel or an ISO is WANTED. It can be sent to another process."""

    path: str
    """Absolute, or a URL."""
    wanted: Wanted

    def open(self, reporter: Reporter = _SILENT) -> Disk:
        """Open it as a disk. Raises what `open_disk` raises."""
        return open_disk(self.path, wanted=self.wanted, reporter=reporter)

    def missing(self) -> str | None:
        """Return the first file it needs that this machine does not have; None if they are all here."""
        files = () if is_url(self.path) else (named_file(self.path),)
        return next((str(file) for file in (*files, *(self.wanted.initrds or ())) if not file.exists()), None)
