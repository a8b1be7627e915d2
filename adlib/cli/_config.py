"""A file of options, for commands that run as services."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def options_of(file: Path, commands: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that a TOML file sets, by command and parameter.

    Args:
        file: A table for each command, such as ``[watch]``, of its options and
            arguments, which are named as in the help, without dashes before them.
        commands: Typer's, by name; groups of commands are not among them.

    Returns:
        What a context's ``default_map`` takes.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is no TOML, or names what there is not.
    """
    try:
        with file.open("rb") as opened:
            tables = tomllib.load(opened)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{str(file)!r} must be TOML: {error}.") from None
    found: dict[str, Any] = {}
    for name, table in tables.items():
        if name not in commands or not isinstance(table, dict):
            tables_of = ", ".join(f"[{known}]" for known in commands)
            raise ValueError(
                f"{str(file)!r} must have tables, of {tables_of}; got {name!r}."
            )
        parameters = {_as_typed(one): one.name for one in commands[name].params}
        for key, value in table.items():
            if key not in parameters:
                known = ", ".join(parameters)
                raise ValueError(
                    f"{str(file)!r}: [{name}] may set {known}; got {key!r}."
                )
            found.setdefault(name, {})[parameters[key]] = value
    return found


def _as_typed(parameter: Any) -> str:
    """Return the long name of an option, or that of an argument."""
    longest = max(parameter.opts, key=len)
    return str(longest).lstrip("-")
