# SPDX-License-Identifier: Apache-2.0
"""launch.py RESULT COMMAND...: runs COMMAND, writes {"wall", "cpu", "memory"} to RESULT, and ends as COMMAND did.

A process of its own, because it is small: the largest resident set that the kernel keeps of a process (getrusage(2))
is never below that of the process it was forked from.
"""

import json
import os
import sys
import time


def main(result: str, command: list[str]) -> int:
    """Run COMMAND and return its exit code."""
    began = time.perf_counter()
    process = os.posix_spawnp(command[0], command, os.environ)
    _, status, usage = os.wait4(process, 0)
    wall = time.perf_counter() - began
    with open(result, "w", encoding="ascii") as file:  # noqa: PTH123 - pathlib would double the size of the process
        json.dump({"wall": wall, "cpu": usage.ru_utime + usage.ru_stime, "memory": usage.ru_maxrss * 1024}, file)
    return os.waitstatus_to_exitcode(status) & 0xFF


sys.exit(main(sys.argv[1], sys.argv[2:]))
