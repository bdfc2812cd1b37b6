# SPDX-License-Identifier: Apache-2.0
"""Words that several forms share."""

from datetime import UTC, datetime

from lkcloud.release.manifest import Manifest

DEBIAN = {"x86_64": "amd64", "arm64": "arm64"}
"""Architectures as Debian, Go and most image lists write them."""

RPM = {"x86_64": "x86_64", "arm64": "aarch64"}
"""Architectures as the kernel, RPM and CoreOS write them."""


def newest(manifest: Manifest) -> datetime:
    """Return when the last of the images was made; 1970 if that is known of none."""
    return max((image.created for image in manifest.images if image.created), default=datetime.fromtimestamp(0, UTC))


def utc(moment: datetime) -> str:
    """Return MOMENT as RFC 3339 in UTC, with seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
