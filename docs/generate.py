# SPDX-License-Identifier: Apache-2.0
"""Write the parts of the documents that come from the code, or check (--check) that they still say what it does.

A generated part stands between `<!-- generated: WHAT -->` and `<!-- end -->`. --check also follows every link between
the documents.
"""

import importlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import hcl2

from lkcloud import errors, permissions, registry
from lkcloud.capabilities import capabilities
from lkcloud.cli.flags import flag
from lkcloud.permissions import Permission
from lkcloud.registry import variable
from lkcloud.release.schema import manifest_schema, release_schema
from lkcloud_aws import permissions as aws_permissions
from lkcloud_aws import policy
from lkcloud_azure import role as azure_role
from lkcloud_azure import vm_sizes

ROOT = Path(__file__).resolve().parent.parent
PART = re.compile(r"(<!-- generated: (?P<what>[^>]+?) -->\n).*?(<!-- end -->)", re.DOTALL)
_VERB = re.compile(r"(?P<start>.+?)(?P<end>(:|\.|/)[^.:/]+(/action)?)")
"""An action and its last word, in the form of any cloud."""
LINK = re.compile(r"\]\((?P<target>[^)#\s]+)(#[^)]*)?\)")


def documents() -> list[Path]:
    """Return the documents, README first."""
    modules = (ROOT / "terraform").glob("*/README.md")
    return [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md")), *sorted(modules)]


def generated(what: str) -> str:
    """Return the text of a generated part.

    WHAT is `capabilities`, `help ARGUMENTS`, `options CLOUD`, `permissions CLOUD`, `policy USES`, `import role`,
    `trust of the import role`, `azure role`, `terraform MODULE` or `exit codes`.
    """
    wholes: Mapping[str, Callable[[], str]] = {
        "capabilities": _capabilities,
        "exit codes": _exit_codes,
        "import role": lambda: _json(policy.document(aws_permissions.IMPORT_ROLE, ["import"])),
        "trust of the import role": lambda: _json(policy.TRUST),
        "azure role": lambda: _json(azure_role.shown()),
    }
    kinds: Mapping[str, Callable[[str], str]] = {
        "help": _help,
        "options": _options,
        "permissions": _permissions,
        "policy": lambda uses: _json(policy.document(aws_permissions.PERMISSIONS, uses.split())),
        "terraform": lambda module: _module(ROOT / "terraform" / module),
    }
    kind, _, rest = what.partition(" ")
    if what in wholes:
        return wholes[what]()
    if kind in kinds:
        return kinds[kind](rest)
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


def _permissions(cloud: str) -> str:
    """Return a table of what each use needs: what begins alike is said once, and what helps without being needed."""
    listed = importlib.import_module(f"lkcloud_{cloud}.permissions")
    rows = [
        [f"`{use}`", meaning, _together(needed), _together(helping)]
        for use, (meaning, needed, helping) in zip(
            listed.USES, permissions.rows(listed.PERMISSIONS, listed.USES), strict=True
        )
    ]
    return _table(["use", "for", "needed", "used if allowed"], rows)


def _together(actions: Iterable[str]) -> str:
    """Return actions in one line: of those that begin alike the first in full, of the others their ends."""
    said: list[str] = []
    before = ""
    for action in actions:
        parts = _VERB.fullmatch(action)
        assert parts is not None
        said.append(f"`{parts['end']}`" if parts["start"] == before else f"`{action}`")
        before = parts["start"]
    return ", ".join(said)


def _module(folder: Path) -> str:
    """Return what a Terraform module takes and gives."""
    taken = [
        [f"`{name}`", _shown(one), _words(one["description"])]
        for name, one in _blocks(folder / "variables.tf", "variable").items()
    ]
    given = [
        [f"`{name}`", _words(one["description"])] for name, one in _blocks(folder / "outputs.tf", "output").items()
    ]
    variables, outputs = _table(["variable", "default", "meaning"], taken), _table(["output", "meaning"], given)
    return f"{variables}\n{outputs}"


def _blocks(path: Path, kind: str) -> Mapping[str, Mapping[str, Any]]:
    options = hcl2.SerializationOptions(strip_string_quotes=True, explicit_blocks=False, with_comments=False)
    with path.open() as file:
        found = hcl2.load(file, serialization_options=options)
    return {name: one for block in found[kind] for name, one in block.items()}


def _shown(variable: Mapping[str, Any]) -> str:
    if "default" not in variable:
        return "needed"
    default = variable["default"]
    return f"`{default if isinstance(default, str) else json.dumps(default)}`"


def _words(text: str) -> str:
    """Return a description as one line; one of several lines stands between two marks."""
    lines = text.splitlines()
    return " ".join(line.strip() for line in (lines[1:-1] if text.startswith("<<") else lines))


def _json(document: object) -> str:
    return f"```json\n{json.dumps(document, indent=2)}\n```\n"


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


def files() -> dict[Path, str]:
    """Return the files that are generated as a whole: JSON Schemas of the package, permissions for Terraform."""
    folder = ROOT / "lkcloud" / "release"
    made: dict[Path, Any] = {
        folder / "release.schema.json": release_schema(),
        folder / "manifest.schema.json": manifest_schema(),
    }
    texts = {path: json.dumps(document, indent=2) + "\n" for path, document in made.items()}
    return texts | {
        ROOT / "terraform" / cloud / "permissions.json": _for_terraform(cloud)
        for cloud in registry.clouds()
        if (ROOT / "terraform" / cloud).is_dir()
    }


def _for_terraform(cloud: str) -> str:
    """Return the permissions of a cloud for its Terraform module, one a line."""
    listed = importlib.import_module(f"lkcloud_{cloud}.permissions")
    document: dict[str, Any] = {"uses": dict(listed.USES), "permissions": _listed(listed.PERMISSIONS)}
    if cloud == "aws":
        role = permissions.needed(listed.IMPORT_ROLE, listed.IMPORT_USES)
        document |= {"import_role": _listed(role), "instance_types": list(listed.SMALL)}
    if cloud == "azure":
        document["vm_sizes"] = [size.name for size in vm_sizes.SIZES]
    lines = []
    for key, value in document.items():
        if isinstance(value, Mapping):
            inner = [f"{json.dumps(name)}: {json.dumps(one)}" for name, one in value.items()]
            lines.append(f"  {json.dumps(key)}: {{\n    " + ",\n    ".join(inner) + "\n  }")
        else:
            lines.append(f"  {json.dumps(key)}: [\n    " + ",\n    ".join(map(json.dumps, value)) + "\n  ]")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _listed(wanted: Iterable[Permission]) -> list[Mapping[str, Any]]:
    return [
        {"action": one.action, "on": one.on, "condition": one.condition, "uses": one.uses, "helps": one.helps}
        for one in wanted
    ]


def main() -> int:
    """Write or check all documents; 1 if a check found something."""
    checking = "--check" in sys.argv[1:]
    wrong = 0
    for path, whole in files().items():
        if not path.exists() or path.read_text() != whole:
            if checking:
                wrong += 1
                print(f"{path.relative_to(ROOT)}: is not up to date; run: make docs", file=sys.stderr)
            else:
                path.write_text(whole)
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
