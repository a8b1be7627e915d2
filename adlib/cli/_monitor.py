"""The command that says whether a line still makes what a model has learned."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from adlib.cli._console import FOUND_ANOMALIES, show, tell

if TYPE_CHECKING:
    from adlib.serve._confirmed import Share
    from adlib.serve._drift import State


def monitor(
    results: Annotated[Path, typer.Argument(help="Results database of `adlib watch`.")],
    product: Annotated[
        str | None, typer.Option(help="One product. Default: all of the database.")
    ] = None,
    between: Annotated[
        float,
        typer.Option(help="Parts that pass between two false alarms, in the mean."),
    ] = 100_000,
    after: Annotated[
        int,
        typer.Option(help="Leave results up to this number out, as of a past drift."),
    ] = 0,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON, an object for each product.")
    ] = False,
) -> None:
    """Say whether scores drift, and how often decisions were right.

    Scores of parts that pass are compared with those of the calibration, or of the
    first 100 parts; the model of the last result counts. Shares of defects come from
    what people confirmed. The exit code is 3 if there is an alarm.

    Example: adlib monitor results.db || mail -s drift line@example.com
    """
    if not results.is_file():
        raise FileNotFoundError(f"There is no results database at {str(results)!r}.")

    from adlib.serve._confirmed import shares
    from adlib.serve._drift import ProductDrift, reference_from
    from adlib.serve._results import Results

    found = []
    with Results(results) as database:
        with database.transaction("DEFERRED") as db:
            files = dict(db.execute("SELECT product, model_file FROM products"))
        if product is not None and product not in files:
            known = ", ".join(map(repr, sorted(files))) or "none"
            raise ValueError(
                f"--product must be one of the database ({known}); got {product!r}."
            )
        for name in sorted(files) if product is None else [product]:
            reference = reference_from(files[name])
            drift = ProductDrift(name, reference, between=between, after=after)
            state = drift.look(database)
            if state is not None:
                found.append((state, shares(database, name, state.model)))
    if as_json:
        show.print(json.dumps([_plain(*one) for one in found], indent=1))
    else:
        for one in found:
            _print(*one)
        if any(share.n_labelled for _, each in found for share in each):
            tell.print(
                "Shares of FAIL are the precision, of PASS what is missed. Their 95 % "
                "intervals hold if the confirmed results are a random sample of those "
                "with that decision."
            )
        if not found:
            tell.print("There are no results yet.")
    if any(state.alarm is not None for state, _ in found):
        raise typer.Exit(FOUND_ANOMALIES)


def _plain(state: State, found: Sequence[Share]) -> dict[str, Any]:
    return {
        **state._asdict(),
        "line": state.line(),
        "alarm": state.alarm and state.alarm._asdict(),
        "quantiles": [one._asdict() for one in state.quantiles],
        "not_passing": [one._asdict() for one in state.not_passing],
        "decisions": [{**one._asdict(), "rate": one.rate} for one in found],
    }


def _print(state: State, found: Sequence[Share]) -> None:
    show.print(f"{state.product}: {state.line()}", soft_wrap=True)
    show.print(f"model {state.model}", soft_wrap=True)
    scores = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("scores that pass", "parts", "median", "95 %"):
        scores.add_column(name, justify="left" if "pass" in name else "right")
    for one in state.quantiles:
        scores.add_row(one.of, f"{one.n}", f"{one.median:.6g}", f"{one.q95:.6g}")
    show.print(scores)
    for part in state.not_passing:
        share = 100 * part.n_not_passing / part.n
        show.print(f"of the last {part.n} results {share:.3g} % do not pass")
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("decision", "results", "confirmed", "defects", "share", "95 %"):
        table.add_column(name, justify="left" if name == "decision" else "right")
    for each in found:
        rate = "" if each.rate is None else f"{100 * each.rate:.3g} %"
        interval = f"{100 * each.low:.2g} to {100 * each.high:.3g} %"
        table.add_row(
            each.decision,
            f"{each.n_results:,}",
            f"{each.n_labelled:,}",
            f"{each.n_defects:,}",
            rate,
            interval if each.n_labelled else "",
        )
    show.print(table)
