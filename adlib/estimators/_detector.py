"""The contract that every detector keeps: fit and scores, thresholds and verdicts."""

from __future__ import annotations

import copy
import os
from abc import ABCMeta, abstractmethod
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self, overload

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError

from adlib._html import card, or_nothing
from adlib._inspection import Inspection, Limits, stretched
from adlib._typing import (
    AnyArray,
    BoolArray,
    Float32Array,
    Float64Array,
    Int32Array,
    Int64Array,
)
from adlib._validation import (
    check_finite,
    check_image_size,
    describe,
    refusal,
)
from adlib.estimators._calibration import (
    Calibration,
    Candidates,
    Rates,
    calibration,
    check_left_out,
    check_rates,
    check_same_images,
    left_out_calibration,
    others,
)
from adlib.estimators._examination import Examination, Examiner
from adlib.estimators._labels import (
    INLIER,
    OUTLIER,
    as_anomalous,
    check_both_classes,
    check_one_each,
    one_is_anomalous,
    warn_of_few_normal,
    warn_of_scorers,
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
from adlib.estimators._promise import threshold_text, zones_text
from adlib.estimators._regions import Region, highest_threshold, regions_above
from adlib.estimators._results import (
    PAPERS,
    Drawing,
    ImageEmbeddings,
    Inside,
    MapKind,
    Scored,
)
from adlib.estimators._settings import Settings
from adlib.estimators._zones import Zones, zone_numbers, zone_peaks, zone_scales
from adlib.features import Backbone
from adlib.features._backbone import DEFAULT_STRIDES, Precision, Runtime
from adlib.images import Failure, Images, Source, open_source
from adlib.images._align import Alignment, Reference, put_back, put_back_numbers
from adlib.images._pixels import Box, ColorOrder, Resize
from adlib.images._region import RegionLike, RegionOfInterest
from adlib.thresholds._log_normal import RateRule

if TYPE_CHECKING:
    from adlib.estimators._resume import Journal


class Engine(Protocol):
    """What computes a fit elsewhere than in this process, with the same results."""

    def learn(
        self,
        detector: AnomalyDetector,
        source: Source,
        backbone: Backbone,
        settings: Settings,
        owner: str,
    ) -> tuple[Pass, dict[str, Any]]:
        """Read all images; return them and what ``_learn`` returns."""

    def leave_one_out(
        self,
        detector: AnomalyDetector,
        source: Source,
        settings: Settings,
        owner: str,
        peaks_of: Callable[[Scored, Patches], list[float]],
    ) -> tuple[Candidates, Examination]:
        """Return what ``_leave_one_out`` returns."""


class AnomalyDetector(BaseEstimator, metaclass=ABCMeta):
    """An estimator that is fitted to images of good parts and scores new ones.

    ``PatchCore`` and ``PaDiM`` are the detectors; they share all methods that are
    documented here. Those that take images ``X`` raise ``ImageError`` where one is
    unusable and ``on_error`` is "raise"; all but ``fit`` raise ``NotFittedError``
    before it.

    Attributes:
        backbone_: The frozen network.
        grid_: (height, width) of the patch grid.
        region_: The region of interest, a mask (height, width) bool or a function, as
            ``fit`` was given it; or None.
        training_images_: Names of the training images, in order.
        training_digests_: Digests of their pixels; empty in models of earlier versions.
        skipped_: Images that ``fit`` skipped (``on_error="skip"``), with reasons.
        threshold_: What ``calibrate``, or ``fit`` with ``false_positive_rate``, set; or
            None. It may be set by hand, to a finite number.
        pixel_threshold_: Set with it, for the pixels of anomaly maps, which with
            ``zones`` are divided by ``zone_scales_``; or None.
        review_threshold_: Set with it where a ``review_rate`` was given: scores above
            it, up to the threshold, are to be reviewed; or None.
        zone_scales_: With ``zones``, how high good images score in each zone, as a
            share of how high they do anywhere, (rows, columns) float32; else None. A
            zone's pixel threshold is ``pixel_threshold_`` times its scale.
        calibration_: How they were set, a ``Calibration``; or None.
        left_out_scores_: With ``false_positive_rate``, what ``leave_one_out_scores``
            gave in ``fit``, (n_images,) float32; else None.
        examination_: With ``false_positive_rate``, what ``examine`` would give, an
            ``Examination``; else None. No model file holds it.
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
        "region",
        "resize",
        "align",
        "zones",
        "maps",
        "precision",
        "runtime",
    )
    _aggregated_by: tuple[str, ...] = ("aggregation", "top_ratio", "least_area")
    _strides: tuple[int, ...] = DEFAULT_STRIDES  # of the stages that None means
    _anomalibs: Drawing = PAPERS  # of maps="anomalib"
    backbone: str
    weights: str | None
    stages: tuple[int, ...] | None
    image_size: int | tuple[int, int]
    color: ColorOrder
    max_value: float | None
    precision: Precision
    runtime: Runtime
    false_positive_rate: float | None = None
    threshold_rule: RateRule = "quantile"
    review_rate: float | None = None
    least_area: float = 0.0
    region: RegionLike | None = None
    resize: Resize = "stretch"
    align: Reference | None = None
    zones: tuple[int, int] | None = None
    maps: MapKind = "paper"
    backbone_: Backbone
    grid_: tuple[int, int]
    region_: BoolArray | Callable[[AnyArray], AnyArray] | None
    training_images_: list[str]
    training_digests_: list[str]
    skipped_: list[Failure]
    threshold_: float | None
    pixel_threshold_: float | None
    review_threshold_: float | None
    zone_scales_: Float32Array | None
    calibration_: Calibration | None
    left_out_scores_: Float32Array | None
    examination_: Examination | None
    learned_with_: dict[str, Any]
    _one_is_anomalous: bool = False  # in the labels that fit was given
    _region: RegionOfInterest | None = None
    _alignment: Alignment | None = None
    _engine: Engine | None = None  # while ``adlib.distributed`` fits

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

        ``n_images`` counts skipped images too; it is None where that is not known.
        """

    @abstractmethod
    def _score_patches(self, embeddings: Float32Array) -> Scored:
        """Score the patches and images of one batch of embeddings."""

    def _journal(
        self, backbone: Backbone, settings: Settings, n_images: int | None
    ) -> AbstractContextManager[Journal | None]:
        """Return what a fit that is killed goes on from, if it was asked for."""
        return nullcontext()

    def _score_images(self, embeddings: Float32Array) -> Float32Array:
        """Return the image scores of one batch, where those of patches do not count."""
        return self._score_patches(embeddings).image_scores

    def _scored(self, patches: Patches, images: Int64Array | None = None) -> Scored:
        """Score a batch, the patches in its region alone.

        ``images`` are numbers of training images, each scored as if it had not been in
        ``fit``.
        """
        if images is None:
            scored = self._score_patches(patches.embeddings)
        else:
            scored = self._score_left_out(patches.embeddings, images)
        if patches.inside is not None:
            whole = patches.inside.spread(scored.patch_scores)
            scored = scored._replace(patch_scores=whole, inside=patches.inside)
        if not self._by_map:
            return scored
        maps = scored.anomaly_maps(self._size, self._drawing)
        return scored._replace(image_scores=maps.max(axis=(1, 2)), maps=maps)

    def _image_scores(self, patches: Patches) -> Float32Array:
        """Return the image scores of a batch, in the shortest way there is."""
        if self._by_map:
            return self._scored(patches).image_scores
        return self._score_images(patches.embeddings)

    @property
    def _drawing(self) -> Drawing:
        """How patch scores become maps."""
        return self._anomalibs if self.maps == "anomalib" else PAPERS

    @property
    def _by_map(self) -> bool:
        """Whether image scores are the highest values of maps."""
        return False

    @abstractmethod
    def _score_left_out(self, embeddings: Float32Array, images: Int64Array) -> Scored:
        """Score training images, (n,) numbers, as if each had not been in ``fit``."""

    def _origins(self) -> Int64Array | None:
        """Return where the entries of a memory bank came from, (n_bank, 3), or None."""
        return None

    @abstractmethod
    def _restore(self, content: ModelContent, device: str) -> None:
        """Take over the learned state of a model file, or raise ModelFileError."""

    @abstractmethod
    def _describe(self) -> dict[str, str]:
        """Return what was learned, as short texts by name."""

    @abstractmethod
    def save(self, path: str | os.PathLike[str]) -> None:
        """Write everything that scoring needs to one file.

        Args:
            path: The file, which is replaced if it is there; the folder must exist.
        """

    def export(
        self,
        path: str | os.PathLike[str],
        *,
        images: Images | None = None,
        y: ArrayLike | None = None,
        input_size: tuple[int, int] | None = None,
        map_size: tuple[int, int] | Literal["original"] | None = None,
        precision: Literal["float32", "float16", "int8"] = "float32",
    ) -> None:
        """Write the detector as one ONNX file that scores the same without torch.

        From the bytes of images to scores, maps and verdicts all is in its graph;
        ``adlib.runtime.load`` reads it, and so does ONNX Runtime or OpenVINO in any
        language. Before it is written, ONNX Runtime scores images with it, and nothing
        is written where a score differs by more than 1e-4, a map by more than 1e-3, or
        a verdict differs.

        Args:
            path: The file, whose name ends in ".onnx"; replaced if it is there.
            images: What to compare on, as in ``fit``, of 8 bits; they are read twice.
                None: five made ones.
            y: Their labels, (n_images,) as in ``calibrate``, for the AUROC of both.
            input_size: (height, width) of all images that will come; None: any, or that
                of the region where there is one.
            map_size: Size of the maps, as in ``anomaly_maps``.
            precision: "float32"; "float16" halves the file, whose numbers are rounded
                once; "int8" lets the backbone compute in 8 bits, with ranges taken from
                ``images``. What these two lose on ``images`` is not refused but kept in
                the file (``adlib info`` shows it); a warning says if a verdict differs.

        Raises:
            NotFittedError: ``fit`` was not called.
            TypeError, ValueError: An argument is not as stated, the scores differ, the
                file would exceed 2 GB, or the detector computes in bfloat16, searches
                by an approximate index or is anomalib's.
            ImageError: One of ``images`` is unusable.
            ImportError: The extra ``export`` is not installed.
            OSError: The file cannot be written.
        """
        # By name: the room of exports lies below this one.
        export = import_module("adlib.export").export
        export(
            self,
            path,
            images=images,
            y=y,
            input_size=input_size,
            map_size=map_size,
            precision=precision,
        )

    def __sklearn_tags__(self) -> Any:
        # Not by OutlierMixin: its fit_predict scores training images as new ones.
        tags = super().__sklearn_tags__()
        tags.estimator_type = "outlier_detector"
        return tags

    def fit(self, X: Images, y: ArrayLike | None = None) -> Self:
        """Fit the detector to images of good parts.

        Args:
            X: Images of good parts: a folder, a glob, paths, uint8, uint16 or float
                arrays (n, h, w) or (n, h, w, 3), tensors (n, 3, h, w), PIL images, or
                a list, DataLoader or iterator of these.
            y: Labels, (n_images,): +1 normal and -1 anomalous, or numbers 0 normal and
                1 anomalous, or bool. Anomalous images are left out. None: all are good.

        Returns:
            The estimator. A failed fit leaves it as it was.

        Raises:
            ImageError: No image is usable.
            TypeError, ValueError: A parameter, ``X`` or ``y`` is not as stated; or
                ``X`` cannot be read twice, or is too small, for
                ``false_positive_rate``.
            MemoryError: Neither memory nor the disk has room for the patches of all
                images (``PatchCore``).
            WeightsError: The backbone's weights are not available.
            ImportError: A library that the parameters ask for is not installed.
        """
        settings = self._check_parameters()
        owner = f"{type(self).__name__}.fit"
        anomalous = None if y is None else as_anomalous(y, owner)
        source = open_normal(X, anomalous, owner, settings.pixel_format)
        zero_one = y is not None and one_is_anomalous(y)
        rates = self._own_rates(owner)
        leaves_out = rates is not None or settings.zones is not None
        left_at = rates or Rates(0.5)  # which any number that can be left out has
        if leaves_out:
            check_left_out(X, source.n_items, left_at, owner)
        backbone = self._new_backbone(settings)
        region, alignment = self._new_region(), self._new_alignment()
        settings = settings._replace(region=region, alignment=alignment)
        with self._journal(backbone, settings, source.n_items) as journal:
            settings = settings._replace(journal=journal)
            if self._engine is None:
                images, learned = self._learn_here(source, backbone, settings, owner)
            else:
                images, learned = self._engine.learn(
                    self, source, backbone, settings, owner
                )
            if leaves_out:  # now that it is known how many there are
                check_left_out(X, len(images.names), left_at, owner)
            # All on a copy, so that whatever fails from here on changes nothing.
            fitted = copy.copy(self)
            fitted.__dict__.update(
                learned,
                backbone_=backbone,
                training_images_=images.names,
                training_digests_=images.digests,
                skipped_=images.skipped,
                learned_with_=self._values_of(self._frozen),
                left_out_scores_=None,
                examination_=None,
                zone_scales_=None,
                region_=None if region is None else region.region,
                _region=region,
                _alignment=alignment,
                _one_is_anomalous=zero_one,
            )
            fitted._take_over(None)
            fitted.zone_scales_ = fitted._learned_scales(source, settings, owner)
            if rates is not None:
                left_out, fitted.examination_ = fitted._leave_one_out(
                    source, settings, owner
                )
                fitted.left_out_scores_ = left_out.scores.astype(np.float32)
                fitted._take_over(left_out_calibration(left_out, rates, owner))
        warn_of_skipped(images.skipped)
        if anomalous is not None and zero_one:
            warn_of_few_normal(anomalous, owner)
        self.__dict__.update(fitted.__dict__)
        return self

    def _learn_here(
        self, source: Source, backbone: Backbone, settings: Settings, owner: str
    ) -> tuple[Pass, dict[str, Any]]:
        """Read all images in this process; return them and what was learned."""
        embedder, journal = self._new_embedder(backbone, settings), settings.journal
        left = source if journal is None else journal.rest(source)
        reading = embed(left, embedder, settings, "Reading features", digests=True)
        if journal is not None:
            reading = journal.keep(reading)
        images = Pass(reading, owner, strict=settings.on_error == "raise")
        with closing(iter(images)) as batches:
            return images, self._learn(batches, source.n_items, embedder, settings)

    def describe(self) -> dict[str, str]:
        """Return what was learned and how the threshold was set, as texts by name.

        Raises:
            NotFittedError: ``fit`` was not called.
            TypeError, ValueError: ``threshold_`` was set to no finite number.
        """
        self._check_fitted()
        texts = self._describe()
        if callable(self.region_):
            texts["region"] = "a region of its own for each image"
        elif self.region_ is not None:
            height, width = self.region_.shape
            share = 100 * self.region_.mean()
            texts["region"] = f"a region of {share:.3g} % of {height}x{width} pixels"
        if self.resize == "letterbox":
            texts["resize"] = "images letterboxed to {}x{} pixels".format(*self._size)
        if self._alignment is not None:
            height, width = self._alignment.reference.shape
            texts["align"] = f"images aligned to a reference of {height}x{width} pixels"
        if self.zone_scales_ is not None:
            limit = self._finite("pixel_threshold_")
            texts["zones"] = zones_text(self.zone_scales_, limit)
        text = threshold_text(*self._limits()[:2], self.calibration_)
        return {**texts, "threshold": text}

    def _facts(self) -> dict[str, str]:
        """Return what the detector is and what ``describe`` says, as texts by name."""
        described = self.describe()
        stages = ", ".join(
            f"{stage.channels} channels at stride {stage.stride}"
            for stage in self.backbone_.stages
        )
        return {
            "backbone": f"{self.backbone} ({stages})",
            "learned from": f"{len(self.training_images_)} images",
            "image size": "{} x {}".format(*self._size),
            "patch grid": "{} x {}".format(*self.grid_),
            **described,
        }

    # IPython would prefer scikit-learn's, which says nothing of what was learned.
    _repr_mimebundle_ = None

    @or_nothing
    def _repr_html_(self) -> str:
        """Return what a notebook shows: what was learned, or the parameters alone."""
        fitted = hasattr(self, "backbone_")
        rows = self._facts() if fitted else {"learned from": "nothing yet"}
        rows = {name: text.removeprefix(f"{name} ") for name, text in rows.items()}
        return card(type(self).__name__, {**rows, "parameters": repr(self)})

    def score(self, X: Images, y: object = None) -> Float32Array:
        """Return one anomaly score an image; higher = more anomalous.

        This deviates from scikit-learn, whose ``score`` returns one number for all.

        Args:
            X: Images, as in ``fit``.
            y: Ignored; there for scikit-learn.

        Returns:
            (n_images,) float32; NaN where an image was skipped (``on_error="skip"``),
            with one warning that lists them.
        """
        scores, skipped = self._scores(X)
        warn_of_skipped(skipped)
        return scores

    def _scores(self, X: Images) -> tuple[Float32Array, list[Failure]]:
        """Return scores, NaN where skipped, and what was skipped."""
        images = Pass(self._embed(X, "score", "Scoring"))
        scores: list[Float32Array] = []
        for patches in images:  # a comprehension's frame would keep the loop open
            scores.append(self._image_scores(patches))  # noqa: PERF401
        in_place = np.full(self._count(images), np.nan, np.float32)
        in_place[images.positions] = np.concatenate([*scores, np.empty(0, np.float32)])
        return in_place, images.skipped

    def score_samples(self, X: Images) -> Float64Array:
        """Return ``-score``: higher = more normal, as scikit-learn has it.

        Args:
            X: Images, as in ``fit``.

        Returns:
            (n_images,) float64; NaN where an image was skipped.
        """
        return -self.score(X).astype(np.float64)

    def decision_function(self, X: Images) -> Float64Array:
        """Return ``threshold_ - score``: negative = anomalous, as scikit-learn has it.

        Args:
            X: Images, as in ``fit``.

        Returns:
            (n_images,) float64. Before ``calibrate`` the threshold is taken as 0, and
            their sign has no meaning.

        Raises:
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
                size; both hold 0 around letterboxed images. "original": each stretched
                to the size of its own image, as EXIF turns it upright. Stretching is
                bilinear, as overlays show it.

        Returns:
            (n_images, height, width) float32; with "original" a list of (height, width)
            float32. NaN where an image was skipped, at ``image_size`` where its own
            size is asked for. ``inspect`` gives the same maps one by one.

        Raises:
            TypeError, ValueError: ``size`` is not as stated.
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
            scored = self._scored(patches)
            drawn = self._maps_in_place(scored, patches)
            if size == "original":
                drawn = self._maps(scored, patches)
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
        """
        return (
            ImageEmbeddings(*one)
            for read in self._embed(X, "embeddings", "Reading")
            for one in zip(read.names, read.positions, read.in_grid(), strict=False)
        )

    def inspect(self, X: Images) -> Iterator[Inspection]:
        """Yield path, score, verdict and map of each image, in order, in one pass.

        Args:
            X: Images, as in ``fit``; a stream may be endless.

        Yields:
            One ``Inspection`` an image. A skipped image has an ``error`` and no map.

        Note:
            Memory is bounded by a batch. A stream is read no further than the results
            of a batch need: for a live camera set ``batch_size`` to 1, and each result
            comes before the next image is asked for. Of a source of known length
            ``batch_size + 2 * n_workers`` images are read ahead, and with a
            ``batch_size`` up to 4 the next batch is embedded while one is searched.
        """
        return self._inspect(self._embed(X, "inspect", "Inspecting"))

    def _inspect(self, batches: Iterator[Patches]) -> Iterator[Inspection]:
        for patches in batches:
            limits = self._limits()
            unseen = None if limits.threshold is None else OUTLIER
            results = {
                failure.position: Inspection(
                    failure.name,
                    float("nan"),
                    unseen,
                    None,
                    failure.reason,
                    decision=limits.unseen(),
                )
                for failure in patches.failures
            }
            if patches.names:
                scored = self._scored(patches)
                maps = self._maps(scored, patches)
                worst = self._worst_pixels(scored, patches)
                zones = self._zones_of(patches)
                threshold = self._finite("pixel_threshold_")
                verdicts = self._verdicts(scored.image_scores)
                for i, position in enumerate(patches.positions):
                    score = float(scored.image_scores[i])
                    verdict = None if verdicts is None else int(verdicts[i])
                    results[position] = Inspection(
                        path=patches.names[i],
                        score=score,
                        verdict=verdict,
                        map=maps[i],
                        size=patches.sizes[i],
                        worst_pixel=worst[i],
                        regions=None
                        if threshold is None
                        else tuple(
                            regions_above(
                                maps[i],
                                threshold,
                                patches.sizes[i],
                                self.least_area,
                                zones=zones[i],
                            )
                        ),
                        zones=zones[i],
                        **limits.judged(score, verdict),
                    )
            for position in sorted(results):
                yield results[position]

    def regions(self, X: Images) -> list[list[Region]]:
        """Return the connected areas of each image above the pixel threshold.

        At the estimator's false-positive rate, where it was calibrated with one, that
        share of good images shows a region at all. ``inspect`` gives the same regions
        in one pass with scores and maps.

        Args:
            X: Images, as in ``fit``.

        Returns:
            One list an image, the region with the highest peak first (with ``zones``
            that whose peak is the most times its threshold); empty where there is none,
            or the image was skipped.

        Raises:
            NotFittedError: ``fit`` was not called, or nothing has set a threshold.
        """
        self._check_fitted()
        if self.pixel_threshold_ is None:
            raise self._no_threshold()
        results = list(self.inspect(X))
        warn_of_skipped(
            [
                Failure(position, one.path, one.error)
                for position, one in enumerate(results)
                if one.error is not None
            ]
        )
        return [list(one.regions or ()) for one in results]

    def _no_threshold(self) -> NotFittedError:
        return NotFittedError(
            f"{type(self).__name__} has no threshold yet. Call calibrate with good "
            "images it has not seen, or with labelled ones."
        )

    def predict(self, X: Images) -> Int64Array:
        """Return a verdict on each image: +1 normal, -1 anomalous.

        Args:
            X: Images, as in ``fit``.

        Returns:
            (n_images,) int64. A skipped image gets -1, since nothing is known about it.

        Raises:
            NotFittedError: ``fit`` was not called, or nothing has set a threshold.
        """
        self._check_fitted()
        if self.threshold_ is None:
            raise self._no_threshold()
        verdicts = self._verdicts(self.score(X))
        assert verdicts is not None  # there is a threshold
        return verdicts

    def fit_predict(self, X: Images, y: ArrayLike | None = None) -> Int64Array:
        """Fit, and return a verdict on each image: +1 normal, -1 anomalous.

        That on a training image follows from ``left_out_scores_``.

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
        scores = self._scores(X)[0]
        learned = np.ones(len(scores), np.bool_)
        learned[[failure.position for failure in self.skipped_]] = False
        if y is not None:
            learned &= ~as_anomalous(y, owner)
        scores[learned] = self.left_out_scores_
        verdicts = self._verdicts(scores)
        assert verdicts is not None  # fit has set a threshold
        return verdicts

    def calibrate(
        self,
        X: Images,
        y: ArrayLike | None = None,
        *,
        false_positive_rate: float | None = None,
        review_rate: float | None = None,
    ) -> Self:
        """Set the threshold that ``predict`` uses.

        Args:
            X: Images that ``fit`` did not see, as in ``fit``.
            y: Labels, (n_images,): +1 normal and -1 anomalous, or numbers 0 normal and
                1 anomalous. The threshold then maximises F1, of all thresholds there
                are. None: all images are good.
            false_positive_rate: Without labels, the share of good images that may be
                predicted anomalous, in (0, 1): the chance for a new good image is at
                most that (split conformal). None: 0.05. With
                ``threshold_rule="log-normal"`` it is an estimate.
            review_rate: Without labels, the share of good images whose score may lie
                above ``review_threshold_``, above ``false_positive_rate``; the rest of
                that share is to be reviewed. None: nothing is.

        Returns:
            The estimator, with ``threshold_``, ``pixel_threshold_``,
            ``review_threshold_`` and ``calibration_`` set.

        Raises:
            TypeError: A rate is no number.
            ImageError: No image is usable.
            ValueError: ``y`` lacks one of the classes, does not fit ``X`` or is the
                wrong way round; half of the good or of the anomalous images are
                training images; both ``y`` and a rate are given; or there are too few
                images for the rate, or their scores allow no log-normal law.

        Note:
            Training images are recognised by their pixels. Fewer than half are left out
            with a warning, and so are copies. Memory is bounded by a batch.
        """
        owner = f"{type(self).__name__}.calibrate"
        rate = 0.05 if false_positive_rate is None else false_positive_rate
        rates = check_rates(rate, review_rate, self.threshold_rule, owner)
        labels = None if y is None else as_anomalous(y, owner)
        if labels is not None:
            given = {"false_positive_rate": false_positive_rate}
            given["review_rate"] = review_rate
            rule = "None where y is given, since the threshold then maximises F1"
            for name, value in given.items():
                if value is not None:
                    raise ValueError(refusal(name, owner, rule, f"{value}"))
            check_both_classes(labels, owner)
        settings = self._ready()
        good_alone = labels is None
        source = open_source(X, owner, settings.pixel_format, good_alone=good_alone)
        if labels is not None:
            check_one_each(labels, source.n_items, owner)
        embedder = self._embedder()
        images = Pass(embed(source, embedder, settings, "Calibrating", digests=True))
        candidates = Candidates.of(
            images, lambda some, _: self._scored(some), self._peaks
        )
        warn_of_skipped(images.skipped)
        known = self.training_images_, self.training_digests_
        found = calibration(candidates, images.n_images, labels, rates, known, owner)
        self._take_over(found)
        return self

    def leave_one_out_scores(
        self, X: Images, y: ArrayLike | None = None
    ) -> Float32Array:
        """Score each training image as if ``fit`` had not seen it.

        So good images need not be held out to know how good images score.

        Args:
            X: The training images, in the same order.
            y: Their labels, (n_images,) as in ``fit``, where ``fit`` was given labels.

        Returns:
            (n_images,) float32, one for each of ``training_images_``.

        Raises:
            ValueError: ``X`` holds other images, or there are too few.

        Note:
            The coreset or the principal components were still selected with the image,
            and images of the same part lower each other's scores. So a threshold from
            these scores has no guarantee, unlike one of ``calibrate``.
        """
        left_out, _ = self._left_out(X, y, "leave_one_out_scores")
        return left_out.scores.astype(np.float32)

    def examine(self, X: Images, y: ArrayLike | None = None) -> Examination:
        """Say which training images stand out, and which are nearly the same.

        An image stands out if its leave-one-out score lies above the upper quartile by
        more than three interquartile ranges: it may be no good part. Two images are
        nearly the same if one in twenty of the entries that they have in the memory
        bank has a patch of the other very near: they may show one part, lower each
        other's leave-one-out scores, and count twice. With ``false_positive_rate``,
        ``fit`` examines them too, without another pass: see ``examination_``.

        Args:
            X: The training images, in the same order.
            y: Their labels, (n_images,) as in ``fit``, where ``fit`` was given labels.

        Returns:
            The images that stand out, and pairs (of PatchCore alone), with the patches
            that say so; ``adlib.overlays.save_examined`` draws them.

        Raises:
            ValueError: ``X`` holds other images, or there are too few.

        Note:
            Of images whose scores are normally distributed, 3 in 1,000 stand out where
            there are 10, 5 in 10,000 where there are 20; of fewer than 5, none can. Odd
            images that resemble each other may not stand out.
        """
        return self._left_out(X, y, "examine")[1]

    def _left_out(
        self, X: Images, y: ArrayLike | None, method: str
    ) -> tuple[Candidates, Examination]:
        """Return what leaving each training image out says, after checks."""
        owner = f"{type(self).__name__}.{method}"
        settings = self._ready()
        anomalous = None if y is None else as_anomalous(y, owner)
        check_left_out(X, len(self.training_images_), Rates(0.5), owner)
        source = open_normal(X, anomalous, owner, settings.pixel_format)
        return self._leave_one_out(source, settings, owner)

    def _leave_one_out(
        self,
        source: Source,
        settings: Settings,
        owner: str,
        peaks_of: Callable[[Scored, Patches], list[float]] | None = None,
    ) -> tuple[Candidates, Examination]:
        """Return the training images, each scored as if it had not been in ``fit``."""
        if self._engine is not None:
            return self._engine.leave_one_out(
                self, source, settings, owner, peaks_of or self._peaks
            )
        names = self.training_images_
        examiner = Examiner(self._origins())

        def score(patches: Patches, numbers: Int64Array) -> Scored:
            first = int(numbers[0])
            check_same_images(patches, first, names, self.training_digests_, owner)
            scored = self._scored(patches, numbers)
            examiner.note(scored, numbers)
            return scored

        embedder = self._embedder()
        reading = embed(source, embedder, settings, "Leaving one out", digests=True)
        found = Candidates.of(Pass(reading), score, peaks_of or self._peaks)
        if len(found.scores) < len(names):
            raise others(names, f"{len(found.scores)} images", owner)
        return found, examiner.result(found, self.grid_)

    def _learned_scales(
        self, source: Source, settings: Settings, owner: str
    ) -> Float32Array | None:
        """Return the scales of zones of left-out training images, None without zones.

        Not of the images that set the threshold: it would no longer hold for new ones.
        """
        zones, peaks = settings.zones, []
        if zones is None:
            return None

        def note(scored: Scored, patches: Patches) -> list[float]:
            maps, numbers = self._maps(scored, patches), self._zone_numbers(patches)
            for one, own in zip(maps, numbers, strict=True):
                peaks.append(zone_peaks(one, own, zones))
            return [float(one.max()) for one in maps]

        self._leave_one_out(source, settings, owner, note)
        return zone_scales(np.stack(peaks))

    def _embed(self, X: Images, method: str, description: str) -> Generator[Patches]:
        """Yield the patches to score, batch by batch; check everything at once."""
        settings = self._ready()
        owner = f"{type(self).__name__}.{method}"
        source = open_source(X, owner, settings.pixel_format)
        return embed(source, self._embedder(), settings, description)

    def _inside(self) -> Inside | None:
        """Return which patches count in every image; None: all, or it differs."""
        if self._region is None or not isinstance(self.region_, np.ndarray):
            return None
        height, width = self.region_.shape
        return Inside.of(self._region.share((height, width), "region"), self.grid_)

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

    def _new_backbone(self, settings: Settings) -> Backbone:
        return Backbone(
            self.backbone,
            weights=self.weights,
            stages=self.stages,
            strides=self._strides,
            image_size=settings.image_size,
            device=settings.device,
            precision=settings.precision,
            runtime=settings.runtime,
            random_state=settings.random_state,
        )

    def _new_region(self) -> RegionOfInterest | None:
        """Return what says which pixels of images count; None: all."""
        boxed = self.resize == "letterbox"
        if self.region is None and not boxed:
            return None
        name = type(self).__name__
        return RegionOfInterest(self.region, self._size, name, boxed=boxed)

    def _new_alignment(self) -> Alignment | None:
        """Return what moves images to lie as a reference does, or None."""
        if self.align is None:
            return None
        name, boxed = type(self).__name__, self.resize == "letterbox"
        return Alignment(self.align, self._size, name, boxed=boxed)

    def _maps_in_place(self, scored: Scored, patches: Patches) -> list[Float32Array]:
        """Return maps at ``image_size``, as images lay before they were aligned."""
        maps = list(scored.anomaly_maps(self._size, self._drawing))
        if not patches.places:
            return maps
        return [put_back(*one) for one in zip(maps, patches.places, strict=True)]

    def _maps(self, scored: Scored, patches: Patches) -> list[Float32Array]:
        """Return maps as they lie over their images."""
        maps = self._maps_in_place(scored, patches)
        return [
            np.ascontiguousarray(self._box(size).cut(one))
            for one, size in zip(maps, patches.sizes, strict=True)
        ]

    def _zone_numbers(self, patches: Patches) -> list[Int32Array]:
        """Return the zone of each pixel of maps as they lie over their images."""
        zones = self.zones
        assert zones is not None
        found = []
        for i, size in enumerate(patches.sizes):
            box = self._box(size)
            numbers = zone_numbers((box.height, box.width), (zones[0], zones[1]))
            if patches.places:  # zones are those of the reference, and move with it
                height, width = self._size
                below = height - box.top - box.height
                right = width - box.left - box.width
                around = ((box.top, below), (box.left, right))
                whole = np.pad(numbers, around, mode="edge")
                moved = put_back_numbers(whole, patches.places[i])
                numbers = np.ascontiguousarray(box.cut(moved))
            found.append(numbers)
        return found

    def _zones_of(self, patches: Patches) -> Sequence[Zones | None]:
        """Return the zones of each map, None of each without zones."""
        scales = self.zone_scales_
        if scales is None:
            return [None] * len(patches.names)
        return [Zones(numbers, scales) for numbers in self._zone_numbers(patches)]

    def _peaks(self, scored: Scored, patches: Patches) -> list[float]:
        """Return the pixel thresholds from which on images show no region."""
        maps = self._maps(scored, patches)
        triples = zip(maps, self._zones_of(patches), patches.sizes, strict=True)
        return [
            highest_threshold(
                one if zones is None else zones.relative(one), size, self.least_area
            )
            for one, zones, size in triples
        ]

    def _box(self, size: tuple[int, int]) -> Box:
        """Return where an image of this size lies in ``image_size``."""
        if self.resize == "letterbox":
            return Box.of(size, self._size)
        return Box(0, 0, *self._size)

    def _worst_pixels(self, scored: Scored, patches: Patches) -> list[tuple[int, int]]:
        """Return row and column of each image's highest value in the image itself."""
        found = []
        for i, place in enumerate(scored.worst_places()):
            size, pixel = patches.sizes[i], place * self._size
            if patches.places:  # of (x, y), the first pixel's centre at 0
                x, y = patches.places[i] @ [pixel[1] - 0.5, pixel[0] - 0.5, 1.0]
                pixel = np.array([y + 0.5, x + 0.5])
            box = self._box(size)
            pixel = (pixel - box[:2]) / box[2:] * size
            row, column = np.clip(pixel.astype(int), 0, np.array(size) - 1).tolist()
            found.append((row, column))
        return found

    def _check_fitted(self) -> None:
        if not hasattr(self, "backbone_"):
            raise NotFittedError(
                f"This {type(self).__name__} has not learned anything yet. "
                "Call fit with images of good parts first."
            )

    def _ready(self) -> Settings:
        """Return the checked parameters of a fitted detector, or raise."""
        self._check_fitted()
        settings = self._check_parameters()
        self._check_unchanged(self.learned_with_, "it was fitted", "fit")
        return settings._replace(region=self._region, alignment=self._alignment)

    def _values_of(self, names: Sequence[str]) -> dict[str, Any]:
        return {name: getattr(self, name) for name in names}

    def _check_unchanged(self, then: dict[str, Any], done: str, again: str) -> None:
        """Raise unless parameters are what they were when something was done."""
        for name, value in then.items():
            now = getattr(self, name)
            if now is not value and not np.array_equal(now, value):
                rule = f"{describe(value)}, with which {done}"
                remedy = f"Call {again} again, or set it back."
                owner = type(self).__name__
                raise ValueError(refusal(name, owner, rule, describe(now), remedy))

    def _take_over(self, calibration: Calibration | None) -> None:
        """Set what a calibration found."""
        self.calibration_ = calibration
        self._calibrated_with = self._values_of(self._aggregated_by)
        self.threshold_ = self.pixel_threshold_ = self.review_threshold_ = None
        if calibration is not None:
            self.review_threshold_ = calibration.review_threshold
            self.threshold_ = calibration.threshold
            self.pixel_threshold_ = calibration.pixel_threshold

    def _own_rates(self, owner: str) -> Rates | None:
        """Return what ``fit`` sets thresholds with, None if it sets none, or raise."""
        rate, review_rate = self.false_positive_rate, self.review_rate
        if rate is None and review_rate is not None:
            rule = "None without a false_positive_rate, with which fit sets thresholds"
            remedy = "Or pass it to calibrate."
            raise ValueError(refusal("review_rate", owner, rule, review_rate, remedy))
        checked = check_rates(
            0.05 if rate is None else rate, review_rate, self.threshold_rule, owner
        )
        return None if rate is None else checked

    def _limits(self) -> Limits:
        """Return the thresholds of image scores and what p-values are taken from."""
        calibration = self.calibration_
        scores: tuple[float, ...] = ()
        if calibration is not None and (
            self._calibrated_with == self._values_of(self._aggregated_by)
        ):
            scores = calibration.scores
        return Limits(self._threshold(), self._threshold("review_threshold_"), scores)

    def _threshold(self, name: str = "threshold_") -> float | None:
        """Return a threshold, which may have been set by hand, or raise.

        It must not have been set for scores that are aggregated otherwise.
        """
        threshold, calibration = self._finite(name), self.calibration_
        if (
            threshold is not None
            and calibration is not None
            and threshold == getattr(calibration, name.removesuffix("_"))
        ):
            done = "the threshold was set"
            self._check_unchanged(self._calibrated_with, done, "calibrate")
        return threshold

    def _finite(self, name: str) -> float | None:
        value = getattr(self, name)
        return None if value is None else check_finite(value, name, type(self).__name__)

    def _verdicts(self, scores: Float32Array) -> Int64Array | None:
        """Return the verdicts on scores, or None where there is no threshold."""
        threshold = self._threshold()
        if threshold is None:
            return None
        return np.where(scores.astype(np.float64) <= threshold, INLIER, OUTLIER)
