"""The review page as files: the worst results, without a server and without labels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from adlib.serve._examine import PHOTO, THUMBNAIL, Examiner, Place, Unavailable
from adlib.serve._pages import (
    ASSETS,
    asset,
    compared_values,
    histogram_values,
    renderer,
    result_values,
)
from adlib.serve._results import Result
from adlib.serve._reviewed import Filter, Reviewed, Row

WORST = Filter(order="worst")


class FileLinks:
    """The names of the files, for pages that a browser opens from a folder."""

    live = False

    def asset(self, name: str) -> str:
        return name

    def listed(self, wanted: Filter) -> str:
        return "index.html"

    def result(self, number: int | None, wanted: Filter) -> str:
        return f"result-{number}.html"

    def picture(self, kind: str, result: Result, model: str = "") -> str:
        suffix = "png" if kind == "map" else "jpg"
        return f"pictures/{result.number}-{kind}.{suffix}"

    def scores(self, product: str, *, linear: bool = False) -> str:
        return "scores.html"


def write_review(
    results: Reviewed, examiner: Examiner, folder: Path, n: int, credit: str = ""
) -> Path:
    """Write the pages of the worst results of a database with one product.

    Args:
        results: The database.
        examiner: Draws the pictures.
        folder: Gets ``index.html`` and what it links to; made where there is none.
        n: How many results.
        credit: What each page says of where the images are from.

    Returns:
        The path of ``index.html``.

    Raises:
        OSError: The folder cannot be written to.
    """
    (folder / "pictures").mkdir(parents=True, exist_ok=True)
    links, products = FileLinks(), results.products()
    render = renderer(links)
    head: dict[str, Any] = {"wanted": WORST, "who": "", "drifts": {}, "notice": None}
    head |= {"products": products, "credit": credit}
    rows = results.listed(WORST, n)
    (folder / "index.html").write_text(render("list.html", **head, rows=rows), "utf-8")
    for name in ASSETS:
        (folder / name).write_bytes(asset(name))
    for product in products:
        found = results.scores(product.name)
        values = histogram_values(found, linear=False) if found else {"scores": None}
        page = render("scores.html", **head, **values, product=product.name)
        (folder / "scores.html").write_text(page, "utf-8")
    numbers = [0, *(row.result.number or 0 for row in rows), 0]
    for i, row in enumerate(rows):
        place = Place(*results.place(row.result.product))
        state = examiner.state(row.result, place)
        number = numbers[i + 1]
        values = result_values(row, results.labels(number), state)
        if values["comparable"]:
            values |= compared_values(examiner, links, row, place, state.model)
        before, after = numbers[i], numbers[i + 2]
        page = render(
            "result.html",
            **head,
            **values,
            previous=links.result(before, WORST) if before else "",
            next=links.result(after, WORST) if after else "",
            ahead=None,
        )
        (folder / links.result(number, WORST)).write_text(page, "utf-8")
        for kind, content in _pictures(examiner, row, place, state.model).items():
            (folder / links.picture(kind, row.result)).write_bytes(content)
    return folder / "index.html"


def _pictures(
    examiner: Examiner, row: Row, place: Place, model: str
) -> dict[str, bytes]:
    """Return the pictures of a result that there are, by kind."""
    result, found = row.result, dict[str, bytes]()
    drawn: dict[str, Callable[[], bytes]] = {
        "thumbnail": lambda: examiner.picture(result, place, THUMBNAIL),
        "image": lambda: examiner.picture(result, place, PHOTO),
        "close": lambda: examiner.close(result, place),
    }
    if model:
        drawn["map"] = lambda: examiner.map(result, place, model)
        drawn["near"] = lambda: examiner.near(examiner.compared(result, place, model))
    for kind, draw in drawn.items():
        try:
            found[kind] = draw()
        except Unavailable:  # as the page says
            continue
    return found
