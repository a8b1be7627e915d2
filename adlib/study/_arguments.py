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

    Returns:
        The configuration.

    Raises:
        SystemExit: An argument is unknown, or ``--help`` was asked for.
        ValueError: The configuration is refused.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from adlib.study import config_from_arguments
        >>> with TemporaryDirectory() as folder:
        ...     file = Path(folder, "study.yaml")
        ...     _ = file.write_text("seed: 7")
        ...     config = config_from_arguments("A phase.", file, ["--classes", "screw"])
        >>> config.seed, config.data.classes
        (7, ('screw',))
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

    Returns:
        The configuration.

    Raises:
        ValueError: The configuration is refused.

    Example:
        >>> from pathlib import Path
        >>> from adlib.study import changed_config
        >>> config = changed_config({"seed": 7}, work=Path("run"))
        >>> config.seed, config.paths.outputs.as_posix()
        (7, 'run/outputs')
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
