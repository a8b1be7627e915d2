"""The file of `adlib score --regions`: the defects of each image, as areas."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO, TypeAlias

from adlib._files import replacing
from adlib.cli._console import file_to_write

if TYPE_CHECKING:
    from adlib.estimators import Inspection

Note: TypeAlias = Callable[["Inspection"], None]
COLUMNS = ["path", "region", "top", "left", "bottom", "right", "area_px", "area_mm2"]
COLUMNS += ["peak", "mean", "worst_row_px", "worst_column_px"]
COLUMNS += ["threshold", "zone_row", "zone_column"]


@contextmanager
def regions_file(name: str, mm_per_pixel: float | None) -> Iterator[Note]:
    """Give what writes the regions of one image to a file, which appears at the end."""
    path = file_to_write(name, "regions.json")
    if path.suffix not in (".json", ".csv"):
        raise ValueError(f"--regions must end in .json or .csv; got {name!r}.")
    square = None if mm_per_pixel is None else mm_per_pixel**2
    is_json = path.suffix == ".json"
    with (
        replacing(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8") as file,
    ):
        note = _as_json(file, square) if is_json else _as_csv(file, square)
        yield note
        if is_json:
            file.write("\n]\n")


def _as_json(file: TextIO, square: float | None) -> Note:
    """Write a list with an object an image, each on a line."""
    begin = "[\n"

    def note(result: Inspection) -> None:
        nonlocal begin
        found = [region.as_dict() for region in result.regions or ()]
        for region in found if square is not None else ():
            region["area_mm2"] = region["area"] * square
        image: dict[str, Any] = {"path": result.path, "error": result.error}
        image["decision"] = result.decision
        if result.error is None:
            image |= {"score": result.score, "verdict": result.verdict}
            image |= {"p_value": result.p_value}
            image |= {"threshold_ratio": result.threshold_ratio}
            image |= {"size": result.size, "regions": found}
        file.write(begin + json.dumps(image))
        begin = ",\n"

    return note


def _as_csv(file: TextIO, square: float | None) -> Note:
    """Write a row for each region, numbered from 1 in each image."""
    rows = csv.writer(file, lineterminator="\n")
    rows.writerow(COLUMNS)

    def note(result: Inspection) -> None:
        for number, one in enumerate(result.regions or (), 1):
            area = "" if square is None else f"{one.area * square:.6g}"
            measures = [f"{one.area:.6g}", area, f"{one.peak:.6g}", f"{one.mean:.6g}"]
            above = [f"{one.threshold:.6g}", *(one.zone or ("", ""))]
            row = [result.path, number, *one.box, *measures, *one.worst_pixel, *above]
            rows.writerow(row)

    return note
