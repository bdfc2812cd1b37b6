# SPDX-License-Identifier: Apache-2.0
"""What Packer has built, from the file that its manifest post-processor writes.

https://developer.hashicorp.com/packer/docs/post-processors/manifest. A script that `shell-local` runs is told the name
of the build and the id of the run in its environment, and of the files nothing (Packer 1.6.6).
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ValidationError

from lkcloud.errors import NotFound, UsageError

_NO_DISKS = (".json", ".txt", ".log", ".sha256", ".md5", ".sum", ".pem", ".key", ".fd", ".vars", ".nvram")
"""Endings of files beside the disk: checksums, logs, keys, the UEFI variables that the qemu builder leaves."""


class _File(BaseModel):
    name: str


class _Build(BaseModel):
    name: str
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
    for a file that is no such manifest or names several disks, NotFound where it, the build or a disk is missing.
    """
    read = _read(manifest)
    run = environment.get("PACKER_RUN_UUID") or read.last_run_uuid
    name = environment.get("PACKER_BUILD_NAME", "")
    builds = [build for build in read.builds if build.packer_run_uuid == run and name in ("", build.name)]
    if not builds:
        raise NotFound(
            f"{manifest} has no build{f' {name}' if name else ''} of the run {run or '(none)'}",
            hint='put `post-processor "manifest"` with this output before lkcloud, in the same chain',
        )
    build = builds[-1]
    return Built(_disk(manifest, build), build.name, build.packer_run_uuid)


def _read(manifest: Path) -> _Manifest:
    try:
        return _Manifest.model_validate(json.loads(manifest.read_bytes()))
    except FileNotFoundError:
        raise NotFound(
            f"there is no Packer manifest {manifest}",
            hint='put `post-processor "manifest"` before lkcloud, or name the disk with --image',
        ) from None
    except OSError as error:
        raise UsageError(f"{manifest} cannot be read: {error.strerror}", hint="name Packer's manifest file") from error
    except (ValueError, ValidationError):
        raise UsageError(
            f"{manifest} is no manifest of Packer", hint='name the `output` of `post-processor "manifest"`'
        ) from None


def _disk(manifest: Path, build: _Build) -> Path:
    files = [Path(file.name) for file in build.files]
    disks = [file for file in files if not file.name.lower().endswith(_NO_DISKS)]
    if len(disks) == 1:
        return disks[0]
    if not disks:
        raise NotFound(
            f"the build {build.name} in {manifest} has no disk: {_list(files) or 'it has no files'}",
            hint="name the disk with --image",
        )
    raise UsageError(
        f"the build {build.name} in {manifest} has several files that could be its disk: {_list(disks)}",
        hint="name the right one with --image",
    )


def _list(files: Sequence[Path]) -> str:
    return ", ".join(str(file) for file in files)
