"""PaDiM: the Mahalanobis distance of a patch to the Gaussian at its position."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import chain, islice
from typing import Any, Literal, TypeAlias, get_args

import numpy as np

from adlib._threads import undivided
from adlib._typing import AnyArray, Float32Array, Int64Array
from adlib._validation import (
    check_int,
    check_option,
    check_positive,
    check_ratio,
    refusal,
)
from adlib.estimators._aggregation import top_mean_scores
from adlib.estimators._detector import AnomalyDetector
from adlib.estimators._gaussian import (
    Gaussian,
    GaussianFit,
    left_out_squared,
    mahalanobis,
)
from adlib.estimators._gaussian_cpu import SIDE_BY_SIDE, n_blocks, n_packed
from adlib.estimators._model_file import ModelContent
from adlib.estimators._patches import Embed, Patches
from adlib.estimators._results import Drawing, MapKind, Scored
from adlib.estimators._saving import (
    damaged,
    restore_detector,
    save_detector,
    tensor_of,
)
from adlib.estimators._settings import Settings, check_settings, in_its_threads
from adlib.features import Backbone
from adlib.features._backbone import Precision, Runtime
from adlib.features._embedding import Embedder, Embedding, embedding_length
from adlib.features._weights import DEFAULT_BACKBONE
from adlib.images._align import Reference
from adlib.images._pixels import ColorOrder
from adlib.images._region import RegionLike
from adlib.images._stream import OnError
from adlib.thresholds._log_normal import RateRule

Channels: TypeAlias = Literal["random", "all", "pca"]
GaussianAggregation: TypeAlias = Literal["max", "map_max", "top_mean"]
PCA_IMAGES = 32  # that principal components are computed from


class PaDiM(AnomalyDetector):
    """Detect anomalies by how far a patch is from good ones at the same position.

    A frozen backbone embeds every patch of the training images; at each position of the
    patch grid a Gaussian with mean m and covariance S is fitted to the embeddings. The
    score of a patch x is its Mahalanobis distance, the root of
    (x - m)' (S + e I)^-1 (x - m), with e the ``regularization``; that of an image its
    highest patch score (see ``aggregation``). The time to score does not depend on the
    number of training images. Parts must be at the same place in every image; if not,
    use ``PatchCore``.

    ``score`` returns one value per image, unlike scikit-learn's ``score``.

    Args:
        backbone: Name of a timm network, convolutional or a transformer. The default's
            weights come with pip; "wide_resnet50_2.tv_in1k" is the paper's best.
        weights: "pretrained", the path of a local state dict, or None for random ones;
            "PATH#sha256=HEX" refuses a file that has another SHA-256.
        stages: timm's stage indices; None takes those at strides 8 and 16 or, where
            all have one stride as in a plain ViT, the last. The paper takes three, for
            the default backbone (1, 2, 3).
        image_size: Side in pixels to which images are resized, or (height, width);
            of a transformer, multiples of its patches' size.
        region: Where defects are looked for, in pixels of the images, all of one size:
            the path of a mask, a mask (height, width) of bool or uint8 (not 0: inside),
            or a polygon or several, each of points (x, y). Patches with half of their
            area outside are not learned, scored or calibrated with, and maps are 0
            there. None: everywhere.
        align: A reference image (path, or array (h, w) or (h, w, 3)) of the size of the
            images, for parts that shift and turn by a little: images are moved to lie
            as it does before anything else (extra ``align``), ``region`` is drawn on
            it, and maps and places are put back. One that cannot be aligned has no
            score, whatever ``on_error`` says; ``fit`` refuses it.
        color: Channel order of arrays and tensors: "rgb", or "bgr" as OpenCV has it.
        max_value: What counts as white in 16-bit images and in floats, such as 4095 for
            a camera of 12 bits; None: 65535 and 1.
        embedding: "concat" (3x3 means side by side), "nearest" (no neighbourhood and
            coarse stages repeated, as in the paper) or "paper" (1024 features as
            PatchCore's code pools them).
        channels: Which features of the embedding the Gaussians have: "random" draws
            ``n_channels`` of them, once; "all" keeps all; "pca" projects to the
            first ``n_channels`` principal components of the first 32 images.
        n_channels: How many features "random" and "pca" keep at most; memory and time
            grow with its square. The default is above the 152 of the default backbone,
            which keeps all of them. The paper has 100, or 550 of a wide network.
        regularization: Added to the diagonal of every covariance, above 0; the paper's
            is 0.01.
        aggregation: Image score: "max", the highest patch score; "map_max", the highest
            value of the anomaly map, as in the paper's code; or "top_mean", the mean of
            the ``top_ratio`` highest patch scores.
        top_ratio: Fraction of patches for "top_mean", (0, 1].
        false_positive_rate: None, or the share of good images that may be predicted
            anomalous, in (0, 1): ``fit`` then reads ``X`` twice and sets the threshold
            from ``leave_one_out_scores``, without a guarantee.
        threshold_rule: How good images' scores become thresholds, in ``fit`` and in
            ``calibrate``: "quantile", one of the scores; or "log-normal", from their
            median and upper quartile (see ``log_normal_threshold``). That one allows
            any rate below 0.5 of four images and more, and odd images hardly move it,
            but the rate is an estimate, of ``calibrate`` too.
        review_rate: None, or with ``false_positive_rate`` the share of good images
            whose score may lie above ``review_threshold_``, a higher share: those up to
            the threshold are to be reviewed.
        least_area: Regions of an anomaly map that are smaller count for nothing, in
            pixels of the image; ``calibrate`` and ``false_positive_rate`` then set the
            pixel threshold for the regions that are left.
        zones: None, or rows and columns of zones, such as (3, 4), for parts of which
            one area always scores higher than the rest: each zone then has a pixel
            threshold of its own, ``pixel_threshold_ * zone_scales_``. Image scores and
            verdicts stay as they are. ``fit`` reads ``X`` once more, and scores each
            image without itself, to learn the scales; it needs three images.
        maps: How patch scores become anomaly maps: "paper" upsamples them bilinearly
            and blurs with a sigma of 4 pixels at 224, scaled with ``image_size``;
            "anomalib" blurs as that library does, by 4 pixels at any size,
            and takes no ``region``.
        batch_size: Images a batch; changes speed and memory, not results.
        device: "auto" (the GPU where there is one), "cpu", "cuda" or "cuda:N".
        precision: Of the backbone: "float32", or "bfloat16", faster on some processors.
        runtime: Of the backbone: "torch", or "openvino" (an extra; faster, CPU alone).
        n_workers: Threads that decode, embed and measure; None: one a core that may be
            used (cgroups and ``OMP_NUM_THREADS`` count), and at most 8 decode.
        on_error: "raise" at an unusable image, or "skip" it and warn.
        progress: Show bars on a terminal for what takes longer than two seconds.
        random_state: Seed of the channels that "random" draws and of random weights;
            None draws new ones every time.

    Attributes:
        gaussian_: Means and factors of the Gaussians, a ``Gaussian``.
        channels_: Which features are kept, (n_kept,) int64; None: all.
        directions_: The principal components, (n_features, n_channels) float32, with
            ``channels="pca"``; else None.

    Other attributes are those of ``AnomalyDetector``.

    Note:
        ``fit`` reads images in one pass; its memory does not grow with their number:
        with p positions and d features at most 6 p d^2 bytes on a CPU (9.6 on a GPU)
        beyond a batch of images and the network, which takes in as many images at once
        as there are threads; the model then takes 2 p d^2 bytes.
        Distances have an error of about 1e-6. The same images, seed and versions give
        the same model; on a CPU neither batches nor threads change what is computed
        from the embeddings. On a GPU ``fit`` failed when it was tried; the cause is
        fixed, but it has not been run there since.

    References:
        1. T. Defard et al., "PaDiM: a patch distribution modeling framework for anomaly
           detection and localization", ICPR 2021, equations 1 and 2.

    Example:
        >>> import numpy as np
        >>> from adlib import PaDiM
        >>> good = np.random.default_rng(0).random((4, 64, 64), dtype=np.float32)
        >>> model = PaDiM(image_size=64).fit(good)
        >>> model.score(good).shape
        (4,)
    """

    _frozen = (*AnomalyDetector._frozen, "channels", "n_channels", "regularization")
    _anomalibs = Drawing(scaled=False, border="mirror")
    gaussian_: Gaussian
    channels_: Int64Array | None
    directions_: Float32Array | None

    def __init__(
        self,
        *,
        backbone: str = DEFAULT_BACKBONE,
        weights: str | None = "pretrained",
        stages: tuple[int, ...] | None = None,
        image_size: int | tuple[int, int] = 320,
        region: RegionLike | None = None,
        align: Reference | None = None,
        color: ColorOrder = "rgb",
        max_value: float | None = None,
        embedding: Embedding = "concat",
        channels: Channels = "random",
        n_channels: int = 160,
        regularization: float = 0.1,
        aggregation: GaussianAggregation = "max",
        top_ratio: float = 0.01,
        false_positive_rate: float | None = None,
        threshold_rule: RateRule = "quantile",
        review_rate: float | None = None,
        least_area: float = 0.0,
        zones: tuple[int, int] | None = None,
        maps: MapKind = "paper",
        batch_size: int = 16,
        device: str = "auto",
        precision: Precision = "float32",
        runtime: Runtime = "torch",
        n_workers: int | None = None,
        on_error: OnError = "raise",
        progress: bool = True,
        random_state: int | None = 0,
    ) -> None:
        self.backbone = backbone
        self.weights = weights
        self.stages = stages
        self.image_size = image_size
        self.region = region
        self.align = align
        self.color = color
        self.max_value = max_value
        self.embedding = embedding
        self.channels = channels
        self.n_channels = n_channels
        self.regularization = regularization
        self.aggregation = aggregation
        self.top_ratio = top_ratio
        self.false_positive_rate = false_positive_rate
        self.threshold_rule = threshold_rule
        self.review_rate = review_rate
        self.least_area = least_area
        self.zones = zones
        self.maps = maps
        self.batch_size = batch_size
        self.device = device
        self.precision = precision
        self.runtime = runtime
        self.n_workers = n_workers
        self.on_error = on_error
        self.progress = progress
        self.random_state = random_state

    def _describe(self) -> dict[str, str]:
        n_positions, n_features = self.gaussian_.mean.shape
        megabytes = sum(
            part.nbytes for part in self.gaussian_ if isinstance(part, np.ndarray)
        )
        return {
            "Gaussians": f"{n_positions:,} positions, {n_features} of "
            f"{self._n_embedded(self.backbone_)} features ({self.channels}), "
            f"{megabytes / 1e6:.1f} MB"
        }

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model to one file, whole or not at all; ``adlib.load`` reads it.

        The file holds parameters, threshold, Gaussians, channels and the backbone's
        tensors, so that it scores the same on a machine that can reach no model hub.
        Nothing in it is code.

        Args:
            path: The file, which is replaced if it is there; the folder must exist.

        Raises:
            NotFittedError: ``fit`` was not called.
            OSError: The file cannot be written.
        """
        self._check_fitted()
        tensors = {
            "gaussian.mean": self.gaussian_.mean,
            "gaussian.factors": self.gaussian_.factors,
            "gaussian.spread": self.gaussian_.spread,
            "channels": self.channels_,
            "directions": self.directions_,
        }
        save_detector(self, path, {}, tensors)

    def _restore(self, content: ModelContent, device: str) -> None:
        restore_detector(self, content, device)
        n_embedded = self._n_embedded(self.backbone_)
        self.channels_ = self.directions_ = None
        n_features = n_embedded
        shape: tuple[int | None, ...]
        if self.channels == "random":
            self.channels_ = tensor_of(content, "channels", np.int64, (None,))
            n_features = len(self.channels_)
            limits = np.concatenate([[-1], self.channels_, [n_embedded]])
            if not n_features or (np.diff(limits) <= 0).any():
                raise damaged("channels", f"ascending numbers below {n_embedded}")
        elif self.channels == "pca":
            shape = (n_embedded, None)
            self.directions_ = tensor_of(content, "directions", np.float32, shape)
            n_features = self.directions_.shape[1]
        inside = self._inside()
        n_positions = self.grid_[0] * self.grid_[1]
        if inside is not None:
            n_positions = int(inside.patches.sum())
        shape = (n_positions, n_features)
        mean = tensor_of(content, "gaussian.mean", np.float32, shape)
        blocks, spread = n_blocks(n_positions), None
        size = n_features
        if "gaussian.spread" in content.tensors:
            shape = (blocks, None, SIDE_BY_SIDE)
            spread = tensor_of(content, "gaussian.spread", np.float32, shape)
            size, rest = divmod(spread.shape[1], n_features)
            if not size or rest:
                raise damaged("gaussian.spread", f"columns of {n_features} numbers")
        shape = (blocks, n_packed(size), SIDE_BY_SIDE)
        factors = tensor_of(content, "gaussian.factors", np.float32, shape)
        self.gaussian_ = Gaussian(mean, factors, spread, float(self.regularization))
        self._mahalanobis = mahalanobis(self.gaussian_, device)

    def _check_parameters(self) -> Settings:
        owner = type(self).__name__
        check_option(self.channels, "channels", owner, get_args(Channels))
        check_int(self.n_channels, "n_channels", owner, low=1)
        check_positive(self.regularization, "regularization", owner)
        aggregations = get_args(GaussianAggregation)
        check_option(self.aggregation, "aggregation", owner, aggregations)
        check_ratio(self.top_ratio, "top_ratio", owner, closed=True)
        if callable(self.region):
            rule = "one mask or polygons for all images, as the positions are the same"
            raise TypeError(refusal("region", owner, rule, "a function"))
        return check_settings(self)

    def _n_embedded(self, backbone: Backbone) -> int:
        """Return how many features an embedding has before any are left out."""
        channels = [stage.channels for stage in backbone.stages]
        return embedding_length(self.embedding, channels)

    def _new_embedder(self, backbone: Backbone, settings: Settings) -> Embed:
        if self.channels != "random":
            return Embedder(backbone, settings.embedding)
        n_embedded = self._n_embedded(backbone)
        n_kept = min(self.n_channels, n_embedded)
        rng = np.random.default_rng(settings.random_state)
        kept = np.sort(rng.choice(n_embedded, n_kept, replace=False))
        return Embedder(backbone, settings.embedding, kept.astype(np.int64))

    def _embedder(self) -> Embed:
        return Embedder(
            self.backbone_, self.embedding, self.channels_, self.directions_
        )

    @in_its_threads
    def _learn(
        self,
        patches: Iterator[Patches],
        n_images: int | None,
        embedder: Embed,
        settings: Settings,
    ) -> dict[str, Any]:
        assert isinstance(embedder, Embedder)  # as _new_embedder made it
        grid = (0, 0)

        def each() -> Iterator[Float32Array]:
            nonlocal grid
            for batch in patches:
                grid = batch.grid
                yield batch.embeddings

        batches = each()
        directions = None
        if self.channels == "pca":
            images = (image[None] for batch in batches for image in batch)
            first = np.concatenate(list(islice(images, PCA_IMAGES)))
            directions = _principal_components(first, self.n_channels)
            batches = (_project(part, directions) for part in chain([first], images))
        fit = GaussianFit(self.regularization, settings.device)
        for embeddings in batches:
            fit.add(embeddings.reshape(len(embeddings), -1, embeddings.shape[3]))
        gaussian = fit.finish(progress=settings.progress)
        return {
            "grid_": grid,
            "channels_": embedder.kept,
            "directions_": directions,
            "gaussian_": gaussian,
            "_mahalanobis": mahalanobis(gaussian, settings.device),
        }

    @in_its_threads
    def _score_patches(self, embeddings: Float32Array) -> Scored:
        return self._score_squared(self._squared(embeddings), embeddings.shape[1:3])

    @in_its_threads
    def _score_left_out(self, embeddings: Float32Array, images: Int64Array) -> Scored:
        squared = left_out_squared(
            self._squared(embeddings), len(self.training_images_)
        )
        return self._score_squared(squared, embeddings.shape[1:3])

    @property
    def _by_map(self) -> bool:
        return self.aggregation == "map_max"

    def _squared(self, embeddings: Float32Array) -> Float32Array:
        """Return squared distances, (n_images, n_positions)."""
        n_images, _, _, n_features = embeddings.shape
        return self._mahalanobis.squared(embeddings.reshape(n_images, -1, n_features))

    def _score_squared(self, squared: AnyArray, grid: tuple[int, ...]) -> Scored:
        distances = np.sqrt(squared)
        patch_scores = distances.reshape(-1, *grid)
        if self.aggregation in ("max", "map_max"):
            return Scored(distances.max(axis=1), patch_scores)
        return Scored(top_mean_scores(distances, self.top_ratio), patch_scores)


@undivided()
def _project(embeddings: Float32Array, directions: Float32Array) -> Float32Array:
    return embeddings @ directions


@undivided()
def _principal_components(embeddings: Float32Array, n_most: int) -> Float32Array:
    """Return principal components, (n_features, n) float32, of falling variance."""
    n_features = embeddings.shape[-1]
    mean = embeddings.mean(axis=(0, 1, 2), dtype=np.float64)
    scatter = np.zeros((n_features, n_features))
    for image in embeddings:  # one at a time: float64 takes twice their size
        centred = image.reshape(-1, n_features) - mean
        scatter += centred.T @ centred
    directions = np.linalg.eigh(scatter)[1][:, ::-1][:, :n_most]
    largest = np.abs(directions).argmax(axis=0)
    signs = np.sign(directions[largest, np.arange(directions.shape[1])])
    return np.ascontiguousarray(directions * signs, dtype=np.float32)
