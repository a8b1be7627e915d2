"""Compute the same whatever global settings of torch the caller has changed.

Also threads that each compute alone: torch's operators split their work over OpenMP's
threads, which wait for one another at the end of each, several hundred times an image;
beside another busy process that takes several times as long.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from typing import Any

import torch
from threadpoolctl import ThreadpoolController

from adlib._threads import Threads, undivided

COARSE = ("bf16", "tf32")  # torch's names of less precise float32 products


class _Products:
    """Keeps float32 products in full precision while any thread computes.

    torch has one setting for the whole process, hence the count: the first thread
    changes it, the last one restores it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._n_inside = 0
        self._undo = ExitStack()

    def __enter__(self) -> None:
        with self._lock:
            self._n_inside += 1
            if self._n_inside > 1:
                return
            kinds = _kinds_of_products()
            for kind in kinds:
                before = kind.fp32_precision
                if before in COARSE:
                    self._undo.callback(setattr, kind, "fp32_precision", before)
                    kind.fp32_precision = "ieee"
            if not kinds:
                by_name = torch.get_float32_matmul_precision()
                self._undo.callback(torch.set_float32_matmul_precision, by_name)
                torch.set_float32_matmul_precision("highest")

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._n_inside -= 1
            if not self._n_inside:
                self._undo.close()


def _kinds_of_products() -> list[Any]:
    """Return torch's settings of the precision of products; none before torch 2.9."""
    kinds = (
        getattr(torch.backends.mkldnn, "matmul", None),
        getattr(torch.backends.mkldnn, "conv", None),
        getattr(torch.backends.cuda, "matmul", None),
    )
    return [kind for kind in kinds if hasattr(kind, "fp32_precision")]


_products = _Products()
_this_thread = threading.local()


@contextmanager
def exact() -> Iterator[None]:
    """Switch autocast off and compute float32 products in full precision."""
    with (
        torch.autocast("cuda", enabled=False),
        torch.autocast("cpu", enabled=False),
        _products,
    ):
        yield


@contextmanager
def undisturbed() -> Iterator[None]:
    """Combine ``exact``, ``undivided`` and torch's inference mode."""
    if getattr(_this_thread, "undisturbed", False):  # entering takes some 20 us
        yield
        return
    with undivided(), torch.inference_mode(), exact():
        _this_thread.undisturbed = True
        try:
            yield
        finally:
            _this_thread.undisturbed = False


@contextmanager
def as_imported(device: str = "cpu") -> Iterator[None]:
    """Make tensors by torch's own defaults: float32, on the CPU or on ``device``."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        with torch.device(device):
            yield
    finally:
        torch.set_default_dtype(before)


def lone_threads(n_threads: int) -> Threads:
    """Return a pool of threads in which torch's operators run on one thread each."""
    return Threads(
        n_threads, thread_name_prefix="adlib-torch", initializer=_keep_to_one_thread
    )


def _keep_to_one_thread() -> None:
    # A thread gets torch's number when it first asks, which must not happen later.
    torch.get_num_threads()
    # Not torch.set_num_threads: that is other threads' number, too.
    openmp, set_mkls = _libraries()
    openmp.limit(limits=1)
    if set_mkls is not None:
        set_mkls(1)


@cache
def _libraries() -> tuple[ThreadpoolController, Callable[[int], int] | None]:
    """Return what sets the calling thread's number of OpenMP's and of MKL's threads.

    MKL goes by a number of its own once torch.set_num_threads was called. It is part of
    torch's library, and there on x86 alone.
    """
    openmp = ThreadpoolController().select(user_api="openmp")
    library = ctypes.CDLL(torch._C.__file__)
    return openmp, getattr(library, "MKL_Set_Num_Threads_Local", None)
