"""The command that shows what a model file holds."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from adlib.cli._console import ModelFile, show


def info(model_file: ModelFile) -> None:
    """Show what a model file holds.

    Example: adlib info part.adlib
    """
    from adlib.estimators import load

    model = load(model_file, device="cpu")
    stages = ", ".join(
        f"{stage.channels} channels at stride {stage.stride}"
        for stage in model.backbone_.stages
    )
    rows = {
        "file": f"{model_file} ({model_file.stat().st_size / 1e6:.1f} MB)",
        "detector": type(model).__name__,
        "backbone": f"{model.backbone} ({stages})",
        "learned from": f"{len(model.training_images_)} images",
        "patch grid": "{} x {}".format(*model.grid_),
        **model.describe(),
    }
    table = Table(show_header=False, box=None)
    for name, value in rows.items():
        text = value.removeprefix(f"{name} ")
        table.add_row(name, Text(text, overflow="fold"))  # no path is cut
    parameters = model.get_params(deep=False)
    listed = ", ".join(f"{name}={value!r}" for name, value in parameters.items())
    table.add_row("parameters", Text(listed, overflow="fold"))
    show.print(table)
