# SPDX-License-Identifier: Apache-2.0
"""The JSON Schema of release files, which editors check and complete them by, and that of manifests.

Both are files in the package, `release.schema.json` and `manifest.schema.json`, made of the models by
`docs/generate.py`.
"""

from typing import Any

from pydantic import BaseModel

from lkcloud import registry
from lkcloud.release.manifest import Manifest
from lkcloud.release.model import Release

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def release_schema() -> dict[str, Any]:
    """Return the schema of release files, with the options of the installed clouds."""
    schema = {"$schema": _DIALECT, "title": "lkcloud release", **_schema(Release)}
    definitions = schema["$defs"]
    for definition in definitions.values():
        _allow_variables(definition)
    clouds = registry.clouds()
    for cloud in clouds:
        options = _schema(registry.options_of(registry.load(cloud)))
        definitions |= options.pop("$defs", {})
        definitions[f"{cloud}-options"] = _lenient(options)
    target = definitions["Target"]
    target["properties"]["cloud"]["examples"] = clouds
    target["allOf"] = [
        {
            "if": {"properties": {"cloud": {"const": cloud}}},
            "then": {"properties": {"options": {"$ref": f"#/$defs/{cloud}-options"}}},
        }
        for cloud in clouds
    ]
    definitions["Defaults"]["properties"]["options"]["properties"] = {
        cloud: {"$ref": f"#/$defs/{cloud}-options"} for cloud in clouds
    }
    return schema


def manifest_schema() -> dict[str, Any]:
    """Return the schema of manifests."""
    return {"$schema": _DIALECT, "title": "lkcloud manifest", **_schema(Manifest)}


def _schema(model: type[BaseModel]) -> dict[str, Any]:
    schema: dict[str, Any] = model.model_json_schema(by_alias=True)
    schema.pop("title", None)
    return schema


def _allow_variables(definition: dict[str, Any]) -> None:
    """Let what is no text be given by `${VAR}` too."""
    for key, field in definition.get("properties", {}).items():
        if field.get("type") in ("boolean", "number", "integer"):
            described = {name: field[name] for name in ("description", "default", "title") if name in field}
            variable = {"type": "string", "pattern": r"\$\{"}
            definition["properties"][key] = {**described, "anyOf": [_bare(field, described), variable]}


def _lenient(options: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of options as the file may write them.

    Where a list is meant the file may have a single text or, for KEY=VALUE, a mapping; and any text may hold `${VAR}`
    or `{version}`, so that of a text neither form nor length can be told before.
    """
    for key, field in options.get("properties", {}).items():
        described = {name: field[name] for name in ("description", "default", "title") if name in field}
        if field.get("type") == "array":
            forms: list[dict[str, Any]] = [
                {"type": "array", "items": {"type": "string"}},
                {"type": "string"},
                {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean"]}},
            ]
            options["properties"][key] = {**described, "anyOf": forms}
        else:
            options["properties"][key] = {**described, "anyOf": [_bare(field, described), {"type": "string"}]}
    return options


def _bare(field: dict[str, Any], described: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in field.items() if name not in described}
