# SPDX-License-Identifier: Apache-2.0
"""demo_table.py METHOD=FILE...: one table of what `lkcloud push --json` has told, a line for each FILE."""

import json
import sys
from pathlib import Path
from typing import Any

from lkcloud.cli.terminal import size

HEAD = ("cloud", "method", "sent of virtual", "seconds", "booted", "image")


def row(method: str, pushed: dict[str, Any]) -> tuple[str, ...]:
    """Return the line of one push; SECONDS are those of the push, and of the boot behind them."""
    boot = pushed["boot"]
    return (
        pushed["cloud"],
        method,
        f"{size(pushed['sent'])} of {size(pushed['size'])}",
        f"{pushed['seconds']:.1f}",
        f"in {boot['seconds']:.1f} s: {boot['line']}" if boot else "not tested",
        pushed["id"],
    )


def table(rows: list[tuple[str, ...]]) -> str:
    """Return ROWS below HEAD, in columns."""
    every = [HEAD, *rows]
    widths = [max(len(line[column]) for line in every) for column in range(len(HEAD))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in every
    )


def main(arguments: list[str]) -> None:
    """Print the table."""
    rows = []
    for argument in arguments:
        method, _, file = argument.partition("=")
        rows.append(row(method, json.loads(Path(file).read_text())))
    print(table(rows))


if __name__ == "__main__":
    main(sys.argv[1:])
