"""The contract that every detector keeps: what a caller sees, written once."""

from __future__ import annotations

import copy
import os
from abc import ABCMeta, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple, Self, overload

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError

from adlib._typing import BoolArray, Float32Array, Float64Array, Int64Array
from adlib._validation import check_image_size, check_ratio, describe, refusal
from adlib.estimators._labels import ANOMALOUS, NORMAL, as_anomalous
from adlib.estimators._left_out import check_left_out, left_out_scores
from adlib.estimators._maps import anomaly_maps, stretched
from adlib.estimators._model_file import ModelContent
from adlib.estimators._normal_images import (
    check_any_usable,
    open_normal,
    warn_of_skipped,
)
from adlib.estimators._patches import Embed, Patches, embed, embed_ahead
from adlib.estimators._results import ImageEmbeddings, Inspection
from adlib.estimators._settings import Settings
from adlib.exceptions import ImageError
from adlib.features import DEFAULT_STRIDES, Backbone, Precision, Runtime
from adlib.images import ColorOrder, Failure, Images, Source, open_source
from adlib.metrics import calibrate_threshold, conformal_threshold


class Scored(NamedTuple):
    """Scores of one batch.

    Attributes:
        image_scores: (n,).
        patch_scores: (n, grid_height, grid_width); not read where there are maps.
        maps: (n, height, width), where image scores are taken from the maps; else None.
    """

    image_scores: Float32Array
    patch_scores: Float32Array
    maps: Float32Array | None = None

    def anomaly_maps(self, size: tuple[int, int]) -> Float32Array:
        """Return the anomaly maps, (n, height, width)."""
        if self.maps is not None:
            return self.maps
        return anomaly_maps(self.patch_scores, size)

    def worst_places(self) -> Float64Array:
        """Return the centre of each image's highest value, (n, 2).

        Rows and columns are shares of the image's height and width, in (0, 1).
        """
        values = self.patch_scores if self.maps is None else self.maps
        n_images, *grid = values.shape
        flat = values.reshape(n_images, -1).argmax(axis=1)
        return (np.stack(np.unravel_index(flat, grid), axis=1) + 0.5) / grid


