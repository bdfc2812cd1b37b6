# SPDX-License-Identifier: Apache-2.0
"""Images behind URLs: fetched once, whole or not at all, and anew when they have changed."""

import gzip
import hashlib
import random
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from lkcloud.disk import Disk, fetch, open_disk
from lkcloud.disk.objects import bucket_and_key, file_name, shown
from lkcloud.errors import ImageChanged, LkcloudError, NotFound, Refused, Unreachable, UnusableImage, UsageError
from lkcloud.sandbox.http import Request, Response, Server

SIZE = 3 * fetch.PART + 12345


def content(seed: int, size: int = SIZE) -> bytes:
    """Return bytes that begin and end with data and have a hole of several MiB."""
    source = random.Random(seed)
    data = bytearray(size)
    data[: 1 << 20] = source.randbytes(1 << 20)
    data[-4321:] = source.randbytes(4321)
    return bytes(data)


@dataclass
class Site:
    """A web site with one image, which can be made to do what sites do."""

    body: bytes
    ranges: bool = True
    tag: str | None = ""
    """The entity tag; "" is one made of the body, None is none."""
    modified: str = ""
    length: bool = True
    redirect: str = ""
    statuses: list[int] = field(default_factory=list)
    """Answers instead of the next ones."""
    cut: int = 0
    """How many of the next answers end too early."""
    requests: list[Request] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, request: Request) -> Response:
        with self._lock:
            self.requests.append(request)
            if self.statuses and (status := self.statuses.pop(0)):
                return Response(status)
            cut, self.cut = self.cut > 0, max(0, self.cut - 1)
        if request.path == "/moved":
            return Response(302, {"Location": self.redirect})
        tag = f'"{hashlib.sha256(self.body).hexdigest()}"' if self.tag == "" else self.tag
        headers = {"ETag": tag} if tag else {}
        if self.modified:
            headers["Last-Modified"] = self.modified
        if request.header("If-Match") not in ("", tag):
            return Response(412)
        begin, end, status = 0, len(self.body), 200
        if self.ranges and (wanted := request.header("Range")):
            if not self.body:
                return Response(416, {**headers, "Content-Range": "bytes */0"})
            first, _, last = wanted.removeprefix("bytes=").partition("-")
            begin, end, status = int(first), min(int(last) + 1, len(self.body)), 206
            headers["Content-Range"] = f"bytes {begin}-{end - 1}/{len(self.body)}"
        body = self.body[begin:end]
        if cut:
            return Response(status, {**headers, "Content-Length": str(len(body)), "Connection": "close"}, body[:-1])
        if not self.length:
            headers |= {"Content-Length": "", "Connection": "close"}
        return Response(status, headers, body)

    @property
    def asked(self) -> list[str]:
        """The ranges that were asked for after the first look."""
        return [one.header("Range") for one in self.requests if one.header("Range") != "bytes=0-0"]


@pytest.fixture
def site() -> Site:
    return Site(content(1))


@pytest.fixture
def url(site: Site) -> Iterator[str]:
    server = Server(site)
    server.start()
    yield f"{server.address}/images/disk.raw?signature=secret"
    server.stop()


def data_of(disk: Disk) -> bytes:
    return disk.read(0, disk.size)


def kept(folder: Path) -> list[Path]:
    """Return the files of the cache."""
    return sorted(path for path in (folder / "cache" / "fetched").rglob("*") if path.is_file())


def test_fetched_once_in_parts_and_sparse(site: Site, url: str, own_folders: Path) -> None:
    with open_disk(url) as disk:
        assert disk.size == SIZE
        assert data_of(disk) == site.body
    assert len(site.asked) == 4
    assert {one.header("If-Match") for one in site.requests[1:]} == {f'"{hashlib.sha256(site.body).hexdigest()}"'}
    (file,) = kept(own_folders)
    assert file.name == "disk.raw"
    assert file.stat().st_blocks * 512 < 3 << 20
    site.requests.clear()
    with open_disk(url) as disk:
        assert data_of(disk) == site.body
    assert [one.header("Range") for one in site.requests] == ["bytes=0-0"]


def test_another_signature_is_the_same_object(site: Site, url: str, own_folders: Path) -> None:
    for query in ("?signature=a", "?signature=b"):
        open_disk(url.partition("?")[0] + query).close()
    assert len(site.asked) == 4
    assert len(kept(own_folders)) == 1


def test_what_was_written_again_is_fetched_again(site: Site, url: str) -> None:
    open_disk(url).close()
    site.body = content(2)
    with open_disk(url) as disk:
        assert data_of(disk) == site.body


def test_what_changes_while_it_is_fetched_is_told_and_not_kept(site: Site, url: str, own_folders: Path) -> None:
    look = Site.__call__

    def change(request: Request) -> Response:
        answer = look(site, request)
        site.body = content(2)
        return answer

    server = Server(change)
    server.start()
    with pytest.raises(ImageChanged) as caught:
        open_disk(f"{server.address}/disk.raw")
    server.stop()
    assert "changed while it was fetched" in caught.value.message
    assert kept(own_folders) == []


