# SPDX-License-Identifier: Apache-2.0
"""Images: what images.insert takes and refuses, how they are shown, changed and deleted."""

import base64
import time
import uuid
from pathlib import Path
from typing import Any

import pytest
from google.cloud import compute_v1
from google.cloud.compute_v1 import (
    CustomerEncryptionKey,
    DeprecationStatus,
    FileContentBuffer,
    GuestOsFeature,
    InitialStateConfig,
    RawDisk,
)

from lkcloud_gcp.sandbox import GcpStandIn
from lkcloud_gcp.sandbox.image_rules import FEATURES
from tests.gcp_sandbox.computing import BUCKET, Computing, refused

SOURCE = f"https://storage.googleapis.com/{BUCKET}/disk.tar.gz"
KEY = "projects/p/locations/us/keyRings/r/cryptoKeys/k"
PEM = base64.b64encode(b"a certificate").decode()


@pytest.fixture
def engine(gcp: GcpStandIn, tmp_path: Path) -> Computing:
    return Computing.of(gcp, tmp_path)


def features(*names: str) -> list[GuestOsFeature]:
    return [GuestOsFeature(type_=name) for name in names]


def keys(content: str = PEM, file_type: str = "X509") -> InitialStateConfig:
    return InitialStateConfig(pk=FileContentBuffer(content=content, file_type=file_type))


def test_everything_that_is_asked_for_is_shown(engine: Computing) -> None:
    shown = engine.image(
        "every-thing",
        family="things",
        description="Ünïcode",
        architecture="ARM64",
        guest_os_features=features("UEFI_COMPATIBLE", "GVNIC", "IDPF"),
        licenses=["https://www.googleapis.com/compute/v1/projects/vm-options/global/licenses/enable-vmx"],
        labels={"lkcloud-digest": "0" * 63, "empty": "", "größe": "groß_1"},
        storage_locations=["eu"],
        shielded_instance_initial_state=InitialStateConfig(
            pk=FileContentBuffer(content=PEM, file_type="X509"),
            dbs=[FileContentBuffer(content=PEM, file_type="BIN"), FileContentBuffer(content=PEM, file_type="X509")],
        ),
        image_encryption_key=CustomerEncryptionKey(kms_key_name=KEY, kms_key_service_account="a@b.iam"),
    )
    assert (shown.status, shown.family, shown.description, shown.architecture) == (
        "READY",
        "things",
        "Ünïcode",
        "ARM64",
    )
    assert [feature.type_ for feature in shown.guest_os_features] == ["UEFI_COMPATIBLE", "GVNIC", "IDPF"]
    assert next(iter(shown.licenses)).endswith("licenses/enable-vmx")
    assert dict(shown.labels)["größe"] == "groß_1"
    assert list(shown.storage_locations) == ["eu"]
    assert shown.shielded_instance_initial_state.pk.content == PEM
    assert [key.file_type for key in shown.shielded_instance_initial_state.dbs] == ["BIN", "X509"]
    assert shown.image_encryption_key.kms_key_name == f"{KEY}/cryptoKeyVersions/1"
    assert shown.image_encryption_key.kms_key_service_account == "a@b.iam"
    assert (shown.raw_disk.source, shown.raw_disk.container_type) == (SOURCE, "TAR")
    assert shown.self_link.endswith("/projects/lkcloud-sandbox/global/images/every-thing")
    assert shown.archive_size_bytes == len(engine.packed())
    assert shown.id > 1 << 60
    assert shown.creation_timestamp.endswith("+00:00")


@pytest.mark.parametrize(
    "form",
    [
        "https://storage.googleapis.com/disks/a%20b/disk.tar.gz",
        "https://storage.googleapis.com/disks/a b/disk.tar.gz",
        "https://www.googleapis.com/storage/v1/b/disks/o/a%20b%2Fdisk.tar.gz",
        "https://storage.googleapis.com/storage/v1/b/disks/o/a b/disk.tar.gz",
    ],
)
def test_forms_of_the_source(engine: Computing, form: str) -> None:
    engine.disk()
    engine.put(engine.packed(), "a b/disk.tar.gz")
    engine.image(source=form)


