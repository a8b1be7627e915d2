"""PatchCore: the distance of a patch to the nearest entry of a memory bank."""

from __future__ import annotations

import copy
import os
import secrets
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from numbers import Integral
from typing import Any, Literal, Self, TypeAlias, get_args

import numpy as np
from numpy.typing import ArrayLike

from adlib._typing import AnyArray, Float32Array, Int64Array
from adlib._validation import (
    check_coreset,
    check_folder,
    check_int,
    check_option,
    check_ratio,
    coreset_size,
    describe,
    refusal,
)
from adlib._version import __version__
from adlib.estimators._acceptance import (
    LIMITS,
    Acceptance,
    AcceptedImage,
    Before,
    accepted_of,
    as_state,
    check_accepted,
    now,
    patches_above,
    without,
    without_limits,
)
from adlib.estimators._aggregation import (
    Aggregation,
    n_highest,
    reweighted_scores,
    top_mean_scores,
)
from adlib.estimators._augment import (
    Augmentation,
    WithCopies,
    check_augment,
    copies_of,
    own_patches,
)
from adlib.estimators._calibration import Calibration
from adlib.estimators._contamination import check_contamination, vouched
from adlib.estimators._detector import AnomalyDetector
from adlib.estimators._estimate import FitEstimate, estimate
from adlib.estimators._forgetting import check_names, to_forget
from adlib.estimators._labels import as_anomalous, one_is_anomalous
from adlib.estimators._merging import Held, drawn, in_parts, union
from adlib.estimators._model_file import ModelContent
from adlib.estimators._patches import (
    Embed,
    Pass,
    Patches,
    Points,
    embed,
    gather,
    none_usable,
    open_normal,
    warn_of_skipped,
)
from adlib.estimators._results import Drawing, Explanation, MapKind, Scored
from adlib.estimators._resume import Journal, digest_of
from adlib.estimators._room import Room
from adlib.estimators._saving import (
    damaged,
    number,
    numbers,
    restore_detector,
    save_detector,
    tensor_of,
)
from adlib.estimators._settings import Settings, check_settings, in_its_threads
from adlib.exceptions import ModelFileError
from adlib.features import Backbone
from adlib.features._backbone import Precision, Runtime
from adlib.features._embedding import Embedder, Embedding, embedding_length
from adlib.features._weights import DEFAULT_BACKBONE
from adlib.images import Failure, Images, Source
from adlib.images._align import Reference
from adlib.images._pixels import ColorOrder, Resize
from adlib.images._region import RegionLike
from adlib.images._stream import OnError
from adlib.neighbors import MemoryBank, Recall, greedy_coreset
from adlib.neighbors._bank import UNTRAINED, SearchKind
from adlib.neighbors._coreset import radius_bound, random_projection
from adlib.thresholds._log_normal import RateRule

Selection: TypeAlias = Literal["greedy", "random"]
RECALL_QUERIES = 2_000  # patches that an index's recall is measured on


