# SPDX-License-Identifier: Apache-2.0
"""Images that are objects in Cloud Storage: gs://BUCKET/OBJECT, read with the credentials of the environment."""

import os
from collections.abc import Iterator

import google_crc32c

from lkcloud.disk.objects import Checksum, State, bucket_and_key
from lkcloud.errors import ImageChanged, NotFound
from lkcloud_gcp import objects
from lkcloud_gcp.errors import explain, status_of
from lkcloud_gcp.session import Session

_NO_PROJECT = "<none>"
"""What the SDK itself takes for a client without a project; one is not needed to read an object."""
_GONE = (404, 412)


class GcsObject:
    """An object in Cloud Storage; its version is its generation."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._bucket, self._name = bucket_and_key(url)
        self._session = Session(os.environ.get("GOOGLE_CLOUD_PROJECT") or _NO_PROJECT)

    def state(self) -> State:
        """Ask for its size, generation and CRC-32C (objects.get)."""
        found = objects.find(self._session, self._bucket, self._name)
        if found is None:
            raise NotFound(f"gcp: there is no object {self._url}", hint="check its bucket and its name")
        crc = found.crc32c
        checksum = None if crc is None else Checksum(crc.to_bytes(4, "big"), google_crc32c.Checksum)
        return State(found.size, str(found.generation), checksum=checksum)

    def pieces(self, state: State, offset: int, length: int, timeout: float) -> Iterator[bytes]:
        """Yield bytes of the generation of STATE, as they are stored (objects.get, alt=media)."""
        blob = self._session.storage.bucket(self._bucket).blob(self._name)
        try:
            yield blob.download_as_bytes(
                start=offset,
                end=offset + length - 1,
                raw_download=True,
                if_generation_match=int(state.version),
                checksum=None,  # that of the whole is checked at the end
                timeout=timeout,
                retry=None,
            )
        except Exception as error:
            if status_of(error) in _GONE:
                raise ImageChanged(
                    f"{self._url} changed while it was fetched", hint="wait until it is written, then run it again"
                ) from error
            known = explain(error, f"fetching {self._url}")
            if known is None:
                raise
            raise known from error
