"""Time several things in turn, so that a noisy machine is noisy for all of them."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

REST = 0.5  # seconds after each call: thread pools spin for a while before they sleep


def alternate(n_rounds: int, **calls: Callable[[], Any]) -> dict[str, list[float]]:
    """Return the seconds of every call in every round, after one round that counts not.

    A call may return a float: the seconds that count, where it knows better.
    """
    for call in calls.values():
        call()
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(n_rounds):
        for name, call in calls.items():
            time.sleep(REST)
            started = time.perf_counter()
            told = call()
            taken = time.perf_counter() - started
            seconds[name].append(told if isinstance(told, float) else taken)
    return seconds


def one_by_one(call: Callable[[Any], Any], items: Sequence) -> Callable[[], Any]:
    """Return a call of the next item: other rounds, other items, the same for all."""
    turn = itertools.cycle(items)
    return lambda: call(next(turn))


def compared(task: str, seconds: dict[str, list[float]], **notes: Any) -> list[dict]:
    """Return one record a peer: medians, their ratio to adlib's, and notes."""
    ours = float(np.median(seconds["adlib"]))
    return [
        {
            "task": task,
            "peer": peer,
            "adlib": ours,
            "seconds": float(np.median(taken)),
            "ratio": float(np.median(taken)) / ours,
            "rounds": len(taken),
            "spread": [min(taken), max(taken)],
            **notes,
        }
        for peer, taken in seconds.items()
        if peer != "adlib"
    ]
