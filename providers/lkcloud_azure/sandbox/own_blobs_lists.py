# SPDX-License-Identifier: Apache-2.0
"""Lists of containers and of blobs, a page at a time."""

import base64
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from lkcloud.sandbox.http import Response
from lkcloud_azure.sandbox.own_blobs_blobs import Handler
from lkcloud_azure.sandbox.own_blobs_call import Call, add, bad_parameter, date, document, not_here
from lkcloud_azure.sandbox.own_blobs_put import HEADERS
from lkcloud_azure.sandbox.store import Entry, StoredBlob

MOST_ENTRIES = 5_000
"""Most entries of one page (list-blobs)."""

_PARAMETERS = {"prefix": "Prefix", "marker": "Marker", "maxresults": "MaxResults", "delimiter": "Delimiter"}
"""What a list repeats of the request."""


def _list_containers(call: Call) -> Response:
    """https://learn.microsoft.com/rest/api/storageservices/list-containers2."""
    query = call.request.query
    wanted = _included(query, {"metadata"}, {"deleted", "system"})
    with call.store.lock:
        containers = call.account().containers
        names = (name for name in sorted(containers) if name.startswith(query.get("prefix", "")))
        root, inside = _listing(call, [(name, containers[name]) for name in names], "Containers")
        for name, container in inside.entries:
            one = ET.SubElement(inside.element, "Container")
            add(one, "Name", name)
            if container is not None:
                _describe(one, container, {}, metadata="metadata" in wanted)
    return document(root)


def _list_blobs(call: Call) -> Response:
    """https://learn.microsoft.com/rest/api/storageservices/list-blobs."""
    query = call.request.query
    wanted = _included(query, {"metadata", "uncommittedblobs", "copy"}, {"snapshots", "versions", "deleted", "tags"})
    with call.store.lock:
        container = call.container()
        blobs = container.blobs
        root, inside = _listing(
            call, list(_entries(blobs, query.get("prefix", ""), query.get("delimiter", ""))), "Blobs"
        )
        root.set("ContainerName", container.name)
        for name, blob in inside.entries:
            one = ET.SubElement(inside.element, "Blob" if blob is not None else "BlobPrefix")
            add(one, "Name", name)
            if blob is not None:
                _describe(one, blob, _blob_properties(blob), metadata="metadata" in wanted)
    return document(root)


E = TypeVar("E", bound=Entry)


@dataclass(frozen=True, slots=True)
class _Inside(Generic[E]):
    """ELEMENT, within the document, for the ENTRIES of one page; a common prefix has the value None."""

    element: ET.Element
    entries: Sequence[tuple[str, E | None]]


def _listing(call: Call, entries: Sequence[tuple[str, E | None]], what: str) -> tuple[ET.Element, _Inside[E]]:
    """Return a document that lists one page of ENTRIES, and what is to be filled in. Raises ApiError."""
    query = call.request.query
    text = query.get("maxresults", "")
    if text and (not text.isdecimal() or int(text) == 0):
        raise bad_parameter("maxresults", text, "It must be a number above 0.")
    most = min(int(text or MOST_ENTRIES), MOST_ENTRIES, call.windows.blobs_page)
    after = _marker(query.get("marker", ""))
    left = [entry for entry in entries if entry[0] >= after]
    root = ET.Element("EnumerationResults", ServiceEndpoint=f"https://{call.header('Host')}/{call.address.account}/")
    for parameter, name in _PARAMETERS.items():
        if query.get(parameter):
            add(root, name, query[parameter])
    inside = ET.SubElement(root, what)
    following = ET.SubElement(root, "NextMarker")
    if len(left) > most:
        following.text = base64.urlsafe_b64encode(left[most][0].encode()).decode()
    return root, _Inside(inside, left[:most])


def _included(query: Mapping[str, str], here: set[str], elsewhere: set[str]) -> set[str]:
    wanted = set(filter(None, query.get("include", "").split(",")))
    if unknown := wanted - here - elsewhere:
        raise bad_parameter("include", ",".join(sorted(unknown)), "It is nothing that can be included.")
    if missing := wanted & elsewhere:
        raise not_here(", ".join(sorted(missing)))
    return wanted


def _marker(text: str) -> str:
    """Return the name that a page begins with. Raises ApiError."""
    try:
        return base64.b64decode(text, altchars=b"-_", validate=True).decode()
    except ValueError:
        raise bad_parameter("marker", text, "It is none that this service gave out.") from None


def _entries(blobs: Mapping[str, StoredBlob], prefix: str, delimiter: str) -> Iterator[tuple[str, StoredBlob | None]]:
    """Yield names and blobs in order; a common prefix, which comes once, has no blob."""
    last = None
    for name in sorted(blobs):
        if not name.startswith(prefix):
            continue
        inside, found, _ = name[len(prefix) :].partition(delimiter) if delimiter else (name, "", "")
        if not found:
            yield name, blobs[name]
        elif (folder := prefix + inside + delimiter) != last:
            yield folder, None
            last = folder


def _blob_properties(blob: StoredBlob) -> dict[str, str]:
    properties = {name: blob.headers.get(name, "") for name in HEADERS.values()}
    properties |= {"Content-Length": str(blob.size), "BlobType": blob.kind, "Creation-Time": date(blob.created)}
    if blob.kind == "PageBlob":
        properties["x-ms-blob-sequence-number"] = str(blob.sequence_number)
    return properties | {"ServerEncrypted": "true"}


def _describe(element: ET.Element, entry: Entry, more: Mapping[str, str], *, metadata: bool) -> None:
    lease = {
        "LeaseStatus": "locked" if entry.lease.held else "unlocked",
        "LeaseState": entry.lease.state,
        "LeaseDuration": entry.lease.headers().get("x-ms-lease-duration", ""),
    }
    properties = ET.SubElement(element, "Properties")
    # Without the quotes that the header has.
    known = {"Last-Modified": date(entry.modified), "Etag": entry.etag.strip('"'), **more, **lease}
    for name, value in known.items():
        if value:
            add(properties, name, value)
    if metadata:
        inside = ET.SubElement(element, "Metadata")
        for name, value in entry.metadata.items():
            add(inside, name, value)


HANDLERS: Mapping[str, Handler] = {"ListContainers": _list_containers, "ListBlobs": _list_blobs}
