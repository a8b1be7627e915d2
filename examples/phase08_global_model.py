"""Phase 8: one model for all classes, beside one for each.

Needs phases 3 to 5. Models go to outputs/models, results to outputs/results, pictures
to outputs/phase08.
"""

from adlib.report._figures import matrix_figure, metric_figure, save_figure
from adlib.report._pictures import explanation_figure
from adlib.study import set_seed
from adlib.study._evaluate import run_on_split
from adlib.study._fitting import fit_on_split, new_detector
from adlib.study._interpretation import neighbour_shares, pooled_split, shortcut
from adlib.study._names import CLEAN, GLOBAL, GLOBAL_BY_CLASS, METHODS
from adlib.study._phase import Phase
from adlib.study._predictions import paths_of

phase = Phase.start(__doc__, __file__)
set_seed(phase.config.seed)
alone = phase.scores(CLEAN)

# %%
# One PatchCore and one PaDiM for all classes' training images. They are measured class
# by class: at the threshold of best F1 on the class's own validation images, as the
# models of phase 5 have it; and at one threshold for all, of best F1 over all
# validation images, since a global model need not know what it looks at.

pooled = pooled_split(phase.clean)
fitted, models, runs = [], {}, []
for method in METHODS:
    models[method] = new_detector(method, phase.config)
    path = phase.config.paths.model(method, "global")
    fitted.append(fit_on_split(models[method], pooled, path, condition=GLOBAL))
    runs += [run_on_split(models[method], split) for split in phase.clean.values()]
phase.write("global_fitting", *fitted)
by_class = phase.write_condition(
    GLOBAL_BY_CLASS, runs, [alone], threshold=lambda run: run.best_f1_threshold
)
phase.write_condition(GLOBAL, runs, [by_class])

# %%
# Which class's entries are nearest to which class's patches, and whether other classes
# make anomalies look normal: the same bank with and without their entries.

bank, tables = models["PatchCore"], []
patchcore = [run for run in runs if run.method == "PatchCore"]
for run in patchcore:
    tables.append(neighbour_shares(bank, pooled.train, run.test.samples))
    tables.append(shortcut(bank, pooled.train, run.test))
analysis = phase.write("global_analysis", *tables)
print(analysis[["class", "setting", "versus", "metric", "value", "p"]].to_string())

# %%
# Pictures: metrics side by side, the confusion of neighbours, and anomalies whose
# highest patch is nearest to a patch of another class.

chosen = phase.whole([CLEAN, GLOBAL_BY_CLASS, GLOBAL])
title, options = "One model for all", {"x": "model", "hue": "condition"}
figure = metric_figure(chosen, ["auroc", "f1"], title, **options)
save_figure(figure, phase.folder / "metrics.png")
title, options = "Whose patches are nearest", {"index": "class", "panels": "setting"}
figure = matrix_figure(analysis, "neighbour_share", title, columns="versus", **options)
save_figure(figure, phase.folder / "neighbours.png")
class_of = {str(sample.image_path): sample.class_name for sample in pooled.train}
mistaken = []
for run in patchcore:
    anomalous = [sample for sample in run.test.samples if sample.label]
    explained = bank.explain(paths_of(anomalous))
    pairs = zip(anomalous, explained, strict=True)
    mistaken += [p for p in pairs if class_of[p[1].compared_with] != run.class_name]
print(f"{len(mistaken)} anomalies are nearest to a patch of another class.")
picture = phase.folder / "mistaken.png"
picture.unlink(missing_ok=True)  # of an earlier run
if mistaken:
    mistaken.sort(key=lambda pair: pair[1].distance)
    title = "Anomalies nearest to a patch of another class"
    save_figure(explanation_figure(mistaken[:6], bank.grid_, title), picture)
print(f"Written to {phase.outputs / 'results'} and {phase.folder}.")
