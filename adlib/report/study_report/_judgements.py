"""The words for what an interval, a p-value or a share shows, and no more than that.

An interval that holds 0 does not show that two figures are equal: no difference is
shown. A sentence says that, and with how many images.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from adlib.report.study_report._study import CHANCE, Bounds, counted, listed

HALF = 50  # percent


def direction(low: float | None, high: float | None, p: float | None = 0.0) -> int:
    """Return 1 or -1 where a difference is shown, by its sign; else 0.

    Args:
        low: Lower bound of the difference; None: it has no interval.
        high: Upper bound.
        p: A p-value, corrected where several were computed, that must lie below 0.05
            as well; None: there is none, so nothing is shown.
    """
    if low is None or high is None or p is None or p >= CHANCE:
        return 0
    return int(low > 0) - int(high < 0)


def difference_phrase(
    low: float | None,
    high: float | None,
    p: float | None = 0.0,
    *,
    more: str,
    less: str,
    neither: str = "no difference is shown",
) -> str:
    """Return the phrase for a difference that is above 0, below it, or not shown."""
    return {1: more, -1: less, 0: neither}[direction(low, high, p)]


def tally_phrase(differences: Iterable[Bounds], figure: str, what: str) -> str:
    """Return in how many cases a figure falls, rises, and no change of it is shown.

    Args:
        differences: One a case, at least one.
        figure: E.g. "AUROC".
        what: The cases, in the plural.
    """
    found = Counter(direction(one.low, one.high) for one in differences)
    total = found.total()
    moved = [
        f"{word} for {counted(found[sign], total, what)}"
        for sign, word in ((-1, "falls"), (1, "rises"))
        if found[sign]
    ]
    texts = [f"{figure} {listed(moved)}"] if moved else []
    if found[0]:
        texts.append(
            f"no change of {figure} is shown for {open_cases(found[0], total, what)}"
        )
    return "; ".join(texts)


def open_cases(number: int, total: int, what: str) -> str:
    """Return the cases that nothing is shown for, as "any of the 4", "3 of 4"."""
    if number == total > 1:
        return f"any of the {total} {what}"
    return counted(number, total, what)


def share_phrase(share: float) -> str:
    """Return "most" for more than half, in whole percents as printed; else no more."""
    return "most" if round(100 * share) > HALF else "the largest share"
