# SPDX-License-Identifier: Apache-2.0
"""Small bootable disks in pure Python: no root, no loop device, no other program, the same bytes every time."""

from lkcloud.disk.assemble.gpt import NewPartition, write_gpt_disk
from lkcloud.sandbox.tinydisk.esp import MIB, esp, write_esp_disk
from lkcloud.sandbox.tinydisk.tiny import write_tiny_disk

__all__ = ["MIB", "NewPartition", "esp", "write_esp_disk", "write_gpt_disk", "write_tiny_disk"]
