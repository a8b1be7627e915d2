"""adlib: anomaly detection that learns from images of good parts alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from adlib._version import __version__

if TYPE_CHECKING:
    from adlib.estimators import PaDiM, PatchCore, load

__all__ = ["PaDiM", "PatchCore", "__version__", "load"]


def __getattr__(name: str) -> Any:
    if name in __all__:  # on first use, so that importing adlib does not load torch
        from adlib import estimators  # noqa: PLC0415

        return getattr(estimators, name)
    raise AttributeError(f"module 'adlib' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
