# SPDX-License-Identifier: Apache-2.0
"""Runs `lkcloud` in forked processes that have the imports behind them, so that hundreds of pushes take minutes.

Reads one JSON document a line: {"arguments", "environment", "log"}; answers with the process id, and when the process
has ended with its exit status (negative: the signal).
"""

import json
import os
import signal
import sys

import azure.identity
import azure.mgmt.authorization
import azure.mgmt.compute
import azure.mgmt.network
import azure.mgmt.resource.resources
import azure.mgmt.storage
import azure.storage.blob  # noqa: F401 - imported here so that no child has to
import boto3  # noqa: F401

import lkcloud.boot
import lkcloud.cli.main
import lkcloud.disk
import lkcloud.disk.inspect
import lkcloud.pipeline
import lkcloud.transfer.engine
import lkcloud_azure.checks
import lkcloud_azure.register
import lkcloud_azure.upload  # noqa: F401
import lkcloud_gcp.checks
import lkcloud_gcp.register
import lkcloud_gcp.upload  # noqa: F401


def main() -> None:
    """Serve until stdin ends."""
    for line in sys.stdin:
        order = json.loads(line)
        pid = os.fork()
        if pid == 0:
            run(order["arguments"], order["environment"], order["log"])
        print(pid, flush=True)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def run(arguments: list[str], environment: dict[str, str], log: str) -> None:
    """Be `lkcloud ARGUMENTS`."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.update(environment)
    for descriptor, name in ((0, os.devnull), (1, f"{log}.out"), (2, f"{log}.err")):
        file = os.open(name, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(file, descriptor)
    sys.argv = ["lkcloud", *arguments]
    try:
        lkcloud.cli.main.main()
    except SystemExit as ending:
        os._exit(ending.code if isinstance(ending.code, int) else 1)
    os._exit(1)


main()
