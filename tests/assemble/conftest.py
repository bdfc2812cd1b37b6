# SPDX-License-Identifier: Apache-2.0
"""The program in a folder of its own."""

from tests.cli.conftest import lkcloud

__all__ = ["lkcloud"]
