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
    from adlib.study._comparison import (
        ClassComparison,
        MethodComparison,
        compare_methods,
        comparison_table,
    )
    from adlib.study._config import Config, read_config
    from adlib.study._demo import DemoResult, run_demo
    from adlib.study._evaluate import evaluate, pixel_curves
    from adlib.study._evaluation import Evaluation, ImageResults, PixelResults
    from adlib.study._fitting import (
        Fitting,
        fit_on_split,
        fitting_table,
        new_padim,
        new_patchcore,
        write_fittings,
    )
    from adlib.study._predictions import Masks, Predictions, resized_mask
    from adlib.study._results import macro_average, results_table, write_results
    from adlib.study._runs import (
        Calibration,
        Run,
        run_on_split,
        write_run_details,
        write_thresholds,
    )

# Looked up on first use: some need the extra ``study``, others load the estimators.
_LAZY = {
    "Calibration": "_runs",
    "ClassComparison": "_comparison",
    "Config": "_config",
    "DemoResult": "_demo",
    "Evaluation": "_evaluation",
    "Fitting": "_fitting",
    "ImageResults": "_evaluation",
    "Masks": "_predictions",
    "MethodComparison": "_comparison",
    "PixelResults": "_evaluation",
    "Predictions": "_predictions",
    "Run": "_runs",
    "compare_methods": "_comparison",
    "comparison_table": "_comparison",
    "config_from_arguments": "_arguments",
    "evaluate": "_evaluate",
    "fit_on_split": "_fitting",
    "fitting_table": "_fitting",
    "macro_average": "_results",
    "new_padim": "_fitting",
    "new_patchcore": "_fitting",
    "pixel_curves": "_evaluate",
    "read_config": "_config",
    "resized_mask": "_predictions",
    "results_table": "_results",
    "run_demo": "_demo",
    "run_on_split": "_runs",
    "write_fittings": "_fitting",
    "write_results": "_results",
    "write_run_details": "_runs",
    "write_thresholds": "_runs",
}

__all__ = [
    "Calibration",
    "ClassComparison",
    "ClassSummary",
    "Config",
    "DemoResult",
    "Evaluation",
    "Fitting",
    "ImageResults",
    "Masks",
    "MethodComparison",
    "PixelResults",
    "Predictions",
    "Run",
    "clean_splits",
    "compare_methods",
    "comparison_table",
    "config_from_arguments",
    "data_root",
    "environment",
    "evaluate",
    "fit_on_split",
    "fitting_table",
    "macro_average",
    "new_padim",
    "new_patchcore",
    "pixel_curves",
    "read_config",
    "resized_mask",
    "results_table",
    "run_demo",
    "run_on_split",
    "samples_of",
    "set_seed",
    "shifted_splits",
    "summarise",
    "write_fittings",
    "write_results",
    "write_run_details",
    "write_thresholds",
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
