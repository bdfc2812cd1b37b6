# SPDX-License-Identifier: Apache-2.0
"""This machine as a cloud: `lkcloud push local`."""

from lkcloud_qemu.options import LocalOptions
from lkcloud_qemu.provider import Local

__all__ = ["Local", "LocalOptions"]
