# SPDX-License-Identifier: Apache-2.0
"""The life of a sandbox: it starts once, is found, is emptied, and ends with all that was in it."""

import json
import os
import signal
import stat
import subprocess
import sys
import textwrap
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lkcloud.errors import LkcloudError, NotFound, UsageError
from lkcloud.sandbox import client
from lkcloud.sandbox.qemu import missing

STAND_IN = '''
import os, sys, threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

if os.environ.get("DEMO") == "import":
    import a_package_that_is_not_there


class Demo:
    """Counts requests in a file; POST boots the disk whose path is sent."""

    cloud = "demo"

    def __init__(self, home):
        self.home, self.machines, self.used, self.lock = home, [], time.monotonic(), threading.Lock()

    def start(self):
        demo = self

        class Answer(BaseHTTPRequestHandler):
            def log_message(self, *arguments):
                pass

            def answer(self, text):
                demo.used = time.monotonic()
                self.send_response(200)
                self.end_headers()
                self.wfile.write(text.encode())

            def do_GET(self):
                with demo.lock, open(demo.home / "count", "a") as count:
                    count.write(".")
                    count.flush()
                    answer = f"{os.getpid()} {count.tell()}"
                self.answer(answer)

            def do_POST(self):
                from lkcloud.sandbox.qemu import Drive, VirtualMachine
                disk = Path(self.rfile.read(int(self.headers["Content-Length"])).decode())
                demo.machines.append(VirtualMachine(drives=[Drive(disk)], firmware="bios", home=demo.home / "vm"))
                demo.machines[-1].start()
                self.answer("started")

        mode = os.environ.get("DEMO")
        if mode == "slow":
            time.sleep(0.5)
        if mode == "refuse":
            from lkcloud.errors import UsageError
            raise UsageError("this cloud is closed", hint="come back tomorrow")
        if mode == "break":
            raise ValueError("all is broken")
        if mode == "exit":
            print("farewell", file=sys.stderr, flush=True)
            os._exit(3)
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=mode != "hang").start()

    def environment(self):
        return {"DEMO_URL": f"http://127.0.0.1:{self.server.server_address[1]}", "DEMO_KEY": "secret"}

    def idle(self):
        return time.monotonic() - self.used

    def reset(self):
        if os.environ.get("DEMO") == "stuck":
            raise ValueError("will not be emptied")
        with self.lock:
            (self.home / "count").unlink(missing_ok=True)

    def stop(self):
        if os.environ.get("DEMO") == "hang":
            time.sleep(600)
        for machine in self.machines:
            machine.stop()
        if hasattr(self, "server"):
            self.server.shutdown()
'''


@pytest.fixture(autouse=True)
def demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Install a stand-in as a third party's package would: by an entry point."""
    site = tmp_path / "site"
    package = site / "lkcloud_demo-1.0.dist-info"
    package.mkdir(parents=True)
    (site / "demo_stand_in.py").write_text(STAND_IN)
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: lkcloud-demo\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text("[lkcloud.sandboxes]\ndemo = demo_stand_in:Demo\n")
    monkeypatch.syspath_prepend(site)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("LKCLOUD_ACCEL", "tcg")
    yield
    monkeypatch.delenv("DEMO", raising=False)
    client.down()


def get(sandbox: client.Running, body: str | None = None) -> str:
    url = dict(sandbox.environment)["DEMO_URL"]
    with urllib.request.urlopen(url, body.encode() if body else None, timeout=10) as answer:
        text: str = answer.read().decode()
    return text


def until(true: Callable[[], bool], limit: float = 20) -> bool:
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline:
        if true():
            return True
        time.sleep(0.02)
    return False


def test_a_sandbox_starts_is_found_again_and_ends() -> None:
    first = client.up("demo")
    assert get(first) == f"{first.pid} 1"
    assert client.up("demo") == first
    assert client.find("demo") == first
    assert client.running() == [first]
    assert get(first) == f"{first.pid} 2"
    assert client.down("demo") == ["demo"]
    assert client.running() == []
    assert client.find("demo") is None
    with pytest.raises(urllib.error.URLError):
        get(first)
    assert sorted(file.name for file in first.home.iterdir()) == ["door", "lock", "log"]


