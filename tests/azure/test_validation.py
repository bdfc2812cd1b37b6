# SPDX-License-Identifier: Apache-2.0
"""What Azure would refuse is refused before it is asked."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lkcloud.disk import Disk
from lkcloud.disk.identity import Identity
from lkcloud.disk.inspect import DiskFacts
from lkcloud.provider import Finding, Source
from lkcloud_azure import Azure, AzureOptions
from lkcloud_azure.naming import suggestion
from lkcloud_azure.validation import MIB

GUID = "7a1f0a52-52a4-4f6d-8e0b-3f2a6d5c4b1a"
WITHIN = f"/subscriptions/{GUID}/resourceGroups/g/providers"
DES = f"{WITHIN}/Microsoft.Compute/diskEncryptionSets/keys"
SUBNET = f"{WITHIN}/Microsoft.Network/virtualNetworks/v/subnets/s"
DER = bytes((0x30, 0x04, 0x30, 0x02, 0x05, 0x00))
GIB = 1024**3


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


def look(
    folder: Path, *, size: int = GIB, seen: DiskFacts | None = None, name: str = "image", **options: object
) -> list[Finding]:
    """Validate a disk of any SIZE: what is tested is larger than file systems take, and only its size is looked at."""
    provider = Azure(AzureOptions.model_validate(options))
    path = folder / "disk.raw"
    path.touch()
    descriptor = os.open(path, os.O_RDONLY)
    with Disk(path, descriptor, size=size, source=Identity.of_open(descriptor)) as disk:
        return list(provider.validate(Source(disk, name, seen or facts())))


def test_a_good_disk_has_no_finding(tmp_path: Path) -> None:
    assert look(tmp_path) == []
    assert look(tmp_path, seen=BIOS) == []
    assert look(tmp_path, seen=UEFI) == []
    assert look(tmp_path, seen=ARM, gallery="g") == []
    assert look(tmp_path, method="blob", storage_account="account") == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"name": ""}, "as the name of an image"),
        ({"name": "a image"}, "as the name of an image"),
        ({"name": "-image"}, "as the name of an image"),
        ({"name": "_image"}, "as the name of an image"),
        ({"name": "image."}, "as the name of an image"),
        ({"name": "image-"}, "as the name of an image"),
        ({"name": "image\n"}, "as the name of an image"),
        ({"name": "bild-ä"}, "as the name of an image"),
        ({"name": "a" * 81}, "as the name of an image"),
        ({"name": "a" * 257, "gallery": "g", "definition": "d"}, "as the value of a tag"),
        ({"name": "a\nb", "gallery": "g", "definition": "d"}, "as the value of a tag"),
        ({"tag": tuple(f"k{number}=v" for number in range(44))}, "more than the 50"),
        ({"size": 0}, "empty"),
        ({"size": 2040 * GIB + 1}, "a VHD holds 2040"),
        ({"resource_group": "a/b"}, "--resource-group"),
        ({"resource_group": "a."}, "--resource-group"),
        ({"resource_group": ""}, "--resource-group"),
        ({"resource_group": "a" * 91}, "--resource-group"),
        ({"gallery": "g", "gallery_resource_group": "a b"}, "--gallery-resource-group"),
        ({"location": "west-europe"}, "no region"),
        ({"resource_manager": "http://127.0.0.1:1"}, "no https URL"),
        ({"resource_manager": "management.azure.com"}, "no https URL"),
        ({"resource_manager": "https://[::1"}, "no https URL"),
        ({"resource_manager": "https://127.0.0.1:port"}, "no https URL"),
        ({"method": "blob"}, "needs a storage account"),
        ({"storage_account": "My_Account"}, "no name of a storage account"),
        ({"storage_account": "ab"}, "no name of a storage account"),
        ({"storage_account": "a" * 25}, "no name of a storage account"),
        ({"storage_account": "https://a.blob.core.windows.net"}, "no name of a storage account"),
        ({"container": "Images"}, "no name of a container"),
        ({"container": "a--b"}, "no name of a container"),
        ({"container": "-ab"}, "no name of a container"),
        ({"container": "ab"}, "no name of a container"),
        ({"container": "a" * 64}, "no name of a container"),
        ({"subscription": "Pay-As-You-Go"}, "no id of a subscription"),
        ({"subscription": f"{{{GUID}}}"}, "no id of a subscription"),
        ({"disk_encryption_set": "keys"}, "--disk-encryption-set"),
        ({"disk_encryption_set": SUBNET}, "--disk-encryption-set"),
        ({"subnet": "default"}, "--subnet"),
        ({"subnet": SUBNET.rpartition("/subnets")[0]}, "--subnet"),
        ({"subnet": DES}, "--subnet"),
        ({"vm_size": "B2s"}, "no size of a machine"),
        ({"latest": True}, "knows nothing of --latest"),
        ({"public": True, "definition": "d"}, "knows nothing of --definition, --public"),
        ({"gallery_version": "1.0.0"}, "--gallery-version"),
        ({"create_gallery": True}, "--create-gallery"),
        ({"security_type": "TrustedLaunchSupported"}, "--security-type"),
        ({"target_region": ("eastus",)}, "--target-region"),
        ({"end_of_life": "2099-01-01T00:00:00Z"}, "--end-of-life"),
        ({"os_state": "Specialized"}, "always generalized"),
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
        {"name": "My.Image_2026-11_"},
        {"name": "a" * 80},
        {"name": "a name (with ä) of 100% words", "gallery": "g", "definition": "d"},
        {"tag": tuple(f"k{number}=v" for number in range(43))},
        {"size": 20 * MIB},
        {"size": 2040 * GIB},
        {"resource_group": "Größe_(1).x-y"},
        {"location": "West Europe"},
        {"resource_manager": "https://westeurope.management.azure.com"},
        {"storage_account": "abc123", "container": "a-1-b", "method": "blob"},
        {"subscription": GUID.upper()},
        {"disk_encryption_set": DES.lower()},
        {"subnet": SUBNET, "vm_size": "Standard_DC2as_v5"},
        {"disk_controller_type": ("SCSI",), "accelerated_network": False},
        {"keep_upload": True, "image_timeout": 1},
    ],
)  # fmt: skip
def test_what_is_just_possible_is_taken(tmp_path: Path, options: dict[str, object]) -> None:
    assert look(tmp_path, **options) == []  # type: ignore[arg-type]  # mixed


@pytest.mark.parametrize(
    ("size", "method", "rule", "becomes"),
    [
        (1, "disk", "at least 20 MiB", "20 MiB"),
        (MIB, "disk", "at least 20 MiB", "20 MiB"),
        (20 * MIB - 1, "disk", "at least 20 MiB", "20 MiB"),
        (20 * MIB + 1, "disk", "whole MiB", "21 MiB"),
        (2040 * GIB - 1, "disk", "whole MiB", "2088960 MiB"),
        (1, "blob", "at least 1 MiB", "1 MiB"),
        (GIB - 512, "blob", "whole MiB", "1024 MiB"),
    ],
)
def test_what_is_filled_up_is_told_and_goes_on(tmp_path: Path, size: int, method: str, rule: str, becomes: str) -> None:
    [finding] = look(tmp_path, size=size, method=method, storage_account="account")
    assert not finding.obstacle
    assert finding.problem == f"Azure takes {rule}: the disk of {size} bytes is filled up with zeros to {becomes}"
    assert look(tmp_path, size=MIB, method="blob", storage_account="account") == []


@pytest.mark.parametrize(
    ("name", "better"),
    [
        ("My Image/2026.11", "My-Image-2026.11"),
        ("--x--", "x"),
        ("_x_", "x_"),
        ("a" * 79 + ".b", "a" * 79),
        ("äöü", ""),
    ],
)
def test_a_name_is_suggested_that_can_be_used(tmp_path: Path, name: str, better: str) -> None:
    assert suggestion(name) == better
    hint = look(tmp_path, name=name)[0].hint
    assert hint == f"give --name {better}" if better else "letters, digits" in hint
    assert not better or look(tmp_path, name=better) == []


def test_nothing_of_azures_sdk_is_loaded_for_it(tmp_path: Path) -> None:
    code = """
import sys
from lkcloud.disk import open_disk
from lkcloud.disk.inspect import inspect
from lkcloud.provider import Source
from lkcloud_azure import Azure, AzureOptions
with open_disk(sys.argv[1]) as disk:
    azure = Azure(AzureOptions(gallery="g", signature_db=(sys.argv[2],), public=True))
    assert list(azure.validate(Source(disk, "A", inspect(disk))))
print(*(name for name in sys.modules if name.partition(".")[0] in ("azure", "msal", "requests")))
"""
    disk, key = tmp_path / "disk.raw", tmp_path / "key"
    disk.write_bytes(bytes(4096))
    key.write_bytes(DER)
    out = subprocess.run([sys.executable, "-c", code, disk, key], check=True, capture_output=True, text=True)
    assert out.stdout.strip() == ""
