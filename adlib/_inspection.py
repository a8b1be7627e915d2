"""What is said of one inspected image, by an estimator or by an exported file."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np

from adlib._html import BLUE, OLIVE, ORANGE, card, or_nothing, picture
from adlib._typing import Float32Array
from adlib.images._pixels import resize
from adlib.images._thumbnail import glowing, thumbnail

Decision: TypeAlias = Literal["PASS", "REVIEW", "FAIL"]
COLOURS: dict[Decision, str] = {"PASS": BLUE, "REVIEW": OLIVE, "FAIL": ORANGE}
VERDICTS = {1: "+1, normal", -1: "-1, anomalous"}


def stretched(anomaly_map: Float32Array, size: tuple[int, int] | None) -> Float32Array:
    """Return a map at another (height, width), bilinear; None: as it is."""
    return anomaly_map if size is None else np.array(resize(anomaly_map, size))


class Short:
    """Results that are printed in one line, with the shapes of arrays alone."""

    def __repr__(self) -> str:
        values = {field.name: getattr(self, field.name) for field in fields(self)}  # type: ignore[arg-type]
        shown = [f"{name}={_text(v)}" for name, v in values.items() if v is not None]
        return f"{type(self).__name__}({', '.join(shown)})"


def _text(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.shape} {value.dtype}"
    if isinstance(value, tuple) and value and isinstance(value[0], Short | np.ndarray):
        return f"{len(value)}, the first {_text(value[0])}"
    return f"{value:.6g}" if isinstance(value, float) else repr(value)


@dataclass(frozen=True, repr=False)
class Inspection(Short):
    """One image, inspected.

    Of a skipped image the score is NaN, verdict and decision are as stated, and all but
    ``error`` is None.

    Attributes:
        path: The image's path, or "image 7" for the eighth of those that have none.
        score: Image score, higher = more anomalous.
        verdict: +1 normal, -1 anomalous; None before ``calibrate``. -1 if skipped.
        map: Anomaly map of the whole image, (height, width) float32, of ``image_size``
            but for letterboxed images; same direction as the score.
        error: Why the image was skipped, or None.
        size: (height, width) of the image itself, as EXIF turns it upright.
        worst_pixel: (row, column) in the image itself of the centre of the patch with
            the highest score (of the map's highest value, where image scores are taken
            from the map).
        regions: What of the map lies above the pixel threshold: a ``Region`` for each
            connected area; None without a threshold, or from an exported file.
        decision: "FAIL" where the verdict is -1, "REVIEW" where the score is above the
            review threshold, else "PASS"; None before ``calibrate``. A skipped image
            never passes: "REVIEW" where there is a review threshold, else "FAIL".
        p_value: Of n good images that set the threshold, k score as high or higher:
            (1 + k) / (n + 1), in (0, 1]. If those and this image are exchangeable, it
            is at most p with a chance of at most p, for any p. None where their scores
            are not known.
        threshold_ratio: The score over the threshold; None without one above 0.
        zones: With ``zones`` of the detector, the ``Zones`` of the map; else None.
    """

    path: str
    score: float
    verdict: int | None
    map: Float32Array | None
    error: str | None = None
    size: tuple[int, int] | None = None
    worst_pixel: tuple[int, int] | None = None
    regions: tuple[Any, ...] | None = None
    decision: Decision | None = None
    p_value: float | None = None
    threshold_ratio: float | None = None
    zones: Any = None

    def full_map(self) -> Float32Array:
        """Return the map stretched to the image's own size, as overlays show it.

        Returns:
            ``size``, (height, width), float32.

        Raises:
            ValueError: The image was skipped.
        """
        if self.map is None:
            raise ValueError(f"There is no map of a skipped image: {self.error}")
        return stretched(self.map, self.size)

    @or_nothing
    def _repr_html_(self) -> str:
        """Return what a notebook shows: the image, its map over it, and the numbers."""
        rows: dict[str, str] = {}
        if self.error is not None:
            rows["skipped"] = self.error
        else:
            rows["score"] = f"{self.score:.6g}"
        if self.threshold_ratio:
            limit, ratio = self.score / self.threshold_ratio, self.threshold_ratio
            rows["threshold"] = f"{limit:.6g} (the score is {ratio:.3g} times that)"
        if self.verdict is not None:
            rows["verdict"] = VERDICTS[self.verdict]
        if self.p_value is not None:
            rows["p-value"] = f"{self.p_value:.4g}"
        if self.regions is not None:
            rows["regions"] = f"{len(self.regions)} above the pixel threshold"
        pictures = []
        if self.map is not None:
            size = self.map.shape if self.size is None else self.size
            colours, rows["map"] = self._colours(self.map)
            image = thumbnail(self.path, size)
            if image is not None:
                pictures.append(picture(image, self.path))
            said = f"score {rows['score']}" + (
                f", {self.decision}" * bool(self.decision)
            )
            drawn = glowing(image, size=size, **colours)
            pictures.append(picture(drawn, f"Anomaly map of {self.path}: {said}"))
        badge = None
        if self.decision is not None:
            badge = self.decision, COLOURS[self.decision]
        return card(self.path, rows, badge=badge, pictures=pictures)

    def _colours(self, values: Float32Array) -> tuple[dict[str, Any], str]:
        """Return what of a map is coloured, from where on, and that in words.

        It is what lies in regions; where there is no pixel threshold, what is above the
        image threshold, as in the pictures of ``save_overlays``.
        """
        scale = None if self.zones is None else self.zones.scales
        if scale is not None:
            values = self.zones.relative(values)
        highest = float(values.max())
        if self.regions:
            low = float(self.regions[0].threshold)
            if scale is not None:
                low /= float(scale[self.regions[0].zone])
        elif self.threshold_ratio is not None:  # of a score of 0 nothing is above
            low = self.score / self.threshold_ratio if self.threshold_ratio else highest
            if self.regions is not None:  # nothing is above the pixel threshold
                low = max(low, highest)
        else:
            lowest = float(values.min())
            words = f"from {lowest:.4g}, not coloured, to {highest:.4g}; no threshold"
            words += " above 0" * (self.verdict is not None)
            given = {"low": lowest, "high": highest, "outlined": False}
            return {"anomaly_map": values, **given}, words
        if highest <= low:
            words = f"up to {highest:.4g}, nothing to colour"
        else:
            words = f"coloured above {low:.4g}, the most from {1.5 * low:.4g} on"
            if scale is not None:
                words += ", each zone over its scale"
        given = {"low": low, "high": 1.5 * low, "outlined": True}
        return {"anomaly_map": values, **given}, words


class Limits(NamedTuple):
    """What scores are compared with; ``scores`` are of good images, ascending."""

    threshold: float | None
    review_threshold: float | None
    scores: Sequence[float]

    def judged(self, score: float, verdict: int | None) -> dict[str, Any]:
        """Return what an ``Inspection`` says beside score and verdict."""
        decision: Decision | None = None
        p_value = ratio = None
        if verdict is not None:
            review = self.review_threshold
            decision = "PASS" if review is None or score <= review else "REVIEW"
            decision = "FAIL" if verdict < 0 else decision
        n_scores = len(self.scores)
        if n_scores:
            p_value = (1 + n_scores - bisect_left(self.scores, score)) / (1 + n_scores)
        if self.threshold is not None and self.threshold > 0.0:
            ratio = score / self.threshold
        return {"decision": decision, "p_value": p_value, "threshold_ratio": ratio}

    def unseen(self) -> Decision | None:
        """Return the decision on a skipped image, which never passes."""
        if self.threshold is None:
            return None
        return "FAIL" if self.review_threshold is None else "REVIEW"
