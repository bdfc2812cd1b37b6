# SPDX-License-Identifier: Apache-2.0
"""azcopy, Microsoft's own program, reads what lkcloud has written, and the bytes are those of the fixed VHD."""

import filecmp
import http.client
import os
import shutil
import ssl
import subprocess
import threading
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from azure.mgmt.compute.models import GrantAccessData
from azure.storage.blob import BlobSasPermissions, ContainerClient, generate_blob_sas

import lkcloud
from lkcloud.disk import BLOCK, Disk, open_disk
from lkcloud.disk.inspect import inspect
from lkcloud.provider import Run, Source
from lkcloud.sandbox.tinydisk import write_tiny_disk
from lkcloud_azure import AzureOptions
from lkcloud_azure.naming import ResourceId
from lkcloud_azure.sandbox import AzureStandIn
from lkcloud_azure.session import Session
from lkcloud_azure.upload import upload

_NPM = Path(__file__).resolve().parents[2] / ".cache/npm/node_modules/.bin/azcopy"
AZCOPY = str(_NPM) if _NPM.exists() else shutil.which("azcopy")

pytestmark = pytest.mark.skipif(AZCOPY is None, reason="azcopy is not installed: tests/packages.sh npm installs it")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """Return a disk of no whole number of MiB with data at its begin, in places, and at its end."""
    path = tmp_path / "disk.raw"
    write_tiny_disk(path, size=32 << 20, message="read by azcopy")
    with path.open("r+b") as file:
        file.truncate((32 << 20) + 4096)
        for number in range(20, 60, 3):
            file.seek(number * BLOCK)
            file.write(bytes([number]) * 5000)
        file.seek(32 << 20)
        file.write(b"end" * 1000)
    with open_disk(path) as opened:
        yield opened


@pytest.fixture
def vhd(disk: Disk, tmp_path: Path) -> Path:
    """Return the fixed VHD of the disk."""
    path = tmp_path / "wanted.vhd"
    lkcloud.convert(disk, path, format="vhd")
    return path


def source(disk: Disk) -> Source:
    return Source(disk, "image", inspect(disk), disk.content().digest)


def options(azure: AzureStandIn, **chosen: object) -> AzureOptions:
    said = azure.environment()
    place = {"location": said["LKCLOUD_AZURE_LOCATION"], "storage_account": said["LKCLOUD_AZURE_STORAGE_ACCOUNT"]}
    return AzureOptions.model_validate({**place, **chosen})


class DiskHosts:
    """A proxy that knows the hosts of managed disks: their names tell azcopy what it has before it.

    Azure's URL is https://md-ID.STAMP.blob.storage.azure.net/SECRET/abcd, and azcopy leaves out what such hosts do not
    take (`isInManagedDiskImportExportAccount` of Azure/azure-storage-azcopy). The stand-in has no names, and so its URL
    begins with https://127.0.0.1:PORT/md-ID.
    """

    domain = "stand-in.blob.storage.azure.net"

    def __init__(self, azure: AzureStandIn) -> None:
        trusted = ssl.create_default_context(cafile=azure.environment()["SSL_CERT_FILE"])
        places = self._places = dict[str, str]()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_any(self) -> None:
                asked = urlsplit(self.path)
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                disk = asked.netloc.partition(".")[0]
                connection = http.client.HTTPSConnection(places[disk], context=trusted, timeout=30)
                target = f"/{disk}{asked.path}?{asked.query}"
                connection.request(self.command, target, body, dict(self.headers))
                answer = connection.getresponse()
                self.send_response_only(answer.status)
                for name, value in answer.getheaders():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(answer.read())
                connection.close()

            do_GET = do_HEAD = do_PUT = do_any  # noqa: N815 - the names that http.server calls

            def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - its name in the base class
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def url(self, shared: str) -> str:
        """Return the URL, for who goes by the proxy, of a disk that the stand-in has SHARED."""
        parts = urlsplit(shared)
        disk, path = parts.path[1:].split("/", 1)
        self._places[disk] = parts.netloc
        return f"http://{disk}.{self.domain}/{path}?{parts.query}"

    def environment(self) -> dict[str, str]:
        return {"HTTP_PROXY": f"http://127.0.0.1:{self._server.server_port}"}

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def hosts(azure: AzureStandIn) -> Iterator[DiskHosts]:
    proxy = DiskHosts(azure)
    yield proxy
    proxy.stop()


