"""Whole experiments, whose results are two tables: scores and figures."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from adlib.study._seed import set_seed

if TYPE_CHECKING:
    from adlib.study._compare import compare_conditions, compare_methods
    from adlib.study._config import Config, read_config
    from adlib.study._evaluate import evaluate
    from adlib.study._run_study import PhaseError, run_study
    from adlib.study._tables import differing_results, read_figures, read_scores

# Looked up on first use: they need the extra ``study``, or load the estimators.
_LAZY = {
    "Config": "_config",
    "PhaseError": "_run_study",
    "compare_conditions": "_compare",
    "compare_methods": "_compare",
    "differing_results": "_tables",
    "evaluate": "_evaluate",
    "read_config": "_config",
    "read_figures": "_tables",
    "read_scores": "_tables",
    "run_study": "_run_study",
}
_EXTRA = ("pydantic", "yaml", "pandas", "filelock")

__all__ = [
    "Config",
    "PhaseError",
    "compare_conditions",
    "compare_methods",
    "differing_results",
    "evaluate",
    "read_config",
    "read_figures",
    "read_scores",
    "run_study",
    "set_seed",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
    except ImportError as error:
        if error.name not in _EXTRA:
            raise
        raise ImportError(
            f"adlib.study.{name} needs the package {error.name!r}. "
            'Run: pip install "adlib-vision[study]"'
        ) from error
