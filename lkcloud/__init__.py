# SPDX-License-Identifier: Apache-2.0
"""From a raw disk image to a tested image on a cloud: what `lkcloud` does on the command line, for Python.

    import lkcloud

    with lkcloud.open_disk("image.raw") as disk:
        pushed = lkcloud.push(disk, "aws", name="my-os-1", region="eu-central-1")
        booted = lkcloud.boot_test(pushed.image, "aws", region="eu-central-1", expect=["login:"])
    print(pushed.image.id, booted.line)

Everything raises `lkcloud.errors.LkcloudError`, which has a `message`, a `hint` and an `exit_code`.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lkcloud.api import (
        boot_test,
        cloud,
        convert,
        delete,
        deprecate,
        due,
        find,
        images,
        leftovers,
        prune,
        publish,
        push,
        remove,
        sweep,
        too_many,
    )
    from lkcloud.boot import Boot
    from lkcloud.disk import Disk, open_disk
    from lkcloud.disk.inspect import DiskFacts, inspect
    from lkcloud.errors import LkcloudError
    from lkcloud.life.choice import Policy, Selection
    from lkcloud.pipeline import Pushed
    from lkcloud.provider import Deprecation, Image, Provider

__all__ = [
    "Boot",
    "Deprecation",
    "Disk",
    "DiskFacts",
    "Image",
    "LkcloudError",
    "Policy",
    "Provider",
    "Pushed",
    "Selection",
    "boot_test",
    "cloud",
    "convert",
    "delete",
    "deprecate",
    "due",
    "find",
    "images",
    "inspect",
    "leftovers",
    "open_disk",
    "prune",
    "publish",
    "push",
    "remove",
    "sweep",
    "too_many",
]

_HOMES = {
    "lkcloud.api": (
        *("boot_test", "cloud", "convert", "delete", "deprecate", "due", "find", "images", "leftovers", "prune"),
        *("publish", "push", "remove", "sweep", "too_many"),
    ),
    "lkcloud.boot": ("Boot",),
    "lkcloud.disk": ("Disk", "open_disk"),
    "lkcloud.disk.inspect": ("DiskFacts", "inspect"),
    "lkcloud.errors": ("LkcloudError",),
    "lkcloud.life.choice": ("Policy", "Selection"),
    "lkcloud.pipeline": ("Pushed",),
    "lkcloud.provider": ("Deprecation", "Image", "Provider"),
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that `lkcloud --help` pays for none of them."""
    import importlib

    for home, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(home), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
