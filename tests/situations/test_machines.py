"""What machines, processes and other people's settings do to a model."""

from __future__ import annotations

import copy
import decimal
import multiprocessing
import os
import pickle
import shutil
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

import adlib
from adlib import PaDiM
from adlib.estimators import AnomalyDetector
from adlib.exceptions import InputWarning
from adlib.features import Backbone, FeatureCache, _folding, use_feature_cache
from adlib.features._feature_cache import current_feature_cache
from tests.features.test_runtimes import openvino_or_skip
from tests.situations.situation import Place, check, refused, warned, works

pytestmark = pytest.mark.slow

PACKAGE = Path(adlib.__file__).parent
LOAD = """
import threading
import numpy as np
import adlib
images = np.load("images.npy")
model = adlib.load("model.adlib", device="cpu")
"""
ENDING = """
from sklearn.base import clone
single = adlib.load("model.adlib", device="cpu").set_params(batch_size=1)
def repeat(work, begun):
    for _ in range({times}):
        work()
        begun.set()
for work in [{works}]:
    begun = threading.Event()
    threading.Thread(target=repeat, args=(work, begun), daemon={daemon}).start()
    assert begun.wait(100)
"""
KERNEL = """
import numpy as np
from adlib.neighbors._cpu.distances import squared_norms
assert squared_norms(np.ones((1, 3), np.float32)).tolist() == [3.0]
"""
# OpenBLAS ends its threads before a fork: a product that waits for them never ends.
PRODUCTS = """
import faulthandler, os, threading, warnings
import numpy as np
from adlib.neighbors import MemoryBank
from adlib.neighbors._coreset import random_projection
warnings.simplefilter("ignore")  # Python's own, of forks beside threads
X = np.random.default_rng(0).normal(size=(2000, 300)).astype(np.float32)
over, done = threading.Event(), threading.Semaphore(0)
def multiply():
    while not over.is_set():
        random_projection(X, 200, random_state=0)
        MemoryBank(X[:300], device="cpu")
        done.release()
thread = threading.Thread(target=multiply, daemon=True)
thread.start()
done.acquire()
faulthandler.dump_traceback_later(60, exit=True)
for _ in range(60):
    child = os.fork()
    if not child:
        os._exit(0)
    os.waitpid(child, 0)
    assert done.acquire(timeout=30)
over.set()
thread.join()
"""
SEARCHES = """
import numpy as np
from sklearn.model_selection import GridSearchCV, cross_val_score
from adlib import PaDiM, PatchCore
def spread(model, X, y=None):
    return float(-model.score(X).mean())
images = np.load("images.npy")
model = PatchCore(image_size=64, coreset=0.2, progress=False)
alone = cross_val_score(model, images, cv=2, scoring=spread)
together = cross_val_score(model, images, cv=2, scoring=spread, n_jobs=2)
np.testing.assert_allclose(alone, together, rtol=1e-5)
grid = GridSearchCV(PaDiM(image_size=64, progress=False), {"n_channels": [5, 9]},
                    cv=2, scoring=spread, n_jobs=2).fit(images)
assert grid.best_estimator_.score(images).shape == (len(images),)
"""


def python(place: Place, code: str, *words: str, **environment: str | None) -> str:
    """Run code in a process of its own, and return what it printed.

    What it wrote to stderr is raised as an error, or comes as a warning if it is one.
    """
    path = str(PACKAGE.parent)
    known = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "2", **environment}
    run = subprocess.run(
        [sys.executable, *words, "-c", code],
        check=False,
        capture_output=True,
        text=True,
        cwd=place.folder,
        env={name: value for name, value in known.items() if value is not None},
        timeout=240,
    )
    told = [line for line in run.stderr.splitlines() if "InputWarning: " in line]
    if run.returncode or (run.stderr and not told):
        raise RuntimeError(f"exit {run.returncode}: {run.stderr}")
    for line in told:
        warnings.warn(line, InputWarning, stacklevel=2)
    return run.stdout


def in_process(place: Place, code: str) -> bool:
    """Load the model in a process of its own and run code there."""
    np.save(place.folder / "images.npy", place.good)
    place.model.save(place.folder / "model.adlib")
    python(place, LOAD + code)
    return True


