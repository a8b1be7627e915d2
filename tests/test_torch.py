"""What callers have set for torch stays out, and stays as it was."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from adlib._torch import as_imported, exact, lone_threads, undisturbed


@pytest.mark.parametrize("asked", ["highest", "high", "medium"])
def test_float32_products_are_put_back_by_the_last_one_out(asked):
    torch.set_float32_matmul_precision(asked)
    inside, leave = threading.Event(), threading.Event()

    def stay():
        with undisturbed():
            inside.set()
            leave.wait()

    thread = threading.Thread(target=stay)
    try:
        thread.start()
        inside.wait()
        with undisturbed():
            assert not _coarse()
        assert not _coarse()
        leave.set()
        thread.join()
        assert torch.get_float32_matmul_precision() == asked
        assert _coarse() == (asked != "highest")
    finally:
        torch.set_float32_matmul_precision("highest")


def _coarse():
    """Say whether float32 products on a CPU may be coarse."""
    matmul = getattr(torch.backends.mkldnn, "matmul", None)
    if hasattr(matmul, "fp32_precision"):
        return matmul.fp32_precision in ("bf16", "tf32")
    return torch.get_float32_matmul_precision() != "highest"


@undisturbed()
@undisturbed()
def fail():
    assert not torch.is_autocast_enabled("cpu")
    divmod(1, 0)


def test_it_is_undone_after_an_error():
    with torch.autocast("cpu"):
        for _ in range(2):
            with pytest.raises(ZeroDivisionError):
                fail()
            assert torch.is_autocast_enabled("cpu")
            assert not torch.is_inference_mode_enabled()


def test_gradients_may_be_recorded_where_only_products_matter():
    with torch.autocast("cpu"), exact():
        assert not torch.is_autocast_enabled("cpu")
        assert torch.is_grad_enabled()


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_tensors_are_made_as_torch_does_by_itself(device):
    torch.set_default_dtype(torch.float64)
    try:
        with torch.device("meta"), as_imported(device):
            made = torch.zeros(1)
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
    assert (made.dtype, made.device.type) == (torch.float32, device)


def test_lone_threads_leave_other_threads_their_number():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with lone_threads(2) as lone, ThreadPoolExecutor(1) as other:
            meet = threading.Barrier(2)
            numbers = [lone.submit(_number_at, meet) for _ in range(2)]
            assert [number.result() for number in numbers] == [1, 1]
            assert other.submit(torch.get_num_threads).result() == 3
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def _number_at(meet):
    """Return torch's number of threads, once two threads have come here."""
    meet.wait(10)
    torch.ones(200, 200, dtype=torch.float32).sum()
    return torch.get_num_threads()
