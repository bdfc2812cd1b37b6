# SPDX-License-Identifier: Apache-2.0
"""What release.yaml can say; docs/release-file.md describes it to its writers."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from lkcloud.boot import Expectation
from lkcloud.disk.assemble.order import Starting
from lkcloud.errors import UsageError

_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


class Entry(BaseModel):
    """A mapping of the file: keys that are not known are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _label(text: str) -> str:
    if not _LABEL.fullmatch(text):
        raise ValueError("give 1 to 63 letters, digits, dots, - and _, beginning with a letter or a digit")
    return text


def _several(value: object) -> object:
    return (value,) if isinstance(value, str) else value


def _patterns(patterns: tuple[str, ...]) -> tuple[str, ...]:
    try:
        Expectation(patterns)
    except UsageError as error:
        raise ValueError(error.message.removeprefix("--expect ")) from None
    return patterns


def _text(value: object) -> object:
    """Take a number for a text: of a file it is read as it was written, 1.10 too."""
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


Label = Annotated[str, AfterValidator(_label)]
Labels = Annotated[tuple[Label, ...], BeforeValidator(_several, json_schema_input_type=tuple[Label, ...] | str)]
Text = Annotated[str, BeforeValidator(_text, json_schema_input_type=str | float)]


class BootTest(Entry):
    """How an image is booted before others may use it."""

    expect: Annotated[
        tuple[str, ...],
        BeforeValidator(_several, json_schema_input_type=tuple[str, ...] | str),
        AfterValidator(_patterns),
        Field(description="Regular expressions that the console must show, all of them; the usual words if none."),
    ] = ()
    timeout: Annotated[float, Field(description="Seconds until the boot test fails.", ge=1)] = 300.0


class Source(Entry):
    """A disk that is released: one for each architecture or flavour."""

    id: Annotated[Label, Field(description="What targets call it, and what {image} stands for; unique.")]
    file: Annotated[
        str,
        Field(
            description="A raw disk, or .gz, .xz, .zst, qcow2, VMDK, VHD(X), an ISO, or the name of a kernel with its "
            "initramfs: its path, beside this file if relative, or its URL (s3://, gs://, https://)."
        ),
    ]
    name: Annotated[str | None, Field(description="Name of the images made of it, instead of that of the release.")] = (
        None
    )
    description: Annotated[
        str | None, Field(description="Text that the clouds keep with it, instead of that of the release.")
    ] = None
    initrd: Annotated[
        tuple[str, ...],
        BeforeValidator(_several, json_schema_input_type=tuple[str, ...] | str),
        Field(description="For a kernel: the paths of its initramfs; NAME-initrd.img beside NAME-kernel if not given."),
    ] = ()
    cmdline: Annotated[
        str | None,
        Field(
            description="For a kernel or an ISO: what the kernel is told; NAME-cmdline beside NAME-kernel, or what the "
            "ISO's loader says, if not given."
        ),
    ] = None
    boots_by: Annotated[
        Starting | None,
        Field(description="For a kernel or an ISO: what is to start it; both, and uefi on arm64, if not given."),
    ] = None


class Target(Entry):
    """A place that images go to: a cloud with an account, a project or a subscription."""

    cloud: Annotated[str, Field(description="The cloud, as in `lkcloud push CLOUD`.")]
    id: Annotated[
        Label | None, Field(description="What this target is called in what is told; the cloud if not given. Unique.")
    ] = None
    images: Annotated[Labels | None, Field(description="The ids of the images that go there; all if not given.")] = None
    required: Annotated[
        bool,
        Field(description="Whether nothing is shared or promoted anywhere unless this target's images are there."),
    ] = True
    name: Annotated[str | None, Field(description="Name of the images there, instead of any other.")] = None
    description: Annotated[str | None, Field(description="Description there, instead of any other.")] = None
    replace: Annotated[
        bool, Field(description="Put an image in the place of one with this name and other content.")
    ] = False
    test: Annotated[
        BootTest | bool | None,
        Field(description="How images are booted there; false boots none. As in `defaults` if not given."),
    ] = None
    options: Annotated[
        Mapping[str, Any],
        Field(description="The cloud's own options: those of `lkcloud push CLOUD --help`, with _ for -."),
    ] = Field(default_factory=dict)

    @property
    def label(self) -> str:
        """What it is called."""
        return self.id or self.cloud


class Defaults(Entry):
    """What holds for all targets that say nothing else."""

    test: Annotated[BootTest | bool, Field(description="How images are booted; false boots none.")] = True
    options: Annotated[
        Mapping[str, Mapping[str, Any]],
        Field(description="Options by cloud, for all targets on that cloud."),
    ] = Field(default_factory=dict)


class Release(Entry):
    """A release: its version, its disks, and where they go."""

    schema_version: Annotated[
        Literal[1], Field(alias="lkcloud", description="Version of the form of this file: 1.")
    ] = 1
    name: Annotated[
        str,
        Field(
            description="Name of the images: {version}, {version_dashed} (1-2-3, for clouds that take no dots), "
            "{image}, {architecture} and {target} are put in."
        ),
    ]
    version: Annotated[Text, Field(description="The version, which {version} stands for.", min_length=1)]
    description: Annotated[str, Field(description="Text that the clouds keep with each image.")] = ""
    images: Annotated[tuple[Source, ...], Field(description="The disks.", min_length=1)]
    targets: Annotated[tuple[Target, ...], Field(description="Where they go.", min_length=1)]
    defaults: Annotated[Defaults, Field(description="What holds for all targets.")] = Defaults()
