# SPDX-License-Identifier: Apache-2.0
"""Images that are objects in Cloud Storage, against the sandbox."""

import random

import pytest

from lkcloud.disk import fetch, open_disk
from lkcloud.errors import Corrupt, ImageChanged, NotAuthenticated, NotFound
from lkcloud.sandbox.http import Response
from lkcloud.sandbox.traffic import Seen
from lkcloud_gcp.sandbox import GcpStandIn
from lkcloud_gcp.session import Session

URL = "gs://images-9/a folder/disk.raw"
CONTENT = random.Random(6).randbytes(1 << 20) + bytes(2 * fetch.PART) + b"end"


def put(content: bytes, *, encoding: str | None = None) -> None:
    client = Session().storage
    bucket = client.lookup_bucket("images-9") or client.create_bucket("images-9")
    blob = bucket.blob("a folder/disk.raw")
    blob.content_encoding = encoding
    blob.upload_from_string(content)


def test_fetched_once_in_parts(gcp: GcpStandIn) -> None:
    put(CONTENT)
    gcp.traffic.clear()
    for _ in range(2):
        with open_disk(URL) as disk:
            assert disk.read(0, disk.size) == CONTENT
    assert gcp.traffic.operations().count("objects.get") == 1 + 3 + 1


def test_what_changes_while_it_is_fetched(gcp: GcpStandIn) -> None:
    put(CONTENT)

    def change(seen: Seen) -> Response | None:
        if seen.operation == "objects.get" and seen.phase == "after":
            gcp.traffic.hooks.clear()
            put(b"other")
        return None

    gcp.traffic.hooks.append(change)
    with pytest.raises(ImageChanged):
        open_disk(URL)


def test_damaged_bytes_are_not_taken(gcp: GcpStandIn) -> None:
    put(b"abc")
    asked = []

    def damage(seen: Seen) -> Response | None:
        if seen.operation == "objects.get" and seen.phase == "after":
            asked.append(seen)
            if len(asked) == 2:
                return Response(206, {"Content-Range": "bytes 0-2/3"}, b"abd")
        return None

    gcp.traffic.hooks.append(damage)
    with pytest.raises(Corrupt):
        open_disk(URL)


def test_what_is_not_there_and_who_is_nobody(gcp: GcpStandIn) -> None:
    put(CONTENT)
    with pytest.raises(NotFound) as caught:
        open_disk("gs://images-9/none")
    assert "gs://images-9/none" in caught.value.message
    gcp.expire_credentials()
    with pytest.raises(NotAuthenticated):
        open_disk(URL)


def test_no_project_is_needed(gcp: GcpStandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    put(CONTENT)
    monkeypatch.delenv("GOOGLE_CLOUD_PROJECT", raising=False)
    with open_disk(URL) as disk:
        assert disk.size == len(CONTENT)