def test_ending_what_does_not_run_is_no_error() -> None:
    assert client.down() == []
    client.up("demo")
    assert client.down() == ["demo"]
    assert client.down() == []
    assert client.down("demo") == []


def test_the_keys_are_the_owners_alone() -> None:
    sandbox = client.up("demo")
    assert dict(sandbox.environment)["DEMO_KEY"] == "secret"
    assert stat.S_IMODE((sandbox.home / "state.json").stat().st_mode) == 0o600
    assert stat.S_IMODE(sandbox.home.stat().st_mode) == 0o700


UP = "from lkcloud.sandbox import client; print(client.up('demo').pid)"


def test_processes_that_start_it_at_once_get_one_sandbox(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEMO", "slow")

    def start(_: int) -> str:
        return subprocess.run([sys.executable, "-c", UP], capture_output=True, text=True, check=True).stdout.strip()

    with ThreadPoolExecutor(4) as pool:
        pids = set(pool.map(start, range(4)))
    sandbox = client.find("demo")
    assert sandbox is not None
    assert pids == {str(sandbox.pid)}
    assert get(sandbox).split()[0] == str(sandbox.pid)


def test_a_sandbox_outlives_the_session_that_started_it() -> None:
    subprocess.run([sys.executable, "-c", UP], check=True, start_new_session=True, capture_output=True)
    sandbox = client.find("demo")
    assert sandbox is not None
    assert os.getsid(sandbox.pid) != os.getsid(0)
    assert Path(f"/proc/{sandbox.pid}/cwd").readlink() == Path("/")
    assert Path(f"/proc/{sandbox.pid}/fd/0").readlink() == Path("/dev/null")
    assert get(sandbox) == f"{sandbox.pid} 1"


def test_a_killed_sandbox_is_not_found_and_the_next_one_starts_empty() -> None:
    first = client.up("demo")
    get(first)
    os.kill(first.pid, signal.SIGKILL)
    assert until(lambda: client.find("demo") is None)
    assert (first.home / "state.json").exists()
    second = client.up("demo")
    assert second.pid != first.pid
    assert get(second) == f"{second.pid} 1"


def test_a_stale_record_with_the_pid_of_another_process_harms_nobody() -> None:
    first = client.up("demo")
    os.kill(first.pid, signal.SIGKILL)
    assert until(lambda: client.find("demo") is None)
    with subprocess.Popen(["sleep", "600"]) as bystander:
        record = json.loads((first.home / "state.json").read_text())
        (first.home / "state.json").write_text(json.dumps({**record, "pid": bystander.pid}))
        assert client.find("demo") is None
        assert client.down() == []
        assert bystander.poll() is None
        bystander.kill()


@pytest.mark.parametrize("rest", ["", "{", '{"pid": 1}'])
def test_a_spoilt_record_is_no_obstacle(rest: str) -> None:
    home = client.up("demo").home
    client.down()
    (home / "state.json").write_text(rest)
    assert client.running() == []
    assert get(client.up("demo")).endswith(" 1")


def test_a_sandbox_ends_when_it_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LKCLOUD_SANDBOX_IDLE", "1")
    sandbox = client.up("demo")
    started = time.monotonic()
    while time.monotonic() - started < 2:
        get(sandbox)
        time.sleep(0.05)
    assert client.find("demo") == sandbox
    assert until(lambda: client.find("demo") is None)
    assert until(lambda: not (sandbox.home / "data").exists())


def test_to_be_found_by_up_is_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LKCLOUD_SANDBOX_IDLE", "1")
    sandbox = client.up("demo")
    started = time.monotonic()
    while time.monotonic() - started < 2.5:
        assert client.up("demo") == sandbox
        time.sleep(0.05)


@pytest.mark.parametrize("value", ["soon", "0", "-1", "nan"])
def test_an_idle_limit_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("LKCLOUD_SANDBOX_IDLE", value)
    with pytest.raises(UsageError, match="LKCLOUD_SANDBOX_IDLE"):
        client.up("demo")


def test_reset_empties_the_cloud_and_keeps_its_address() -> None:
    sandbox = client.up("demo")
    for expected in ("1", "2"):
        assert get(sandbox).split()[1] == expected
    client.reset("demo")
    assert client.up("demo") == sandbox
    assert get(sandbox) == f"{sandbox.pid} 1"


def test_resets_at_once_are_all_done() -> None:
    sandbox = client.up("demo")

    def use_and_reset(_: int) -> None:
        get(sandbox)
        client.reset("demo")

    started = time.monotonic()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(use_and_reset, range(40)))
    # None of them may wait for the daemon's next look at the clock, 5 seconds later.
    assert time.monotonic() - started < 4.5
    assert get(sandbox) == f"{sandbox.pid} 1"


