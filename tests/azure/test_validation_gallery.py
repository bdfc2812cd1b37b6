# SPDX-License-Identifier: Apache-2.0
"""What an Azure Compute Gallery would refuse is refused before it is asked."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.azure.test_validation import DES, look

LATER = (datetime.now(UTC) + timedelta(days=1)).isoformat()
BLOB = {"method": "blob", "storage_account": "account"}
COMMUNITY = {
    "public": True,
    "community_prefix": "Lkcloud1",
    "publisher_uri": "https://example.com",
    "publisher_contact": "os@example.com",
    "eula": "http://example.com/terms",
}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"gallery": "my-gallery"}, "name of a gallery"),
        ({"gallery": "_g"}, "name of a gallery"),
        ({"gallery": "g."}, "name of a gallery"),
        ({"gallery": ""}, "name of a gallery"),
        ({"gallery": "g" * 81}, "name of a gallery"),
        ({"name": "image v1"}, "name of an image definition"),
        ({"definition": "-d"}, "name of an image definition"),
        ({"definition": "d-"}, "name of an image definition"),
        ({"definition": "d" * 81}, "name of an image definition"),
        ({"gallery_version": "1.0"}, "no version"),
        ({"family": "my-os"}, "one of its image definition"),
        ({"gallery_version": "1.0.0.0"}, "no version"),
        ({"gallery_version": "v1.0.0"}, "no version"),
        ({"gallery_version": "1.0.2147483648"}, "no version"),
        ({"gallery_version": "1.0.²"}, "no version"),
        ({"publisher": ""}, "as --publisher"),
        ({"publisher": "My Company"}, "as --publisher"),
        ({"publisher": "p" * 129}, "as --publisher"),
        ({"offer": "o" * 65}, "as --offer"),
        ({"sku": "s."}, "as --sku"),
        ({"replicas": 101}, "101 replicas"),
        ({"target_region": ("eastus=60", "westus=41")}, "101 replicas"),
        ({"replicas": 51, "location": "westus", "target_region": ("eastus=50",)}, "101 replicas"),
        ({"replicas": 34, "target_region": ("eastus", "westus", "uksouth")}, "102 replicas"),
        ({"replication_mode": "Shallow", "replicas": 2}, "one replica"),
        ({"replication_mode": "Shallow", "target_region": ("eastus=2",)}, "one replica"),
        ({"replication_mode": "Shallow", "target_region": ("eastus", "westus")}, "one region"),
        ({"replication_mode": "Shallow", "location": "westus", "target_region": ("eastus",)}, "in 2"),
        ({"disk_encryption_set": DES, "target_region": ("eastus", "westus")}, "of one region"),
        ({"disk_encryption_set": DES, "location": "westus", "target_region": ("eastus",)}, "of one region"),
        ({"end_of_life": "2020-01-01T00:00:00"}, "is over"),
        ({"end_of_life": "2020-01-01T00:00:00+14:00"}, "is over"),
        ({**COMMUNITY, "cloud_environment": "AzureUSGovernment"}, "no community galleries"),
        ({**COMMUNITY, "cloud_environment": "AzureChinaCloud"}, "no community galleries"),
        ({**COMMUNITY, "disk_encryption_set": DES}, "no encrypted images"),
        ({**COMMUNITY, "community_prefix": "four"}, "--community-prefix"),
        ({**COMMUNITY, "community_prefix": "with-dash"}, "--community-prefix"),
        ({**COMMUNITY, "publisher_uri": "example.com"}, "--publisher-uri"),
        ({**COMMUNITY, "eula": "https://[example.com"}, "--eula"),
        ({**COMMUNITY, "eula": "file:///etc/passwd"}, "--eula"),
        ({**COMMUNITY, "publisher_contact": "somebody"}, "no e-mail address"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_an_obstacle(tmp_path: Path, options: dict[str, object], words: str) -> None:
    findings = look(tmp_path, **{"gallery": "g", **options})  # type: ignore[arg-type]  # mixed
    assert [finding.obstacle for finding in findings] == [True]
    assert words in findings[0].problem
    assert findings[0].hint


@pytest.mark.parametrize(
    "options",
    [
        {"gallery": "My.Gallery_1"},
        {"gallery": "g" * 80},
        {"definition": "my-def_1.x"},
        {"gallery_version": "2026.1127.2147483647"},
        {"publisher": "My.Company", "offer": "o" * 64, "sku": "V2_x64-1"},
        {"replicas": 100},
        {"replicas": 200, "target_region": ("eastus=60", "westus=40")},
        {"target_region": ("West Europe=3:Standard_ZRS", "eastus")},
        {"replication_mode": "Shallow", "target_region": ("eastus=1",), "location": "East US"},
        {"replication_mode": "Shallow"},
        {"disk_encryption_set": DES, "target_region": ("eastus",)},
        {"end_of_life": LATER},
        {"os_state": "Specialized"},
        {"security_type": "TrustedLaunchSupported"},
        {"security_type": "TrustedLaunchSupported", "os_state": "Specialized", **BLOB},
        COMMUNITY,
        {"public": True},
        {"latest": True, "create_gallery": True, "gallery_resource_group": "other"},
    ],
)  # fmt: skip
def test_what_is_just_possible_is_taken(tmp_path: Path, options: dict[str, object]) -> None:
    assert look(tmp_path, **{"gallery": "g", **options}) == []  # type: ignore[arg-type]  # mixed


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"security_type": "TrustedLaunch"}, "guest state"),
        ({"security_type": "ConfidentialVM"}, "guest state"),
        ({"security_type": "TrustedLaunchSupported", "disk_encryption_set": DES}, "may not take"),
        ({**COMMUNITY, "os_state": "Specialized"}, "everybody could read"),
    ],
)  # fmt: skip
def test_what_may_not_work_is_told_and_goes_on(tmp_path: Path, options: dict[str, object], words: str) -> None:
    findings = look(tmp_path, **{"gallery": "g", **options})  # type: ignore[arg-type]  # mixed
    assert [finding.obstacle for finding in findings] == [False]
    assert words in findings[0].problem


def test_a_community_gallery_takes_no_exclusive_security_type(tmp_path: Path) -> None:
    findings = look(tmp_path, gallery="g", security_type="TrustedLaunch", public=True)
    assert [finding.obstacle for finding in findings] == [False, True]
    assert findings[1].hint == "give --security-type TrustedLaunchSupported"


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        ({"gallery": "my-gallery-1"}, "give --gallery my_gallery_1"),
        ({"gallery": "---"}, "use 1 to 80 letters"),
        ({"gallery": "g", "definition": "_my def_"}, "give --definition my-def"),
        ({"gallery": "g", "definition": "ä"}, "give a --definition of letters"),
    ],
)  # fmt: skip
def test_a_name_is_suggested_that_can_be_used(tmp_path: Path, options: dict[str, object], hint: str) -> None:
    [finding] = look(tmp_path, **options)  # type: ignore[arg-type]  # mixed
    assert finding.hint.startswith(hint)
