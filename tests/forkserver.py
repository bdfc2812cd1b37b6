# SPDX-License-Identifier: Apache-2.0
"""Runs `lkcloud` in forked processes that have the imports of the SDKs behind them: hundreds of commands take minutes.

    python -m tests.forkserver fresh aws gcp azure

is for commands to these clouds. When it has them it says "ready", reads one JSON document a line: {"arguments",
"environment", "folder", "out", "err"}, and answers with the process id, and when the process has ended with its exit
status (negative: the signal). The environment is all that a process has; its output is in files.

With `fresh` each process imports lkcloud's own modules itself, when it needs them, as `python -m lkcloud` does; with
`ready` it has them too.
"""

import gc
import json
import os
import runpy
import signal
import sys

import rich.console  # noqa: F401
import typer.core  # noqa: F401

from lkcloud import registry
from lkcloud.cli import program


def main(state: str, *clouds: str) -> None:
    """Serve until stdin ends."""
    for cloud in clouds:
        registry.load_all(registry.load(cloud)())
    for name in [name for name in sys.modules if state == "fresh" and name.startswith("lkcloud")]:
        del sys.modules[name]
    gc.freeze()
    print("ready", flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        pid = os.fork()
        if pid == 0:
            run(order, fresh=state == "fresh")
        print(pid, flush=True)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def run(order: dict[str, str], *, fresh: bool) -> None:
    """Be `lkcloud ARGUMENTS`, and end."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(order["environment"])
    os.chdir(order["folder"])
    sys.path[0] = order["folder"]
    for descriptor, name in ((0, os.devnull), (1, order["out"]), (2, order["err"])):
        file = os.open(name, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(file, descriptor)
        os.close(file)
    sys.stdin = os.fdopen(0, closefd=False)  # the old one has read on
    sys.argv = ["lkcloud", *order["arguments"]]
    if fresh:
        runpy.run_module("lkcloud", run_name="__main__")
    else:
        program.run()
    raise AssertionError("lkcloud ends the process")


if __name__ == "__main__":
    main(*sys.argv[1:])
