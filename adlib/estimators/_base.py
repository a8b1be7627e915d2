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

from adlib._typing import Float32Array, Float64Array, Int64Array
from adlib._validation import (
    check_finite,
    check_image_size,
    check_ratio,
    describe,
    refusal,
)
from adlib.estimators._calibration import (
    Calibration,
    Candidates,
    calibration,
    collect,
    left_out_calibration,
    threshold_text,
)
from adlib.estimators._labels import (
    ANOMALOUS,
    NORMAL,
    as_anomalous,
    check_both_classes,
    check_one_each,
    one_is_anomalous,
    warn_of_few_normal,
    warn_of_scorers,
)
from adlib.estimators._left_out import check_left_out, check_same_images
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
from adlib.features import DEFAULT_STRIDES, Backbone, Precision, Runtime
from adlib.images import ColorOrder, Failure, Images, Source, open_source


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
        training_digests_: A digest of each one's pixels, by which ``calibrate`` knows
            it again; empty where the model comes from an earlier version.
        skipped_: Images that ``fit`` skipped (``on_error="skip"``), with reasons.
        threshold_: What ``calibrate``, or ``fit`` with ``false_positive_rate``, set; or
            None. It may be set by hand, to a finite number.
        pixel_threshold_: Set with it: above it a pixel of an anomaly map is drawn as
            anomalous; or None.
        calibration_: How both came about, a ``Calibration``; or None.
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
    _aggregated_by: tuple[str, ...] = ("aggregation", "top_ratio")
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
    training_digests_: list[str]
    skipped_: list[Failure]
    threshold_: float | None
    pixel_threshold_: float | None
    calibration_: Calibration | None
    left_out_scores_: Float32Array | None
    learned_with_: dict[str, Any]
    _one_is_anomalous: bool = False  # in the labels that fit was given

    def __sklearn_tags__(self) -> Any:
        # Not by OutlierMixin, whose fit_predict would predict learned images.
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

    @abstractmethod
    def _score_left_out(self, embeddings: Float32Array, images: Int64Array) -> Scored:
        """Score training images as if each had not been learned from.

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

    @abstractmethod
    def _describe(self) -> dict[str, str]:
        """Return what was learned, as short texts by name."""

    def describe(self) -> dict[str, str]:
        """Return what was learned and how the threshold was set, as texts by name.

        Raises:
            NotFittedError: ``fit`` was not called.
            TypeError, ValueError: ``threshold_`` was set to no finite number.
        """
        self._check_fitted()
        text = threshold_text(self._threshold(), self.calibration_)
        return {**self._describe(), "threshold": text}

    def fit(self, X: Images, y: ArrayLike | None = None) -> Self:
        """Learn what good parts look like.

        Args:
            X: Images of good parts: a folder, a glob, paths, uint8, uint16 or float
                arrays (n, h, w) or (n, h, w, 3), tensors (n, 3, h, w), PIL images, or
                a list, DataLoader or iterator of these.
            y: Labels, (n_images,): +1 normal and -1 anomalous, or numbers 0 normal and
                1 anomalous, or bool. Anomalous images are not learned from. None: all
                are good.

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
        zero_one = y is not None and one_is_anomalous(y)
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
        digests: list[str] = []
        skipped: list[Failure] = []

        def noting() -> Iterator[Patches]:
            reading = "Reading features"
            for patches in embed(source, embedder, settings, reading, digests=True):
                names.extend(patches.batch.names)
                digests.extend(patches.digests)
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
            training_digests_=digests,
            skipped_=skipped,
            left_out_scores_=None,
            learned_with_=self._frozen_parameters(),
            _one_is_anomalous=zero_one,
        )
        fitted._take_over(None)
        if rate is not None:
            left_out = fitted._leave_one_out(source, settings, owner)
            fitted.left_out_scores_ = left_out.scores.astype(np.float32)
            fitted._take_over(left_out_calibration(left_out, rate, owner))
        warn_of_skipped(skipped)
        if anomalous is not None and zero_one:
            warn_of_few_normal(anomalous, owner)
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
            These are scores of almost, not exactly, the model that scores new images:
            the coreset or the principal components were still selected with the image.
            So a threshold from them comes without the guarantee that ``calibrate``
            gives. Images of the same part lower each other's scores.
        """
        owner = f"{type(self).__name__}.leave_one_out_scores"
        settings = self._ready()
        anomalous = None if y is None else as_anomalous(y, owner)
        check_left_out(X, len(self.training_images_), 0.5, owner)
        source = open_normal(X, anomalous, owner, settings.pixel_format)
        left_out = self._leave_one_out(source, settings, owner)
        return left_out.scores.astype(np.float32)

    def _leave_one_out(
        self, source: Source, settings: Settings, owner: str
    ) -> Candidates:
        patches = check_same_images(
            embed(source, self._embedder(), settings, "Leaving one out", digests=True),
            self.training_images_,
            self.training_digests_,
            owner,
        )
        return collect(patches, self._score_left_out, settings.image_size)[0]

    def fit_predict(self, X: Images, y: ArrayLike | None = None) -> Int64Array:
        """Fit, and return a verdict on each image: +1 normal, -1 anomalous.

        Training images are judged by their ``left_out_scores_``, each as if it had not
        been learned from.

        Args:
            X: Images, as in ``fit``; they are read three times.
            y: Labels, (n_images,), as in ``fit``; or None.

        Returns:
            (n_images,) int64; -1 for a skipped image.

        Raises:
            ImageError, TypeError, ValueError: As ``fit``; or ``false_positive_rate`` is
                None, so that ``fit`` would set no threshold.
        """
        owner = f"{type(self).__name__}.fit_predict"
        if self.false_positive_rate is None:
            rule = "a number in (0, 1), so that fit sets a threshold"
            remedy = "Or call fit, then calibrate, then predict."
            came = "None"
            raise ValueError(refusal("false_positive_rate", owner, rule, came, remedy))
        self.fit(X, y)  # which warns of skipped images
        verdicts = self._verdicts(self._collect(X, with_maps=False)[0])
        learned = np.ones(len(verdicts), np.bool_)
        learned[[failure.position for failure in self.skipped_]] = False
        if y is not None:
            learned &= ~as_anomalous(y, owner)
        assert self.left_out_scores_ is not None  # fit has a rate
        verdicts[learned] = self._verdicts(self.left_out_scores_)
        return verdicts

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
        if size is not None and not (isinstance(size, str) and size == "original"):
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
            for read in self._patches(source, settings, "Reading"):
                batch = read.batch
                named = zip(batch.names, batch.positions, read.embeddings, strict=True)
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
                predicted anomalous, in (0, 1): the chance for a new good image is at
                most that (split conformal). None: 0.05.

        Returns:
            The estimator, with ``threshold_``, ``pixel_threshold_`` and
            ``calibration_`` set.

        Raises:
            TypeError: ``false_positive_rate`` is no number.
            ImageError: An image is unusable and ``on_error`` is "raise", or none is
                left.
            ValueError: ``y`` lacks one of the classes, does not fit ``X`` or is the
                wrong way round; ``fit`` learned from half of the good images or of the
                anomalous ones; both ``y`` and ``false_positive_rate`` are given; or
                there are too few images for the rate.
            NotFittedError: ``fit`` was not called.

        Note:
            Images that ``fit`` learned from are known by their pixels. Fewer than half
            are left out with a warning, and so are copies. Of the maps only the highest
            values are kept: memory is bounded by a batch.
        """
        owner = f"{type(self).__name__}.calibrate"
        rate = 0.05 if false_positive_rate is None else false_positive_rate
        rate = check_ratio(rate, "false_positive_rate", owner, closed=False)
        labels = None if y is None else as_anomalous(y, owner)
        if labels is not None:
            if false_positive_rate is not None:
                rule = "None where y is given, since the threshold then maximises F1"
                raise ValueError(refusal("false_positive_rate", owner, rule, f"{rate}"))
            check_both_classes(labels, owner)
        settings = self._ready()
        if labels is None:
            source = open_normal(X, None, owner, settings.pixel_format)
        else:
            source = open_source(X, owner, settings.pixel_format)
            check_one_each(labels, source.n_items, owner)
        patches = embed(source, self._embedder(), settings, "Calibrating", digests=True)
        candidates, skipped = collect(
            patches, lambda some, _: self._score_patches(some), settings.image_size
        )
        warn_of_skipped(skipped)
        n_images = len(candidates.scores) + len(skipped)
        known = self.training_images_, self.training_digests_
        self._take_over(calibration(candidates, n_images, labels, rate, known, owner))
        return self

    def _take_over(self, calibration: Calibration | None) -> None:
        """Set what a calibration found."""
        self.calibration_ = calibration
        self._calibrated_with = self._aggregation()
        self.threshold_ = self.pixel_threshold_ = None
        if calibration is not None:
            self.threshold_ = calibration.threshold
            self.pixel_threshold_ = calibration.pixel_threshold

    def _threshold(self) -> float | None:
        """Return the threshold, which may have been set by hand, or raise."""
        threshold = self._finite("threshold_")
        if self.calibration_ is not None and threshold == self.calibration_.threshold:
            self._check_aggregation()
        return threshold

    def _aggregation(self) -> dict[str, Any]:
        """Return the parameters that make image scores of patch scores."""
        return {name: getattr(self, name) for name in self._aggregated_by}

    def _check_aggregation(self) -> None:
        """Raise if the threshold was set for scores that are aggregated otherwise."""
        now = self._aggregation()
        for name, then in self._calibrated_with.items():
            if now[name] != then:
                rule = f"{then!r}, with which the threshold was set"
                remedy = "Call calibrate again, or set it back."
                owner = type(self).__name__
                raise ValueError(
                    refusal(name, owner, rule, describe(now[name]), remedy)
                )

    def _pixel_threshold(self) -> float | None:
        """Return the pixel threshold, which may have been set by hand, or raise."""
        return self._finite("pixel_threshold_")

    def _finite(self, name: str) -> float | None:
        value = getattr(self, name)
        return None if value is None else check_finite(value, name, type(self).__name__)

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

        Note:
            This is what scikit-learn's scorers call, which take the label 1 for the one
            that is higher. So it warns where ``fit`` was given labels 0 and 1, which
            they would read the wrong way round: see ``auroc_scorer``.
        """
        self._check_fitted()
        threshold = self._threshold() or 0.0
        scores = self.score(X).astype(np.float64)
        if self._one_is_anomalous:
            warn_of_scorers(f"{type(self).__name__}.decision_function")
        return threshold - scores

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
        return self._verdicts(self.score(X))

    def _verdicts(self, scores: Float32Array) -> Int64Array:
        threshold = self._threshold()
        assert threshold is not None  # who asks has looked
        return np.where(scores.astype(np.float64) <= threshold, NORMAL, ANOMALOUS)

    def _verdict(self, score: float) -> int | None:
        threshold = self._threshold()
        if threshold is None:
            return None
        return NORMAL if score <= threshold else ANOMALOUS

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
