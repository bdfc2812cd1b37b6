# SPDX-License-Identifier: Apache-2.0
"""Tarballs become images as Compute Engine reads them: written by GNU tar and others, good and bad."""

import gzip
import io
import lzma
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from lkcloud_gcp.sandbox import GcpStandIn
from tests.gcp_sandbox.computing import BUCKET, GIB, Computing

NOT_VALID = "INVALID_IMAGE_TAR: The tar archive is not a valid image."
NOT_SUPPORTED = "INVALID_IMAGE_TAR: The tar archive format is not supported. Supported formats are: GNU and OLDGNU."


@pytest.fixture
def engine(gcp: GcpStandIn, tmp_path: Path) -> Computing:
    return Computing.of(gcp, tmp_path)


@pytest.mark.parametrize(
    "options",
    [
        ("--format=oldgnu", "-S"),
        pytest.param(("--format=gnu", "-S"), marks=pytest.mark.long),
        pytest.param(("--format=oldgnu",), marks=pytest.mark.long),  # a GiB of zeros
    ],
)
def test_a_disk_comes_out_as_it_went_in(engine: Computing, options: tuple[str, ...]) -> None:
    disk = engine.disk()
    shown = engine.image(source=engine.put(engine.packed(options=options)))
    file = engine.cloud.image_file("image")
    assert (shown.status, shown.disk_size_gb) == ("READY", 1)
    assert subprocess.run(["cmp", disk, file], check=False).returncode == 0
    assert file.stat().st_blocks * 512 < 1 << 20


def test_a_sparse_map_of_many_extents_and_several_gib(engine: Computing) -> None:
    disk = engine.disk(size=12 * GIB)
    with disk.open("r+b") as file:
        for number in range(100):
            file.seek(number * 8 * 1024 * 1024)
            file.write(b"%d" % number * 3000)
        file.seek(9 * GIB)
        file.write(b"past what eleven octal digits say")
    shown = engine.image(source=engine.put(engine.packed()))
    assert shown.disk_size_gb == 12
    extracted = engine.cloud.image_file("image")
    assert extracted.stat().st_size == 12 * GIB
    with disk.open("rb") as mine, extracted.open("rb") as theirs:
        for offset in [*range(0, 100 * 8 << 20, 8 << 20), 6 * GIB, 9 * GIB, 12 * GIB - 512]:
            mine.seek(offset)
            theirs.seek(offset)
            assert theirs.read(70000) == mine.read(70000), offset


def test_gzip_in_several_members(engine: Computing) -> None:
    engine.disk()
    archive = gzip.decompress(engine.packed())
    middle = len(archive) // 2
    engine.image(
        source=engine.put(gzip.compress(archive[:middle]) + gzip.compress(b"") + gzip.compress(archive[middle:]))
    )


def test_an_object_put_together_from_others(engine: Computing) -> None:
    engine.disk()
    content = engine.packed()
    engine.put(content[:300], "1")
    engine.put(content[300:], "2")
    bucket = engine.session.storage.bucket(BUCKET)
    bucket.blob("whole.tar.gz").compose([bucket.blob("1"), bucket.blob("2")])
    engine.image(source=f"https://storage.googleapis.com/{BUCKET}/whole.tar.gz")


@pytest.mark.parametrize("form", ["pax", "ustar", "v7"])
def test_other_formats_of_tar(engine: Computing, form: str) -> None:
    # ustar and v7 cannot say that a file is sparse, so the disk is a small one: the format is looked at first.
    engine.disk(size=4096)
    source = engine.put(engine.packed(options=(f"--format={form}",)))
    assert engine.failed(engine.insert("image", source)) == NOT_SUPPORTED


def test_a_member_of_another_name(engine: Computing) -> None:
    engine.disk("podvm.raw")
    told = "INVALID_IMAGE_TAR: The file inside the tar archive was named ''{}''. It should be named ''disk.raw''."
    assert engine.failed(engine.insert("image", engine.put(engine.packed("podvm.raw")))) == told.format("podvm.raw")
    engine.disk()
    assert engine.failed(engine.insert("image", engine.put(engine.packed("./disk.raw")))) == told.format("./disk.raw")


