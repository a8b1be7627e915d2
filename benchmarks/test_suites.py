"""The asv suites under pytest-benchmark: the same bodies, no asv needed.

pytest benchmarks --benchmark-only
"""

from __future__ import annotations

import importlib
import itertools
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # asv's own way to find the suites
SUITES = ["baseline", "coreset", "search", "features", "detector"]


def _cases():
    for name in SUITES:
        module = importlib.import_module(f"benchmarks.{name}")
        for suite in vars(module).values():
            if not isinstance(suite, type) or suite.__module__ != module.__name__:
                continue
            for values in itertools.product(*getattr(suite, "params", [])):
                for method in vars(suite):
                    if method.startswith("time_"):
                        label = "-".join(map(str, values))
                        yield pytest.param(
                            suite, method, values, id=f"{name}.{method}[{label}]"
                        )


@pytest.mark.parametrize(("suite", "method", "values"), _cases())
def test_suite(benchmark, suite, method, values):
    instance = suite()
    if hasattr(instance, "setup"):
        instance.setup(*values)
    timed = getattr(instance, method)
    benchmark.pedantic(timed, args=values, rounds=3, warmup_rounds=0)
