# SPDX-License-Identifier: Apache-2.0
"""The SDK of Compute Engine without what nobody asks of it.

`google.cloud.compute_v1` imports the clients of its hundred services when it is imported itself, which takes longer
than all else that a command does. Python 3.15 imports them when they are used (PEP 810: the package's
`__lazy_modules__`); here older Pythons do too.
"""

import re
import sys
from importlib import import_module
from importlib.machinery import ModuleSpec
from importlib.util import find_spec, module_from_spec
from types import ModuleType
from typing import Any

PACKAGE = "google.cloud.compute_v1"

_SERVICES = (
    "global_operations",
    "images",
    "instance_templates",
    "instances",
    "projects",
    "zone_operations",
    "zones",
)
"""Whose clients lkcloud uses."""

MODULES = (f"{PACKAGE}.types", *(f"{PACKAGE}.services.{service}" for service in _SERVICES))
"""All that lkcloud uses of it, for `Provider.load`."""

_CAPITAL = re.compile(r"(?<!^)(?=[A-Z])")


def prepare() -> None:
    """Let `google.cloud.compute_v1`, if nobody has imported it yet, import each of its modules when it is used."""
    if PACKAGE in sys.modules or (spec := find_spec(PACKAGE)) is None:
        return
    package = module_from_spec(spec)
    vars(package)["__getattr__"] = _Names(package, spec)
    sys.modules[PACKAGE] = package
    # As after any import of a module: its name is one of its package's.
    vars(import_module("google.cloud"))["compute_v1"] = package


class _Names:
    """Finds a name of the package (PEP 562), if need be as the package itself does."""

    def __init__(self, package: ModuleType, spec: ModuleSpec) -> None:
        self._package, self._spec = package, spec

    def __call__(self, name: str) -> Any:
        if name.islower() and not name.startswith("__") and find_spec(f"{PACKAGE}.{name}"):
            return import_module(f"{PACKAGE}.{name}")
        if name.endswith("Client"):
            service = _CAPITAL.sub("_", name.removesuffix("Client")).lower()
            if service in _SERVICES:
                return getattr(import_module(f"{PACKAGE}.services.{service}"), name)
        elif name[:1].isupper():
            types = import_module(f"{PACKAGE}.types")
            if hasattr(types, name):
                return getattr(types, name)
        elif name not in ("__all__", "__version__"):
            raise AttributeError(f"module {PACKAGE!r} has no attribute {name!r}")
        vars(self._package).pop("__getattr__", None)  # from here on it has all its names
        assert self._spec.loader is not None
        self._spec.loader.exec_module(self._package)
        return getattr(self._package, name)
