"""Where methods fail: which images, of which kind, and whether both fail alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import binomtest, mannwhitneyu

from adlib._typing import BoolArray
from adlib.datasets import Sample, read_mask
from adlib.images import read_image
from adlib.images._pixels import as_pixels
from adlib.metrics._breakdown import mask_area_ratio, touches_border
from adlib.study import _names as names
from adlib.study._names import FALSE_ALARM, MISSED
from adlib.study._tables import Rows, figures, row

CASE_COLUMNS = (
    *("condition", "class", "method", "image", "defect_type"),
    *("kind", "wrong", "rank", "defect_area", "at_border"),
)
OPPOSITE = {MISSED: "found", FALSE_ALARM: "accepted"}


def analyse_errors(
    scores: pd.DataFrame, samples: Sequence[Sample]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Say where methods fail on the test images of one class in one condition.

    Figures: verdicts by defect type; whether two methods fail together, with McNemar's
    exact test; what wrongly predicted images have in common, with Mann and Whitney's
    test (as many are tried at once, one p alone proves little). And the cases: a row an
    image and method of the images that any method predicts wrongly.
    """
    test = scores[scores["split"] == "test"]
    tables = dict(list(test.groupby("method", sort=False)))
    known = [sample.image_path.name for sample in samples]
    for method, table in tables.items():
        if list(table["image"]) != known:
            raise ValueError(
                f"samples of analyse_errors must be the test images that {method} "
                "scored, in the same order."
            )
    anomalous = np.array([bool(sample.label) for sample in samples])
    usable = np.logical_and.reduce([_scored(table) for table in tables.values()])
    wrong = {
        str(method): usable & (_predicted(table) != anomalous)
        for method, table in tables.items()
    }
    measured = pd.DataFrame([_measured(sample) for sample in samples])
    rows = Rows()
    for method, table in tables.items():
        patterns = _pattern_rows(wrong[str(method)], usable, anomalous, measured)
        rows += [{**one, "method": method} for one in _type_rows(table) + patterns]
    if len(wrong) > 1:
        agreed = _agreement_rows(wrong, usable, anomalous)
        rows += [{**one, "method": names.BOTH} for one in agreed]
    keys = {"condition": test["condition"].iloc[0], "class_": test["class"].iloc[0]}
    return figures(rows, **keys), _cases(tables, wrong, anomalous, measured)


def _scored(table: pd.DataFrame) -> BoolArray:
    return np.asarray(table["score"].notna())


def _predicted(table: pd.DataFrame) -> BoolArray:
    return np.asarray(table["verdict"].to_numpy(np.float64, na_value=0) < 0)


def _measured(sample: Sample) -> dict[str, float]:
    """Return what is known of an image; NaN where it is not."""
    area, border = float("nan"), float("nan")
    if sample.mask_path is not None:
        mask = read_mask(sample.mask_path)
        area, border = mask_area_ratio(mask), float(touches_border(mask))
    pixels = as_pixels(read_image(sample.image_path), str(sample.image_path))
    found = {"defect_area": area, "at_border": border}
    return found | {"brightness": float(pixels.mean()), "contrast": float(pixels.std())}


def _type_rows(table: pd.DataFrame) -> Rows:
    """Return how many images of each defect type are predicted anomalous."""
    good = set(table.loc[table["label"] == 0, "defect_type"])  # last, after the defects
    kinds = sorted(set(table["defect_type"]), key=lambda kind: (kind in good, kind))
    scored, predicted = _scored(table), _predicted(table)
    rows = Rows()
    for kind in kinds:
        of = np.asarray(table["defect_type"] == kind)
        keys = {"n": int((scored & of).sum()), "setting": f"defect {kind}"}
        rows.append(row("n_predicted_anomalous", int((predicted & of).sum()), **keys))
    return rows


def _agreement_rows(
    wrong: Mapping[str, BoolArray], usable: BoolArray, anomalous: BoolArray
) -> Rows:
    """Return how often the first two methods fail on the same images."""
    (first, one), (second, other) = list(wrong.items())[:2]
    n_first, n_second = int((one & ~other).sum()), int((other & ~one).sum())
    expected = 0.0  # if they failed independently, normal and anomalous images apart
    for kind in (anomalous & usable, ~anomalous & usable):
        if kind.any():
            expected += float(one[kind].sum() * other[kind].sum() / kind.sum())
    n, differing = int(usable.sum()), n_first + n_second
    counts = {
        "both right": int((usable & ~one & ~other).sum()),
        f"only {first} wrong": n_first,
        f"only {second} wrong": n_second,
        "both wrong": int((one & other).sum()),
        "both wrong if independent": expected,
    }
    rows = [row("n_images", count, n=n, setting=kind) for kind, count in counts.items()]
    p = float(binomtest(n_first, differing).pvalue) if differing else 1.0
    keys = {"setting": f"only {first} wrong", "versus": f"only {second} wrong"}
    return [*rows, row("n_images", n_first - n_second, n=n, p=p, **keys)]


def _pattern_rows(
    wrong: BoolArray, usable: BoolArray, anomalous: BoolArray, measured: pd.DataFrame
) -> Rows:
    """Return medians of wrongly and of rightly predicted images; of borders shares."""
    rows = Rows()
    for kind, chosen in {MISSED: anomalous, FALSE_ALARM: ~anomalous}.items():
        for quantity in measured:
            values = measured[quantity].to_numpy(np.float64)
            known = usable & chosen & ~np.isnan(values)
            bad, right = values[known & wrong], values[known & ~wrong]
            if not len(bad) or not len(right):
                continue
            # A share says more of what is there or not than a median.
            middle = np.mean if quantity == "at_border" else np.median
            p = float(mannwhitneyu(bad, right).pvalue)
            for name, some, of_test in ((kind, bad, p), (OPPOSITE[kind], right, None)):
                keys = {"n": len(some), "p": of_test, "setting": f"pattern {name}"}
                rows.append(row(str(quantity), float(middle(some)), **keys))
    return rows


def _cases(
    tables: Mapping[Any, pd.DataFrame],
    wrong: Mapping[str, BoolArray],
    anomalous: BoolArray,
    measured: pd.DataFrame,
) -> pd.DataFrame:
    """Return the images that any method predicts wrongly, a row a method."""
    n_wrong = np.sum(list(wrong.values()), axis=0)
    order = np.argsort(-n_wrong, kind="stable")[: np.count_nonzero(n_wrong)].tolist()
    sides = []
    for method, table in tables.items():
        normal = table.loc[_scored(table) & ~anomalous, "score"].to_numpy()
        found = table.iloc[order]
        sides.append(
            found.assign(
                kind=np.where(anomalous[order], MISSED, FALSE_ALARM),
                wrong=wrong[str(method)][order].astype(int),
                rank=[float(np.mean(normal < score)) for score in found["score"]],
                defect_area=measured["defect_area"].to_numpy()[order],
                at_border=measured["at_border"].to_numpy()[order],
                place=range(len(order)),
            )
        )
    both = pd.concat(sides).sort_values("place", kind="stable", ignore_index=True)
    return both[list(CASE_COLUMNS)]
