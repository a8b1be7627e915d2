"""Phase 7: what retraining on the shifted domain wins back, and what less effort does.

Needs phases 2 to 6. Both methods are retrained on the shifted training images and set
their thresholds on shifted validation images; beside them a clean memory bank is topped
up with a few shifted good images. Models go to outputs/models, thresholds to
outputs/thresholds, results to outputs/results, pictures to outputs/phase07.
"""

from adlib.report._figures import metric_figure, save_figure, score_figure
from adlib.report._pictures import picture_grid, verdicts
from adlib.study import read_figures, set_seed
from adlib.study._evaluate import run_on_split
from adlib.study._fitting import fit_on_split, new_detector
from adlib.study._names import CLEAN, METHODS, NEW_THRESHOLD, RETRAINED, SHIFTED
from adlib.study._phase import Phase
from adlib.study._shifts import top_up, way
from adlib.study._tables import as_text, joined

phase = Phase.start(__doc__, __file__)
set_seed(phase.config.seed)

# %%
# PatchCore, retrained: a memory bank of shifted training images, a threshold of best F1
# on shifted validation images.

tables = []
for name, split in phase.shifted.items():
    model = new_detector("PatchCore", phase.config)
    path = phase.config.paths.model("PatchCore", name, "shift")
    tables.append(fit_on_split(model, split, path, condition=RETRAINED))
fitted = phase.write("patchcore_shift_fitting", *tables)
print(as_text(fitted, ["fit_seconds", "model_megabytes", "val_auroc", "threshold"]))

# %%
# PaDiM, retrained on the same images.

tables = []
for name, split in phase.shifted.items():
    model = new_detector("PaDiM", phase.config)
    path = phase.config.paths.model("PaDiM", name, "shift")
    tables.append(fit_on_split(model, split, path, condition=RETRAINED))
fitted = phase.write("padim_shift_fitting", *tables)
print(as_text(fitted, ["fit_seconds", "model_megabytes", "val_auroc", "threshold"]))

# %%
# What that wins back: everything measured on shifted test images, beside phase 6, at
# clean and at new thresholds, and clean images; and what stays lost.

earlier = [phase.scores(one) for one in (SHIFTED, NEW_THRESHOLD, CLEAN)]
runs = [
    run_on_split(phase.load(method, name, "shift"), split)
    for method in METHODS
    for name, split in phase.shifted.items()
]
scores = phase.write_condition(RETRAINED, runs, earlier, methods=True)

# %%
# With less effort: the clean bank and a few shifted good images. All ways side by side,
# with how many shifted images each needs, and what somebody must say of them.

ways = [
    top_up(phase.load("PatchCore", name), phase.clean[name], split)
    for name, split in phase.shifted.items()
]
for run in runs:
    n_good = len(phase.shifted[run.class_name].train)
    needed = {"good": n_good, "labelled": int(run.val.usable.sum())}
    ways.append(way("retrained", run.method, run.test, run.threshold, **needed))
phase.write("adaptation_ways", *ways)
every = read_figures(phase.outputs)
print(as_text(every[every["setting"].str.startswith("way ")]))

# %%
# Pictures: metrics in all conditions, where scores went, and maps.

shown = phase.whole([CLEAN, SHIFTED, NEW_THRESHOLD, RETRAINED])
metrics, title = ["auroc", "f1", "specificity", "aupro"], "From clean to shifted images"
options = {"x": "model", "hue": "condition"}
figure = metric_figure(shown, metrics, title, **options)
save_figure(figure, phase.folder / "metrics.png")
title = "Test images: clean, and shifted after retraining"
figure = score_figure(joined(earlier[2], scores), title)
save_figure(figure, phase.folder / "scores.png")
for run in runs:
    rows, title = verdicts(run.test, run.threshold), f"{run}: {RETRAINED}"
    save_figure(picture_grid(rows, title), phase.folder / f"{run.stem}_maps.png")
print(f"Written to {phase.outputs / 'results'} and {phase.folder}.")
