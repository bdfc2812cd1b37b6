# SPDX-License-Identifier: Apache-2.0
"""Page blobs: found, made, marked as whole, deleted.

https://learn.microsoft.com/azure/storage/blobs/storage-blob-pageblob-overview
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from lkcloud.errors import Conflict, LkcloudError
from lkcloud.polling import poll
from lkcloud_azure.errors import code_of, is_busy, status_of
from lkcloud_azure.session import Session

if TYPE_CHECKING:
    from azure.storage.blob import BlobClient, BlobProperties, BlobServiceClient, ContainerClient

NAME = "lkcloud_name"
DIGEST = "lkcloud_digest"
COMPLETE = "lkcloud_complete"
"""Metadata of a page blob: the image's name (quoted as in a URL, since headers are ASCII), the content digest, and
whether all is written, `yes` or `no`. A name of metadata is one of C#
(https://learn.microsoft.com/rest/api/storageservices/naming-and-referencing-containers--blobs--and-metadata)."""

KEPT = "lkcloud_kept"
"""Metadata of a page blob that a push has left on purpose: `yes`."""

YES, NO = "yes", "no"

_GONE = 180.0
"""Seconds for a container that is being deleted to be gone; Azure says 30 and more
(https://learn.microsoft.com/rest/api/storageservices/delete-container)."""


@dataclass(frozen=True, slots=True)
class PageBlob:
    """A blob as it was seen; NUMBER, chosen when it is made, tells it from another one of its name."""

    url: str
    size: int
    number: int
    etag: str
    paged: bool
    metadata: Mapping[str, str]
    written: datetime | None

    @property
    def image(self) -> str:
        """The name of the image that it is for, "" if it is none of lkcloud's."""
        return unquote(self.metadata.get(NAME, ""))

    @property
    def digest(self) -> str:
        """The content digest of that image."""
        return self.metadata.get(DIGEST, "")

    @property
    def kept(self) -> bool:
        """Whether it was left on purpose."""
        return self.metadata.get(KEPT) == YES

    @property
    def complete(self) -> bool:
        """Whether all is written."""
        return self.metadata.get(COMPLETE) == YES


def seen(url: str, properties: "BlobProperties") -> PageBlob:
    """Return what the SDK shows of the blob at URL, alone or in a list."""
    return PageBlob(
        url=url,
        size=properties.size,
        number=properties.page_blob_sequence_number or 0,
        etag=properties.etag or "",
        paged=properties.blob_type == "PageBlob",
        metadata={name.lower(): value for name, value in (properties.metadata or {}).items()},
        written=properties.last_modified,
    )


@dataclass(frozen=True)
class BlobPlace:
    """A name in a container, whether there is a blob of that name or not."""

    session: Session
    container: "ContainerClient"
    client: "BlobClient"

    @classmethod
    def at(cls, session: Session, service: "BlobServiceClient", container: str, name: str) -> "BlobPlace":
        """Return the place NAME in CONTAINER."""
        holder = service.get_container_client(container)
        return cls(session, holder, holder.get_blob_client(name))

    @property
    def url(self) -> str:
        """The blob's URL."""
        return str(self.client.url)

    def find(self) -> PageBlob | None:
        """Return the blob, None if there is none."""
        with self.session.errors(f"looking for {self.url}"):
            try:
                return seen(self.url, self.session.attempt(self.client.get_blob_properties))
            except Exception as error:
                if status_of(error) == 404:
                    return None
                raise

    def make(self, *, size: int, image: str, digest: str) -> PageBlob:
        """Make a page blob of SIZE zeros, and the container where it is missing; what is there stays as it is.

        Returns what is there then: the new one, or one that another run has made meanwhile.
        """
        from azure.core import MatchConditions

        metadata = {NAME: quote(image, safe=""), DIGEST: digest, COMPLETE: NO}
        number = secrets.randbelow(2**63)

        def ask() -> None:
            self.client.create_page_blob(
                size, metadata=metadata, sequence_number=number, match_condition=MatchConditions.IfMissing
            )

        with self.session.errors(f"making {self.url}"):
            try:
                try:
                    self.session.attempt(ask)
                except Exception as error:
                    # Who may write blobs in a container need not be allowed to make one, so that is the second thought.
                    if code_of(error) != "ContainerNotFound":
                        raise
                    self._make_container()
                    self.session.attempt(ask)
            except Exception as error:
                if code_of(error) != "BlobAlreadyExists":
                    raise
        found = self.find()
        if found is None:
            raise Conflict(
                f"azure: {self.url} is gone again", hint="another run removes it: run the same command later"
            )
        return found

    def mark_complete(self, blob: PageBlob, etag: str) -> bool:
        """Say in the metadata of BLOB that all is written; return False if it was changed since it had this ETAG."""
        from azure.core import MatchConditions

        metadata = {**blob.metadata, COMPLETE: YES}

        def ask() -> None:
            self.client.set_blob_metadata(metadata, etag=etag, match_condition=MatchConditions.IfNotModified)

        with self.session.errors(f"completing {self.url}"):
            try:
                self.session.attempt(ask)
            except Exception as error:
                if status_of(error) == 412:
                    return False
                raise
        return True

    def keep(self) -> None:
        """Say in the metadata that the blob was left on purpose; one that is gone is no error."""
        blob = self.find()
        if blob is not None:
            self.session.call(
                f"marking {self.url}", lambda: self.client.set_blob_metadata({**blob.metadata, KEPT: YES})
            )

    def delete(self) -> None:
        """Delete the blob and its snapshots; one that is gone is no error."""
        with self.session.errors(f"deleting {self.url}"):
            try:
                self.session.attempt(lambda: self.client.delete_blob(delete_snapshots="include"))
            except Exception as error:
                if status_of(error) != 404:
                    raise

    def _make_container(self) -> None:
        """Make the container, private; one of its name that is being deleted is waited for."""
        doing = f"making the container {self.container.container_name}"

        def look() -> bool | None:
            try:
                self.session.call(doing, self.container.create_container)
            except LkcloudError as error:
                if is_busy(error.__cause__):
                    return None
                if code_of(error.__cause__) != "ContainerAlreadyExists":
                    raise
            return True

        poll(look, what=f"azure: {doing}", every=0.5, limit=_GONE, hint="run the same command again later")