def forked(place: Place, work: Callable[[], Any], model: AnomalyDetector) -> bool:
    """Work in a forked child once torch's threads have run; compare scores."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        expected = model.score(place.good)
        ours, theirs = multiprocessing.Pipe()

        def child() -> None:
            try:
                theirs.send(work())
            except Exception as error:
                theirs.send(error)

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python's own, of forks beside threads
            process = multiprocessing.get_context("fork").Process(target=child)
            process.start()
        hangs = not ours.poll(60)
        came = None if hangs else ours.recv()
        process.kill()
        process.join()
    finally:
        torch.set_num_threads(before)
    assert not hangs
    if isinstance(came, Exception):
        raise came
    return np.array_equal(came, expected)


def scores_in_child(change: Callable[[Place], AnomalyDetector]):
    """Let a forked child score with a model."""

    def does(place: Place) -> bool:
        model = change(place)
        return forked(place, lambda: model.score(place.good), model)

    return works(does)


def goes_on(place: Place) -> bool:
    """Let a forked child ask for the next of its parent's results."""
    model = place.model.set_params(batch_size=1)
    results = model.inspect(place.good)
    next(results)
    return forked(place, lambda: next(results), model)


def while_threads_score(place: Place) -> bool:
    """Let children be forked while other threads score."""
    over = threading.Event()

    def score() -> None:
        while not over.is_set():
            place.model.score(place.good)

    threads = [threading.Thread(target=score) for _ in range(2)]
    for thread in threads:
        thread.start()
    work = lambda: place.model.score(place.good)  # noqa: E731
    try:
        return all(forked(place, work, place.model) for _ in range(3))
    finally:
        over.set()
        for thread in threads:
            thread.join()


def products_go_on(place: Place) -> bool:
    """Let children be forked while another thread multiplies by NumPy's threads."""
    return python(place, PRODUCTS) == ""


def loads_in_child(place: Place) -> bool:
    """Let a forked child load a model and score."""
    path = place.folder / "model.adlib"
    place.model.save(path)
    work = lambda: adlib.load(path, device="cpu").score(place.good)  # noqa: E731
    return forked(place, work, place.model)


def on_gpu_in_child(place: Place, *, cached: bool = False) -> bool:
    """Let a forked child score with a model that says it is on a GPU."""
    backbone = Backbone(weights=None, random_state=0)
    backbone.device = "cuda:0"
    before = current_feature_cache()
    if cached:
        use_feature_cache(FeatureCache(place.folder / "maps", max_bytes=10**6))
    try:
        return forked(place, lambda: backbone(torch.zeros(1, 3, 64, 64)), place.model)
    finally:
        use_feature_cache(before)


def ending(*works: str, daemon: bool) -> str:
    """Return code whose main thread ends while others work."""
    calls = ", ".join(f"lambda: {work}" for work in works)
    return ENDING.format(works=calls, daemon=daemon, times=10**9 if daemon else 3)


def nothing_writable(place: Place, code: str = KERNEL, **environment: str) -> bool:
    """Run code from a package beside which, and in a home where, no file can be made.

    Files stand where folders should be: root too is stopped by them.
    """
    copied = place.folder / "package"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(PACKAGE, copied / "adlib", ignore=ignored)
    for folder in [copied / "adlib", *(copied / "adlib").rglob("*/")]:
        if folder.is_dir():
            (folder / "__pycache__").touch()
    blocked = {"HOME": os.devnull, "XDG_CACHE_HOME": f"{os.devnull}/x"}
    # Its own, so that nothing is found that another test has kept.
    (place.folder / "temporary").mkdir(mode=0o700)
    blocked["TMPDIR"] = str(place.folder / "temporary")
    python(place, code, PYTHONPATH=str(copied), **{**blocked, **environment})
    return True


@contextmanager
def set_to(setter, before, value) -> Iterator[None]:
    """Change a global setting and put it back."""
    setter(value)
    try:
        yield
    finally:
        setter(before)


