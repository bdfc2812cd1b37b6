# SPDX-License-Identifier: Apache-2.0
"""Texts that speak of flags of `lkcloud push`, in the words of a release file."""

import re

from lkcloud import registry

_PLACES = {
    "name": "name",
    "description": "description",
    "replace": "replace: true",
    "expect": "expect",
    "timeout": "timeout",
    "test": "test",
    "initrd": "initrd",
    "cmdline": "cmdline",
    "boots_by": "boots_by",
}
"""Flags of a push that are no options of a cloud, and what says the same of a target or an image."""

_FLAG = re.compile(r"`[^`]*`|\b(?:lkcloud|aws|az|gcloud|gsutil) [a-z-]+ [^;,()]*|--(?P<flag>[a-z][a-z-]*[a-z])")
"""A flag, or a command, which stays as it is."""


def in_file(text: str, cloud: str = "") -> str:
    """Return TEXT, which is about a target on CLOUD or about an image, with keys of the file for flags of a push."""
    if "--" not in text:
        return text
    options = registry.options_of(registry.load(cloud)).model_fields if cloud else {}

    def put(match: re.Match[str]) -> str:
        flag = match["flag"]
        key = flag and flag.replace("-", "_")
        if key in options:
            return f"`{key}`"
        return f"`{_PLACES[key]}`" if key in _PLACES else match[0]

    return _FLAG.sub(put, text)
