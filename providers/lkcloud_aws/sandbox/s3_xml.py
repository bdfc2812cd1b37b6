# SPDX-License-Identifier: Apache-2.0
"""The XML bodies of S3's requests."""

from collections.abc import Iterator

from lkcloud.sandbox import xml_document
from lkcloud.sandbox.xml_document import Element
from lkcloud_aws.sandbox.errors import ApiError

__all__ = ["Element", "children"]


def children(payload: bytes, name: str, within: str = "") -> Iterator[dict[str, str]]:
    """Yield the texts inside each element NAME of the document, or of its elements WITHIN. Raises ApiError."""
    try:
        yield from xml_document.children(payload, name, within)
    except ValueError:
        raise ApiError("MalformedXML", "The XML you provided was not well-formed.") from None
