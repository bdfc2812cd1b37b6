# SPDX-License-Identifier: Apache-2.0
"""What is told of a target names keys of the release file, and not flags that `lkcloud publish` does not have."""

import pytest

from lkcloud.release.events import Event, JobReporter, Said
from lkcloud.release.hints import in_file


@pytest.mark.parametrize(
    ("cloud", "hint", "told"),
    [
        ("gcp", "give --name os-x86", "give `name` os-x86"),
        (
            "aws",
            "give --replace to put this image in its place, or choose another --name",
            "give `replace: true` to put this image in its place, or choose another `name`",
        ),
        (
            "azure",
            "give another --gallery-version, or leave it out to have the next one",
            "give another `gallery_version`, or leave it out to have the next one",
        ),
        (
            "aws",
            "enable it with `lkcloud deprecate aws ami-1 --region us-east-1`, or choose another --name",
            "enable it with `lkcloud deprecate aws ami-1 --region us-east-1`, or choose another `name`",
        ),
        (
            "azure",
            "give another --name; run it again to go on, or remove what is left: lkcloud delete azure x --gallery gal",
            "give another `name`; run it again to go on, or remove what is left: lkcloud delete azure x --gallery gal",
        ),
        (
            "azure",
            "register it: az provider register --namespace Microsoft.Compute --subscription 1",
            "register it: az provider register --namespace Microsoft.Compute --subscription 1",
        ),
        ("gcp", "give --gallery, or --unheard-of", "give --gallery, or --unheard-of"),
        ("aws", "wait until it is available", "wait until it is available"),
        (
            "",
            "name the initramfs with --initrd and what the kernel is told with --cmdline",
            "name the initramfs with `initrd` and what the kernel is told with `cmdline`",
        ),
        ("", "leave out --boots-by, not --region", "leave out `boots_by`, not --region"),
    ],
)
def test_flags_are_keys_and_commands_stay(cloud: str, hint: str, told: str) -> None:
    assert in_file(hint, cloud) == told


def test_warnings_of_a_job_do_so() -> None:
    heard: list[Event] = []
    reporter = JobReporter("west", "x86", heard.append, cloud="azure")
    reporter.warn("there is no such region (give another --location)")
    [said] = heard
    assert isinstance(said, Said)
    assert (said.kind, said.text) == ("warning", "there is no such region (give another `location`)")
