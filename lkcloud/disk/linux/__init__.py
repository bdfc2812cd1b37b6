# SPDX-License-Identifier: Apache-2.0
"""The Linux system on a disk, read from its own bytes: how it is booted, its kernel, initramfs and root file system.

Nothing is mounted or run, no length on the disk is trusted, and memory and time have limits: what is beyond them, or is
in a form that is not read here, is unknown, and why is told.
"""
