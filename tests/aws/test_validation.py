# SPDX-License-Identifier: Apache-2.0
"""What AWS would refuse is refused before it is asked."""

import base64
import os
import re
from pathlib import Path

import pytest

from lkcloud.disk import Disk
from lkcloud.disk.identity import Identity
from lkcloud.disk.inspect import DiskFacts
from lkcloud.provider import Finding, Source
from lkcloud_aws import Aws, AwsOptions
from lkcloud_aws.validation import GIB

ARN = "arn:aws:kms:eu-west-1:123456789012:key/0123"


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
    provider = Aws(AwsOptions.model_validate(options))
    with disk_of(folder, size) as disk:
        return list(provider.validate(Source(disk, name, seen or facts(), description=description)))


def test_a_good_disk_has_no_finding(tmp_path: Path) -> None:
    assert look(tmp_path) == []
    assert look(tmp_path, method="import", bucket="b", tpm=True, encrypted=True, kms_key=ARN) == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"name": "ab"}, "as the name"),
        ({"name": "a" * 129}, "as the name"),
        ({"name": "name:with:colons"}, "as the name"),
        ({"name": "näme"}, "as the name"),
        ({"description": "x" * 256}, "description"),
        ({"tag": ("aws:x=1",)}, "reserved"),
        ({"tag": ("lkcloud:digest=1",)}, "reserved"),
        ({"tag": tuple(f"k{number}=v" for number in range(42))}, "more than the 50"),
        ({"tag": ("k" * 128 + "=v",)}, "too long"),
        ({"tag": ("k=" + "v" * 256,)}, "too long"),
        ({"size": 0}, "empty"),
        ({"size": 65_536 * GIB + 1}, "65537 GiB"),
        ({"size": 2 * GIB + 1, "volume_size": 2}, "needs 3 GiB"),
        ({"volume_type": "standard", "volume_size": 1025}, "standard volume has"),
        ({"volume_type": "st1", "volume_size": 200}, "does not boot from st1"),
        ({"volume_type": "io2", "volume_size": 100}, "needs its IOPS"),
        ({"volume_type": "gp2", "iops": 3000}, "no IOPS"),
        ({"iops": 2999, "volume_size": 100}, "IOPS"),
        ({"iops": 6000, "volume_size": 10}, "IOPS"),
        ({"iops": 80_001, "volume_size": 1000}, "IOPS"),
        ({"volume_type": "gp2", "throughput": 200}, "no throughput"),
        ({"throughput": 2001}, "throughput"),
        ({"throughput": 800}, "throughput"),
        ({"data_volume": ("/dev/xvda:1",)}, "root volume already"),
        ({"data_volume": ("/dev/xvdb:100:st1",)}, "data volume /dev/xvdb"),
        ({"kms_key": ARN}, "nothing to encrypt"),
        ({"kms_key": "alias/mine", "encrypted": True}, "no key ARN"),
        ({"kms_key": "alias/mine", "encrypted": True, "method": "import", "bucket": "b"}, "no key ARN"),
        ({"method": "import"}, "needs a bucket"),
        ({"boot_mode": "legacy-bios", "architecture": "arm64"}, "arm64 has no legacy-bios"),
        ({"boot_mode": "legacy-bios", "tpm": True}, "TPM needs UEFI"),
        ({"boot_mode": "legacy-bios", "seen": facts(bios=False)}, "no BIOS boot code"),
        ({"boot_mode": "uefi", "seen": facts(loaders=())}, "no EFI/BOOT/BOOTX64.EFI"),
        ({"boot_mode": "uefi-preferred", "seen": facts(loaders=())}, "no EFI/BOOT/BOOTX64.EFI"),
        ({"tpm": True, "seen": facts(loaders=())}, "no EFI/BOOT/BOOTX64.EFI"),
        ({"architecture": "arm64", "seen": facts(architecture="arm64")}, "no EFI/BOOT/BOOTAA64.EFI"),
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
        {"iops": 6000, "volume_size": 12},
        {"iops": 3000, "throughput": 750},
        {"iops": 8000, "throughput": 2000, "volume_size": 100},
        {"volume_type": "io1", "iops": 200},
        {"size": 65_536 * GIB},
        {"size": 2 * GIB, "volume_size": 2},
        {"tag": tuple(f"k{number}=v" for number in range(41))},
        {"name": "a (b) [c] ./-'@_9"},
        {"encrypted": True, "kms_key": ARN},
        {"encrypted": True},
        {"data_volume": ("/dev/xvdb:125:st1",)},
        {"architecture": "arm64", "seen": facts(loaders=("BOOTAA64.EFI",), architecture="arm64")},
    ],
)  # fmt: skip
def test_what_is_just_possible_is_taken(tmp_path: Path, options: dict[str, object]) -> None:
    assert look(tmp_path, size=options.pop("size", 4 * GIB), **options) == []  # type: ignore[arg-type]  # mixed


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"seen": facts(bios=False, loaders=(), architecture=None)}, "looks bootable"),
        ({"architecture": "arm64", "seen": facts(loaders=("BOOTAA64.EFI",))}, "the disk is for x86_64"),
        ({"tpm": True, "seen": facts(loaders=("BOOTAA64.EFI",), architecture="arm64")}, "arm64 instance type"),
        ({"boot_mode": "uefi-preferred", "seen": facts(bios=False)}, "boots only on"),
        ({"encrypted": True, "kms_key": ARN, "data_volume": ("/dev/xvdb:1",)}, "the account's default key"),
    ],
)  # fmt: skip
def test_what_may_not_work_is_told_and_goes_on(tmp_path: Path, options: dict[str, object], words: str) -> None:
    findings = look(tmp_path, **options)  # type: ignore[arg-type]  # mixed
    assert [finding.obstacle for finding in findings] == [False]
    assert words in findings[0].problem


