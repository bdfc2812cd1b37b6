# SPDX-License-Identifier: Apache-2.0
"""The serial log of a machine, by a URL that is a right in itself.

https://learn.microsoft.com/rest/api/compute/virtual-machines/retrieve-boot-diagnostics-data. In Azure it is a blob in a
storage account of Microsoft's; here it is at the address of Resource Manager, and answers as storage does.
"""

import base64
import re
import secrets
import time
from datetime import UTC, datetime
from urllib.parse import quote

from lkcloud.sandbox.http import Request, Response
from lkcloud_azure.sandbox.arm_call import GROUP, Answer, Call, Route, invalid
from lkcloud_azure.sandbox.arm_versions import COMPUTE
from lkcloud_azure.sandbox.cloud import Cloud
from lkcloud_azure.sandbox.errors import ApiError
from lkcloud_azure.sandbox.vm_machine import Machine

OPERATION = "BootDiagnostics.GetLog"
"""What the hooks see of a read of a log."""

_PATH = re.compile(
    r"/bootdiagnostics-[a-z0-9]{1,9}-(?P<id>[0-9a-f-]{36})/[^/]+\.(?P<what>serialconsole\.log|screenshot\.bmp)"
)
_LEAST, _MOST, _DEFAULT = 1, 1440, 120
"""Minutes (the SDK's text of the parameter)."""
_VERSION = "2018-03-28"


def _retrieve(call: Call) -> Answer:
    machine = call.find(Machine)
    text = call.query.get("sasUriExpirationTimeInMinutes", str(_DEFAULT))
    if not text.isdecimal() or not _LEAST <= int(text) <= _MOST:
        why = f"The value must be between {_LEAST} and {_MOST}, inclusive."
        raise invalid("sasUriExpirationTimeInMinutes", text, why)
    if not machine.diagnostics:
        # What it says is not documented.
        message = f"Boot diagnostics is not enabled on the VM '{machine.name}'."
        raise ApiError(409, "OperationNotAllowed", message)
    signature, until = base64.b64encode(secrets.token_bytes(32)).decode(), time.time() + int(text) * 60
    machine.logs[signature] = until
    stem = re.sub(r"[^a-z0-9]", "", machine.name.lower())[:9] or "vm"
    folder = f"{call.address}/bootdiagnostics-{stem}-{machine.vm_id}/{machine.name}.{machine.vm_id}"
    end = quote(f"{datetime.fromtimestamp(until, UTC):%Y-%m-%dT%H:%M:%SZ}", safe="")
    query = f"sv={_VERSION}&sr=b&sp=r&se={end}&sig={quote(signature, safe='')}"
    return Answer(
        {
            "consoleScreenshotBlobUri": f"{folder}.screenshot.bmp?{query}",
            "serialConsoleLogBlobUri": f"{folder}.serialconsole.log?{query}",
        }
    )


def is_log(request: Request) -> bool:
    """Tell whether REQUEST is for a machine's serial log, or for its screenshot, which there is none of."""
    return request.method in ("GET", "HEAD") and _PATH.fullmatch(request.path) is not None


def read(cloud: Cloud, request: Request) -> Response:
    """Return a serial log, or storage's answer why not."""
    try:
        with cloud.lock:
            machine, log = _log(cloud, request)
    except ApiError as error:
        return error.xml()
    # Which kind of blob Azure's is, is not documented. A page blob is the one that a reader can get wrong: its size is
    # a multiple of 512, and zeros fill it up.
    padded = log + bytes(-len(log) % 512)
    return Response(
        200, {"Content-Type": "text/plain", "x-ms-blob-type": "PageBlob", "ETag": f'"{machine}-{len(log)}"'}, padded
    )


def _log(cloud: Cloud, request: Request) -> tuple[str, bytes]:
    path = _PATH.fullmatch(request.path)
    machine = next((one for one in cloud.every(Machine) if path and one.vm_id == path["id"]), None)
    signature = request.query.get("sig", "")
    if machine is not None and machine.logs.get(signature, 0) < time.time():
        message = (
            "Server failed to authenticate the request. Make sure the value of Authorization header is formed "
            "correctly including the signature."
        )
        raise ApiError(403, "AuthenticationFailed", message)
    if machine is None:
        # The log goes with its machine.
        raise ApiError(404, "ContainerNotFound", "The specified container does not exist.")
    shown = machine.log() if path and path["what"] == "serialconsole.log" else b""
    if not machine.started or time.monotonic() < machine.started + cloud.windows.boot_log or not shown:
        # Azure/azure-init#38: it is not there before something has been written to it, and then for some minutes.
        raise ApiError(404, "BlobNotFound", "The specified blob does not exist.")
    return machine.vm_id, shown


ROUTES = (
    Route(
        "POST",
        f"{GROUP}/providers/Microsoft.Compute/virtualMachines/{{machine}}/retrieveBootDiagnosticsData",
        "VirtualMachines.RetrieveBootDiagnosticsData",
        COMPUTE,
        _retrieve,
    ),
)
