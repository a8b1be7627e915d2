"""Solar cells of the elpv-dataset package: real photographs that come with pip."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias, get_args

import numpy as np

from adlib._validation import check_int, check_option
from adlib.datasets._samples import ANOMALOUS, GOOD, NORMAL, Sample

CellKind: TypeAlias = Literal["mono", "poly"]
TRAINING_RATIO = 0.6  # of the functional cells; the others are held out


class SolarCell(NamedTuple):
    """A grey electroluminescence photograph of a solar cell, 300x300.

    ``defect_probability`` is 0, 1/3, 2/3 or 1, as experts judged it.
    """

    path: Path
    defect_probability: float


def elpv_cells(kind: CellKind) -> list[SolarCell]:
    """Return the cells of one kind, in the order of the data set."""
    check_option(kind, "kind", "elpv_cells", get_args(CellKind))
    try:
        import elpv_dataset  # noqa: PLC0415 - optional
    except ImportError:
        raise ImportError(
            "The solar cells need the package elpv-dataset. "
            'Run: pip install "adlib-vision[demo]"'
        ) from None
    root = Path(elpv_dataset.__file__).parent / "data"
    with (root / "labels.csv").open(newline="") as file:
        rows = csv.reader(file, delimiter=" ", skipinitialspace=True)
        return [
            SolarCell(root / name, float(probability))
            for name, probability, cell_kind in rows
            if cell_kind == kind
        ]


def elpv_samples(kind: CellKind) -> list[Sample]:
    """Return photographs of solar cells on which experts were sure, as samples.

    There are no masks and no published split: functional cells are for training,
    defective ones for testing, and ``create_clean_split`` holds functional ones out.

    Args:
        kind: "mono" (monocrystalline) or "poly" (polycrystalline).

    Returns:
        The samples in the order of the data set, of a class "elpv-mono" or "elpv-poly".

    Raises:
        ImportError: The package elpv-dataset is not installed.
        ValueError: ``kind`` is neither "mono" nor "poly".

    References:
        1. S. Deitsch et al., "Segmentation of photovoltaic module cells in uncalibrated
           electroluminescence images", Machine Vision and Applications 32, 2021. The
           images are under CC BY-NC-SA 4.0.

    Example:
        >>> from adlib.datasets import elpv_samples
        >>> sorted({sample.defect_type for sample in elpv_samples("mono")})
        ['defective', 'good']
    """
    name = f"elpv-{kind}"
    return [
        Sample(path, NORMAL, GOOD, None, name, "train")
        if probability == 0.0
        else Sample(path, ANOMALOUS, "defective", None, name, "test")
        for path, probability in elpv_cells(kind)
        if probability in (0.0, 1.0)
    ]


def split_cells(
    cells: Sequence[SolarCell], *, n_training: int | None = None, random_state: int = 42
) -> tuple[list[SolarCell], list[SolarCell]]:
    """Return training cells (functional), and test cells (functional, then defective).

    ``n_training`` functional cells, None: 60 %, are drawn by ``random_state``; at least
    one is left to test with.
    """
    functional = [cell for cell in cells if cell.defect_probability == 0.0]
    defective = [cell for cell in cells if cell.defect_probability == 1.0]
    if n_training is None:
        n_training = int(len(functional) * TRAINING_RATIO)
    most = len(functional) - 1
    n_training = check_int(n_training, "n_training", "split_cells", low=1, high=most)
    drawn = np.random.default_rng(random_state).permutation(len(functional))
    training = [functional[i] for i in sorted(drawn[:n_training])]
    held_out = [functional[i] for i in sorted(drawn[n_training:])]
    return training, held_out + defective
