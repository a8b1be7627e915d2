"""What both adapters of anomalib's torch models share (extra ``anomalib``)."""

from __future__ import annotations

import os
import warnings
from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, ClassVar, NoReturn

import numpy as np
import torch

from adlib._random import torch_seeded
from adlib._torch import as_imported, exact, undisturbed
from adlib._typing import AnyArray, Float32Array, Int64Array
from adlib._validation import describe, refusal
from adlib.estimators import AnomalyDetector
from adlib.estimators._model_file import ModelContent
from adlib.estimators._patches import Embed, Patches
from adlib.estimators._results import Scored
from adlib.estimators._saving import damaged, restore_detector, save_detector, tensor_of
from adlib.estimators._settings import Settings, check_settings
from adlib.exceptions import WeightsError
from adlib.features import Backbone
from adlib.features._weights import DEFAULT_BACKBONE, Normalisation, Weights
from adlib.images import Images
from adlib.images._pixels import ColorOrder
from adlib.images._stream import OnError

SMALLEST = 17  # pixels: anomalib's blur reflects 16 of them at each border


@dataclass(frozen=True)
class NormalisedImages:
    """Normalises images, which anomalib's models take instead of embeddings."""

    normalisation: Normalisation
    model: Any = None  # untrained, on its way to _learn
    grid: tuple[int, int] = (0, 0)  # of the model's patches, (height, width)

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Return (n, height, width, 3) from (n, 3, height, width) RGB in [0, 1]."""
        mean, std = (torch.tensor(part).view(3, 1, 1) for part in self.normalisation)
        return ((images - mean) / std).permute(0, 2, 3, 1)


@dataclass(kw_only=True, eq=False, repr=False)
class AnomalibDetector(AnomalyDetector):
    """A detector that learns and scores by a torch model of anomalib, ``model_``.

    Its parameters are the fields, which both adapters have.
    """

    backbone: str = DEFAULT_BACKBONE
    weights: str | None = "pretrained"
    stages: tuple[int, ...] | None = None
    image_size: int | tuple[int, int] = 320
    color: ColorOrder = "rgb"
    max_value: float | None = None
    batch_size: int = 16
    device: str = "auto"
    n_workers: int | None = None
    on_error: OnError = "raise"
    progress: bool = True
    random_state: int | None = 0
    model_: Any = field(init=False)

    _frozen = ("backbone", "stages", "image_size")
    _model_path: ClassVar[tuple[str, str]]  # module and name in anomalib
    # The shared code asks for these; anomalib's models leave no choice of them.
    _aggregated_by = ()
    embedding = "nearest"
    precision = "float32"
    runtime = "torch"

    def embeddings(self, X: Images) -> NoReturn:
        """Refuse: anomalib's models take images and give no patch embeddings.

        Args:
            X: Ignored.

        Raises:
            TypeError: Always.
        """
        raise self._refused("embeddings")

    def leave_one_out_scores(self, X: Images, y: object = None) -> NoReturn:
        """Refuse: anomalib's models cannot score without one of their images.

        Args:
            X: Ignored.
            y: Ignored.

        Raises:
            TypeError: Always.
        """
        raise self._refused("leave_one_out_scores")

    def _score_left_out(self, embeddings: Float32Array, images: Int64Array) -> Scored:
        raise self._refused("leave_one_out_scores")

    def _refused(self, method: str) -> TypeError:
        name = type(self).__name__
        return TypeError(
            f"{name} has no {method}: anomalib's model does not offer it. Use "
            "adlib.PatchCore or adlib.PaDiM."
        )

    @abstractmethod
    def _options(self, backbone: Backbone) -> dict[str, Any]:
        """Return what anomalib's model is constructed with, beyond the network."""

    @abstractmethod
    def _fit(self, model: Any, n_kept: int, settings: Settings) -> None:
        """Let a model learn from what it keeps of the images, or raise.

        PaDiM's model keeps ``n_kept`` images, PatchCore's as many patches.
        """

    @abstractmethod
    def _saved(self) -> dict[str, torch.Tensor]:
        """Return what a model file keeps of the model."""

    @abstractmethod
    def _take_saved(self, model: Any, content: ModelContent) -> None:
        """Give an untrained model what a model file kept, or raise ModelFileError."""

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model to one file, whole or not at all.

        The file holds parameters, threshold, what anomalib's model learned and the
        backbone's tensors. ``adlib.load`` reads it, where anomalib is installed.
        Nothing in it is code.

        Args:
            path: The file, which is replaced if it is there; the folder must exist.

        Raises:
            NotFittedError: ``fit`` was not called.
            OSError: The folder does not exist, is not writable, or the disk is full.
        """
        self._check_fitted()
        saved = self._saved().items()
        tensors = {name: part.contiguous().cpu().numpy() for name, part in saved}
        save_detector(self, path, {}, tensors, ("anomalib",))

    def _restore(self, content: ModelContent, device: str) -> None:
        restore_detector(self, content, device)
        settings = check_settings(self)._replace(device="cpu")
        model, grid = self._new_model(self.backbone_, settings)
        if grid != self.grid_:
            raise damaged("grid", f"{list(grid)}, which image_size gives")
        self._take_saved(model, content)
        self.model_ = model.to(device).eval()

    def _check_parameters(self) -> Settings:
        settings = check_settings(self)
        if min(settings.image_size) < SMALLEST:
            rule = f"at least {SMALLEST} pixels a side, which anomalib's blur needs"
            came, owner = describe(self.image_size), type(self).__name__
            raise ValueError(refusal("image_size", owner, rule, came))
        return settings

    def _new_embedder(self, backbone: Backbone, settings: Settings) -> Embed:
        model, grid = self._new_model(backbone, settings)
        return NormalisedImages(backbone.normalisation, model, grid)

    def _embedder(self) -> Embed:
        return NormalisedImages(self.backbone_.normalisation)

    def _new_model(
        self, backbone: Backbone, settings: Settings
    ) -> tuple[Any, tuple[int, int]]:
        """Return anomalib's untrained model, with adlib's weights, and its grid."""
        owner = type(self).__name__
        kind = _import_model(*self._model_path, owner)
        with torch_seeded(settings.random_state), as_imported():
            model = kind(
                backbone=backbone.name,
                layers=backbone.layers(),
                pre_trained=False,
                **self._options(backbone),
            )
        extractor = model.feature_extractor
        channels = [stage.channels for stage in backbone.stages]
        if list(extractor.out_dims) != channels:  # it drops layers that it cannot find
            rule = f"a network in which anomalib finds {', '.join(backbone.layers())}"
            raise ValueError(refusal("backbone", owner, rule, describe(backbone.name)))
        _fill(extractor.feature_extractor, backbone.state(), backbone.name)
        model.requires_grad_(requires_grad=False)
        with torch.no_grad(), as_imported():
            maps = list(extractor(torch.zeros(1, 3, *settings.image_size)).values())
        if not all(bool(stage.isfinite().all()) for stage in maps):
            raise WeightsError(
                f"anomalib's network of backbone {backbone.name!r} computes the stages "
                "with tensors that adlib's network does not have."
            )
        height, width = maps[0].shape[-2:]
        return model.to(settings.device), (height, width)

    def _learn(
        self,
        patches: Iterator[Patches],
        n_images: int | None,
        embedder: Embed,
        settings: Settings,
    ) -> dict[str, Any]:
        assert isinstance(embedder, NormalisedImages)  # as _new_embedder made it
        model, n_kept = embedder.model.train(), 0
        with torch.no_grad(), exact():
            for batch in patches:
                for images in _images_for(model, batch.embeddings):
                    n_kept += len(model(images))  # which keeps what it returns
            self._fit(model, n_kept, settings)
        return {"grid_": embedder.grid, "model_": model.eval()}

    def _score_patches(self, embeddings: Float32Array) -> Scored:
        scores, maps = [], []
        with undisturbed():
            for images in _images_for(self.model_, embeddings):
                result = self.model_(images)
                scores.append(result.pred_score.reshape(-1).cpu().numpy())
                maps.append(result.anomaly_map[:, 0].cpu().numpy())
        drawn = np.concatenate(maps)
        return Scored(np.concatenate(scores), drawn, drawn)


def _images_for(model: Any, embeddings: Float32Array) -> Iterator[torch.Tensor]:
    """Yield images, (n, 3, height, width), as anomalib's model takes them, there.

    On a CPU one at a time, so that what an image gives cannot depend on its batch; that
    is faster there too, since what lies between then stays in the caches.
    """
    images = torch.from_numpy(embeddings).permute(0, 3, 1, 2).contiguous()
    device = next(model.parameters()).device
    size = 1 if device.type == "cpu" else len(images)
    for first in range(0, len(images), size):
        yield images[first : first + size].to(device)


def n_channels(backbone: Backbone) -> int:
    """Return how many channels the stages have together."""
    return sum(stage.channels for stage in backbone.stages)


def finite_tensor(
    content: ModelContent, name: str, shape: tuple[int | None, ...]
) -> torch.Tensor:
    """Return a float32 tensor of a model file, which must be finite, or raise."""
    array: AnyArray = tensor_of(content, name, np.float32, shape)
    if not array.size or not np.isfinite(array).all():
        raise damaged(name, "finite numbers, one at least")
    return torch.from_numpy(array)


def _import_model(module: str, name: str, owner: str) -> Any:
    """Return a class of anomalib, or raise ImportError that names the extra."""
    try:
        # It imports its other models too, some of which use deprecated functions.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            warnings.simplefilter("ignore", DeprecationWarning)
            return getattr(import_module(module), name)
    except ImportError as error:
        raise ImportError(
            f"{owner} needs anomalib, which cannot be imported ({error}). "
            "Run: pip install 'adlib-vision[anomalib]'"
        ) from error


def _fill(network: Any, weights: Weights, backbone: str) -> None:
    """Put adlib's tensors into anomalib's network.

    adlib's network ends behind the last stage that is read. What anomalib's holds
    beyond becomes NaN: if it were used, no score would be a number.
    """
    # timm flattens names such as "stages.0" to "stages_0" in some networks.
    unfilled = {k.replace(".", "_"): part for k, part in network.state_dict().items()}
    for name, tensor in weights.items():
        place = unfilled.pop(name.replace(".", "_"), None)
        if place is None or place.shape != tensor.shape:
            raise WeightsError(
                f"The weights of backbone {backbone!r} do not fit anomalib's network "
                f"of that name: it has no place for {name!r} of shape "
                f"{tuple(tensor.shape)}."
            )
        place.copy_(tensor)
    for place in unfilled.values():
        if place.is_floating_point():
            place.fill_(torch.nan)
