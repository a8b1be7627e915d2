"""The command that advises settings, from good images alone."""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from adlib.cli._console import Device, ImagePlaces, show, tell
from adlib.cli._pod import ABOUT, size_text, write_json

if TYPE_CHECKING:
    from adlib.pod import Advice


def tune(
    images: ImagePlaces,
    max_ms: Annotated[
        float | None,
        typer.Option(
            "--max-ms", help="Milliseconds that an image may take. Default: any."
        ),
    ] = None,
    minutes: Annotated[
        float, typer.Option(help="After this time nothing new is tried.")
    ] = 15.0,
    sizes: Annotated[
        str, typer.Option(help="Image sizes to try, separated by commas.")
    ] = "224,320,448,640",
    defects: Annotated[
        int, typer.Option(min=60, help="How many to draw for each setting.")
    ] = 180,
    region: Annotated[
        Path | None,
        typer.Option(
            help="Mask of where defects may be, as large as the images.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="JSON file of all that was tried."),
    ] = None,
    device: Device = "auto",
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything random.")] = 0,
) -> None:
    """Advise image size, coreset and top ratio, from good IMAGES alone.

    Tries settings on synthetic defects, with the same rate of false alarms, and prints
    what each finds, one advice with its reason, and the command to use.

    Example: adlib tune parts/good --max-ms 50
    """
    from adlib._files import check_replaceable
    from adlib.cli._fit import _paths
    from adlib.datasets import read_mask
    from adlib.pod import tune

    if not all(word.strip().isdigit() for word in sizes.split(",")):
        raise ValueError(f"--sizes must be sides as 224,320,448; got {sizes!r}.")
    if output is not None:
        check_replaceable(output)
    advice = tune(
        _paths(images, "IMAGES"),
        image_sizes=[int(word) for word in sizes.split(",")],
        milliseconds_an_image=max_ms,
        minutes=minutes,
        n_defects=defects,
        region=None if region is None else read_mask(region),
        device=device,
        random_state=seed,
    )
    if output is not None:
        write_json(advice.as_dict(), output)
    show.print(_table(advice))
    for size, coreset in advice.untried:
        show.print(
            f" not tried within {minutes:g} minutes: {size}, coreset {coreset:g}"
        )
    show.print(f" {advice.reason}", soft_wrap=True)
    show.print(f" {_command(advice, images)}", soft_wrap=True)
    tell.print(ABOUT)


def _command(advice: Advice, places: Sequence[str]) -> str:
    """Return the command that fits a model as advised."""
    options = [
        f"--{name.replace('_', '-')} {value:g}"
        for name, value in advice.setting.parameters.items()
    ]
    named = " ".join(map(shlex.quote, places))
    return f"adlib fit {named} -o part.adlib {' '.join(options)}"


def _table(advice: Advice) -> Table:
    rate = 100 * advice.false_positive_rate
    low, high = advice.sizes
    title = (
        f"{advice.settings[0].n_defects} defects of {low:.3g} to {high:.3g} pixels (-: "
        f"not reached), {rate:.3g} % false alarms asked for, learned "
        f"{advice.n_learned} of {advice.n_images} images"
    )
    table = Table(box=None, padding=(0, 2, 0, 0), title=title, title_justify="left")
    table.add_column("")
    for name in ("size", "coreset", "top ratio", "found", "a90 (px)", "a90/95 (px)"):
        table.add_column(name, justify="right", no_wrap=True)
    for name in ("alarms", "ms"):
        table.add_column(name, justify="right", no_wrap=True)
    for one in advice.settings:
        curve = one.curve
        table.add_row(
            ">" if one is advice.setting else "",
            f"{one.image_size}",
            f"{one.coreset:g}",
            f"{one.top_ratio:g}",
            f"{one.n_found}",
            *(
                size_text(size, curve) if math.isfinite(size) else "-"
                for size in (curve.a90, curve.a90_95)
            ),
            f"{one.n_false_alarms} of {one.n_held_out}",
            f"{one.milliseconds:.1f}",
        )
    return table
