# SPDX-License-Identifier: Apache-2.0
"""What pushes that died have left is found by name, and can be removed, twice."""

from datetime import UTC, datetime, timedelta

import pytest

from lkcloud.errors import Refused, UsageError
from lkcloud.provider import Blob
from lkcloud_gcp import GcpOptions, images, leftovers, naming
from lkcloud_gcp.sandbox import GcpStandIn
from lkcloud_gcp.sandbox.errors import ApiError
from lkcloud_gcp.session import Session
from tests.gcp.imaging import BUCKET, DIGEST, OTHER_DIGEST, hold, is_there, put
from tests.gcp.pushing import counted, refuse

OPTIONS = GcpOptions(bucket=BUCKET)


def listed(session: Session, name: str = "", options: GcpOptions = OPTIONS) -> list[Blob]:
    return list(leftovers.leftovers(session, options, name))


def instance(session: Session, name: str, zone: str, *, image: str) -> None:
    """Make a test instance as a push does."""
    from google.cloud import compute_v1

    disk = compute_v1.AttachedDiskInitializeParams(source_image=f"global/images/{image}")
    wanted = compute_v1.Instance(
        name=name,
        machine_type=f"zones/{zone}/machineTypes/e2-small",
        labels=naming.labels_of(DIGEST, {naming.IMAGE: image}),
        disks=[compute_v1.AttachedDisk(boot=True, auto_delete=True, initialize_params=disk)],
        network_interfaces=[compute_v1.NetworkInterface(network="global/networks/default")],
    )
    session.instances.insert_unary(project=session.project, zone=zone, instance_resource=wanted)


def test_nothing_and_no_bucket_is_nothing(gcp: GcpStandIn, session: Session) -> None:
    assert listed(session) == []
    assert listed(session, "image", GcpOptions()) == []
    assert counted(gcp, "objects.list") == 0


def test_tarballs_and_parts_of_one_name_and_of_all(gcp: GcpStandIn, session: Session) -> None:
    tarball = put(session, b"t")
    for number in (0, 1, 2):
        put(session, b"p", name="other", digest=OTHER_DIGEST, ending=f".parts/{number:06}")
    put(session, b"p", name="other", digest=DIGEST, ending=".parts/trailer")
    put(session, b"?", name="image", ending=".txt")
    bucket = session.storage.bucket(BUCKET)
    bucket.blob("lkcloud/notes.tar.gz").upload_from_string(b"not ours")
    bucket.blob(f"elsewhere/image/{DIGEST}.tar.gz").upload_from_string(b"not ours")

    assert listed(session, "image") == [tarball]
    parts = [Blob("gcp", "US", f"gs://{BUCKET}/lkcloud/other/{digest}.parts/", "upload", "other", digest, "unfinished")
             for digest in (DIGEST, OTHER_DIGEST)]  # fmt: skip
    assert listed(session, "other") == parts
    assert listed(session) == [tarball, *parts]
    assert listed(session, "oth") == []

    for blob in listed(session) * 2:
        leftovers.delete(session, OPTIONS, blob)
    assert listed(session) == []
    assert sorted(blob.name for blob in session.storage.list_blobs(BUCKET)) == [
        f"elsewhere/image/{DIGEST}.tar.gz",
        f"lkcloud/image/{DIGEST}.txt",
        "lkcloud/notes.tar.gz",
    ]


def test_all_of_it_has_dates(gcp: GcpStandIn, session: Session) -> None:
    put(session, b"t")
    put(session, b"p", name="other", ending=".parts/000000")
    hold(gcp, "image")
    hold(gcp, "bad", state="FAILED")
    instance(session, "one", "us-central1-a", image="image")
    now = datetime.now(UTC)
    found = {blob.kind: blob.created for blob in listed(session)}
    assert found.keys() == {"object", "upload", "image", "instance"}
    for created in found.values():
        assert created is not None
        assert timedelta(minutes=-1) < now - created < timedelta(minutes=5)


def test_an_upload_is_as_old_as_its_newest_part(gcp: GcpStandIn, session: Session) -> None:
    for number in (0, 1, 2):
        put(session, b"p", ending=f".parts/{number:06}")
    times = sorted(blob.time_created for blob in session.storage.list_blobs(BUCKET))
    [upload] = listed(session)
    assert upload.created == times[-1]