def azcopy(azure: AzureStandIn, folder: Path, *words: str | Path, variables: Mapping[str, str] | None = None) -> None:
    """Let azcopy copy, with all that it writes in FOLDER; nothing but this machine can be reached."""
    environment = {
        **azure.environment(),
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "AZCOPY_LOG_LOCATION": str(folder / "log"),
        "AZCOPY_JOB_PLAN_LOCATION": str(folder / "plan"),
        "AZCOPY_DISABLE_SYSLOG": "true",
        "HTTPS_PROXY": "http://127.0.0.1:9",
        "HTTP_PROXY": "http://127.0.0.1:9",
        **(variables or {}),
    }
    assert AZCOPY is not None
    command = [AZCOPY, "copy", *words, "--skip-version-check"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout


def signed(azure: AzureStandIn, url: str) -> str:
    """Return URL, of a blob in the stand-in's storage account, with a signature by which it can be read and written."""
    account, container, blob = url.rsplit("/", 3)[1:]
    key = azure.holdings.blobs.keys(account)[0]
    permission = BlobSasPermissions(read=True, write=True, create=True)
    until = datetime.now(UTC) + timedelta(hours=1)
    query = generate_blob_sas(account, container, blob, account_key=key, permission=permission, expiry=until)
    return f"{url}?{query}"


def test_azcopy_downloads_a_page_blob(
    azure: AzureStandIn, session: Session, disk: Disk, vhd: Path, run: Run, tmp_path: Path
) -> None:
    blob = upload(session, options(azure, method="blob"), source(disk), run)
    azcopy(azure, tmp_path, signed(azure, blob.id), tmp_path / "got.vhd", "--from-to=BlobLocal")
    assert filecmp.cmp(vhd, tmp_path / "got.vhd", shallow=False)


def shared(session: Session, disk_id: str, access: str) -> str:
    """Return the URL by which a managed disk can be read or written."""
    made = ResourceId.parse(disk_id)
    assert made is not None
    wanted = GrantAccessData(access=access, duration_in_seconds=600)
    granted = session.compute.disks.begin_grant_access(made.group, made.names[-1], wanted).result()
    return str(granted.access_sas)


def test_azcopy_downloads_a_managed_disk(
    azure: AzureStandIn, session: Session, hosts: DiskHosts, disk: Disk, vhd: Path, run: Run, tmp_path: Path
) -> None:
    made = upload(session, options(azure, method="disk"), source(disk), run)
    url = hosts.url(shared(session, made.id, "Read"))
    azcopy(azure, tmp_path, url, tmp_path / "got.vhd", "--from-to=BlobLocal", variables=hosts.environment())
    wanted, got = vhd.read_bytes(), (tmp_path / "got.vhd").read_bytes()
    assert got[:-512] == wanted[:-512]
    # Azure keeps the disk and not its footer, which is another one each time: the same but for time and identity.
    assert (got[-512:][:8], got[-512:][40:64]) == (b"conectix", wanted[-512:][40:64])


def test_azcopy_uploads_a_managed_disk(
    azure: AzureStandIn, session: Session, hosts: DiskHosts, vhd: Path, tmp_path: Path
) -> None:
    """The other way round: the stand-in takes what the client writes that Azure's documents name for this."""
    session.resources.resource_groups.create_or_update("group", {"location": "westeurope"})
    size = vhd.stat().st_size
    creation = {"createOption": "Upload", "uploadSizeBytes": size}
    document = {"location": "westeurope", "properties": {"osType": "Linux", "creationData": creation}}
    made = session.compute.disks.begin_create_or_update("group", "disk", document).result()
    url = hosts.url(shared(session, made.id, "Write"))
    azcopy(azure, tmp_path, vhd, url, "--from-to=LocalBlob", "--blob-type=PageBlob", variables=hosts.environment())
    session.compute.disks.begin_revoke_access("group", "disk").result()
    held, wanted = azure.disk_file(made.id).read_bytes(), vhd.read_bytes()
    assert held[: size - 512] == wanted[: size - 512]


def test_azcopy_uploads_a_page_blob(azure: AzureStandIn, session: Session, vhd: Path, tmp_path: Path) -> None:
    """The stand-in's blob service takes what another client than ours writes."""
    account, blobs = azure.environment()["LKCLOUD_AZURE_STORAGE_ACCOUNT"], azure.holdings.blobs
    credential = {"account_name": account, "account_key": blobs.keys(account)[0]}
    with ContainerClient(blobs.endpoint(account), "disks", credential=credential) as container:
        container.create_container()
    url = f"{blobs.endpoint(account)}/disks/uploaded.vhd"
    azcopy(azure, tmp_path, vhd, signed(azure, url), "--from-to=LocalBlob", "--blob-type=PageBlob")
    blobs.fetch(url, tmp_path / "held.vhd")
    assert filecmp.cmp(vhd, tmp_path / "held.vhd", shallow=False)
