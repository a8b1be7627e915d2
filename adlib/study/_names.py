"""The words of the study's tables: columns, methods, conditions and metrics."""

from __future__ import annotations

# The two tables. Text columns are never missing, "" where there is nothing to say.
SCORE_KEYS = ("phase", "condition", "method", "class", "split", "image")
SCORE_COLUMNS = (*SCORE_KEYS, "label", "defect_type", "score", "threshold", "verdict")
FIGURE_KEYS = ("phase", "condition", "method", "class", "setting", "versus", "metric")
FIGURE_COLUMNS = (*FIGURE_KEYS, "value", "low", "high", "n", "p")

PATCHCORE, PADIM = "PatchCore", "PaDiM"
METHODS = (PATCHCORE, PADIM)
BOTH = "both"  # of a row that is of two methods together
MEAN = "mean"  # of a row that is the mean over classes

CLEAN = "clean"
SHIFTED = "shifted"
NEW_THRESHOLD = "shifted, new threshold"
RETRAINED = "shifted, retrained"
GLOBAL = "global, one threshold"
GLOBAL_BY_CLASS = "global, thresholds by class"

# What the files of each condition are called.
CONDITIONS = {
    CLEAN: "clean",
    SHIFTED: "shifted_no_adaptation",
    NEW_THRESHOLD: "shift_threshold_only",
    RETRAINED: "shift_with_adaptation",
    GLOBAL: "global",
    GLOBAL_BY_CLASS: "global_class_threshold",
}
THRESHOLD_FILES = {
    CLEAN: "clean_thresholds",
    NEW_THRESHOLD: "shift_threshold_only",
    RETRAINED: "shift_thresholds",
    GLOBAL: "global_thresholds",
    GLOBAL_BY_CLASS: "global_class_thresholds",
}

AUROC, AVERAGE_PRECISION, F1 = "auroc", "average_precision", "f1"
RECALL, SPECIFICITY, PRECISION = "recall", "specificity", "precision"
PIXEL_AUROC, AUPRO, THRESHOLD = "pixel_auroc", "aupro", "threshold"

# What a configuration may ask to be shown, and what is averaged over classes.
METRICS = (
    *(AUROC, AVERAGE_PRECISION, F1, "accuracy", PRECISION, RECALL, SPECIFICITY),
    *("fpr_at_95_tpr", "best_f1", PIXEL_AUROC, "pixel_average_precision"),
    *("pixel_best_f1", AUPRO, "aupimo"),
)

NOT_SHIFTED = "not shifted"
CONFIGURED = "configured"
MISSED, FALSE_ALARM = "missed", "false alarm"
# What images of the same kind are called that are predicted rightly.
OPPOSITE = {MISSED: "found", FALSE_ALARM: "accepted"}
