# SPDX-License-Identifier: Apache-2.0
"""AWS on this machine: EC2's images, snapshots and instances, EBS direct and S3, as strict as the cloud itself."""

import os
import shutil
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import ClassVar

from botocore.credentials import Credentials

from lkcloud.sandbox.http import Response, Server
from lkcloud.sandbox.traffic import Seen, Traffic
from lkcloud_aws.sandbox.cloud import Cloud
from lkcloud_aws.sandbox.dispatch import Dispatcher
from lkcloud_aws.sandbox.errors import render, throttled
from lkcloud_aws.sandbox.moto_side import Moto
from lkcloud_aws.sandbox.s3_store import ObjectStore
from lkcloud_aws.sandbox.windows import Windows

__all__ = ["AwsStandIn", "Seen", "Windows"]

KEY_ID = "AKIALKCLOUDSANDBOX00"
SECRET = "only-good-on-this-machine"  # noqa: S105 - it opens nothing but the stand-in
REGION = "us-east-1"
_LOOPBACK = "127.0.0.1,localhost"


def _throttled(seen: Seen) -> Response:
    return render(seen.service, throttled(seen.service), f"throttled-{seen.number}")


class AwsStandIn:
    """The stand-in of AWS. A process can have one at a time, since moto keeps its state in the process.

    For tests in the same process: `windows` sets how long things take, `traffic` logs requests and has the hooks,
    `holdings` is all that is held.
    """

    cloud: ClassVar[str] = "aws"

    def __init__(self, home: Path) -> None:
        self.windows = Windows()
        self.traffic = Traffic(_throttled)
        self._home = home
        self.holdings = Cloud(home, Moto(), self.windows, ObjectStore(home / "s3"))
        self._dispatcher = Dispatcher(self.holdings, self.traffic, Credentials(KEY_ID, SECRET))
        self._server: Server | None = None

    def start(self) -> None:
        """Serve on a free port of the loopback address; return when it answers."""
        # Else moto makes 1,300 images, and as many snapshots, in each region that is looked at.
        os.environ.setdefault("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")
        self.holdings.moto.reset()
        self._server = Server(self._dispatcher)
        self._server.start()

    def environment(self) -> Mapping[str, str]:
        """Return the environment variables that lead an SDK of AWS here, whatever the user's own are."""
        assert self._server is not None, "start comes first"
        services = ("", "_ACCOUNT", "_EBS", "_EC2", "_IAM", "_KMS", "_S3", "_SERVICE_QUOTAS", "_SSM", "_STS")
        # A proxy of the user's must not be asked for this machine; what it is not asked for already stays so.
        direct = ",".join(filter(None, (os.environ.get("no_proxy") or os.environ.get("NO_PROXY"), _LOOPBACK)))
        return {
            "NO_PROXY": direct,
            "no_proxy": direct,
            **{f"AWS_ENDPOINT_URL{service}": self._server.address for service in services},
            "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "false",
            "AWS_USE_FIPS_ENDPOINT": "false",
            "AWS_USE_DUALSTACK_ENDPOINT": "false",
            "AWS_ACCESS_KEY_ID": KEY_ID,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_SESSION_TOKEN": "",
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def idle(self) -> float:
        """Return the seconds since the last request; 0 while machines run."""
        return 0.0 if self.holdings.machines_run() else self.traffic.idle()

    def reset(self) -> None:
        """Empty the cloud: no machines, no images, no bytes. Address and credentials stay."""
        self.holdings.stop_machines()
        with self.holdings.lock:
            self.holdings.moto.reset()
            for region in self.holdings.regions.values():
                for snapshot in region.snapshots.values():
                    snapshot.remove()
            self.holdings.regions.clear()
            self.holdings.s3 = ObjectStore(self._home / "s3")
        for child in self._home.iterdir():
            shutil.rmtree(child)

    def stop(self) -> None:
        """End the server and every machine."""
        if self._server is not None:
            self._server.stop()
            self._server = None
        self.holdings.stop_machines()

    def snapshot_file(self, snapshot_id: str) -> Path:
        """Return the raw file with the bytes of a snapshot, of whatever region, to read. Raises KeyError."""
        return self.holdings.snapshot_file(snapshot_id)

    def set_clock(self, skew: float) -> None:
        """Let its clock be SKEW seconds before this machine's from now on."""
        assert self._server is not None, "start comes first"
        self._server.clock_skew = skew
        self._dispatcher.clock_skew = timedelta(seconds=skew)

    def expire_credentials(self, *, expired: bool = True) -> None:
        """Let the credentials be expired from now on, or be good again."""
        self._dispatcher.expired = expired
