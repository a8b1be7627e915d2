"""What changes from one condition to another on the same images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from adlib._typing import BoolArray, Int64Array
from adlib.metrics import bootstrap_interval, compute_auroc, delong_test
from adlib.study._intervals import N_RESAMPLES
from adlib.study._json import plain
from adlib.study._scores import ImageScores
from adlib.study._tables import text_table

METRICS = ("image_auroc", "image_f1", "image_recall", "image_specificity")


@dataclass(frozen=True)
class Change:
    """A figure in two conditions, over the same images.

    Attributes:
        before: In the first.
        after: In the second.
        difference: After less before.
        low: Lower bound of the difference at 95 percent confidence.
        high: Upper bound.
    """

    before: float
    after: float
    difference: float
    low: float
    high: float


@dataclass(frozen=True)
class ModelChange:
    """How one model on one class does in another condition.

    Attributes:
        method: What the model is called.
        class_name: The class.
        n_images: Test images that were scored in both conditions.
        p_value: Of the change of AUROC, by DeLong's test.
        figures: By name: "image_auroc", its bounds by DeLong; and at the thresholds of
            the conditions "image_f1", "image_recall" and "image_specificity", theirs by
            a bootstrap that resamples both conditions' images together.
    """

    method: str
    class_name: str
    n_images: int
    p_value: float
    figures: dict[str, Change]

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        found: dict[str, Any] = plain(asdict(self))
        return found


def changes(
    before: Sequence[ImageScores], after: Sequence[ImageScores], *, seed: int = 0
) -> list[ModelChange]:
    """Compare two conditions, model by model and class by class.

    Args:
        before: Scores in the first condition.
        after: In the second, of the same methods and classes, on the same images or on
            their shifted twins, in the same order.
        seed: Of the bootstrap.

    Returns:
        One change for each of ``before``, in its order.

    Raises:
        ValueError: Methods, classes or images do not match.

    Example:
        >>> import numpy as np
        >>> from adlib.study import ImageScores, changes
        >>> anomalous = np.array([False, False, False, True, True, True])
        >>> def scored(scores):
        ...     return ImageScores("any", "part", tuple("abcdef"), ("good",) * 6,
        ...                        anomalous, np.array(scores), np.array(scores) > 2.5)
        >>> before, after = scored([1.0, 2, 2, 3, 4, 5]), scored([1.0, 2, 3, 3, 2, 4])
        >>> found = changes([before], [after])
        >>> round(found[0].figures["image_auroc"].difference, 3)
        -0.222
    """
    others = {(one.method, one.class_name): one for one in after}
    keys = [(one.method, one.class_name) for one in before]
    if sorted(keys) != sorted(others):
        raise ValueError(
            f"after of changes must hold the methods and classes of before, {keys}; "
            f"got {list(others)}."
        )
    return [_change(one, others[one.method, one.class_name], seed) for one in before]


def changes_table(found: Sequence[ModelChange], metrics: Sequence[str]) -> str:
    """Return changes as a table for people: before, after, difference with interval.

    Args:
        found: What ``changes`` gave.
        metrics: Which figures, by name.

    Returns:
        A heading, and a line for each model, class and figure.

    Example:
        >>> from adlib.study import Change, ModelChange, changes_table
        >>> change = Change(0.9, 0.8, -0.1, -0.2, 0.0)
        >>> found = ModelChange("PatchCore", "part", 40, 0.1, {"image_auroc": change})
        >>> print(changes_table([found], ["image_auroc"]))
        method     class  figure  before   after   change       95 % interval
        PatchCore  part   auroc   0.9000  0.8000  -0.1000  [-0.2000, +0.0000]
    """
    rows = [
        [
            one.method,
            one.class_name,
            name.removeprefix("image_").replace("_", " "),
            f"{change.before:.4f}",
            f"{change.after:.4f}",
            f"{change.difference:+.4f}",
            f"[{change.low:+.4f}, {change.high:+.4f}]",
        ]
        for one in found
        for name, change in one.figures.items()
        if name in metrics
    ]
    columns = ["method", "class", "figure", "before", "after", "change"]
    return text_table([*columns, "95 % interval"], rows, n_names=3)


def mean_changes(found: Sequence[ModelChange]) -> dict[str, dict[str, float]]:
    """Return the mean change over classes, by method and figure.

    Args:
        found: What ``changes`` gave.

    Returns:
        Of each method, "image_auroc", "image_f1", "image_recall" and
        "image_specificity".

    Example:
        >>> from adlib.study import Change, ModelChange, mean_changes
        >>> change = Change(0.9, 0.8, -0.1, -0.2, 0.0)
        >>> names = ("image_auroc", "image_f1", "image_recall", "image_specificity")
        >>> found = ModelChange("any", "part", 40, 0.1, dict.fromkeys(names, change))
        >>> mean_changes([found])["any"]["image_auroc"]
        -0.1
    """
    methods = dict.fromkeys(one.method for one in found)
    return {
        method: {
            name: float(
                np.mean(
                    [
                        one.figures[name].difference
                        for one in found
                        if one.method == method
                    ]
                )
            )
            for name in METRICS
        }
        for method in methods
    }


def _change(before: ImageScores, after: ImageScores, seed: int) -> ModelChange:
    same_images = _originals(before) == _originals(after)
    if before.defect_types != after.defect_types or not same_images:
        raise ValueError(
            f"after of changes must hold the images of {before.class_name!r} that "
            "before holds, or their shifted twins, in the same order."
        )
    both = before.usable & after.usable
    anomalous = before.anomalous[both]
    test = delong_test(anomalous, after.scores[both], before.scores[both])
    auroc = Change(
        compute_auroc(anomalous, before.scores[both]),
        compute_auroc(anomalous, after.scores[both]),
        test.difference,
        test.low,
        test.high,
    )
    called = before.called[both], after.called[both]
    found = {"image_auroc": auroc}
    for name, figure in _OF_VERDICTS.items():
        found[name] = _paired(figure, anomalous, *called, seed)
    return ModelChange(
        before.method, before.class_name, int(both.sum()), test.p_value, found
    )


def _originals(scores: ImageScores) -> list[str]:
    """Return the images' names, shifted ones by what they were made of."""
    return [
        stem.removesuffix("_shifted").removeprefix(f"{kind}_")
        if (stem := name.rpartition(".")[0]).endswith("_shifted")
        else stem
        for name, kind in zip(scores.images, scores.defect_types, strict=True)
    ]


