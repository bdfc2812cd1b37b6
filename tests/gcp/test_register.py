# SPDX-License-Identifier: Apache-2.0
"""Images: made once, with all that the options say, whatever happens; the tarball goes when it is done with."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lkcloud.disk import Disk, open_disk
from lkcloud.errors import Conflict, LkcloudError, NotFound, Refused, Unreachable, UsageError
from lkcloud.provider import Blob, Run
from lkcloud.sandbox.http import Response
from lkcloud.sandbox.tinydisk import write_tiny_disk
from lkcloud_gcp import GcpOptions, images, leftovers, naming
from lkcloud_gcp.sandbox import GcpStandIn
from lkcloud_gcp.sandbox.errors import ApiError
from lkcloud_gcp.session import Session
from tests.gcp.imaging import (
    BUCKET,
    DIGEST,
    GIB,
    OTHER_DIGEST,
    Interrupting,
    hold,
    is_there,
    put,
    registration,
    tarball,
)
from tests.gcp.pushing import Noting, answer, counted, lose_answers, refuse

KEY = "projects/p/locations/us/keyRings/r/cryptoKeys/k"


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return tarball(tmp_path_factory.mktemp("good"))


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    write_tiny_disk(tmp_path / "tiny.raw")
    with open_disk(tmp_path / "tiny.raw") as opened:
        yield opened


@pytest.fixture
def blob(session: Session, good: bytes) -> Blob:
    return put(session, good)


def shown(session: Session, name: str = "image") -> Any:
    return session.images.get(project=session.project, image=name)


def test_an_image_with_nothing_left_to_defaults(
    gcp: GcpStandIn, session: Session, disk: Disk, blob: Blob, run: Run
) -> None:
    image = registration(session, disk, label=("team=os",)).register(blob, run)
    assert (image.id, image.name, image.region, image.state, image.ready) == ("image", "image", "global", "READY", True)
    assert image.digest == DIGEST
    assert image.architecture == "X86_64"
    assert image.created is not None
    assert image.created.tzinfo is not None
    found = shown(session)
    assert [feature.type_ for feature in found.guest_os_features] == [
        "VIRTIO_SCSI_MULTIQUEUE",
        "GVNIC",
        "UEFI_COMPATIBLE",
    ]
    assert dict(found.labels) == {"team": "os", **naming.labels_of(DIGEST)}
    assert found.description == "a description"
    assert found.disk_size_gb == 1
    assert not found.family
    assert found.raw_disk.source == f"https://storage.googleapis.com/registrations/lkcloud/image/{DIGEST}.tar.gz"
    with gcp.image_file("image").open("rb") as file:
        file.seek(GIB - 4096)
        assert file.read(14) == b"lkcloudlkcloud"


def test_every_option_reaches_the_image(session: Session, disk: Disk, blob: Blob, run: Run, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_bytes(b"\x30\x04\x30\x02\x05\x00")
    image = registration(
        session,
        disk,
        architecture="ARM64",
        guest_os_feature=("UEFI_COMPATIBLE", "IDPF"),
        license=(
            "projects/vm-options/global/licenses/enable-vmx",
            "https://www.googleapis.com/compute/v1/projects/p/global/licenses/l",
        ),
        storage_location=("eu",),
        kms_key=KEY,
        kms_service_account="keys@p.iam.gserviceaccount.com",
        platform_key=key,
        key_exchange_key=(key,),
        signature_db=(key, key),
        revoked_db=(key,),
        family="not-yet",
    ).register(blob, run)
    assert image.architecture == "ARM64"
    found = shown(session)
    assert [feature.type_ for feature in found.guest_os_features] == ["UEFI_COMPATIBLE", "IDPF"]
    assert list(found.licenses) == [
        "https://www.googleapis.com/compute/v1/projects/vm-options/global/licenses/enable-vmx",
        "https://www.googleapis.com/compute/v1/projects/p/global/licenses/l",
    ]
    assert list(found.storage_locations) == ["eu"]
    assert found.image_encryption_key.kms_key_name.startswith(KEY)
    assert found.image_encryption_key.kms_key_service_account == "keys@p.iam.gserviceaccount.com"
    state = found.shielded_instance_initial_state
    assert state.pk.file_type == "X509"
    assert [len(keys) for keys in (state.keks, state.dbs, state.dbxs)] == [1, 2, 1]
    assert not found.family


def test_the_tarball_goes_when_the_image_is_ready(
    gcp: GcpStandIn, session: Session, disk: Disk, blob: Blob, run: Run
) -> None:
    registration(session, disk).register(blob, run)
    assert not is_there(gcp, blob)


def test_the_tarball_stays_if_it_is_to_be_kept(
    gcp: GcpStandIn, session: Session, disk: Disk, blob: Blob, run: Run
) -> None:
    options = GcpOptions(bucket=BUCKET)
    assert [one.kept for one in leftovers.leftovers(session, options, "image")] == [False]
    lose_answers(gcp, "objects.patch")
    registration(session, disk, keep_object=True).register(blob, run)
    assert is_there(gcp, blob)
    [left] = leftovers.leftovers(session, options, "image")
    assert (left.id, left.kept) == (blob.id, True)
    leftovers.delete(session, options, left)
    assert not is_there(gcp, blob)


def test_a_tarball_that_cannot_be_marked_as_kept_is_told(
    gcp: GcpStandIn, session: Session, disk: Disk, blob: Blob, run: Run
) -> None:
    refuse(gcp, "objects.patch", ApiError(403, "forbidden", "no storage.objects.update access"))
    noting = Noting()
    assert registration(session, disk, keep_object=True).register(blob, Run(run.journal, noting)).ready
    [warning] = noting.warnings
    assert "is not marked as kept" in warning


def test_a_tarball_that_may_not_be_removed_is_told(
    gcp: GcpStandIn, session: Session, disk: Disk, blob: Blob, run: Run
) -> None:
    refuse(gcp, "objects.delete", ApiError(403, "forbidden", "no storage.objects.delete access"))
    noting = Noting()
    assert registration(session, disk).register(blob, Run(run.journal, noting)).ready
    [warning] = noting.warnings
    assert blob.id in warning


def test_again_gives_the_same_image(gcp: GcpStandIn, session: Session, disk: Disk, blob: Blob, run: Run) -> None:
    first = registration(session, disk).register(blob, run)
    assert registration(session, disk).register(blob, run) == first
    assert counted(gcp, "images.insert") == 1


def test_an_image_deleted_can_be_made_again_from_the_same_tarball(
    gcp: GcpStandIn, session: Session, disk: Disk, blob: Blob, run: Run
) -> None:
    first = registration(session, disk, keep_object=True).register(blob, run)
    images.delete(session, first)
    second = registration(session, disk, keep_object=True).register(blob, run)
    assert second.ready
    assert second.created != first.created
    assert counted(gcp, "images.insert") == 2


@pytest.mark.parametrize("operation", ["images.insert", "images.get", "globalOperations.get", "objects.delete"])
def test_a_lost_answer_makes_one_image(
    operation: str, gcp: GcpStandIn, session: Session, disk: Disk, blob: Blob, run: Run
) -> None:
    lose_answers(gcp, operation)
    assert registration(session, disk).register(blob, run).ready
    assert [image.id for image in images.every(session)] == ["image"]
    assert not is_there(gcp, blob)


def test_throttles_are_waited_out(gcp: GcpStandIn, session: Session, disk: Disk, blob: Blob, run: Run) -> None:
    limited = ApiError(403, "RESOURCE_OPERATION_RATE_EXCEEDED", "Operation rate exceeded for resource 'projects/p'.")
    refuse(gcp, "images.insert", limited, times=3)
    gcp.traffic.throttle("images.get", 2)
    assert registration(session, disk).register(blob, run).ready
    assert len(images.every(session)) == 1


def test_ctrl_c_leaves_the_import_and_the_next_run_goes_on_with_it(
    gcp: GcpStandIn, session: Session, disk: Disk, blob: Blob, run: Run
) -> None:
    gcp.windows.image_import = 1.0
    with pytest.raises(KeyboardInterrupt):
        registration(session, disk).register(blob, Run(run.journal, Interrupting()))
    assert is_there(gcp, blob)
    found = images.find(session, "image")
    assert found is not None
    assert (found.state, found.ready, found.digest) == ("PENDING", False, DIGEST)
    assert registration(session, disk).register(blob, run).ready
    assert counted(gcp, "images.insert") == 1
    assert not is_there(gcp, blob)


def test_the_failure_of_an_import_that_another_run_began_is_told(
    gcp: GcpStandIn, session: Session, disk: Disk, run: Run
) -> None:
    blob = put(session, b"no tarball")
    gcp.windows.image_import = 1.0
    with pytest.raises(KeyboardInterrupt):
        registration(session, disk).register(blob, Run(run.journal, Interrupting()))
    with pytest.raises(Refused, match="not a valid image"):
        registration(session, disk).register(blob, run)
    assert counted(gcp, "images.insert") == 1


def test_who_may_not_list_operations_waits_for_the_image(
    gcp: GcpStandIn, session: Session, disk: Disk, blob: Blob, run: Run
) -> None:
    gcp.windows.image_import = 1.0
    with pytest.raises(KeyboardInterrupt):
        registration(session, disk).register(blob, Run(run.journal, Interrupting()))
    refuse(gcp, "globalOperations.list", ApiError(403, "forbidden", "Required 'compute.globalOperations.list'"), 99)
    assert registration(session, disk).register(blob, run).ready
    assert counted(gcp, "images.insert") == 1


def test_the_time_limit_leaves_the_import_at_work(
    gcp: GcpStandIn, session: Session, disk: Disk, blob: Blob, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    gcp.windows.image_import = 3.0
    chosen = registration(session, disk)
    short = chosen.options.model_copy(update={"import_timeout": 0.01})  # minutes
    with pytest.raises(Unreachable, match="not done") as raised:
        type(chosen)(session, short, chosen.source).register(blob, run)
    assert "goes on at Google" in raised.value.hint
    assert is_there(gcp, blob)
    assert chosen.register(blob, run).ready
    assert counted(gcp, "images.insert") == 1


def test_a_name_with_other_content_is_a_conflict(
    gcp: GcpStandIn, session: Session, disk: Disk, good: bytes, blob: Blob, run: Run
) -> None:
    registration(session, disk).register(blob, run)
    other = put(session, good, digest=OTHER_DIGEST)
    with pytest.raises(Conflict, match="other content") as raised:
        registration(session, disk, digest=OTHER_DIGEST).register(other, run)
    assert "--replace" in raised.value.hint
    assert is_there(gcp, other)
    assert images.find(session, "image") is not None


def test_an_image_that_is_not_ours_is_a_conflict(
    gcp: GcpStandIn, session: Session, disk: Disk, blob: Blob, run: Run
) -> None:
    hold(gcp, digest="")
    with pytest.raises(Conflict):
        registration(session, disk).register(blob, run)


def test_two_runs_at_once_make_one_image(gcp: GcpStandIn, session: Session, disk: Disk, blob: Blob, run: Run) -> None:
    """Both have looked and seen nothing when both ask for the image; the one that comes second joins."""
    gate = threading.Barrier(2, timeout=10)
    met: list[int] = []

    def together(seen: Any) -> None:
        if seen.phase == "before" and seen.operation == "images.insert" and len(met) < 2:
            met.append(seen.number)
            gate.wait()

    gcp.traffic.hooks.append(together)
    gcp.windows.image_import = 0.5
    made: list[str] = []

    def other() -> None:
        made.append(registration(session, disk, keep_object=True).register(blob, run).state)

    thread = threading.Thread(target=other)
    thread.start()
    made.append(registration(session, disk, keep_object=True).register(blob, run).state)
    thread.join()
    assert made == ["READY", "READY"]
    assert counted(gcp, "images.insert") == 2
    assert len(images.every(session)) == 1


def test_an_image_that_has_failed_makes_room(
    gcp: GcpStandIn, session: Session, disk: Disk, blob: Blob, run: Run
) -> None:
    hold(gcp, state="FAILED")
    assert registration(session, disk).register(blob, run).ready
    assert counted(gcp, "images.delete") == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [("not gzip", "not a valid image"), ("member", "should be named"), ("size", "whole number of GiB")],
)
def test_a_bad_tarball_is_told_and_removed(
    content: str, message: str, gcp: GcpStandIn, session: Session, disk: Disk, run: Run, tmp_path: Path
) -> None:
    bad = {
        "not gzip": lambda: b"no tarball",
        "member": lambda: tarball(tmp_path, member="other.raw"),
        "size": lambda: tarball(tmp_path, size=GIB + 4096),
    }[content]()
    blob = put(session, bad)
    with pytest.raises(Refused, match=message) as raised:
        registration(session, disk).register(blob, run)
    assert "convert" in raised.value.hint
    assert not is_there(gcp, blob)
    assert images.find(session, "image") is None


def test_a_bad_tarball_stays_if_it_is_to_be_kept(gcp: GcpStandIn, session: Session, disk: Disk, run: Run) -> None:
    blob = put(session, b"no tarball")
    with pytest.raises(Refused):
        registration(session, disk, keep_object=True).register(blob, run)
    assert is_there(gcp, blob)


def test_after_a_failed_import_the_same_command_makes_the_image(
    session: Session, disk: Disk, good: bytes, run: Run
) -> None:
    with pytest.raises(Refused):
        registration(session, disk).register(put(session, b"no tarball"), run)
    assert registration(session, disk).register(put(session, good), run).ready


def test_a_tarball_that_is_gone_is_told(gcp: GcpStandIn, session: Session, disk: Disk, blob: Blob, run: Run) -> None:
    session.storage.bucket("registrations").blob(f"lkcloud/image/{DIGEST}.tar.gz").delete()
    with pytest.raises(NotFound, match="not found") as raised:
        registration(session, disk).register(blob, run)
    assert "uploads the tarball anew" in raised.value.hint


@pytest.mark.parametrize(
    ("error", "expected", "hint"),
    [
        (ApiError(403, "quotaExceeded", "Quota 'IMAGES' exceeded. Limit: 100.0 globally."), Refused, "quota"),
        (
            ApiError(403, "forbidden", "Required 'compute.images.create' permission for 'projects/p/global/images/i'"),
            Refused,
            "compute.images.create",
        ),
        (
            ApiError(400, "invalid", "Invalid value for field 'resource.storageLocations': 'moon'."),
            UsageError,
            "option",
        ),
        (ApiError(403, "forbidden", "Cloud KMS key 'k' cannot be used by the service agent"), Refused, "cloudkms"),
    ],
)
def test_what_google_refuses_is_told_and_the_tarball_kept(
    error: ApiError,
    expected: type[LkcloudError],
    hint: str,
    gcp: GcpStandIn,
    session: Session,
    disk: Disk,
    blob: Blob,
    run: Run,
) -> None:
    refuse(gcp, "images.insert", error)
    with pytest.raises(expected) as raised:
        registration(session, disk).register(blob, run)
    assert hint in raised.value.hint
    assert is_there(gcp, blob)
    assert registration(session, disk).register(blob, run).ready


def ended(code: str, status: int, message: str) -> Response:
    """Return what an operation that has failed looks like."""
    document = {
        "kind": "compute#operation",
        "name": "operation-1",
        "operationType": "insert",
        "status": "DONE",
        "progress": 100,
        "error": {"errors": [{"code": code, "message": message}]},
        "httpErrorStatusCode": status,
    }
    return Response(200, {"Content-Type": "application/json"}, json.dumps(document).encode())


@pytest.mark.parametrize(
    ("code", "status", "message", "expected", "hint"),
    [
        ("QUOTA_EXCEEDED", 403, "Quota 'IMAGES' exceeded.  Limit: 100.0 globally.", Refused, "quota"),
        (
            "KMS_KEY_ERROR",
            400,
            "Cloud KMS error when using key k: Permission denied.",
            LkcloudError,
            "cloudkms",
        ),
        ("INTERNAL_ERROR", 503, "Internal error. Please try again or contact Google Support.", Unreachable, "again"),
    ],
)
def test_an_import_that_fails_for_another_reason_keeps_the_tarball(
    code: str,
    status: int,
    message: str,
    expected: type[LkcloudError],
    hint: str,
    gcp: GcpStandIn,
    session: Session,
    disk: Disk,
    blob: Blob,
    run: Run,
) -> None:
    answer(gcp, "globalOperations.get", lambda _: ended(code, status, message))
    with pytest.raises(expected, match=code) as raised:
        registration(session, disk).register(blob, run)
    assert hint in raised.value.hint
    assert is_there(gcp, blob)


def test_a_throttle_that_the_operation_tells_is_waited_out(
    gcp: GcpStandIn, session: Session, disk: Disk, blob: Blob, run: Run
) -> None:
    limited = ended("RESOURCE_OPERATION_RATE_EXCEEDED", 403, "Operation rate exceeded for resource 'projects/p'.")
    answer(gcp, "globalOperations.get", lambda _: limited)
    assert registration(session, disk).register(blob, run).ready
    assert counted(gcp, "images.insert") == 2


def test_a_name_that_was_taken_in_the_end_is_looked_at(
    gcp: GcpStandIn, session: Session, disk: Disk, blob: Blob, run: Run
) -> None:
    taken = ended("RESOURCE_ALREADY_EXISTS", 409, "The resource 'projects/p/global/images/image' already exists")
    answer(gcp, "globalOperations.get", lambda _: taken)
    assert registration(session, disk).register(blob, run).ready