@contextmanager
def strict_decimals() -> Iterator[None]:
    with decimal.localcontext() as context:
        context.prec = 1
        context.traps[decimal.Inexact] = True
        yield


@contextmanager
def warnings_as_errors() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


class Functions(TorchFunctionMode):
    def __torch_function__(self, function, types, args=(), kwargs=None):
        return function(*args, **(kwargs or {}))


class Dispatches(TorchDispatchMode):
    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        return function(*args, **(kwargs or {}))


SETTINGS = {
    "torch.autocast": lambda: torch.autocast("cpu"),
    "torch.autocast to float16": lambda: torch.autocast("cpu", dtype=torch.float16),
    "set_autocast_enabled": lambda: set_to(
        lambda value: torch.set_autocast_enabled("cpu", value), False, True
    ),
    "a default dtype of float64": lambda: set_to(
        torch.set_default_dtype, torch.float32, torch.float64
    ),
    "a default dtype of bfloat16": lambda: set_to(
        torch.set_default_dtype, torch.float32, torch.bfloat16
    ),
    "a default device": lambda: set_to(torch.set_default_device, None, "meta"),
    "inference mode": torch.inference_mode,
    "gradients": torch.enable_grad,
    "deterministic algorithms": lambda: set_to(
        torch.use_deterministic_algorithms, False, True
    ),
    "flushed denormals": lambda: set_to(torch.set_flush_denormal, False, True),
    "coarse float32 products": lambda: set_to(
        torch.set_float32_matmul_precision, "highest", "medium"
    ),
    "a torch function mode": Functions,
    "a torch dispatch mode": Dispatches,
    "NumPy's errors raised": lambda: np.errstate(all="raise"),
    "warnings as errors": warnings_as_errors,
    "a strict decimal context": strict_decimals,
    "a low recursion limit": lambda: set_to(
        sys.setrecursionlimit, sys.getrecursionlimit(), 500
    ),
}


def same_inside(setting: str):
    """Score, map, load and fit inside a setting; say whether all is as outside."""

    def does(place: Place) -> bool:
        path, images = place.folder / "model.adlib", place.good[:2]
        padim = PaDiM(image_size=64, n_channels=9, progress=False).fit(place.good)
        same = True
        _folding._known_pairs.clear()  # which are found inside, too
        for model in (place.model, padim):
            model.save(path)
            with SETTINGS[setting]():
                fitted = clone(model).fit(place.good)
                others = [model, adlib.load(path, device="cpu"), fitted]
                inside = [other.anomaly_maps(images) for other in others]
                inside += [
                    other.set_params(batch_size=1).score(images) for other in others
                ]
            outside = model.anomaly_maps(images), model.score(images)
            expected = [outside[0]] * 3 + [outside[1]] * 3
            same &= all(map(np.array_equal, inside, expected))
        return same

    return works(does)


def same_after(way):
    """Say whether a model scores the same after it went some way."""
    return works(
        lambda place: np.array_equal(
            way(place).score(place.good), place.model.score(place.good)
        )
    )


def by_joblib(place: Place):
    joblib.dump(place.model, place.folder / "model.joblib")
    return joblib.load(place.folder / "model.joblib")


def planted(place: Place) -> bool:
    """Let somebody have made the temporary folder before, open to all."""
    folder = place.folder / "others"
    folder.mkdir()
    (folder / f"adlib-numba-{os.geteuid()}").mkdir(mode=0o777)
    (folder / f"adlib-numba-{os.geteuid()}").chmod(0o777)
    return nothing_writable(place, TMPDIR=str(folder))


def threads_of(value: str):
    """Say whether a machine with this OMP_NUM_THREADS gets threads that make sense."""
    code = "from adlib._threads import available_threads; print(available_threads())"
    return works(lambda place: int(python(place, code, OMP_NUM_THREADS=value)) >= 1)


