"""The command line that every phase of the study has."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

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
    return changed_config(
        values, data=given.data, classes=given.classes, work=given.work
    )


def changed_config(
    values: dict[str, Any],
    *,
    data: str | None = None,
    classes: Sequence[str] | None = None,
    work: Path | None = None,
) -> Config:
    """Return a configuration, changed as a command line says.

    Args:
        values: As a file states them.
        data: Folder of the data set.
        classes: Which classes.
        work: Folder that relative paths of the configuration are below.

    Raises:
        ValueError: The configuration is refused.
    """
    stated = Config.from_dict(values).model_dump()
    if data is not None:
        stated["data"]["root"] = data
    if classes is not None:
        stated["data"]["classes"] = classes
    if work is not None:
        for name, path in stated["paths"].items():
            stated["paths"][name] = work / path
        stated["cache"]["folder"] = work / stated["cache"]["folder"]
    return Config.from_dict(stated, "the command line")