def _paired(
    figure: Callable[[BoolArray, BoolArray], float],
    anomalous: BoolArray,
    before: BoolArray,
    after: BoolArray,
    seed: int,
) -> Change:
    def difference(i: Int64Array) -> float:
        return figure(anomalous[i], after[i]) - figure(anomalous[i], before[i])

    # Percentiles: BCa has no bounds where no image's verdict changes.
    interval = bootstrap_interval(
        difference,
        anomalous,
        n_resamples=N_RESAMPLES,
        method="percentile",
        random_state=seed,
    )
    first, second = figure(anomalous, before), figure(anomalous, after)
    return Change(first, second, second - first, interval.low, interval.high)


def _f1(anomalous: BoolArray, called: BoolArray) -> float:
    found = np.count_nonzero(anomalous & called)
    return float(2 * found / (np.count_nonzero(anomalous) + np.count_nonzero(called)))


def _recall(anomalous: BoolArray, called: BoolArray) -> float:
    return float(np.count_nonzero(called & anomalous) / np.count_nonzero(anomalous))


def _specificity(anomalous: BoolArray, called: BoolArray) -> float:
    normal = ~anomalous
    return float(np.count_nonzero(normal & ~called) / np.count_nonzero(normal))


_OF_VERDICTS: dict[str, Callable[[BoolArray, BoolArray], float]] = {
    "image_f1": _f1,
    "image_recall": _recall,
    "image_specificity": _specificity,
}
