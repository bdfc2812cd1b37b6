# SPDX-License-Identifier: Apache-2.0
"""Runs a command and says what it took: wall time, processor time and memory of the whole process."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_LAUNCH = Path(__file__).with_name("launch.py")


class Failed(Exception):
    """A command did not do what it was run for; the text has the end of what it said."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What one run of a command took; OUTPUT is its standard output."""

    wall: float
    """Seconds from starting the process to its end."""
    cpu: float
    """Seconds of processor time, user and system, of the process and its children."""
    memory: int
    """Bytes: the largest resident set of the process, or of a child of it; 10 MiB at least (see launch.py)."""
    output: str


def run(command: Sequence[str | Path], environment: Mapping[str, str]) -> Taken:
    """Run COMMAND with just ENVIRONMENT; raises Failed if it is not there or its exit code is not 0."""
    with tempfile.NamedTemporaryFile() as result:
        launched = [sys.executable, "-I", "-S", str(_LAUNCH), result.name, *map(str, command)]
        ended = subprocess.run(
            launched, env=dict(environment), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        if ended.returncode != 0:
            said = (ended.stderr.strip() or ended.stdout.strip())[-2000:]
            raise Failed(f"{Path(command[0]).name} ended with {ended.returncode}: {said}")
        return Taken(**json.load(result), output=ended.stdout)
