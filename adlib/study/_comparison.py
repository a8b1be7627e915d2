"""Whether one method is better than another by more than chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from adlib.metrics import compute_auroc, delong_test, paired_permutation_test
from adlib.metrics._delong import PairedTest
from adlib.metrics._paired_tests import corrected_p_values, paired_t_test
from adlib.study._json import plain
from adlib.study._runs import Run
from adlib.study._tables import text_table


@dataclass(frozen=True)
class ClassComparison:
    """Two methods on the test images of one class.

    Attributes:
        class_name: The class.
        n_images: Test images that both scored.
        auroc: Of the first and of the second method, on these images.
        delong: The first one's AUROC less the second one's.
        permutation_p: Of the same difference, by exchanging scores.
        corrected_p: DeLong's, corrected by Holm for the number of classes.
    """

    class_name: str
    n_images: int
    auroc: tuple[float, float]
    delong: PairedTest
    permutation_p: float
    corrected_p: float


@dataclass(frozen=True)
class MethodComparison:
    """Two methods on the same test images.

    Attributes:
        methods: The first and the second.
        classes: Class by class.
        over_classes: Paired t-test of the classes' AUROC; None for a single class.
    """

    methods: tuple[str, str]
    classes: tuple[ClassComparison, ...]
    over_classes: PairedTest | None

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        found: dict[str, Any] = plain(asdict(self))
        return found


def compare_methods(first: Sequence[Run], second: Sequence[Run]) -> MethodComparison:
    """Compare two methods by AUROC on the test images that both scored.

    Args:
        first: One run of the first method for each class.
        second: Likewise of the second, of the same classes and test images.

    Returns:
        The comparison. P-values of the classes are corrected by Holm for their number.

    Raises:
        ValueError: Classes or images differ, there are none, or a class has fewer than
            two test images of a kind.

    Example:
        >>> from pathlib import Path
        >>> from adlib.datasets import Sample
        >>> from adlib.study import Predictions, Run, compare_methods, evaluate
        >>> samples = [
        ...     Sample(Path(f"{i}.png"), i % 2, "good", None, "part", "test")
        ...     for i in range(8)]
        >>> def run(name, scores):
        ...     found = Predictions.from_scores(scores, samples)
        ...     return Run(name, "part", 3, found, found, evaluate(found, samples))
        >>> first, second = [1, 3, 2, 4, 1, 2, 3, 5], [1, 3, 2, 4, 1, 2, 4, 3]
        >>> compare_methods([run("A", first)], [run("B", second)]).classes[0].auroc
        (0.875, 0.75)
    """
    others = {run.class_name: run for run in second}
    names = [run.class_name for run in first]
    if not names or sorted(names) != sorted(others) or len(names) != len(second):
        raise ValueError(
            "second of compare_methods must hold one run for each class of first, "
            f"{', '.join(names) or 'none'}; got "
            f"{', '.join(run.class_name for run in second) or 'none'}."
        )
    compared = [_compare(run, others[run.class_name]) for run in first]
    p_values = [delong.p_value for _, _, delong, _ in compared]
    corrected = corrected_p_values(p_values, "holm")
    classes = tuple(
        ClassComparison(name, n_images, aurocs, delong, permuted, float(p_value))
        for name, (n_images, aurocs, delong, permuted), p_value in zip(
            names, compared, corrected, strict=True
        )
    )
    over_classes = None
    if len(classes) > 1:
        pairs = np.array([one.auroc for one in classes])
        over_classes = paired_t_test(pairs[:, 0], pairs[:, 1])
    return MethodComparison((first[0].method, second[0].method), classes, over_classes)


def comparison_table(comparison: MethodComparison) -> str:
    """Return a comparison as a table for people.

    Args:
        comparison: What ``compare_methods`` gave.

    Returns:
        A heading, a row for each class, and, for several, a line on their mean.

    Example:
        >>> from adlib.study import MethodComparison, comparison_table
        >>> nothing = MethodComparison(("PatchCore", "PaDiM"), (), None)
        >>> comparison_table(nothing).split()[:5]
        ['class', 'images', 'PatchCore', 'PaDiM', 'difference']
    """
    one, other = comparison.methods
    columns = ["class", "images", one, other, "difference", "95 % interval"]
    columns += ["p DeLong", "p Holm", "p permuted"]
    rows = [
        [
            found.class_name,
            f"{found.n_images}",
            *(f"{auroc:.4f}" for auroc in found.auroc),
            *_difference(found.delong),
            f"{found.delong.p_value:.3g}",
            f"{found.corrected_p:.3g}",
            f"{found.permutation_p:.3g}",
        ]
        for found in comparison.classes
    ]
    table = text_table(columns, rows, n_names=1)
    if comparison.over_classes is None:
        return table
    test = comparison.over_classes
    difference, interval = _difference(test)
    return (
        f"{table}\nMean difference over classes {difference} {interval}, paired t-test "
        f"p = {test.p_value:.3g}"
    )


def _compare(
    first: Run, second: Run
) -> tuple[int, tuple[float, float], PairedTest, float]:
    """Return images, both AUROCs, DeLong's test and the permutation's p-value."""
    if first.test.samples != second.test.samples:
        raise ValueError(
            f"second of compare_methods must hold the same test images of "
            f"{first.class_name!r} as first, in the same order."
        )
    both = first.test.usable & second.test.usable
    anomalous = first.test.anomalous[both]
    scores = first.test.scores[both], second.test.scores[both]
    aurocs = compute_auroc(anomalous, scores[0]), compute_auroc(anomalous, scores[1])
    delong = delong_test(anomalous, *scores)
    permuted = paired_permutation_test(anomalous, *scores)
    return int(both.sum()), aurocs, delong, permuted.p_value


def _difference(test: PairedTest) -> tuple[str, str]:
    return f"{test.difference:+.4f}", f"[{test.low:+.4f}, {test.high:+.4f}]"
