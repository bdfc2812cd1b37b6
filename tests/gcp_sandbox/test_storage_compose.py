# SPDX-License-Identifier: Apache-2.0
"""Objects made of objects."""

import os

import google_crc32c
import pytest
from google.api_core import exceptions
from google.cloud import storage

from lkcloud_gcp.sandbox import GcpStandIn
from tests.gcp_sandbox.raw import BUCKET, Raw, crc

COMPOSE = f"/storage/v1/b/{BUCKET}/o/whole/compose"


def parts(bucket: storage.Bucket, count: int, size: int = 1000) -> list[storage.Blob]:
    made = [bucket.blob(f"parts/{number:03}") for number in range(count)]
    for blob in made:
        blob.upload_from_string(os.urandom(size))
    return made


def test_the_whole_is_the_parts_in_order(gcp: GcpStandIn, bucket: storage.Bucket) -> None:
    sources = parts(bucket, 3, 70_001)
    data = b"".join(blob.download_as_bytes() for blob in (*sources, sources[0]))
    whole = bucket.blob("whole")
    whole.content_type, whole.metadata = "application/gzip", {"k": "v"}
    whole.compose([*sources, sources[0]], if_generation_match=0)
    got = bucket.get_blob("whole")
    assert (got.crc32c, got.md5_hash, got.component_count) == (crc(data), None, 4)
    assert (got.content_type, got.metadata, got.size) == ("application/gzip", {"k": "v"}, len(data))
    before = len(list(gcp.holdings.store.home.iterdir()))
    bucket.delete_blobs(sources)
    assert (got.download_as_bytes(), got.download_as_bytes(start=70_000, end=140_001)) == (data, data[70_000:140_002])
    assert (before, len(list(gcp.holdings.store.home.iterdir()))) == (3, 3)  # no byte was copied, none was lost
    got.delete()
    assert list(gcp.holdings.store.home.iterdir()) == []


def test_composites_of_composites_count_all_components(gcp: GcpStandIn, bucket: storage.Bucket) -> None:
    sources = parts(bucket, 4)
    for number in range(2):
        bucket.blob(f"half{number}").compose(sources[2 * number : 2 * number + 2])
    whole = bucket.blob("whole")
    whole.compose([bucket.blob("half0"), bucket.blob("half1")])
    assert whole.component_count == 4
    data = b"".join(blob.download_as_bytes() for blob in sources)
    held = gcp.holdings.store.find(BUCKET, "whole")
    assert held is not None
    assert (held.crc32c, b"".join(held.pieces())) == (google_crc32c.value(data), data)
    whole.compose([whole, sources[0]])  # an object can be appended to
    assert whole.component_count == 5
    assert whole.download_as_bytes() == data + sources[0].download_as_bytes()


def test_thirty_two_sources_and_no_more(bucket: storage.Bucket, raw: Raw) -> None:
    bucket.blob("p").upload_from_string("p")
    raw.refused(400, "required", "POST", COMPOSE, {"sourceObjects": []})
    too_many = {"sourceObjects": [{"name": "p"}] * 33}
    assert "(33)" in raw.refused(400, "invalid", "POST", COMPOSE, too_many)
    assert raw("POST", COMPOSE, {"sourceObjects": [{"name": "p"}] * 32}).status == 200


def test_preconditions(bucket: storage.Bucket, raw: Raw) -> None:
    sources = parts(bucket, 2)
    generations = [blob.generation for blob in sources]
    whole = bucket.blob("whole")
    with pytest.raises(exceptions.PreconditionFailed):
        whole.compose(sources, if_source_generation_match=[generations[0], 1])
    missing = {"sourceObjects": [{"name": sources[0].name, "generation": "1"}]}
    raw.refused(404, "notFound", "POST", COMPOSE, missing)
    raw.refused(404, "notFound", "POST", COMPOSE, {"sourceObjects": [{"name": "none"}]})
    assert not whole.exists()
    whole.compose(sources, if_generation_match=0, if_source_generation_match=generations)
    first = whole.generation
    with pytest.raises(exceptions.PreconditionFailed):
        bucket.blob("whole").compose(sources[:1], if_generation_match=0)
    assert bucket.get_blob("whole").generation == first


def test_hashes_in_the_request_are_ignored(bucket: storage.Bucket, raw: Raw) -> None:
    bucket.blob("p").upload_from_string("p")
    hashes = {"md5Hash": "AAAAAAAAAAAAAAAAAAAAAA==", "crc32c": "AAAAAQ=="}
    assert raw("POST", COMPOSE, {"sourceObjects": [{"name": "p"}], "destination": hashes}).status == 200
    assert bucket.get_blob("whole").crc32c == crc(b"p")


def test_one_storage_class(bucket: storage.Bucket, raw: Raw) -> None:
    cold = bucket.blob("cold")
    cold.storage_class = "COLDLINE"
    cold.upload_from_string("x")
    bucket.blob("warm").upload_from_string("x")
    raw.refused(400, "invalid", "POST", COMPOSE, {"sourceObjects": [{"name": "cold"}, {"name": "warm"}]})
    whole = bucket.blob("whole")
    whole.compose([cold])
    assert whole.storage_class == "COLDLINE"


def test_keys(bucket: storage.Bucket, raw: Raw) -> None:
    bucket.blob("p").upload_from_string("p")
    key = "projects/p/locations/{}/keyRings/r/cryptoKeys/k"
    body = {"sourceObjects": [{"name": "p"}]}
    raw.refused(400, "invalid", "POST", f"{COMPOSE}?kmsKeyName={key.format('us')}", body)
    assert raw("POST", f"{COMPOSE}?kmsKeyName={key.format('europe')}", body).status == 200
    assert bucket.get_blob("whole").kms_key_name.startswith(key.format("europe"))


def test_copies_share_the_bytes(gcp: GcpStandIn, client: storage.Client, bucket: storage.Bucket) -> None:
    other = client.create_bucket("lkcloud-others", location="US")
    blob = bucket.blob("x")
    blob.metadata = {"k": "v"}
    blob.upload_from_string(b"bytes", "text/x")
    copied = other.blob("y")
    assert copied.rewrite(blob) == (None, 5, 5)
    assert (copied.metadata, copied.content_type, copied.md5_hash) == ({"k": "v"}, "text/x", blob.md5_hash)
    bucket.copy_blob(blob, other, "z", if_generation_match=0)
    blob.delete()
    assert [one.download_as_bytes() for one in client.list_blobs(other)] == [b"bytes", b"bytes"]
    assert len(list(gcp.holdings.store.home.iterdir())) == 1
    with pytest.raises(exceptions.PreconditionFailed):
        copied.rewrite(copied, if_source_generation_match=1)
    with pytest.raises(exceptions.NotFound):
        copied.rewrite(blob)
