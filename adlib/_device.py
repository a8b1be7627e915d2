"""Choose the device that work runs on."""

from __future__ import annotations

import re

from adlib._validation import describe, refusal


def still_there(device: str) -> str:
    """Return a resolved device if this machine has it too, else "cpu"."""
    if device == "cpu":
        return device
    return device if int(device.partition(":")[2]) < _n_gpus() else "cpu"


def resolve_device(device: object, owner: str) -> str:
    """Return "cpu" or "cuda:N" for a ``device`` parameter, or raise."""
    rule = '"auto", "cpu", "cuda" or "cuda:N"'
    if not isinstance(device, str):
        raise TypeError(refusal("device", owner, rule, describe(device)))
    if device == "cpu":
        return device
    if device != "auto" and not re.fullmatch(r"cuda(:\d+)?", device):
        raise ValueError(refusal("device", owner, rule, describe(device)))
    n_gpus = _n_gpus()
    if device == "auto":
        return "cuda:0" if n_gpus else "cpu"
    index = int(device.partition(":")[2] or 0)
    if index >= n_gpus:
        rule = f"a device of this machine, which shows {n_gpus} CUDA devices"
        remedy = 'Pass device="auto" to take the GPU only where there is one.'
        raise ValueError(refusal("device", owner, rule, describe(device), remedy))
    return f"cuda:{index}"


def _n_gpus() -> int:
    import torch  # noqa: PLC0415 - heavy; "cpu" does not need it

    return torch.cuda.device_count() if torch.cuda.is_available() else 0
