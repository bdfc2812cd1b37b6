# SPDX-License-Identifier: Apache-2.0
"""release.json: what exists after a release, for those who use the images; docs/manifest.md describes it.

A flat list of images, one entry for each region, so that a reader picks by cloud, region and architecture.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lkcloud.errors import LkcloudError, UsageError
from lkcloud.formats.atomic import whole_file
from lkcloud.provider import Image


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Artifact(_Entry):
    """A disk of the release."""

    image: Annotated[str, Field(description="Its id in the release file.")]
    file: Annotated[str, Field(description="The file's name, without folders.")]
    size: Annotated[int, Field(description="Bytes of the disk.")]
    digest: Annotated[str, Field(description="Content digest, 64 hexadecimal digits (docs/content-digest.md).")]
    architecture: Annotated[str, Field(description="x86_64 or arm64; empty if the disk does not tell.")]


class Published(_Entry):
    """An image in one region of a cloud."""

    cloud: Annotated[str, Field(description="aws, gcp, azure or another.")]
    region: Annotated[str, Field(description="The cloud's word for where it is; `global` on Google Cloud.")]
    arch: Annotated[str, Field(description="x86_64 or arm64; empty if the disk does not tell.")]
    type: Annotated[str, Field(description="What it is on the cloud, such as `ami`.")]
    id: Annotated[str, Field(description="What machines are made from.")]
    name: Annotated[str, Field(description="Its name on the cloud.")]
    account: Annotated[str, Field(description="The account, project or subscription that it belongs to.")]
    family: Annotated[str, Field(description="Its image family or image definition; empty if it is in none.")]
    version: Annotated[str, Field(description="The version of the release.")]
    state: Annotated[str, Field(description="The cloud's word, such as `available`.")]
    created: Annotated[datetime | None, Field(description="When the cloud made it.")]
    digest: Annotated[str, Field(description="Content digest of the disk that it was made of.")]
    target: Annotated[str, Field(description="The target in the release file.")]
    image: Annotated[str, Field(description="The image's id in the release file.")]
    tested: Annotated[bool, Field(description="Whether it, or the image that it is a copy of, was seen to boot.")]
    shared: Annotated[bool, Field(description="Whether it was given to those whom the release file names.")]
    promoted: Annotated[bool, Field(description="Whether the moving names of the release file lead to it.")]

    @classmethod
    def of(
        cls,
        made: Image,
        *,
        arch: str,
        version: str,
        target: str,
        image: str,
        tested: bool,
        shared: bool,
        promoted: bool,
    ) -> "Published":
        """Return the entry of the image MADE; the other arguments are its fields."""
        return cls(
            cloud=made.cloud,
            region=made.region,
            arch=arch,
            type=made.kind,
            id=made.id,
            name=made.name,
            account=made.account,
            family=made.family,
            version=version,
            state=made.state,
            created=made.created,
            digest=made.digest,
            target=target,
            image=image,
            tested=tested,
            shared=shared,
            promoted=promoted,
        )


class Problem(_Entry):
    """What is missing."""

    target: str
    image: str
    error: str
    hint: str


class Manifest(_Entry):
    """A release as it stands."""

    lkcloud: Annotated[Literal["1"], Field(description="Version of this form.")] = "1"
    version: Annotated[str, Field(description="The version of the release.")]
    sandbox: Annotated[bool, Field(description="Whether the images are in the sandbox of a machine.")] = False
    complete: Annotated[bool, Field(description="Whether all that the release file asks for is there.")]
    artifacts: tuple[Artifact, ...] = ()
    images: tuple[Published, ...] = ()
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class Identity:
    """What tells an image from all others: its id may be that of another one elsewhere, or that it had before."""

    cloud: str
    account: str
    region: str
    id: str
    digest: str

    @classmethod
    def of(cls, image: Image | Published) -> "Identity":
        """Return that of an image."""
        return cls(image.cloud, image.account, image.region, image.id, image.digest)


def read(path: Path) -> Manifest | None:
    """Return the manifest PATH, None if there is none. Raises UsageError for a file that is something else."""
    try:
        return Manifest.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise UsageError(
            f"{path} is no manifest of a release: {where + ': ' if where else ''}{first['msg']}",
            hint="name another file, or move this one away",
        ) from None
    except OSError as error:
        said = (error.strerror or str(error)).lower()
        raise UsageError(f"{path} cannot be read: {said}", hint="check its path and permissions") from error


def write(path: Path, manifest: Manifest) -> None:
    """Put MANIFEST in the place of the file PATH, which is never seen half written. Raises LkcloudError."""
    text = json.dumps(manifest.model_dump(mode="json"), indent=2) + "\n"
    replace_text(path, text)


def replace_text(path: Path, text: str) -> None:
    """Put TEXT in the place of the file PATH, if it says something else; never half. Raises LkcloudError."""
    try:
        if path.exists() and path.read_text() == text:
            return
        with whole_file(path, replace=True) as file:
            remaining: memoryview | bytes = memoryview(text.encode())
            while remaining:
                remaining = remaining[os.write(file, remaining) :]
    except OSError as error:
        raise LkcloudError(
            f"the manifest {path} cannot be written: {(error.strerror or str(error)).lower()}",
            hint="see that the folder is there, is yours and has room",
        ) from error


def sorted_images(images: Sequence[Published]) -> tuple[Published, ...]:
    """Return IMAGES in an order that does not depend on which was ready first."""
    return tuple(sorted(images, key=lambda one: (one.cloud, one.target, one.image, one.region, one.id)))


def only(manifest: Manifest, *, arch: str = "", image: str = "", cloud: str = "") -> Manifest:
    """Return MANIFEST with the images alone that are of ARCH, of the id IMAGE and on CLOUD; "" is any."""
    kept = tuple(
        one
        for one in manifest.images
        if arch in ("", one.arch) and image in ("", one.image) and cloud in ("", one.cloud)
    )
    return manifest.model_copy(update={"images": kept})