@pytest.mark.parametrize(
    ("reason", "fields"),
    [
        ("required", {"name": ""}),
        *(("invalid", {"name": name}) for name in ("Upper", "1digit", "a-", "under_score", "a.b", "a" * 64, "ä")),
        ("invalid", {"family": "No_Family"}),
        ("invalid", {"architecture": "x86_64"}),
        ("invalid", {"source_type": "VHD"}),
        ("invalid", {"guest_os_features": features("UEFI")}),
        ("invalid", {"guest_os_features": features("SECURE_BOOT")}),
        ("invalid", {"guest_os_features": features("")}),
        *(
            ("invalid", {"architecture": "ARM64", "guest_os_features": features(name)})
            for name in ("SEV_CAPABLE", "SEV_SNP_CAPABLE", "SEV_LIVE_MIGRATABLE_V2", "TDX_CAPABLE", "SNP_SVSM_CAPABLE")
        ),
        ("invalid", {"licenses": ["enable-vmx"]}),
        ("invalid", {"storage_locations": ["EU"]}),
        ("invalid", {"storage_locations": ["us-central1-a"]}),
        ("invalid", {"image_encryption_key": CustomerEncryptionKey(kms_key_name="k")}),
        ("invalid", {"image_encryption_key": CustomerEncryptionKey(raw_key="AAAA")}),
        ("invalid", {"shielded_instance_initial_state": keys("not base64!")}),
        ("invalid", {"shielded_instance_initial_state": keys("")}),
        ("invalid", {"shielded_instance_initial_state": keys(PEM, "PEM")}),
        ("invalid", {"shielded_instance_initial_state": keys(PEM, "UNDEFINED")}),
        ("invalid", {"labels": {"Upper": "a"}}),
        ("invalid", {"labels": {"1a": "a"}}),
        ("invalid", {"labels": {"": "a"}}),
        ("invalid", {"labels": {"a": "Upper"}}),
        ("invalid", {"labels": {"a": "dot.ted"}}),
        ("invalid", {"labels": {"a": "1" * 64}}),
        ("invalid", {"labels": {"a" * 64: "1"}}),
        ("invalid", {"labels": {f"a{number}": "" for number in range(65)}}),
        ("invalid", {"raw_disk": RawDisk(source=SOURCE, container_type="ZIP")}),
        ("required", {"raw_disk": RawDisk(container_type="TAR")}),
        ("invalid", {"raw_disk": RawDisk(source=SOURCE, sha1_checksum="0" * 40)}),
        ("invalidResourceUsage", {"raw_disk": None}),
        ("invalidResourceUsage", {"source_image": "global/images/other"}),
        ("invalid", {"raw_disk": None, "source_disk": "zones/us-central1-a/disks/d"}),
        *(
            ("invalid", {"raw_disk": RawDisk(source=url)})
            for url in (
                "gs://disks/disk.tar.gz",
                "disks/disk.tar.gz",
                "http://storage.googleapis.com/disks/disk.tar.gz",
                "https://storage.googleapis.com/disk.tar.gz",
                "https://storage.cloud.google.com/disks/disk.tar.gz",
                "https://storage.googleapis.com/disks/disk.tar.gz?generation=1",
                "https://storage.googleapis.com/disks/disk.tgz",
                "https://storage.googleapis.com/disks/disk.raw",
                "https://www.googleapis.com/storage/v1/b/disks/disk.tar.gz",
            )
        ),
    ],
)
def test_what_insert_refuses(engine: Computing, reason: str, fields: dict[str, Any]) -> None:
    chosen = {"name": "image", **fields}
    refused(400, reason, engine.insert, source=SOURCE, **chosen)
    assert list(engine.images.list(project=engine.project)) == []


def test_the_features_are_those_of_the_model() -> None:
    model = set(GuestOsFeature.Type.__members__) - {"UNDEFINED_TYPE", "FEATURE_TYPE_UNSPECIFIED", "SECURE_BOOT"}
    assert model == set(FEATURES)


