"""All pictures of some methods on one class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from adlib.datasets import read_mask
from adlib.images import read_image
from adlib.images._pixels import as_pixels, resize
from adlib.report._confusion_figure import confusion_figure
from adlib.report._curve_figures import (
    Curve,
    precision_recall_curve,
    precision_recall_figure,
    pro_figure,
    roc_curve,
    roc_figure,
)
from adlib.report._map_figures import MapExample, certain_and_uncertain, map_grid
from adlib.report._score_figures import (
    GroupRow,
    breakdown_figure,
    reliability_figure,
    score_figure,
)
from adlib.study import resized_mask

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from adlib.metrics._bootstrap import Interval
    from adlib.metrics._breakdown import Group
    from adlib.metrics._image_metrics import Confusion
    from adlib.study import Predictions, Run

N_EXAMPLES = 5
LONGEST_SIDE = 384  # pixels of an image in a grid


def comparison_figures(runs: Sequence[Run]) -> dict[str, Figure]:
    """Draw some methods on one class together: curves and confusion matrices.

    Args:
        runs: One for each method, all on the same test images of both kinds.

    Returns:
        Figures by name: "roc", "precision_recall", "confusion", and, with masks, "pro".

    Raises:
        ImportError: The extra ``report`` is not installed.
        ValueError: The test images are not of both kinds.

    Example:
        >>> from pathlib import Path
        >>> from adlib.datasets import Sample
        >>> from adlib.report import comparison_figures
        >>> from adlib.study import Predictions, Run, evaluate
        >>> samples = [
        ...     Sample(Path(f"{i}.png"), i % 2, "good", None, "part", "test")
        ...     for i in range(8)]
        >>> scores = Predictions.from_scores([1, 3, 2, 4, 1, 2, 3, 5], samples)
        >>> found = evaluate(scores, samples, 2.5, n_resamples=99)
        >>> sorted(comparison_figures([Run("A", "part", 2.5, scores, scores, found)]))
        ['confusion', 'precision_recall', 'roc']
    """
    name = runs[0].class_name
    anomalous, _ = _usable(runs[0].test)
    figures = {
        "roc": roc_figure([_roc(run) for run in runs], f"{name}: ROC"),
        "precision_recall": precision_recall_figure(
            [_precision_recall(run) for run in runs],
            f"{name}: precision and recall",
            float(anomalous.mean()),
        ),
        "confusion": confusion_figure(
            {run.method: _confusion(run) for run in runs}, f"{name}: test images"
        ),
    }
    located = [run for run in runs if run.curves is not None]
    if located:
        limit = located[0].evaluation.pixel
        assert limit is not None  # there are curves
        curves = [_pro(run) for run in located]
        title = f"{name}: per-region overlap"
        figures["pro"] = pro_figure(curves, title, limit.fpr_limit)
    return figures


def run_figures(run: Run) -> dict[str, Figure]:
    """Draw one method on one class: scores, groups, probabilities, maps.

    Args:
        run: What ``adlib.study.run_on_split`` gave, of images of both kinds.

    Returns:
        Figures by name: "scores", "groups", "reliability" and, with maps, "maps".

    Raises:
        ImageError: An image or mask is unusable.
        ImportError: The extra ``report`` is not installed.
        ValueError: Validation images are not of both kinds.

    Example:
        >>> from pathlib import Path
        >>> from adlib.datasets import Sample
        >>> from adlib.report import run_figures
        >>> from adlib.study import Predictions, Run, evaluate
        >>> samples = [
        ...     Sample(Path(f"{i}.png"), i % 2, "good", None, "part", "test")
        ...     for i in range(8)]
        >>> scores = Predictions.from_scores([1, 3, 2, 4, 1, 2, 3, 5], samples)
        >>> found = evaluate(scores, samples, 2.5, n_resamples=99)
        >>> sorted(run_figures(Run("A", "part", 2.5, scores, scores, found)))
        ['groups', 'reliability', 'scores']
    """
    title = f"{run.class_name}, {run.method}"
    anomalous, scores = _usable(run.test)
    calibration = run.calibration()
    error = f"expected calibration error {calibration.expected_error:.3f}"
    evaluation = run.evaluation
    figures = {
        "scores": score_figure(
            scores, anomalous, {"threshold": run.threshold}, f"{title}: test images"
        ),
        "groups": breakdown_figure(
            {
                "defect types": _rows(evaluation.defect_types),
                "sizes": _rows(evaluation.sizes),
                "positions": _rows(evaluation.positions),
            },
            "share found at the threshold, with 95 % interval",
            title,
        ),
        "reliability": reliability_figure(
            calibration.curve.predicted,
            calibration.curve.observed,
            calibration.curve.counts,
            f"{title}: reliability",
            error,
        ),
    }
    if run.test.maps is not None:
        figures["maps"] = example_grid(run.test, run.threshold, title)
    return figures


def example_grid(
    predictions: Predictions, threshold: float, title: str, n_most: int = N_EXAMPLES
) -> Figure:
    """Draw the images that were judged most and least certainly, rightly and wrongly.

    Args:
        predictions: With maps.
        threshold: Above it an image is called anomalous.
        title: Above all.
        n_most: Images a row, at most.

    Returns:
        The figure, for ``save_figure``.

    Raises:
        ImageError: An image or mask is unusable.
        ImportError: The extra ``report`` is not installed.
        ValueError: There are no maps.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> import numpy as np
        >>> from PIL import Image
        >>> from adlib.datasets import Sample
        >>> from adlib.report import example_grid
        >>> from adlib.study import Predictions
        >>> maps = np.random.default_rng(0).random((1, 32, 32), dtype=np.float32)
        >>> with TemporaryDirectory() as folder:
        ...     Image.new("L", (32, 32), 128).save(Path(folder, "0.png"))
        ...     sample = Sample(Path(folder, "0.png"), 0, "good", None, "part", "test")
        ...     predictions = Predictions((sample,), np.array([0.5]), maps, {})
        ...     figure = example_grid(predictions, 0.9, "part")
        >>> figure.get_suptitle()
        'part'
    """
    maps = predictions.maps
    if maps is None:
        raise ValueError("predictions of example_grid must hold maps; got none.")
    usable = np.flatnonzero(predictions.usable)
    anomalous, scores = _usable(predictions)
    listed = certain_and_uncertain(scores, anomalous, threshold, n_most)
    rows = [
        (heading, [_example(predictions, int(usable[i])) for i in places])
        for heading, places in listed.items()
    ]
    # From what most good pixels stay below to the peak of a usual defect: up to the
    # strangest pixel of all, most defects would stay dark.
    good = usable[~anomalous] if not anomalous.all() else usable
    peaks = usable[anomalous] if anomalous.any() else usable
    low = float(np.median([np.quantile(maps[i], 0.95) for i in good]))
    high = float(np.median([np.max(maps[i]) for i in peaks]))
    return map_grid(rows, (low, max(low, high)), title)


def _example(predictions: Predictions, position: int) -> MapExample:
    sample, maps = predictions.samples[position], predictions.maps
    assert maps is not None  # example_grid looked
    path = sample.image_path
    pixels = as_pixels(read_image(path), str(path))
    # No larger than it is drawn: a grid of whole images would take gigabytes.
    factor = min(1.0, LONGEST_SIDE / max(pixels.shape[:2]))
    height, width = (max(1, round(factor * side)) for side in pixels.shape[:2])
    mask = None
    if sample.mask_path is not None:
        mask = resized_mask(read_mask(sample.mask_path), (height, width))
    return MapExample(
        pixels=resize(pixels, (height, width)),
        anomaly_map=np.asarray(maps[position]),
        mask=mask,
        title=f"{sample.defect_type} {predictions.scores[position]:.4g}",
    )


def _usable(predictions: Predictions) -> tuple[np.ndarray, np.ndarray]:
    usable = predictions.usable
    return predictions.anomalous[usable], predictions.scores[usable]


def _roc(run: Run) -> Curve:
    anomalous, scores = _usable(run.test)
    curve = roc_curve(anomalous, scores)
    called = scores > run.threshold
    point = (float(called[~anomalous].mean()), float(called[anomalous].mean()))
    note = _with_interval(run.evaluation.image.auroc)
    return Curve(
        run.method, curve.false_positive_rates, curve.true_positive_rates, note, point
    )


def _precision_recall(run: Run) -> Curve:
    curve = precision_recall_curve(*_usable(run.test))
    image = run.evaluation.image
    point = None
    if image.recall is not None and image.precision is not None:
        point = (image.recall, image.precision)
    # From a recall of 0 on, where steps begin.
    recalls = np.append(0.0, curve.recalls)
    precisions = np.append(curve.precisions[0], curve.precisions)
    note = _with_interval(image.auprc)
    return Curve(run.method, recalls, precisions, note, point)


def _pro(run: Run) -> Curve:
    assert run.curves is not None  # comparison_figures looked
    assert run.evaluation.pixel is not None
    note = f"{run.evaluation.pixel.aupro:.3f}"
    return Curve(run.method, *run.curves.pro_curve, note)


def _confusion(run: Run) -> Confusion:
    table = run.evaluation.image.confusion
    assert table is not None  # a run has a threshold
    return table


def _with_interval(value: Interval | None) -> str:
    if value is None:
        return ""
    return f"{value.value:.3f} [{value.low:.3f}, {value.high:.3f}]"


def _rows(groups: dict[str, Group]) -> list[GroupRow]:
    return [
        GroupRow(
            name,
            float("nan") if group.recall is None else group.recall,
            float("nan") if group.recall_low is None else group.recall_low,
            float("nan") if group.recall_high is None else group.recall_high,
            group.n_images,
        )
        for name, group in groups.items()
    ]
