# SPDX-License-Identifier: Apache-2.0
"""How what we make on AWS is named and found again: tags, idempotency tokens, object keys."""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import TypedDict
from urllib.parse import quote, unquote

NAME = "lkcloud:name"
DIGEST = "lkcloud:digest"
VERSION = "lkcloud:version"
REPLACEMENT = "lkcloud:replacement"
"""Of an image that is deprecated: the id of the one to use instead."""
OBSOLETE = "lkcloud:obsolete-on"
DELETED = "lkcloud:deleted-on"
"""Dates of an image for which AWS has no place of its own."""
WITHDRAWN = "lkcloud:withdrawn"
"""Of an image that was taken from its users: when, in ISO 8601."""
FAMILY = "lkcloud:family"
"""What an image is one of a row of: AWS knows no families."""
RESERVED = ("aws:", "lkcloud:")
"""How the keys of tags that the user cannot set begin."""

FORMAT_VERSION = "1"
"""Value of the version tag: what these tags mean. A later lkcloud that gives them another meaning counts up."""

_DIGEST = re.compile("[0-9a-f]{64}")


def tags_of(name: str, digest: str, extra: Iterable[tuple[str, str]] = ()) -> dict[str, str]:
    """Return the tags of a resource that belongs to the image NAME with the content DIGEST; EXTRA can set `Name`."""
    return {"Name": name, **dict(extra), NAME: name, DIGEST: digest, VERSION: FORMAT_VERSION}


def time_of(text: str) -> datetime | None:
    """Return the time in the value of a tag, None if there is none."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


class Tag(TypedDict, total=False):
    """A tag as the SDK takes and gives it."""

    Key: str
    Value: str


def pairs(tags: Iterable[Mapping[str, object]] | None) -> dict[str, str]:
    """Return the tags of an answer of EC2 by key."""
    return {str(tag["Key"]): str(tag["Value"]) for tag in tags or ()}


def listed(tags: Mapping[str, str]) -> list[Tag]:
    """Return TAGS as the SDK takes them."""
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def token(*parameters: object) -> str:
    """Return an idempotency token, 64 ASCII characters, that is another one whenever any of PARAMETERS is.

    EBS refuses a token that comes again with other parameters (ConflictException), so all of them belong here. The
    documentation of StartSnapshot allows 64 characters, the API model 255.
    """
    return hashlib.sha256(json.dumps(parameters, sort_keys=True, default=str).encode()).hexdigest()


def object_folder(prefix: str, name: str) -> str:
    """Return what the keys of all objects of the image NAME begin with.

    Characters that S3 advises to avoid in keys stand as ! and two digits; no name of an image has a ! itself.
    """
    return f"{prefix}{quote(name, safe='').replace('%', '!')}/"


def object_key(prefix: str, name: str, digest: str, suffix: str) -> str:
    """Return the key of the object that holds the disk with this DIGEST for the image NAME, and for nothing else."""
    return f"{object_folder(prefix, name)}{digest}.{suffix}"


def parse_key(prefix: str, key: str) -> tuple[str, str] | None:
    """Return the image name and the digest of a KEY that `object_key` made, None if it is another's."""
    folder, slash, file = key.removeprefix(prefix).rpartition("/")
    digest, dot, _ = file.partition(".")
    if not key.startswith(prefix) or not slash or not dot or not _DIGEST.fullmatch(digest):
        return None
    return unquote(folder.replace("!", "%")), digest


def filter_value(text: str) -> str:
    r"""Return TEXT as the value of an EC2 filter that matches it alone: `*`, `?` and `\` are wildcards there."""
    return "".join(f"\\{character}" if character in "\\*?" else character for character in text)
