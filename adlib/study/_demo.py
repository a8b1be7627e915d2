"""The demo: learn functional solar cells, score others, and keep what a page needs."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from adlib._typing import BoolArray, Float32Array
from adlib.datasets._elpv import CellKind, elpv_cells, split_cells
from adlib.estimators import PatchCore
from adlib.estimators._results import Explanation
from adlib.metrics import compute_auroc


@dataclass(frozen=True)
class DemoResult:
    """What the demo found.

    Attributes:
        model: The fitted detector.
        paths: The held-out cells, in the order of all that follows.
        defective: Which of them experts called defective, (n_images,).
        scores: Their image scores, (n_images,) float32.
        auroc: Area under the ROC curve of the scores, in [0, 1].
        most: Positions of the most anomalous cells, most anomalous first.
        least: Positions of the least anomalous cells, least anomalous first.
        maps: Anomaly maps of those, (height, width) float32 each, by position.
        explanations: What the most and least anomalous were compared with, by position.
        n_training: Cells learned from.
        fit_seconds: Time to learn them.
        score_seconds: Time to score the held-out ones.
    """

    model: PatchCore
    paths: list[str]
    defective: BoolArray
    scores: Float32Array
    auroc: float
    most: list[int]
    least: list[int]
    maps: dict[int, Float32Array]
    explanations: dict[int, Explanation]
    n_training: int
    fit_seconds: float
    score_seconds: float


def run_demo(
    model: PatchCore,
    *,
    kind: CellKind = "mono",
    n_shown: int = 6,
    n_training: int | None = None,
    random_state: int = 42,
    say: Callable[[str], None] = lambda message: None,
) -> DemoResult:
    """Fit on functional cells and score held-out functional and defective ones.

    Cells on which the experts were unsure (probability 1/3 and 2/3) are left out.

    Returns:
        Scores, maps and explanations, and the times that it took.
    """
    training, held_out = split_cells(
        elpv_cells(kind), n_training=n_training, random_state=random_state
    )
    say(f"Learning {len(training)} functional {kind} cells ...")
    started = time.perf_counter()
    model.fit([cell.path for cell in training])
    fit_seconds = time.perf_counter() - started

    say(f"Scoring {len(held_out)} cells it has not seen ...")
    paths = [str(cell.path) for cell in held_out]
    started = time.perf_counter()
    scores = model.score(paths)
    score_seconds = time.perf_counter() - started

    defective = np.array([cell.defect_probability == 1.0 for cell in held_out])
    order = np.argsort(scores, kind="stable").tolist()
    least, most = order[:n_shown], order[::-1][:n_shown]
    shown = sorted({*most, *least})
    shown_paths = [paths[i] for i in shown]
    maps = dict(zip(shown, model.anomaly_maps(shown_paths), strict=True))
    explanations = dict(zip(shown, model.explain(shown_paths), strict=True))
    return DemoResult(
        model=model,
        paths=paths,
        defective=defective,
        scores=scores,
        auroc=compute_auroc(defective, scores),
        most=most,
        least=least,
        maps=maps,
        explanations=explanations,
        n_training=len(training),
        fit_seconds=fit_seconds,
        score_seconds=score_seconds,
    )
