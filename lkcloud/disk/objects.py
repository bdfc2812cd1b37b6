# SPDX-License-Identifier: Apache-2.0
"""Images that are objects of a service and not files: which URLs there are, and what reads them.

https is read here; what belongs to a cloud is read by that cloud's package, which names its class in the entry-point
group `lkcloud.objects` under the scheme of its URLs.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Protocol
from urllib.parse import unquote, urlsplit

from lkcloud.entries import offered
from lkcloud.errors import UsageError

GROUP = "lkcloud.objects"

_URL = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://")
_OUR_OWN = ("https", "http")


class Hasher(Protocol):
    """Computes a checksum, as those of `hashlib` do."""

    def update(self, data: bytes, /) -> None:
        """Take DATA."""
        ...

    def digest(self) -> bytes:
        """Return the checksum of all that was taken."""
        ...


@dataclass(frozen=True, slots=True)
class Checksum:
    """What the service says the checksum of an object is, and what computes it."""

    expected: bytes
    hasher: Callable[[], Hasher]


@dataclass(frozen=True, slots=True)
class State:
    """An object at one moment."""

    size: int
    """Bytes."""
    version: str
    """A word that the service changes with the bytes, such as an entity tag; "" if it has none."""
    ranges: bool = True
    """Whether the service gives out parts of it."""
    checksum: Checksum | None = field(default=None, compare=False)


class Object(Protocol):
    """An object that can be read; made with its URL."""

    def state(self) -> State:
        """Ask the service for it. Raises LkcloudError."""
        ...

    def pieces(self, state: State, offset: int, length: int, timeout: float) -> Iterator[bytes]:
        """Yield LENGTH bytes from OFFSET on, in one attempt; a break longer than TIMEOUT seconds ends it.

        Called from many threads. Raises ImageChanged if the object is no longer in STATE, as far as its version tells
        that, Unreachable for what may succeed the next time, and other LkcloudErrors.
        """
        ...


def is_url(text: object) -> bool:
    """Tell whether TEXT is a URL and no path."""
    return isinstance(text, str) and _URL.match(text) is not None


def open_object(url: str) -> Object:
    """Return what reads URL. Raises UsageError for a URL that nothing reads, or that cannot be."""
    found = _URL.match(url)
    scheme = found["scheme"].lower() if found else ""
    if scheme in _OUR_OWN:
        from lkcloud.disk.https import HttpsObject

        return HttpsObject(url)
    readers = offered(GROUP)
    if scheme not in readers:
        known = ", ".join(f"{one}://" for one in sorted({"https", *readers}))
        raise UsageError(f"nothing here reads {shown(url)}", hint=f"give the path of a file, or a URL with {known}")
    opened: Object = readers[scheme].load()(url)
    return opened


def bucket_and_key(url: str) -> tuple[str, str]:
    """Return the two halves of SCHEME://BUCKET/KEY; keys are taken as they are. Raises UsageError."""
    bucket, _, key = _URL.sub("", url, count=1).partition("/")
    if not bucket or not key:
        raise UsageError(f"{url} names no object", hint="give one like s3://bucket/key")
    return bucket, key


def shown(url: str) -> str:
    """Return URL for messages and logs: without its query, which may be a signature, and without a password."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def file_name(where: str) -> str:
    """Return the name of the file or object WHERE, without folders."""
    path = unquote(urlsplit(where).path) if is_url(where) else where
    return PurePosixPath(path).name
