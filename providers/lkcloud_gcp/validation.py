# SPDX-License-Identifier: Apache-2.0
"""What Google Cloud would refuse, or never boot, as far as it can be known without asking Google."""

from collections.abc import Iterator

from lkcloud.provider import Finding, Source
from lkcloud_gcp.naming import IMAGE_NAME
from lkcloud_gcp.options import GcpOptions


def validate(options: GcpOptions, source: Source) -> Iterator[Finding]:
    """Yield what stands in the way of making SOURCE an image with OPTIONS."""
    del options
    if not source.disk.size:
        yield Finding("the image is empty", "give a disk image with at least one byte")
    if not IMAGE_NAME.fullmatch(source.name):
        yield Finding(
            f"Google Cloud does not take {source.name!r} as the name of an image",
            "use 1 to 63 lower-case letters, digits and -, a letter first and no - last",
        )
