# SPDX-License-Identifier: Apache-2.0
"""The JSON Schemas in the package: they take what the documents show, and refuse what the reader refuses."""

import json
import re
from copy import deepcopy
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

from lkcloud.errors import UsageError
from lkcloud.release import reading
from lkcloud.release.manifest import Manifest, Published
from tests.release.everything import RELEASE

DOCS = Path(__file__).resolve().parents[2] / "docs"


def validator(name: str) -> Draft202012Validator:
    schema = json.loads((files("lkcloud.release") / name).read_text())
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def problems(document: object) -> list[str]:
    """Return what the schema finds wrong in a release file."""
    return [error.message for error in validator("release.schema.json").iter_errors(document)]


def example(name: str, language: str) -> str:
    """Return the first block of a LANGUAGE in a document."""
    found = re.search(rf"^```{language}\n(.*?)^```$", (DOCS / name).read_text(), re.MULTILINE | re.DOTALL)
    assert found
    return found[1]


def parsed(text: str) -> Any:
    return YAML(typ="safe").load(text)


@pytest.mark.parametrize(
    "text", [example("release-file.md", "yaml"), RELEASE.replace("IMAGES", "  - {id: x86, file: disk.raw}")]
)
def test_a_good_release_file(text: str, tmp_path: Path) -> None:
    assert problems(parsed(text)) == []
    (tmp_path / "release.yaml").write_text(text)
    reading.read(tmp_path / "release.yaml", {})


GOOD: dict[str, Any] = {
    "name": "os",
    "version": 7,
    "images": [{"id": "x86", "file": "disk.raw"}],
    "targets": [{"cloud": "aws", "options": {"region": "eu-central-1", "tag": {"team": "images"}}}],
}


@pytest.mark.parametrize(
    "change",
    [
        {"lkcloud": 2},
        {"images": []},
        {"images": [{"id": "x86"}]},
        {"targets": [{"cloud": "aws", "option": {}}]},
        {"targets": [{"cloud": "aws", "required": 3}]},
        {"targets": [{"cloud": "aws", "test": {"expects": "up"}}]},
        {"targets": [{"cloud": "aws", "test": {"timeout": 0}}]},
        {"defaults": {"tests": False}},
    ],
)
def test_what_the_reader_refuses_the_schema_refuses(change: dict[str, Any], tmp_path: Path) -> None:
    assert problems(GOOD) == []
    bad = {**deepcopy(GOOD), **change}
    assert problems(bad)
    path = tmp_path / "release.yaml"
    path.write_text(json.dumps(bad))  # JSON is YAML
    with pytest.raises(UsageError):
        reading.read(path, {})


@pytest.mark.parametrize(
    ("cloud", "options"),
    [
        ("aws", {"regions": "eu-central-1"}),
        ("aws", {"family": []}),
        ("aws", {"family": "os", "project": "of-another-cloud"}),
        ("gcp", {"public": 1}),
        ("azure", {"replicas": -1}),
    ],
)
def test_options_are_those_of_the_cloud(cloud: str, options: dict[str, Any]) -> None:
    document = {**GOOD, "targets": [{"cloud": cloud, "options": options}]}
    assert problems(document)
    assert problems({**GOOD, "defaults": {"options": {cloud: options}}})


def test_variables_may_stand_for_what_is_no_text() -> None:
    options = {"region": "${REGION}", "public": "${PUBLIC:-false}", "workers": "${WORKERS}", "copy_to": "${OTHER}"}
    target = {"cloud": "aws", "required": "${REQUIRED}", "test": {"timeout": "${SECONDS}"}, "options": options}
    assert problems({**GOOD, "targets": [target]}) == []
    assert problems({**GOOD, "targets": [{**target, "required": "perhaps"}]})


def test_manifests() -> None:
    schema = validator("manifest.schema.json")
    shown = json.loads(example("manifest.md", "json"))
    assert list(schema.iter_errors(shown)) == []
    assert Manifest.model_validate(shown).model_dump(mode="json") == shown
    required = {name for name, field in Published.model_fields.items() if field.is_required()}
    for name in sorted(required):
        bad = deepcopy(shown)
        del bad["images"][0][name]
        assert [error.validator for error in schema.iter_errors(bad)] == ["required"]
    assert list(schema.iter_errors({**shown, "more": 1}))
