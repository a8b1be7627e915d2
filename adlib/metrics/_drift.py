"""Whether scores of good images still are what they were: a test without an end."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import beta

from adlib._typing import Float64Array
from adlib._validation import check_positive, refusal
from adlib.metrics._checks import check_scores

# Beta densities that p-values are bet on, by what scores then have become.
BETS = {
    "higher": ((0.2, 1.0), (0.5, 1.0)),
    "lower": ((1.0, 0.5), (1.0, 0.2)),
    "more spread": ((0.5, 0.5),),
    "less spread": ((2.0, 2.0),),
}
MOST = 1e300  # a statistic is held there: nothing is learned from infinity
FEWEST = 10  # reference scores


class DriftMonitor:
    """Says when scores are no longer distributed as those of a reference.

    Each score gets a conformal p-value: its rank among the reference and all scores
    before it, ties drawn at random. While nothing changes (the scores are exchangeable)
    these are independent and uniform. For each of some densities f, a statistic
    R := (R + 1/n_densities) f(p) bets that they are not, from any score on; their sum
    is a conformal Shiryaev-Roberts statistic. An alarm is given once it is
    ``parts_between_false_alarms`` or more: while nothing changes, that many parts pass
    in the mean before a false alarm, or more, whatever the distribution.

    Args:
        reference: Scores of good images that the model did not learn, (n,) finite
            numbers, n >= 10, as those that set a threshold.
        parts_between_false_alarms: As above, at least 1.
        random_state: Seeds how ties are drawn; the same scores give the same statistic.

    Attributes:
        statistic: The sum; 0 before the first score.
        n_parts: How many scores there were.
        alarmed_at: The number of the first score, from 0, with an alarm; None: none.
        direction: What scores have become, by the bet that was worth most at the
            alarm: "higher", "lower", "more spread" or "less spread"; None: no alarm.

    Raises:
        TypeError: ``reference`` does not hold numbers.
        ValueError: A value is not as stated.

    Note:
        It keeps all scores, 32 bytes each. Pass the scores of good images alone: leave
        out those that were rejected, from the reference, too. After an alarm what comes
        is compared with a mixture of old and new; begin again with a new reference.

    References:
        1. V. Vovk, "Testing randomness online", Statistical Science 36, 2021.
        2. V. Vovk et al., "Retrain or not retrain: conformal test martingales for
           change-point detection", COPA 2021.

    Example:
        >>> import numpy as np
        >>> from adlib.metrics import DriftMonitor
        >>> rng = np.random.default_rng(0)
        >>> monitor = DriftMonitor(rng.normal(5, 1, 50))
        >>> found = monitor.update(rng.normal(5, 1, 100))  # as before
        >>> print(monitor.alarmed_at)
        None
        >>> found = monitor.update(rng.normal(8, 1, 100))  # dirt on the lens
        >>> monitor.alarmed_at, monitor.direction
        (104, 'higher')
    """

    def __init__(
        self,
        reference: ArrayLike,
        *,
        parts_between_false_alarms: float = 10_000,
        random_state: int = 0,
    ) -> None:
        owner = type(self).__name__
        known = np.sort(check_scores(reference, "reference", owner))
        if len(known) < FEWEST:
            rule = f"at least {FEWEST} scores of good images"
            raise ValueError(refusal("reference", owner, rule, f"{len(known)}"))
        self.limit = check_positive(
            parts_between_false_alarms, "parts_between_false_alarms", owner
        )
        if self.limit < 1:
            rule = "at least 1"
            text = refusal("parts_between_false_alarms", owner, rule, f"{self.limit:g}")
            raise ValueError(text)
        self._known: list[float] = known.tolist()
        self._rng = np.random.default_rng(random_state)
        self._names = [name for name, bets in BETS.items() for _ in bets]
        shapes = np.array([shape for bets in BETS.values() for shape in bets])
        self._a, self._b = shapes.T - 1
        self._scale = 1 / beta(*shapes.T)
        self._bets = [0.0] * len(shapes)
        self.n_parts = 0
        self.alarmed_at: int | None = None
        self.direction: str | None = None

    @property
    def statistic(self) -> float:
        """The sum over the bets; 0 before the first score."""
        return sum(self._bets)

    def update(self, scores: ArrayLike) -> Float64Array:
        """Take new scores in the order in which they came.

        Args:
            scores: (n,) finite numbers, higher = more anomalous.

        Returns:
            The statistic after each, (n,); an alarm where it is ``limit`` or more.

        Raises:
            TypeError: ``scores`` does not hold numbers.
            ValueError: A score is not finite, or the shape is another.
        """
        values = check_scores(scores, "scores", f"{type(self).__name__}.update")
        statistics = np.empty(len(values))
        p_values = np.array([self._p_value(score) for score in values.tolist()])
        p_values = p_values.reshape(-1, 1)
        worth = self._scale * p_values**self._a * (1 - p_values) ** self._b
        share = 1 / worth.shape[1]
        for i, row in enumerate(worth.tolist()):
            pairs = zip(self._bets, row, strict=True)
            self._bets = [min((bet + share) * each, MOST) for bet, each in pairs]
            statistics[i] = self.statistic
            if statistics[i] >= self.limit and self.alarmed_at is None:
                self.alarmed_at = self.n_parts
                self.direction = self._names[int(np.argmax(self._bets))]
            self.n_parts += 1
        return statistics

    def _p_value(self, score: float) -> float:
        """Return the score's p-value, in (0, 1), and remember the score."""
        insort(self._known, score)
        n_known = len(self._known)
        higher = n_known - bisect_right(self._known, score)
        equal = n_known - higher - bisect_left(self._known, score)
        p_value = (higher + self._rng.random() * equal) / n_known
        tiny = np.finfo(np.float64).eps
        return min(max(p_value, tiny), 1 - tiny)
