"""What every detector shares without a threshold: fit, scores, maps, embeddings."""

from __future__ import annotations

import copy
import os
from abc import ABCMeta, abstractmethod
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from typing import Any, Literal, Self, overload

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError

from adlib._typing import Float32Array, Float64Array, Int64Array
from adlib._validation import check_image_size, describe, refusal
from adlib.estimators._labels import (
    as_anomalous,
    one_is_anomalous,
    warn_of_few_normal,
)
from adlib.estimators._model_file import ModelContent
from adlib.estimators._patches import (
    Embed,
    Pass,
    Patches,
    embed,
    open_normal,
    warn_of_skipped,
)
from adlib.estimators._results import ImageEmbeddings, Scored, stretched
from adlib.estimators._settings import Settings
from adlib.features import Backbone
from adlib.features._backbone import DEFAULT_STRIDES, Precision, Runtime
from adlib.images import Failure, Images, Source, open_source
from adlib.images._pixels import ColorOrder


class BaseDetector(BaseEstimator, metaclass=ABCMeta):
    """Fits and scores; subclasses say how patches are learned and scored."""

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
    image_size: int | tuple[int, int]
    color: ColorOrder
    max_value: float | None
    precision: Precision
    runtime: Runtime
    backbone_: Backbone
    grid_: tuple[int, int]
    training_images_: list[str]
    training_digests_: list[str]
    skipped_: list[Failure]
    learned_with_: dict[str, Any]
    _one_is_anomalous: bool = False  # in the labels that fit was given

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

    @abstractmethod
    def _score_left_out(self, embeddings: Float32Array, images: Int64Array) -> Scored:
        """Score training images as if each had not been in ``fit``.

        Args:
            embeddings: (n, grid_height, grid_width, n_features).
            images: Their numbers in ``training_images_``, (n,).
        """

    @abstractmethod
    def _restore(self, content: ModelContent, device: str) -> None:
        """Take over the learned state of a model file, or raise ModelFileError."""

    @abstractmethod
    def save(self, path: str | os.PathLike[str]) -> None:
        """Write everything that scoring needs to one file.

        Args:
            path: The file, which is replaced if it is there; the folder must exist.
        """

    def _plan_threshold(self, X: Images, n_images: int | None, owner: str) -> None:
        """Raise where ``fit`` is to set a threshold and cannot."""

    def _set_threshold(self, source: Source, settings: Settings, owner: str) -> None:
        """Set what ``fit`` sets of thresholds, once all else is learned."""

    @abstractmethod
    def _describe(self) -> dict[str, str]:
        """Return what was learned, as short texts by name."""

    def fit(self, X: Images, y: ArrayLike | None = None) -> Self:
        """Fit the detector to images of good parts.

        Args:
            X: Images of good parts: a folder, a glob, paths, uint8, uint16 or float
                arrays (n, h, w) or (n, h, w, 3), tensors (n, 3, h, w), PIL images, or
                a list, DataLoader or iterator of these.
            y: Labels, (n_images,): +1 normal and -1 anomalous, or numbers 0 normal and
                1 anomalous, or bool. Anomalous images are left out. None: all are good.

        Returns:
            The estimator.

        Raises:
            ImageError: An image is unusable and ``on_error`` is "raise", or none is
                left.
            TypeError, ValueError: A parameter, ``X`` or ``y`` is not as stated; or
                ``X`` cannot be read twice, or is too small, for
                ``false_positive_rate``.
            WeightsError: The backbone's weights are not available.
            ImportError: A library that the parameters ask for is not installed.

        Note:
            A failed fit leaves the estimator as it was.
        """
        settings = self._check_parameters()
        owner = f"{type(self).__name__}.fit"
        anomalous = None if y is None else as_anomalous(y, owner)
        source = open_normal(X, anomalous, owner, settings.pixel_format)
        zero_one = y is not None and one_is_anomalous(y)
        self._plan_threshold(X, source.n_items, owner)
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
        images = Pass(
            embed(source, embedder, settings, "Reading features", digests=True), owner
        )
        with closing(iter(images)) as batches:
            learned = self._learn(batches, source.n_items, embedder, settings)
        # All on a copy, so that whatever fails from here on changes nothing.
        fitted = copy.copy(self)
        fitted.__dict__.update(
            learned,
            backbone_=backbone,
            training_images_=images.names,
            training_digests_=images.digests,
            skipped_=images.skipped,
            learned_with_=self._frozen_parameters(),
            _one_is_anomalous=zero_one,
        )
        fitted._set_threshold(source, settings, owner)
        warn_of_skipped(images.skipped)
        if anomalous is not None and zero_one:
            warn_of_few_normal(anomalous, owner)
        self.__dict__.update(fitted.__dict__)
        return self

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
        scores, skipped = self._scores(X)
        warn_of_skipped(skipped)
        return scores

    def _scores(self, X: Images) -> tuple[Float32Array, list[Failure]]:
        """Return scores, NaN where skipped, and what was skipped."""
        images = Pass(self._embed(X, "score", "Scoring"))
        scores: list[Float32Array] = []
        for patches in images:  # a comprehension's frame would keep the loop open
            scores.append(self._score_patches(patches.embeddings).image_scores)  # noqa: PERF401
        in_place = np.full(self._count(images), np.nan, np.float32)
        in_place[images.positions] = np.concatenate([*scores, np.empty(0, np.float32)])
        return in_place, images.skipped

    def score_samples(self, X: Images) -> Float64Array:
        """Return ``-score``: higher = more normal, as scikit-learn has it.

        Args:
            X: Images, as in ``fit``.

        Returns:
            (n_images,) float64; NaN where an image was skipped.

        Raises:
            ImageError: An image is unusable and ``on_error`` is "raise".
            NotFittedError: ``fit`` was not called.
        """
        return -self.score(X).astype(np.float64)

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
        if size is not None and not (isinstance(size, str) and size == "original"):
            if not isinstance(size, Sequence) or isinstance(size, str):
                rule = 'None, "original" or a pair (height, width)'
                raise ValueError(refusal("size", owner, rule, describe(size)))
            size = check_image_size(size, "size", owner)
        images = Pass(self._embed(X, "anomaly_maps", "Scoring"))
        maps: dict[int, Float32Array] = {}
        for patches in images:
            drawn = self._score_patches(patches.embeddings).anomaly_maps(self._size)
            for position, own, one in zip(
                patches.positions, patches.sizes, drawn, strict=True
            ):
                maps[position] = stretched(one, own if size == "original" else size)
        unseen = size if isinstance(size, tuple) else self._size
        for failure in images.skipped:
            maps[failure.position] = np.full(unseen, np.nan, np.float32)
        in_order = [maps[position] for position in range(self._count(images))]
        warn_of_skipped(images.skipped)
        return in_order if size == "original" else np.stack(in_order)

    def embeddings(self, X: Images) -> Iterator[ImageEmbeddings]:
        """Yield the patch embeddings of each image, in order, in one pass.

        Args:
            X: Images, as in ``fit``.

        Yields:
            One ``ImageEmbeddings`` an image. A skipped image has none, and its position
            is missing.

        Raises:
            ImageError: An image is unusable and ``on_error`` is "raise".
            NotFittedError: ``fit`` was not called; raised at once, not when iterated.
        """
        return (
            ImageEmbeddings(*one)
            for read in self._embed(X, "embeddings", "Reading")
            for one in zip(read.names, read.positions, read.embeddings, strict=False)
        )

    def _embed(self, X: Images, method: str, description: str) -> Generator[Patches]:
        """Yield the patches to score, batch by batch; check everything at once."""
        settings = self._ready()
        owner = f"{type(self).__name__}.{method}"
        source = open_source(X, owner, settings.pixel_format)
        return embed(source, self._embedder(), settings, description)

    @property
    def _size(self) -> tuple[int, int]:
        """(height, width) of images and maps."""
        return check_image_size(self.image_size, "image_size", type(self).__name__)

    def _count(self, images: Pass) -> int:
        """Return how many images there were, or raise for none."""
        if not images.n_images:
            owner, rule = type(self).__name__, "at least one image"
            raise ValueError(refusal("X", owner, rule, "an empty stream"))
        return images.n_images

    def _ready(self) -> Settings:
        """Return the checked parameters of a fitted detector, or raise."""
        self._check_fitted()
        settings = self._check_parameters()
        for name, learned in self.learned_with_.items():
            rule = f"{learned!r}, with which it was fitted"
            self._check_unchanged(name, learned, rule, "fit again")
        return settings

    def _check_unchanged(self, name: str, then: Any, rule: str, again: str) -> None:
        now = getattr(self, name)
        if now != then:
            owner = type(self).__name__
            remedy = f"Call {again}, or set it back."
            raise ValueError(refusal(name, owner, rule, describe(now), remedy))

    def _frozen_parameters(self) -> dict[str, Any]:
        """Return the parameters that must be the same in ``fit`` and in scoring."""
        return {name: getattr(self, name) for name in self._frozen}

    def _check_fitted(self) -> None:
        if not hasattr(self, "backbone_"):
            raise NotFittedError(
                f"This {type(self).__name__} has not learned anything yet. "
                "Call fit with images of good parts first."
            )
