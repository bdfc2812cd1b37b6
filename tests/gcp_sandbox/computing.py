# SPDX-License-Identifier: Apache-2.0
"""Google's own clients of the stand-in's Compute Engine, and tarballs by GNU tar."""

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from google.api_core.exceptions import GoogleAPICallError
from google.cloud import compute_v1

from lkcloud.sandbox.qemu import missing
from lkcloud_gcp.sandbox import GcpStandIn
from lkcloud_gcp.session import Session

BUCKET = "disks"
GIB = 1 << 30
ZONE = "us-central1-a"
DONE = compute_v1.Operation.Status.DONE

needs_qemu = pytest.mark.skipif(
    bool(missing("x86_64", "bios") or missing("x86_64", "uefi")),
    reason=f"needs the Debian packages {missing('x86_64', 'bios')} {missing('x86_64', 'uefi')}",
)


@dataclass(frozen=True)
class Computing:
    """The clients of one test, which do not try again, and a FOLDER for its files."""

    cloud: GcpStandIn
    session: Session
    folder: Path

    @classmethod
    def of(cls, cloud: GcpStandIn, folder: Path) -> "Computing":
        """Return clients of CLOUD, in which there is a bucket."""
        session = Session()
        session.storage.create_bucket(BUCKET)
        return cls(cloud, session, folder)

    @property
    def project(self) -> str:
        return self.session.project

    @property
    def images(self) -> compute_v1.ImagesClient:
        return self.session.images

    @property
    def instances(self) -> compute_v1.InstancesClient:
        return self.session.instances

    def disk(self, name: str = "disk.raw", size: int = GIB) -> Path:
        """Return a sparse disk with a few bytes of data at its start, in its middle and at its end."""
        path = self.folder / name
        with path.open("wb") as file:
            file.truncate(size)
            for offset in (0, size // 2, size - 512):
                file.seek(offset)
                file.write(b"%d bytes here" % offset)
        return path

    def packed(self, *members: str, options: tuple[str, ...] = ("--format=oldgnu", "-S")) -> bytes:
        """Return the tarball that GNU tar makes of files in the folder."""
        command = ["tar", *options, "-I", "gzip -1", "-cf-", *(members or ("disk.raw",))]
        return subprocess.run(command, cwd=self.folder, check=True, capture_output=True).stdout

    def put(self, content: bytes, name: str = "disk.tar.gz") -> str:
        """Put CONTENT into the bucket and return its URL, as images.insert takes it."""
        self.session.storage.bucket(BUCKET).blob(name).upload_from_string(content)
        return f"https://storage.googleapis.com/{BUCKET}/{name}"

    def small(self) -> str:
        """Return the URL of a tarball of a disk of one GiB."""
        self.disk()
        return self.put(self.packed())

    def insert(self, name: str, source: str, *, request_id: str = "", **fields: Any) -> compute_v1.Operation:
        """Begin to make an image."""
        raw = compute_v1.RawDisk(source=source, container_type="TAR")
        resource = compute_v1.Image(**{"name": name, "raw_disk": raw, **fields})
        request = compute_v1.InsertImageRequest(project=self.project, image_resource=resource)
        if request_id:
            request.request_id = request_id
        return self.images.insert_unary(request=request, retry=None)

    def image(self, name: str = "image", source: str = "", **fields: Any) -> compute_v1.Image:
        """Make an image, which must come to be, and return it."""
        self.done(self.insert(name, source or self.small(), **fields))
        return self.get(name)

    def get(self, name: str = "image") -> compute_v1.Image:
        """Return an image."""
        return self.images.get(project=self.project, image=name, retry=None)

    def wait(self, operation: compute_v1.Operation) -> compute_v1.Operation:
        """Return the operation when it is done."""
        while operation.status != DONE:
            zone = operation.zone.rpartition("/")[2]
            operation = (
                self.session.zone_operations.wait(project=self.project, zone=zone, operation=operation.name)
                if zone
                else self.session.global_operations.wait(project=self.project, operation=operation.name)
            )
        return operation

    def done(self, operation: compute_v1.Operation) -> compute_v1.Operation:
        """Return the operation when it is done, which must be without an error."""
        ended = self.wait(operation)
        assert not ended.error.errors, ended
        assert not ended.http_error_status_code
        return ended

    def failed(self, operation: compute_v1.Operation) -> str:
        """Return code and message with which an operation fails."""
        ended = self.wait(operation)
        (error,) = ended.error.errors
        assert ended.http_error_status_code >= 400
        assert ended.http_error_message
        return f"{error.code}: {error.message}"

    def run(self, name: str = "vm", image: str = "global/images/image", **fields: Any) -> compute_v1.Operation:
        """Begin to make an instance in ZONE; `disk` and `kind` are the parameters of its disk and its machine type."""
        parameters = compute_v1.AttachedDiskInitializeParams(**{"source_image": image, **fields.pop("disk", {})})
        kind = fields.pop("kind", "e2-small")
        resource = compute_v1.Instance(
            **{
                "name": name,
                "machine_type": f"zones/{ZONE}/machineTypes/{kind}",
                "disks": [compute_v1.AttachedDisk(boot=True, auto_delete=True, initialize_params=parameters)],
                "network_interfaces": [compute_v1.NetworkInterface(network="global/networks/default")],
                **fields,
            }
        )
        return self.instances.insert_unary(project=self.project, zone=ZONE, instance_resource=resource, retry=None)

    def vm(self, name: str = "vm") -> compute_v1.Instance:
        """Return an instance."""
        return self.instances.get(project=self.project, zone=ZONE, instance=name, retry=None)

    def serial(self, name: str = "vm", **parameters: int) -> compute_v1.SerialPortOutput:
        """Return what an instance's serial port has shown."""
        request = compute_v1.GetSerialPortOutputInstanceRequest(
            project=self.project, zone=ZONE, instance=name, **parameters
        )
        return self.instances.get_serial_port_output(request=request, retry=None)


def refused(status: int, reason: str, call: Callable[..., Any], *arguments: Any, **parameters: Any) -> str:
    """Call what must be refused with STATUS and REASON, and return the message."""
    with pytest.raises(GoogleAPICallError) as caught:
        call(*arguments, **parameters)
    error = caught.value
    assert error.code == status, error
    (detail,) = error.errors
    assert detail["reason"] == reason, error
    assert detail["message"]
    return str(detail["message"])
