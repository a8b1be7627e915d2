"""What labels mean, in either of the two ways that users write them, and a scorer."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from adlib._typing import BoolArray
from adlib._validation import describe, refusal
from adlib.exceptions import InputWarning
from adlib.images import Images
from adlib.metrics import compute_auroc

INLIER, OUTLIER = 1, -1  # scikit-learn's outlier convention


def as_anomalous(y: ArrayLike, owner: str) -> BoolArray:
    """Return which labels say anomalous, (n_images,) bool, or raise.

    ``y`` holds +1 normal and -1 anomalous as ``predict`` gives, or 0 normal and 1
    anomalous as data sets have it, or bool, True anomalous. Only ones mean normal.
    """
    rule = "+1 normal and -1 anomalous, or 0 normal and 1 anomalous, one an image"
    labels = np.asarray(y)
    if labels.ndim != 1 or labels.dtype.kind not in "biuf" or labels.size == 0:
        came, remedy = describe(labels), ""
        if labels.ndim == 0 and labels.dtype.kind == "f":
            came = str(labels)
            remedy = f"Pass false_positive_rate={came} by its name."
        elif labels.ndim == 1 and labels.dtype.kind in "UO":
            remedy = "Compare names, as y == 'bad': True means anomalous."
        raise ValueError(refusal("y", owner, rule, came, remedy))
    if labels.dtype.kind == "b":
        return labels
    values = set(np.unique(labels).tolist())
    if values <= {INLIER, OUTLIER}:
        return np.asarray(labels == OUTLIER)
    if values <= {0, 1}:
        return np.asarray(labels == 1)
    shown = ", ".join(map(str, sorted(values)[:6]))
    raise ValueError(refusal("y", owner, rule, f"the values {shown}"))


def one_is_anomalous(y: ArrayLike) -> bool:
    """Ask whether labels say 1 for anomalous, as those of 0 and 1 and of bool do."""
    labels = np.asarray(y)
    return labels.dtype.kind == "b" or bool((labels == 0).any())


def check_both_classes(anomalous: BoolArray, owner: str) -> None:
    """Raise unless there are normal and anomalous images."""
    if anomalous.all() or not anomalous.any():
        kind = "anomalous" if anomalous.all() else "normal"
        rule = "labels of normal and of anomalous usable images, since F1 needs both"
        remedy = "For good images alone pass false_positive_rate and no y."
        raise ValueError(refusal("y", owner, rule, f"only {kind} ones", remedy))


def check_one_each(labels: BoolArray, n_images: int | None, owner: str) -> None:
    """Raise unless there is one label for each image, as far as these are counted."""
    if n_images is not None and len(labels) != n_images:
        came = f"{len(labels)} labels and {n_images} images"
        raise ValueError(refusal("y", owner, "one label for each image of X", came))


def warn_of_few_normal(anomalous: BoolArray, owner: str) -> None:
    """Warn where most labels say anomalous: 1 may have been meant for good."""
    if 2 * anomalous.sum() > len(anomalous):
        warnings.warn(
            f"y of {owner} labels {anomalous.sum()} of {len(anomalous)} images as "
            "anomalous, which are not learned from. Of 0 and 1, 1 means anomalous; if "
            "1 means good in your labels, pass 1 - y.",
            InputWarning,
            stacklevel=3,
        )


def warn_of_scorers(owner: str) -> None:
    """Warn that scikit-learn's scorers take 1 for the normal label."""
    warnings.warn(
        f"{owner} is higher for normal images, but fit was given labels in which 1 is "
        'anomalous: scorers such as "roc_auc" then give 1 - AUROC. Pass '
        "scoring=adlib.estimators.auroc_scorer, or labels +1 normal and -1 anomalous.",
        InputWarning,
        stacklevel=3,
    )


def auroc_scorer(estimator: Any, X: Images, y: ArrayLike) -> float:
    """Return the image AUROC, for labels of either convention.

    Pass it as ``scoring`` to ``cross_val_score``, ``GridSearchCV`` and so on. Their
    "roc_auc" takes the label 1 as normal and gives 1 - AUROC for labels 0 and 1.

    Args:
        estimator: Fitted, with ``score_samples``: a detector of adlib's or of
            scikit-learn's, or a pipeline that ends in one.
        X: Images, as in ``fit``.
        y: Labels, (n_images,), as in ``fit``.

    Returns:
        In [0, 1]; 1 where all anomalous images score above all normal ones.

    Raises:
        ValueError: ``y`` follows neither convention or lacks one of the kinds, its
            length is not that of ``X``, or an image was skipped.

    Example:
        >>> import numpy as np
        >>> from adlib import PatchCore
        >>> from adlib.estimators import auroc_scorer
        >>> images = np.random.default_rng(0).random((4, 64, 64), dtype=np.float32)
        >>> images[3, 20:40] = 1.0
        >>> model = PatchCore(image_size=64, coreset=0.5).fit(images[:2])
        >>> auroc_scorer(model, images, [0, 0, 0, 1])
        1.0
    """
    anomalous = as_anomalous(y, "auroc_scorer")
    return compute_auroc(anomalous, -estimator.score_samples(X))
