"""Set a threshold from scores; refuse scores that a threshold cannot come from."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias, get_args

import numpy as np

from adlib._typing import (
    AnyArray,
    BoolArray,
    Float64Array,
    Int64Array,
)
from adlib._validation import check_option, check_ratio, describe, refusal
from adlib.estimators._labels import check_both_classes, check_one_each
from adlib.estimators._patches import Pass, Patches
from adlib.estimators._results import Scored
from adlib.exceptions import ImageError, InputWarning
from adlib.images import Images
from adlib.metrics import compute_auroc, delong_interval
from adlib.thresholds import (
    calibrate_threshold,
    conformal_threshold,
    log_normal_threshold,
    lowest_rate,
)
from adlib.thresholds._log_normal import FEWEST_SCORES, HALF, RateRule

CalibrationKind: TypeAlias = Literal["conformal", "held-out", "leave-one-out", "F1"]
FEWEST_IMAGES = 3  # two others, of which a covariance can be made
ODD = 0.05  # chance that good images of a log-normal law are warned of as odd
MOST_NAMED = 3  # images that a message names
CHANCE = 0.5  # the AUROC of scores that tell nothing
NAMELESS = re.compile(r"image \d+")  # names of images without a path
CALLER = 4  # stack levels from a warning here to who called the estimator


class Calibration(NamedTuple):
    """How a threshold was set.

    Attributes:
        threshold: Above it an image is predicted anomalous.
        pixel_threshold: Above it a pixel of an anomaly map, with ``zones`` divided by
            its zone's scale, is drawn as anomalous: as many of the good images show a
            region of such pixels, of ``least_area`` or more, as may be predicted
            anomalous.
        kind: "conformal" (good images that ``fit`` did not see, with a guarantee),
            "held-out" (the same by a log-normal law, without one), "leave-one-out"
            (training images, each scored without itself) or "F1" (good and anomalous
            images).
        false_positive_rate: The rate that was asked for, in (0, 1); None with "F1".
        n_normal: Good images that the threshold was set from.
        n_anomalous: Anomalous images that it was set from.
        rule: The ``threshold_rule`` that was followed; "quantile" with "F1", too.
        review_rate: The rate that was asked for the review threshold; or None.
        review_threshold: Above it, and up to the threshold, the decision is "REVIEW";
            or None.
        scores: Of the good images, (n_normal,), ascending, for p-values; empty in
            models of earlier versions. They are left out where this is printed.
    """

    threshold: float
    pixel_threshold: float
    kind: CalibrationKind
    false_positive_rate: float | None
    n_normal: int
    n_anomalous: int = 0
    rule: RateRule = "quantile"
    review_rate: float | None = None
    review_threshold: float | None = None
    scores: tuple[float, ...] = ()

    def __repr__(self) -> str:
        shown = self._asdict() | {"scores": f"{len(self.scores)} numbers"}
        return f"Calibration({', '.join(f'{k}={v!r}' for k, v in shown.items())})"


class Rates(NamedTuple):
    """Shares of good images, and the rule by which they become thresholds."""

    false_positive: float
    review: float | None = None
    rule: RateRule = "quantile"


class Candidates(NamedTuple):
    """What is known of images that may set a threshold, (n,) each.

    ``peaks`` are the thresholds from which on their anomaly maps show no region.
    """

    positions: Int64Array
    names: AnyArray
    digests: AnyArray
    scores: Float64Array
    peaks: Float64Array

    @classmethod
    def of(
        cls,
        images: Pass,
        score: Callable[[Patches, Int64Array], Scored],
        peaks_of: Callable[[Scored, Patches], list[float]],
    ) -> Candidates:
        """Score images in one pass; ``score`` is also given the numbers of a batch."""
        scores, peaks = [np.empty(0, np.float32)], [np.empty(0, np.float32)]
        for patches in images:
            last = len(images.names)
            scored = score(patches, np.arange(last - len(patches.names), last))
            scores.append(scored.image_scores)
            peaks.append(np.array(peaks_of(scored, patches), np.float32))
        return cls(
            np.array(images.positions, np.int64),
            np.array(images.names, np.str_),
            np.array(images.digests, np.str_),
            np.concatenate(scores).astype(np.float64),
            np.concatenate(peaks).astype(np.float64),
        )

    def only(self, kept: BoolArray | Int64Array) -> Candidates:
        """Return those that are kept."""
        return Candidates._make(part[kept] for part in self)


def calibration(
    candidates: Candidates,
    n_images: int,
    labels: BoolArray | None,
    rates: Rates,
    known: tuple[Sequence[str], Sequence[str]],
    owner: str,
) -> Calibration:
    """Return the threshold of images that were not learned from.

    ``labels`` say which of the ``n_images`` are anomalous, skipped ones included; None:
    all are good. ``known`` are names and digests of the images that were learned from.
    """
    if not len(candidates.scores):
        raise ImageError(f"X of {owner} must hold at least one usable image.")
    anomalous = np.zeros(len(candidates.scores), np.bool_)
    if labels is not None:
        check_one_each(labels, n_images, owner)
        anomalous = labels[candidates.positions]
        check_both_classes(anomalous, owner)
    new = _new_ones(candidates, anomalous, *known, owner)
    candidates, anomalous = candidates.only(new), anomalous[new]
    first = _first_ones(candidates, anomalous, owner)
    candidates, anomalous = candidates.only(first), anomalous[first]
    if labels is None:
        kind: CalibrationKind = "conformal"
        if rates.rule == "log-normal":
            kind = "held-out"
        return _at_rates(candidates, rates, kind, "calibrate")
    return _f1_calibration(candidates, anomalous, owner)


def _new_ones(
    candidates: Candidates,
    anomalous: BoolArray,
    training_images: Sequence[str],
    training_digests: Sequence[str],
    owner: str,
) -> BoolArray:
    """Return which candidates were not learned from, or raise if most of a kind were.

    Content is compared, not names; only where a model of an earlier version knows no
    digest of an image are paths.
    """
    learned = np.isin(candidates.digests, training_digests)
    paths = {
        Path(name).resolve()
        for name, digest in zip(training_images, training_digests, strict=True)
        if not digest and not NAMELESS.fullmatch(name)
    }
    if paths:
        learned |= [Path(name).resolve() in paths for name in candidates.names]
    remedy = (
        "They score too low to set a threshold. Pass other images; or have fit score "
        "each training image as if it had not been learned from (false_positive_rate "
        "of the estimator, --leave-one-out of the command)."
    )
    for of_kind, kind, advice in (
        (~anomalous, "good", remedy),
        (anomalous, "anomalous", "Fit without them."),
    ):
        both = learned & of_kind
        if both.any() and 2 * both.sum() >= of_kind.sum():
            rule = f"{kind} images that fit did not learn from"
            named = _named(candidates.names[both])
            came = f"{both.sum()} of {of_kind.sum()} that it learned from: {named}"
            raise ValueError(refusal("X", owner, rule, came, advice))
    if learned.any():
        warnings.warn(
            f"{learned.sum()} of {len(learned)} images given to {owner} were learned "
            f"from and are left out: {_named(candidates.names[learned])}. Pass images "
            "that fit did not learn from.",
            InputWarning,
            stacklevel=CALLER,
        )
    return ~learned


def _first_ones(candidates: Candidates, anomalous: BoolArray, owner: str) -> Int64Array:
    """Return which candidates differ from all before, or raise if labels contradict."""
    digests = candidates.digests
    torn = anomalous & np.isin(digests, digests[~anomalous])
    if torn.any():
        rule = "one label for each image"
        came = f"copies labelled normal and anomalous: {_named(candidates.names[torn])}"
        raise ValueError(refusal("y", owner, rule, came))
    _, first = np.unique(digests, return_index=True)
    if len(first) < len(anomalous):
        copies = np.delete(candidates.names, first)
        warnings.warn(
            f"{len(copies)} of {len(anomalous)} images given to {owner} are copies of "
            f"others and count once: {_named(copies)}. Pass one image of each part.",
            InputWarning,
            stacklevel=CALLER,
        )
    return np.sort(first)


def left_out_calibration(
    candidates: Candidates, rates: Rates, owner: str
) -> Calibration:
    """Return the threshold of training images that were scored without themselves."""
    different, counts = np.unique(candidates.digests, return_counts=True)
    copied = np.isin(candidates.digests, different[counts > 1])
    alone = candidates.only(~copied)
    if not len(alone.scores) or np.ptp(alone.scores) == 0:
        rule = "images that differ, to score each as if it had not been learned from"
        came = f"{len(copied)} images, {copied.sum()} of them copies of one another"
        if len(alone.scores):
            came += f", with no score but {alone.scores[0]:g}"
        raise ValueError(refusal("X", owner, rule, came))
    lowest, rate = lowest_rate(len(alone.scores)), rates.false_positive
    if copied.any() and rates.rule == "quantile" and rate < lowest:
        rule = f"at least {lowest:.3g} for {len(alone.scores)} images without a copy"
        came = f"{rate:.3g} and {copied.sum()} copies of one another: "
        came += _named(candidates.names[copied])
        remedy = "Pass one image of each part."
        raise ValueError(refusal("false_positive_rate", owner, rule, came, remedy))
    found = _at_rates(alone, rates, "leave-one-out", owner)
    if rates.rule == "quantile":
        _warn_of_odd(alone, found.threshold, owner)
    if copied.any():
        warnings.warn(
            f"{copied.sum()} of {len(copied)} images given to {owner} are copies of "
            f"one another: {_named(candidates.names[copied])}. Left out alone, a copy "
            f"scores too low; the threshold is set from the other {len(alone.scores)}. "
            "Pass one image of each part.",
            InputWarning,
            stacklevel=3,  # the caller of fit
        )
    return found


def _warn_of_odd(alone: Candidates, threshold: float, owner: str) -> None:
    """Warn where a threshold is an image's score that good images would hardly have.

    That is one above what, of so many images of a log-normal law, none exceeds in 19 of
    20 sets of them.
    """
    try:
        limit = log_normal_threshold(alone.scores, ODD / len(alone.scores))
    except ValueError:  # no such law can be fitted: nothing is known
        return
    if threshold > limit:
        odd = alone.names[alone.scores >= threshold]
        warnings.warn(
            f"The threshold that {owner} set, {threshold:.6g}, is the score of a "
            f"training image that is unlike the others: {_named(odd)}. Their scores "
            f"let expect none above {limit:.6g}, and defects between are missed. Look "
            'at it; fit without it if it is not good, or set threshold_rule="log-'
            'normal", which it hardly moves.',
            InputWarning,
            stacklevel=4,  # the caller of fit
        )


def check_rates(rate: object, review_rate: object, rule: object, owner: str) -> Rates:
    """Return the rates and the rule, or raise for the first that is wrong."""
    followed: RateRule = check_option(rule, "threshold_rule", owner, get_args(RateRule))
    rate = check_ratio(rate, "false_positive_rate", owner, closed=False)
    if review_rate is not None:
        review_rate = check_ratio(review_rate, "review_rate", owner, closed=False)
        if review_rate <= rate:
            wanted = f"above {rate:g}, the false_positive_rate, or None"
            raise ValueError(refusal("review_rate", owner, wanted, review_rate))
    for name, one in (("false_positive_rate", rate), ("review_rate", review_rate)):
        if followed == "log-normal" and one is not None and one >= HALF:
            wanted = f"below {HALF} with threshold_rule='log-normal'"
            raise ValueError(refusal(name, owner, wanted, one))
    return Rates(rate, review_rate, followed)


def check_left_out(X: Images, n_images: int | None, rates: Rates, owner: str) -> None:
    """Raise unless images can be left out, and are enough for a rate if counted."""
    if not isinstance(X, str | os.PathLike) and not hasattr(X, "__getitem__"):
        rule = "images in a fixed order that can be read twice, to leave each one out"
        remedy = "Pass a list or a folder, or call calibrate with images held out."
        raise ValueError(refusal("X", owner, rule, describe(X), remedy))
    if n_images is None:
        return
    log_normal = rates.rule == "log-normal"
    fewest = FEWEST_SCORES if log_normal else FEWEST_IMAGES
    if n_images < fewest:
        rule = f"at least {fewest} images, to leave each one out"
        raise ValueError(refusal("X", owner, rule, str(n_images)))
    rate = rates.false_positive
    if not log_normal and rate < lowest_rate(n_images):
        rule = f"at least {lowest_rate(n_images):.3g} for {n_images} images"
        raise ValueError(refusal("false_positive_rate", owner, rule, rate))


def check_same_images(
    patches: Patches,
    first: int,
    names: Sequence[str],
    digests: Sequence[str],
    owner: str,
) -> None:
    """Raise unless a batch holds the training images from number ``first`` on."""
    read = zip(patches.names, patches.digests, strict=True)
    for number, (name, digest) in enumerate(read, start=first):
        came = f"{name!r} as number {number}"
        if number >= len(names) or name != names[number]:
            raise others(names, came, owner)
        if digests[number] not in ("", digest):  # an earlier version knew none
            raise others(names, f"{came}, other pixels", owner)


def others(names: Sequence[str], came: str, owner: str) -> ValueError:
    """Return the error for images that are not the training images."""
    rule = f"the {len(names)} images that fit learned from, in the same order"
    return ValueError(refusal("X", owner, rule, came))


def _at_rates(
    candidates: Candidates, rates: Rates, kind: CalibrationKind, owner: str
) -> Calibration:
    by_rule = {"quantile": conformal_threshold, "log-normal": log_normal_threshold}
    threshold = partial(by_rule[rates.rule], owner=owner)
    scores = candidates.scores
    return Calibration(
        threshold(scores, rates.false_positive),
        threshold(candidates.peaks, rates.false_positive),
        kind,
        rates.false_positive,
        len(scores),
        rule=rates.rule,
        review_rate=rates.review,
        review_threshold=None
        if rates.review is None
        else threshold(scores, rates.review),
        scores=tuple(np.sort(scores).tolist()),
    )


def _f1_calibration(
    candidates: Candidates, anomalous: BoolArray, owner: str
) -> Calibration:
    """Return the threshold with the highest F1.

    As many good images show a pixel above the pixel threshold as are predicted
    anomalous.
    """
    scores = candidates.scores
    normal, defective = scores[~anomalous], scores[anomalous]
    threshold = calibrate_threshold(normal, defective)
    takes_all = threshold < scores.min()
    auroc = compute_auroc(anomalous, scores)
    few = 1 in (len(normal), len(defective))  # one has no spread
    if auroc < CHANCE and (
        takes_all or (not few and delong_interval(anomalous, scores).high < CHANCE)
    ):
        rule = (
            "such that anomalous images score above normal ones (+1 normal and -1 "
            "anomalous, or 0 normal and 1 anomalous)"
        )
        came = (
            f"{len(normal)} normal images that score above {len(defective)} anomalous "
            f"ones (AUROC {auroc:.3g})"
        )
        remedy = (
            "If they are the wrong way round, pass -y, or 1 - y of 0 and 1. If not, "
            "the model does not see these defects: try a larger image_size."
        )
        raise ValueError(refusal("y", owner, rule, came, remedy))
    if takes_all:
        warnings.warn(
            f"The threshold that {owner} found predicts every image anomalous: the "
            f"scores hardly tell {len(normal)} normal from {len(defective)} anomalous "
            f"images (AUROC {auroc:.3g}). Look at the labels; or pass good images and "
            "false_positive_rate alone.",
            InputWarning,
            stacklevel=CALLER,
        )
    rank = max(0, int(np.count_nonzero(normal <= threshold)) - 1)
    highest = float(np.sort(candidates.peaks[~anomalous])[rank])
    return Calibration(
        threshold,
        highest,
        "F1",
        None,
        len(normal),
        len(defective),
        scores=tuple(np.sort(normal).tolist()),
    )


def _named(names: Iterable[str]) -> str:
    """Return the first few names, and how many more there are."""
    listed = list(map(str, names))
    text = ", ".join(map(repr, listed[:MOST_NAMED]))
    more = len(listed) - MOST_NAMED
    return f"{text} and {more} more" if more > 0 else text