SITUATIONS = {
    **{f"inside {setting}": same_inside(setting) for setting in SETTINGS},
    "a forked child scores": scores_in_child(lambda place: place.model),
    "a forked child scores single images": scores_in_child(
        lambda place: place.model.set_params(batch_size=1)
    ),
    "a forked child scores with PaDiM": scores_in_child(
        lambda place: PaDiM(image_size=64, progress=False).fit(place.good)
    ),
    "a forked child scores with FAISS": scores_in_child(
        lambda place: clone(place.model).set_params(search="faiss-flat").fit(place.good)
    ),
    "a forked child scores with OpenVINO": scores_in_child(
        lambda place: clone(place.model).set_params(runtime="openvino").fit(place.good)
    ),
    "a child is forked while threads score": works(while_threads_score),
    "a child is forked while a thread multiplies": works(products_go_on),
    "a forked child fits": works(
        lambda place: forked(
            place,
            lambda: clone(place.model).fit(place.good).score(place.good),
            place.model,
        )
    ),
    "a forked child loads a model": works(loads_in_child),
    "a forked child goes on with its parent's results": refused(
        goes_on, "cannot be used in a forked process. Call the method again there"
    ),
    "a child is forked while a model is on a GPU": refused(
        on_gpu_in_child, 'in a forked process. Start processes by "spawn"'
    ),
    "the same, with a cache of its maps": refused(
        partial(on_gpu_in_child, cached=True), "in a forked process. Start processes"
    ),
    "daemon threads score, inspect and fit at the end": works(
        lambda place: in_process(
            place,
            ending(
                "model.score(images)",
                "list(single.inspect(images))",
                "clone(model).fit(images)",
                daemon=True,
            ),
        )
    ),
    "another thread scores on after the main one": works(
        lambda place: in_process(place, ending("model.score(images)", daemon=False))
    ),
    "copy.copy": same_after(lambda place: copy.copy(place.model)),
    "copy.deepcopy": same_after(lambda place: copy.deepcopy(place.model)),
    "pickle": same_after(lambda place: pickle.loads(pickle.dumps(place.model))),
    "joblib.dump and load": same_after(by_joblib),
    "sklearn.clone, fitted again": same_after(
        lambda place: clone(place.model).fit(place.good)
    ),
    "a pickled scikit-learn pipeline": same_after(
        lambda place: pickle.loads(pickle.dumps(make_pipeline(place.model)))[-1]
    ),
    "cross-validation and grid search in two processes": works(
        lambda place: (
            np.save(place.folder / "images.npy", place.good),
            python(place, SEARCHES) == "",
        )[-1]
    ),
    "neither package nor home is writable": warned(
        nothing_writable, "kept in .*adlib-numba-.*Set NUMBA_CACHE_DIR"
    ),
    "nor is the folder that NUMBA_CACHE_DIR names": warned(
        lambda place: nothing_writable(place, NUMBA_CACHE_DIR=f"{os.devnull}/x"),
        "kept in .*adlib-numba-.*Set NUMBA_CACHE_DIR",
    ),
    "and somebody else made the temporary folder": warned(
        planted, "compiled again in every process.*Set NUMBA_CACHE_DIR"
    ),
    "NUMBA_DISABLE_JIT": refused(
        lambda place: python(place, "import adlib.neighbors", NUMBA_DISABLE_JIT="1"),
        "ImportError: .*Unset NUMBA_DISABLE_JIT",
    ),
    "python -OO, one numba thread": works(
        lambda place: python(place, KERNEL, "-OO", NUMBA_NUM_THREADS="1") == ""
    ),
    "no HOME, no __pycache__": works(
        lambda place: (
            python(place, KERNEL, HOME=None, PYTHONDONTWRITEBYTECODE="1") == ""
        )
    ),
    "OMP_NUM_THREADS is 0": threads_of("0"),
    "OMP_NUM_THREADS is a word": threads_of("abc"),
    "OMP_NUM_THREADS is a list": threads_of("4,2"),
}


@pytest.mark.parametrize("name", SITUATIONS)
def test_what_comes_of(name, place):
    if "FAISS" in name:
        pytest.importorskip("faiss")
    if "OpenVINO" in name:
        openvino_or_skip()
    if "fork" in name and not hasattr(os, "fork"):
        pytest.skip("this system does not fork")
    check(SITUATIONS[name], place)
