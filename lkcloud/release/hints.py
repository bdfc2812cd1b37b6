# SPDX-License-Identifier: Apache-2.0
"""Hints that speak of flags of `lkcloud push`, in the words of a release file."""

import re

from lkcloud import registry

_PLACES = {
    "name": "name",
    "description": "description",
    "replace": "replace: true",
    "expect": "expect",
    "timeout": "timeout",
    "test": "test",
}
"""Flags of a push that are no options of a cloud, and what says the same of a target."""

_FLAG = re.compile(r"`[^`]*`|\b(?:lkcloud|aws|az|gcloud|gsutil) [a-z-]+ [^;,()]*|--(?P<flag>[a-z][a-z-]*[a-z])")
"""A flag, or a command, which stays as it is."""


def in_file(hint: str, cloud: str) -> str:
    """Return HINT, which is about a target on CLOUD, with keys of the release file for flags that it has no use for."""
    if "--" not in hint:
        return hint
    options = registry.options_of(registry.load(cloud)).model_fields

    def put(match: re.Match[str]) -> str:
        flag = match["flag"]
        key = flag and flag.replace("-", "_")
        if key in options:
            return f"`{key}`"
        return f"`{_PLACES[key]}`" if key in _PLACES else match[0]

    return _FLAG.sub(put, hint)
