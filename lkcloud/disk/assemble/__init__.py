# SPDX-License-Identifier: Apache-2.0
"""Disks put together from what boots, a kernel and an initramfs: no root, no loop device, the same bytes every time."""
