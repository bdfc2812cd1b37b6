# SPDX-License-Identifier: Apache-2.0
"""The options of Azure: what is taken, what is refused, and that showing them costs nothing."""

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import ValidationError

from lkcloud_azure import AzureOptions
from lkcloud_azure.options import Principal, TargetRegion, region_name

GUID = "7a1f0a52-52a4-4f6d-8e0b-3f2a6d5c4b1a"


def test_every_option_has_a_description_and_a_default() -> None:
    for name, field in AzureOptions.model_fields.items():
        assert field.description, name
        assert field.description.endswith((".", "]")), name
        assert not field.is_required(), name


def test_the_defaults_are_the_documented_ones() -> None:
    options = AzureOptions()
    assert (options.method, options.resource_group, options.container) == ("disk", "lkcloud", "lkcloud")
    assert (options.cloud_environment, options.security_type, options.publisher) == (
        "AzureCloud",
        "Standard",
        "lkcloud",
    )
    assert (options.os_type, options.os_state, options.replication_mode) == ("Linux", "Generalized", "Full")
    assert (options.gallery, options.location, options.subscription, options.storage_account) == (None,) * 4
    assert (options.disk_controller_type, options.accelerated_network) == (("SCSI", "NVMe"), True)
    assert (options.latest, options.public, options.keep_upload, options.create_gallery) == (False,) * 4


def test_the_gallery_is_in_the_resource_group_unless_another_one_is_named() -> None:
    assert AzureOptions(resource_group="mine").gallery_group == "mine"
    assert AzureOptions(resource_group="mine", gallery_resource_group="shared").gallery_group == "shared"


def test_regions_are_written_as_the_api_writes_them() -> None:
    assert region_name("West Europe") == "westeurope"
    options = AzureOptions(location="West Europe", target_region=("East US", "westus2=3", "UK South=2:Standard_ZRS"))
    assert options.location == "westeurope"
    assert options.target_regions == (
        TargetRegion("eastus", None, None),
        TargetRegion("westus2", 3, None),
        TargetRegion("uksouth", 2, "Standard_ZRS"),
    )


def test_tags_are_pairs() -> None:
    options = AzureOptions(tag=("team=os", "empty=", "a b=c=d", "Größe=x y"))
    assert options.tags == {"team": "os", "empty": "", "a b": "c=d", "Größe": "x y"}
    longest = "k" * 512 + "=" + "v" * 256
    assert AzureOptions(tag=(longest,)).tag == (longest,)


def test_whom_to_share_with_is_an_object_id_with_or_without_its_kind() -> None:
    options = AzureOptions(share_with=(GUID.upper(), f"group:{GUID}", f"servicePrincipal:{GUID}", f"User:{GUID}", GUID))
    assert options.principals == (
        Principal(GUID, None),
        Principal(GUID, "Group"),
        Principal(GUID, "ServicePrincipal"),
        Principal(GUID, "User"),
    )


def test_what_can_be_repeated_can_be_one_or_a_mapping() -> None:
    options = AzureOptions.model_validate(
        {
            "tag": {"team": "os"},
            "target_region": "eastus",
            "share_with": GUID,
            "signature_db": "db.der",
            "disk_controller_type": "SCSI",
            "end_of_life": "2030-01-01T00:00:00Z",
        }
    )
    assert options.tags == {"team": "os"}
    assert [region.name for region in options.target_regions] == ["eastus"]
    assert options.principals == (Principal(GUID, None),)
    assert options.signature_db == (Path("db.der"),)
    assert options.disk_controller_type == ("SCSI",)
    assert options.end_of_life == datetime(2030, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    "options",
    [
        {"tag": ("no-equals",)},
        {"tag": ("=value",)},
        {"tag": ("a=1", "A=2")},
        {"tag": ("a/b=c",)},
        {"tag": ("k" * 513 + "=v",)},
        {"tag": ("k=" + "v" * 257,)},
        {"tag": ("lkcloud-digest=x",)},
        {"tag": ("LKCLOUD-name=x",)},
        {"target_region": ("west-europe",)},
        {"target_region": ("eastus=0",)},
        {"target_region": ("eastus=two",)},
        {"target_region": ("eastus=1:Cheap",)},
        {"target_region": ("eastus", "East US=2")},
        {"share_with": ("jane@example.com",)},
        {"share_with": (f"application:{GUID}",)},
        {"method": "fast"},
        {"architecture": "x86_64"},
        {"hyper_v_generation": "2"},
        {"cloud_environment": "AzureGermanCloud"},
        {"security_type": "trusted"},
        {"storage_type": "Ultra"},
        {"replicas": 0},
        {"workers": 0},
        {"workers": 65},
        {"rate": 0},
        {"image_timeout": 0},
        {"region": "eastus"},
    ],
)  # fmt: skip
def test_what_is_no_choice_is_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        AzureOptions.model_validate(options)


def test_showing_them_loads_nothing_of_azures_sdk() -> None:
    sdk = "('azure', 'msal', 'requests', 'cryptography')"
    code = f"import sys, lkcloud_azure; print(*(n for n in sys.modules if n.partition('.')[0] in {sdk}))"
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert out.stdout.strip() == ""
    helped = [sys.executable, "-X", "importtime", "-m", "lkcloud", "push", "azure", "--help"]
    shown = subprocess.run(helped, check=True, capture_output=True, text=True)
    assert "--hyper-v-generation" in shown.stdout
    assert "azure.core" not in shown.stderr
