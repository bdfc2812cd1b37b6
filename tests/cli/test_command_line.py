# SPDX-License-Identifier: Apache-2.0
"""The program as a user meets it, where no cloud is needed."""

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lkcloud.cli.push import default_name
from lkcloud.sandbox.standin import stand_ins
from tests.cli.conftest import Command


@pytest.fixture
def lkcloud(program: Command) -> Command:
    """The program itself: here is what its processes do beside its commands."""
    return program


SDKS = ("boto3", "botocore", "google", "azure", "moto")


def modules_after(*arguments: str) -> set[str]:
    """Return the modules that `lkcloud ARGUMENTS` has imported when it ends."""
    code = (
        "import sys, atexit; sys.argv = ['lkcloud', *sys.argv[1:]]\n"
        "from lkcloud.cli.main import main\n"
        "try: main()\n"
        "finally: print('\\n'.join(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    return {module.partition(".")[0] for module in done.stderr.split()} | set(done.stderr.split())


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["push", "--help"],
        ["push", "aws", "--help"],
        ["post-process", "aws", "--help"],
        ["sandbox", "--help"],
    ],
)
def test_help_imports_no_sdk(arguments: list[str]) -> None:
    modules = modules_after(*arguments)
    assert "typer" in modules
    assert modules.isdisjoint({*SDKS, "rich", "sqlite3", "urllib3", "lkcloud.disk"})


def test_push_help_shows_each_option_with_default_and_variable(lkcloud: Command) -> None:
    from lkcloud_aws.options import AwsOptions

    text = " ".join(lkcloud("push", "aws", "--help").stdout.split())
    for name, field in AwsOptions.model_fields.items():
        assert f"--{name.replace('_', '-')}" in text
        assert f"LKCLOUD_AWS_{name.upper()}" in text
        assert field.description is not None
    assert "[default: ebs]" in text or "default: ebs" in text


def test_completion_knows_clouds_and_flags(lkcloud: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_LKCLOUD_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "lkcloud push aws --boot")
    monkeypatch.setenv("COMP_CWORD", "3")
    program = str(Path(sys.executable).with_name("lkcloud"))
    done = subprocess.run([program], check=False, capture_output=True, text=True)
    assert "--boot-mode" in done.stdout


def test_completion_knows_the_formats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_LKCLOUD_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "lkcloud convert --format q")
    monkeypatch.setenv("COMP_CWORD", "3")
    program = str(Path(sys.executable).with_name("lkcloud"))
    done = subprocess.run([program], check=False, capture_output=True, text=True)
    assert done.stdout.split() == ["qcow2", "qcow2-zlib", "qcow2-zstd"]


INTERRUPTED_AT = """
import importlib.abc, os, signal, sys
class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == {module!r}:
            os.kill(os.getpid(), signal.{signal})
sys.meta_path.insert(0, Finder())
"""


@pytest.mark.parametrize(
    ("module", "lines"),
    [
        ("typer", []),
        ("lkcloud.cli.program", []),
        (
            "lkcloud.formats.convert",
            ["error: interrupted", "hint: the same command begins anew: lkcloud convert tiny.raw 'the disk.vhd'"],
        ),
    ],
)
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_an_interrupt_is_no_traceback_however_early(
    lkcloud: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, lines: list[str], name: str
) -> None:
    lkcloud("sandbox", "disk", "tiny.raw")
    (tmp_path / "early").mkdir()
    (tmp_path / "early/sitecustomize.py").write_text(INTERRUPTED_AT.format(module=module, signal=name))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "early"), prepend=os.pathsep)
    done = lkcloud("convert", "tiny.raw", "the disk.vhd", code=130)
    assert done.stderr.splitlines() == lines
    assert not (tmp_path / "the disk.vhd").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "error", "hint"),
    [
        (["pusch"], 2, "no such command 'pusch'. Did you mean 'push'", "--help"),
        ([], 2, "missing command", "see lkcloud --help"),
        (["push"], 2, "missing command", "see lkcloud push --help"),
        (["-q", "sandbox"], 2, "missing command", "see lkcloud sandbox --help"),
        (["list", "local", "--family"], 2, "'--family' requires an argument", "see lkcloud list local --help"),
        (["push", "aws"], 2, "missing argument 'IMAGE'", "lkcloud push aws --help"),
        (["push", "aws", "x.raw", "--boot-mode", "bios"], 2, "--boot-mode", "lkcloud push aws --help"),
        (["push", "aws", "x.raw", "--volume-size", "0"], 2, "--volume-size", "LKCLOUD_AWS_VOLUME_SIZE"),
        (["push", "hetzner", "x.raw"], 2, "hetzner", "--help"),
        (["push", "aws", "missing.raw"], 2, "missing.raw", "path"),
        (["push", "aws", "x.raw", "--expect", "a"], 2, "--test", "add --test"),
        (["push", "aws", "x.raw", "--test", "--expect", "("], 2, "not a regular expression", "escape"),
        (["inspect", "."], 2, "folder", ""),
        (["convert", "missing.raw", "out.vhd"], 2, "missing.raw", ""),
        (["convert", "missing.raw", "out.xyz"], 2, "out.xyz", "--format"),
    ],
)
def test_bad_input_gets_an_error_and_a_hint(
    lkcloud: Command, arguments: list[str], code: int, error: str, hint: str
) -> None:
    lines = lkcloud(*arguments, code=code).stderr.splitlines()
    assert lines[-2].startswith("error: ")
    assert lines[-1].startswith("hint: ")
    assert error in lines[-2]
    assert hint in lines[-1]


