"""Adapt to a shifted domain without a label and without learning anew."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from adlib._typing import Float64Array
from adlib.estimators import AnomalyDetector, PatchCore
from adlib.metrics import (
    compute_accuracy_precision_recall,
    compute_auroc,
    compute_f1_at_threshold,
)
from adlib.study._json import plain, write_json
from adlib.study._predictions import Predictions
from adlib.study._tables import text_table
from adlib.thresholds import calibrate_threshold, transfer_threshold

if TYPE_CHECKING:
    from adlib.datasets import Sample
    from adlib.datasets._splits import ClassSplit
    from adlib.study._runs import Run

N_ADDED = (4, 16)  # shifted good images that a bank is topped up with


@dataclass(frozen=True)
class Adaptation:
    """One way to go on in a shifted domain, and what it is worth there.

    Attributes:
        method: What the model is called.
        class_name: The class.
        way: What was done.
        n_good: Shifted images that somebody had to call good.
        n_unlabelled: Shifted images that were only looked at.
        n_labelled: Shifted images, good and anomalous, that somebody had to label.
        threshold: Where scores were cut.
        auroc: On the shifted test images.
        f1: There, at the threshold.
        recall: There, at the threshold.
        specificity: There, at the threshold.
    """

    method: str
    class_name: str
    way: str
    n_good: int
    n_unlabelled: int
    n_labelled: int
    threshold: float
    auroc: float
    f1: float
    recall: float
    specificity: float

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        found: dict[str, Any] = plain(asdict(self))
        return found


def adapt_threshold(
    clean_val: Predictions, clean_threshold: float, shifted: Run
) -> list[Adaptation]:
    """Set the threshold of a model that stays as it is, by and by with more knowledge.

    Args:
        clean_val: The model's scores of the clean validation images.
        clean_threshold: What it was set to there.
        shifted: The same model on the shifted validation and test images.

    Returns:
        Four ways: the clean threshold as it is; carried over, without a label, by
        median and spread, and by the share called anomalous, each from the scores of
        all shifted validation images; and the best F1 on their labels.

    Raises:
        ValueError: Half of the clean scores are equal, so that they have no spread, or
            the shifted validation or test images are not of both kinds.

    Example:
        >>> from pathlib import Path
        >>> from adlib.datasets import Sample
        >>> from adlib.study import Predictions, Run, adapt_threshold, evaluate
        >>> samples = [
        ...     Sample(Path(f"{i}.png"), i % 2, "good", None, "part", "test")
        ...     for i in range(6)]
        >>> clean = Predictions.from_scores([1, 5, 2, 6, 3, 7], samples)
        >>> moved = Predictions.from_scores([11, 15, 12, 16, 13, 17], samples)
        >>> run = Run("any", "part", 4, moved, moved, evaluate(moved, samples))
        >>> [way.threshold for way in adapt_threshold(clean, 4.0, run)]
        [4.0, 14.0, 13.0, 14.0]
    """
    before = clean_val.scores[clean_val.usable]
    after = shifted.val.scores[shifted.val.usable]
    n_val = len(after)
    moved = transfer_threshold(clean_threshold, before, after)
    same_share = transfer_threshold(clean_threshold, before, after, rule="quantile")
    labelled = calibrate_threshold(*shifted.val.parted())
    judge = _Judge(shifted.method, shifted.class_name, shifted.test)
    return [
        judge("threshold of the clean domain", clean_threshold),
        judge("threshold moved by median and spread", moved, n_unlabelled=n_val),
        judge("threshold at the same share called", same_share, n_unlabelled=n_val),
        judge("threshold of best F1", labelled, n_labelled=n_val),
    ]


def top_up(
    model: PatchCore,
    clean: ClassSplit,
    shifted: ClassSplit,
    clean_threshold: float,
    *,
    n_added: Sequence[int] = N_ADDED,
    seed: int = 0,
) -> Iterator[Adaptation]:
    """Let a fitted memory bank learn a few shifted good images.

    The threshold is carried over by median and spread of the validation scores, which
    needs no label: from those that the model gave the clean images before, to those
    that it gives the shifted ones after.

    Args:
        model: Fitted on the clean domain; it stays as it is.
        clean: Whose validation images the threshold was set on.
        shifted: Whose training images are drawn from, and whose validation images are
            looked at without their labels.
        clean_threshold: The threshold on the clean domain.
        n_added: How many images, each with an entry of its own; the smaller sets are
            parts of the larger. More than there are means all.
        seed: Of the draw.

    Yields:
        One way for each number.

    Raises:
        ValueError: Half of the clean scores are equal, so that they have no spread, or
            the shifted test images are not of both kinds.
        ImageError: An image is unusable.
        NotFittedError: The model was not fitted.
    """
    drawn = np.random.default_rng(seed).permutation(len(shifted.train))
    before = _scores(model, clean.val)
    for wanted in n_added:
        chosen = [shifted.train[place] for place in drawn[:wanted]]
        richer = copy.copy(model)
        richer.partial_fit([sample.image_path for sample in chosen])
        after = _scores(richer, shifted.val)
        threshold = transfer_threshold(clean_threshold, before, after)
        test = Predictions.of(richer, shifted.test, maps=False)
        judge = _Judge(type(model).__name__, shifted.class_name, test)
        yield judge(
            f"bank and {len(chosen)} shifted good images, threshold moved",
            threshold,
            n_good=len(chosen),
            n_unlabelled=len(after),
        )


def adaptation_of(run: Run, way: str, n_good: int) -> Adaptation:
    """Return what learning anew was worth, to stand beside the other ways.

    Args:
        run: Of a model that learned from shifted images, threshold from their labels.
        way: What was done.
        n_good: Images it learned from.

    Returns:
        Its figures on the run's test images, at its threshold.

    Raises:
        ValueError: The test images are not of both kinds.

    Example:
        >>> from pathlib import Path
        >>> from adlib.datasets import Sample
        >>> from adlib.study import Predictions, Run, adaptation_of, evaluate
        >>> samples = [
        ...     Sample(Path(f"{i}.png"), i % 2, "good", None, "part", "test")
        ...     for i in range(6)]
        >>> scores = Predictions.from_scores([1, 5, 2, 6, 3, 7], samples)
        >>> run = Run("any", "part", 4, scores, scores, evaluate(scores, samples))
        >>> adaptation_of(run, "learned anew", 40).n_labelled
        6
    """
    judge = _Judge(run.method, run.class_name, run.test)
    n_labelled = int(run.val.usable.sum())
    return judge(way, run.threshold, n_good=n_good, n_labelled=n_labelled)


def write_adaptations(
    found: Sequence[Adaptation], path: Path, *, notes: Mapping[str, Any] | None = None
) -> None:
    """Write ways to adapt as JSON, whole or not at all.

    Args:
        found: The ways.
        path: The file; its folder is made.
        notes: What the file says beside them.

    Raises:
        OSError: The folder cannot be written to.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from adlib.study import Adaptation, read_adaptations, write_adaptations
        >>> way = Adaptation("any", "part", "none", 0, 0, 0, 4.0, 0.9, 0.8, 0.7, 0.6)
        >>> with TemporaryDirectory() as folder:
        ...     write_adaptations([way], Path(folder, "ways.json"), notes={"seed": 42})
        ...     read_adaptations(Path(folder, "ways.json")) == [way]
        True
    """
    write_json({**(notes or {}), "ways": [one.as_dict() for one in found]}, path)


def read_adaptations(path: Path) -> list[Adaptation]:
    """Read what ``write_adaptations`` wrote.

    Args:
        path: The file.

    Returns:
        The ways, in the file's order; its notes are passed over.

    Raises:
        FileNotFoundError: There is no such file.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from adlib.study import read_adaptations, write_adaptations
        >>> with TemporaryDirectory() as folder:
        ...     write_adaptations([], Path(folder, "ways.json"))
        ...     read_adaptations(Path(folder, "ways.json"))
        []
    """
    content = json.loads(path.read_text(encoding="utf-8"))
    return [Adaptation(**entry) for entry in content["ways"]]


def adaptations_table(found: Sequence[Adaptation]) -> str:
    """Return ways to adapt as a table for people.

    Args:
        found: The ways.

    Returns:
        A heading, and a line for each way.

    Example:
        >>> from adlib.study import Adaptation, adaptations_table
        >>> way = Adaptation("any", "part", "none", 0, 0, 0, 4.0, 0.9, 0.8, 0.7, 0.6)
        >>> print(adaptations_table([way]))
        method  class  way   good  seen  labelled  AUROC     F1  recall  specificity
        any     part   none     0     0         0  0.900  0.800   0.700        0.600
    """
    rows = [
        [
            one.method,
            one.class_name,
            one.way,
            *(f"{n}" for n in (one.n_good, one.n_unlabelled, one.n_labelled)),
            *(f"{x:.3f}" for x in (one.auroc, one.f1, one.recall, one.specificity)),
        ]
        for one in found
    ]
    columns = ["method", "class", "way", "good", "seen", "labelled", "AUROC", "F1"]
    return text_table([*columns, "recall", "specificity"], rows, n_names=3)


@dataclass(frozen=True)
class _Judge:
    """Measures thresholds on one set of test scores."""

    method: str
    class_name: str
    test: Predictions

    def __call__(
        self,
        way: str,
        threshold: float,
        *,
        n_good: int = 0,
        n_unlabelled: int = 0,
        n_labelled: int = 0,
    ) -> Adaptation:
        usable = self.test.usable
        anomalous, scores = self.test.anomalous[usable], self.test.scores[usable]
        rates = compute_accuracy_precision_recall(anomalous, scores > threshold)
        return Adaptation(
            method=self.method,
            class_name=self.class_name,
            way=way,
            n_good=n_good,
            n_unlabelled=n_unlabelled,
            n_labelled=n_labelled,
            threshold=threshold,
            auroc=compute_auroc(anomalous, scores),
            f1=compute_f1_at_threshold(anomalous, scores, threshold),
            recall=rates.recall,
            specificity=rates.specificity,
        )


def _scores(model: AnomalyDetector, samples: Sequence[Sample]) -> Float64Array:
    predictions = Predictions.of(model, samples, maps=False)
    return predictions.scores[predictions.usable]
