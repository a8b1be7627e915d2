"""Phase 5: what PatchCore and PaDiM are worth on clean test images.

Needs the models of phases 3 and 4. Thresholds, set on validation images, go to
outputs/thresholds, clean_results.json and clean_scores.csv to outputs/results, pictures
to outputs/phase05.
"""

from adlib.report._figures import (
    confusion_figure,
    curve_figure,
    save_figure,
    score_figure,
)
from adlib.report._pictures import picture_grid, verdicts
from adlib.study import set_seed
from adlib.study._evaluate import run_on_split
from adlib.study._names import CLEAN, METHODS
from adlib.study._phase import Phase

phase = Phase.start(__doc__, __file__)
set_seed(phase.config.seed)

# %%
# Every model looks at the validation and test images of its class, once. The threshold
# is the one that it was saved with.

runs = [
    run_on_split(phase.load(method, name), split, val_maps=True)
    for method in METHODS
    for name, split in phase.clean.items()
]

# %%
# All metrics, per class and averaged over classes; other rules for the threshold, other
# ways from a map to a score, probabilities and how far they can be trusted, a threshold
# for each zone; and whether the methods differ by more than chance: DeLong's test in
# each class, corrected for their number by Holm, and a paired t-test over the classes.

scores = phase.write_condition(CLEAN, runs, methods=True)

# %%
# Pictures: scores, curves and verdicts of all, and each method's maps.

figures = {
    "scores": score_figure(scores, "Clean test images", y="defect_type"),
    "roc": curve_figure(scores, "roc", "ROC"),
    "precision_recall": curve_figure(scores, "pr", "Precision and recall"),
    "confusion": confusion_figure(scores, "Verdicts on clean test images"),
}
for stem, figure in figures.items():
    save_figure(figure, phase.folder / f"{stem}.png")
for run in runs:
    figure = picture_grid(verdicts(run.test, run.threshold), f"{run}: test images")
    save_figure(figure, phase.folder / f"{run.stem}_maps.png")
print(f"Written to {phase.outputs / 'results'} and {phase.folder}.")