def test_errors_are_json_when_json_is_asked_for(lkcloud: Command) -> None:
    document = json.loads(lkcloud("inspect", "missing.raw", "--json", code=2).stderr)
    assert document["exit_code"] == 2
    assert "missing.raw" in document["error"]
    assert document["hint"]


def test_errors_in_the_arguments_are_json_too(lkcloud: Command) -> None:
    document = json.loads(lkcloud("inspect", "--json", "--nonsense", code=2).stderr)
    assert "--nonsense" in document["error"]
    assert document["hint"] == "see lkcloud inspect --help"


def test_help_names_the_program(lkcloud: Command) -> None:
    assert lkcloud("push", "--help").stdout.startswith("Usage: lkcloud push ")


def test_an_error_that_nobody_foresaw_says_how_to_report_it(lkcloud: Command, tmp_path: Path) -> None:
    """A provider of somebody else's that is broken."""
    (tmp_path / "broken_cloud.py").write_text("raise ArithmeticError('no\\nsense: /a?sv=1&sig=hush%3D')\n")
    (tmp_path / "broken-1.dist-info").mkdir()
    (tmp_path / "broken-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1\n")
    (tmp_path / "broken-1.dist-info" / "entry_points.txt").write_text("[lkcloud.providers]\nbroken = broken_cloud:It\n")
    lines = lkcloud("list", "broken", code=1).stderr.splitlines()
    assert lines[0] == "error: unexpected: ArithmeticError: no"
    assert lines[1].endswith("lkcloud -v list broken")
    assert len(lines) == 2
    traceback = lkcloud("-v", "list", "broken", code=1).stderr
    assert "Traceback" in traceback
    # The source line of the error is shown too.
    assert traceback.count("sense: /a?sv=1&sig=REDACTED") >= 1
    assert "hush" not in traceback


def test_reader_that_went_away_is_no_traceback(tmp_path: Path) -> None:
    command = f"{sys.executable} -m lkcloud push aws --help | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode in (0, 1)
    assert done.stderr == ""


def test_tiny_disk_is_not_written_over_another_file(lkcloud: Command, tmp_path: Path) -> None:
    (tmp_path / "mine.raw").write_bytes(b"precious")
    assert "--force" in lkcloud("sandbox", "disk", "mine.raw", code=2).stderr
    assert (tmp_path / "mine.raw").read_bytes() == b"precious"
    lkcloud("sandbox", "disk", "mine.raw", "--force")
    assert (tmp_path / "mine.raw").stat().st_size == 4 << 20


def test_tiny_disk_for_arm64(lkcloud: Command, tmp_path: Path) -> None:
    for name in ("a.raw", "b.raw"):
        assert lkcloud("sandbox", "disk", name, "--architecture", "arm64").stdout == f"{name}\n"
    assert (tmp_path / "a.raw").read_bytes() == (tmp_path / "b.raw").read_bytes()
    report = json.loads(lkcloud("inspect", "a.raw", "--json").stdout)
    assert (report["architecture"], report["firmware"]) == ("arm64", ["uefi"])
    assert report["efi_loaders"] == ["BOOTAA64.EFI"]
    assert "architecture  arm64" in lkcloud("inspect", "a.raw").stdout
    assert "--architecture" in lkcloud("sandbox", "disk", "c.raw", "--architecture", "riscv64", code=2).stderr