def test_a_compressed_image_is_unpacked_once(site: Site, url: str, own_folders: Path) -> None:
    raw, site.body = site.body, gzip.compress(site.body)
    for _ in range(2):
        with open_disk(url) as disk:
            assert data_of(disk) == raw
    assert len(list((own_folders / "cache" / "unpacked").iterdir())) == 1


def test_a_connection_that_breaks_costs_its_part_alone(site: Site, url: str) -> None:
    site.statuses = [0, 0, 503]
    site.cut = 0
    with open_disk(url) as disk:
        assert data_of(disk) == site.body
    assert len(site.asked) == 5
    site.body, site.cut = content(3), 3  # the first look is of one byte, which is then missing, too
    with open_disk(url) as disk:
        assert data_of(disk) == site.body


@pytest.mark.parametrize("tag", ["", None, 'W/"1"'])
def test_a_server_without_ranges(site: Site, url: str, tag: str | None) -> None:
    site.ranges, site.tag = False, tag
    with open_disk(url) as disk:
        assert data_of(disk) == site.body
    assert site.asked == [""]


def test_without_a_tag_the_time_tells_whether_it_has_changed(site: Site, url: str) -> None:
    site.tag, site.modified = None, "Mon, 02 Nov 2026 03:04:05 GMT"
    for _ in range(2):
        open_disk(url).close()
    assert site.asked == [""]
    site.modified = "Mon, 02 Nov 2026 03:04:06 GMT"
    open_disk(url).close()
    assert site.asked == ["", ""]


def test_without_anything_that_tells_it_is_fetched_each_time(site: Site, url: str) -> None:
    site.tag = None
    for _ in range(2):
        open_disk(url).close()
    assert site.asked == ["", ""]


def test_an_empty_object_is_an_empty_disk(site: Site, url: str) -> None:
    site.body = b""
    with open_disk(url) as disk:
        assert disk.size == 0


def test_several_at_once_fetch_once(site: Site, url: str) -> None:
    failed: list[BaseException] = []

    def run() -> None:
        try:
            with open_disk(url) as disk:
                assert data_of(disk) == site.body
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert len(site.asked) == 4


def test_the_ones_used_last_are_kept(site: Site, url: str, own_folders: Path) -> None:
    with open_disk(url) as first:
        for seed in range(2, 3 + fetch.KEPT):
            site.body = content(seed, 1 << 20)
            open_disk(url).close()
        assert len(kept(own_folders)) == fetch.KEPT + 1  # one is in use
        first.check_unchanged()
    site.body = content(99, 1 << 20)
    open_disk(url).close()
    assert len(kept(own_folders)) == fetch.KEPT


@pytest.mark.parametrize(
    ("statuses", "kind", "message"),
    [
        ([404], NotFound, "HTTP status 404"),
        ([403], Refused, "HTTP status 403"),
        ([503] * 9, Unreachable, "HTTP status 503"),
    ],
)
def test_what_the_server_says_is_told_without_the_signature(
    site: Site, url: str, statuses: list[int], kind: type[LkcloudError], message: str
) -> None:
    site.statuses = statuses
    with pytest.raises(kind) as caught:
        open_disk(url)
    assert message in caught.value.message
    assert "/images/disk.raw" in caught.value.message
    assert "secret" not in caught.value.message + caught.value.hint


def test_no_server() -> None:
    server = Server(Site(b""))
    address = server.address
    server.server_close()
    with pytest.raises(Unreachable) as caught:
        open_disk(f"{address}/disk.raw")
    assert "refused" in caught.value.message


def test_no_size(site: Site, url: str) -> None:
    site.ranges = site.length = False
    with pytest.raises(Refused) as caught:
        open_disk(url)
    assert "how many bytes" in caught.value.message


def test_redirects_are_followed_and_not_to_where_anybody_may_change_the_bytes(site: Site, url: str) -> None:
    moved = url.partition("/images")[0] + "/moved"
    site.redirect = url
    with open_disk(moved) as disk:
        assert data_of(disk) == site.body
    site.redirect = "http://images.example.com/disk.raw"
    with pytest.raises(UsageError) as caught:
        open_disk(moved)
    assert "not protected" in caught.value.message


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://images.example.com/disk.raw", "not protected"),
        ("https://me:word@images.example.com/disk.raw", "password"),
        ("https:///disk.raw", "no URL of an image"),
        ("ftp://images.example.com/disk.raw", "nothing here reads ftp://"),
        ("s3://bucket", "names no object"),
        ("gs://bucket/", "names no object"),
    ],
)
def test_urls_that_are_none(url: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        open_disk(url)
    assert message in caught.value.message
    assert "word" not in caught.value.message.replace("password", "")


def test_a_full_or_forbidden_cache_is_told(url: str, own_folders: Path) -> None:
    (own_folders / "cache").mkdir()
    (own_folders / "cache" / "fetched").touch()
    with pytest.raises(UnusableImage) as caught:
        open_disk(url)
    assert "LKCLOUD_CACHE_DIR" in caught.value.hint


def test_the_parts_of_a_url() -> None:
    assert bucket_and_key("s3://b/a//c d?e#f") == ("b", "a//c d?e#f")
    assert file_name("https://h/a/my%20disk.raw.zst?x=/y") == "my disk.raw.zst"
    assert file_name("/a/b.raw") == "b.raw"
    assert shown("https://u:p@h:1/a?b#c") == "https://h:1/a"
