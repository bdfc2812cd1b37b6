# SPDX-License-Identifier: Apache-2.0
"""How what we make on Google Cloud is named and found again: labels, object names."""

import base64
import re
from collections.abc import Mapping
from datetime import UTC, datetime

DIGEST = "lkcloud-digest"
VERSION = "lkcloud-version"

IMAGE = "lkcloud-image"
"""Label of a test instance: the name of the image that it tests."""

WITHDRAWN = "lkcloud-withdrawn"
"""Label of an image that was taken from its users: when."""

FORMAT_VERSION = "1"
"""Value of the version label: what these labels mean. A later lkcloud that gives them another meaning counts up."""

_TIME = "%Y-%m-%dt%H-%M-%Sz"

IMAGE_NAME = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
"""https://cloud.google.com/compute/docs/reference/rest/v1/images: the name of an image."""


def labels_of(digest: str, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the labels of what belongs to the content DIGEST (64 hexadecimal digits).

    A label has at most 63 characters, so the digest stands in base32, lower case, 52 of them.
    """
    return {**(extra or {}), DIGEST: label_value(digest), VERSION: FORMAT_VERSION}


def label_value(digest: str) -> str:
    """Return a hexadecimal DIGEST as the value of a label."""
    return base64.b32encode(bytes.fromhex(digest)).decode().rstrip("=").lower()


def digest_in(labels: Mapping[str, str]) -> str:
    """Return the content digest that LABELS name, as 64 hexadecimal digits; "" if it is not one of ours."""
    text = labels.get(DIGEST, "").upper()
    try:
        digest = base64.b32decode(text + "=" * (-len(text) % 8))
    except ValueError:
        return ""
    return digest.hex() if len(digest) == 32 else ""


def time_label(when: datetime) -> str:
    """Return a time as the value of a label, which has neither colons nor capitals."""
    return when.astimezone(UTC).strftime(_TIME)


def time_of(text: str) -> datetime | None:
    """Return the time in the value of a label, None if there is none."""
    try:
        return datetime.strptime(text, _TIME).replace(tzinfo=UTC)
    except ValueError:
        return None


def object_folder(prefix: str, name: str) -> str:
    """Return what the names of all objects of the image NAME begin with."""
    return f"{prefix}{name}/"


def tarball(prefix: str, name: str, digest: str) -> str:
    """Return the name of the object with the tarball; that it ends in .tar.gz is a rule of images.insert."""
    return f"{object_folder(prefix, name)}{digest}.tar.gz"


def parts_folder(prefix: str, name: str, digest: str) -> str:
    """Return what the names of the parts of that tarball begin with."""
    return f"{object_folder(prefix, name)}{digest}.parts/"
