"""The asv suites under pytest-benchmark: the same bodies, no asv needed.

    pytest benchmarks
    pytest benchmarks --benchmark-disable # that they run, each once

Each parameter takes its values while the others keep their first.

pytest-benchmark's table has the times; ``--benchmark-json`` writes them. What asv
tracks (recall, AUROC, covering radius) and peak memory stand in a table of their own,
with units; ``--junitxml`` writes them. Peak memory is taken in a process of its own; a
process that only imports is ``baseline``.
"""

from __future__ import annotations

import importlib
import math
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))  # asv's own way to find the suites
sys.modules.pop(
    "benchmarks", None
)  # pytest's stand-in for this folder, not the package
SUITES = ["baseline", "coreset", "search", "features", "detector", "metrics", "quality"]
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
            own = isinstance(suite, type) and suite.__module__ == module.__name__
            if own and not suite.__name__.startswith("_"):  # asv passes these over too
                for method in dir(suite):
                    if method.startswith(prefix):
                        yield module, suite, method


def _cases(prefix):
    for module, suite, method in _methods(prefix):
        for values in _values(getattr(suite, "params", [])):
            label = "-".join(map(str, values))
            name = f"{module.__name__}.{suite.__name__}.{method}[{label}]"
            yield pytest.param(suite, method, values, id=name)


def _values(params):
    """Return the first value of each parameter, and all that differ in one."""
    first = tuple(values[0] for values in params)
    changed = [
        (*first[:place], value, *first[place + 1 :])
        for place, values in enumerate(params)
        for value in values[1:]
    ]
    return [first, *changed]


def _peaks():
    seen = set()
    for module, suite, method in _methods("peakmem_"):
        body = getattr(suite, method)
        if body in seen:  # inherited: one suite stands for all, a process is slow
            continue
        seen.add(body)
        name = f"{module.__name__}.{suite.__name__}.{method}"
        yield pytest.param(module.__name__, suite.__name__, method, id=name)


@contextmanager
def _ready(suite, values):
    """Give an instance between its setup and its teardown, as asv does."""
    instance = suite()
    if hasattr(instance, "setup"):
        try:
            instance.setup(*values)
        except NotImplementedError as error:  # asv's way to skip
            pytest.skip(str(error))
    yield instance
    if hasattr(instance, "teardown"):
        instance.teardown(*values)


@pytest.mark.parametrize(("suite", "method", "values"), list(_cases("time_")))
def test_time(benchmark, suite, method, values):
    with _ready(suite, values) as instance:
        timed = getattr(instance, method)
        slow = "import" in method or "fit" in method
        benchmark.pedantic(timed, args=values, rounds=1 if slow else 3)


@pytest.mark.parametrize(("suite", "method", "values"), list(_cases("track_")))
def test_track(record_property, suite, method, values):
    """Note a figure that is not a time, so that speed is not bought with quality."""
    with _ready(suite, values) as instance:
        tracked = getattr(instance, method)
        value = tracked(*values)
    record_property(tracked.unit, value)
    assert math.isfinite(value)


@pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's /proc")
@pytest.mark.parametrize(("module", "suite", "method"), list(_peaks()))
def test_peak_memory(record_property, pytestconfig, module, suite, method):
    """Measure with the first value of each parameter only: a process each is slow."""
    disabled = pytestconfig.getoption("benchmark_disable")
    if disabled and module != "benchmarks.baseline":  # it need only run
        kind = getattr(importlib.import_module(module), suite)
        values = _values(getattr(kind, "params", []))[0]
        with _ready(kind, values) as instance:
            getattr(instance, method)(*values)
        return
    command = [sys.executable, "-c", MEASURE, module, suite, method]
    done = subprocess.run(command, cwd=HERE, check=True, capture_output=True, text=True)
    peak = float(done.stdout)
    record_property("MiB", peak)
    assert peak > 0
