# SPDX-License-Identifier: Apache-2.0
"""The options of Google Cloud: what is taken, what is refused, and that showing them costs nothing."""

import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from lkcloud_gcp import GcpOptions


def test_every_option_has_a_description_and_a_default() -> None:
    for name, field in GcpOptions.model_fields.items():
        assert field.description, name
        assert field.description.endswith("."), name
        assert not field.is_required(), name


def test_the_defaults_are_the_documented_ones() -> None:
    options = GcpOptions()
    assert (options.method, options.object_prefix, options.bucket_location) == ("composite", "lkcloud/", "US")
    assert (options.zone, options.network, options.import_timeout) == ("us-central1-a", "default", 60)
    assert (options.bucket, options.family, options.machine_type, options.guest_os_feature) == (None, None, None, ())
    assert not options.public
    assert not options.keep_object


def test_labels_are_pairs() -> None:
    assert GcpOptions(label=("team=os", "empty=", "a_b-1=c_d-2")).labels == (
        ("team", "os"),
        ("empty", ""),
        ("a_b-1", "c_d-2"),
    )
    longest = "k" * 63 + "=" + "v" * 63
    assert GcpOptions(label=(longest,)).label == (longest,)


def test_what_can_be_repeated_can_be_one_or_a_mapping() -> None:
    options = GcpOptions.model_validate(
        {"label": {"team": "os"}, "share_with": "user:a@example.com", "signature_db": "db.der", "license": ["a", "b"]}
    )
    assert options.labels == (("team", "os"),)
    assert options.share_with == ("user:a@example.com",)
    assert options.signature_db == (Path("db.der"),)
    assert options.license == ("a", "b")


@pytest.mark.parametrize(
    "labels",
    [
        ("no-equals",),
        ("=value",),
        ("a=1", "a=2"),
        ("Team=os",),
        ("1a=b",),
        ("team=OS",),
        ("team=a=b",),
        ("k" * 64 + "=v",),
        ("k=" + "v" * 64,),
        ("lkcloud-digest=x",),
    ],
)
def test_bad_labels_are_refused(labels: tuple[str, ...]) -> None:
    with pytest.raises(ValidationError):
        GcpOptions(label=labels)


@pytest.mark.parametrize(
    "options",
    [
        {"method": "fast"},
        {"architecture": "x86_64"},
        {"workers": 0},
        {"workers": 65},
        {"rate": 0},
        {"compression_level": 10},
        {"import_timeout": 0},
        {"region": "us"},
    ],
)
def test_what_is_no_choice_is_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        GcpOptions.model_validate(options)


def test_showing_them_loads_nothing_of_google() -> None:
    code = "import sys, lkcloud_gcp; print(*(n for n in sys.modules if n.partition('.')[0] == 'google'))"
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert out.stdout.strip() == ""
    helped = [sys.executable, "-X", "importtime", "-m", "lkcloud", "push", "gcp", "--help"]
    shown = subprocess.run(helped, check=True, capture_output=True, text=True)
    assert "--guest-os-feature" in shown.stdout
    assert "google.auth" not in shown.stderr
