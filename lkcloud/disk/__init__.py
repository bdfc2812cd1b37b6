# SPDX-License-Identifier: Apache-2.0
"""What comes in: any image file or block device as a `Disk`."""

from lkcloud.disk.content import BLOCK, Content
from lkcloud.disk.disk import Disk
from lkcloud.disk.extent import Extent
from lkcloud.disk.open import open_disk

__all__ = ["BLOCK", "Content", "Disk", "Extent", "open_disk"]
