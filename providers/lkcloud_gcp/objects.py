# SPDX-License-Identifier: Apache-2.0
"""Objects in a bucket: looked at, composed, removed. Each is meant by its generation, so that no later one is hit.

https://cloud.google.com/storage/docs/request-preconditions, https://cloud.google.com/storage/docs/composite-objects
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, TypeVar

from lkcloud.errors import UsageError
from lkcloud.provider import Blob
from lkcloud_gcp import crc32c
from lkcloud_gcp.errors import explain, fault, status_of
from lkcloud_gcp.session import Session

if TYPE_CHECKING:
    from google.cloud import storage

T = TypeVar("T")
R = TypeVar("R")

KEPT = "lkcloud-kept"
"""Metadata of a tarball that a push has left on purpose: `yes`."""

KIND = "object"
"""Kind of a Blob that is one object; its id is gs://BUCKET/OBJECT#GENERATION."""

MOST_SOURCES = 32
"""Objects that one compose request takes (https://cloud.google.com/storage/docs/composite-objects)."""

_BATCH = 100
"""Requests in one: https://cloud.google.com/storage/docs/batch"""

_AT_ONCE = 8
"""Requests side by side: the SDK's client keeps ten connections."""

_ID = re.compile(r"gs://(?P<bucket>[^/]+)/(?P<name>.+)#(?P<generation>\d+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Stored:
    """An object that is there. CRC32C is None where the service gives none, KMS_KEY is a version of a key or ""."""

    bucket: str
    name: str
    generation: int
    size: int
    crc32c: int | None
    metadata: Mapping[str, str]
    kms_key: str = ""
    written: datetime | None = None

    @property
    def url(self) -> str:
        """The object as gcloud writes it."""
        return f"gs://{self.bucket}/{self.name}"


@dataclass(frozen=True, slots=True)
class Target:
    """An object that is to be made: its NAME, METADATA and CONTENT_TYPE, and the KMS_KEY that encrypts it, if any."""

    bucket: str
    name: str
    content_type: str
    metadata: Mapping[str, str]
    kms_key: str | None = None


def find(session: Session, bucket: str, name: str) -> Stored | None:
    """Return the live object NAME, None if there is none (objects.get)."""
    with session.errors(f"looking for gs://{bucket}/{name}"):
        try:
            return session.attempt(lambda **how: look(session, bucket, name, **how))
        except Exception as error:
            if status_of(error) == 404:
                return None
            raise


def look(session: Session, bucket: str, name: str, *, timeout: float, retry: None = None) -> Stored:
    """Return the live object NAME, in one attempt with the SDK's errors."""
    blob = session.storage.bucket(bucket).blob(name)
    blob.reload(timeout=timeout, retry=retry)
    return _stored(blob)


def listed(session: Session, bucket: str, prefix: str) -> list[Stored]:
    """Return the live objects whose name begins with PREFIX, by name (objects.list)."""

    def ask(*, timeout: float, retry: None) -> list[Stored]:
        found = session.storage.list_blobs(bucket, prefix=prefix, timeout=timeout, retry=retry)
        return [_stored(blob) for blob in found]

    return session.call(f"looking for what is in gs://{bucket}/{prefix}", ask)


def begin_session(session: Session, target: Target) -> str:
    """Begin a resumable upload of TARGET, which must not be there yet, and return the URL of its session."""
    bucket = session.storage.bucket(target.bucket)

    def ask(*, timeout: float, retry: None) -> str:
        blob = bucket.blob(target.name, kms_key_name=target.kms_key)
        blob.metadata = dict(target.metadata)
        url = blob.create_resumable_upload_session(
            content_type=target.content_type, checksum=None, if_generation_match=0, timeout=timeout, retry=retry
        )
        return str(url)

    return session.call(f"beginning the upload of gs://{target.bucket}/{target.name}", ask)


def compose(session: Session, sources: Sequence[Stored], target: Target) -> Stored:
    """Make TARGET, which must not be there yet, of SOURCES one after the other (objects.compose).

    Raises the SDK's errors: 412 if it is there or a source is another by now, 404 if a source is gone.
    """
    bucket = session.storage.bucket(target.bucket)

    def ask(*, timeout: float, retry: None) -> Stored:
        blob = bucket.blob(target.name, kms_key_name=target.kms_key)
        blob.content_type = target.content_type
        blob.metadata = dict(target.metadata)
        blob.compose(
            [bucket.blob(source.name, generation=source.generation) for source in sources],
            if_generation_match=0,
            if_source_generation_match=[source.generation for source in sources],
            timeout=timeout,
            retry=retry,
        )
        return _stored(blob)

    return session.attempt(ask)


def delete(session: Session, stored: Stored) -> None:
    """Delete an object if it is still of that generation; what is gone, or another by now, is no error."""
    blob = session.storage.bucket(stored.bucket).blob(stored.name, generation=stored.generation)
    try:
        session.attempt(blob.delete)
    except Exception as error:
        if status_of(error) != 404:
            if (known := explain(error, f"deleting {stored.url}")) is None:
                raise
            raise known from error


def delete_all(session: Session, bucket: str, prefix: str) -> None:
    """Delete every object whose name begins with PREFIX."""
    found = listed(session, bucket, prefix)
    batches = [found[first : first + _BATCH] for first in range(0, len(found), _BATCH)]
    side_by_side(lambda batch: _delete_together(session, batch), batches)


def _delete_together(session: Session, batch: Sequence[Stored]) -> None:
    """Delete the objects of BATCH by one request; if that fails for any, each by itself."""

    def ask(*, timeout: float, retry: None) -> None:
        with session.storage.batch():
            for stored in batch:
                blob = session.storage.bucket(stored.bucket).blob(stored.name, generation=stored.generation)
                blob.delete(timeout=timeout, retry=retry)

    with session.errors(f"deleting {batch[0].url} and others"):
        try:
            session.attempt(ask)
        except Exception as error:
            if fault(error) is None:
                raise
            # One may be gone, which is well, and another be held: the answer is of the first that failed only.
            for stored in batch:
                delete(session, stored)


def side_by_side(call: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """Return CALL of each of ITEMS, in their order, some at a time; the first error ends it and is raised."""
    pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="lkcloud-gcp")
    try:
        return list(pool.map(call, items))
    finally:
        pool.shutdown(cancel_futures=True)


def blob_of(stored: Stored, region: str, name: str, digest: str) -> Blob:
    """Return an object as the house knows it, for the image NAME."""
    kept = stored.metadata.get(KEPT) == "yes"
    return Blob("gcp", region, f"{stored.url}#{stored.generation}", KIND, name, digest, "", stored.written, kept)


def parse(blob_id: str) -> tuple[str, str, int]:
    """Return bucket, name and generation of the object that the id of a Blob means. Raises UsageError."""
    match = _ID.fullmatch(blob_id)
    if match is None:
        raise UsageError(f"gcp: {blob_id!r} is no object", hint="give gs://BUCKET/OBJECT#GENERATION")
    return match["bucket"], match["name"], int(match["generation"])


def keep(session: Session, blob: Blob) -> None:
    """Mark the object that BLOB means as left on purpose."""
    bucket, name, generation = parse(blob.id)

    def ask(*, timeout: float, retry: None) -> None:
        shown = session.storage.bucket(bucket).blob(name, generation=generation)
        shown.reload(timeout=timeout, retry=retry)
        if (shown.metadata or {}).get(KEPT) == "yes":
            return
        shown.metadata = {**(shown.metadata or {}), KEPT: "yes"}
        shown.patch(if_metageneration_match=shown.metageneration, timeout=timeout, retry=retry)

    session.call(f"marking gs://{bucket}/{name}", ask)


def remove(session: Session, blob: Blob) -> None:
    """Delete the object that BLOB means, by its generation; gone is no error."""
    bucket, name, generation = parse(blob.id)
    delete(session, Stored(bucket, name, generation, 0, None, {}))


def _stored(blob: "storage.Blob") -> Stored:
    return Stored(
        bucket=blob.bucket.name,
        name=blob.name,
        generation=int(blob.generation or 0),
        size=int(blob.size or 0),
        crc32c=crc32c.decode(blob.crc32c),
        metadata=dict(blob.metadata or {}),
        kms_key=blob.kms_key_name or "",
        written=blob.time_created,
    )
