"""The command line that every phase of the study has."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from adlib.study._config import Config, read_config


def config_from_arguments(
    description: str | None,
    config_file: Path,
    arguments: Sequence[str] | None = None,
) -> Config:
    """Return a script's configuration: its file, changed as the command line says.

    Args:
        description: The script's docstring; its first line is shown as help.
        config_file: Read unless ``--config`` names another.
        arguments: None: those of the process.

    Raises:
        SystemExit: An argument is unknown, or ``--help`` was asked for.
        ValueError: The configuration is refused.
    """
    parser = argparse.ArgumentParser(description=(description or "").partition("\n")[0])
    parser.add_argument(
        "--data", metavar="ROOT", help="folder of the data set; default: the demo set"
    )
    parser.add_argument("--classes", nargs="+", help="which classes; default: all")
    parser.add_argument("--config", type=Path, default=config_file, help="YAML file")
    parser.add_argument(
        "--work",
        type=Path,
        help="folder that data/ and outputs/ are written under; default: where you are",
    )
    given = parser.parse_args(arguments)
    values = read_config(given.config).model_dump()
    if given.data is not None:
        values["data"]["root"] = given.data
    if given.classes is not None:
        values["data"]["classes"] = given.classes
    if given.work is not None:
        for name, path in values["paths"].items():
            values["paths"][name] = given.work / path
    return Config.from_dict(values, "the command line")