@pytest.mark.parametrize("size", [GIB + 512, GIB - 1, 4096, 0])
def test_a_size_that_is_not_whole_gib(engine: Computing, size: int) -> None:
    with (engine.folder / "disk.raw").open("wb") as file:
        file.truncate(size)
    assert str(size) in engine.failed(engine.insert("image", engine.put(engine.packed())))


def two_members(engine: Computing) -> bytes:
    (engine.folder / "readme").write_text("another one")
    return engine.packed("disk.raw", "readme")


def a_directory(engine: Computing) -> bytes:
    (engine.folder / "disk.raw").rename(engine.folder / "file")
    (engine.folder / "disk.raw").mkdir()
    return engine.packed()


def changed(engine: Computing, change: Callable[[bytearray], None]) -> bytes:
    archive = bytearray(gzip.decompress(engine.packed()))
    change(archive)
    return gzip.compress(bytes(archive))


def a_bad_checksum(engine: Computing) -> bytes:
    def change(archive: bytearray) -> None:
        archive[100:103] = b"777"

    return changed(engine, change)


def no_end(engine: Computing) -> bytes:
    def change(archive: bytearray) -> None:
        del archive[len(archive.rstrip(b"\0")) // 512 * 512 + 512 :]

    return changed(engine, change)


def more_after_the_end(engine: Computing) -> bytes:
    return changed(engine, lambda archive: archive.extend(b"something"))


def a_bad_crc(engine: Computing) -> bytes:
    content = bytearray(engine.packed())
    content[-8] ^= 1
    return bytes(content)


def xz(engine: Computing) -> bytes:
    return lzma.compress(gzip.decompress(engine.packed()))


def a_pipe(engine: Computing) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as archive:
        member = tarfile.TarInfo("disk.raw")
        member.type = tarfile.FIFOTYPE
        archive.addfile(member)
    return gzip.compress(out.getvalue())


@pytest.mark.parametrize(
    "make",
    [
        two_members,
        a_directory,
        a_bad_checksum,
        no_end,
        more_after_the_end,
        a_bad_crc,
        xz,
        a_pipe,
        lambda engine: gzip.decompress(engine.packed()),
        lambda engine: engine.packed()[:-100],
        lambda engine: engine.packed()[:-1],
        lambda engine: engine.packed() + b"garbage",
        lambda engine: (engine.folder / "disk.raw").read_bytes()[:100000],
        lambda engine: gzip.compress(bytes(10240)),
        lambda engine: gzip.compress(b""),
        lambda engine: b"",
    ],
)
def test_what_is_no_image(engine: Computing, make: Callable[[Computing], bytes]) -> None:
    engine.disk()
    assert engine.failed(engine.insert("image", engine.put(make(engine)))) == NOT_VALID


def test_a_failed_import_leaves_nothing(engine: Computing) -> None:
    engine.failed(engine.insert("image", engine.put(b"no tarball at all")))
    assert list(engine.images.list(project=engine.project)) == []
    assert not list(engine.cloud.holdings.engine.home.rglob("*.raw"))
    # The name is free again.
    engine.image("image")


def test_an_object_that_is_not_there(engine: Computing) -> None:
    source = f"https://storage.googleapis.com/{BUCKET}/none.tar.gz"
    assert engine.failed(engine.insert("image", source)) == (
        f"RESOURCE_NOT_FOUND: The resource 'https://www.googleapis.com/storage/v1/b/{BUCKET}/o/none.tar.gz' of type "
        "'Google Cloud Storage object' was not found."
    )


def test_it_is_read_at_the_end_of_the_operation(engine: Computing) -> None:
    source = engine.small()
    engine.cloud.windows.image_import = 0.5
    operation = engine.insert("image", source)
    engine.session.storage.bucket(BUCKET).blob("disk.tar.gz").delete()
    assert engine.failed(operation).startswith("RESOURCE_NOT_FOUND")
