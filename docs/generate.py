# SPDX-License-Identifier: Apache-2.0
"""Write the parts of the documents that come from the code, or check (--check) that they still say what it does.

A generated part stands between `<!-- generated: WHAT -->` and `<!-- end -->`. --check also follows every link between
the documents.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from lkcloud import errors, registry
from lkcloud.capabilities import capabilities
from lkcloud.cli.flags import flag
from lkcloud.registry import variable
from lkcloud.release.schema import manifest_schema, release_schema

ROOT = Path(__file__).resolve().parent.parent
PART = re.compile(r"(<!-- generated: (?P<what>[^>]+?) -->\n).*?(<!-- end -->)", re.DOTALL)
LINK = re.compile(r"\]\((?P<target>[^)#\s]+)(#[^)]*)?\)")


def documents() -> list[Path]:
    """Return the documents, README first."""
    return [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]


def generated(what: str) -> str:
    """Return the text of a generated part: `capabilities`, `help ARGUMENTS`, `options CLOUD` or `exit codes`."""
    kind, _, rest = what.partition(" ")
    if kind == "capabilities":
        return _capabilities()
    if kind == "help":
        return _help(rest)
    if kind == "options":
        return _options(rest)
    if what == "exit codes":
        return _exit_codes()
    raise ValueError(f"nothing generates {what!r}")


def _capabilities() -> str:
    table = {cloud: capabilities(registry.load(cloud)) for cloud in registry.clouds()}
    words = list(dict.fromkeys(word for found in table.values() for word in found))
    rows = [[cloud, *("yes" if word in found else "" for word in words)] for cloud, found in table.items()]
    return _table(["cloud", *words], rows)


def _help(arguments: str) -> str:
    command = [sys.executable, "-m", "lkcloud", *arguments.split(), "--help"]
    environment = {**os.environ, "COLUMNS": "110", "TERMINAL_WIDTH": "110", "NO_COLOR": "1"}
    out = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return "```text\n" + "\n".join(line.rstrip() for line in out.stdout.strip().splitlines()) + "\n```\n"


def _options(cloud: str) -> str:
    rows = []
    for key, field in registry.options_of(registry.load(cloud)).model_fields.items():
        default = field.get_default(call_default_factory=True)
        shown = "" if default in (None, ()) else f"`{str(default).lower() if isinstance(default, bool) else default}`"
        rows.append([f"`{flag(key)}`", shown, f"`{variable(cloud, key)}`", field.description or ""])
    return _table(["option", "default", "environment", "meaning"], rows)


def _exit_codes() -> str:
    found = [cls for cls in vars(errors).values() if isinstance(cls, type) and issubclass(cls, errors.LkcloudError)]
    rows = [
        ["0", "", "done, or it was there already"],
        *(
            [str(cls.exit_code), cls.__name__, (cls.__doc__ or "").splitlines()[0].rstrip(".")]
            for cls in sorted(found, key=lambda cls: cls.exit_code)
        ),
        [str(errors.INTERRUPTED), "", "interrupted by Ctrl-C, SIGTERM or SIGHUP"],
    ]
    return _table(["code", "error", "meaning"], rows)


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def renewed(text: str) -> str:
    """Return TEXT with its generated parts as they should be."""
    return PART.sub(lambda part: f"{part[1]}{generated(part['what'])}{part[3]}", text)


def broken_links(document: Path) -> Iterator[str]:
    """Yield the links of DOCUMENT to files that are not there."""
    for link in LINK.finditer(document.read_text()):
        target = link["target"]
        if "://" not in target and not (document.parent / target).exists():
            yield target


def schemas() -> dict[Path, str]:
    """Return the JSON Schemas of the package, by file."""
    folder = ROOT / "lkcloud" / "release"
    made = {"release.schema.json": release_schema(), "manifest.schema.json": manifest_schema()}
    return {folder / name: json.dumps(schema, indent=2) + "\n" for name, schema in made.items()}


def main() -> int:
    """Write or check all documents; 1 if a check found something."""
    checking = "--check" in sys.argv[1:]
    wrong = 0
    for path, schema in schemas().items():
        if not path.exists() or path.read_text() != schema:
            if checking:
                wrong += 1
                print(f"{path.relative_to(ROOT)}: is not up to date; run: make docs", file=sys.stderr)
            else:
                path.write_text(schema)
    for document in documents():
        text = document.read_text()
        new = renewed(text)
        name = document.relative_to(ROOT)
        if new != text and checking:
            wrong += 1
            print(f"{name}: a generated part is not up to date; run: make docs", file=sys.stderr)
        elif new != text:
            document.write_text(new)
        for target in broken_links(document):
            wrong += 1
            print(f"{name}: links to {target}, which is not there", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
