# SPDX-License-Identifier: Apache-2.0
"""What is in terraform/, without Terraform: parsed, described, and held against what the providers say."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.terraform import hcl
from tests.terraform.schemas import PACKAGES, TERRAFORM, used

MODULES = ["aws", "azure", "gcp", "images"]


def test_every_file_is_read() -> None:
    assert [path.name for path in sorted(TERRAFORM.iterdir()) if path.is_dir()] == MODULES
    assert len(hcl.files()) > 25
    for path in hcl.files():
        assert hcl.read(path), path


@pytest.mark.parametrize("module", MODULES)
def test_a_module_is_described(module: str) -> None:
    folder = TERRAFORM / module
    for name, variable in hcl.named(folder, "variable").items():
        assert variable.get("description"), name
        assert "type" in variable, name
    for name, output in hcl.named(folder, "output").items():
        assert output.get("description"), name
    assert "<!-- generated: terraform" in (folder / "README.md").read_text()
    assert list(folder.glob("examples/*/main.tf"))


@pytest.mark.parametrize("folder", hcl.modules(), ids=lambda one: str(one.relative_to(TERRAFORM)))
def test_versions_are_pinned_to_what_was_checked(folder: Path) -> None:
    [terraform] = [block for path in folder.glob("*.tf") for block in hcl.read(path).get("terraform", [])]
    assert terraform["required_version"] == ">= 1.9"
    schemas = hcl.schemas()
    wanted = {resource.type.partition("_")[0] for path in folder.glob("*.tf") for resource in hcl.resources(path)}
    pinned = {name: one["version"] for block in terraform.get("required_providers", []) for name, one in block.items()}
    assert wanted <= pinned.keys()
    for name, version in pinned.items():
        major, minor, _ = schemas[name]["version"].split(".")
        assert version == f"~> {major}.{minor}"


def test_the_schemas_are_of_all_that_is_used() -> None:
    for provider, schema in hcl.schemas().items():
        assert schema["package"] == f"cdktn-provider-{provider} {PACKAGES[provider]}"
        known = {(kind, name) for kind in ("resource", "data") for name in schema[kind]}
        assert known == used()[provider]


@pytest.mark.parametrize("file", hcl.files(), ids=lambda one: str(one.relative_to(TERRAFORM)))
def test_arguments_are_those_of_the_provider(file: Path) -> None:
    for resource in hcl.resources(file):
        provider = resource.type.partition("_")[0]
        assert list(wrong(resource.body, hcl.schemas()[provider][resource.kind][resource.type])) == [], resource


def wrong(body: Mapping[str, Any], schema: Mapping[str, Any], *, top: bool = True) -> Iterator[str]:
    """Yield what a block says that the provider does not know, or computes itself, and what it leaves out."""
    dynamic = {name: content for one in body.get("dynamic", []) for name, content in one.items()} if top else {}
    blocks = {name: body[name] for name in schema["blocks"] if name in body}
    for name in body.keys() - schema["attributes"].keys() - blocks.keys():
        if not (top and name in hcl.META | hcl.META_BLOCKS):
            yield f"there is no {name}"
    for name, (_, flags) in schema["attributes"].items():
        if name in body and flags == "c":
            yield f"{name} cannot be set"
        if flags == "r" and name not in body:
            yield f"{name} is missing"
    for name, one in schema["blocks"].items():
        if one["required"] and name not in blocks | dynamic:
            yield f"the block {name} is missing"
        if one["nesting"] in ("one", "single") and len(blocks.get(name, [])) > 1:
            yield f"there is more than one {name}"
        for inner in blocks.get(name, []):
            yield from (f"{name}: {said}" for said in wrong(inner, one, top=False))
    for name, one in dynamic.items():
        if name not in schema["blocks"]:
            yield f"there is no block {name}"
            continue
        [content] = one["content"]
        yield from (f"{name}: {said}" for said in wrong(content, schema["blocks"][name], top=False))


def test_what_the_provider_does_not_know_is_found() -> None:
    """The check itself can fail."""
    schema = hcl.schemas()["aws"]["resource"]["aws_s3_bucket_lifecycle_configuration"]
    rule = {"id": "x", "status": "Enabled", "expires": 1, "expiration": [{"day": 1}]}
    assert sorted(wrong({"rule": [rule], "arn": "x", "id": "x"}, schema)) == [
        "bucket is missing",
        "id cannot be set",
        "rule: expiration: there is no day",
        "rule: there is no expires",
        "there is no arn",
    ]


def test_what_checkov_is_to_pass_over_has_a_reason() -> None:
    for path in hcl.files():
        for skip in re.findall(r"checkov:skip.*", path.read_text()):
            assert re.fullmatch(r"checkov:skip=CKV2?_[A-Z]+_\d+:[A-Z].{10,}\.", skip), f"{path}: {skip}"
