"""Solar cells of the elpv-dataset package: real photographs that come with pip."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

from adlib._validation import check_option

CellKind: TypeAlias = Literal["mono", "poly"]
CELL_KINDS: tuple[CellKind, ...] = ("mono", "poly")


class SolarCell(NamedTuple):
    """One electroluminescence photograph of a solar cell.

    Attributes:
        path: Grey PNG, 300x300.
        defect_probability: 0, 1/3, 2/3 or 1, as experts judged it.
        kind: "mono" (monocrystalline) or "poly" (polycrystalline).
    """

    path: Path
    defect_probability: float
    kind: CellKind


def elpv_cells(kind: CellKind) -> list[SolarCell]:
    """Return the cells of one kind, in the order of the data set.

    Raises:
        ImportError: The package elpv-dataset is not installed.
        ValueError: ``kind`` is neither "mono" nor "poly".

    References:
        Deitsch et al., "Segmentation of photovoltaic module cells in uncalibrated
        electroluminescence images", Machine Vision and Applications 32, 2021. The
        images are under CC BY-NC-SA 4.0.
    """
    wanted = check_option(kind, "kind", "elpv_cells", CELL_KINDS)
    return [cell for cell in _read_all() if cell.kind == wanted]


def _read_all() -> Iterator[SolarCell]:
    try:
        import elpv_dataset  # noqa: PLC0415 - optional
    except ImportError:
        raise ImportError(
            "The solar cells need the package elpv-dataset. "
            'Run: pip install "adlib-vision[demo]"'
        ) from None
    root = Path(elpv_dataset.__file__).parent / "data"
    with (root / "labels.csv").open(newline="") as file:
        for line in csv.reader(file, delimiter=" ", skipinitialspace=True):
            name, probability, kind = line
            cell_kind = check_option(kind, "kind", "labels.csv", CELL_KINDS)
            yield SolarCell(root / name, float(probability), cell_kind)