def test_a_size_smaller_than_the_disk(engine: Computing) -> None:
    engine.disk(size=2 << 30)
    source = engine.put(engine.packed())
    assert engine.failed(engine.insert("image", source, disk_size_gb=1)).startswith("INVALID_FIELD_VALUE")
    assert engine.image("larger", source, disk_size_gb=10).disk_size_gb == 10


def test_while_it_is_made(engine: Computing) -> None:
    source = engine.small()
    engine.cloud.windows.image_import = 0.6
    operation = engine.insert("image", source)
    shown = engine.get()
    assert shown.status == "PENDING"
    assert operation.target_id == shown.id
    refused(409, "alreadyExists", engine.insert, "image", source)
    refused(400, "resourceNotReady", engine.images.delete_unary, project=engine.project, image="image", retry=None)
    refused(
        400,
        "resourceNotReady",
        engine.images.deprecate_unary,
        project=engine.project,
        image="image",
        deprecation_status_resource=DeprecationStatus(state="DEPRECATED"),
    )
    engine.done(operation)
    assert engine.get().status == "READY"
    refused(409, "alreadyExists", engine.insert, "image", source)


def test_the_same_request_id_is_the_same_operation(engine: Computing) -> None:
    source, request_id = engine.small(), str(uuid.uuid4())
    first = engine.insert("image", source, request_id=request_id)
    assert first.client_operation_id == request_id
    engine.done(first)
    assert engine.insert("image", source, request_id=request_id.upper()).name == first.name
    # What was made is gone, and the request is still an old one: nothing is made again.
    engine.done(engine.images.delete_unary(project=engine.project, image="image"))
    assert engine.insert("image", source, request_id=request_id).name == first.name
    refused(404, "notFound", engine.get)
    refused(400, "invalid", engine.insert, "other", source, request_id=request_id)


def test_a_failed_operation_is_given_again(engine: Computing) -> None:
    request_id = str(uuid.uuid4())
    first = engine.insert("image", SOURCE, request_id=request_id)
    engine.failed(first)
    source = engine.small()
    assert "not found" in engine.failed(engine.insert("image", source, request_id=request_id))
    engine.image("image", source)


@pytest.mark.parametrize("request_id", ["1", "not-a-uuid", str(uuid.UUID(int=0)), uuid.UUID(int=1 << 100).hex])
def test_request_ids_that_are_no_uuid(engine: Computing, request_id: str) -> None:
    refused(400, "invalid", engine.insert, "image", SOURCE, request_id=request_id)


def test_delete(engine: Computing) -> None:
    engine.image()
    file = engine.cloud.image_file("image")
    engine.cloud.windows.operation = 0.4
    operation = engine.images.delete_unary(project=engine.project, image="image")
    assert (operation.operation_type, engine.get().status) == ("delete", "DELETING")
    refused(400, "resourceNotReady", engine.images.delete_unary, project=engine.project, image="image", retry=None)
    refused(409, "alreadyExists", engine.insert, "image", SOURCE)
    engine.done(operation)
    assert not file.exists()
    refused(404, "notFound", engine.get)
    refused(404, "notFound", engine.images.delete_unary, project=engine.project, image="image", retry=None)


def test_patch(engine: Computing) -> None:
    engine.image(description="before")

    def patch(**fields: Any) -> compute_v1.Operation:
        resource = compute_v1.Image(**fields)
        return engine.images.patch_unary(project=engine.project, image="image", image_resource=resource, retry=None)

    engine.done(patch(family="first"))
    assert (engine.get().family, engine.get().description) == ("first", "before")
    engine.done(patch(family="", description="after", deprecated=DeprecationStatus(state="DEPRECATED")))
    shown = engine.get()
    assert (shown.family, shown.description, shown.deprecated.state) == ("", "after", "DEPRECATED")
    refused(400, "invalid", patch, labels={"a": "b"})
    refused(400, "invalid", patch, family="Not_A_Name")
    refused(400, "invalid", patch, architecture="ARM64")


def test_a_change_is_seen_when_its_operation_is_done(engine: Computing) -> None:
    engine.image()
    engine.cloud.windows.operation = 0.4
    resource = compute_v1.Image(family="later")
    operation = engine.images.patch_unary(project=engine.project, image="image", image_resource=resource)
    assert engine.get().family == ""
    engine.done(operation)
    assert engine.get().family == "later"


