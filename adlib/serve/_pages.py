"""The review page's HTML: the same templates for the server and for files."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from datetime import datetime
from importlib.resources import files
from typing import Any
from urllib.parse import urlencode

import numpy as np

from adlib._templates import templates
from adlib.serve._examine import SHORT, Examiner, Place, State, Unavailable
from adlib.serve._results import Result
from adlib.serve._reviewed import Filter, Label, Row, Scores

ASSETS = {
    "style.css": "text/css",
    "script.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}
N_TICKS = 5


def asset(name: str) -> bytes:
    """Return a file that pages ask for."""
    return files("adlib.serve").joinpath("templates", name).read_bytes()


class Links:
    """The addresses of a server's pages: of results by their numbers alone."""

    live = True  # labels can be written, and there are filters

    def __init__(self) -> None:
        self._versions = {
            name: hashlib.sha256(asset(name)).hexdigest()[:SHORT] for name in ASSETS
        }

    def asset(self, name: str) -> str:
        return f"/{name}?v={self._versions[name]}"

    def listed(self, wanted: Filter, **more: Any) -> str:
        """Return the list of a filter; ``more`` are parameters that are no fields."""
        return _address("/", wanted, **more)

    def result(self, number: int | None, wanted: Filter, **more: Any) -> str:
        return _address(f"/results/{number}", wanted, **more)

    def label(self, number: int | None, wanted: Filter) -> str:
        return _address(f"/results/{number}/label", wanted)

    def picture(self, kind: str, result: Result, model: str = "") -> str:
        """Return a picture; its version changes with what is shown."""
        version = f"{result.sha256 or ''}-{model}"
        return f"/results/{result.number}/{kind}?v={version}"

    def scores(self, product: str, *, linear: bool = False) -> str:
        given = {"product": product} | ({"linear": "1"} if linear else {})
        return f"/scores?{urlencode(given)}"


def _address(path: str, wanted: Filter, **more: Any) -> str:
    fields = {
        name: value
        for name, value in wanted._asdict().items()
        if value != Filter._field_defaults[name]
    }
    given = fields | {name: value for name, value in more.items() if value}
    return f"{path}?{urlencode(given)}" if given else path


def visible(value: Any) -> Any:
    """Return a text without characters that no page can hold, or that deceive.

    Bytes that are no UTF-8 in names, controls, and letters that turn the direction of
    writing become U+FFFD.
    """
    if not isinstance(value, str) or hasattr(value, "__html__"):
        return value
    if value.isprintable():
        return value
    return "".join(
        one if one.isprintable() or one == "\n" else "\ufffd" for one in value
    )


def local_time(utc: str) -> str:
    """Return a time of the database as that of this machine."""
    try:
        return datetime.fromisoformat(utc).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    except (OverflowError, ValueError):
        return utc


def verdict(result: Result) -> str:
    """Return the decision in words; what could not be judged is none."""
    return "NOT JUDGED" if result.error is not None else result.decision


def number(value: float | None) -> str:
    """Return a number as people read it, "-" for None."""
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def regions(result: Result) -> list[dict[str, Any]]:
    """Return the regions of a result, as ``Region.as_dict`` wrote them."""
    found: list[dict[str, Any]] = json.loads(result.regions)
    return found


def outlines(result: Result) -> list[str]:
    """Return the contours of a result's regions as points of SVG polygons."""
    return [
        " ".join(f"{column:g},{row:g}" for row, column in line)
        for region in regions(result)
        for line in region["contours"]
    ]


class Bars:
    """One strip of a histogram as an SVG path of bars, 0 to 1 in both directions.

    Args:
        up_to: Cumulative counts at the edges, of which the first is 0.
        linear: Heights are counts; else logarithms of counts + 1.
    """

    def __init__(self, up_to: Any, *, linear: bool) -> None:
        self.total = int(up_to[-1])
        counts = np.diff(up_to).tolist()
        self.most = max(counts)
        height = float if linear else math.log1p
        top = max(height(self.most), 1e-9)
        parts = []
        for i, count in enumerate(counts):
            if count:
                share = max(height(count) / top, 0.02)  # one result can be seen
                parts.append(f"M{i} 1V{1 - share:.4f}H{i + 1}V1Z")
        self.path = "".join(parts)
        self.n_bins = len(counts)


def rates(scores: Scores, at: int) -> dict[str, tuple[int, int]]:
    """Return what a threshold at an edge gives: how many of how many.

    "all" and "good" count those that would fail, "defect" those that would pass.
    """
    totals = {name: int(up_to[-1]) for name, up_to in scores.up_to.items()}
    passed = {name: int(up_to[at]) for name, up_to in scores.up_to.items()}
    return {
        "all": (totals["all"] - passed["all"], totals["all"]),
        "good": (totals["good"] - passed["good"], totals["good"]),
        "defect": (passed["defect"], totals["defect"]),
    }


def share(pair: tuple[int, int]) -> str:
    """Return a share in per cent."""
    count, total = pair
    return f"{100 * count / total:.2f} %" if total else "-"


def renderer(links: Any) -> Callable[..., str]:
    """Return what renders a template by name with values, for some links."""
    environment = templates("adlib.serve", visible)
    environment.filters.update(
        local_time=local_time, verdict=verdict, number=number, share=share
    )
    environment.globals.update(links=links, live=links.live, SHORT=SHORT)

    def render(name: str, **values: Any) -> str:
        return environment.get_template(name).render(**values)

    return render


def result_values(row: Row, labels: list[Label], state: State) -> dict[str, Any]:
    """Return what the template of a result needs of it."""
    result = row.result
    return {
        "row": row,
        "labels": labels,
        "regions": regions(result),
        "outlines": outlines(result),
        "missing": state.missing,
        "shown": result.sha256 is not None and not state.missing,
        "model": state.model,
        "about_map": state.about,
        "comparable": state.model and result.error is None,
    }


def compared_values(
    examiner: Examiner, links: Any, row: Row, place: Place, model: str
) -> dict[str, Any]:
    """Return what the template of the nearest good patch needs."""
    compared, near, missing = None, "", ""
    try:
        compared = examiner.compared(row.result, place, model)
        examiner.training_image(compared)
        near = links.picture("near", row.result, model)
    except Unavailable as reason:
        missing = str(reason)
    return {"row": row, "compared": compared, "near": near, "near_missing": missing}


def histogram_values(scores: Scores, *, linear: bool) -> dict[str, Any]:
    """Return what the template of a histogram needs."""
    edges = scores.edges.tolist()
    at = edges.index(scores.threshold)
    n_edges = len(edges)
    ticks = [edges[round(i * (n_edges - 1) / (N_TICKS - 1))] for i in range(N_TICKS)]
    data = {name: up_to.tolist() for name, up_to in scores.up_to.items()}
    return {
        "scores": scores,
        "at": at,
        "ticks": ticks,
        "data": json.dumps({"edges": edges, **data}),
        "bars": {k: Bars(v, linear=linear) for k, v in scores.up_to.items()},
        "rates": rates(scores, at),
        "linear": linear,
    }
