# SPDX-License-Identifier: Apache-2.0
"""`lkcloud post-process CLOUD [MANIFEST]`, for Packer's shell-local post-processor: docs/packer.md."""

import os
import select
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lkcloud.cli import push
from lkcloud.cli.settings import SETTINGS
from lkcloud.errors import UsageError

if TYPE_CHECKING:
    from lkcloud.release.manifest import Manifest
    from lkcloud.release.packer_manifest import Built

_MANIFEST = Path("packer-manifest.json")
"""What Packer's manifest post-processor calls its file, unless told otherwise."""


def command(cloud: str) -> Callable[..., None]:
    """Return the function behind `lkcloud post-process CLOUD`."""

    def post_process(
        *,
        ctx: typer.Context,
        manifest: Annotated[
            Path | None,
            typer.Argument(
                metavar="MANIFEST",
                help=f"The file of Packer's manifest post-processor. [default: {_MANIFEST}]",
                show_default=False,
            ),
        ] = None,
        image: Annotated[
            Path | None, typer.Option("--image", metavar="FILE", help="The disk, where no manifest names it.")
        ] = None,
        output: Annotated[
            Path, typer.Option("--output", "-o", help="Packer manifest that the image is added to.")
        ] = Path("lkcloud-manifest.json"),
        name: push.Name = "",
        description: push.Description = "",
        replacing: push.Replacing = False,
        test: push.Test = None,
        expect: push.Expect = [],  # noqa: B006 - typer copies it
        timeout: push.Timeout = 300.0,
        keep: push.Keep = False,
        sandbox: push.Sandbox = False,
        dry_run: push.DryRun = False,
        as_json: push.Json = False,
        **values: Any,
    ) -> None:
        SETTINGS.json = as_json
        if "PACKER_RUN_UUID" in os.environ:
            _end_with_packer()
        from lkcloud.release import packer_manifest
        from lkcloud.release.forms.packer import packer

        built = _built(manifest, image)
        if output.resolve() == (manifest or _MANIFEST).resolve():
            raise UsageError(f"{output} is Packer's own file, which it writes as well", hint="give another --output")
        packer_manifest.require_addable(output)
        order = push.Order(
            str(built.file), name, description, replacing, test, tuple(expect), timeout, keep, sandbox, dry_run, as_json
        )
        done = push.carry_out(cloud, order, ctx, values)
        if done:
            packer_manifest.add(output, packer(_release(cloud, built, done), run_uuid=built.run_uuid))

    post_process.__doc__ = (
        f"Make the disk that Packer has built an image on {cloud}: as `lkcloud push {cloud}`, from "
        "Packer's shell-local post-processor."
    )
    return post_process


def _built(manifest: Path | None, image: Path | None) -> "Built":
    from lkcloud.release import packer_manifest

    if image is None:
        return packer_manifest.built(manifest or _MANIFEST)
    if manifest is not None:
        raise UsageError(f"both a manifest, {manifest}, and --image {image} are given", hint="leave one of them out")
    return packer_manifest.from_environment(image)


def _release(cloud: str, built: "Built", done: push.Done) -> "Manifest":
    """Return what was made as a release with one image for one target."""
    from lkcloud.release.manifest import Manifest, Published

    source = done.pushed.source
    images = tuple(
        Published.of(
            image,
            arch=source.facts.architecture or "",
            version="",
            target=cloud,
            image=built.name or source.name,
            tested=done.booted is not None,
            shared=True,
            promoted=True,
        )
        for image in (done.pushed.image, *done.copies)
    )
    return Manifest(version="", complete=True, images=images)


def _end_with_packer() -> None:
    """End in order, as by Ctrl-C, when Packer ends: by the first signal, or when nobody reads our stderr any more.

    Packer 1.6.6 waits for no script. Told to end, it kills the shell around it and is gone: of a signal to Packer
    alone the script would never know. Ctrl-C comes together with the loss of the reader, so only the first counts:
    a second one would break off the clearing up, and here it is no sign of an impatient user.
    """
    numbers = [
        number
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        if signal.getsignal(number) is not signal.SIG_IGN
    ]

    def first(signum: int, frame: FrameType | None) -> None:
        del signum, frame
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    for number in numbers:
        signal.signal(number, first)
    threading.Thread(target=_wait_for_silence, name="packer", daemon=True).start()


def _wait_for_silence() -> None:
    """Wait until the reader of stderr has gone, and let the process end as by SIGTERM."""
    if sys.__stderr__ is None:
        return
    poll = select.poll()
    poll.register(sys.__stderr__.fileno(), 0)
    if any(events & (select.POLLERR | select.POLLHUP) for _, events in poll.poll()):
        os.kill(os.getpid(), signal.SIGTERM)
