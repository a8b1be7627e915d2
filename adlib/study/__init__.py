"""Whole experiments as functions that return typed results."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from adlib.study._environment import environment
from adlib.study._explore import ClassSummary, summarise
from adlib.study._phases import clean_splits, data_root, samples_of, shifted_splits
from adlib.study._seed import set_seed

if TYPE_CHECKING:
    from adlib.study._ablations import (
        AblationRow,
        Variant,
        ablate,
        ablation_table,
        padim_variants,
        patchcore_variants,
        some_of,
    )
    from adlib.study._arguments import changed_config, config_from_arguments
    from adlib.study._changes import (
        Change,
        ModelChange,
        changes,
        changes_table,
        mean_changes,
    )
    from adlib.study._comparison import (
        ClassComparison,
        MethodComparison,
        compare_methods,
        comparison_table,
    )
    from adlib.study._config import Config, read_config
    from adlib.study._demo import DemoResult, run_demo
    from adlib.study._efficiency import (
        FRACTIONS,
        ModelCost,
        StageTime,
        cost_table,
        measure_model,
        stage_table,
        trade_off,
    )
    from adlib.study._errors import (
        Agreement,
        ErrorAnalysis,
        ErrorCase,
        Pattern,
        TypeCounts,
        agreement_table,
        analyse_errors,
        patterns_table,
    )
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
    from adlib.study._global_model import (
        GLOBAL,
        NeighbourShares,
        Shortcut,
        neighbour_shares,
        neighbours_table,
        pooled_split,
        shortcut,
        shortcut_table,
    )
    from adlib.study._headlines import (
        headline_table,
    )
    from adlib.study._interpretation import (
        DistanceShares,
        PatchSample,
        StageMaps,
        distance_shares,
        project,
        sample_patches,
        stage_maps,
    )
    from adlib.study._json import write_json
    from adlib.study._kept_features import keep_features
    from adlib.study._label_free import (
        Adaptation,
        adapt_threshold,
        adaptation_of,
        adaptations_table,
        read_adaptations,
        top_up,
        write_adaptations,
    )
    from adlib.study._phase_runs import PhaseRun, runs_table
    from adlib.study._phase_state import phase_scripts
    from adlib.study._predictions import Masks, Predictions, resized_mask
    from adlib.study._provenance import provenance
    from adlib.study._results import macro_average, results_table, write_results
    from adlib.study._run_files import write_run_details, write_thresholds
    from adlib.study._run_study import PhaseError, run_study
    from adlib.study._runs import (
        Calibration,
        Run,
        run_on_split,
    )
    from adlib.study._same_results import differing_results
    from adlib.study._saved_results import SavedFigure, SavedResult, read_results
    from adlib.study._scores import (
        ImageScores,
        read_scores,
        write_scores,
    )
    from adlib.study._shift_ablations import (
        ShiftRow,
        ablate_shift,
        cross_shifts,
        shift_table,
        shift_variants,
        shifted_images,
    )
    from adlib.study._tensorboard import write_tensorboard

# Looked up on first use: some need the extra ``study``, others load the estimators.
_LAZY = {
    "FRACTIONS": "_efficiency",
    "GLOBAL": "_global_model",
    "AblationRow": "_ablations",
    "Adaptation": "_label_free",
    "Agreement": "_errors",
    "Calibration": "_runs",
    "Change": "_changes",
    "ClassComparison": "_comparison",
    "Config": "_config",
    "DemoResult": "_demo",
    "DistanceShares": "_interpretation",
    "ErrorAnalysis": "_errors",
    "ErrorCase": "_errors",
    "Evaluation": "_evaluation",
    "Fitting": "_fitting",
    "ImageResults": "_evaluation",
    "ImageScores": "_scores",
    "Masks": "_predictions",
    "MethodComparison": "_comparison",
    "ModelChange": "_changes",
    "ModelCost": "_efficiency",
    "NeighbourShares": "_global_model",
    "PatchSample": "_interpretation",
    "Pattern": "_errors",
    "PhaseError": "_run_study",
    "PhaseRun": "_phase_runs",
    "PixelResults": "_evaluation",
    "Predictions": "_predictions",
    "Run": "_runs",
    "SavedFigure": "_saved_results",
    "SavedResult": "_saved_results",
    "ShiftRow": "_shift_ablations",
    "Shortcut": "_global_model",
    "StageMaps": "_interpretation",
    "StageTime": "_efficiency",
    "TypeCounts": "_errors",
    "Variant": "_ablations",
    "ablate": "_ablations",
    "ablate_shift": "_shift_ablations",
    "ablation_table": "_ablations",
    "adapt_threshold": "_label_free",
    "adaptation_of": "_label_free",
    "adaptations_table": "_label_free",
    "agreement_table": "_errors",
    "analyse_errors": "_errors",
    "changed_config": "_arguments",
    "changes": "_changes",
    "changes_table": "_changes",
    "compare_methods": "_comparison",
    "comparison_table": "_comparison",
    "config_from_arguments": "_arguments",
    "cost_table": "_efficiency",
    "cross_shifts": "_shift_ablations",
    "differing_results": "_same_results",
    "distance_shares": "_interpretation",
    "evaluate": "_evaluate",
    "fit_on_split": "_fitting",
    "fitting_table": "_fitting",
    "headline_table": "_headlines",
    "keep_features": "_kept_features",
    "macro_average": "_results",
    "mean_changes": "_changes",
    "measure_model": "_efficiency",
    "neighbour_shares": "_global_model",
    "neighbours_table": "_global_model",
    "new_padim": "_fitting",
    "new_patchcore": "_fitting",
    "padim_variants": "_ablations",
    "patchcore_variants": "_ablations",
    "patterns_table": "_errors",
    "phase_scripts": "_phase_state",
    "pixel_curves": "_evaluate",
    "pooled_split": "_global_model",
    "project": "_interpretation",
    "provenance": "_provenance",
    "read_adaptations": "_label_free",
    "read_config": "_config",
    "read_results": "_saved_results",
    "read_scores": "_scores",
    "resized_mask": "_predictions",
    "results_table": "_results",
    "run_demo": "_demo",
    "run_on_split": "_runs",
    "run_study": "_run_study",
    "runs_table": "_phase_runs",
    "sample_patches": "_interpretation",
    "shift_table": "_shift_ablations",
    "shift_variants": "_shift_ablations",
    "shifted_images": "_shift_ablations",
    "shortcut": "_global_model",
    "shortcut_table": "_global_model",
    "some_of": "_ablations",
    "stage_maps": "_interpretation",
    "stage_table": "_efficiency",
    "top_up": "_label_free",
    "trade_off": "_efficiency",
    "write_adaptations": "_label_free",
    "write_fittings": "_fitting",
    "write_json": "_json",
    "write_results": "_results",
    "write_run_details": "_run_files",
    "write_scores": "_scores",
    "write_tensorboard": "_tensorboard",
    "write_thresholds": "_run_files",
}

__all__ = [
    "FRACTIONS",
    "GLOBAL",
    "AblationRow",
    "Adaptation",
    "Agreement",
    "Calibration",
    "Change",
    "ClassComparison",
    "ClassSummary",
    "Config",
    "DemoResult",
    "DistanceShares",
    "ErrorAnalysis",
    "ErrorCase",
    "Evaluation",
    "Fitting",
    "ImageResults",
    "ImageScores",
    "Masks",
    "MethodComparison",
    "ModelChange",
    "ModelCost",
    "NeighbourShares",
    "PatchSample",
    "Pattern",
    "PhaseError",
    "PhaseRun",
    "PixelResults",
    "Predictions",
    "Run",
    "SavedFigure",
    "SavedResult",
    "ShiftRow",
    "Shortcut",
    "StageMaps",
    "StageTime",
    "TypeCounts",
    "Variant",
    "ablate",
    "ablate_shift",
    "ablation_table",
    "adapt_threshold",
    "adaptation_of",
    "adaptations_table",
    "agreement_table",
    "analyse_errors",
    "changed_config",
    "changes",
    "changes_table",
    "clean_splits",
    "compare_methods",
    "comparison_table",
    "config_from_arguments",
    "cost_table",
    "cross_shifts",
    "data_root",
    "differing_results",
    "distance_shares",
    "environment",
    "evaluate",
    "fit_on_split",
    "fitting_table",
    "headline_table",
    "keep_features",
    "macro_average",
    "mean_changes",
    "measure_model",
    "neighbour_shares",
    "neighbours_table",
    "new_padim",
    "new_patchcore",
    "padim_variants",
    "patchcore_variants",
    "patterns_table",
    "phase_scripts",
    "pixel_curves",
    "pooled_split",
    "project",
    "provenance",
    "read_adaptations",
    "read_config",
    "read_results",
    "read_scores",
    "resized_mask",
    "results_table",
    "run_demo",
    "run_on_split",
    "run_study",
    "runs_table",
    "sample_patches",
    "samples_of",
    "set_seed",
    "shift_table",
    "shift_variants",
    "shifted_images",
    "shifted_splits",
    "shortcut",
    "shortcut_table",
    "some_of",
    "stage_maps",
    "stage_table",
    "summarise",
    "top_up",
    "trade_off",
    "write_adaptations",
    "write_fittings",
    "write_json",
    "write_results",
    "write_run_details",
    "write_scores",
    "write_tensorboard",
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