@pytest.mark.parametrize("message", ["grüße", "x" * 391])
def test_tiny_disk_with_a_message_that_does_not_fit(lkcloud: Command, tmp_path: Path, message: str) -> None:
    done = lkcloud("sandbox", "disk", "tiny.raw", "--message", message, code=2)
    assert done.stderr.startswith("error: --message cannot be used: ")
    assert not (tmp_path / "tiny.raw").exists()


@pytest.mark.parametrize("verb", ["up", "down", "env", "reset"])
def test_sandbox_of_an_unknown_cloud(lkcloud: Command, verb: str) -> None:
    assert "there is no sandbox for 'hetzner'" in lkcloud("sandbox", verb, "hetzner", code=2).stderr


def test_sandbox_in_a_relative_folder(lkcloud: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The sandbox leaves the folder that it was started in. Only clouds that have a stand-in are started."""
    monkeypatch.setenv("LKCLOUD_STATE_DIR", "here")
    monkeypatch.setenv("LKCLOUD_PROVIDERS", "")
    try:
        assert "sandbox env" in lkcloud("sandbox", "up").stdout
        assert str(tmp_path / "here") in lkcloud("sandbox", "status").stdout
    finally:
        assert lkcloud("sandbox", "down").stdout == "".join(f"{cloud} stopped\n" for cloud in stand_ins())
    assert lkcloud("sandbox", "down").stderr == "no sandbox runs\n"


def test_tiny_disk_is_inspected_and_converted(lkcloud: Command, tmp_path: Path) -> None:
    assert lkcloud("sandbox", "disk", "tiny.raw").stdout == "tiny.raw\n"
    report = json.loads(lkcloud("inspect", "tiny.raw", "--json").stdout)
    assert report["size"] == 4 << 20
    assert lkcloud("convert", "tiny.raw", "tiny.vhd").stdout == "tiny.vhd\n"
    assert (tmp_path / "tiny.vhd").stat().st_size == (4 << 20) + 512
    assert "--force" in lkcloud("convert", "tiny.raw", "tiny.vhd", code=2).stderr
    again = json.loads(lkcloud("inspect", "tiny.vhd", "--json").stdout)
    assert again["digest"] == report["digest"]
    assert lkcloud("convert", "tiny.raw", "tiny.tar.gz", "--compression-level", "3").stdout == "tiny.tar.gz\n"
    assert gzip.decompress((tmp_path / "tiny.tar.gz").read_bytes()).startswith(b"disk.raw\0")
    assert "format gce" in lkcloud("convert", "tiny.raw", "x.vhd", "--compression-level", "3", code=2).stderr


def test_quiet_says_nothing_but_the_result(lkcloud: Command) -> None:
    lkcloud("sandbox", "disk", "tiny.raw")
    done = lkcloud("--quiet", "convert", "tiny.raw", "tiny.vhd")
    assert (done.stdout, done.stderr) == ("tiny.vhd\n", "")


def test_providers_and_version(lkcloud: Command) -> None:
    assert "boot test" in json.loads(lkcloud("providers", "--json").stdout)["aws"]
    assert lkcloud("--version").stdout.startswith("lkcloud 0.")


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("my-os-1.2.raw", "my-os-1.2"),
        ("my-os.raw.xz", "my-os"),
        ("disk.qcow2", "disk"),
        ("disk", "disk"),
        (".raw", ".raw"),
        ("zxz.gz", "zxz"),
    ],
)
def test_name_comes_from_the_file(file: str, name: str) -> None:
    assert default_name(Path(file)) == name


def test_names_of_the_library_are_what_they_say() -> None:
    """A submodule that is imported must not take the place of a function of the same name."""
    code = (
        "import lkcloud, importlib, pkgutil\n"
        "for module in pkgutil.iter_modules(lkcloud.__path__):\n"
        "    if module.name != '__main__': importlib.import_module(f'lkcloud.{module.name}')\n"
        "print(*(n for n in lkcloud.__all__ if type(getattr(lkcloud, n)).__name__ == 'module'))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
