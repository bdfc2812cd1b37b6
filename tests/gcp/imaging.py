# SPDX-License-Identifier: Apache-2.0
"""Images for tests: a tarball that GNU tar has made, put into a bucket, and what is registered from it."""

import gzip
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lkcloud.disk import Disk
from lkcloud.disk.inspect import inspect
from lkcloud.provider import Blob, Source
from lkcloud.reporting import Meter, Silent
from lkcloud_gcp import GcpOptions, naming
from lkcloud_gcp.register import Registration
from lkcloud_gcp.sandbox import GcpStandIn
from lkcloud_gcp.sandbox import image as held
from lkcloud_gcp.session import Session

BUCKET = "registrations"
GIB = 1 << 30
DIGEST = "5a" * 32
OTHER_DIGEST = "6b" * 32


def tarball(folder: Path, *, member: str = "disk.raw", size: int = GIB) -> bytes:
    """Return what GNU tar makes of a sparse disk of SIZE bytes, some of which are data."""
    with (folder / member).open("wb") as file:
        file.truncate(size)
        file.seek(size - 4096)
        file.write(b"lkcloud" * 64)
    made = subprocess.run(["tar", "-S", "--format=oldgnu", "-cf-", member], cwd=folder, check=True, capture_output=True)
    return gzip.compress(made.stdout, 1)


def put(
    session: Session, content: bytes, *, name: str = "image", digest: str = DIGEST, ending: str = ".tar.gz"
) -> Blob:
    """Put CONTENT into the bucket where the tarball of the image NAME belongs."""
    bucket = session.storage.lookup_bucket(BUCKET) or session.storage.create_bucket(BUCKET)
    blob = bucket.blob(naming.tarball("lkcloud/", name, digest).removesuffix(".tar.gz") + ending)
    blob.upload_from_string(content, content_type="application/gzip")
    return Blob("gcp", "US", f"gs://{BUCKET}/{blob.name}#{blob.generation}", "object", name, digest)


def registration(
    session: Session, disk: Disk, *, name: str = "image", digest: str = DIGEST, **options: object
) -> Registration:
    """Return the registration of DISK with the session that there is."""
    chosen = GcpOptions.model_validate({"bucket": BUCKET, **options})
    return Registration(session, chosen, Source(disk, name, inspect(disk), digest, "a description"))


def is_there(gcp: GcpStandIn, blob: Blob) -> bool:
    """Tell whether the tarball is in its bucket."""
    bucket, _, name = blob.id.removeprefix("gs://").rpartition("#")[0].partition("/")
    return gcp.holdings.store.find(bucket, name) is not None


def hold(gcp: GcpStandIn, name: str = "image", *, state: str = "READY", digest: str = DIGEST, family: str = "") -> None:
    """Let the stand-in hold an image that no request has made."""
    home = gcp.holdings.engine.home / "images"
    home.mkdir(parents=True, exist_ok=True)
    file = home / f"{name}.raw"
    file.touch()
    wanted = held.Specification(
        name, held.Source("b", "o.tar.gz", "https://storage.googleapis.com/b/o.tar.gz"), family=family
    )
    labels = naming.labels_of(digest) if digest else {}
    gcp.holdings.engine.images[name] = held.Image(wanted, file, labels, state)


class Interrupting(Silent):
    """A reporter that interrupts the run, as Ctrl-C does, when a stage first tells how far the cloud is."""

    @contextmanager
    def stage(self, title: str) -> Iterator[Meter]:
        del title
        yield _InterruptingMeter()


class _InterruptingMeter:
    def expect(self, total: int, done: int = 0) -> None:
        pass

    def advance(self, amount: int) -> None:
        pass

    def status(self, text: str) -> None:
        raise KeyboardInterrupt(text)
