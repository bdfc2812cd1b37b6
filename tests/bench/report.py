# SPDX-License-Identifier: Apache-2.0
"""The figures, as a table to read and as JSON."""

import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from contests import LKCLOUD, MIB, Contest, Figures
from goals import Measured, Verdict

_HEAD = (
    "tool",
    "wall s, median [min-max]",
    "CPU s",
    "RSS MiB",
    "a second",
    "at work",
    "sending",
    "sent/data",
    "requests",
    "MiB out",
    "ratio",
)


def table(contest: Contest, results: dict[str, Figures]) -> str:
    """Return the table of one contest.

    Three rates: "a second" is over the wall time of the process, "at work" over the seconds in which the tool says that
    it read, hashed and sent, "sending" over those in which it sent. "ratio" is its wall time to lkcloud's.
    """
    own = results.get(LKCLOUD)
    rows = [_HEAD, *(_row(contest, name, figures, own) for name, figures in results.items() if figures.runs)]
    used = [column for column in range(len(_HEAD)) if any(row[column] for row in rows[1:])]
    widths = {column: max(len(row[column]) for row in rows) for column in used}
    lines = [contest.title + (f" ({contest.amount:,.0f} {contest.unit})" if contest.amount else "")]
    lines += [
        "  " + "  ".join(row[column].ljust(widths[column]) for column in used).rstrip() for row in rows if len(rows) > 1
    ]
    lines += [f"  {name}: skipped, it is not installed" for name, figures in results.items() if figures.skipped]
    lines += [f"  {name}: failed: {figures.failed}" for name, figures in results.items() if figures.failed]
    return "\n".join(lines)


def _row(contest: Contest, name: str, figures: Figures, own: Figures | None) -> tuple[str, ...]:
    walls = figures.walls
    at_work, sending, sent = figures.at_work, figures.sending, figures.sent
    return (
        name,
        f"{figures.wall:.2f} [{min(walls):.2f}-{max(walls):.2f}]",
        f"{figures.cpu:.2f}",
        f"{figures.memory / MIB:.0f}",
        f"{contest.amount / figures.wall:,.0f}" if contest.amount else "",
        f"{contest.amount / at_work:,.0f}" if contest.amount and at_work else "",
        f"{contest.amount / sending:,.0f}" if contest.amount and sending else "",
        f"{sent / contest.data:.3f}" if sent and contest.data else "",
        f"{figures.requests:,.0f}" if figures.requests else "",
        f"{figures.written / MIB:,.1f}" if figures.written else "",
        f"{figures.wall / own.wall:.2f}" if own and own.runs else "",
    )


def verdicts(found: Sequence[Verdict]) -> str:
    """Return the goals, one a line."""
    words = {True: "met", False: "MISSED", None: "not measured"}
    lines = ["Goals"]
    for verdict in found:
        bound = f"{'>=' if verdict.goal.at_least else '<='} {verdict.goal.limit:,g}"
        lines.append(f"  {verdict.goal.what:61}  {bound:>9}  {_figure(verdict):>8}  {words[verdict.met]}")
    return "\n".join(lines)


def _figure(verdict: Verdict) -> str:
    if verdict.figure is None:
        return "-"
    return f"{verdict.figure:,.0f}" if verdict.figure >= 100 else f"{verdict.figure:.3f}"


def machine() -> dict[str, Any]:
    """Return what the figures were measured on."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(memory / 1024**3, 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load_before": round(os.getloadavg()[0], 2),
    }


def _processor() -> str:
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8") as file:
            return next((line.partition(":")[2].strip() for line in file if line.startswith("model name")), "")
    except OSError:
        return platform.processor()


def document(about: dict[str, Any], measured: Measured, found: Sequence[Verdict], rounds: int) -> dict[str, Any]:
    """Return everything, for `--json`."""
    return {
        "machine": about,
        "rounds": rounds,
        "contests": {
            name: {
                "title": contest.title,
                "amount": contest.amount,
                "unit": contest.unit,
                "data_bytes": contest.data,
                "tools": {tool: _figures(figures) for tool, figures in measured.results[name].items()},
            }
            for name, contest in measured.contests.items()
        },
        "goals": [
            {
                "goal": verdict.goal.what,
                "limit": verdict.goal.limit,
                "at_least": verdict.goal.at_least,
                "figure": verdict.figure,
                "met": verdict.met,
            }
            for verdict in found
        ],
    }


def _figures(figures: Figures) -> dict[str, Any]:
    if not figures.runs:
        return {"skipped": figures.skipped, "failed": figures.failed}
    return {
        "wall_seconds": [round(wall, 4) for wall in figures.walls],
        "wall_median": round(figures.wall, 4),
        "cpu_median": round(figures.cpu, 4),
        "memory_bytes": figures.memory,
        "sent_bytes": figures.sent,
        "requests": figures.requests,
        "written_bytes": figures.written,
        "at_work_seconds": figures.at_work,
        "sending_seconds": figures.sending,
    }
