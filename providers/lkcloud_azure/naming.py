# SPDX-License-Identifier: Apache-2.0
"""How what we make on Azure is named and found again: tags, names, resource ids."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import Enum

NAME = "lkcloud-name"
"""Tag: the name that the image has for lkcloud; in a gallery it is no part of the version's own name."""

DIGEST = "lkcloud-digest"
"""Tag: the content digest, 64 hexadecimal digits. A tag's value has at most 256 characters
(https://learn.microsoft.com/azure/azure-resource-manager/management/tag-resources)."""

VERSION = "lkcloud-version"
"""Tag: what these tags mean."""

FORMAT_VERSION = "1"
"""Value of the version tag. A later lkcloud that gives these tags another meaning counts up."""

IMAGE = "lkcloud-image"
"""Tag of a test machine and of what is made with it: the id of the image that it tests."""

STAGE = "lkcloud-stage"
"""Tag of a managed image that is no more than a step on the way from a disk to a gallery image version."""

CREATED = "lkcloud-created"
"""Tag: when a managed image was made, or something for a test machine, as ISO 8601 has it; Azure does not tell it."""

KEPT = "lkcloud-kept"
"""Tag of a disk that a push has left on purpose: `yes`."""

FAMILY = "lkcloud-family"
"""Tag of a managed image: what it is one of a row of; a version has its image definition."""

WITHDRAWN = "lkcloud-withdrawn"
"""Tag of an image that was taken from its users: when, as ISO 8601 has it."""

IMAGE_NAME = re.compile(r"[A-Za-z0-9](?:[\w.-]{0,78}\w)?", re.ASCII)
"""The name of a managed image, and of an image definition, of which Azure says the same with other words
(https://learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules#microsoftcompute)."""

UPLOADS = "lkcloud-"
"""How the names of all disks and blobs for uploads begin."""

COMPUTE = "Microsoft.Compute"
NETWORK = "Microsoft.Network"
STORAGE = "Microsoft.Storage"

_DIGEST = re.compile(r"[0-9a-f]{64}")
_ID = re.compile(
    r"/subscriptions/(?P<subscription>[^/]+)/resourceGroups/(?P<group>[^/]+)"
    r"/providers/(?P<namespace>[^/]+)/(?P<rest>[^/]+/[^/]+(?:/[^/]+/[^/]+)*)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class ResourceId:
    """A resource's id: KINDS and NAMES alternate in it, such as ("galleries", "images", "versions").

    https://learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules: ids are compared without
    regard to case.
    """

    subscription: str
    group: str
    namespace: str
    kinds: tuple[str, ...]
    names: tuple[str, ...]

    def __str__(self) -> str:
        pairs = "".join(f"/{kind}/{name}" for kind, name in zip(self.kinds, self.names, strict=True))
        return f"/subscriptions/{self.subscription}/resourceGroups/{self.group}/providers/{self.namespace}{pairs}"

    @classmethod
    def parse(cls, text: str) -> "ResourceId | None":
        """Return TEXT as a resource id, None if it is none."""
        match = _ID.fullmatch(text)
        if match is None:
            return None
        words = match["rest"].split("/")
        return cls(match["subscription"], match["group"], match["namespace"], tuple(words[0::2]), tuple(words[1::2]))

    def child(self, kind: str, name: str) -> "ResourceId":
        """Return the id of a resource within this one."""
        return replace(self, kinds=(*self.kinds, kind), names=(*self.names, name))

    @property
    def parent(self) -> "ResourceId":
        """The id of the resource that this one is in."""
        return replace(self, kinds=self.kinds[:-1], names=self.names[:-1])

    def is_of(self, *kinds: str) -> bool:
        """Tell whether it is a resource of Microsoft.Compute of these KINDS."""
        return self.namespace.lower() == COMPUTE.lower() and [kind.lower() for kind in self.kinds] == [
            kind.lower() for kind in kinds
        ]


def tags_of(name: str, digest: str, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the tags of what belongs to the image NAME with the content DIGEST."""
    return {**(extra or {}), NAME: name, DIGEST: digest, VERSION: FORMAT_VERSION}


def tag(tags: Mapping[str, str] | None, key: str) -> str:
    """Return the value of a tag, "" if it is not there; Azure compares the names of tags without regard to case."""
    return next((value for name, value in (tags or {}).items() if name.lower() == key), "")


def digest_in(tags: Mapping[str, str] | None) -> str:
    """Return the content digest that TAGS name, "" if it is none of ours."""
    found = tag(tags, DIGEST)
    return found if _DIGEST.fullmatch(found) else ""


def time_of(text: str) -> datetime | None:
    """Return a time as a tag has it, None if there is none."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def word(value: Enum | str | None) -> str:
    """Return a value that the SDK has as a member of an enumeration, if it knows it."""
    return str(value.value if isinstance(value, Enum) else value or "")


def suggestion(name: str) -> str:
    """Return a name like NAME that Azure takes for an image or an image definition, "" if nothing is left of it."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).lstrip("._-")[:80].rstrip(".-")


def upload_name(name: str, digest: str) -> str:
    """Return the name of the managed disk, or of the page blob without its .vhd, that the bytes of NAME go to.

    It is lower case and has at most 80 characters, as a disk's must; what makes it unique is the digest.
    """
    plain = re.sub(r"[^a-z0-9-]+", "-", name.lower()).strip("-")[:50].strip("-")
    return f"{UPLOADS}{plain or 'disk'}-{digest[:16]}"
