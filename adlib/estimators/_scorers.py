"""What scikit-learn's model selection is scored by."""

from __future__ import annotations

from typing import Any

from numpy.typing import ArrayLike

from adlib.estimators._labels import as_anomalous
from adlib.images import Images
from adlib.metrics import compute_auroc


def auroc_scorer(estimator: Any, X: Images, y: ArrayLike) -> float:
    """Return the image AUROC, whichever of the two conventions the labels follow.

    It goes where scikit-learn takes ``scoring``: ``cross_val_score``, ``GridSearchCV``
    and the like. Their "roc_auc" takes the label 1 for the normal one, as +1 is, and
    gives 1 - AUROC for labels 0 normal and 1 anomalous.

    Args:
        estimator: Fitted, with ``score_samples``: a detector of adlib's or of
            scikit-learn's, or a pipeline that ends in one.
        X: Images, as in ``fit``.
        y: Labels, (n_images,): +1 normal and -1 anomalous, or 0 normal and 1 anomalous,
            or bool, True anomalous.

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