def store(folder: Path, content: bytes) -> Path:
    path = folder / "vars"
    path.write_bytes(content)
    return path


def test_uefi_data_is_taken_as_binary_and_as_base64(tmp_path: Path) -> None:
    content = b"AMZNUEFI" + bytes(100)
    assert look(tmp_path, uefi_data=store(tmp_path, content), boot_mode="uefi") == []
    assert look(tmp_path, uefi_data=store(tmp_path, base64.encodebytes(content)), boot_mode="uefi") == []


def test_uefi_data_lets_a_disk_without_the_usual_loader_boot(tmp_path: Path) -> None:
    path = store(tmp_path, b"AMZNUEFI" + bytes(100))
    assert look(tmp_path, uefi_data=path, seen=facts(loaders=())) == []


@pytest.mark.parametrize(
    "content", [b"", b"not base64!", base64.b64encode(b"something else"), b"AMZNUEFI" + bytes(48_000)]
)
def test_bad_uefi_data_is_an_obstacle(tmp_path: Path, content: bytes) -> None:
    findings = look(tmp_path, uefi_data=store(tmp_path, content))
    assert [finding.obstacle for finding in findings] == [True]


def test_uefi_data_that_is_missing_or_useless_is_an_obstacle(tmp_path: Path) -> None:
    assert "cannot read" in look(tmp_path, uefi_data=tmp_path / "none")[0].problem
    path = store(tmp_path, b"AMZNUEFI" + bytes(100))
    assert "needs UEFI" in look(tmp_path, uefi_data=path, boot_mode="legacy-bios")[0].problem


ALLY = "111111111111"
ORGANIZATION = "arn:aws:organizations::123456789012:organization/o-abcdefghij"


@pytest.mark.parametrize(
    "options",
    [
        {"copy_to": ("us-west-2",), "public": True, "share_snapshot": True},
        {"encrypted": True, "kms_key": ARN, "share_with": (ALLY,), "copy_to": ("us-west-2=alias/images",)},
        {"copy_to": ("us-west-2=alias/aws/ebs",)},
        {"region": "us-west-2", "copy_to": ("us-west-2", "eu-west-1"), "copy_optional": ("eu-west-1",)},
        {"public": True, "share_with": (ORGANIZATION,), "share_snapshot": True},
    ],
)
def test_what_can_be_copied_and_shared(tmp_path: Path, options: dict[str, object]) -> None:
    assert look(tmp_path, **options) == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"encrypted": True, "public": True}, "cannot be public"),
        ({"public": True, "copy_to": ("eu-west-1=alias/a", "us-west-2")}, "cannot be public.*in eu-west-1$"),
        ({"encrypted": True, "share_with": (ALLY,)}, "default key cannot be shared"),
        (
            {"encrypted": True, "kms_key": ARN, "share_with": (ALLY,), "copy_to": ("us-west-2",)},
            "copy in us-west-2 would be encrypted",
        ),
        ({"share_with": (ALLY,), "copy_to": ("us-west-2=alias/aws/ebs",)}, "copy in us-west-2 would be encrypted"),
        ({"share_snapshot": True}, "nobody to share it with"),
        ({"share_snapshot": True, "share_with": (ORGANIZATION,)}, "nobody to share it with"),
        ({"copy_to": ("eu-west-1",), "copy_optional": ("us-west-2",)}, "--copy-optional names us-west-2"),
        ({"region": "eu-west-1", "copy_to": (f"eu-west-1={ARN}",)}, "gives it a key there"),
    ],
)
def test_what_cannot_be_copied_or_shared(tmp_path: Path, options: dict[str, object], words: str) -> None:
    [finding] = [one for one in look(tmp_path, **options) if one.obstacle]
    assert re.search(words, finding.problem)
    assert finding.hint


def test_organizations_get_no_snapshot(tmp_path: Path) -> None:
    [finding] = look(tmp_path, share_with=(ALLY, ORGANIZATION), share_snapshot=True)
    assert not finding.obstacle
    assert "cannot copy it" in finding.problem
