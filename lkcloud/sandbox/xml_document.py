# SPDX-License-Identifier: Apache-2.0
"""XML as the object stores of S3's kind write and read it."""

import xml.etree.ElementTree as ET
from collections.abc import Iterator
from datetime import datetime

from lkcloud.sandbox.http import Response

NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
"""Of S3, and of the requests that Cloud Storage has taken over from it."""


class Element:
    """An element that is being written: texts and further elements, in order."""

    def __init__(self, name: str) -> None:
        self.root = ET.Element(name)

    def add(self, name: str, value: object) -> "Element":
        """Append <NAME>VALUE</NAME>; None and "" append nothing."""
        if isinstance(value, bool):
            value = str(value).lower()
        if value is not None and value != "":
            ET.SubElement(self.root, name).text = stamp(value) if isinstance(value, datetime) else str(value)
        return self

    def nest(self, child: "Element") -> "Element":
        """Append an element."""
        self.root.append(child.root)
        return self

    def answer(self, status: int = 200) -> Response:
        """Return the whole as a response."""
        self.root.set("xmlns", NAMESPACE)
        return Response(
            status, {"Content-Type": "application/xml"}, ET.tostring(self.root, xml_declaration=True, encoding="UTF-8")
        )


def stamp(when: datetime) -> str:
    """Return a time as the clouds write it."""
    return when.strftime("%Y-%m-%dT%H:%M:%S.") + f"{when.microsecond // 1000:03d}Z"


def children(payload: bytes, name: str, within: str = "") -> Iterator[dict[str, str]]:
    """Yield the texts inside each element NAME of the document, or of its elements WITHIN. Raises ValueError."""
    try:
        root = ET.fromstring(payload)  # noqa: S314 - from a client on this machine that has said who it is
    except ET.ParseError as error:
        raise ValueError(str(error)) from None
    for parent in [root] if not within else [element for element in root if _local(element.tag) == within]:
        for element in parent:
            if _local(element.tag) == name:
                yield {_local(child.tag): child.text or "" for child in element}


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]
