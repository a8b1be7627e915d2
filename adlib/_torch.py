"""Compute the same whatever global settings of torch the caller has changed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

from adlib._threads import undivided

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
