# SPDX-License-Identifier: Apache-2.0
"""Lets the tests import the modules of the benchmark, which is a program in this folder and no package."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
