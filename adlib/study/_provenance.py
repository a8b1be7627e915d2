"""What results were made with, to be kept beside them."""

from __future__ import annotations

import os
import platform
import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import adlib
from adlib._device import resolve_device
from adlib._threads import available_threads
from adlib.study._config import Config
from adlib.study._evaluate import FPR_LIMIT, N_RESAMPLES

PACKAGES = (
    *("adlib-vision", "numpy", "torch", "torchvision", "timm", "numba", "pandas"),
    *("pillow", "scikit-image", "scikit-learn", "scipy"),
)
UNSEEN = {"paths", "cache", "tensorboard"}  # of a configuration: change no result
INTERVALS = {
    "metric": f"stratified BCa bootstrap of {N_RESAMPLES:,} resamples",
    "difference of AUROC": "DeLong's method",
    "other difference": f"percentile bootstrap of {N_RESAMPLES:,} resamples",
    "recall of a group": "Clopper and Pearson's exact method",
}


def provenance(config: Config) -> dict[str, Any]:
    """Return seed, configuration, version, device, machine and kinds of intervals."""
    return {
        "seed": config.seed,
        "config": config.model_dump(mode="json", exclude=UNSEEN),
        "version": adlib.__version__,
        "device": resolve_device("auto", "provenance"),
        "environment": environment(),
        "intervals": INTERVALS,
        "aupro_fpr_limit": FPR_LIMIT,
    }


def environment() -> dict[str, str]:
    """Return versions, processor, threads and GPU, as short texts by name."""
    import torch  # noqa: PLC0415 - heavy

    # Python's own call often lacks the processor's name on Linux.
    cpus = Path("/proc/cpuinfo")
    named = re.search(r"model name\s*: (.+)", cpus.read_text() if cpus.exists() else "")
    found = {
        "python": platform.python_version(),
        "system": platform.platform(),
        "processor": named[1] if named else platform.processor() or platform.machine(),
        "cores": str(os.cpu_count()),
        "threads used": str(available_threads()),
        "GPU": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
    }
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found
