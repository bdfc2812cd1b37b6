# SPDX-License-Identifier: Apache-2.0
"""Google Cloud on this machine: Cloud Storage, and Compute Engine's images and instances."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from lkcloud.sandbox.http import Response, Server
from lkcloud.sandbox.traffic import Seen, Traffic
from lkcloud_gcp.sandbox.access import Keys
from lkcloud_gcp.sandbox.cloud import PROJECT, Cloud
from lkcloud_gcp.sandbox.dispatch import Dispatcher
from lkcloud_gcp.sandbox.engine import Engine
from lkcloud_gcp.sandbox.errors import throttled
from lkcloud_gcp.sandbox.store import Store
from lkcloud_gcp.sandbox.windows import Windows

__all__ = ["GcpStandIn", "Seen", "Windows"]

_LOOPBACK = "127.0.0.1,localhost"


def _throttled(seen: Seen) -> Response:
    return throttled().xml() if seen.service == "xml" else throttled().json()


class GcpStandIn:
    """The stand-in of Google Cloud.

    For tests in the same process: `windows` sets how long things take, `traffic` logs requests and has the hooks,
    `holdings` is all that is held.
    """

    cloud: ClassVar[str] = "gcp"

    def __init__(self, home: Path) -> None:
        self.windows = Windows()
        self.traffic = Traffic(_throttled)
        self._home = home
        self._keys = Keys(self.windows)
        self.holdings = Cloud(home, self.windows, Store(home / "storage"), Engine(home / "compute"))
        self._dispatcher = Dispatcher(self.holdings, self.traffic, self._keys)
        self._server: Server | None = None

    def start(self) -> None:
        """Serve on a free port of the loopback address; return when it answers."""
        self._server = Server(self._dispatcher)
        self._server.start()
        self._keys.write(self._home, self._server.address)

    def environment(self) -> Mapping[str, str]:
        """Return the environment variables that lead Google's libraries and lkcloud here."""
        assert self._server is not None, "start comes first"
        # A proxy of the user's must not be asked for this machine; what it is not asked for already stays so.
        direct = ",".join(filter(None, (os.environ.get("no_proxy") or os.environ.get("NO_PROXY"), _LOOPBACK)))
        return {
            "NO_PROXY": direct,
            "no_proxy": direct,
            "GOOGLE_APPLICATION_CREDENTIALS": str(self._keys.file(self._home)),
            "GOOGLE_CLOUD_PROJECT": PROJECT,
            "CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDRESOURCEMANAGER": f"{self._server.address}/",
            "CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE": f"{self._server.address}/compute/v1/",
            "CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE": f"{self._server.address}/storage/v1/",
            "NO_GCE_CHECK": "true",
        }

    def idle(self) -> float:
        """Return the seconds since the last request; 0 while machines run."""
        return 0.0 if self.holdings.engine.machines_run() else self.traffic.idle()

    def reset(self) -> None:
        """Empty the cloud: no machines, no images, no bytes. Address and credentials stay."""
        self.holdings.engine.stop_machines()
        with self.holdings.lock:
            self.holdings.engine = Engine(self._home / "compute")
            self.holdings.store = Store(self._home / "storage")
        for folder in ("compute", "storage"):
            shutil.rmtree(self._home / folder, ignore_errors=True)

    def stop(self) -> None:
        """End the server and every machine."""
        if self._server is not None:
            self._server.stop()
            self._server = None
        self.holdings.engine.stop_machines()

    def image_file(self, name: str) -> Path:
        """Return the raw file with the bytes of an image, to read. Raises KeyError."""
        return self.holdings.engine.image_file(name)

    def set_clock(self, skew: float) -> None:
        """Let the cloud's clock be SKEW seconds before this machine's, in the Date of answers and where a key signs."""
        assert self._server is not None, "start comes first"
        self._server.clock_skew = self._keys.clock_skew = skew

    def expire_credentials(self, *, expired: bool = True) -> None:
        """Let no token be good from now on, or let them be good again."""
        self._keys.expired = expired
