"""Where methods fail: which images, of which kind, and whether both fail alike."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.stats import binomtest, mannwhitneyu

from adlib._typing import BoolArray
from adlib.datasets import Sample, read_mask
from adlib.images import read_image
from adlib.images._pixels import as_pixels
from adlib.metrics._breakdown import mask_area_ratio, touches_border
from adlib.study._names import BOTH, FALSE_ALARM, MISSED, OPPOSITE
from adlib.study._predictions import anomalous_of
from adlib.study._tables import Rows, figures, row


def wrong_verdicts(scores: pd.DataFrame, samples: Sequence[Sample]) -> pd.DataFrame:
    """Return which test images of a class each method predicts wrongly.

    A row for each image that all methods scored, by its place among the samples; a
    column for each method.
    """
    test = scores[scores["split"] == "test"]
    wrong = {}
    for method, table in test.groupby("method", sort=False):
        if list(table["image"]) != [sample.image_path.name for sample in samples]:
            raise ValueError(
                f"samples of wrong_verdicts must be the test images that {method} "
                "scored, in the same order."
            )
        found = (table["verdict"] < 0) != (table["label"] == 1)
        wrong[str(method)] = found.reset_index(drop=True)
    return pd.DataFrame(wrong).dropna().astype(bool)


def analyse_errors(scores: pd.DataFrame, samples: Sequence[Sample]) -> pd.DataFrame:
    """Say where methods fail on the test images of one class in one condition.

    Figures: verdicts by defect type; whether two methods fail together, with McNemar's
    exact test; what wrongly predicted images have in common, with Mann and Whitney's
    test (as many are tried at once, one p alone proves little).
    """
    test, wrong = scores[scores["split"] == "test"], wrong_verdicts(scores, samples)
    anomalous = anomalous_of(samples)[wrong.index]
    measured = pd.DataFrame([_measured(sample) for sample in samples]).loc[wrong.index]
    rows = Rows()
    for method in wrong:
        found = _type_rows(test[test["method"] == method])
        found += _pattern_rows(wrong[method].to_numpy(), anomalous, measured)
        rows += [{**one, "method": method} for one in found]
    if len(wrong.columns) > 1:
        agreed = _agreement_rows(wrong, anomalous)
        rows += [{**one, "method": BOTH} for one in agreed]
    keys = {"condition": test["condition"].iloc[0], "class_": test["class"].iloc[0]}
    return figures(rows, **keys)


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
    """Return how many images of each defect type are predicted anomalous, good last."""
    scored = table.dropna(subset="score").sort_values("defect_type")
    ordered = scored.sort_values("label", ascending=False, kind="stable")
    rows = Rows()
    for kind, part in ordered.groupby("defect_type", sort=False):
        keys = {"n": len(part), "setting": f"defect {kind}"}
        n_predicted = int((part["verdict"] < 0).sum())
        rows.append(row("n_predicted_anomalous", n_predicted, **keys))
    return rows


def _agreement_rows(wrong: pd.DataFrame, anomalous: BoolArray) -> Rows:
    """Return how often the first two methods fail on the same images."""
    first, second = wrong.columns[:2]
    one, other = wrong[first].to_numpy(), wrong[second].to_numpy()
    n_first, n_second = int((one & ~other).sum()), int((other & ~one).sum())
    n, differing = len(wrong), n_first + n_second
    counts = {
        "both right": int((~one & ~other).sum()),
        f"only {first} wrong": n_first,
        f"only {second} wrong": n_second,
        "both wrong": int((one & other).sum()),
        # Normal and anomalous images apart.
        "both wrong if independent": sum(
            float(one[kind].sum() * other[kind].sum() / kind.sum())
            for kind in (anomalous, ~anomalous)
            if kind.any()
        ),
    }
    rows = [row("n_images", count, n=n, setting=kind) for kind, count in counts.items()]
    p = float(binomtest(n_first, differing).pvalue) if differing else 1.0
    keys = {"setting": f"only {first} wrong", "versus": f"only {second} wrong"}
    return [*rows, row("n_images", n_first - n_second, n=n, p=p, **keys)]


def _pattern_rows(
    wrong: BoolArray, anomalous: BoolArray, measured: pd.DataFrame
) -> Rows:
    """Return medians of wrongly and of rightly predicted images; of borders shares."""
    rows = Rows()
    for kind, chosen in {MISSED: anomalous, FALSE_ALARM: ~anomalous}.items():
        for quantity in measured:
            values = measured[quantity].to_numpy(np.float64)
            known = chosen & ~np.isnan(values)
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
