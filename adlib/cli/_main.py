"""The program: its commands, and errors as one line."""

from __future__ import annotations

import codecs
import errno
import io
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from adlib._version import __version__
from adlib.cli._accept import accept
from adlib.cli._config import options_of
from adlib.cli._console import (
    DONE,
    EXIT_CODES,
    FAILED,
    OUTPUT_CLOSED,
    ModelFile,
    as_typed,
    is_exported,
    show,
    tell,
)
from adlib.cli._data import download, verify
from adlib.cli._demo import demo
from adlib.cli._export import compared, export
from adlib.cli._fit import fit
from adlib.cli._forget import forget
from adlib.cli._monitor import monitor
from adlib.cli._pod import pod
from adlib.cli._review import review
from adlib.cli._score import score
from adlib.cli._serve import serve
from adlib.cli._study import study
from adlib.cli._tune import tune
from adlib.cli._watch import watch
from adlib.exceptions import InputWarning

if TYPE_CHECKING:
    from adlib.estimators import AnomalyDetector


def info(model_file: ModelFile) -> None:
    """Show what a model file holds.

    Example: adlib info part.adlib
    """
    held = _of_exported(model_file) if is_exported(model_file) else _of(model_file)
    size = model_file.stat().st_size / 1e6
    rows = {"file": f"{model_file} ({size:.1f} MB)", **held}
    table = Table(show_header=False, box=None)
    for name, value in rows.items():
        text = value.removeprefix(f"{name} ")
        table.add_row(name, Text(text, overflow="fold"))  # no path is cut
    show.print(table)


def _of(model_file: Path) -> dict[str, str]:
    """Return what a model file holds, as texts by name."""
    from adlib.estimators import load

    model = load(model_file, device="cpu")
    return {
        "detector": type(model).__name__,
        **model._facts(),
        **_accepted(model),
        "parameters": _listed(model.get_params(deep=False)),
    }


def _accepted(model: AnomalyDetector) -> dict[str, str]:
    """Return who accepted which images and when, one text for each time."""
    return {
        f"accepted {i}": f"by {one.by} at {one.when}, {one.n_entries:,} entries, into "
        f"the model {one.model or 'of unknown SHA-256'}: "
        + ", ".join(f"{name} (SHA-256 {sha256})" for name, sha256 in one.images)
        for i, one in enumerate(getattr(model, "accepted_", ()), start=1)
    }


def _of_exported(model_file: Path) -> dict[str, str]:
    """Return what an exported file says of itself."""
    from adlib.runtime._file import described, read_exported

    header = read_exported(model_file).header
    return {
        **described(header),
        **{f"by {engine}": compared(c) for engine, c in header["check"].items()},
        "parameters": _listed(header["parameters"]),
    }


def _listed(parameters: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in parameters.items())


app = typer.Typer(
    name="adlib",
    help="Find anomalies in images, learning from images of good parts alone.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
for command in (
    fit,
    score,
    monitor,
    accept,
    pod,
    tune,
    export,
    forget,
    info,
    demo,
    study,
):
    app.command(epilog=EXIT_CODES)(command)
services: tuple[Callable[..., None], ...] = (watch, serve, review)
for service in services:  # which may be configured by their environment
    environment = {"auto_envvar_prefix": f"ADLIB_{service.__name__.upper()}"}
    app.command(epilog=EXIT_CODES, context_settings=environment)(service)

data = typer.Typer(
    name="data",
    help="Download and check data sets.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    rich_markup_mode=None,
)
data.command(epilog=EXIT_CODES)(download)
data.command(epilog=EXIT_CODES)(verify)
app.add_typer(data)

TAKING_SEVERAL = ("--augment", "--classes", "--defects", "--good")
FAILURES = ImportError, MemoryError, OSError, RuntimeError, TypeError, ValueError


@app.callback(invoke_without_command=True)
def options(
    context: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option(
            envvar="ADLIB_CONFIG",
            help="TOML file with a table of options for each command, as [watch].",
        ),
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.")
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show tracebacks of errors.")
    ] = False,
) -> None:
    """Find anomalies in images, learning from images of good parts alone."""
    if version:
        print(__version__)
        raise typer.Exit(DONE)
    if config is not None:
        of_program = vars(context.command)["commands"]
        single = {n: c for n, c in of_program.items() if not hasattr(c, "commands")}
        context.default_map = options_of(config, single)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return the exit code.

    Errors become one line, and so does each warning about what was given.
    """
    given = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in given
    given = spread([argument for argument in given if argument != "--debug"])
    streams = sys.stdout, sys.stderr
    code = DONE
    try:
        with warnings.catch_warnings(), _every_name_printable():
            warnings.simplefilter("always", InputWarning)
            warnings.showwarning = _tell_warning
            try:
                app(given, prog_name="adlib")
            except SystemExit as end:  # how typer ends, well or not
                code = end.code if isinstance(end.code, int) else DONE
            if sys.stdout is not streams[0]:  # typer's way of saying so
                raise BrokenPipeError(errno.EPIPE, "standard output is closed")
            if sys.stdout is not None:  # as behind >&- and in services
                sys.stdout.flush()
    except BrokenPipeError:
        sys.stdout, sys.stderr = streams
        # Or Python would complain at its end, when it flushes what was not written.
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OUTPUT_CLOSED
    except FAILURES as error:
        if debug:
            raise
        tell.print(f"error: {as_typed(str(error))}")
        return FAILED
    return code


def spread(arguments: Sequence[str]) -> list[str]:
    """Repeat an option before each of its values, as typer wants it.

    ``--classes a b -o out`` becomes ``--classes a --classes b -o out``. Values end at
    the next option, or at ``--``, after which nothing is changed.
    """
    result: list[str] = []
    option = ""  # one that takes the values that follow
    for number, argument in enumerate(arguments):
        if argument == "--":
            return [*result, *arguments[number:]]
        if argument.startswith("-"):
            name = argument.partition("=")[0]
            option = name if name in TAKING_SEVERAL else ""
        elif option and result[-1] != option:  # its first value has come
            result.append(option)
        result.append(argument)
    return result


@contextmanager
def _every_name_printable() -> Iterator[None]:
    """Let any file name be printed.

    Names that are not Unicode are written as their own bytes; letters that the
    output's encoding lacks are escaped. Either would otherwise end the run.
    """
    stdout = sys.stdout
    if not isinstance(stdout, io.TextIOWrapper):
        yield
        return
    before = stdout.errors
    is_utf8 = codecs.lookup(stdout.encoding).name == "utf-8"
    stdout.reconfigure(errors="surrogateescape" if is_utf8 else "backslashreplace")
    try:
        yield
    finally:
        with suppress(BrokenPipeError):
            stdout.reconfigure(errors=before)


def _tell_warning(
    message: Warning | str, category: type[Warning], *place: Any, **more: Any
) -> None:
    """Show a warning as a line, without its place in the code."""
    tell.print(f"warning: {as_typed(str(message))}")
