"""anomalib's PaDiM behind adlib's contract."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from adlib._random import torch_seeded
from adlib._validation import check_int
from adlib.anomalib._detector import AnomalibDetector, finite_tensor, n_channels
from adlib.estimators._model_file import ModelContent
from adlib.estimators._saving import damaged, tensor_of
from adlib.estimators._settings import Settings
from adlib.exceptions import ImageError
from adlib.features import Backbone

FEWEST = 2  # images that a covariance can be estimated from


@dataclass(kw_only=True, eq=False, repr=False)
class AnomalibPadim(AnomalibDetector):
    """Run anomalib's PaDiM with adlib's weights and images, to compare or to migrate.

    Scores and maps are those of anomalib's ``PadimModel`` for the same normalised
    images. Needs the extra ``anomalib``. ``PaDiM`` is adlib's own; with
    ``PaDiM(stages=(1, 2, 3), embedding="nearest", regularization=0.01001)`` and the
    same channels its patch scores, before they become a map, are the same to 1e-3
    relative. What differs:

    - The covariance, with 0.01 + 1e-5 on its diagonal, is inverted in float32, which
      costs those 1e-3; adlib factors it in float64.
    - An image scores the maximum of its map alone; adlib's "map_max".
    - The map's blur has a sigma of 4 pixels at any size, adlib's is scaled with the
      size; they also differ at the border. Image scores thus differ too.

    ``score`` returns one value per image, unlike scikit-learn's ``score``.

    Args:
        stages: As in ``PatchCore``; None takes those at strides 4, 8 and 16.
        image_size: As in ``PatchCore``, at least 17 pixels.
        n_features: How many features the Gaussians have at most; a random choice of
            all. Memory and time grow with its square.
        batch_size: Images a batch; changes speed and memory, not results on a CPU.
        random_state: Seed of the features chosen and of random weights; None draws new
            ones every time.
        backbone, weights, color, max_value, device, n_workers, on_error, progress: As
            in ``PatchCore``.

    Attributes:
        model_: anomalib's ``PadimModel``, with the weights of ``backbone_``.

    Other attributes are those of ``AnomalyDetector``.

    Note:
        With n images, p positions and d features ``fit`` holds 4 n p d bytes of
        embeddings twice for a moment, then about 16 p d^2 bytes; the model takes
        4 p d^2 bytes. The GPU's path has not been run on a GPU yet.

    References:
        1. S. Akcay et al., "Anomalib: a deep learning library for anomaly detection",
           ICIP 2022.

    Example:
        >>> import numpy as np
        >>> from adlib.anomalib import AnomalibPadim
        >>> good = np.random.default_rng(0).random((4, 64, 64), dtype=np.float32)
        >>> model = AnomalibPadim(image_size=64).fit(good)  # doctest: +SKIP
        >>> model.score(good).shape  # doctest: +SKIP
        (4,)
    """

    n_features: int = 100

    _model_path = ("anomalib.models.image.padim.torch_model", "PadimModel")
    _strides = (4, 8, 16)

    def _describe(self) -> dict[str, str]:
        gaussian = self.model_.gaussian
        n_features, n_positions = gaussian.mean.shape
        megabytes = (gaussian.mean.nbytes + gaussian.inv_covariance.nbytes) / 1e6
        return {
            "Gaussians": f"{n_positions:,} positions, {n_features} of "
            f"{n_channels(self.backbone_)} features, {megabytes:.1f} MB, by anomalib"
        }

    def _saved(self) -> dict[str, torch.Tensor]:
        return {
            "gaussian.mean": self.model_.gaussian.mean,
            "gaussian.inv_covariance": self.model_.gaussian.inv_covariance,
            "features": self.model_.idx,
        }

    def _take_saved(self, model: Any, content: ModelContent) -> None:
        n_available = n_channels(self.backbone_)
        n_features = len(model.idx)
        chosen = tensor_of(content, "features", np.int64, (n_features,))
        inside = (chosen >= 0).all() and (chosen < n_available).all()
        if not inside or len(np.unique(chosen)) < n_features:
            raise damaged("features", f"different numbers below {n_available}")
        n_positions = self.grid_[0] * self.grid_[1]
        shape = (n_features, n_positions)
        model.gaussian.mean = finite_tensor(content, "gaussian.mean", shape)
        shapes = (n_positions, n_features, n_features)
        inverses = finite_tensor(content, "gaussian.inv_covariance", shapes)
        model.gaussian.inv_covariance = _by_columns(inverses)
        model.idx = torch.from_numpy(chosen)

    def _check_parameters(self) -> Settings:
        check_int(self.n_features, "n_features", type(self).__name__, low=1)
        return super()._check_parameters()

    def _options(self, backbone: Backbone) -> dict[str, Any]:
        return {"n_features": min(int(self.n_features), n_channels(backbone))}

    def _fit(self, model: Any, n_kept: int, settings: Settings) -> None:
        if n_kept < FEWEST:
            raise ImageError(
                f"X of {type(self).__name__}.fit must hold at least {FEWEST} usable "
                "normal images, since anomalib's covariance of fewer is not a number; "
                f"got {n_kept}."
            )
        with torch_seeded(settings.random_state, settings.device):
            model.fit()
        gaussian = model.gaussian
        gaussian.inv_covariance = _by_columns(gaussian.inv_covariance)


def _by_columns(matrices: torch.Tensor) -> torch.Tensor:
    """Return matrices, (n, d, d), that lie in memory column by column.

    A CPU's inverses do so already; the products of float32 with matrices that lie row
    by row differ by up to 1e-4, and a loaded model would score other than the saved.
    """
    return matrices.mT.contiguous().mT
