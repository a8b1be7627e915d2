"""The command that runs the whole study."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from adlib.cli._console import tell


def study(
    config: Annotated[
        Path | None,
        typer.Argument(help="YAML file of the study; without one: the demo set."),
    ] = None,
    *,
    data: Annotated[
        str | None, typer.Option(help="Folder of the data set, instead of the file's.")
    ] = None,
    classes: Annotated[
        list[str] | None, typer.Option(help="Which classes; default: all.")
    ] = None,
    work: Annotated[
        Path | None,
        typer.Option(help="Folder for data/ and outputs/; default: where you are."),
    ] = None,
    anew: Annotated[
        bool, typer.Option("--anew", help="Run phases again that are done.")
    ] = False,
    notebooks: Annotated[
        bool,
        typer.Option("--notebooks", help="Run as notebooks, in outputs/notebooks."),
    ] = False,
) -> None:
    """Run every phase of the study, from the data to the errors.

    Stopped, it goes on where it was; what is done and unchanged is not done again.

    Example: adlib study config.yaml --data mvtec_ad --classes screw
    """
    import adlib.report  # noqa: F401 - refuses a missing extra before the long work
    from adlib.study import Config, read_config, run_study
    from adlib.study._config import changed_config
    from adlib.study._run_study import summary

    stated = Config() if config is None else read_config(config)
    chosen = changed_config(stated, data=data, classes=classes, work=work)
    runs = run_study(chosen, anew=anew, notebooks=notebooks, say=tell.print)
    print(summary(runs, chosen))
