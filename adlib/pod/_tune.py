"""Advice on image size, coreset and top ratio, from good images alone."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from scipy import stats

from adlib._progress import ProgressBar
from adlib._typing import BoolArray, Float32Array
from adlib._validation import (
    check_int,
    check_positive,
    check_random_state,
    check_ratio,
    refusal,
)
from adlib._version import __version__
from adlib.estimators import PatchCore
from adlib.estimators._aggregation import top_mean_scores
from adlib.estimators._patches import Pass, embed
from adlib.exceptions import InputWarning
from adlib.images import Images, Source
from adlib.metrics import PodCurve, fit_pod
from adlib.pod._measure import N_TIMED, milliseconds
from adlib.pod._trials import (
    CONTRASTS,
    KINDS,
    Trial,
    check_range_of,
    flawed_source,
    open_again,
    part_of,
)
from adlib.thresholds import conformal_threshold, lowest_rate

IMAGE_SIZES = (224, 320, 448, 640)
CORESETS = (0.01, 0.05, 0.1)
TOP_RATIOS = (0.001, 0.003, 0.01, 0.03)
DEFAULT = (320, 0.05, 0.01)  # of PatchCore
LEVEL = 0.05  # of the test whether the best setting finds more than the default
MOST_LEARNED, MOST_HELD_OUT = 200, 60  # images
HELD_OUT = 0.25
FEWEST_IMAGES = 12
RATE = 0.05


@dataclass(frozen=True)
class Setting:
    """A setting that was tried, and what it finds.

    Attributes:
        image_size: Side to which images were resized.
        coreset: Share of the patches in the memory bank.
        top_ratio: Share of the patches that count for the image score.
        n_found: Defects found.
        n_defects: Defects drawn, the same for each setting.
        n_false_alarms: Held-out good images above the threshold.
        n_held_out: Held-out good images.
        curve: The ``PodCurve`` of all defects together.
        milliseconds: Wall-clock time of an image, from file to score, in batches.
    """

    image_size: int
    coreset: float
    top_ratio: float
    n_found: int
    n_defects: int
    n_false_alarms: int
    n_held_out: int
    curve: PodCurve
    milliseconds: float

    @property
    def key(self) -> tuple[int, float, float]:
        """Image size, coreset and top ratio."""
        return self.image_size, self.coreset, self.top_ratio

    @property
    def parameters(self) -> dict[str, Any]:
        """What to pass to ``PatchCore``."""
        return {
            "image_size": self.image_size,
            "coreset": self.coreset,
            "top_ratio": self.top_ratio,
        }


@dataclass(frozen=True)
class Advice:
    """Which setting to use, and why.

    Attributes:
        setting: The one advised.
        reason: Why, as a sentence.
        settings: All that were tried, in order.
        untried: (image_size, coreset) for which the time did not suffice.
        n_learned: Good images that each setting learned.
        n_images: Good images there were.
        false_positive_rate: What thresholds were set for.
        sizes: The smallest and the largest defect drawn, in pixels.
    """

    setting: Setting
    reason: str
    settings: tuple[Setting, ...]
    untried: tuple[tuple[int, float], ...]
    n_learned: int
    n_images: int
    false_positive_rate: float
    sizes: tuple[float, float]

    def as_dict(self) -> dict[str, Any]:
        """Return all of it as JSON can keep it; None where a size is not reached."""
        rows = []
        for one in self.settings:
            a90, bound = one.curve.a90, one.curve.a90_95
            row = {name: value for name, value in vars(one).items() if name != "curve"}
            row["a90_px"] = a90 if math.isfinite(a90) else None
            row["a90_95_px"] = bound if math.isfinite(bound) else None
            rows.append(row)
        values = {
            name: value
            for name, value in vars(self).items()
            if name not in ("setting", "settings")
        }
        advised = self.setting.parameters
        return {"adlib": __version__, "advised": advised, **values, "settings": rows}


def tune(
    X: Images,
    *,
    image_sizes: Sequence[int] = IMAGE_SIZES,
    coresets: Sequence[float] = CORESETS,
    top_ratios: Sequence[float] = TOP_RATIOS,
    milliseconds_an_image: float | None = None,
    minutes: float = 15.0,
    n_defects: int = 180,
    region: BoolArray | None = None,
    device: str = "auto",
    progress: bool = True,
    random_state: int | None = 0,
) -> Advice:
    """Advise PatchCore's image size, coreset and top ratio, from good images alone.

    A quarter of the images, at most 60, is held out. Each setting learns the others, at
    most 200. On the held-out images the same defects of all kinds, contrasts and sizes
    are drawn for each (``draw_defect``), and counted as found above a threshold that
    the other half of the held-out images sets: each half judges the other, so that
    false alarms are counted on images that did not set the threshold.

    First the default, then all image sizes with its coreset, then the other coresets at
    the size that found most. The advice is the default, unless it takes longer than an
    image may, or the setting that finds the most is shown to find more by McNemar's
    exact test (p < 0.05, by Bonferroni's correction for the number of settings). Then
    it is that setting; of several, the quickest.

    Args:
        X: Good images, as in ``fit``, that can be read twice; 12 at least.
        image_sizes: Sides to try.
        coresets: Shares of the patches to try.
        top_ratios: Shares of the patches that count for the image score, to try.
        milliseconds_an_image: What an image may take; None: any time.
        minutes: After this time nothing new is tried.
        n_defects: How many, at least 60.
        region: (height, width) bool, where defects may be; see ``measure_pod``.
        device: As in ``PatchCore``.
        progress: Show bars.
        random_state: Seeds all that is random.

    Returns:
        The advice, with all settings that were tried.

    Raises:
        TypeError, ValueError: An argument is not as stated; or no setting is as quick
            as asked.
        ImageError: An image is unusable.

    Note:
        Times are those of a bank of the images learned here; one of more images is
        searched longer. As they are measured, two runs may advise different ones of
        settings that are nearly as quick. What is best for the drawn defects need not
        be for real ones.

    Example:
        >>> import numpy as np
        >>> from adlib.pod import tune
        >>> good = np.random.default_rng(0).integers(90, 110, (16, 64, 64))
        >>> chosen = {"image_sizes": [32, 64], "coresets": [0.1], "n_defects": 60}
        >>> advice = tune(good.astype(np.uint8), **chosen, progress=False)
        >>> len(advice.settings), advice.n_learned, advice.setting.n_defects
        (8, 12, 60)
    """
    owner = "tune"
    image_sizes = [check_int(s, "image_sizes", owner, low=16) for s in image_sizes]
    coresets = [check_ratio(c, "coresets", owner, closed=True) for c in coresets]
    top_ratios = [check_ratio(r, "top_ratios", owner, closed=True) for r in top_ratios]
    for name, values in (
        ("image_sizes", image_sizes),
        ("coresets", coresets),
        ("top_ratios", top_ratios),
    ):
        if not values:
            raise ValueError(refusal(name, owner, "one at least", "none"))
    if milliseconds_an_image is not None:
        name = "milliseconds_an_image"
        milliseconds_an_image = check_positive(milliseconds_an_image, name, owner)
    deadline = time.monotonic() + 60 * check_positive(minutes, "minutes", owner)
    n_defects = check_int(n_defects, "n_defects", owner, low=60)
    random_state = check_random_state(random_state, "random_state", owner)
    # One bar, of settings: rich draws none inside of another.
    model = PatchCore(device=device, progress=False, random_state=random_state)
    source = open_again(X, owner, model._check_parameters().pixel_format)
    items = list(source.items)
    if len(items) < FEWEST_IMAGES:
        rule = f"at least {FEWEST_IMAGES} images"
        raise ValueError(refusal("X", owner, rule, f"{len(items)}"))
    rng = np.random.default_rng(random_state)
    order = rng.permutation(len(items)).tolist()
    n_held_out = min(math.ceil(HELD_OUT * len(items)), MOST_HELD_OUT)
    held_out = part_of(source, [items[i] for i in sorted(order[:n_held_out])])
    learned = sorted(order[n_held_out : n_held_out + MOST_LEARNED])
    training = part_of(source, [items[i] for i in learned])
    sides = [held_out.read(item).shape[:2] for item in held_out.items]
    sizes = check_range_of(None, sides, owner)
    trials = _trials(sizes, n_defects, n_held_out, rng)
    rate = max(RATE, lowest_rate(n_held_out // 2))
    tried: list[tuple[Setting, BoolArray]] = []
    untried: list[tuple[int, float]] = []
    flawed = flawed_source(held_out, trials, region)
    timed = part_of(held_out, list(held_out.items)[:N_TIMED])
    begun = time.monotonic()
    n_planned = len(set(image_sizes)) + len(set(coresets)) - 1
    with ProgressBar("Trying settings", n_planned, enabled=progress) as bar:
        for image_size, coreset in _plan(image_sizes, coresets, tried):
            # A setting takes about as long as the slowest so far, and as its area.
            area = max((one.image_size for one, _ in tried), default=image_size)
            expected = (time.monotonic() - begun) / max(len(tried) / len(top_ratios), 1)
            expected *= (image_size / area) ** 2
            if tried and time.monotonic() + expected > deadline:
                untried.append((image_size, coreset))
                continue
            model.set_params(image_size=image_size, coreset=coreset)
            model.fit(training)
            good, bad = (_patch_scores(model, one) for one in (held_out, flawed))
            took = milliseconds(model, timed)
            tried += [
                _judged((image_size, coreset, one), good, bad, trials, rate, took)
                for one in top_ratios
            ]
            bar.advance(note=f"{image_size}, coreset {coreset:g}")
    setting, reason = _choice(tried, milliseconds_an_image, owner)
    return Advice(
        setting=setting,
        reason=reason,
        settings=tuple(one for one, _ in tried),
        untried=tuple(untried),
        n_learned=len(learned),
        n_images=len(items),
        false_positive_rate=rate,
        sizes=sizes,
    )


def _trials(
    sizes: tuple[float, float], n_defects: int, n_images: int, rng: np.random.Generator
) -> list[Trial]:
    """Return defects of which each size has each kind and contrast by chance."""
    looks = list(product(KINDS, CONTRASTS))
    trials = []
    for number, size in enumerate(np.geomspace(*sizes, n_defects).tolist()):
        if number % len(looks) == 0:
            chosen = rng.permutation(len(looks))
        if number % n_images == 0:
            images = rng.permutation(n_images)
        kind, contrast = looks[chosen[number % len(looks)]]
        image, seed = int(images[number % n_images]), int(rng.integers(2**32))
        trials.append(Trial(kind, contrast, size, image, seed))
    return trials


def _plan(
    image_sizes: Sequence[int],
    coresets: Sequence[float],
    tried: list[tuple[Setting, BoolArray]],
) -> Iterator[tuple[int, float]]:
    """Yield what to try: the default, all sizes, other coresets at the best of them."""
    coreset = min(coresets, key=lambda one: abs(one - DEFAULT[1]))
    sizes = sorted(set(image_sizes), key=lambda size: (size != DEFAULT[0], size))
    for size in sizes:
        yield size, coreset
    best = max(tried, key=lambda one: one[0].n_found)[0].image_size
    for other in sorted(set(coresets) - {coreset}):
        yield best, other


def _patch_scores(model: PatchCore, source: Source) -> Float32Array:
    """Return the patch scores of each image, (n_images, n_patches)."""
    reading = embed(source, model._embedder(), model._ready(), "Scoring")
    scores = [
        model._score_patches(patches.embeddings).patch_scores
        for patches in Pass(reading)
    ]
    return np.concatenate([one.reshape(len(one), -1) for one in scores])


def _judged(
    key: tuple[int, float, float],
    good_patches: Float32Array,
    bad_patches: Float32Array,
    trials: Sequence[Trial],
    rate: float,
    took: float,
) -> tuple[Setting, BoolArray]:
    """Return a setting and which defects it finds; each half judges the other."""
    good, bad = (
        top_mean_scores(one, key[2]).astype(np.float64)
        for one in (good_patches, bad_patches)
    )
    half = np.arange(len(good)) % 2
    thresholds = np.array([conformal_threshold(good[half != k], rate) for k in (0, 1)])
    alarms = good > thresholds[half]
    images = np.array([trial.image for trial in trials])
    found = (bad > thresholds[half[images]]) & ~alarms[images]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InputWarning)
        curve = fit_pod([trial.size for trial in trials], found)
    counts = int(found.sum()), len(found), int(alarms.sum()), len(good)
    return Setting(*key, *counts, curve, took), found


def _choice(
    tried: Sequence[tuple[Setting, BoolArray]], limit: float | None, owner: str
) -> tuple[Setting, str]:
    """Return the setting to advise and the reason."""
    allowed = [one for one in tried if limit is None or one[0].milliseconds <= limit]
    if not allowed:
        quickest = min(one.milliseconds for one, _ in tried)
        rule = f"at least {quickest:.3g}, what the quickest setting takes"
        raise ValueError(refusal("milliseconds_an_image", owner, rule, limit))
    # Of as many that find the most, the quickest.
    best, found = max(allowed, key=lambda one: (one[0].n_found, -one[0].milliseconds))
    within = "" if limit is None else f" within {limit:g} ms"
    text = f"It finds {best.n_found} of {best.n_defects} defects, the most{within}"
    for one, hits in tried:
        if one.key != DEFAULT:
            continue
        if limit is not None and one.milliseconds > limit:
            text += f"; the default {one.n_found} in {one.milliseconds:.3g} ms an image"
            continue
        if one.n_found == best.n_found:
            return one, f"The default finds the most of the defects{within}."
        # The best of many: one of them may be it by chance.
        chance = min(1.0, p_value(found, hits) * (len(allowed) - 1))
        shown = f"p = {chance:.2g}, corrected for {len(allowed)} settings"
        if chance >= LEVEL:
            return one, (
                f"The default. Another setting finds {best.n_found} instead of "
                f"{one.n_found}, which shows no difference ({shown})."
            )
        text += f"; the default {one.n_found} ({shown})"
    return best, f"{text}."


def p_value(found: BoolArray, other: BoolArray) -> float:
    """Return McNemar's exact p-value of two settings' hits on the same defects."""
    more, fewer = int((found & ~other).sum()), int((other & ~found).sum())
    if more + fewer == 0:
        return 1.0
    return float(stats.binomtest(more, more + fewer).pvalue)
