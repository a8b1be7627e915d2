"""The asv suites under pytest-benchmark: the same bodies, no asv needed.

    pytest benchmarks --benchmark-only

What asv tracks (recall, covering radius) stands in ``extra_info`` of the JSON under its
unit. Peak memory is taken in a process of its own and stands there too, in MiB; a
process that only imports is ``baseline``. ``--benchmark-json`` writes the JSON.
"""

from __future__ import annotations

import importlib
import itertools
import math
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))  # asv's own way to find the suites
SUITES = ["baseline", "coreset", "search", "features", "detector"]
MEASURE = """
import importlib, re, sys
suite = getattr(importlib.import_module(sys.argv[1]), sys.argv[2])()
values = [first for first, *_ in getattr(suite, "params", [])]
getattr(suite, "setup", lambda *values: None)(*values)
getattr(suite, sys.argv[3])(*values)
status = open("/proc/self/status").read()  # ru_maxrss would count the parent's too
print(int(re.search(r"VmHWM:\\s+(\\d+)", status)[1]) / 1024)
"""


def _methods(prefix):
    for name in SUITES:
        module = importlib.import_module(f"benchmarks.{name}")
        for suite in vars(module).values():
            if isinstance(suite, type) and suite.__module__ == module.__name__:
                for method in vars(suite):
                    if method.startswith(prefix):
                        yield module, suite, method


def _timings():
    for module, suite, method in _methods("time_"):
        for values in itertools.product(*getattr(suite, "params", [])):
            label = "-".join(map(str, values))
            name = f"{module.__name__}.{method}[{label}]"
            yield pytest.param(suite, method, values, id=name)


def _tracks():
    for module, suite, method in _methods("track_"):
        for values in itertools.product(*getattr(suite, "params", [])):
            label = "-".join(map(str, values))
            name = f"{module.__name__}.{method}[{label}]"
            yield pytest.param(suite, method, values, id=name)


def _peaks():
    for module, suite, method in _methods("peakmem_"):
        name = f"{module.__name__}.{method}"
        yield pytest.param(module.__name__, suite.__name__, method, id=name)


@pytest.mark.parametrize(("suite", "method", "values"), list(_timings()))
def test_time(benchmark, suite, method, values):
    instance = suite()
    if hasattr(instance, "setup"):
        try:
            instance.setup(*values)
        except NotImplementedError as error:  # asv's way to skip
            pytest.skip(str(error))
    timed = getattr(instance, method)
    rounds = 1 if "import" in method else 3  # a fresh interpreter takes seconds
    benchmark.pedantic(timed, args=values, rounds=rounds, warmup_rounds=0)


@pytest.mark.parametrize(("suite", "method", "values"), list(_tracks()))
def test_track(benchmark, suite, method, values):
    """Note a figure that is not a time, so that speed is not bought with quality."""
    instance = suite()
    if hasattr(instance, "setup"):
        instance.setup(*values)
    tracked = getattr(instance, method)
    value = benchmark.pedantic(tracked, args=values, rounds=1)
    benchmark.extra_info[tracked.unit] = value
    assert math.isfinite(value)


@pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's /proc")
@pytest.mark.parametrize(("module", "suite", "method"), list(_peaks()))
def test_peak_memory(benchmark, module, suite, method):
    """Measure with the first value of each parameter only: a process each is slow."""
    command = [sys.executable, "-c", MEASURE, module, suite, method]

    def measure():
        done = subprocess.run(
            command, cwd=HERE, check=True, capture_output=True, text=True
        )
        return float(done.stdout)

    peak = benchmark.pedantic(measure, rounds=1)
    benchmark.extra_info["peak MiB"] = round(peak)
    assert peak > 0
