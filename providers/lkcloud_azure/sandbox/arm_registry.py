# SPDX-License-Identifier: Apache-2.0
"""The routes of all resource types there are, each found in the module that brings it."""

from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pkgutil import iter_modules

from lkcloud_azure.sandbox.arm_call import Route

_PREFIXES = ("arm_", "vm_", "network_")
"""What the names of modules begin with that may have ROUTES."""


@cache
def routes() -> tuple[Route, ...]:
    """Return every route; the first call imports the SDK's models, which takes a while."""
    return tuple(_found())


def _found() -> Iterator[Route]:
    package = import_module(__package__)
    for module in iter_modules(package.__path__):
        if module.name.startswith(_PREFIXES):
            yield from getattr(import_module(f"{__package__}.{module.name}"), "ROUTES", ())
