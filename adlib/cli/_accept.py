"""The command that accepts good images that did not pass into a new model file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from adlib._files import sha256_of
from adlib.cli._console import (
    FOUND_ANOMALIES,
    Device,
    file_to_write,
    is_exported,
    show,
    tell,
)

if TYPE_CHECKING:
    from adlib.serve._feedback import Change, Compared


def accept(
    results: Annotated[
        Path | None,
        typer.Argument(help="Results database of `adlib watch`.", show_default=False),
    ] = None,
    model: Annotated[
        Path | None, typer.Option("--model", "-m", help="Model file of `adlib fit`.")
    ] = None,
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", help="Model file to write; a new one."),
    ] = None,
    by: Annotated[str | None, typer.Option(help="Name of who accepts.")] = None,
    product: Annotated[
        str | None,
        typer.Option(help="Product in the database. Default: name of the model file."),
    ] = None,
    holdout: Annotated[
        str | None,
        typer.Option(
            help="FROM-TO: numbers of results that are all confirmed; their good "
            "images are not added but set the threshold. Default: it stays."
        ),
    ] = None,
    allow_missing: Annotated[
        bool,
        typer.Option("--allow-missing", help="Go on without defects that are gone."),
    ] = False,
    undo: Annotated[
        bool,
        typer.Option("--undo", help="Write the model of before the last acceptance."),
    ] = False,
    device: Device = "auto",
) -> None:
    """Accept good images that did not pass into a new version of a model.

    Of images that were confirmed good and do not pass, the patches above the threshold
    are added. No score rises, and the threshold keeps its promise. What that changes is
    shown for all confirmed images; if a confirmed defect that did not pass would pass
    then, nothing is written (exit code 3). The old file stays as it is.

    Example: adlib accept results.db -m part.adlib -o part-2.adlib --by "A. Meier"
    """
    if model is None or output is None:
        raise ValueError("Pass the model file by --model and the new one by --output.")
    file = file_to_write(output, "part-2.adlib")
    if file.exists():
        raise ValueError(
            f"--output must be a new file; {output!r} is there. Models are kept, so "
            "that each can be used again."
        )
    if is_exported(model):
        raise ValueError(
            f"--model must be a file of adlib fit; {str(model)!r} is exported, and "
            "takes nothing in. Accept into the model that it came from, and export it."
        )

    from adlib.estimators import PatchCore, load

    loaded = load(model, device=device)
    if not isinstance(loaded, PatchCore):
        raise ValueError(
            f"--model must hold a PatchCore, whose bank can be added to; got a "
            f"{type(loaded).__name__}. Fit it again with the images."
        )
    if undo:
        loaded.undo_accept().save(file)
        tell.print(f"{output} is the model before what was accepted last.")
        return
    if results is None or by is None:
        raise ValueError("Pass the results database, and who accepts by --by.")
    if not results.is_file():
        raise FileNotFoundError(f"There is no results database at {str(results)!r}.")

    from adlib.serve._feedback import accept as accept_into
    from adlib.serve._results import Results

    product = model.stem if product is None else product
    sha256 = sha256_of(model)
    with Results(results) as database:
        change = accept_into(
            loaded,
            sha256,
            database,
            product,
            by=by,
            holdout=None if holdout is None else _numbers(holdout),
            allow_missing=allow_missing,
        )
    _tell(change)
    released = change.released()
    if released:
        for one in released:
            tell.print(f"would pass: {one.image.path} (result {one.image.number})")
        tell.print(
            f"error: {len(released)} confirmed defects would pass that did not, so "
            "nothing was written. Take labels of good images that look like them back."
        )
        raise typer.Exit(FOUND_ANOMALIES)
    if file.exists():
        raise ValueError(f"--output must be a new file; {output!r} has come.")
    loaded.save(file)
    tell.print(f"{output} is written; {model} is as it was.")


def _numbers(text: str) -> tuple[int, int]:
    """Return the numbers of FROM-TO, or raise."""
    found = re.fullmatch(r"(\d+)-(\d+)", text)
    if found is None or int(found[1]) > int(found[2]):
        raise ValueError(f"--holdout must be FROM-TO, as 1200-1300; got {text!r}.")
    return int(found[1]), int(found[2])


def _tell(change: Change) -> None:
    """Show what changes, and for how much that stands."""
    from adlib.serve._confirmed import interval

    for reason in change.unusable:
        tell.print(f"left out: {reason}")
    good = [one for one in change.compared if not one.image.is_defect]
    defects = [one for one in change.compared if one.image.is_defect]
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("confirmed images")
    for name in ("images", "before", "after"):
        table.add_column(name, justify="right", no_wrap=True)
    added = [one for one in good if one.is_added]
    for name, group, passing in (
        ("good and accepted, not passing", added, False),
        ("good and not accepted, not passing", _others(good), False),
        ("defects, passing", defects, True),
    ):
        counts = [
            sum((getattr(one, when) == "PASS") is passing for one in group)
            for when in ("before", "after")
        ]
        table.add_row(name, f"{len(group)}", *map(str, counts))
    for name, pair in (
        ("threshold", change.thresholds),
        ("review threshold", change.review_thresholds),
    ):
        limits = [f"{one:.6g}" for one in pair if one is not None]
        if limits:
            table.add_row(name, "", *limits)
    table.add_row("entries", "", *(f"{one:,}" for one in change.n_entries))
    show.print(table)
    n_caught = sum(one.before != "PASS" for one in defects)
    if not n_caught:
        tell.print(
            "No confirmed defect is known that does not pass: nothing says whether "
            "defects pass now."
        )
    elif not change.released():
        _, high = interval(0, n_caught)
        tell.print(
            f"Of {n_caught} confirmed defects that did not pass none passes; of others "
            f"like them up to {100 * high:.0f} % may (95 % confidence)."
        )
    if change.n_calibrated:
        text = f"{change.n_calibrated} good images of --holdout set the threshold."
    else:
        text = "The threshold stays: no score rises, so that its rate still holds."
    tell.print(text)


def _others(good: list[Compared]) -> list[Compared]:
    return [one for one in good if not one.is_added]
