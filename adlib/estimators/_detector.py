"""The contract that every detector keeps: fit and scores, thresholds and verdicts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.exceptions import NotFittedError

from adlib._typing import Float32Array, Float64Array, Int64Array
from adlib._validation import check_finite, check_ratio, refusal
from adlib.estimators._base import BaseDetector
from adlib.estimators._calibration import (
    Calibration,
    Candidates,
    calibration,
    check_all_read,
    check_left_out,
    check_same_images,
    left_out_calibration,
    threshold_text,
)
from adlib.estimators._labels import (
    INLIER,
    OUTLIER,
    as_anomalous,
    check_both_classes,
    check_one_each,
    warn_of_scorers,
)
from adlib.estimators._patches import Pass, Patches, embed, open_normal, warn_of_skipped
from adlib.estimators._results import Inspection, Scored
from adlib.estimators._settings import Settings
from adlib.images import Images, Source, open_source


class AnomalyDetector(BaseDetector):
    """An estimator that is fitted to images of good parts and scores new ones.

    ``PatchCore`` and ``PaDiM`` are the detectors; they share all methods that are
    documented here.

    Attributes:
        backbone_: The frozen network.
        grid_: (height, width) of the patch grid.
        training_images_: Names of the training images, in order.
        training_digests_: Digests of their pixels, by which ``calibrate`` finds
            training images among its own; empty in models of earlier versions.
        skipped_: Images that ``fit`` skipped (``on_error="skip"``), with reasons.
        threshold_: What ``calibrate``, or ``fit`` with ``false_positive_rate``, set; or
            None. It may be set by hand, to a finite number.
        pixel_threshold_: Set with it: above it a pixel of an anomaly map is drawn as
            anomalous; or None.
        calibration_: How both were set, a ``Calibration``; or None.
        left_out_scores_: With ``false_positive_rate``, what ``leave_one_out_scores``
            gave in ``fit``, (n_images,) float32; else None.
        learned_with_: The parameters that must not change between fit and scoring.

    Note:
        Threads may score one fitted detector at once, but not while it is being fitted
        or calibrated.
    """

    _aggregated_by: tuple[str, ...] = ("aggregation", "top_ratio")
    false_positive_rate: float | None = None
    threshold_: float | None
    pixel_threshold_: float | None
    calibration_: Calibration | None
    left_out_scores_: Float32Array | None

    def __sklearn_tags__(self) -> Any:
        # Not by OutlierMixin: its fit_predict scores training images as new ones.
        tags = super().__sklearn_tags__()
        tags.estimator_type = "outlier_detector"
        return tags

    def describe(self) -> dict[str, str]:
        """Return what was learned and how the threshold was set, as texts by name.

        Raises:
            NotFittedError: ``fit`` was not called.
            TypeError, ValueError: ``threshold_`` was set to no finite number.
        """
        self._check_fitted()
        text = threshold_text(self._threshold(), self.calibration_)
        return {**self._describe(), "threshold": text}

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
                wrong way round; half of the good or of the anomalous images are
                training images; both ``y`` and ``false_positive_rate`` are given; or
                there are too few images for the rate.
            NotFittedError: ``fit`` was not called.

        Note:
            Training images are recognised by their pixels. Fewer than half are left out
            with a warning, and so are copies. Of the maps only the highest
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
        images = Pass(
            embed(source, self._embedder(), settings, "Calibrating", digests=True)
        )
        candidates = Candidates.of(
            images, lambda some, _: self._score_patches(some.embeddings), self._size
        )
        warn_of_skipped(images.skipped)
        known = self.training_images_, self.training_digests_
        found = calibration(candidates, images.n_images, labels, rate, known, owner)
        self._take_over(found)
        return self

    def predict(self, X: Images) -> Int64Array:
        """Return a verdict on each image: +1 normal, -1 anomalous.

        Args:
            X: Images, as in ``fit``.

        Returns:
            (n_images,) int64. A skipped image gets -1, since nothing is known about it.

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

    def decision_function(self, X: Images) -> Float64Array:
        """Return ``threshold_ - score``: negative = anomalous, as scikit-learn has it.

        Before ``calibrate`` the threshold is taken as 0: the values then rank images,
        and their sign has no meaning.

        Args:
            X: Images, as in ``fit``.

        Returns:
            (n_images,) float64.

        Raises:
            ImageError: An image is unusable and ``on_error`` is "raise".
            NotFittedError: ``fit`` was not called.

        Note:
            scikit-learn's scorers call this and expect higher values for the label 1.
            So it warns where ``fit`` was given labels 0 and 1: see ``auroc_scorer``.
        """
        self._check_fitted()
        threshold = self._threshold() or 0.0
        scores = self.score(X).astype(np.float64)
        if self._one_is_anomalous:
            warn_of_scorers(f"{type(self).__name__}.decision_function")
        return threshold - scores

    def fit_predict(self, X: Images, y: ArrayLike | None = None) -> Int64Array:
        """Fit, and return a verdict on each image: +1 normal, -1 anomalous.

        For training images the verdict is that of their ``left_out_scores_``, each as
        if ``fit`` had not seen it.

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
        verdicts = self._verdicts(self._scores(X)[0])
        learned = np.ones(len(verdicts), np.bool_)
        learned[[failure.position for failure in self.skipped_]] = False
        if y is not None:
            learned &= ~as_anomalous(y, owner)
        assert self.left_out_scores_ is not None  # fit has a rate
        verdicts[learned] = self._verdicts(self.left_out_scores_)
        return verdicts

    def leave_one_out_scores(
        self, X: Images, y: ArrayLike | None = None
    ) -> Float32Array:
        """Score each training image as if ``fit`` had not seen it.

        The image's own patches do not count. So good images need not be held out to
        know how good images score.

        Args:
            X: The training images, in the same order.
            y: Their labels, (n_images,) as in ``fit``, where ``fit`` was given labels.

        Returns:
            (n_images,) float32, one for each of ``training_images_``.

        Raises:
            ValueError: ``X`` holds other images, or there are too few.
            ImageError: An image is unusable and ``on_error`` is "raise".
            NotFittedError: ``fit`` was not called.

        Note:
            The coreset or the principal components were still selected with the image.
            So these scores are not exactly those of a new image, and a threshold from
            them has no guarantee, unlike one of ``calibrate``. Images of the same part
            lower each other's scores.
        """
        owner = f"{type(self).__name__}.leave_one_out_scores"
        settings = self._ready()
        anomalous = None if y is None else as_anomalous(y, owner)
        check_left_out(X, len(self.training_images_), 0.5, owner)
        source = open_normal(X, anomalous, owner, settings.pixel_format)
        left_out = self._leave_one_out(source, settings, owner)
        return left_out.scores.astype(np.float32)

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
        return self._inspect(self._embed(X, "inspect", "Inspecting"))

    def _inspect(self, batches: Iterator[Patches]) -> Iterator[Inspection]:
        for patches in batches:
            unseen = None if self.threshold_ is None else OUTLIER
            results = {
                failure.position: Inspection(
                    failure.name, float("nan"), unseen, None, failure.reason
                )
                for failure in patches.failures
            }
            if patches.names:
                scored = self._score_patches(patches.embeddings)
                maps = scored.anomaly_maps(self._size)
                worst = (scored.worst_places() * patches.sizes).astype(int).tolist()
                for i, position in enumerate(patches.positions):
                    score = float(scored.image_scores[i])
                    results[position] = Inspection(
                        path=patches.names[i],
                        score=score,
                        verdict=self._verdict(score),
                        map=maps[i],
                        size=patches.sizes[i],
                        worst_pixel=(worst[i][0], worst[i][1]),
                    )
            for position in sorted(results):
                yield results[position]

    def _plan_threshold(self, X: Images, n_images: int | None, owner: str) -> None:
        if self.false_positive_rate is not None:
            rate = check_ratio(
                self.false_positive_rate, "false_positive_rate", owner, closed=False
            )
            check_left_out(X, n_images, rate, owner)

    def _set_threshold(self, source: Source, settings: Settings, owner: str) -> None:
        self.left_out_scores_ = None
        self._take_over(None)
        if self.false_positive_rate is not None:
            left_out = self._leave_one_out(source, settings, owner)
            self.left_out_scores_ = left_out.scores.astype(np.float32)
            rate = float(self.false_positive_rate)
            self._take_over(left_out_calibration(left_out, rate, owner))

    def _leave_one_out(
        self, source: Source, settings: Settings, owner: str
    ) -> Candidates:
        known = self.training_images_, self.training_digests_

        def score(patches: Patches, numbers: Int64Array) -> Scored:
            check_same_images(patches, int(numbers[0]), *known, owner)
            return self._score_left_out(patches.embeddings, numbers)

        batches = embed(
            source, self._embedder(), settings, "Leaving one out", digests=True
        )
        found = Candidates.of(Pass(batches), score, settings.image_size)
        check_all_read(len(found.scores), known[0], owner)
        return found

    def _take_over(self, calibration: Calibration | None) -> None:
        """Set what a calibration found."""
        self.calibration_ = calibration
        self._calibrated_with = self._aggregation()
        self.threshold_ = self.pixel_threshold_ = None
        if calibration is not None:
            self.threshold_ = calibration.threshold
            self.pixel_threshold_ = calibration.pixel_threshold

    def _threshold(self) -> float | None:
        """Return the threshold, which may have been set by hand, or raise.

        Raises:
            ValueError: It was set for scores that are aggregated otherwise.
        """
        threshold = self._finite("threshold_")
        if self.calibration_ is None or threshold != self.calibration_.threshold:
            return threshold
        for name, then in self._calibrated_with.items():
            rule = f"{then!r}, with which the threshold was set"
            self._check_unchanged(name, then, rule, "calibrate again")
        return threshold

    def _aggregation(self) -> dict[str, Any]:
        """Return the parameters that make image scores of patch scores."""
        return {name: getattr(self, name) for name in self._aggregated_by}

    def _finite(self, name: str) -> float | None:
        value = getattr(self, name)
        return None if value is None else check_finite(value, name, type(self).__name__)

    def _verdicts(self, scores: Float32Array) -> Int64Array:
        threshold = self._threshold()
        assert threshold is not None  # callers have checked
        return np.where(scores.astype(np.float64) <= threshold, INLIER, OUTLIER)

    def _verdict(self, score: float) -> int | None:
        threshold = self._threshold()
        if threshold is None:
            return None
        return INLIER if score <= threshold else OUTLIER
