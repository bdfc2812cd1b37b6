# SPDX-License-Identifier: Apache-2.0
"""Fuzz one reader with atheris (https://pypi.org/project/atheris/): `python -m tests.fuzz.long_form TARGET SECONDS`.

Without arguments all of them, each with its share of ten minutes. Ends with 1 if one has crashed, hung for ten seconds
or taken more than 256 MiB beyond what Python and the fuzzer itself need; what did it is written to .cache/fuzz.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

SECONDS = 600
MEMORY_MIB = 256
FOLDER = Path(__file__).parents[2] / ".cache" / "fuzz"


def fuzz(name: str, seconds: int) -> None:
    """Fuzz the target NAME for SECONDS; ends the process."""
    import atheris

    with atheris.instrument_imports(include=["lkcloud.disk"]):
        from tests.fuzz import targets
    target = targets.TARGETS[name]
    target(b"")  # what is made once is made now
    corpus = FOLDER / name
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(
        (
            targets.kernel_sample(),
            targets.table_sample(),
            targets.initramfs_sample(),
            b"menuentry x {\nlinux /a b=$c\n}\nlabel x\nkernel y\nappend z\n",
        )
    ):
        (corpus / f"seed-{number}").write_bytes(seed[:4096])
    arguments = [
        f"-max_total_time={seconds}", "-rss_limit_mb=0", "-timeout=10", "-max_len=4096",
        f"-artifact_prefix={FOLDER}/{name}-", "-print_final_stats=1", "-verbosity=1", str(corpus),
    ]  # fmt: skip
    atheris.Setup([sys.argv[0], *arguments], bounded(target))
    atheris.Fuzz()


def bounded(target: Callable[[bytes], None]) -> Callable[[bytes], None]:
    """Return TARGET, which fails for an input that makes it hold more than MEMORY_MIB beyond what there was before.

    The process as a whole grows with what the fuzzer and the C library keep from thousands of inputs. So the kernel is
    asked for the peak of each one: https://www.kernel.org/doc/html/latest/filesystems/proc.html, clear_refs.
    """

    def one(data: bytes) -> None:
        Path("/proc/self/clear_refs").write_text("5")
        before = _resident("VmRSS")
        target(data)
        held = (_resident("VmHWM") - before) >> 10
        if held > MEMORY_MIB:
            raise MemoryError(f"{held} MiB for an input of {len(data)} bytes")

    return one


def _resident(field: str) -> int:
    """Return a FIELD of /proc/self/status, in KiB."""
    text = Path("/proc/self/status").read_text()
    return int(text.partition(f"{field}:")[2].split(maxsplit=1)[0])


def main() -> int:
    """Fuzz what the command line names, or all."""
    if len(sys.argv) == 3:
        fuzz(sys.argv[1], int(sys.argv[2]))
        return 0
    from tests.fuzz.targets import TARGETS

    total = int(sys.argv[1]) if len(sys.argv) == 2 else SECONDS
    FOLDER.mkdir(parents=True, exist_ok=True)
    failed = []
    for name in TARGETS:
        print(f"== {name}", flush=True)
        command = [sys.executable, "-m", "tests.fuzz.long_form", name, str(max(1, total // len(TARGETS)))]
        if subprocess.run(command, check=False, env={**os.environ, "PYTHONPATH": str(FOLDER.parents[1])}).returncode:
            failed.append(name)
    print(f"failed: {', '.join(failed)}, see {FOLDER}" if failed else "no reader crashed, hung or took too much memory")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
