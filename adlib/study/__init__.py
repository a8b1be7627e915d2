"""Whole experiments as functions that return typed results."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from adlib.study._environment import environment
from adlib.study._explore import ClassSummary, summarise
from adlib.study._phases import clean_splits, data_root, samples_of, shifted_splits
from adlib.study._seed import set_seed

if TYPE_CHECKING:
    from adlib.study._arguments import config_from_arguments
    from adlib.study._config import Config, read_config
    from adlib.study._demo import DemoResult, run_demo

# Looked up on first use: some need the extra ``study``, others load the estimators.
_LAZY = {
    "Config": "_config",
    "DemoResult": "_demo",
    "config_from_arguments": "_arguments",
    "read_config": "_config",
    "run_demo": "_demo",
}

__all__ = [
    "ClassSummary",
    "Config",
    "DemoResult",
    "clean_splits",
    "config_from_arguments",
    "data_root",
    "environment",
    "read_config",
    "run_demo",
    "samples_of",
    "set_seed",
    "shifted_splits",
    "summarise",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
    except ImportError as error:
        if error.name not in ("pydantic", "yaml"):
            raise
        raise ImportError(
            f"A configuration needs the package {error.name!r}. "
            'Run: pip install "adlib-vision[study]"'
        ) from error
