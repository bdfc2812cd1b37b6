# SPDX-License-Identifier: Apache-2.0
"""What Google Cloud would refuse is refused before it is asked."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lkcloud.disk import Disk
from lkcloud.disk.identity import Identity
from lkcloud.disk.inspect import DiskFacts
from lkcloud.provider import Finding, Source
from lkcloud_gcp import Gcp, GcpOptions
from lkcloud_gcp.naming import IMAGE_NAME
from lkcloud_gcp.validation import GIB, suggestion

KEY = "projects/p/locations/us/keyRings/r/cryptoKeys/k"
DER = bytes((0x30, 0x04, 0x30, 0x02, 0x05, 0x00))


def facts(
    *, bios: bool = True, loaders: tuple[str, ...] = ("BOOTX64.EFI",), architecture: str | None = "x86_64"
) -> DiskFacts:
    return DiskFacts(
        size=0,
        table="gpt",
        partitions=(),
        filesystem="",
        bios=bios,
        efi_loaders=loaders,
        architecture=architecture,  # type: ignore[arg-type]  # parameters are plain strings
        ukis=(),
        problems=(),
    )


ARM = facts(bios=False, loaders=("BOOTAA64.EFI",), architecture="arm64")
BIOS = facts(loaders=())
UEFI = facts(bios=False)


def disk_of(folder: Path, size: int) -> Disk:
    """Return a disk of any SIZE: what is tested is larger than file systems take, and only its size is looked at."""
    path = folder / "disk.raw"
    path.touch()
    descriptor = os.open(path, os.O_RDONLY)
    return Disk(path, descriptor, size=size, source=Identity.of_open(descriptor))


def look(
    folder: Path,
    *,
    size: int = GIB,
    seen: DiskFacts | None = None,
    name: str = "image",
    description: str = "",
    **options: object,
) -> list[Finding]:
    provider = Gcp(GcpOptions.model_validate(options))
    with disk_of(folder, size) as disk:
        return list(provider.validate(Source(disk, name, seen or facts(), description=description)))


def test_a_good_disk_has_no_finding(tmp_path: Path) -> None:
    assert look(tmp_path) == []
    assert look(tmp_path, seen=ARM) == []
    assert look(tmp_path, seen=BIOS) == []
    assert look(tmp_path, seen=UEFI) == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"name": ""}, "as the name of an image"),
        ({"name": "Image"}, "as the name of an image"),
        ({"name": "1image"}, "as the name of an image"),
        ({"name": "image-"}, "as the name of an image"),
        ({"name": "image\n"}, "as the name of an image"),
        ({"name": "a" * 64}, "as the name of an image"),
        ({"family": "My_Family"}, "as the name of a family"),
        ({"description": "x" * 2049}, "2049 characters"),
        ({"label": tuple(f"k{number}=v" for number in range(63))}, "more than the 64"),
        ({"license": ("enable-vmx",)}, "no licence"),
        ({"license": ("https://example.com/licenses/x",)}, "no licence"),
        ({"storage_location": ("EU",)}, "no storage location"),
        ({"zone": "us-central1"}, "no zone"),
        ({"size": 0}, "empty"),
        ({"size": 65_536 * GIB + 1}, "65537 GiB"),
        ({"bucket": "gs://bucket"}, "no name of a bucket"),
        ({"bucket": "Bucket"}, "no name of a bucket"),
        ({"bucket": "ab"}, "no name of a bucket"),
        ({"bucket": "a" * 64}, "no name of a bucket"),
        ({"bucket": "a..b"}, "no name of a bucket"),
        ({"bucket": f"a.{'b' * 64}"}, "no name of a bucket"),
        ({"bucket": "10.1.2.3"}, "no name of a bucket"),
        ({"bucket_location": "the moon"}, "no location of a bucket"),
        ({"object_prefix": "/images/"}, "--object-prefix"),
        ({"object_prefix": "a#b/"}, "--object-prefix"),
        ({"object_prefix": "a\nb/"}, "--object-prefix"),
        ({"object_prefix": "a%2Fb/"}, "--object-prefix"),
        ({"object_prefix": "a b/"}, "--object-prefix"),
        ({"object_prefix": "images/föö/"}, "--object-prefix"),
        ({"object_prefix": "a/../b/"}, "--object-prefix"),
        ({"object_prefix": "a//b/"}, "--object-prefix"),
        ({"object_prefix": "x" * 1000}, "too long"),
        ({"kms_service_account": "a@p.iam.gserviceaccount.com"}, "no key"),
        ({"kms_service_account": "a", "kms_key": KEY}, "no service account"),
        ({"kms_key": "keyRings/r/cryptoKeys/k"}, "--kms-key is no name"),
        ({"object_kms_key": "k"}, "--object-kms-key is no name"),
        ({"object_kms_key": f"{KEY}/cryptoKeyVersions/1"}, "without a version"),
        ({"object_kms_key": KEY, "bucket_location": "EU"}, "the key of the objects is in us"),
        ({"share_with": ("somebody@example.com",)}, "nobody to share with"),
        ({"share_with": ("domain:a@example.com",)}, "nobody to share with"),
        ({"share_with": ("user:nobody",)}, "nobody to share with"),
        ({"share_with": ("allAuthenticatedUsers",)}, "is everybody"),
        ({"guest_os_feature": ("UEFI_COMPATIBEL", "UEFI_COMPATIBLE")}, "no guest OS feature"),
        ({"guest_os_feature": ("uefi-compatible", "UEFI_COMPATIBLE")}, "no guest OS feature"),
        ({"guest_os_feature": ("SEV_CAPABLE", "UEFI_COMPATIBLE"), "seen": ARM}, "ARM64 has no SEV_CAPABLE"),
        ({"guest_os_feature": ("TDX_CAPABLE", "UEFI_COMPATIBLE"), "seen": ARM}, "ARM64 has no TDX_CAPABLE"),
        ({"guest_os_feature": ("SNP_SVSM_CAPABLE", "UEFI_COMPATIBLE"), "seen": ARM}, "ARM64 has no SNP"),
        ({"guest_os_feature": ("CCA_CAPABLE", "UEFI_COMPATIBLE")}, "X86_64 has no CCA_CAPABLE"),
        ({"guest_os_feature": ("GVNIC",), "seen": ARM}, "ARM64 boots by UEFI only"),
        ({"guest_os_feature": ("GVNIC",), "seen": UEFI}, "boots by UEFI only"),
        ({"guest_os_feature": ("UEFI_COMPATIBLE",), "seen": BIOS}, "no EFI/BOOT/BOOTX64.EFI"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_an_obstacle(tmp_path: Path, options: dict[str, object], words: str) -> None:
    obstacles = [finding for finding in look(tmp_path, **options) if finding.obstacle]  # type: ignore[arg-type]  # mixed
    assert len(obstacles) == 1, obstacles
    assert words in obstacles[0].problem
    assert obstacles[0].hint


@pytest.mark.parametrize(
    "options",
    [
        {"name": "a"},
        {"name": "a" + "-9" * 31},
        {"family": "images-arm64"},
        {"label": tuple(f"k{number}=v" for number in range(62))},
        {"license": ("projects/vm-options/global/licenses/enable-vmx",)},
        {"license": ("https://www.googleapis.com/compute/v1/projects/vm-options/global/licenses/enable-vmx",)},
        {"storage_location": ("eu", "europe-west3", "asia1", "us")},
        {"zone": "northamerica-northeast1-a"},
        {"size": 65_536 * GIB},
        {"bucket": "my_bucket.example-1.com"},
        {"bucket": "b" * 63, "bucket_location": "the moon, which does not matter"},
        {"object_prefix": ""},
        {"object_prefix": "images/v1.2_x~/..a"},
        {"kms_key": KEY, "kms_service_account": "a@p.iam.gserviceaccount.com"},
        {"kms_key": f"{KEY}/cryptoKeyVersions/7"},
        {"object_kms_key": KEY},
        {"object_kms_key": KEY.replace("/us/", "/europe/"), "bucket_location": "EU"},
        {"object_kms_key": KEY.replace("/us/", "/europe-west3/"), "bucket_location": "europe-west3"},
        {"object_kms_key": KEY, "bucket": "theirs", "bucket_location": "EU"},
        {"share_with": ("user:a@example.com", "group:b@example.com", "serviceAccount:c@p.iam.gserviceaccount.com")},
        {"share_with": ("domain:example.com", "serviceAccount:p.svc.id.goog[space/name]")},
        {"share_with": ("principal://iam.googleapis.com/locations/global/workforcePools/p/subject/s",)},
        {"share_with": ("principalSet://iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/*",)},
        {"public": True},
        {"guest_os_feature": ("UEFI_COMPATIBLE", "SEV_CAPABLE", "TDX_CAPABLE", "IDPF", "WINDOWS")},
        {"guest_os_feature": ("GVNIC",), "seen": BIOS},
        {"guest_os_feature": ("UEFI_COMPATIBLE", "CCA_CAPABLE"), "seen": ARM},
    ],
)  # fmt: skip
def test_what_is_just_possible_is_taken(tmp_path: Path, options: dict[str, object]) -> None:
    assert look(tmp_path, **options) == []  # type: ignore[arg-type]  # mixed


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"seen": facts(bios=False, loaders=())}, "looks bootable"),
        ({"seen": facts(architecture=None)}, "does not tell its architecture"),
        ({"architecture": "ARM64", "seen": facts(loaders=("BOOTAA64.EFI",))}, "the disk is for X86_64"),
        ({"guest_os_feature": ("UEFI_COMPATIBLE", "SEV_LIVE_MIGRATABLE")}, "deprecated"),
        ({"guest_os_feature": ("UEFI_COMPATIBLE", "SECURE_BOOT")}, "deprecated"),
        ({"public": True, "kms_key": KEY}, "with a KMS key"),
        ({"share_with": ("domain:example.com",), "kms_key": KEY}, "with a KMS key"),
    ],
)  # fmt: skip
def test_what_may_not_work_is_told_and_goes_on(tmp_path: Path, options: dict[str, object], words: str) -> None:
    findings = look(tmp_path, **options)  # type: ignore[arg-type]  # mixed
    assert [finding.obstacle for finding in findings] == [False]
    assert words in findings[0].problem


@pytest.mark.parametrize(
    ("name", "better"),
    [
        ("My Image_2026.11", "my-image-2026-11"),
        ("1.2.3", "image-1-2-3"),
        ("--x--", "x"),
        ("a" * 62 + "_b", "a" * 62),
        ("äöü", ""),
    ],
)
def test_a_name_is_suggested_that_can_be_used(tmp_path: Path, name: str, better: str) -> None:
    assert suggestion(name) == better
    hint = look(tmp_path, name=name)[0].hint
    assert hint == f"give --name {better}" if better else "lower-case letters" in hint
    assert not better or IMAGE_NAME.fullmatch(better)


def test_secure_boot_keys_are_read_before_anything_is_sent(tmp_path: Path) -> None:
    good, empty = tmp_path / "good.der", tmp_path / "empty"
    good.write_bytes(DER)
    empty.touch()
    assert look(tmp_path, platform_key=good, key_exchange_key=(good,), signature_db=(good,)) == []
    assert "is empty" in look(tmp_path, platform_key=empty)[0].problem
    assert "cannot read" in look(tmp_path, platform_key=good, revoked_db=(tmp_path / "none",))[0].problem
    assert "Secure Boot keys need UEFI" in look(tmp_path, platform_key=good, seen=BIOS)[0].problem
    [alone] = look(tmp_path, key_exchange_key=(good,))
    assert "no platform key" in alone.problem
    assert not alone.obstacle


def test_nothing_of_google_is_loaded_for_it(tmp_path: Path) -> None:
    code = """
import sys
from lkcloud.disk import open_disk
from lkcloud.disk.inspect import inspect
from lkcloud.provider import Source
from lkcloud_gcp import Gcp, GcpOptions
with open_disk(sys.argv[1]) as disk:
    gcp = Gcp(GcpOptions(platform_key=sys.argv[2], share_with=("user:a@b.c",)))
    assert list(gcp.validate(Source(disk, "A", inspect(disk))))
print(*(name for name in sys.modules if name.partition(".")[0] == "google"))
"""
    disk, key = tmp_path / "disk.raw", tmp_path / "key"
    disk.write_bytes(bytes(4096))
    key.write_bytes(DER)
    out = subprocess.run([sys.executable, "-c", code, disk, key], check=True, capture_output=True, text=True)
    assert out.stdout.strip() == ""