class AnomalyDetector(BaseEstimator, metaclass=ABCMeta):
    """An estimator that learns from images of good parts and scores new ones.

    Subclasses store their parameters in the constructor and say how to learn and how
    to score patches; sources, errors, progress, maps, thresholds, verdicts and files
    are here.

    Attributes:
        backbone_: The frozen network.
        grid_: (height, width) of the patch grid.
        training_images_: Names of the images learned from, in order.
        skipped_: Images that ``fit`` skipped (``on_error="skip"``), with reasons.
        threshold_: What ``calibrate``, or ``fit`` with ``false_positive_rate``, set; or
            None.
        left_out_scores_: With ``false_positive_rate``, what ``leave_one_out_scores``
            gave in ``fit``, (n_images,) float32; else None.
        learned_with_: The parameters that must not change between fit and scoring.

    Note:
        Threads may score one fitted detector at once, but not while it is being fitted
        or calibrated.
    """

    _frozen: tuple[str, ...] = (
        "backbone",
        "stages",
        "embedding",
        "image_size",
        "precision",
        "runtime",
    )
    _strides: tuple[int, ...] = DEFAULT_STRIDES  # of the stages that None means
    backbone: str
    weights: str | None
    stages: tuple[int, ...] | None
    color: ColorOrder
    max_value: float | None
    precision: Precision
    runtime: Runtime
    false_positive_rate: float | None = None
    backbone_: Backbone
    grid_: tuple[int, int]
    training_images_: list[str]
    skipped_: list[Failure]
    threshold_: float | None
    left_out_scores_: Float32Array | None
    learned_with_: dict[str, Any]

    def __sklearn_tags__(self) -> Any:
        # Not by OutlierMixin, whose fit_predict would need a threshold from fit alone.
        tags = super().__sklearn_tags__()
        tags.estimator_type = "outlier_detector"
        return tags

    @abstractmethod
    def _check_parameters(self) -> Settings:
        """Return the checked shared parameters; raise for any that is wrong."""

    @abstractmethod
    def _new_embedder(self, backbone: Backbone, settings: Settings) -> Embed:
        """Return what turns images into the embeddings that ``_learn`` is given."""

    @abstractmethod
    def _embedder(self) -> Embed:
        """Return what turns images into the embeddings that are scored."""

    @abstractmethod
    def _learn(
        self,
        patches: Iterator[Patches],
        n_images: int | None,
        embedder: Embed,
        settings: Settings,
    ) -> dict[str, Any]:
        """Return the learned attributes, ``grid_`` among them, and set none of them.

        Args:
            patches: What ``embedder`` made of the images.
            n_images: How many there are, skipped ones included, where that is known.
            embedder: What ``_new_embedder`` gave.
            settings: The checked parameters.
        """

    @abstractmethod
    def _score_patches(self, embeddings: Float32Array) -> Scored:
        """Score the patches and images of one batch of embeddings."""

    def _score_left_out(
        self, embeddings: Float32Array, images: Int64Array
    ) -> Float32Array:
        """Score training images as if each had not been learned from.

        Args:
            embeddings: (n, grid_height, grid_width, n_features).
            images: Their numbers in ``training_images_``, (n,).
        """
        raise NotImplementedError(f"{type(self).__name__} cannot leave images out.")

    @abstractmethod
    def _restore(self, content: ModelContent, device: str) -> None:
        """Take over the learned state of a model file, or raise ModelFileError."""

    @abstractmethod
    def save(self, path: str | os.PathLike[str]) -> None:
        """Write everything that scoring needs to one file.

        Args:
            path: The file, which is replaced if it is there; the folder must exist.
        """

    @abstractmethod
    def describe(self) -> dict[str, str]:
        """Return what was learned, as short texts by name."""

    def fit(self, X: Images, y: ArrayLike | None = None) -> Self:
        """Learn what good parts look like.

        Args:
            X: Images of good parts: a folder, a glob, paths, uint8, uint16 or float
                arrays (n, h, w) or (n, h, w, 3), tensors (n, 3, h, w), PIL images, or
                a list, DataLoader or iterator of these.
            y: Labels, (n_images,): +1 normal and -1 anomalous, or numbers 0 normal and
                1 anomalous, or bool. Images that they call anomalous are not learned
                from. None: all images are good.

        Returns:
            The estimator.

        Raises:
            ImageError: An image is unusable and ``on_error`` is "raise", or none is
                left.
            TypeError, ValueError: A parameter, ``X`` or ``y`` is not as stated; or
                ``X`` cannot be read twice, or is too small, for
                ``false_positive_rate``.
            WeightsError: The backbone's weights cannot be had.
            ImportError: A library that the parameters ask for is not installed.

        Note:
            A failed fit leaves the estimator as it was.
        """
        settings = self._check_parameters()
        owner = f"{type(self).__name__}.fit"
        anomalous = None if y is None else as_anomalous(y, owner)
        source = open_normal(X, anomalous, owner, settings.pixel_format)
        rate = self.false_positive_rate
        if rate is not None:
            rate = check_ratio(rate, "false_positive_rate", owner, closed=False)
            check_left_out(X, source.n_items, rate, owner)
        backbone = Backbone(
            self.backbone,
            weights=self.weights,
            stages=self.stages,
            strides=self._strides,
            device=settings.device,
            precision=settings.precision,
            runtime=settings.runtime,
            random_state=settings.random_state,
        )
        embedder = self._new_embedder(backbone, settings)
        names: list[str] = []
        skipped: list[Failure] = []

        def noting() -> Iterator[Patches]:
            for patches in embed(source, embedder, settings, "Reading features"):
                names.extend(patches.batch.names)
                skipped.extend(patches.batch.failures)
                if patches.batch.names:
                    yield patches
            check_any_usable(names, skipped, owner)

        learned = self._learn(noting(), source.n_items, embedder, settings)
        # All on a copy, so that whatever fails from here on changes nothing.
        fitted = copy.copy(self)
        fitted.__dict__.update(
            learned,
            backbone_=backbone,
            training_images_=names,
            skipped_=skipped,
            threshold_=None,
            left_out_scores_=None,
            learned_with_=self._frozen_parameters(),
        )
        if rate is not None:
            left_out = fitted._leave_one_out(source, settings, owner)
            fitted.left_out_scores_ = left_out
            fitted.threshold_ = conformal_threshold(left_out.astype(np.float64), rate)
        warn_of_skipped(skipped)
        self.__dict__.update(fitted.__dict__)
        return self

    def leave_one_out_scores(
        self, X: Images, y: ArrayLike | None = None
    ) -> Float32Array:
        """Score the training images, each as if it alone had not been learned from.

        What an image's own patches say about it does not count, so that good images
        need not be held out to see how good images score.

        Args:
            X: The images that ``fit`` learned from, in the same order.
            y: Their labels, (n_images,) as in ``fit``, where ``fit`` was given labels.

        Returns:
            (n_images,) float32, one for each of ``training_images_``.

        Raises:
            ValueError: ``X`` holds other images, or there are too few.
            ImageError: An image is unusable and ``on_error`` is "raise".
            NotFittedError: ``fit`` was not called.

        Note:
            These are scores of almost, not exactly, the model that scores new images,
            and what a coreset or main directions owe to an image stays; so a threshold
            from them comes without the guarantee that ``calibrate`` gives. Several
            images of one part vouch for each other and score too low.
        """
        owner = f"{type(self).__name__}.leave_one_out_scores"
        settings = self._ready()
        anomalous = None if y is None else as_anomalous(y, owner)
        check_left_out(X, len(self.training_images_), 0.5, owner)
        source = open_normal(X, anomalous, owner, settings.pixel_format)
        return self._leave_one_out(source, settings, owner)

    def _leave_one_out(
        self, source: Source, settings: Settings, owner: str
    ) -> Float32Array:
        patches = embed(source, self._embedder(), settings, "Leaving one out")
        return left_out_scores(
            patches, self.training_images_, self._score_left_out, owner
        )

    def score(self, X: Images, y: object = None) -> Float32Array:
        """Return one anomaly score an image; higher = more anomalous.

        This deviates from scikit-learn, whose ``score`` returns one number for all.

        Args:
            X: Images, as in ``fit``.
            y: Ignored; there for scikit-learn.

        Returns:
            (n_images,) float32; NaN where an image was skipped (``on_error="skip"``),
            with one warning that lists them.

        Raises:
            ImageError: An image is unusable and ``on_error`` is "raise".
            NotFittedError: ``fit`` was not called.
        """
        scores, _, skipped = self._collect(X, with_maps=False)
        warn_of_skipped(skipped)
        return scores

    @overload
    def anomaly_maps(
        self, X: Images, size: tuple[int, int] | None = None
    ) -> Float32Array: ...

    @overload
    def anomaly_maps(
        self, X: Images, size: Literal["original"]
    ) -> list[Float32Array]: ...

    def anomaly_maps(
        self, X: Images, size: tuple[int, int] | Literal["original"] | None = None
    ) -> Float32Array | list[Float32Array]:
        """Return where each image is anomalous; higher = more anomalous.

        Args:
            X: Images, as in ``fit``.
            size: None: maps at ``image_size``; (height, width): stretched to this
                size; "original": each stretched to the size of its own image, as EXIF
                turns it upright. Stretching is bilinear, as overlays show it.

        Returns:
            (n_images, height, width) float32; with "original" a list of (height, width)
            float32. NaN where an image was skipped, at ``image_size`` where its own
            size is asked for. ``inspect`` gives the same maps one by one, in bounded
            memory.

        Raises:
            ImageError: An image is unusable and ``on_error`` is "raise".
            TypeError, ValueError: ``size`` is not as stated.
            NotFittedError: ``fit`` was not called.
        """
        owner = f"{type(self).__name__}.anomaly_maps"
        if size is not None and size != "original":
            if not isinstance(size, Sequence) or isinstance(size, str):
                rule = 'None, "original" or a pair (height, width)'
                raise ValueError(refusal("size", owner, rule, describe(size)))
            size = check_image_size(size, "size", owner)
        _, maps, skipped = self._collect(X, with_maps=True, size=size)
        warn_of_skipped(skipped)
        return maps if size == "original" else np.stack(maps)

    def embeddings(self, X: Images) -> Iterator[ImageEmbeddings]:
        """Yield what the model sees of each image, in order, in one pass.

        Args:
            X: Images, as in ``fit``.

        Yields:
            One ``ImageEmbeddings`` an image. A skipped image has none, and its position
            is missing.

        Raises:
            ImageError: An image is unusable and ``on_error`` is "raise".
            NotFittedError: ``fit`` was not called; raised at once, not when iterated.
        """
        settings, source = self._prepare(X, "embeddings")

        def each() -> Iterator[ImageEmbeddings]:
            for batch, embeddings in self._patches(source, settings, "Reading"):
                named = zip(batch.names, batch.positions, embeddings, strict=True)
                for name, position, patches in named:
                    yield ImageEmbeddings(name, position, patches)

        return each()

    def inspect(self, X: Images) -> Iterator[Inspection]:
        """Yield path, score, verdict and map of each image, in order, in one pass.

        Args:
            X: Images, as in ``fit``; a stream may be endless.

        Yields:
            One ``Inspection`` an image. A skipped image has an ``error`` and no map.

        Raises:
            ImageError: An image is unusable and ``on_error`` is "raise".
            NotFittedError: ``fit`` was not called; raised at once, not when iterated.

        Note:
            Memory is bounded by a batch, however many images there are. Up to
            ``batch_size + 2 * n_workers`` images are read before the first result: for
            a live camera set both to 1. With a ``batch_size`` up to 4 and a source
            of known length the next batch is embedded while one is searched.
        """
        settings, source = self._prepare(X, "inspect")
        return self._inspect(source, settings)

    def _inspect(self, source: Source, settings: Settings) -> Iterator[Inspection]:
        for patches in self._patches(source, settings, "Inspecting"):
            batch = patches.batch
            unseen = None if self.threshold_ is None else ANOMALOUS
            results = {
                failure.position: Inspection(
                    failure.name, float("nan"), unseen, None, failure.reason
                )
                for failure in batch.failures
            }
            if batch.names:
                scored = self._score_patches(patches.embeddings)
                maps = scored.anomaly_maps(settings.image_size)
                worst = (scored.worst_places() * batch.sizes).astype(int).tolist()
                for i, position in enumerate(batch.positions):
                    score = float(scored.image_scores[i])
                    results[position] = Inspection(
                        path=batch.names[i],
                        score=score,
                        verdict=self._verdict(score),
                        map=maps[i],
                        size=batch.sizes[i],
                        worst_pixel=(worst[i][0], worst[i][1]),
                    )
            for position in sorted(results):
                yield results[position]

    def calibrate(
        self,
        X: Images,
        y: ArrayLike | None = None,
        *,
        false_positive_rate: float | None = None,
    ) -> Self:
        """Set the threshold that ``predict`` uses.

        Args:
            X: Images that ``fit`` did not see, as in ``fit``.
            y: Labels, (n_images,): +1 normal and -1 anomalous, or numbers 0 normal and
                1 anomalous. The threshold then maximises F1, of all thresholds there
                are. None: all images are good.
            false_positive_rate: Without labels, the share of good images that may be
                called anomalous, in (0, 1): the chance for a new good image is at most
                that (split conformal). None: 0.05.

        Returns:
            The estimator, with ``threshold_`` set.

        Raises:
            TypeError: ``false_positive_rate`` is no number.
            ImageError: An image is unusable and ``on_error`` is "raise", or none is
                left.
            ValueError: ``y`` lacks one of the classes or does not fit ``X``; both ``y``
                and ``false_positive_rate`` are given; or there are too few images for
                the rate.
            NotFittedError: ``fit`` was not called.
        """
        owner = f"{type(self).__name__}.calibrate"
        if y is None:
            rate = 0.05 if false_positive_rate is None else false_positive_rate
            rate = check_ratio(rate, "false_positive_rate", owner, closed=False)
            scores = self._usable_scores(X)
            self.threshold_ = conformal_threshold(
                scores[~np.isnan(scores)], rate, owner="calibrate"
            )
            return self
        if false_positive_rate is not None:
            rule = "None where y is given, since the threshold then maximises F1"
            raise ValueError(
                refusal("false_positive_rate", owner, rule, repr(false_positive_rate))
            )
        anomalous = as_anomalous(y, owner)
        _check_both_classes(anomalous, owner)
        scores = self._usable_scores(X)
        if len(scores) != len(anomalous):
            rule = f"({len(scores)},), one label for each image of X"
            raise ValueError(refusal("y", owner, rule, describe(anomalous)))
        usable = ~np.isnan(scores)
        _check_both_classes(anomalous[usable], owner)
        self.threshold_ = calibrate_threshold(
            scores[usable & ~anomalous], scores[usable & anomalous]
        )
        return self

    def decision_function(self, X: Images) -> Float64Array:
        """Return ``threshold_ - score``: negative = anomalous, as scikit-learn has it.

        Before ``calibrate`` the threshold counts as 0: the values then rank images, and
        their sign means nothing.

        Args:
            X: Images, as in ``fit``.

        Returns:
            (n_images,) float64.

        Raises:
            ImageError: An image is unusable and ``on_error`` is "raise".
            NotFittedError: ``fit`` was not called.
        """
        scores = self.score(X).astype(np.float64)
        return (self.threshold_ or 0.0) - scores

    def predict(self, X: Images) -> Int64Array:
        """Return a verdict on each image: +1 normal, -1 anomalous.

        Args:
            X: Images, as in ``fit``.

        Returns:
            (n_images,) int64. A skipped image gets -1: a part that could not be seen is
            not known to be good.

        Raises:
            ImageError: An image is unusable and ``on_error`` is "raise".
            NotFittedError: ``fit`` or ``calibrate`` was not called.
        """
        self._check_fitted()
        if self.threshold_ is None:
            raise NotFittedError(
                f"{type(self).__name__} has no threshold yet. Call calibrate with good "
                "images it has not seen, or with labelled ones."
            )
        good = self.score(X).astype(np.float64) <= self.threshold_
        return np.where(good, NORMAL, ANOMALOUS)

    def _verdict(self, score: float) -> int | None:
        if self.threshold_ is None:
            return None
        return NORMAL if score <= self.threshold_ else ANOMALOUS

    def _usable_scores(self, X: Images) -> Float64Array:
        scores = self.score(X).astype(np.float64)
        if np.isnan(scores).all():
            owner = f"{type(self).__name__}.calibrate"
            raise ImageError(f"X of {owner} must hold at least one usable image.")
        return scores

    def _collect(
        self,
        X: Images,
        *,
        with_maps: bool,
        size: tuple[int, int] | Literal["original"] | None = None,
    ) -> tuple[Float32Array, list[Float32Array], list[Failure]]:
        """Return scores, maps on demand, NaN where skipped, and what was skipped."""
        settings, source = self._prepare(X, "anomaly_maps" if with_maps else "score")
        scores: dict[int, float] = {}
        maps: dict[int, Float32Array] = {}
        skipped: list[Failure] = []
        for patches in self._patches(source, settings, "Scoring"):
            skipped.extend(patches.batch.failures)
            if not patches.batch.names:
                continue
            scored = self._score_patches(patches.embeddings)
            positions = patches.batch.positions
            scores.update(zip(positions, scored.image_scores.tolist(), strict=True))
            if with_maps:
                drawn = scored.anomaly_maps(settings.image_size)
                sizes = patches.batch.sizes
                for i, position in enumerate(positions):
                    wanted = sizes[i] if size == "original" else size
                    maps[position] = stretched(drawn[i], wanted)
        n_images = len(scores) + len(skipped)
        if n_images == 0:
            owner = type(self).__name__
            rule = "at least one image"
            raise ValueError(refusal("X", owner, rule, "an empty stream"))
        all_scores = np.full(n_images, np.nan, np.float32)
        for position, score in scores.items():
            all_scores[position] = score
        unseen = size if isinstance(size, tuple) else settings.image_size
        for failure in skipped if with_maps else []:
            maps[failure.position] = np.full(unseen, np.nan, np.float32)
        return all_scores, [maps[i] for i in range(len(maps))], skipped

    def _patches(
        self, source: Source, settings: Settings, description: str
    ) -> Iterator[Patches]:
        """Yield the embeddings to score, batch by batch."""
        return embed_ahead(source, self._embedder(), settings, description)

    def _prepare(self, X: Images, method: str) -> tuple[Settings, Source]:
        settings = self._ready()
        owner = f"{type(self).__name__}.{method}"
        return settings, open_source(X, owner, settings.pixel_format)

    def _ready(self) -> Settings:
        """Return the checked parameters of a fitted detector, or raise."""
        self._check_fitted()
        settings = self._check_parameters()
        for name, learned in self.learned_with_.items():
            now = getattr(self, name)
            if now != learned:
                rule = f"{learned!r}, with which it was fitted"
                remedy = "Call fit again, or set it back."
                owner = type(self).__name__
                raise ValueError(refusal(name, owner, rule, describe(now), remedy))
        return settings

    def _frozen_parameters(self) -> dict[str, Any]:
        """Return the parameters that what is learned depends on in scoring."""
        return {name: getattr(self, name) for name in self._frozen}

    def _check_fitted(self) -> None:
        if not hasattr(self, "backbone_"):
            raise NotFittedError(
                f"This {type(self).__name__} has not learned anything yet. "
                "Call fit with images of good parts first."
            )


def _check_both_classes(anomalous: BoolArray, owner: str) -> None:
    """Raise unless there are normal and anomalous images."""
    if anomalous.all() or not anomalous.any():
        kind = "anomalous" if anomalous.all() else "normal"
        rule = "labels of normal and of anomalous usable images, since F1 needs both"
        remedy = "For good images alone pass false_positive_rate and no y."
        raise ValueError(refusal("y", owner, rule, f"only {kind} ones", remedy))
