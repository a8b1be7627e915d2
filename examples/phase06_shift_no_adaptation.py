"""Phase 6: what a domain shift costs, and how much of it the threshold alone explains.

Needs phases 2 to 5. The clean models score the shifted test images, first at their
clean thresholds, then at thresholds set again on shifted validation images. Results go
to outputs/results, thresholds to outputs/thresholds, pictures to outputs/phase06.
"""

from adlib.report._figures import metric_figure, save_figure, score_figure
from adlib.report._pictures import picture_grid, verdicts
from adlib.study import set_seed
from adlib.study._evaluate import run_on_split
from adlib.study._names import CLEAN, METHODS, NEW_THRESHOLD, SHIFTED
from adlib.study._phase import Phase
from adlib.study._predictions import Predictions
from adlib.study._shifts import adapt_threshold
from adlib.study._tables import as_text, joined

phase = Phase.start(__doc__, __file__)
set_seed(phase.config.seed)
clean = phase.scores(CLEAN)

# %%
# The clean models look at shifted validation and test images, once. Three ways to move
# a threshold, of which two need no label, stand beside the clean one.

runs, ways = [], []
for method in METHODS:
    for name, split in phase.shifted.items():
        model = phase.load(method, name)
        runs.append(run_on_split(model, split))
        before = Predictions.of(model, phase.clean[name].val, maps=False)
        ways.append(adapt_threshold(before, runs[-1]))
print(as_text(phase.write("shift_threshold_ways", *ways)))

# %%
# What the shift costs, on the same images before and after it; what of that a new
# threshold of best F1 wins back; and what is left, which the model explains.

shifted = phase.write_condition(SHIFTED, runs, [clean])
at_new = phase.write_condition(
    NEW_THRESHOLD,
    runs,
    [shifted],
    after=[clean],
    threshold=lambda run: run.best_f1_threshold,
)

# %%
# Pictures: metrics in all conditions, where scores go, and shifted maps.

shown = phase.whole([CLEAN, SHIFTED, NEW_THRESHOLD])
metrics, options = ["auroc", "f1", "specificity"], {"x": "model", "hue": "condition"}
figure = metric_figure(shown, metrics, "What the shift costs", **options)
save_figure(figure, phase.folder / "metrics.png")
title = "Test images before and after the shift, with their thresholds"
every = joined(clean, shifted, at_new)
save_figure(score_figure(every, title), phase.folder / "scores.png")
for run in runs:
    rows, title = verdicts(run.test, run.threshold), f"{run}: shifted, clean threshold"
    save_figure(picture_grid(rows, title), phase.folder / f"{run.stem}_maps.png")
print(f"Written to {phase.outputs / 'results'} and {phase.folder}.")