def deprecate(engine: Computing, name: str = "image", **status: str) -> compute_v1.Operation:
    resource = DeprecationStatus(**status)
    return engine.images.deprecate_unary(
        project=engine.project, image=name, deprecation_status_resource=resource, retry=None
    )


def test_deprecate(engine: Computing) -> None:
    engine.image()
    replacement = "projects/lkcloud-sandbox/global/images/image-2"
    past = "2020-01-01T00:00:00Z"
    engine.done(deprecate(engine, state="ACTIVE", deprecated=past, obsolete="2030-01-01T00:00:00.000-08:00"))
    # The dates are informational: the status does not change by them.
    assert (engine.get().deprecated.state, engine.get().deprecated.deprecated) == ("ACTIVE", past)
    engine.done(deprecate(engine, state="DEPRECATED", replacement=replacement))
    assert engine.get().deprecated == DeprecationStatus(state="DEPRECATED", replacement=replacement)
    engine.done(deprecate(engine))
    assert engine.get().deprecated == DeprecationStatus()


@pytest.mark.parametrize(
    "status",
    [
        {"state": "OLD"},
        {"state": "DEPRECATED", "deprecated": "2020-01-01"},
        {"state": "DEPRECATED", "obsolete": "2020-01-01T00:00:00"},
        {"state": "DEPRECATED", "deleted": "tomorrow"},
        {"state": "DEPRECATED", "replacement": "image-2"},
    ],
)
def test_what_deprecate_refuses(engine: Computing, status: dict[str, str]) -> None:
    engine.image()
    refused(400, "invalid", deprecate, engine, **status)


def test_a_family_leads_to_its_newest_image_that_is_not_deprecated(engine: Computing) -> None:
    source = engine.small()
    for name in ("b-older", "a-newer"):
        engine.image(name, source, family="things")
        time.sleep(0.01)

    def head() -> str:
        return engine.images.get_from_family(project=engine.project, family="things", retry=None).name

    assert head() == "a-newer"
    engine.done(deprecate(engine, "a-newer", state="DEPRECATED"))
    assert head() == "b-older"
    engine.done(deprecate(engine, "b-older", state="ACTIVE", deprecated="2020-01-01T00:00:00Z"))
    assert head() == "b-older"
    engine.done(deprecate(engine, "b-older", state="OBSOLETE"))
    refused(404, "notFound", head)
    engine.done(deprecate(engine, "a-newer"))
    assert head() == "a-newer"
    refused(404, "notFound", engine.images.get_from_family, project=engine.project, family="none", retry=None)


def set_labels(engine: Computing, labels: dict[str, str], fingerprint: str | None = None) -> compute_v1.Operation:
    request = compute_v1.GlobalSetLabelsRequest(labels=labels)
    if fingerprint is not None:
        request.label_fingerprint = fingerprint
    return engine.images.set_labels_unary(
        project=engine.project, resource="image", global_set_labels_request_resource=request, retry=None
    )


def test_labels_are_guarded_by_their_fingerprint(engine: Computing) -> None:
    first = engine.image(labels={"a": "1"}).label_fingerprint
    engine.done(set_labels(engine, {"b": "2"}, first))
    shown = engine.get()
    assert (dict(shown.labels), shown.label_fingerprint == first) == ({"b": "2"}, False)
    for stale in (first, "", None, "garbage"):
        refused(412, "conditionNotMet", set_labels, engine, {"c": "3"}, stale)
    refused(400, "invalid", set_labels, engine, {"C": "3"}, shown.label_fingerprint)
    # Of two at once one is too late, and says so in its operation.
    engine.cloud.windows.operation = 0.3
    one = set_labels(engine, {"d": "4"}, shown.label_fingerprint)
    other = set_labels(engine, {"e": "5"}, shown.label_fingerprint)
    errors = [error.code for operation in (one, other) for error in engine.wait(operation).error.errors]
    assert errors == ["CONDITION_NOT_MET"]
