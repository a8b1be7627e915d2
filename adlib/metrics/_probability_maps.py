"""From a score to a probability: what a fit comes to, in plain numbers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit

from adlib._typing import Float64Array
from adlib._validation import describe, refusal
from adlib.metrics._checks import check_scores


class ProbabilityMap(ABC):
    """Maps scores to the chance to be anomalous; never falling as scores rise.

    ``fit_probabilities`` learns one.
    """

    def __call__(self, scores: ArrayLike) -> Float64Array:
        """Return the probability of each score.

        Args:
            scores: (n,) finite numbers, higher = more anomalous.

        Returns:
            (n,), strictly between 0 and 1.

        Raises:
            TypeError: Scores are not numbers.
            ValueError: They are not (n,), empty, NaN or infinite.
        """
        return self._map(check_scores(scores, "scores", type(self).__name__))

    @abstractmethod
    def _map(self, scores: Float64Array) -> Float64Array:
        """Return the probability of each checked score."""

    @abstractmethod
    def as_dict(self) -> dict[str, Any]:
        """Return what ``from_dict`` takes, and JSON keeps exactly."""

    @staticmethod
    def from_dict(content: Mapping[str, Any]) -> ProbabilityMap:
        """Return the map that ``as_dict`` described.

        Args:
            content: "method", "isotonic" or "logistic", and the fields of that map.

        Returns:
            An ``IsotonicMap`` or a ``LogisticMap``.

        Raises:
            ValueError: No map was described like that.
        """
        owner = "ProbabilityMap.from_dict"
        kinds = {"isotonic": IsotonicMap, "logistic": LogisticMap}
        try:
            values = dict(content)
            found: ProbabilityMap = kinds[values.pop("method")](**values)
        except (KeyError, TypeError, ValueError) as error:
            rule = "what as_dict returned"
            came = f"{describe(content)} ({error})"
            raise ValueError(refusal("content", owner, rule, came)) from None
        return found


@dataclass(frozen=True, eq=False)
class IsotonicMap(ProbabilityMap):
    """Linear between knots, and constant beyond the first and the last.

    Attributes:
        scores: (n_knots,) float64, strictly rising, read-only.
        probabilities: (n_knots,) float64, never falling, in (0, 1), read-only.

    Raises:
        TypeError: Scores or probabilities are not numbers.
        ValueError: They are not as stated.

    Example:
        >>> from adlib.metrics import IsotonicMap
        >>> IsotonicMap([1.0, 3.0], [0.2, 0.8])([0.0, 2.0, 9.0]).tolist()
        [0.2, 0.5, 0.8]
    """

    scores: Float64Array
    probabilities: Float64Array

    def __post_init__(self) -> None:
        """Keep checked copies that nobody can change."""
        owner = type(self).__name__
        for name in ("scores", "probabilities"):
            values = check_scores(getattr(self, name), name, owner).copy()
            values.setflags(write=False)
            object.__setattr__(self, name, values)
        if (np.diff(self.scores) <= 0).any():
            raise ValueError(refusal("scores", owner, "strictly rising", self.scores))
        known = self.probabilities
        inside = known[0] > 0 and known[-1] < 1
        if len(known) != len(self.scores) or not inside or (np.diff(known) < 0).any():
            rule = f"({len(self.scores)},), never falling, in (0, 1)"
            raise ValueError(refusal("probabilities", owner, rule, known))

    def _map(self, scores: Float64Array) -> Float64Array:
        return np.interp(scores, self.scores, self.probabilities)

    def as_dict(self) -> dict[str, Any]:
        """Return what ``ProbabilityMap.from_dict`` takes, and JSON keeps exactly."""
        return {
            "method": "isotonic",
            "scores": self.scores.tolist(),
            "probabilities": self.probabilities.tolist(),
        }


@dataclass(frozen=True)
class LogisticMap(ProbabilityMap):
    """1 / (1 + exp(-slope (score - center) - offset)).

    Attributes:
        slope: At least 0.
        offset: Log-odds at score ``center``.
        center: A score amid those that were fitted, so that large ones lose no digits.

    Raises:
        ValueError: A number is not finite, or ``slope`` is below 0.

    Example:
        >>> from adlib.metrics import LogisticMap
        >>> LogisticMap(slope=2.0, offset=0.0, center=5.0)([5.0, 6.0]).round(3).tolist()
        [0.5, 0.881]
    """

    slope: float
    offset: float
    center: float

    def __post_init__(self) -> None:
        """Refuse what is no such curve."""
        owner = type(self).__name__
        for name in ("slope", "offset", "center"):
            if not np.isfinite(getattr(self, name)):
                rule = "a finite number"
                raise ValueError(refusal(name, owner, rule, getattr(self, name)))
        if self.slope < 0:
            raise ValueError(refusal("slope", owner, "at least 0", self.slope))

    def _map(self, scores: Float64Array) -> Float64Array:
        log_odds = self.slope * (scores - self.center) + self.offset
        # Far out the curve rounds to 0 or 1, which no finite score warrants.
        inside = np.finfo(np.float64).eps
        probabilities: Float64Array = np.clip(expit(log_odds), inside, 1 - inside)
        return probabilities

    def as_dict(self) -> dict[str, Any]:
        """Return what ``ProbabilityMap.from_dict`` takes, and JSON keeps exactly."""
        return {
            "method": "logistic",
            "slope": self.slope,
            "offset": self.offset,
            "center": self.center,
        }