class PatchCore(AnomalyDetector):
    """Detect anomalies by the distance of patches to a memory bank of good ones.

    A frozen backbone embeds every patch of the training images; a greedy coreset of the
    embeddings is the memory bank M. The score of a patch x is its distance to the
    nearest entry, ``min over m in M of |x - m|``; that of an image the mean of its
    highest patch scores, their maximum, or the paper's equation 7 (see
    ``aggregation``). The anomaly map is the grid of patch scores, upsampled and
    blurred.

    ``score`` returns one value per image, unlike scikit-learn's ``score``.

    Args:
        backbone: Name of a timm network, convolutional or a transformer. The default's
            weights come with pip; "wide_resnet50_2.tv_in1k" is the paper's.
        weights: "pretrained", the path of a local state dict, or None for random ones;
            "PATH#sha256=HEX" refuses a file that has another SHA-256.
        stages: timm's stage indices; None takes those at strides 8 and 16 or, where
            all have one stride as in a plain ViT, the last.
        image_size: Side in pixels to which images are resized, or (height, width);
            of a transformer, multiples of its patches' size.
        resize: "stretch" fills ``image_size`` whatever the image's aspect ratio;
            "letterbox" keeps it, in the middle of ``image_size``, and what lies around
            the image counts for nothing.
        region: Where defects are looked for, in pixels of the images, all of one size:
            the path of a mask, a mask (height, width) of bool or uint8 (not 0: inside),
            a polygon or several, each of points (x, y), or a function that is given the
            pixels of an image, (h, w) or (h, w, 3), uint8 or float32, and returns its
            mask, for parts that move. Patches with half of their area outside are not
            learned, scored or calibrated with, and maps are 0 there. None: everywhere.
        align: A reference image (path, or array (h, w) or (h, w, 3)) of the size of the
            images, for parts that shift and turn by a little: images are moved to lie
            as it does before anything else (extra ``align``), ``region`` is drawn on
            it, and maps and places are put back. One that cannot be aligned has no
            score, whatever ``on_error`` says; ``fit`` refuses it.
        color: Channel order of arrays and tensors: "rgb", or "bgr" as OpenCV has it.
        max_value: What counts as white in 16-bit images and in floats, such as 4095 for
            a camera of 12 bits; None: 65535 and 1.
        embedding: "concat" (3x3 means side by side), "paper" (1024 features as the
            published code pools them) or "nearest" (no neighbourhood, as in PaDiM).
        coreset: Size of the memory bank: a fraction of all patches, (0, 1], or a count,
            which ``partial_fit`` keeps.
        selection: How the coreset is chosen: "greedy" (farthest points) or "random"
            (uniformly, a baseline to compare with).
        projection: Features to which a random projection reduces the embeddings for
            the selection of the coreset alone; None selects in full.
        augment: Copies of the training images whose patches the coreset is also chosen
            from, a tuple of names: "flips" (mirrored left to right, top to bottom, and
            both), "quarter_turns" (with "flips" all seven; where ``image_size`` is not
            square, the half turn alone), "rotations" (by 5 and 10 degrees either way,
            mirrored outside) and "light" (0.8 and 1.25 times as bright). For few
            images; only those of which the part, so changed, is still good. The bank
            stays as large as without; nothing but the bank sees the copies.
        contamination: None, or the share of patches, (0, 0.5), that is left out before
            the coreset is chosen: those farthest from any patch of all other images
            (exactly up to 100,000 patches; of more, from that many, drawn at random).
            For training images of which some show defects; good patches that are rare
            go with them, so that they score high.
        search: How the nearest entry is found: "exact", or by FAISS (extra ``faiss``):
            "faiss-flat", brute force in float32; approximate, for banks far above
            10,000 entries, "faiss-ivf", "faiss-sq", "faiss-ivfpq" or "faiss-hnsw" (see
            ``MemoryBank``). Distances are exact in any case; ``search_recall_`` says
            how many nearest entries an index finds.
        aggregation: Image score: "top_mean", the mean of the ``top_ratio`` highest
            patch scores; "max"; or "reweighted", the paper's equation 7: with x the
            patch of the highest score, m* its nearest entry and N the ``n_neighbors``
            entries nearest to m*,
            ``(1 - exp |x - m*| / sum over m in N of exp |x - m|) |x - m*|``.
        top_ratio: Fraction of patches for "top_mean", (0, 1].
        n_neighbors: Size of N in "reweighted" (the paper's b), at least 2.
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
            "anomalib" blurs as that library does, by 4 pixels at any size, after
            repeating patches,
            and takes neither a ``region`` nor letterboxed images.
        cache: Where ``fit`` holds the patches. None: in memory or, where that has no
            room for them and the coreset, in a file of the user's cache folder that is
            gone at the end, even if the process is killed. A folder: always in files
            there, from which a ``fit`` of the same images and parameters that was
            stopped goes on; deleted once ``fit`` has ended well.
        batch_size: Images a batch; changes speed and memory, not results.
        device: "auto" (the GPU where there is one), "cpu", "cuda" or "cuda:N".
        precision: Of the backbone: "float32", or "bfloat16", faster on some processors.
        runtime: Of the backbone: "torch", or "openvino" (an extra; faster, CPU alone).
        n_workers: Threads that decode, embed, select and search; None: one a core that
            may be used (cgroups and ``OMP_NUM_THREADS`` count), and at most 8 decode.
        on_error: "raise" at an unusable image, or "skip" it and warn.
        progress: Show bars on a terminal for what takes longer than two seconds.
        random_state: Seed of the coreset's start, of the projection and of random
            weights; None draws new ones every time.

    Attributes:
        memory_bank_: The ``MemoryBank``: embeddings (n_bank, n_features) and origins.
        n_patches_: How many patches the training images have, copies not counted, of
            those that were forgotten, too: the coreset's share is one of these.
        covering_radius_: No patch that the bank was chosen from is farther from its
            nearest entry, a float; or None, where no such bound is known
            (``selection="random"``, a ``projection``, models of earlier versions). An
            upper bound: each part that ``partial_fit`` merges, with a count, adds the
            radius of its selection, so that after many parts it says little.
        search_recall_: How well a FAISS ``search`` finds the nearest entries, a
            ``Recall``, measured by ``fit`` on up to 2,000 training patches that are not
            in the bank (their image may be); or None.
        accepted_: What was accepted, an ``Acceptance`` for each call of ``accept`` that
            was not undone; the model file keeps it.

    Other attributes are those of ``AnomalyDetector``.

    Note:
        Memory peak of ``fit`` beyond a batch of images and the network, which takes in
        as many images at once as there are threads: the embeddings,
        4 bytes * n_patches * n_features, the bank, and what ``greedy_coreset`` takes,
        in all under 1.5 times the embeddings for the default at 320 images. Where that
        is not free they go to a file, and memory holds 24 bytes a patch (64 with
        copies, ``contamination`` or a region) and 3.5 times the bank. Copies
        (``augment``) have embeddings, too: with all seven flips and turns eight times
        as many, and eight times the time. ``contamination`` takes under four
        times the embeddings of the patches compared with, 100,000 at most. The same
        images, seed and versions give the same model. On a CPU the scores depend
        neither on batches nor on the number of threads. With one memory bank, image
        scores differ from torch's in float32 by at most 1e-4 relative with OpenVINO in
        float32, and by 5e-2 in bfloat16, where ``fit`` also selects another bank.
        Neither can therefore be changed after ``fit``; ``load`` may choose others.

    References:
        1. K. Roth et al., "Towards total recall in industrial anomaly detection", CVPR
           2022: algorithm 1 is the coreset, equations 6 and 7 are the image score.

    Example:
        >>> import numpy as np
        >>> from adlib import PatchCore
        >>> good = np.random.default_rng(0).random((4, 64, 64), dtype=np.float32)
        >>> model = PatchCore(image_size=64, coreset=0.5).fit(good)
        >>> model.score(good).shape
        (4,)
    """

    memory_bank_: MemoryBank
    n_patches_: int
    covering_radius_: float | None
    search_recall_: Recall | None
    accepted_: tuple[Acceptance, ...] = ()
    _frozen = (*AnomalyDetector._frozen, "search")
    _anomalibs = Drawing("nearest", scaled=False, border="mirror")
    _aggregated_by = (*AnomalyDetector._aggregated_by, "n_neighbors")

    def __init__(
        self,
        *,
        backbone: str = DEFAULT_BACKBONE,
        weights: str | None = "pretrained",
        stages: tuple[int, ...] | None = None,
        image_size: int | tuple[int, int] = 320,
        resize: Resize = "stretch",
        region: RegionLike | None = None,
        align: Reference | None = None,
        color: ColorOrder = "rgb",
        max_value: float | None = None,
        embedding: Embedding = "concat",
        coreset: float = 0.05,
        selection: Selection = "greedy",
        projection: int | None = None,
        augment: tuple[Augmentation, ...] | None = None,
        contamination: float | None = None,
        search: SearchKind = "exact",
        aggregation: Aggregation = "top_mean",
        top_ratio: float = 0.01,
        n_neighbors: int = 9,
        false_positive_rate: float | None = None,
        threshold_rule: RateRule = "quantile",
        review_rate: float | None = None,
        least_area: float = 0.0,
        zones: tuple[int, int] | None = None,
        maps: MapKind = "paper",
        cache: str | os.PathLike[str] | None = None,
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
        self.resize = resize
        self.region = region
        self.align = align
        self.color = color
        self.max_value = max_value
        self.embedding = embedding
        self.coreset = coreset
        self.selection = selection
        self.projection = projection
        self.augment = augment
        self.contamination = contamination
        self.search = search
        self.aggregation = aggregation
        self.top_ratio = top_ratio
        self.n_neighbors = n_neighbors
        self.false_positive_rate = false_positive_rate
        self.threshold_rule = threshold_rule
        self.review_rate = review_rate
        self.least_area = least_area
        self.zones = zones
        self.maps = maps
        self.cache = cache
        self.batch_size = batch_size
        self.device = device
        self.precision = precision
        self.runtime = runtime
        self.n_workers = n_workers
        self.on_error = on_error
        self.progress = progress
        self.random_state = random_state

    def estimate(self, X: Images, *, n_images: int | None = None) -> FitEstimate:
        """Say how long ``fit`` would take, with how much memory and disk.

        The first images, at most 48, are read and embedded, and a coreset of their
        patches is chosen; what that takes is scaled to all images.

        Args:
            X: Images, as in ``fit``; of a stream the first are taken.
            n_images: How many images ``fit`` will be given; None: as many as ``X`` has.

        Returns:
            Seconds and bytes. ``print`` it to read it in words, with what to set where
            the images do not fit. The detector is not changed.

        Raises:
            ImageError, TypeError, ValueError: As ``fit``; or it is not known how many
                images there are.

        Note:
            Of coresets of 0.25 % to 10 % of 100,352 to 313,600 patches, estimated from
            50,176 of them, the time was between 0.9 and 1.6 times the estimate. Other
            work on the machine, and a disk that is slow, are not foreseen.
        """
        return estimate(self, X, n_images)

    def partial_fit(self, X: Images, y: ArrayLike | None = None) -> Self:
        """Add good images to the memory bank without fitting again.

        Where ``coreset`` is a fraction, the bank grows by a coreset of their patches: a
        few images of a new light or camera suffice. Where it is a count, the bank never
        exceeds it, for streams without an end: 64 images at a time, the entries and the
        new patches together are reduced to a coreset of that size. ``augment`` and
        ``contamination`` hold for new images, too; the bank counts as other images.

        Args:
            X: Images of good parts, as in ``fit``.
            y: Labels, (n_images,), as in ``fit``. After labels of 0 and 1, labels that
                are all 1 mean anomalous.

        Returns:
            The estimator, with ``threshold_`` None, since scores change. An estimator
            that is not fitted is fitted: with a count to the first 64 images, to which
            the others are added, and without a threshold. A failed call changes
            nothing.

        Raises:
            ImageError, TypeError, ValueError: As ``fit``; or an estimator with a count
                and ``zones`` is not fitted.

        Note:
            With a fraction all entries are kept, so that no patch score rises. The
            images are appended to ``training_images_``, and ``leave_one_out_scores``
            needs all of them, from files: arrays are numbered from 0 in each call.

            With a count, memory is bounded by four times the bank and twice the patches
            of 64 images, whatever the number of images. Only those that have entries
            stay in ``training_images_``: ``calibrate`` recognises no others, and
            ``leave_one_out_scores`` is of these alone, which are the rarer ones.

        References:
            1. T. F. Gonzalez, "Clustering to minimize the maximum intercluster
               distance", Theoretical Computer Science 38, 1985: the coreset.
            2. M. Ceccarello, A. Pietracaprina, G. Pucci, "Solving k-center clustering
               (with outliers) in MapReduce and streaming, almost as accurately as
               sequentially", PVLDB 12, 2019: greedy coresets of parts, merged.
        """
        fitted, fixed = hasattr(self, "backbone_"), self._fixed
        if not fitted and not fixed:
            return self.fit(X, y)
        owner = f"{type(self).__name__}.partial_fit"
        settings = self._ready() if fitted else self._check_parameters()
        anomalous = None if y is None else as_anomalous(y, owner)
        zero_one = self._one_is_anomalous or (y is not None and one_is_anomalous(y))
        if anomalous is not None and zero_one and np.all(np.asarray(y) == 1):
            anomalous = np.ones_like(anomalous)
        source = open_normal(X, anomalous, owner, settings.pixel_format)
        parts = in_parts(source) if fixed else iter([source])
        richer = copy.copy(self)
        if not fitted:
            if self.zones is not None:
                rule = "None until fit has learned the zones' scales"
                remedy = "Call fit with the first images."
                raise ValueError(
                    refusal("zones", owner, rule, describe(self.zones), remedy)
                )
            rates = {"false_positive_rate": None, "review_rate": None}
            richer.__dict__.update(rates)
            richer.fit(next(parts, source))
            richer.__dict__.update(self._values_of(list(rates)))
        n_added, skipped = richer._add(parts, richer._ready(), owner)
        if fitted and not n_added:
            raise none_usable(owner, len(skipped))
        richer._one_is_anomalous = zero_one
        warn_of_skipped(skipped)
        self.__dict__.update(richer.__dict__)
        return self

    @property
    def _fixed(self) -> bool:
        """Whether the memory bank has a size of its own, whatever is added."""
        coreset: object = self.coreset  # mypy takes no Integral for a float
        return isinstance(coreset, Integral)

    def _add(
        self, parts: Iterable[Source], settings: Settings, owner: str
    ) -> tuple[int, list[Failure]]:
        """Add images, part by part; return how many, and what was skipped."""
        embedder = self._new_embedder(self.backbone_, settings)
        held = Held(
            self.memory_bank_.embeddings,
            self._origins(),
            self.training_images_,
            self.training_digests_,
            self.n_patches_,
            self.covering_radius_,
        )
        last: tuple[Points, Int64Array] | None = None
        n_added, skipped = 0, list[Failure]()
        for source in parts:
            last = None  # or the patches of two parts would be held
            what = "Reading features"
            reading = embed(source, embedder, settings, what, digests=True)
            images = Pass(reading, strict=settings.on_error == "raise")
            taken = self._take_in(held, images, source.n_items, settings, owner)
            skipped += images.skipped
            n_added += len(images.names)
            if taken is not None:
                held, last = taken
            del taken
        if last is not None:
            if self.aggregation == "reweighted":
                n_bank, name = len(held.rows), type(self).__name__
                check_int(n_bank, "the coreset's size", name, low=2)
            bank = self._make_bank(held.rows, held.origins, settings.device)
            recall = self._measure_recall(bank, last[0].embeddings, last[1], settings)
            all_skipped = [*self.skipped_, *skipped]
            self._replace_bank(bank, held.names, held.digests, all_skipped)
            self.n_patches_, self.covering_radius_ = held.n_patches, held.radius
            self.search_recall_ = recall
            self._keep_accepted()
        return n_added, skipped

    def _take_in(
        self,
        held: Held,
        images: Pass,
        n_images: int | None,
        settings: Settings,
        owner: str,
    ) -> tuple[Held, tuple[Points, Int64Array]] | None:
        """Return a bank with images, and what was chosen from: points, and indices.

        None: no image is usable.
        """
        with closing(iter(images)) as coming:
            points = gather(coming, n_images, self._room(settings))
        if not images.names:
            return None
        copies = copies_of(self.augment, settings.image_size)
        points, n_new = own_patches(points, copies)
        points = self._vouched(points, settings, owner, held.rows)
        if not self._fixed:
            size = coreset_size(self.coreset, n_new)
            kept, reach = self._select(points, size, settings)
            chosen = points.embeddings[kept], points.origins(kept)
            return held.grown(*chosen, images, n_new, reach), (points, kept)
        seen = len(held.rows), held.n_patches * (1 + len(copies))
        size = coreset_size(self.coreset, held.n_patches + n_new)
        points = union(held.rows, held.origins, points, len(held.names))
        kept, reach = self._select(points, size, settings, seen)
        chosen = points.embeddings[kept], points.origins(kept)
        return held.reduced(*chosen, images, n_new, reach), (points, kept)

    def forget(self, names: Sequence[str | os.PathLike[str]]) -> Self:
        """Remove all that is stored of some training images.

        Their entries leave the memory bank, and their names and digests the lists of
        images; so do those of copies, images of the same pixels under other names.

        Args:
            names: Names of images, as ``training_images_`` has them.

        Returns:
            The estimator, with ``threshold_`` None, since scores rise, and no
            ``search_recall_``. A failed call changes nothing.

        Raises:
            NotFittedError: ``fit`` was not called.
            TypeError: ``names`` is no list of names.
            ValueError: Nothing is stored of a name, or no other image has entries.

        Note:
            A file that is saved then holds no name, digest or embedding of the images.
            What cannot be undone without ``fit``: which other entries were chosen
            beside theirs, and the numbers ``n_patches_``, ``covering_radius_`` and
            ``zone_scales_``. The reference of ``align`` stays. ``calibrate`` stores
            scores without names; they go, too.
        """
        self._check_fitted()
        owner = f"{type(self).__name__}.forget"
        settings = self._ready()
        images, digests = self.training_images_, self.training_digests_
        skipped = self.skipped_
        # A bank of a fixed size drops images that acceptances still name.
        known = images + [one.name for one in skipped]
        known += [image.name for one in self.accepted_ for image in one.images]
        asked = check_names(names, known, owner)
        gone = to_forget(asked, images, digests)
        rows, origins = self.memory_bank_.embeddings, self._origins()
        left_out = gone[origins[:, 0]]
        fewest = 2 if self.aggregation == "reweighted" else 1
        if (~left_out).sum() < fewest:
            rule = f"such that {fewest} or more entries of other images are left"
            came = f"{gone.sum()} of {len(gone)} images"
            remedy = "Fit again without them."
            raise ValueError(refusal("names", owner, rule, came, remedy))
        others = origins[~left_out]
        others[:, 0] = np.cumsum(~gone)[others[:, 0]] - 1
        bank = self._make_bank(rows[~left_out], others, settings.device)
        if self.covering_radius_ is not None and left_out.any():
            # What they covered is now covered by what is nearest to them.
            distances = bank.kneighbors(rows[left_out]).distances
            self.covering_radius_ += float(distances.max())
        self._replace_bank(
            bank,
            [one for one, away in zip(images, gone, strict=True) if not away],
            [one for one, away in zip(digests, gone, strict=True) if not away],
            [one for one in skipped if one.name not in asked],
        )
        self.search_recall_ = None
        away = {name for name, one in zip(images, gone, strict=True) if one} | asked
        self._keep_accepted(away)
        return self

    def _keep_accepted(self, gone: Collection[str] = ()) -> None:
        """Keep what was accepted, but for some images, as what cannot be undone."""
        kept = [without(one, gone) for one in self.accepted_]
        self.accepted_ = tuple(one for one in kept if one.images)

    def accept(
        self,
        X: Images,
        *,
        by: str,
        sha256: Sequence[str] = (),
        model: str = "",
    ) -> Self:
        """Take into the memory bank why good images did not pass.

        Of images that somebody has confirmed to be good, the patches whose score is
        above the threshold become entries, and no others (above ``review_threshold_``,
        where there is one). So these images pass from then on, and what looks like
        those patches scores lower. What was accepted is kept in ``accepted_``.

        No score rises, of whatever image. So the thresholds stay, and what they promise
        of new good images still holds: at most the same share is above. Defects score
        lower, too, those most that look like the patches. Score some that are known
        before you use the model, as ``adlib accept`` does.

        Args:
            X: Images of good parts, as in ``fit``.
            by: The name of who accepts them.
            sha256: SHA-256 of their files, to be kept beside their names; or empty.
            model: SHA-256 of the model's file, to be kept, too; or "".

        Returns:
            The estimator, with thresholds as they were; calibrate it with other good
            images for lower ones. A failed call changes nothing.

        Raises:
            NotFittedError: ``fit`` was not called, or nothing has set a threshold.
            ImageError: No image is usable.
            TypeError: ``by``, ``sha256`` or ``model`` is no text.
            ValueError: No patch is above the threshold; ``by`` is empty; ``sha256`` has
                another length; or the aggregation is "reweighted" or the search not
                "exact", with which scores may rise.

        Note:
            Entries are appended to the bank, whatever ``coreset`` says, and the images
            to ``training_images_``, so that ``calibrate`` leaves them out.
        """
        self._check_fitted()
        owner = f"{type(self).__name__}.accept"
        digests = check_accepted(by, sha256, model, owner)
        settings = self._ready()
        for name, value, held in (
            ("aggregation", self.aggregation, self.aggregation != "reweighted"),
            ("search", self.search, self.search == "exact"),
        ):
            if not held:
                rule = "one with which new entries raise no score"
                remedy = "Use partial_fit and calibrate again."
                raise ValueError(refusal(name, owner, rule, repr(value), remedy))
        limit = self._threshold("review_threshold_")
        limit = self._threshold() if limit is None else limit
        if limit is None:
            raise self._no_threshold()
        source = open_normal(X, None, owner, settings.pixel_format)
        reading = embed(source, self._embedder(), settings, "Accepting", digests=True)
        images = Pass(reading, owner, strict=settings.on_error == "raise")
        found = patches_above(
            images, lambda rows: self._nearest(rows)[0], limit, self.grid_
        )
        if digests and len(digests) != images.n_images:
            rule = f"one for each of {images.n_images} images, or empty"
            raise ValueError(refusal("sha256", owner, rule, f"{len(digests)}"))
        if not len(found.rows):
            rule = f"images of which a patch scores above {limit:.6g}"
            came = f"{len(images.names)} of which none does: they pass"
            raise ValueError(refusal("X", owner, rule, came))
        taken = tuple(
            AcceptedImage(name, digests[position] if digests else "")
            for name, position in zip(images.names, images.positions, strict=True)
        )
        radius = self.covering_radius_
        before = Before(
            len(self.training_images_),
            len(self.memory_bank_),
            self.n_patches_,
            radius,
            self.threshold_,
            self.pixel_threshold_,
            self.review_threshold_,
            self.calibration_,
        )
        acceptance = Acceptance(by, now(), model, taken, len(found.rows), before)
        bank = self.memory_bank_
        origins = found.origins + np.array([before.n_images, 0, 0])
        self.memory_bank_ = self._make_bank(
            np.concatenate([bank.embeddings, found.rows]),
            np.concatenate([self._origins(), origins]),
            settings.device,
        )
        self.__dict__.update(
            training_images_=[*self.training_images_, *images.names],
            training_digests_=[*self.training_digests_, *images.digests],
            skipped_=[*self.skipped_, *images.skipped],
            n_patches_=self.n_patches_ + found.n_patches,
            covering_radius_=None if radius is None else max(radius, found.farthest),
            examination_=None,
            accepted_=(*self.accepted_, acceptance),
        )
        warn_of_skipped(images.skipped)
        return self

    def undo_accept(self) -> Self:
        """Undo the last ``accept``.

        Returns:
            The estimator, which scores bit for bit as before that call and has the
            thresholds of before; or none, where ``calibrate`` has since set them for
            scores that are aggregated otherwise. A failed call changes nothing.

        Raises:
            NotFittedError: ``fit`` was not called.
            ValueError: Nothing was accepted, or ``partial_fit`` or ``forget`` has
                changed the memory bank since.
        """
        self._check_fitted()
        settings, owner = self._ready(), f"{type(self).__name__}.undo_accept"
        before = self.accepted_[-1].before if self.accepted_ else None
        if before is None:
            why = "nothing was accepted"
            if self.accepted_:
                why = "partial_fit or forget has changed the memory bank since"
            raise ValueError(f"{owner} has nothing to undo: {why}.")
        rows = self.memory_bank_.embeddings[: before.n_entries]
        origins = self._origins()[: before.n_entries]
        self.memory_bank_ = self._make_bank(rows, origins, settings.device)
        self.__dict__.update(
            {f"{name}_": getattr(before, name) for name in LIMITS},
            calibration_=before.calibration,
            training_images_=self.training_images_[: before.n_images],
            training_digests_=self.training_digests_[: before.n_images],
            n_patches_=before.n_patches,
            covering_radius_=before.covering_radius,
            examination_=None,
            accepted_=self.accepted_[:-1],
        )
        return self

    def _take_over(self, calibration: Calibration | None) -> None:
        then = getattr(self, "_calibrated_with", None)
        super()._take_over(calibration)
        if then is not None and then != self._calibrated_with:
            self.accepted_ = tuple(without_limits(one) for one in self.accepted_)

    def _replace_bank(
        self,
        bank: MemoryBank,
        names: list[str],
        digests: list[str],
        skipped: list[Failure],
    ) -> None:
        """Take over another bank and its images; what was known of scores is void."""
        self.__dict__.update(
            memory_bank_=bank,
            training_images_=names,
            training_digests_=digests,
            skipped_=skipped,
            left_out_scores_=None,
            examination_=None,
        )
        self._take_over(None)

    def explain(self, X: Images) -> list[Explanation]:
        """Return for each image its highest patch score and the training patch nearest.

        Args:
            X: Images, as in ``fit``.

        Returns:
            One ``Explanation`` an image; skipped images have none, and one warning
            lists them. Of equal patches or entries the first is named.
        """
        images = Pass(self._embed(X, "explain", "Explaining"))
        explanations: list[Explanation] = []
        for patches in images:
            distances, nearest = self._nearest(patches.embeddings)
            worst = distances.argmax(axis=1).tolist()
            places = np.arange(self.grid_[0] * self.grid_[1])
            if patches.inside is not None:
                places = np.flatnonzero(patches.inside.patches)
            for i, name in enumerate(patches.names):
                image, row, column = self._origins()[nearest[i, worst[i]]].tolist()
                explanation = Explanation(
                    path=name,
                    patch=divmod(int(places[worst[i]]), self.grid_[1]),
                    distance=float(distances[i, worst[i]]),
                    compared_with=self.training_images_[image],
                    compared_patch=(row, column),
                )
                explanations.append(explanation)
        warn_of_skipped(images.skipped)
        return explanations

    def _describe(self) -> dict[str, str]:
        n_bank, n_features = self.memory_bank_.embeddings.shape
        share = 100 * n_bank / self.n_patches_
        texts = {
            "memory bank": f"{n_bank:,} of {self.n_patches_:,} patches "
            f"({share:.3g} %), {n_features} features, {self.search} search",
        }
        if self.augment:
            texts["memory bank"] += f", from copies too ({', '.join(self.augment)})"
        if self.contamination:
            share = f"{100 * self.contamination:.3g} % of patches"
            texts["memory bank"] += f", without the {share} farthest from other images"
        if self.covering_radius_ is not None:
            radius = f"{self.covering_radius_:.4g}"
            texts["covering radius"] = f"covering radius at most {radius}"
        recall = self.search_recall_
        if recall is not None:
            texts["search"] = (
                f"{self.search}, recall@1 {recall.recall:.4f} of {recall.n_queries:,} "
                "training patches that the bank does not hold (the images they came "
                "from left in)"
            )
            if recall.mean_exact > 0.0:
                excess = 100 * (recall.mean_distance / recall.mean_exact - 1)
                texts["search"] += f", distances {excess:.2g} % too long on average"
        if self.accepted_:
            last = self.accepted_[-1]
            texts["accepted"] = (
                f"accepted {sum(len(one.images) for one in self.accepted_)} images and "
                f"{sum(one.n_entries for one in self.accepted_)} entries of them, last "
                f"by {last.by} at {last.when}"
            )
            if last.before is not None and last.before.calibration == self.calibration_:
                texts["accepted"] += (
                    "; the threshold was set before: no score has risen since, so that "
                    "rates are at most those stated"
                )
        return texts

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model to one file, whole or not at all; ``adlib.load`` reads it.

        The file holds parameters, threshold, memory bank, the trained index of an
        approximate ``search`` and the backbone's tensors, so that it scores the same on
        a machine that can reach no model hub. Nothing in it is code.

        Args:
            path: The file, which is replaced if it is there; the folder must exist.

        Raises:
            NotFittedError: ``fit`` was not called.
            OSError: The file cannot be written.
        """
        self._check_fitted()
        state: dict[str, Any] = {"n_patches": self.n_patches_}
        if self.covering_radius_ is not None:
            state["covering_radius"] = self.covering_radius_
        if self.search_recall_ is not None:
            state["search_recall"] = list(self.search_recall_)
        if self.accepted_:
            state["accepted"] = [as_state(one) for one in self.accepted_]
        bank = self.memory_bank_
        tensors: dict[str, AnyArray | None] = {
            "bank.embeddings": bank.embeddings,
            "bank.origins": self._origins(),
            "bank.index": bank.index_bytes(),
        }
        save_detector(self, path, state, tensors)

    def _restore(self, content: ModelContent, device: str) -> None:
        restore_detector(self, content, device)
        channels = [stage.channels for stage in self.backbone_.stages]
        n_features = embedding_length(self.embedding, channels)
        embeddings = tensor_of(
            content, "bank.embeddings", np.float32, (None, n_features)
        )
        origins = tensor_of(content, "bank.origins", np.int64, (len(embeddings), 3))
        limits = np.array([len(self.training_images_), *self.grid_])
        if (origins < 0).any() or (origins >= limits).any():
            raise damaged("bank.origins", f"image, row and column below {limits}")
        state = content.header["state"]
        self.n_patches_ = number(state, "n_patches", int)
        if self.n_patches_ < len(embeddings):
            raise damaged("n_patches", f"at least {len(embeddings)}, the bank's size")
        self.covering_radius_ = None
        if "covering_radius" in state:  # older files know none
            self.covering_radius_ = number(state, "covering_radius", float)
            if self.covering_radius_ < 0.0:
                raise damaged("covering_radius", "a distance")
        self.search_recall_ = None
        if "search_recall" in state:
            n, share, found, exact = numbers(state, "search_recall", float, length=4)
            if n < 1 or not 0.0 <= share <= 1.0 or min(found, exact) < 0.0:
                raise damaged("search_recall", "a count, a share and two distances")
            self.search_recall_ = Recall(int(n), share, found, exact)
        self.accepted_ = accepted_of(state, len(self.training_images_), origins)
        index = None
        if self.search not in UNTRAINED:
            index = tensor_of(content, "bank.index", np.uint8, (None,))
        try:
            self.memory_bank_ = self._make_bank(embeddings, origins, device, index)
        except ValueError as error:
            raise ModelFileError(f"The model file is damaged: {error}") from error

    def _check_parameters(self) -> Settings:
        owner = type(self).__name__
        check_coreset(self.coreset, "coreset", owner)
        if self.projection is not None:
            check_int(self.projection, "projection", owner, low=1)
        check_option(self.selection, "selection", owner, get_args(Selection))
        check_option(self.resize, "resize", owner, get_args(Resize))
        check_augment(self.augment, owner)
        check_contamination(self.contamination, owner)
        check_option(self.search, "search", owner, get_args(SearchKind))
        check_option(self.aggregation, "aggregation", owner, get_args(Aggregation))
        check_ratio(self.top_ratio, "top_ratio", owner, closed=True)
        check_int(self.n_neighbors, "n_neighbors", owner, low=2)
        check_folder(self.cache, "cache", owner)
        return check_settings(self)

    def _room(self, settings: Settings) -> Room:
        """Return where patches may be held."""
        copies = copies_of(self.augment, settings.image_size)
        numbered = bool(copies) or self.contamination is not None
        return Room.of(
            self.cache,
            coreset=self.coreset,
            n_copies=len(copies),
            numbered=numbered or settings.region is not None,
            progress=settings.progress,
        )

    def _journal(
        self, backbone: Backbone, settings: Settings, n_images: int | None
    ) -> AbstractContextManager[Journal | None]:
        if self.cache is None:
            return nullcontext()
        region = None if settings.region is None else settings.region.region
        alignment = settings.alignment
        reference = None if alignment is None else alignment.reference
        # Of a function nobody knows whether it is the same: then nothing goes on.
        of_region = secrets.token_hex(8) if callable(region) else digest_of(region)
        parameters = {
            "version": __version__,
            "backbone": backbone.fingerprint.hex(),
            "image_size": settings.image_size,
            "pixels": settings.pixel_format,
            "embedding": self.embedding,
            "resize": self.resize,
            "augment": self.augment,
            "region": of_region,
            "polygons": repr(self.region) if region is None else None,
            "align": digest_of(reference),
        }
        room, batch_size = self._room(settings), settings.batch_size
        return Journal(room, parameters, n_images, batch_size)

    def _new_embedder(self, backbone: Backbone, settings: Settings) -> Embed:
        embedder = Embedder(backbone, settings.embedding)
        copies = copies_of(self.augment, settings.image_size)
        return WithCopies(embedder, copies) if copies else embedder

    def _embedder(self) -> Embed:
        return Embedder(self.backbone_, self.embedding)

    def _learn(
        self,
        patches: Iterator[Patches],
        n_images: int | None,
        embedder: Embed,
        settings: Settings,
    ) -> dict[str, Any]:
        copies = copies_of(self.augment, settings.image_size)
        gathered = gather(patches, n_images, self._room(settings), settings.journal)
        if self.contamination is not None and settings.journal is not None:
            settings.journal.forget()  # whose patches are moved
        gathered, n_patches = own_patches(gathered, copies)
        owner = type(self).__name__
        points = self._vouched(gathered, settings, f"{owner}.fit")
        del gathered
        size = coreset_size(self.coreset, n_patches)
        kept, radius = self._select(points, size, settings)
        if self.aggregation == "reweighted":
            check_int(len(kept), "the coreset's size", owner, low=2)
        rows = points.embeddings
        bank = self._make_bank(rows[kept], points.origins(kept), settings.device)
        return {
            "grid_": points.grid,
            "memory_bank_": bank,
            "covering_radius_": radius,
            "n_patches_": n_patches,
            "search_recall_": self._measure_recall(bank, rows, kept, settings),
            "accepted_": (),
        }

    @in_its_threads
    def _vouched(
        self,
        points: Points,
        settings: Settings,
        owner: str,
        known: Float32Array | None = None,
    ) -> Points:
        """Return the points that other images or ``known`` vouch for."""
        if self.contamination is None:
            return points
        return vouched(points, self.contamination, known, settings, owner)

    @in_its_threads
    def _measure_recall(
        self,
        bank: MemoryBank,
        points: Float32Array,
        kept: Int64Array,
        settings: Settings,
    ) -> Recall | None:
        """Measure an approximate search on training patches outside of the bank."""
        others = np.delete(np.arange(len(points)), kept)
        if self.search == "exact" or not len(others):
            return None
        if len(others) > RECALL_QUERIES:
            rng = np.random.default_rng(settings.random_state)
            others = np.sort(rng.choice(others, RECALL_QUERIES, replace=False))
        return bank.recall(points[others])

    @in_its_threads
    def _select(
        self,
        points: Points,
        size: int,
        settings: Settings,
        seen: tuple[int, int] | None = None,
    ) -> tuple[Int64Array, float | None]:
        """Return which points are kept, ascending: the bank reads as the images do.

        Also an upper bound of their covering radius, where one is known. ``size`` is
        how many at most. ``seen`` says how many of the points, the first ones, were
        selected before, and of how many.
        """
        seed, rows, scratch = settings.random_state, points.embeddings, points.folder
        size = min(size, len(rows))
        if self.selection == "random":
            n_known, n_seen = seen or (0, 0)
            if n_known:
                kept = drawn(n_known, len(rows) - n_known, n_seen, size, seed)
                return kept, None
            rng = np.random.default_rng(seed)
            return np.sort(rng.choice(len(rows), size, replace=False)), None
        measured = rows
        if self.projection is not None:
            measured = random_projection(
                rows, self.projection, random_state=seed, scratch=scratch
            )
        selected = greedy_coreset(
            measured,
            size,
            random_state=seed,
            device=settings.device,
            progress=settings.progress,
            scratch=scratch,
        )
        bound = None
        if self.projection is None:
            bound = radius_bound(rows[selected], len(rows))
        return np.sort(selected), bound

    @in_its_threads
    def _make_bank(
        self,
        embeddings: Float32Array,
        origins: Int64Array,
        device: str,
        index: AnyArray | None = None,
    ) -> MemoryBank:
        kind = self.search
        return MemoryBank(
            embeddings, search=kind, origins=origins, device=device, index=index
        )

    def _origins(self) -> Int64Array:
        origins = self.memory_bank_.origins
        assert origins is not None  # PatchCore's own banks always know them
        return origins

    @in_its_threads
    def _nearest(
        self, embeddings: Float32Array, left_out: Int64Array | None = None
    ) -> tuple[Float32Array, Int64Array]:
        """Return distance to and index of the entry nearest to each patch.

        Both are (n, n_patches) for (n, height, width, features). Entries that came from
        the training image ``left_out``, one for each of the n, do not count.
        """
        n_images = len(embeddings)
        queries = embeddings.reshape(-1, embeddings.shape[3])
        if left_out is not None:
            left_out = np.repeat(left_out, len(queries) // n_images)
        distances, nearest = self.memory_bank_.kneighbors(queries, left_out=left_out)
        return distances.reshape(n_images, -1), nearest.reshape(n_images, -1)

    def _check_others(self, left_out: Int64Array | None) -> None:
        """Raise where too few entries are left to score an image without its own."""
        fewest = 2 if self.aggregation == "reweighted" else 1
        if left_out is None or self.memory_bank_.fewest_left(left_out) >= fewest:
            return
        name = type(self).__name__
        rule = f"so large that {fewest} or more entries are left without any image's"
        came = f"{describe(self.coreset)}, a memory bank of {len(self.memory_bank_)}"
        remedy = "Raise it, or set thresholds by calibrate, with images held out."
        raise ValueError(refusal("coreset", name, rule, came, remedy))

    def _score_patches(self, embeddings: Float32Array) -> Scored:
        return self._score_left_out(embeddings, None)

    def _score_left_out(
        self, embeddings: Float32Array, images: Int64Array | None
    ) -> Scored:
        self._check_others(images)
        distances, nearest = self._nearest(embeddings, images)
        scores = self._aggregate(embeddings, distances, nearest, images)
        shape = embeddings.shape[:3]
        return Scored(scores, distances.reshape(shape), nearest=nearest)

    @in_its_threads
    def _score_images(self, embeddings: Float32Array) -> Float32Array:
        patches = embeddings.reshape(len(embeddings), -1, embeddings.shape[3])
        n_top = 1  # which "max" and "reweighted" take
        if self.aggregation == "top_mean":
            n_top = n_highest(patches.shape[1], self.top_ratio)
        distances, nearest = self.memory_bank_.farthest(patches, n_top)
        return self._aggregate(embeddings, distances, nearest, None)

    @in_its_threads
    def _aggregate(
        self,
        embeddings: Float32Array,
        distances: Float32Array,
        nearest: Int64Array,
        left_out: Int64Array | None,
    ) -> Float32Array:
        """Return image scores from the distance of each patch, (n, n_patches)."""
        if self.aggregation == "max":
            return np.asarray(distances.max(axis=1))
        if self.aggregation == "top_mean":
            return top_mean_scores(distances, self.top_ratio)
        return reweighted_scores(
            distances,
            nearest,
            embeddings.reshape(*distances.shape, -1),
            self.memory_bank_,
            self.n_neighbors,
            left_out,
        )
