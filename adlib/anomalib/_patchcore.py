"""anomalib's PatchCore behind adlib's contract."""

from __future__ import annotations

import io
import sys
import warnings
from contextlib import AbstractContextManager, nullcontext, redirect_stderr
from dataclasses import dataclass
from typing import Any

import torch

from adlib._random import numpy_seeded, torch_seeded
from adlib._typing import Float32Array
from adlib._validation import check_int, check_ratio, describe, refusal
from adlib.anomalib._detector import AnomalibDetector, finite_tensor, n_channels
from adlib.estimators._model_file import ModelContent
from adlib.estimators._results import Scored
from adlib.estimators._saving import damaged
from adlib.estimators._settings import Settings
from adlib.features import Backbone


@dataclass(kw_only=True, eq=False, repr=False)
class AnomalibPatchcore(AnomalibDetector):
    """Run anomalib's PatchCore with adlib's weights and images.

    Scores and maps are those of anomalib's ``PatchcoreModel`` for the same normalised
    images. Needs the extra ``anomalib``. ``PatchCore`` is adlib's own; with
    ``PatchCore(aggregation="reweighted")`` ("max" for ``n_neighbors=1``) and the same
    memory bank its image scores are the same to 1e-4 relative. What differs:

    - The coreset is chosen by distances in a sparse random projection, of about 300
      features for 200,000 patches; adlib uses all features.
    - An image scores its highest patch score, weighted by the density around the bank's
      nearest entry; adlib's default is the mean of the highest patch scores.
    - Distances are computed from squares and products in float32: a patch that is in
      the bank does not score exactly 0. adlib's distances are exact.
    - Maps are upsampled by repeating patches, not bilinearly; their blur has a sigma of
      4 pixels at any size, adlib's is scaled with the size.

    ``score`` returns one value per image, unlike scikit-learn's ``score``.

    Args:
        image_size: As in ``PatchCore``, at least 17 pixels.
        coreset: Which fraction of all patches is kept, (0, 1]; at least one
            patch must be, two where ``n_neighbors`` is above 1.
        n_neighbors: How many bank entries the image score is weighted by; with 1 it is
            the highest patch score. May be changed after ``fit``.
        batch_size: Images a batch; changes speed and memory, not results on a CPU.
        progress: Show bars on a terminal, anomalib's for the coreset among them.
        random_state: Seed of the projection, of the coreset's start and of random
            weights; None draws new ones every time.
        backbone, weights, stages, color, max_value, device, n_workers, on_error: As in
            ``PatchCore``.

    Attributes:
        model_: anomalib's ``PatchcoreModel``, with the weights of ``backbone_``.

    Other attributes are those of ``AnomalyDetector``.

    Note:
        ``fit`` holds the embeddings twice, and the coreset takes minutes where adlib's
        takes seconds. anomalib draws from the global generators of torch and NumPy;
        both are seeded for it and put back. It has not been run on a GPU yet.

    References:
        1. S. Akcay et al., "Anomalib: a deep learning library for anomaly detection",
           ICIP 2022.

    Example:
        >>> import numpy as np
        >>> from adlib.anomalib import AnomalibPatchcore
        >>> good = np.random.default_rng(0).random((4, 64, 64), dtype=np.float32)
        >>> model = AnomalibPatchcore(image_size=64).fit(good)  # doctest: +SKIP
        >>> model.score(good).shape  # doctest: +SKIP
        (4,)
    """

    coreset: float = 0.05
    n_neighbors: int = 9

    _model_path = ("anomalib.models.image.patchcore.torch_model", "PatchcoreModel")

    def _describe(self) -> dict[str, str]:
        n_bank, n_features = self.model_.memory_bank.shape
        share = 100 * n_bank / self.n_patches_
        return {
            "memory bank": f"{n_bank:,} of {self.n_patches_:,} patches "
            f"({share:.3g} %), {n_features} features, by anomalib"
        }

    @property
    def n_patches_(self) -> int:
        """How many patches the coreset was chosen from."""
        return len(self.training_images_) * self.grid_[0] * self.grid_[1]

    def _saved(self) -> dict[str, torch.Tensor]:
        return {"memory_bank": self.model_.memory_bank}

    def _take_saved(self, model: Any, content: ModelContent) -> None:
        shape = (None, n_channels(self.backbone_))
        model.memory_bank = finite_tensor(content, "memory_bank", shape)
        if len(model.memory_bank) > self.n_patches_:
            raise damaged("memory_bank", f"at most {self.n_patches_} patches")

    def _check_parameters(self) -> Settings:
        owner = type(self).__name__
        check_ratio(self.coreset, "coreset", owner, closed=True)
        check_int(self.n_neighbors, "n_neighbors", owner, low=1)
        return super()._check_parameters()

    def _options(self, backbone: Backbone) -> dict[str, Any]:
        return {"num_neighbors": int(self.n_neighbors)}

    def _fit(self, model: Any, n_kept: int, settings: Settings) -> None:
        self._check_bank(int(n_kept * float(self.coreset)), n_kept)
        with (
            torch_seeded(settings.random_state, settings.device),
            numpy_seeded(settings.random_state),
            _bar(shown=settings.progress),
            warnings.catch_warnings(),
        ):
            # anomalib warns of an argument that nobody passes.
            warnings.filterwarnings("ignore", "Argument emb", DeprecationWarning)
            model.subsample_embedding(float(self.coreset))

    def _check_bank(self, n_bank: int, n_patches: int) -> None:
        """Raise where anomalib would fail, or weigh an entry by itself alone."""
        fewest = 1 if self.n_neighbors == 1 else 2
        if n_bank < fewest:
            rule = f"such that at least {fewest} of the {n_patches} patches remain"
            owner = type(self).__name__
            raise ValueError(refusal("coreset", owner, rule, describe(self.coreset)))

    def _score_patches(self, embeddings: Float32Array) -> Scored:
        self._check_bank(len(self.model_.memory_bank), self.n_patches_)
        self.model_.num_neighbors = int(self.n_neighbors)
        return super()._score_patches(embeddings)


def _bar(*, shown: bool) -> AbstractContextManager[Any]:
    """Return a context that hides anomalib's bar unless a terminal is to show it."""
    if shown and sys.stderr.isatty():
        return nullcontext()
    return redirect_stderr(io.StringIO())
