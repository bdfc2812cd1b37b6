# SPDX-License-Identifier: Apache-2.0
"""Uploads by both methods: the bytes arrive, and runs that meet or come back agree."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import google.auth.transport.requests
import pytest

import lkcloud
from lkcloud.disk import BLOCK
from lkcloud.errors import Conflict, ImageChanged, NotAuthenticated
from lkcloud.provider import Run
from lkcloud_gcp.sandbox import GcpStandIn, Seen
from lkcloud_gcp.session import Session
from lkcloud_gcp.upload import upload as gcp_upload
from tests.gcp.pushing import (
    BUCKET,
    GIB,
    KEY,
    MIB,
    DiskMaker,
    Noting,
    assert_same_bytes,
    counted,
    names,
    noise,
    options_of,
    seen,
    source_of,
    stored,
    upload,
)

METHODS = ("composite", "resumable")

DISKS: Mapping[str, tuple[int, dict[int, bytes]]] = {
    "empty": (GIB, {}),
    "last-byte": (GIB, {GIB - 1: b"x"}),
    "odd": (3 * MIB + 511, {0: b"a", 3 * MIB + 500: b"the end"}),
    "zeros": (4 * MIB, {0: bytes(4 * MIB)}),
    "dense": (20 * MIB, {0: noise(1, 20 * MIB)}),
}


@pytest.fixture(params=METHODS)
def method(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("kind", DISKS)
def test_the_bytes_arrive(
    gcp: GcpStandIn,
    session: Session,
    bucket: str,
    make_disk: DiskMaker,
    run: Run,
    tmp_path: Path,
    method: str,
    kind: str,
) -> None:
    size, pieces = DISKS[kind]
    disk = make_disk(size, pieces=pieces)
    blob = upload(session, disk, run, method=method)
    assert_same_bytes(gcp, blob, disk, tmp_path)
    assert names(gcp) == [f"lkcloud/image/{disk.content().digest}.tar.gz"]
    assert (blob.cloud, blob.kind, blob.name, blob.digest) == ("gcp", "object", "image", disk.content().digest)
    assert blob.region == "US"
    found = stored(gcp, blob)
    assert found.content_type == "application/gzip"
    assert dict(found.metadata)["lkcloud-digest"] == disk.content().digest
    assert dict(found.metadata)["lkcloud-name"] == "image"


def test_both_methods_and_convert_make_the_same_file(
    gcp: GcpStandIn, session: Session, bucket: str, make_disk: DiskMaker, run: Run, tmp_path: Path
) -> None:
    disk = make_disk(64 * MIB, blocks=tuple(range(0, 60, 2)), pieces={50 * MIB: b"text " * 99_999})
    made = [
        b"".join(stored(gcp, upload(session, disk, run, name=method, method=method, compression_level=1)).pieces())
        for method in METHODS
    ]
    lkcloud.convert(disk, tmp_path / "converted.tar.gz", compression_level=1)
    converted = (tmp_path / "converted.tar.gz").read_bytes()
    assert made == [converted, converted]


def test_a_second_upload_sends_nothing(
    gcp: GcpStandIn, session: Session, bucket: str, make_disk: DiskMaker, run: Run, method: str
) -> None:
    disk = make_disk(20 * MIB, blocks=(0, 1, 20))
    first = upload(session, disk, run, method=method)
    gcp.traffic.clear()
    told = Noting()
    assert upload(session, disk, replace(run, reporter=told), method=method) == first
    assert gcp.traffic.received() < 1000
    assert "are there already" in told.notes[0]


def test_a_disk_that_changes_leaves_nothing(
    gcp: GcpStandIn, session: Session, bucket: str, make_disk: DiskMaker, run: Run, method: str
) -> None:
    disk = make_disk(20 * MIB, blocks=(0, 1, 20))
    source = source_of(disk)
    with disk.path.open("r+b") as file:
        file.write(b"changed")
    with pytest.raises(ImageChanged):
        gcp_upload(session, options_of(method=method), source, run)
    assert names(gcp) == []
    sessions = gcp.holdings.store.sessions.values()
    assert len(sessions) == counted(gcp, "objects.start") == (method == "resumable")
    assert all(one.cancelled for one in sessions)


def test_an_object_of_somebody_else_stays(
    gcp: GcpStandIn, session: Session, bucket: str, make_disk: DiskMaker, run: Run, method: str
) -> None:
    disk = make_disk(BLOCK, blocks=(0,))
    name = f"lkcloud/image/{disk.content().digest}.tar.gz"
    session.storage.bucket(BUCKET).blob(name).upload_from_string(b"mine")
    with pytest.raises(Conflict, match="did not make it"):
        upload(session, disk, run, method=method)
    assert session.storage.bucket(BUCKET).blob(name).download_as_bytes() == b"mine"


def test_two_runs_of_one_machine_are_a_conflict(
    session: Session, bucket: str, make_disk: DiskMaker, run: Run, method: str
) -> None:
    disk = make_disk(BLOCK, blocks=(0,))
    key = f"gcp {session.storage_url} {BUCKET}/lkcloud/image/{disk.content().digest}.tar.gz"
    with run.journal.transfer(key), pytest.raises(Conflict, match="another run"):
        upload(session, disk, run, method=method)


@pytest.mark.parametrize("key", [KEY, None])
def test_the_objects_are_encrypted_with_the_key_that_was_asked_for(
    gcp: GcpStandIn, session: Session, bucket: str, make_disk: DiskMaker, run: Run, method: str, key: str | None
) -> None:
    disk = make_disk(20 * MIB, blocks=tuple(range(40)))
    plain = upload(session, disk, run, method=method)
    again = upload(session, disk, run, method=method, object_kms_key=key)
    assert stored(gcp, again).kms_key == (key or "")
    assert (again.id == plain.id) is (key is None)


def test_a_token_that_is_taken_back_is_renewed(
    gcp: GcpStandIn, session: Session, bucket: str, make_disk: DiskMaker, run: Run, tmp_path: Path
) -> None:
    disk = make_disk(20 * MIB, blocks=tuple(range(40)))
    session.credentials.refresh(google.auth.transport.requests.Request())
    before = session.credentials.token

    def take_back(one: Seen) -> None:
        if one.operation == "objects.put":  # a session's URL needs no token
            gcp._keys._tokens.pop(before, None)

    gcp.traffic.hooks.append(take_back)
    blob = upload(session, disk, run)
    assert session.credentials.token != before
    assert 401 in {one.status for one in seen(gcp, "objects.put")}
    assert_same_bytes(gcp, blob, disk, tmp_path)


def test_credentials_that_are_good_no_longer_end_the_upload(
    gcp: GcpStandIn, session: Session, bucket: str, make_disk: DiskMaker, run: Run, method: str
) -> None:
    disk = make_disk(20 * MIB, blocks=tuple(range(40)))

    def expire(one: Seen) -> None:
        if one.operation in ("objects.put", "objects.start"):
            gcp.expire_credentials()

    gcp.traffic.hooks.append(expire)
    with pytest.raises(NotAuthenticated):
        upload(session, disk, run, method=method)