def test_a_tarball_that_was_replaced_is_not_deleted(gcp: GcpStandIn, session: Session) -> None:
    old = put(session, b"old")
    new = put(session, b"new")
    leftovers.delete(session, OPTIONS, old)
    assert is_there(gcp, new)


def test_the_bucket_that_lkcloud_makes(session: Session) -> None:
    session.storage.create_bucket(f"{session.project}-lkcloud")
    bucket = session.storage.bucket(f"{session.project}-lkcloud")
    bucket.blob(naming.tarball("lkcloud/", "image", DIGEST)).upload_from_string(b"t")
    [found] = listed(session, "image", GcpOptions())
    assert found.id.startswith(f"gs://{session.project}-lkcloud/lkcloud/image/")
    leftovers.delete(session, GcpOptions(), found)
    assert listed(session, "image", GcpOptions()) == []


def test_a_bucket_that_may_not_be_seen(gcp: GcpStandIn, session: Session) -> None:
    """What is in one that the user names is asked for; the default one may be anybody's."""
    tarball = put(session, b"t")
    denied = ApiError(403, "forbidden", "does not have storage.buckets.get access")
    refuse(gcp, "buckets.get", denied)
    assert listed(session, "image", GcpOptions()) == []
    refuse(gcp, "buckets.get", denied)
    assert [blob.id for blob in listed(session, "image")] == [tarball.id]
    refuse(gcp, "objects.list", ApiError(403, "forbidden", "does not have storage.objects.list access"))
    with pytest.raises(Refused, match=r"storage\.objects\.list"):
        listed(session, "image")


def test_images_that_have_failed(gcp: GcpStandIn, session: Session) -> None:
    hold(gcp, "image")
    hold(gcp, "bad", state="FAILED")
    hold(gcp, "worse", state="FAILED", digest=OTHER_DIGEST)
    hold(gcp, "theirs", state="FAILED", digest="")
    bad = Blob("gcp", "global", "bad", "image", "bad", DIGEST, "FAILED")
    assert listed(session, "bad") == [bad]
    assert [blob.id for blob in listed(session)] == ["bad", "worse"]
    assert listed(session, "image") == []
    for _ in range(2):
        leftovers.delete(session, OPTIONS, bad)
    assert images.find(session, "bad") is None


def test_test_instances_of_any_zone(gcp: GcpStandIn, session: Session) -> None:
    gcp.windows.page_size = 1
    hold(gcp, "image")
    instance(session, "one", "us-central1-a", image="image")
    instance(session, "two", "europe-west3-b", image="image")
    found = listed(session, "image")
    assert [(blob.id, blob.kind, blob.name, blob.digest) for blob in found] == [
        (f"projects/{session.project}/zones/{zone}/instances/{name}", "instance", "image", DIGEST)
        for zone, name in (("europe-west3-b", "two"), ("us-central1-a", "one"))
    ]
    assert [blob.id for blob in found] == [blob.id for blob in listed(session)]
    assert counted(gcp, "instances.aggregatedList") == 4
    assert listed(session, "other") == []
    for blob in [*found, *found]:
        leftovers.delete(session, OPTIONS, blob)
    assert listed(session) == []


def test_who_may_not_look_at_instances_has_started_none(gcp: GcpStandIn, session: Session) -> None:
    tarball = put(session, b"t")
    refuse(gcp, "instances.aggregatedList", ApiError(403, "forbidden", "Required 'compute.instances.list'"))
    assert listed(session) == [tarball]


@pytest.mark.parametrize(
    ("kind", "blob_id"),
    [
        ("instance", "one"),
        ("instance", "projects/another/zones/us-central1-a/instances/one"),
        ("upload", f"gs://{BUCKET}/"),
        ("upload", f"gs://{BUCKET}/lkcloud/"),
        ("object", f"gs://{BUCKET}/lkcloud/x.tar.gz"),
        ("snapshot", "snap-1"),
    ],
)
def test_what_is_not_known_is_not_deleted(kind: str, blob_id: str, gcp: GcpStandIn, session: Session) -> None:
    kept = put(session, b"t")
    gcp.traffic.clear()
    with pytest.raises(UsageError):
        leftovers.delete(session, OPTIONS, Blob("gcp", "", blob_id, kind))
    assert gcp.traffic.operations() == []
    assert is_there(gcp, kept)