def test_a_reset_that_fails_says_so_and_the_sandbox_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEMO", "stuck")
    sandbox = client.up("demo")
    with pytest.raises(LkcloudError, match="will not be emptied"):
        client.reset("demo")
    assert get(sandbox) == f"{sandbox.pid} 1"


def test_nothing_that_runs_cannot_be_reset() -> None:
    with pytest.raises(NotFound) as refusal:
        client.reset("demo")
    assert refusal.value.hint == "lkcloud sandbox up demo"


@pytest.mark.parametrize(
    ("mode", "message", "hint"),
    [
        ("refuse", "this cloud is closed", "come back tomorrow"),
        ("break", "the sandbox of demo failed: ValueError: all is broken", "read "),
        ("exit", "the sandbox of demo ended while it started: farewell", "read "),
        ("import", "the sandbox of demo needs a_package_that_is_not_there", "pip install 'lkcloud-demo[sandbox]'"),
    ],
)
def test_a_sandbox_that_does_not_start_says_why_and_the_next_try_starts_it(
    monkeypatch: pytest.MonkeyPatch, mode: str, message: str, hint: str
) -> None:
    monkeypatch.setenv("DEMO", mode)
    for _ in range(2):
        with pytest.raises(LkcloudError) as failure:
            client.up("demo")
        assert failure.value.message.startswith(message)
        assert failure.value.hint.startswith(hint)
        assert client.running() == []
    monkeypatch.delenv("DEMO")
    assert get(client.up("demo")).endswith(" 1")


def test_a_cloud_without_a_sandbox_is_refused() -> None:
    with pytest.raises(UsageError, match="'nimbus'") as refusal:
        client.up("nimbus")
    assert "demo" in refusal.value.hint


def test_a_sandbox_that_hangs_at_its_end_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEMO", "hang")
    sandbox = client.up("demo")
    assert client.down(limit=1.0) == ["demo"]
    assert client.find("demo") is None
    assert not (sandbox.home / "data").exists()


@pytest.mark.skipif(bool(missing("x86_64", "bios")), reason="needs apt install qemu-system-x86")
@pytest.mark.parametrize("by", ["down", "kill -9"])
def test_the_machines_end_with_the_sandbox(tmp_path: Path, by: str) -> None:
    disk = tmp_path / "blank.raw"
    disk.write_bytes(bytes(1 << 20))
    sandbox = client.up("demo")
    assert get(sandbox, str(disk)) == "started"
    assert until(lambda: emulators(disk))
    time.sleep(0.3)
    assert emulators(disk)
    if by == "down":
        client.down()
        assert not emulators(disk)
    else:
        os.kill(sandbox.pid, signal.SIGKILL)
        assert until(lambda: not emulators(disk), 5)


def emulators(disk: Path) -> bool:
    """Whether a process names DISK in its command line."""
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if str(disk).encode() in entry.read_bytes():
                return True
        except (FileNotFoundError, ProcessLookupError):
            continue
    return False


def test_a_daemon_leaves_no_zombie() -> None:
    script = textwrap.dedent("""
        from pathlib import Path
        from lkcloud.sandbox import client
        client.up("demo")
        client.down()
        print(Path("/proc/self/task").joinpath(str(__import__("os").getpid()), "children").read_text().strip())
    """)
    run = subprocess.run([sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout == "\n"
    assert run.stderr == ""
