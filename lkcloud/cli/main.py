# SPDX-License-Identifier: Apache-2.0
"""Starts the program: what ends it in the moment that its imports take ends it without a traceback."""

import os
import signal
from types import FrameType
from typing import NoReturn

from lkcloud.errors import INTERRUPTED


def main() -> NoReturn:
    """Run the command line and end the process with its exit code (docs/exit-codes.md)."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup has it
            signal.signal(number, _end)
    from lkcloud.cli import program

    program.run()


def _end(signum: int, frame: FrameType | None) -> NoReturn:
    """End at once: nothing has begun that could be tidied up, or be gone on with."""
    del signum, frame
    os._exit(INTERRUPTED)
