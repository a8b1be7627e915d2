"""What changes between conditions, and whether one method beats another by chance."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from adlib._typing import BoolArray, Int64Array
from adlib.metrics import bootstrap_interval, compute_auroc
from adlib.metrics._paired_tests import corrected_p_values, paired_t_test
from adlib.study import _names as names
from adlib.study._evaluate import N_RESAMPLES, delong_row
from adlib.study._tables import Rows, figures, row, with_means


def compare_conditions(
    after: pd.DataFrame, before: pd.DataFrame, *, random_state: int = 0
) -> pd.DataFrame:
    """Compare two conditions, method by method and class by class.

    Args:
        after: Scores of one condition, as ``read_scores`` has them.
        before: Of another, of the same methods and classes, on the same test images or
            on their shifted twins, in the same order.
        random_state: Of the bootstrap.

    Returns:
        Figures of ``after`` less ``before`` on the test images scored in both: AUROC
        with DeLong's interval and p; F1, recall and specificity at the thresholds of
        the conditions, with intervals by a bootstrap that resamples both conditions'
        images together; and their means over classes.

    Raises:
        ValueError: Methods, classes or images do not match.

    Example:
        >>> import pandas as pd
        >>> from adlib.study import compare_conditions
        >>> def scored(condition, scores):
        ...     return pd.DataFrame({
        ...         "condition": condition, "method": "any", "class": "part",
        ...         "split": "test", "image": list("abcdef"), "defect_type": "good",
        ...         "label": [0, 0, 0, 1, 1, 1], "score": scores,
        ...         "verdict": [-1 if score > 2.5 else 1 for score in scores]})
        >>> before = scored("clean", [1.0, 2, 2, 3, 4, 5])
        >>> found = compare_conditions(scored("shifted", [1.0, 2, 3, 3, 2, 4]), before)
        >>> found[["metric", "value"]].round(3).values.tolist()[0]
        ['auroc', -0.222]
    """
    first, second = (table[table["split"] == "test"] for table in (before, after))
    keys = ["method", "class"]
    sides = [dict(list(table.groupby(keys, sort=False))) for table in (first, second)]
    if sorted(sides[0]) != sorted(sides[1]):
        raise ValueError(
            f"after of compare_conditions must hold the methods and classes of before, "
            f"{list(sides[0])}; got {list(sides[1])}."
        )
    versus = str(first["condition"].iloc[0])
    rows = [
        {**change, "method": method, "class": name}
        for (method, name), one in sides[0].items()
        for change in _changes(one, sides[1][method, name], versus, random_state)
    ]
    return with_means(figures(rows, condition=str(second["condition"].iloc[0])))


def compare_methods(scores: pd.DataFrame) -> pd.DataFrame:
    """Compare the AUROC of two methods on the test images that both scored.

    Args:
        scores: Of one condition, as ``read_scores`` has them, of two methods on the
            same classes and test images.

    Returns:
        Figures of the first method less the second: for each class with DeLong's
        interval and p; as setting "Holm" with that p, corrected for the number of
        classes; and, for several, as class "mean" the paired t-test of their AUROC.

    Raises:
        ValueError: There are not two methods, classes or images differ, or a class has
            fewer than two test images of a kind.

    Example:
        >>> import pandas as pd
        >>> from adlib.study import compare_methods
        >>> tables = [
        ...     pd.DataFrame({
        ...         "condition": "clean", "method": method, "class": "part",
        ...         "split": "test", "image": list("abcdefgh"), "label": [0, 1] * 4,
        ...         "defect_type": "good", "score": scores, "verdict": 1})
        ...     for method, scores in (
        ...         ("A", [1, 3, 2, 4, 1, 2, 3, 5]), ("B", [1, 3, 2, 4, 1, 2, 4, 3]))]
        >>> found = compare_methods(pd.concat(tables))
        >>> found[["method", "versus", "value"]].values.tolist()[0]
        ['A', 'B', 0.125]
    """
    test = scores[scores["split"] == "test"]
    methods = list(test["method"].unique())
    if len(methods) != 2:  # noqa: PLR2004 - a pair
        raise ValueError(
            f"scores of compare_methods must hold two methods; got {methods}."
        )
    rows, aurocs = Rows(), []
    for name, table in test.groupby("class", sort=False):
        one, other = (table[table["method"] == method] for method in methods)
        if list(one["image"]) != list(other["image"]):
            raise ValueError(
                f"scores of compare_methods must hold the same test images of {name!r} "
                "for both methods, in the same order."
            )
        anomalous, *pair = _paired(one, other)
        aurocs.append([compute_auroc(anomalous, values) for values in pair])
        keys = {"versus": methods[1], "class": name}
        rows.append(delong_row(names.AUROC, anomalous, *pair, **keys))
    holm = corrected_p_values([one["p"] for one in rows])
    corrected = zip(rows, holm.tolist(), strict=True)
    rows += [{**one, "setting": "Holm", "p": p} for one, p in corrected]
    if len(aurocs) > 1:
        over = paired_t_test(*np.array(aurocs).T)
        keys = {"n": len(aurocs), "versus": methods[1], "class": names.MEAN}
        keys |= {"setting": "t-test", "p": over.p_value}
        rows.append(row(names.AUROC, over.difference, over.low, over.high, **keys))
    condition = str(test["condition"].iloc[0])
    return figures(rows, condition=condition, method=methods[0])


def _paired(one: pd.DataFrame, other: pd.DataFrame) -> list[Any]:
    """Return labels and both scores of the images that both have scores of."""
    pair = [table["score"].to_numpy(np.float64) for table in (one, other)]
    both = ~np.isnan(pair).any(axis=0)
    anomalous = one["label"].to_numpy(np.int64)[both] == 1
    return [anomalous, *(values[both] for values in pair)]


def _changes(
    before: pd.DataFrame, after: pd.DataFrame, versus: str, random_state: int
) -> Rows:
    """Return the changes of one method on one class."""
    if not _of_same_images(before, after):
        name = before["class"].iloc[0]
        raise ValueError(
            f"after of compare_conditions must hold the test images of {name!r} that "
            "before holds, or their shifted twins, in the same order."
        )
    anomalous, first, second = _paired(before, after)
    scored = before["score"].notna().to_numpy() & after["score"].notna().to_numpy()
    was, now = (
        table["verdict"].to_numpy(np.float64, na_value=0)[scored] < 0
        for table in (before, after)
    )
    rows = [delong_row(names.AUROC, anomalous, second, first, versus=versus)]
    for metric, measure in _OF_VERDICTS.items():

        def difference(i: Int64Array, measure: _Measure = measure) -> float:
            return measure(anomalous[i], now[i]) - measure(anomalous[i], was[i])

        # Percentiles: BCa has no bounds where no image's verdict changes.
        options = {"n_resamples": N_RESAMPLES, "random_state": random_state}
        interval = bootstrap_interval(
            difference, anomalous, method="percentile", **options
        )
        rows.append(row(metric, *interval, n=len(anomalous), versus=versus))
    return rows


def _of_same_images(one: pd.DataFrame, other: pd.DataFrame) -> bool:
    """Ask whether two tables hold the same images, or images and shifted twins."""
    return list(one["defect_type"]) == list(other["defect_type"]) and all(
        first == second or _is_twin(first, second) or _is_twin(second, first)
        for first, second in zip(one["image"], other["image"], strict=True)
    )


def _is_twin(shifted: str, original: str) -> bool:
    """Ask whether a name is that of an image's shifted twin, which holds its own."""
    stem, known = Path(shifted).stem, Path(original).stem
    return stem.endswith("_shifted") and known in stem.removesuffix("_shifted")


def _f1(anomalous: BoolArray, predicted: BoolArray) -> float:
    n = np.count_nonzero(anomalous) + np.count_nonzero(predicted)
    return float(2 * np.count_nonzero(anomalous & predicted) / n)


def _recall(anomalous: BoolArray, predicted: BoolArray) -> float:
    return float(np.count_nonzero(predicted & anomalous) / np.count_nonzero(anomalous))


_Measure: TypeAlias = Callable[[BoolArray, BoolArray], float]
_OF_VERDICTS: dict[str, _Measure] = {
    names.F1: _f1,
    names.RECALL: _recall,
    names.SPECIFICITY: lambda anomalous, predicted: _recall(~anomalous, ~predicted),
}
