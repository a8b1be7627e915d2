"""The program: its commands, and errors that become one line."""

from __future__ import annotations

import sys
import warnings
from typing import Annotated, Any

import typer

from adlib._version import __version__
from adlib.cli._arguments import spread
from adlib.cli._console import DONE, EXIT_CODES, FAILED, tell
from adlib.cli._demo import demo
from adlib.cli._download import download
from adlib.cli._fit import fit
from adlib.cli._info import info
from adlib.cli._score import score
from adlib.cli._study import study
from adlib.cli._verify import verify
from adlib.exceptions import InputWarning

app = typer.Typer(
    name="adlib",
    help="Learn from images of good parts alone; score, map and judge new ones.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
for command in (fit, score, info, demo, study):
    app.command(epilog=EXIT_CODES)(command)

data = typer.Typer(
    name="data",
    help="Get data sets, and look whether they are sound.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    rich_markup_mode=None,
)
data.command(epilog=EXIT_CODES)(download)
data.command(epilog=EXIT_CODES)(verify)
app.add_typer(data)


@app.callback(invoke_without_command=True)
def options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.")
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show tracebacks of errors.")
    ] = False,
) -> None:
    """Learn from images of good parts alone; score, map and judge new ones."""
    if version:
        print(__version__)
        raise typer.Exit(DONE)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return the exit code.

    Errors become one line, and so does each warning about what was given.
    """
    given = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in given
    given = spread(argument for argument in given if argument != "--debug")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always", InputWarning)
            warnings.showwarning = _tell_warning
            app(given, prog_name="adlib")
    except SystemExit as end:  # how typer ends, well or not
        return end.code if isinstance(end.code, int) else DONE
    except (ImportError, OSError, RuntimeError, TypeError, ValueError) as error:
        if debug:
            raise
        tell.print(f"error: {error}", markup=False, soft_wrap=True)
        return FAILED
    return DONE


def _tell_warning(
    message: Warning | str, category: type[Warning], *place: Any, **more: Any
) -> None:
    """Show a warning as a line, without the place in the code that users need not."""
    tell.print(f"warning: {message}", markup=False, soft_wrap=True)
