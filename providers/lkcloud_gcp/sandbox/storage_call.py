# SPDX-License-Identifier: Apache-2.0
"""One request to Cloud Storage, taken apart; what JSON and XML API have in common.

https://docs.cloud.google.com/storage/docs/json_api/v1 and https://docs.cloud.google.com/storage/docs/xml-api/overview
"""

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from lkcloud.sandbox.http import Request, Response
from lkcloud_gcp.sandbox import authorization
from lkcloud_gcp.sandbox.cloud import Cloud
from lkcloud_gcp.sandbox.errors import ApiError
from lkcloud_gcp.sandbox.store import Bucket, StoredObject

Document = Mapping[str, Any]
"""A JSON document as it is sent."""


@dataclass(frozen=True, slots=True)
class Call:
    """A request: METHOD is the id of the API's method, NAMES what stands for the `*` in its path."""

    cloud: Cloud
    request: Request
    method: str
    names: tuple[str, ...] = ()

    @property
    def query(self) -> Mapping[str, str]:
        """The parameters."""
        return self.request.query

    @property
    def address(self) -> str:
        """The URL that the client knows this cloud by."""
        return f"http://{self.request.header('Host')}"

    def bucket(self) -> Bucket:
        """Return the bucket of the path. Raises ApiError; the caller holds the cloud's lock."""
        return find_bucket(self.cloud, self.names[0])

    def body(self) -> Document:
        """Return the body, a JSON object. Raises ApiError."""
        return parse_json(self.request.body.all())

    def number(self, name: str) -> int | None:
        """Return a parameter that is a number, None if it was not given. Raises ApiError."""
        return to_number(name, self.query.get(name))

    def preconditions(self, prefix: str = "if") -> "Preconditions":
        """Return the preconditions of the parameters; PREFIX is `ifSource` for those on a source. Raises ApiError."""
        numbers = (
            self.number(f"{prefix}{what}")
            for what in ("GenerationMatch", "GenerationNotMatch", "MetagenerationMatch", "MetagenerationNotMatch")
        )
        return Preconditions(*numbers)


Handler = Callable[[Call], Document | Response]


@dataclass(frozen=True, slots=True)
class Preconditions:
    """What must hold for a request to be done; None is not asked for.

    https://docs.cloud.google.com/storage/docs/request-preconditions
    """

    generation: int | None = None
    not_generation: int | None = None
    metageneration: int | None = None
    not_metageneration: int | None = None

    def check_new(self, existing: StoredObject | None) -> None:
        """Raise ApiError if an object must not be made now; EXISTING has its name. No object is generation 0."""
        generation = existing.generation if existing else 0
        metageneration = existing.metageneration if existing else None
        self._check(generation, metageneration, reading=False)

    def check(self, existing: StoredObject | Bucket, *, reading: bool = False) -> None:
        """Raise ApiError if what exists must not be read or changed now; for a reader, some are 304."""
        generation = existing.generation if isinstance(existing, StoredObject) else None
        self._check(generation, existing.metageneration, reading=reading)

    def _check(self, generation: int | None, metageneration: int | None, *, reading: bool) -> None:
        if self.generation not in (None, generation) or self.metageneration not in (None, metageneration):
            raise precondition_failed()
        unwanted = (self.not_generation, self.not_metageneration)
        if any(one is not None and one == has for one, has in zip(unwanted, (generation, metageneration), strict=True)):
            raise ApiError(304, "notModified", "Not Modified", "NotModified") if reading else precondition_failed()


def precondition_failed() -> ApiError:
    """Return what is said if a precondition does not hold."""
    message = "At least one of the pre-conditions you specified did not hold."
    return ApiError(412, "conditionNotMet", message, "PreconditionFailed", location="If-Match")


def invalid(message: str, code: str = "InvalidArgument") -> ApiError:
    """Return what is said of a value that cannot be used."""
    return ApiError(400, "invalid", message, code)


def find_bucket(cloud: Cloud, name: str) -> Bucket:
    """Return a bucket. Raises ApiError; the caller holds the cloud's lock."""
    if name in cloud.windows.foreign_buckets:
        message = f"The caller does not have access to the bucket {name} (or it may not exist)."
        raise ApiError(403, "forbidden", message, "AccessDenied")
    if name not in cloud.store.buckets:
        raise ApiError(404, "notFound", "The specified bucket does not exist.", "NoSuchBucket")
    return cloud.store.buckets[name]


def find_object(
    cloud: Cloud, bucket: str, name: str, generation: int | None = None, *, reading: bool = False
) -> StoredObject:
    """Return the live version of an object, which must be GENERATION if that is given. Raises ApiError.

    A reader who may not list the bucket is not told what is not there (googleapis/google-api-php-client#1791).
    """
    item = find_bucket(cloud, bucket).objects.get(name)
    if item is None or generation not in (None, item.generation):
        if reading:
            authorization.require(cloud, "storage.objects.list", bucket)
        raise ApiError(404, "notFound", f"No such object: {bucket}/{name}", "NoSuchKey")
    return item


def to_number(name: str, text: str | None) -> int | None:
    """Return TEXT, the value of NAME, as a number. Raises ApiError."""
    if text is None or text == "":
        return None
    try:
        return int(text)
    except ValueError:
        raise invalid(f"Invalid value for {name}: '{text}' is not a number.") from None


def parse_json(payload: bytes) -> Document:
    """Return a JSON object, {} for no bytes at all, and for the null of Google's Go client. Raises ApiError."""
    try:
        document = json.loads(payload or b"{}")
    except ValueError:
        raise ApiError(400, "parseError", "Parse Error") from None
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise ApiError(400, "parseError", "Parse Error")
    return document


def to_base64(value: int | bytes) -> str:
    """Return a checksum as it is sent: a CRC32C as four bytes, big-endian."""
    return base64.b64encode(value if isinstance(value, bytes) else value.to_bytes(4, "big")).decode()


def from_base64(name: str, text: str, size: int) -> bytes:
    """Return SIZE bytes that were sent as TEXT. Raises ApiError."""
    try:
        value = base64.b64decode(text, validate=True)
    except ValueError:
        value = b""
    if len(value) != size:
        raise invalid(f"Invalid {name} value: {text}", "InvalidDigest")
    return value
