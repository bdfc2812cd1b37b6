# SPDX-License-Identifier: Apache-2.0
"""Names, tags and resource ids: what is made is found again by them."""

import re

import pytest

from lkcloud_azure.naming import ResourceId, digest_in, tag, tags_of, upload_name

DIGEST = "ab" * 32
DISK = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/disks/d"
VERSION = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/galleries/a/images/b/versions/1.2.3"


@pytest.mark.parametrize("text", [DISK, VERSION])
def test_an_id_is_taken_apart_and_put_together(text: str) -> None:
    found = ResourceId.parse(text)
    assert found is not None
    assert str(found) == text


def test_an_id_knows_what_it_is() -> None:
    version = ResourceId.parse(VERSION)
    assert version is not None
    assert version.kinds == ("galleries", "images", "versions")
    assert version.names == ("a", "b", "1.2.3")
    assert version.is_of("galleries", "images", "versions")
    assert not version.is_of("galleries", "images")
    assert version.parent.is_of("galleries", "images")
    assert version.parent.child("versions", "1.2.3") == version
    shouted = ResourceId.parse(DISK.upper())
    assert shouted is not None
    assert shouted.is_of("disks")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "d",
        "/subscriptions/s",
        "/subscriptions/s/resourceGroups/g",
        "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/disks",
        f"{DISK}/more",
        f"{DISK}/",
        f"https://management.azure.com{DISK}",
    ],
)
def test_what_is_no_id_of_a_resource_is_none(text: str) -> None:
    assert ResourceId.parse(text) is None


def test_tags_tell_whose_it_is_and_cannot_be_replaced_by_the_users() -> None:
    made = tags_of("my image", DIGEST, {"team": "os"})
    assert made == {"team": "os", "lkcloud-name": "my image", "lkcloud-digest": DIGEST, "lkcloud-version": "1"}
    assert digest_in(made) == DIGEST
    assert tag({"LkCloud-Name": "x"}, "lkcloud-name") == "x"
    assert (tag(None, "lkcloud-name"), digest_in(None), digest_in({"lkcloud-digest": "short"})) == ("", "", "")


@pytest.mark.parametrize("name", ["image", "My.Image_2026", "a" * 80, "--", "äöü ÄÖÜ", "A" * 49 + "-b"])
def test_the_name_of_an_upload_is_one_of_disks_and_blobs(name: str) -> None:
    made = upload_name(name, DIGEST)
    assert re.fullmatch(r"[a-z0-9][a-z0-9-]{0,78}[a-z0-9]", made)
    assert made.startswith("lkcloud-")
    assert made.endswith(f"-{DIGEST[:16]}")
    assert made != upload_name(name, "cd" * 32)


def test_resources_within_resources() -> None:
    version = ResourceId.parse(VERSION)
    assert version is not None
    gallery = version.parent.parent
    assert str(gallery) == "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/galleries/a"
    assert gallery.child("images", "b").child("versions", "1.2.3") == version
