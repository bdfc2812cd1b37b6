# SPDX-License-Identifier: Apache-2.0
"""Names, tags, tokens and keys."""

import string

from hypothesis import given
from hypothesis import strategies as st

from lkcloud_aws.naming import filter_value, object_folder, object_key, parse_key, tags_of, token

NAMES = st.text(string.ascii_letters + string.digits + "()[] ./-'@_", min_size=3, max_size=128)
DIGEST = "0123456789abcdef" * 4


def test_a_token_is_64_ascii_characters_and_depends_on_every_parameter() -> None:
    tokens = {token("image", 1), token("image", 2), token("imagf", 1), token("image"), token("image", [1])}
    assert len(tokens) == 5
    assert all(len(one) == 64 and one.isascii() and one.isalnum() for one in tokens)
    assert token("a", {"x": 1, "y": 2}) == token("a", {"y": 2, "x": 1})


@given(NAMES)
def test_a_key_tells_name_and_digest_and_has_no_character_that_s3_advises_against(name: str) -> None:
    key = object_key("lkcloud/", name, DIGEST, "vhd")
    assert parse_key("lkcloud/", key) == (name, DIGEST)
    assert key.startswith(object_folder("lkcloud/", name))
    assert set(key) <= set(string.ascii_letters + string.digits + "!-_.'()/~")


@given(NAMES, NAMES)
def test_no_folder_holds_the_objects_of_two_names(one: str, other: str) -> None:
    if one != other:
        assert not object_folder("p/", one).startswith(object_folder("p/", other))


def test_keys_of_others_are_not_taken_for_ours() -> None:
    for key in ("lkcloud/readme.txt", f"other/a/{DIGEST}.vhd", f"lkcloud/{DIGEST}.vhd", f"lkcloud/a/{DIGEST}", "a"):
        assert parse_key("lkcloud/", key) is None


def test_the_user_can_set_the_name_tag_but_none_of_ours() -> None:
    tags = tags_of("image", DIGEST, [("Name", "shown"), ("lkcloud:digest", "forged")])
    assert tags == {"Name": "shown", "lkcloud:name": "image", "lkcloud:digest": DIGEST, "lkcloud:version": "1"}


def test_wildcards_are_escaped_in_filters() -> None:
    assert filter_value("a*b?c\\d") == "a\\*b\\?c\\\\d"
