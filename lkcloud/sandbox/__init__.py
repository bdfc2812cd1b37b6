# SPDX-License-Identifier: Apache-2.0
"""Clouds on your own machine: `client` starts, finds and ends them, `qemu` boots what they hold."""
