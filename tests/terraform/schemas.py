# SPDX-License-Identifier: Apache-2.0
"""Take from packages what Terraform's providers say of what terraform/ has and doctor prints: `schemas.json`.

    python tests/terraform/schemas.py

The registry of providers is reached by Terraform alone, and its providers are programs of hundreds of MB. The packages
cdktn-provider-NAME of PyPI are generated from the schemas of those very providers: for each resource a module of
JavaScript that has each attribute with its type and, in a comment, whether it is required, optional or computed. They
are 45 to 70 MB each; what is used of them is some KB, and that is what is kept. Run this anew when there is another
type, or when it is to be checked against a newer provider: then put that into PACKAGES and into `versions.tf`.
"""

import json
import re
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
TERRAFORM = HERE.parents[1] / "terraform"
PROVIDERS = HERE.parents[1] / "providers"
KEPT = HERE / "schemas.json"

PACKAGES = {"aws": "25.8.1", "azurerm": "18.9.0", "google": "21.1.0"}
"""The version of cdktn-provider-NAME for each provider; it says itself which version of the provider it was made of."""

_USED = re.compile(r'^\s*(resource|data)\s+"([a-z0-9_]+)"', re.MULTILINE)
_NAMED = re.compile(r'"((?:aws|azurerm|google)_[a-z0-9_]+)"')
_CLASS = re.compile(r"^class (\w+) extends cdktn\.(\w+) \{(.*?)^\}", re.MULTILINE | re.DOTALL)
_ATTRIBUTE = re.compile(
    r"^    // (\w+) - computed: (true|false), optional: (true|false), required: (true|false)\n"
    r"(.*?)(?=^    // \w+ - computed|\Z)",
    re.MULTILINE | re.DOTALL,
)
_COMPLEX = re.compile(r'new (\w+)\(this, "\w+"(, true|, false)?')
_GETTER = re.compile(r"return (cdktn\.Fn\.tolist\()?this\.get(\w+)Attribute\(")
_MAP = re.compile(r"new cdktn\.(\w+Map)\(this")
_INTERFACE = re.compile(r"^export interface (\w+) .*?\{(.*?)^\}", re.MULTILINE | re.DOTALL)
_BLOCK = re.compile(r"^    \* (\w+) block$", re.MULTILINE)
_VERSION = re.compile(r"providerVersion: '([0-9.]+)'")
_TYPES: Mapping[str, Any] = {
    "String": "string",
    "Number": "number",
    "Boolean": "bool",
    "List": ["list", "string"],
    "NumberList": ["list", "number"],
    "StringMap": ["map", "string"],
    "NumberMap": ["map", "number"],
    "BooleanMap": ["map", "bool"],
}
"""Terraform's words for what the getters give (cty, https://pkg.go.dev/github.com/zclconf/go-cty/cty/json)."""


def used() -> dict[str, set[tuple[str, str]]]:
    """Return what terraform/ uses, and what doctor prints: by provider the kinds (`resource`, `data`) and types."""
    found: dict[str, set[tuple[str, str]]] = {name: set() for name in PACKAGES}
    for path in TERRAFORM.rglob("*.tf"):
        for kind, type_name in _USED.findall(path.read_text()):
            provider = type_name.partition("_")[0]
            if provider != "terraform":
                found[provider].add((kind, type_name))
    for path in PROVIDERS.glob("*/remedies*.py"):
        for type_name in _NAMED.findall(path.read_text()):
            found[type_name.partition("_")[0]].add(("resource", type_name))
    return found


