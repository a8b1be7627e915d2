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


def direction(row: Mapping[str, Any]) -> int:
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


def verdict(
    row: Mapping[str, Any],
    more: str,
    less: str,
    neither: str = "no difference is shown",
) -> str:
    """Return the phrase for a difference above 0, below it, or not shown."""
    return {1: more, -1: less, 0: neither}[direction(row)]


def tally(rows: Iterable[Mapping[str, Any]], metric: str, what: str = "models") -> str:
    """Return for how many a metric falls, rises, and no change of it is shown."""
    found = Counter(direction(row) for row in rows)
    total = found.total()
    moved = [
        f"{word} for {found[sign]} of {total} {what}"
        for sign, word in ((-1, "falls"), (1, "rises"))
        if found[sign]
    ]
    texts = [f"{metric} {listed(moved)}"] if moved else []
    if found[0]:
        of = (
            f"any of the {total}" if found[0] == total > 1 else f"{found[0]} of {total}"
        )
        texts.append(f"no change of {metric} is shown for {of} {what}")
    return "; ".join(texts)


def methods_verdict(
    rows: Sequence[Mapping[str, Any]], first: str, second: str, where: str
) -> str:
    """Return on which classes the first or the second method ranks images better."""
    named: dict[int, list[str]] = {}
    for row in rows:
        named.setdefault(direction(row), []).append(str(row["class"]))
    texts = [
        f"{name} ranks images better on {listed(named[sign])}"
        for sign, name in ((1, first), (-1, second))
        if sign in named
    ]
    if not texts:
        classes = f"any of the {len(rows)} classes" if len(rows) > 1 else "the class"
        return (
            f"Between {first} and {second} no difference of AUROC is shown {where} on "
            f"{classes}."
        )
    if 0 in named:
        texts.append(f"no difference is shown on {listed(named[0])}")
    return f"{where[0].upper()}{where[1:]} {', '.join(texts)}."


def gap(won: float, left: float) -> str:
    """Return how what was won back compares with what is still missing."""
    if won <= 0:
        return "wins nothing back"
    if left <= 0:
        return "wins back all that was lost"
    more = "more" if won > left else "no more"
    return f"wins back {more} than is still missing"


def p_text(p: float) -> str:
    """Return a p-value as a sentence has it: "p = 0.029", "p < 0.001"."""
    if math.isnan(p):
        return "p not defined"
    return f"p < {SMALLEST}" if p < SMALLEST else f"p = {p:.3f}"


def listed(texts: Iterable[str]) -> str:
    """Join as prose does: "a, b and c"."""
    *head, last = texts
    return f"{', '.join(head)} and {last}" if head else last
