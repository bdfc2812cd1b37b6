# SPDX-License-Identifier: Apache-2.0
"""Builds and runs the server that takes in uploads and throws them away (sink*.c)."""

import json
import os
import shutil
import ssl
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_SOURCES = [Path(__file__).with_name(name) for name in ("sink.c", "sink_answers.c", "sink_azure.c", "sink.h")]
_HEADER = Path("/usr/include/openssl/ssl.h")


class Missing(Exception):
    """A tool that the benchmark needs is not there; the text says how to get it."""


@dataclass(frozen=True, slots=True)
class Stats:
    """What a sink has counted since it was last asked."""

    requests: int
    puts: int
    put_bytes: int
    """Bytes of the bodies of PUT requests: blocks and parts."""
    body_bytes: int
    """Bytes of the bodies of all requests, as they are on the wire."""
    connections: int
    cpu_seconds: float


@dataclass(frozen=True, slots=True)
class Sink:
    """A sink that runs at URL; CERTIFICATE is what a client must trust."""

    url: str
    certificate: Path

    def stats(self) -> Stats:
        """Return the counts, set them to nothing, and let the sink forget what was uploaded."""
        context = ssl.create_default_context(cafile=str(self.certificate))
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        )
        with opener.open(f"{self.url}/stats", timeout=30) as answer:
            return Stats(**json.load(answer))

    def begin(self) -> None:
        """Forget what was counted and uploaded."""
        self.stats()

    def end(self) -> Stats:
        """Return what has been counted since `begin`."""
        return self.stats()

    def environment(self) -> dict[str, str]:
        """Return the variables that lead the clients of AWS to this sink; the key pair is nobody's."""
        return {
            "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
            "AWS_SECRET_ACCESS_KEY": "x" * 40,
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_ENDPOINT_URL": self.url,
            "AWS_CA_BUNDLE": str(self.certificate),
            "S3_ENDPOINT_URL": self.url,  # s5cmd's own name for it
        }


@dataclass(frozen=True, slots=True)
class Build:
    """A sink that has been compiled, with a certificate."""

    program: Path
    certificate: Path
    key: Path

    @contextmanager
    def run(self, *, delay: float = 0.0) -> Iterator[Sink]:
        """Run a sink for the length of the context; it waits DELAY seconds before each answer."""
        command = [str(self.program), str(self.certificate), str(self.key), str(round(delay * 1e6))]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdin is not None
            try:
                yield Sink(f"https://127.0.0.1:{int(process.stdout.readline())}", self.certificate)
            finally:
                process.stdin.close()  # which ends it


def build(folder: Path) -> Build:
    """Compile the sink into FOLDER if its source is newer, and make a certificate for it; raises Missing."""
    folder.mkdir(parents=True, exist_ok=True)
    found = Build(folder / "sink", folder / "sink.crt", folder / "sink.key")
    newest = max(source.stat().st_mtime for source in _SOURCES)
    if not found.program.exists() or found.program.stat().st_mtime < newest:
        _need_compiler()
        flags = ["-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror"]
        made = found.program.with_suffix(".new")
        sources = [str(source) for source in _SOURCES if source.suffix == ".c"]
        command = ["gcc", *flags, "-o", str(made), *sources, "-lssl", "-lcrypto", "-lpthread"]
        subprocess.run(command, check=True)
        made.replace(found.program)
    # Ten days, anew each time: nobody keeps a key that they forgot.
    _certify(found.certificate, found.key)
    return found


def can_build() -> bool:
    """Tell whether a compiler and OpenSSL are there."""
    return bool(shutil.which("gcc") and shutil.which("openssl")) and _HEADER.exists()


def _need_compiler() -> None:
    if can_build():
        return
    if os.geteuid() == 0 and shutil.which("apt-get"):
        print("installing: gcc libc6-dev libssl-dev openssl", flush=True)
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        packages = ["gcc", "libc6-dev", "libssl-dev", "openssl"]
        for step in (["update"], ["install", "-y", "--no-install-recommends", *packages]):
            subprocess.run(["apt-get", "-qq", *step], env=environment, stdout=subprocess.DEVNULL, check=False)
    if not can_build():
        raise Missing("gcc, openssl and OpenSSL's headers are needed (Debian: apt-get install gcc libssl-dev openssl)")


def _certify(certificate: Path, key: Path) -> None:
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc"]
    command += ["-days", "10", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"]
    command += ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
