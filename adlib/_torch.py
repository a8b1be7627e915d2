"""Compute the same whatever global settings of torch the caller has changed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
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