class Module:
    """One resource, data source or provider as the package has it: JavaScript, and its declarations."""

    def __init__(self, script: str, declarations: str) -> None:
        self._classes = {name: (base, body) for name, base, body in _CLASS.findall(script)}
        self._blocks = {name: set(_BLOCK.findall(body)) for name, body in _INTERFACE.findall(declarations)}
        [self._root] = [name for name, (_, body) in self._classes.items() if "static tfResourceType" in body]
        [self.version] = set(_VERSION.findall(script))

    def schema(self) -> dict[str, Any]:
        """Return attributes and blocks, as `schemas.json` has them."""
        return self._schema(self._root, self._blocks.get(f"{self._root}Config", set()))

    def _schema(self, class_name: str, blocks: set[str]) -> dict[str, Any]:
        found: dict[str, Any] = {"attributes": {}, "blocks": {}}
        for name, computed, optional, required, body in _ATTRIBUTE.findall(self._classes[class_name][1]):
            flags = "".join(flag for flag, on in (("r", required), ("o", optional), ("c", computed)) if on == "true")
            inner = _COMPLEX.search(body.partition("\n    get ")[0])
            if inner is None:
                found["attributes"][name] = [self._type(body), flags]
                continue
            kind, element = self._element(inner[1], is_set=inner[2] == ", true")
            nested = self._schema(f"{element}OutputReference", self._blocks.get(element, set()))
            if name in blocks:
                found["blocks"][name] = {"nesting": kind, "required": "r" in flags, **nested}
            else:
                found["attributes"][name] = [_collection(kind, _object(nested)), flags]
        return found

    def _element(self, class_name: str, *, is_set: bool) -> tuple[str, str]:
        """Return nesting and the name of what is nested; `one` is a list that has one element at most."""
        base = self._classes[class_name][0]
        if base == "ComplexObject":
            element = class_name.removesuffix("OutputReference")
            return ("single" if element.endswith("Timeouts") else "one"), element
        return ("map" if base.endswith("Map") else "set" if is_set else "list"), class_name.removesuffix(
            "Map" if base.endswith("Map") else "List"
        )

    @staticmethod
    def _type(body: str) -> Any:
        if simple := _MAP.search(body):
            return _TYPES[simple[1]]
        getter = _GETTER.search(body)
        if getter is None:
            return "dynamic"
        found = _TYPES[getter[2]]
        return ["set", found[1]] if getter[1] else found


def _object(nested: Mapping[str, Any]) -> list[Any]:
    return ["object", {name: one[0] for name, one in sorted(nested["attributes"].items())}]


def _collection(kind: str, element: Any) -> Any:
    return element if kind == "single" else [{"one": "list"}.get(kind, kind), element]


def modules(archive: tarfile.TarFile, wanted: set[tuple[str, str]], provider: str) -> Iterator[tuple[str, str, Module]]:
    """Yield kind, type and module of what is WANTED, and of the provider itself."""
    files = {member.name: member for member in archive.getmembers()}

    def read(folder: str, ending: str) -> str:
        file = archive.extractfile(files[f"package/lib/{folder}/index.{ending}"])
        assert file is not None
        # The last line is the source once more, for debuggers.
        return file.read().decode().partition("\n//# sourceMappingURL")[0]

    yield "provider", provider, Module(read("provider", "js"), read("provider", "d.ts"))
    for kind, type_name in sorted(wanted):
        word = type_name.removeprefix(f"{provider}_").replace("_", "-")
        folder = f"data-{provider}-{word}" if kind == "data" else word
        # What a folder would not be called otherwise, such as `index`, has the provider's name in front.
        yield kind, type_name, Module(read(folder, "js"), read(folder, "d.ts"))


def fetched(provider: str, cache: Path) -> Path:
    """Return the package of PROVIDER, which pip puts into CACHE."""
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--disable-pip-version-check", "-d", cache]
    subprocess.run([*command, f"cdktn-provider-{provider}=={PACKAGES[provider]}"], check=True)
    [wheel] = cache.glob(f"cdktn_provider_{provider}-{PACKAGES[provider]}-*.whl")
    return wheel


def main() -> None:
    """Write `schemas.json` anew."""
    cache = HERE.parents[1] / ".cache" / "providers"
    cache.mkdir(parents=True, exist_ok=True)
    kept: dict[str, Any] = {}
    for provider, wanted in used().items():
        with zipfile.ZipFile(fetched(provider, cache)) as wheel:
            [inner] = [name for name in wheel.namelist() if name.endswith(".jsii.tgz")]
            packed = wheel.read(inner)
        with tarfile.open(fileobj=BytesIO(packed)) as archive:
            described: dict[str, Any] = {"provider": {}, "resource": {}, "data": {}}
            for kind, type_name, module in modules(archive, wanted, provider):
                described[kind][type_name] = module.schema()
                version = module.version
        kept[provider] = {
            "version": version,
            "package": f"cdktn-provider-{provider} {PACKAGES[provider]}",
            "provider": sorted(set(described["provider"][provider]["attributes"]) - {"alias"}),
            "resource": described["resource"],
            "data": described["data"],
        }
    text = json.dumps(kept, indent=1, sort_keys=True)
    # One attribute a line.
    text = re.sub(r"\[\s+((?:[^\[\]{}]|\[[^\[\]{}]*\])*?)\s+\]", lambda part: f"[{' '.join(part[1].split())}]", text)
    KEPT.write_text(text + "\n")


if __name__ == "__main__":
    main()
