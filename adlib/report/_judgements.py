"""Words for what an interval and a p-value show, and no more than that.

A difference is said to be there where its interval leaves out 0 and its p-value lies
below 0.05, of these what there is. Otherwise no difference is shown, which does not say
that there is none.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

LEVEL = 0.05
SMALLEST = 0.001  # p-values below it are printed as that
Row = Mapping[str, Any]


def direction(row: Row) -> int:
    """Return 1 or -1, the sign of a difference, where it is shown; else 0.

    Args:
        row: "value", and "low", "high" and "p", NaN where there is none.
    """
    value, low, high, p = (float(row[key]) for key in ("value", "low", "high", "p"))
    has_interval, has_p = (
        not math.isnan(low) and not math.isnan(high),
        not math.isnan(p),
    )
    if not (has_interval or has_p) or (has_p and p >= LEVEL):
        return 0
    if has_interval:
        return int(low > 0) - int(high < 0)
    return int(value > 0) - int(value < 0)


def verdict(row: Row, more: str, less: str, neither: str) -> str:
    """Return the phrase for a difference above 0, below it, or not shown."""
    return {1: more, -1: less, 0: neither}[direction(row)]


def tally(rows: Sequence[Row], metric: str, what: str = "models") -> str:
    """Return for how many a metric falls, rises, and no change of it is shown."""
    found, total = Counter(map(direction, rows)), len(rows)
    words = {
        -1: f"{metric} falls",
        1: f"{metric} rises",
        0: f"no change of {metric} is shown",
    }
    texts = []
    for sign, text in words.items():
        if found[sign]:
            open_for_all = sign == 0 and found[0] == total > 1
            of = f"any of the {total}" if open_for_all else f"{found[sign]} of {total}"
            texts.append(f"{text} for {of} {what}")
    return ", ".join(texts)


def methods_verdict(rows: Sequence[Row], first: str, second: str, where: str) -> str:
    """Return on which classes the first or the second method ranks images better."""
    texts = []
    phrases = {1: f"{first} ranks images better", -1: f"{second} ranks images better"}
    phrases[0] = f"no difference between {first} and {second} is shown"
    for sign, phrase in phrases.items():
        named = [str(row["class"]) for row in rows if direction(row) == sign]
        if named:
            texts.append(f"{phrase} on {listed(named)}")
    return f"By AUROC, {where} {', '.join(texts)}."


def p_text(p: float) -> str:
    """Return a p-value as a sentence has it: "p = 0.029", "p < 0.001"."""
    if math.isnan(p):
        return "p not defined"
    return f"p < {SMALLEST}" if p < SMALLEST else f"p = {p:.3f}"


def listed(texts: Iterable[str]) -> str:
    """Join as prose does: "a, b and c"."""
    *head, last = texts
    return f"{', '.join(head)} and {last}" if head else last
