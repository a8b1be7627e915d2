"""One fitted model on one class's validation and test images, measured."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from adlib.estimators import AnomalyDetector
from adlib.estimators._aggregation import AggregationRow, compare_aggregations
from adlib.metrics import PixelCurves, fit_probabilities
from adlib.metrics._probabilities import (
    ProbabilityMap,
    ReliabilityCurve,
    brier_score,
    expected_calibration_error,
    reliability,
)
from adlib.study._evaluate import evaluate, pixel_curves
from adlib.study._evaluation import Evaluation
from adlib.study._predictions import Chosen, Predictions
from adlib.thresholds import calibrate_threshold, compare_thresholds
from adlib.thresholds._comparison import ThresholdRow

if TYPE_CHECKING:
    from adlib.datasets._splits import ClassSplit


@dataclass(frozen=True, eq=False)
class Run:
    """What a model says of a class, and what that is worth.

    Attributes:
        method: What the model is called.
        class_name: The class.
        threshold: Above it an image is called anomalous; set on validation images.
        val: Scores of the validation images.
        test: Scores and maps of the test images.
        evaluation: Of the test images.

    Example:
        >>> from pathlib import Path
        >>> from adlib.datasets import Sample
        >>> from adlib.study import Predictions, Run, evaluate
        >>> samples = [
        ...     Sample(Path(f"{i}.png"), i % 2, "good", None, "part", "test")
        ...     for i in range(8)]
        >>> scores = Predictions.from_scores([1, 3, 2, 4, 1, 2, 3, 5], samples)
        >>> run = Run("any", "part", 2.5, scores, scores, evaluate(scores, samples))
        >>> [(row.rule, row.threshold) for row in run.threshold_rules()][-1]
        ('best_f1', 1.5)
    """

    method: str
    class_name: str
    threshold: float
    val: Predictions
    test: Predictions
    evaluation: Evaluation

    @cached_property
    def curves(self) -> PixelCurves | None:
        """The test images' curves by pixel and region; None without masks."""
        return pixel_curves(self.test)

    def at(self, threshold: float, *, seed: int = 0) -> Run:
        """Judge the same scores and maps at another threshold.

        Args:
            threshold: Above it an image is called anomalous.
            seed: Of the bootstrap.

        Returns:
            Another run; this one stays as it is.

        Raises:
            TypeError, ValueError: ``threshold`` or ``seed`` is not as stated.
        """
        evaluation = evaluate(
            self.test,
            self.test.samples,
            threshold,
            method=self.method,
            random_state=seed,
        )
        return replace(self, threshold=threshold, evaluation=evaluation)

    def recalibrated(self, *, seed: int = 0) -> Run:
        """Judge the same at the threshold of best F1 on the validation images.

        Args:
            seed: Of the bootstrap.

        Returns:
            Another run; this one stays as it is.

        Raises:
            ValueError: The validation images are not of both kinds.
        """
        return self.at(calibrate_threshold(*self.val.parted()), seed=seed)

    def threshold_rules(self) -> tuple[ThresholdRow, ...]:
        """Set a threshold by each rule on validation; measure it on test images.

        Returns:
            One row a rule; see ``adlib.thresholds.compare_thresholds``.

        Raises:
            ValueError: Validation or test images are not of both kinds.
        """
        normal, anomalous = self.val.parted()
        usable = self.test.usable
        return compare_thresholds(
            normal, anomalous, self.test.anomalous[usable], self.test.scores[usable]
        )

    def aggregations(self) -> tuple[AggregationRow, ...]:
        """Compare ways from a map to one score on the test images.

        Returns:
            One row a way; see ``compare_aggregations``. () without maps.

        Raises:
            ValueError: The test images are not of both kinds.
        """
        if self.test.maps is None:
            return ()
        positions = np.flatnonzero(self.test.usable)
        maps = Chosen(self.test.maps, positions.tolist())
        return compare_aggregations(maps, self.test.anomalous[positions])

    def calibration(self) -> Calibration:
        """Learn probabilities on validation; measure them on test images.

        Returns:
            A logistic map and its errors, by at most 8 bins.

        Raises:
            ValueError: The validation images are not of both kinds.
        """
        val, test = self.val.usable, self.test.usable
        learned = fit_probabilities(
            self.val.anomalous[val], self.val.scores[val], "logistic"
        )
        y, probabilities = self.test.anomalous[test], learned(self.test.scores[test])
        return Calibration(
            learned,
            reliability(y, probabilities, n_bins=8),
            expected_calibration_error(y, probabilities, n_bins=8),
            brier_score(y, probabilities),
        )


@dataclass(frozen=True, eq=False)
class Calibration:
    """A map from scores to probabilities, and how far it can be trusted.

    Validation and test images hold other shares of anomalous ones than a line does, so
    these probabilities are those of the data set.

    Attributes:
        probabilities: Learned on validation images.
        curve: Of the test images.
        expected_error: Expected calibration error of the test images, in [0, 1].
        brier_score: Mean squared error of the test images' probabilities.
    """

    probabilities: ProbabilityMap
    curve: ReliabilityCurve
    expected_error: float
    brier_score: float


def run_on_split(
    model: AnomalyDetector,
    split: ClassSplit,
    *,
    method: str | None = None,
    threshold: float | None = None,
    seed: int = 0,
) -> Run:
    """Let a fitted model look at a split's validation and test images.

    Args:
        model: Fitted on the split's, or other, training images.
        split: Whose validation images the probabilities are learned on.
        method: What the results call the model; None: the name of its class.
        threshold: None: that of the model.
        seed: Of the bootstrap.

    Returns:
        What it says, and what that is worth on the test images.

    Raises:
        ValueError: There is no threshold.
        ImageError: An image or mask is unusable.
    """
    name = type(model).__name__ if method is None else method
    limit = model.threshold_ if threshold is None else threshold
    if limit is None:
        raise ValueError(
            f"threshold of run_on_split must be given, because {name} was saved "
            "without one. Call calibrate with the validation images."
        )
    test = Predictions.of(model, split.test)
    return Run(
        method=name,
        class_name=split.class_name,
        threshold=limit,
        val=Predictions.of(model, split.val, maps=False),
        test=test,
        evaluation=evaluate(test, split.test, limit, method=name, random_state=seed),
    )
