# SPDX-License-Identifier: Apache-2.0
"""What doctor printed, taken at its word: commands are run, blocks of Terraform are read."""

import io
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import hcl2

from lkcloud.diagnosis import SET_CLOCK, Diagnosis, Health

Row = tuple[str, str]
_OPTIONS = hcl2.SerializationOptions(strip_string_quotes=True, explicit_blocks=False, with_comments=False)


def rows(found: Iterable[Diagnosis]) -> list[Row]:
    """Return about and health of each."""
    return [(one.about, one.health.value) for one in found]


def differences(healthy: Sequence[Diagnosis], broken: Sequence[Diagnosis]) -> list[Diagnosis]:
    """Return what is not well in BROKEN and is not so in HEALTHY."""
    before = {one.what for one in healthy}
    return [one for one in broken if one.health is not Health.GOOD and one.what not in before]


def run(commands: Iterable[str], set_clock: Callable[[], None]) -> None:
    """Run COMMANDS by the clouds' own programs; SET_CLOCK is told what the one for this machine's clock asks."""
    for command in commands:
        if command == SET_CLOCK:
            set_clock()  # a test has no business with the clock of the machine that it runs on
            continue
        words = shlex.split(command)
        program = Path(sys.executable).with_name(words[0])
        done = subprocess.run(
            [program, *words[1:]],
            env={**os.environ, "AWS_PAGER": ""},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, f"{command}: {done.stderr}"


def blocks(terraform: str) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Yield type, label and arguments of each resource; a heredoc is the text in it."""
    document: dict[str, Any] = hcl2.load(io.StringIO(terraform + "\n"), serialization_options=_OPTIONS)
    for resource in document.get("resource", []):
        for kind, labels in resource.items():
            for label, arguments in labels.items():
                yield kind, label, {key: _text(value) for key, value in arguments.items()}


def _text(value: Any) -> Any:
    if isinstance(value, str) and value.startswith("<<"):
        return value.split("\n", 1)[1].rsplit("\n", 1)[0]
    return value
