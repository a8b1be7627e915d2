"""What a result depends on beside the code: versions and the machine."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

from adlib._threads import available_threads

PACKAGES = (
    "adlib-vision",
    "numpy",
    "torch",
    "torchvision",
    "timm",
    "numba",
    "pillow",
    "scikit-image",
    "scikit-learn",
    "scipy",
)


def environment() -> dict[str, str]:
    """Return versions, processor, threads and GPU, as short texts by name.

    Example:
        >>> from adlib.study import environment
        >>> "torch" in environment()
        True
    """
    import torch  # noqa: PLC0415 - heavy

    found = {
        "python": platform.python_version(),
        "system": platform.platform(),
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "threads used": str(available_threads()),
        "GPU": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
    }
    return found | package_versions(PACKAGES)


def package_versions(packages: Sequence[str]) -> dict[str, str]:
    """Return the version of each package, or that it is not installed."""
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def _processor() -> str:
    """Return the processor's name, which Python's own call often lacks on Linux."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:  # noqa: PTH123
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
