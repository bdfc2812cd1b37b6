# SPDX-License-Identifier: Apache-2.0
"""The names of kernel modules, and the lists that depmod and the kernel's build leave beside them.

Source: kmod's depmod.d(5), modules.builtin and modules.dep under lib/modules/RELEASE.
"""

import re
from collections.abc import Iterator

# The kernel takes 55 characters (MODULE_NAME_LEN in include/linux/module.h).
_FILE = re.compile(r"(?:^|/)lib/modules/(?P<release>[^/]+)/(?:.+/)?(?P<name>[^/]{1,64})\.ko(?:\.(?:xz|gz|zst|lz4))?$")
_NAME = re.compile(r"(?:^|/)(?P<name>[^/]{1,64})\.ko(?:\.(?:xz|gz|zst|lz4))?$")


def normal(name: str) -> str:
    """Return the name of a module with `_` for `-`: kmod takes them for the same."""
    return name.replace("-", "_")


def module_of(path: str) -> tuple[str, str] | None:
    """Return the kernel's release and the module that the file PATH is for; None if it is no module."""
    found = _FILE.search(path)
    return (found["release"], normal(found["name"])) if found else None


def listed(text: str) -> Iterator[str]:
    """Yield the modules of modules.builtin, or of modules.dep: a file a line, and in the latter what it needs."""
    for line in text.splitlines():
        found = _NAME.search(line.partition(":")[0].strip())
        if found:
            yield normal(found["name"])
