# SPDX-License-Identifier: Apache-2.0
"""The files of terraform/, read by python-hcl2: a reader that is not Terraform."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import hcl2

from tests.terraform.schemas import KEPT, TERRAFORM

_OPTIONS = hcl2.SerializationOptions(strip_string_quotes=True, explicit_blocks=False, with_comments=False)

META = {"count", "for_each", "provider", "depends_on"}
"""Arguments that every resource has."""
META_BLOCKS = {"lifecycle", "dynamic"}


def files() -> list[Path]:
    """Return every file of Terraform's language in terraform/."""
    return sorted(TERRAFORM.rglob("*.tf"))


def modules() -> list[Path]:
    """Return every folder that is a configuration: modules and examples."""
    return sorted({path.parent for path in files()})


@cache
def read(path: Path) -> Mapping[str, list[Mapping[str, Any]]]:
    """Return the blocks of a file, by kind."""
    with path.open() as file:
        found: Mapping[str, list[Mapping[str, Any]]] = hcl2.load(file, serialization_options=_OPTIONS)
    return found


def named(folder: Path, kind: str) -> dict[str, Mapping[str, Any]]:
    """Return the blocks of a kind with one label (`variable`, `output`) in a folder."""
    return {
        name: body
        for path in sorted(folder.glob("*.tf"))
        for block in read(path).get(kind, [])
        for name, body in block.items()
    }


@dataclass(frozen=True, slots=True)
class Resource:
    """A resource or data source: KIND is `resource` or `data`."""

    file: Path
    kind: str
    type: str
    name: str
    body: Mapping[str, Any]

    def __str__(self) -> str:
        return f"{self.file.relative_to(TERRAFORM)}: {self.kind} {self.type}.{self.name}"


def resources(path: Path) -> Iterator[Resource]:
    """Yield the resources and data sources of a file."""
    blocks = read(path)
    for kind in ("resource", "data"):
        for block in blocks.get(kind, []):
            for type_name, named_bodies in block.items():
                for name, body in named_bodies.items():
                    yield Resource(path, kind, type_name, name, body)


@cache
def schemas() -> Mapping[str, Any]:
    """Return what the providers say of their resources."""
    found: Mapping[str, Any] = json.loads(KEPT.read_text())
    return found
