# SPDX-License-Identifier: Apache-2.0
"""The program `lkcloud`: its commands, and the one place where an error becomes words and an exit code."""

import contextlib
import itertools
import json
import os
import re
import shlex
import signal
import sys
from types import FrameType
from typing import NoReturn

import typer

from lkcloud.cli import clouds, local, manifest, publish, sandbox
from lkcloud.cli.settings import SETTINGS
from lkcloud.errors import INTERRUPTED, LkcloudError, UsageError

_ANEW = (["convert"], ["inspect"])
"""The commands that keep nothing of a run that was interrupted, but for what is in the cache."""

HELP_NAMES = {"help_option_names": ["-h", "--help"]}


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"lkcloud {version('lkcloud')}")
        raise typer.Exit


app = typer.Typer(
    name="lkcloud",
    help="Take a raw disk image to a tested image on a cloud.",
    epilog="Example: lkcloud push aws image.raw --sandbox --test --expect 'login:'",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings=HELP_NAMES,
)


@app.callback()
def _lkcloud(
    verbose: bool = typer.Option(False, "--verbose", "-v", help="Show tracebacks and what the SDKs log."),
    quiet: bool = typer.Option(False, "--quiet", "-q", help="Show only results and errors."),
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Show the version."),
) -> None:
    del version
    SETTINGS.verbose, SETTINGS.quiet = verbose, quiet
    if verbose:
        import logging

        logging.basicConfig(level=logging.INFO, stream=sys.stderr)


clouds.add_commands(app)
publish.add_commands(app)
manifest.add_commands(app)
local.add_commands(app)
sandbox.add_commands(app)


def run() -> NoReturn:
    """Run the command line and end the process with its exit code (docs/exit-codes.md)."""
    # An error in the arguments themselves comes before a command could say how it wants its errors.
    SETTINGS.json = "--json" in itertools.takewhile(lambda argument: argument != "--", sys.argv[1:])
    try:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup has it
                signal.signal(number, _interrupt)
        # typer ends the process itself when the reader of its output went away, as in `lkcloud list aws | head -1`.
        code = app(standalone_mode=False, prog_name="lkcloud") or 0
    except LkcloudError as error:
        _fail(error.message, error.hint, error.exit_code)
    except typer.TyperException as error:
        said = error.format_message().replace(": Value error, ", ": ", 1)  # pydantic's words, by way of typer
        _fail(_lower(said), f"see {_command(error)} --help", UsageError.exit_code)
    except typer.Abort:
        if not sys.stdin.isatty():
            print(file=sys.stderr)  # noqa: T201 - nobody's Enter has ended the line of the question
        _fail("nothing was done", "give --yes to do it without being asked", 1)
    except KeyboardInterrupt:
        code = INTERRUPTED
    except ModuleNotFoundError as error:
        extra = SETTINGS.cloud or "all"
        _fail(f"{extra} needs the Python package {error.name}", f"pip install 'lkcloud[{extra}]'", 1)
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        _fail(
            f"{(error.strerror or str(error)).lower()}{where}", "see that the disk has room and the folder is yours", 1
        )
    except Exception as error:
        first = str(error).partition("\n")[0]
        _fail(
            f"unexpected: {type(error).__name__}{first and ': '}{first}",
            f"this is a fault of lkcloud: report what it says with -v: {_again('-v')}",
            1,
        )
    if code == INTERRUPTED:
        begins = "begins anew" if _words_of_command()[:1] in _ANEW else "goes on where it stopped"
        _fail("interrupted", f"the same command {begins}: {_again()}", INTERRUPTED)
    sys.exit(code)


def _again(*before: str) -> str:
    return shlex.join(["lkcloud", *before, *sys.argv[1:]])


def _command(error: typer.TyperException) -> str:
    context = getattr(error, "ctx", None)
    return context.command_path if context else " ".join(["lkcloud", *_words_of_command()])


def _words_of_command() -> list[str]:
    """Return the words of the command line that name the command, such as `list` and `aws`."""
    words: list[str] = []
    command = typer.main.get_command(app)
    for word in sys.argv[1:]:
        if word.startswith("-"):
            continue
        known = getattr(command, "get_command", None)
        found = known(typer.Context(command), word) if known else None
        if found is None:
            break
        command = found
        words.append(word)
    return words


def _without_secrets(text: str) -> str:
    """Return TEXT, which people put into reports, without the signatures and tokens of URLs that grant access."""
    parameter = r"([?&;][\w-]*(?:sig|signature|token|secret|password)=)[^&;\s'\"<>)]+"
    return re.sub(parameter, r"\1REDACTED", text, flags=re.IGNORECASE)


def _lower(text: str) -> str:
    return (text[:1].lower() + text[1:]).rstrip(".")


def _interrupt(signum: int, frame: FrameType | None) -> None:
    """End in order, as by Ctrl-C, also by SIGTERM, which CI sends before it kills, and SIGHUP of a closed terminal."""
    del signum, frame
    raise KeyboardInterrupt


def _fail(message: str, hint: str, code: int) -> NoReturn:
    # Where nobody reads any more, the exit code still says what happened.
    with contextlib.suppress(OSError):
        if SETTINGS.verbose and sys.exc_info()[0]:
            import traceback

            sys.stderr.write(_without_secrets(traceback.format_exc()))
        if SETTINGS.json:
            print(json.dumps({"error": message, "hint": hint, "exit_code": code}), file=sys.stderr)  # noqa: T201
        else:
            print(f"error: {message}\nhint: {hint}", file=sys.stderr)  # noqa: T201
        sys.stderr.flush()
        sys.stdout.flush()
    # Not sys.exit: a worker that still waits for a dead network must not hold up the end of the process.
    os._exit(code)
