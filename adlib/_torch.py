"""Compute the same whatever global settings of torch the caller has changed.

Also threads that each compute alone: torch's operators split their work over OpenMP's
threads, which wait for one another at the end of each, several hundred times an image;
beside another busy process that takes several times as long.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
        self._before: list[tuple[Any, str]] = []
        self._by_name = "highest"

    def enter(self) -> None:
        """Change the setting, if no thread has."""
        with self._lock:
            self._n_inside += 1
            if self._n_inside > 1:
                return
            kinds = _kinds_of_products()
            self._before = [
                (kind, kind.fp32_precision)
                for kind in kinds
                if kind.fp32_precision in COARSE
            ]
            for kind, _ in self._before:
                kind.fp32_precision = "ieee"
            if not kinds:
                self._by_name = torch.get_float32_matmul_precision()
                torch.set_float32_matmul_precision("highest")

    def leave(self) -> None:
        """Restore the setting, if no other thread is inside."""
        with self._lock:
            self._n_inside -= 1
            if self._n_inside:
                return
            for kind, precision in self._before:
                kind.fp32_precision = precision
            if not _kinds_of_products():
                torch.set_float32_matmul_precision(self._by_name)


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
    ):
        _products.enter()
        try:
            yield
        finally:
            _products.leave()


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
    """Make tensors by torch's own defaults: float32, on the CPU.

    Args:
        device: Where they are made instead.
    """
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
