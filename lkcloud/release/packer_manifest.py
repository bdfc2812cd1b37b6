# SPDX-License-Identifier: Apache-2.0
"""What Packer has built, from the file that its manifest post-processor writes; and a file like it, of images.

https://developer.hashicorp.com/packer/docs/post-processors/manifest. A script that `shell-local` runs is told the name
and the type of the build and the id of the run in its environment, and of the files nothing (Packer 1.6.6).
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator

from lkcloud.errors import NotFound, UsageError
from lkcloud.paths import state_dir
from lkcloud.release.manifest import replace_text
from lkcloud.transfer.locks import waiting

_NO_DISKS = (".json", ".txt", ".log", ".sha256", ".md5", ".sum", ".pem", ".key", ".fd", ".vars", ".nvram")
"""Endings of files beside the disk: checksums, logs, keys, the UEFI variables that the qemu builder leaves."""


class _File(BaseModel):
    name: str


class _Build(BaseModel):
    name: str
    builder_type: str = ""
    packer_run_uuid: str = ""
    # Packer writes null for an artifact without files.
    files: Annotated[tuple[_File, ...], BeforeValidator(lambda value: value or ())] = ()


class _Manifest(BaseModel):
    builds: tuple[_Build, ...]
    last_run_uuid: str = ""


@dataclass(frozen=True, slots=True)
class Built:
    """The disk FILE of the build NAME in the run RUN_UUID; both are "" where Packer says nothing."""

    file: Path
    name: str
    run_uuid: str


def from_environment(file: Path, environment: Mapping[str, str] = os.environ) -> Built:
    """Return FILE as what the build is about that Packer runs this process for."""
    return Built(file, environment.get("PACKER_BUILD_NAME", ""), environment.get("PACKER_RUN_UUID", ""))


def built(manifest: Path, environment: Mapping[str, str] = os.environ) -> Built:
    """Return what the manifest of Packer says of the build that this process is run for, or of the last one.

    Names of files are relative to the folder that Packer runs in, which is this process's as well. Raises UsageError
    for a file that is no such manifest, or of which it is not clear what is meant, NotFound where it, the build or the
    disk is missing.
    """
    read = _read(manifest)
    if read is None:
        raise NotFound(
            f"there is no Packer manifest {manifest}",
            hint='put `post-processor "manifest"` before lkcloud, or name the disk with --image',
        )
    run = environment.get("PACKER_RUN_UUID") or read.last_run_uuid
    name, builder = environment.get("PACKER_BUILD_NAME", ""), environment.get("PACKER_BUILDER_TYPE", "")
    # Sources of two types may have one name.
    builds = [
        build
        for build in read.builds
        if build.packer_run_uuid == run and name in ("", build.name) and builder in ("", build.builder_type)
    ]
    if not builds:
        raise NotFound(
            f"{manifest} has no build{f' {name}' if name else ''} of the run {run or '(none)'}",
            hint='put `post-processor "manifest"` with this output before lkcloud, in the same chain',
        )
    found = sorted({f"{build.builder_type}.{build.name}" for build in builds})
    if len(found) > 1:
        raise UsageError(
            f"the last run in {manifest} has several builds: {', '.join(found)}",
            hint="say which: set PACKER_BUILDER_TYPE and PACKER_BUILD_NAME, the two halves of these",
        )
    build = builds[-1]
    return Built(_disk(manifest, build), build.name, build.packer_run_uuid)


def require_addable(output: Path) -> None:
    """Raise UsageError if builds could not be added to the file OUTPUT, as far as that can be seen beforehand."""
    _read(output)
    if not os.access(output.absolute().parent, os.W_OK | os.X_OK):
        raise UsageError(
            f"{output} cannot be written: its folder is not there, or not yours", hint="name another file with --output"
        )


def add(output: Path, made: Mapping[str, Any]) -> None:
    """Add the builds of MADE, a manifest as of `lkcloud.release.forms.packer`, to those in the file OUTPUT.

    As in Packer's own, builds of earlier runs stay, and `last_run_uuid` is that of MADE. A build that is there already,
    with this name, run and artifact, takes the place of the one before. Several processes may add at a time. Raises
    UsageError for a file that is something else, LkcloudError where it cannot be written.
    """
    with waiting(state_dir() / "packer-manifest.lock"):
        before = json.loads(output.read_bytes())["builds"] if _read(output) else []
        new = {_identity(build) for build in made["builds"]}
        builds = [*(build for build in before if _identity(build) not in new), *made["builds"]]
        replace_text(output, json.dumps({**made, "builds": builds}, indent=2) + "\n")


def _identity(build: Mapping[str, Any]) -> tuple[object, ...]:
    return tuple(build.get(key) for key in ("name", "packer_run_uuid", "artifact_id"))


def _read(manifest: Path) -> _Manifest | None:
    """Return the manifest, None if there is no such file."""
    try:
        return _Manifest.model_validate(json.loads(manifest.read_bytes()))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UsageError(f"{manifest} cannot be read: {error.strerror}", hint="name another file") from error
    except ValueError:  # pydantic's errors are such, too
        raise UsageError(
            f"{manifest} is no manifest of Packer", hint='name a file that `post-processor "manifest"` wrote'
        ) from None


def _disk(manifest: Path, build: _Build) -> Path:
    files = [Path(file.name) for file in build.files]
    disks = [file for file in files if not file.name.lower().endswith(_NO_DISKS)]
    if len(disks) == 1:
        if not disks[0].exists():
            raise NotFound(
                f"the disk of the build {build.name} in {manifest} is not there: {disks[0]}",
                hint="go to the folder where Packer ran, leave out `strip_path`, or name the disk with --image",
            )
        return disks[0]
    if not disks:
        raise NotFound(
            f"the build {build.name} in {manifest} has no disk: {_list(files) or 'it has no files'}",
            hint="name the disk with --image",
        )
    raise UsageError(
        f"the build {build.name} in {manifest} has several files that could be its disk: {_list(disks)}",
        hint="name the right one with --image, in place of the manifest",
    )


def _list(files: Sequence[Path]) -> str:
    return ", ".join(str(file) for file in files)
