# SPDX-License-Identifier: Apache-2.0
"""`lkcloud manifest FILE --as FORM`."""

import json
from collections.abc import Callable, Mapping
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lkcloud.errors import NotFound, UsageError

if TYPE_CHECKING:
    from lkcloud.release.manifest import Manifest


class Form(Enum):
    """What a manifest can be turned into; the values are the words of the command line."""

    TALOS = "talos"
    COREOS = "coreos"
    PACKER = "packer"
    FLATCAR = "flatcar"
    SIMPLESTREAMS = "simplestreams"
    HCL = "hcl"


def add_commands(app: typer.Typer) -> None:
    """Add the command to APP."""
    app.command("manifest")(manifest)


def manifest(
    *,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A manifest that `lkcloud publish` wrote.")],
    form: Annotated[Form | None, typer.Option("--as", help="The form. [default: as it is]", show_default=False)] = None,
    arch: Annotated[str, typer.Option("--arch", help="Only images of this architecture: x86_64 or arm64.")] = "",
    image: Annotated[str, typer.Option("--image", help="Only images of this id of the release file.")] = "",
    cloud: Annotated[str, typer.Option("--cloud", help="Only images on this cloud.")] = "",
    stream: Annotated[str, typer.Option("--stream", help="For coreos: the name of the stream.")] = "stable",
    content_id: Annotated[
        str, typer.Option("--content-id", help="For simplestreams: the name of the document.")
    ] = "lkcloud:released",
) -> None:
    """Print the manifest of a release in a form that other tools read."""
    from lkcloud.release import manifest as manifests

    read = manifests.read(file)
    if read is None:
        raise NotFound(f"there is no file {file}", hint="name the manifest that `lkcloud publish` wrote")
    chosen = manifests.only(read, arch=arch, image=image, cloud=cloud)
    if read.images and not chosen.images:
        raise UsageError(f"{file} has no image that is so chosen", hint="look at it with `lkcloud manifest FILE`")
    typer.echo(_text(chosen, form, stream=stream, content_id=content_id))


def _text(manifest: "Manifest", form: Form | None, *, stream: str, content_id: str) -> str:
    from lkcloud.release.forms import coreos, flatcar, hcl, packer, simplestreams, talos

    if form is Form.HCL:
        return hcl.hcl(manifest).rstrip("\n")
    documents: Mapping[Form | None, Callable[[], Any]] = {
        None: lambda: manifest.model_dump(mode="json"),
        Form.TALOS: lambda: talos.talos(manifest),
        Form.COREOS: lambda: coreos.coreos(manifest, stream=stream),
        Form.PACKER: lambda: packer.packer(manifest),
        Form.FLATCAR: lambda: flatcar.flatcar(manifest),
        Form.SIMPLESTREAMS: lambda: simplestreams.simplestreams(manifest, content_id=content_id),
    }
    return json.dumps(documents[form](), indent=2)
