"""Phase 8: one model for all classes, beside one for each.

    python examples/phase08_global_model.py [--data ROOT] [--classes NAME ...]

Needs phases 3 to 5, and at least two classes. Models go to outputs/models, results to
outputs/results, pictures to outputs/phase08.
"""

# %%
# One configuration for all phases, and one seed before anything is drawn.

from pathlib import Path

import adlib
from adlib.report import (
    example_grid,
    explanation_figure,
    neighbour_figure,
    point_figure,
    result_points,
    save_figure,
)
from adlib.study import (
    ImageScores,
    changes,
    changes_table,
    clean_splits,
    config_from_arguments,
    fit_on_split,
    fitting_table,
    keep_features,
    mean_changes,
    neighbour_shares,
    neighbours_table,
    new_padim,
    new_patchcore,
    pooled_split,
    provenance,
    read_results,
    read_scores,
    results_table,
    run_on_split,
    set_seed,
    shortcut,
    shortcut_table,
    write_fittings,
    write_json,
    write_results,
    write_run_details,
    write_thresholds,
)

METHODS = {"PatchCore": new_patchcore, "PaDiM": new_padim}
config = config_from_arguments(__doc__, Path(__file__).with_name("config.yaml"))
set_seed(config.seed)
keep_features(config)
outputs = config.paths.outputs / "phase08"
outputs.mkdir(parents=True, exist_ok=True)
results = config.paths.outputs / "results"
splits = clean_splits(config)
saved = results / "clean_details_scores.csv"
if not saved.is_file():
    raise SystemExit(f"There is no {saved}: run phases 3 to 5 first.")

# %%
# One PatchCore and one PaDiM learn all classes' training images. They are judged class
# by class: at one threshold for all, of best F1 over all validation images, since a
# global model need not know what it looks at; and at the threshold of best F1 on the
# class's own, as the models of phase 5 have it.

pooled = pooled_split(splits)
fittings, models, one_threshold, own_threshold = [], {}, [], []
for method, new in METHODS.items():
    models[method] = new(config)
    path = config.paths.global_model(method)
    fittings.append(fit_on_split(models[method], pooled, path=path))
    for split in splits.values():
        run = run_on_split(models[method], split, seed=config.seed)
        one_threshold.append(run)
        own_threshold.append(run.recalibrated(seed=config.seed))
print(fitting_table(fittings))

# %%
# What one model for all costs: the model itself, at thresholds that are made alike, and
# the one threshold on top of that.

alone = read_scores(saved)
at_own = [ImageScores.of(run) for run in own_threshold]
at_one = [ImageScores.of(run) for run in one_threshold]
by_model = changes(alone, at_own, seed=config.seed)
by_threshold = changes(at_own, at_one, seed=config.seed)
print("From a model for each class to one for all, thresholds by class:")
print(changes_table(by_model, ("image_auroc", "image_f1")))
print("From thresholds by class to one for all:")
print(changes_table(by_threshold, ("image_f1", "image_recall", "image_specificity")))
evaluations = [run.evaluation for run in one_threshold]
print(results_table(evaluations, config.metrics))
notes = {"domain": "clean", **provenance(config)}
effects = {
    "change_by_model": [one.as_dict() for one in by_model],
    "mean_change_by_model": mean_changes(by_model),
    "change_by_threshold": [one.as_dict() for one in by_threshold],
    "mean_change_by_threshold": mean_changes(by_threshold),
}
write_results(evaluations, results, "global_results", notes | effects)
write_run_details(one_threshold, results, "global_details")
again = [run.evaluation for run in own_threshold]
write_results(again, results, "global_class_threshold_results", notes)
thresholds = config.paths.outputs / "thresholds"
write_thresholds(one_threshold, thresholds / "global_thresholds.json")
write_thresholds(own_threshold, thresholds / "global_class_thresholds.json")
write_fittings(fittings, results, "global_fitting", notes)

# %%
# Which class's entries answer for which class's patches, and whether other classes make
# anomalies look normal: the same bank with and without their entries.

bank, shares, shortcuts = models["PatchCore"], [], []
by_class = {one.class_name: one for one in alone if one.method == "PatchCore"}
whole = {run.class_name: run for run in one_threshold if run.method == "PatchCore"}
for name, split in splits.items():
    shares += neighbour_shares(bank, pooled.train, split.test)
    own = adlib.load(config.paths.model("PatchCore", name, "clean"))
    n_entries = len(own.memory_bank_)
    test, before = whole[name].test, by_class[name]
    shortcuts.append(shortcut(bank, pooled.train, test, before, n_entries))
print(neighbours_table(shares))
print(shortcut_table(shortcuts))
analysis = {
    **provenance(config),
    "neighbours": [one.as_dict() for one in shares],
    "shortcut": [one.as_dict() for one in shortcuts],
}
write_json(analysis, results / "global_analysis.json")

# %%
# Pictures: figures side by side, the confusion of neighbours, and anomalies whose
# highest patch is nearest to a patch of another class.

conditions = {
    "one for each class": "clean",
    "one for all, thresholds by class": "global_class_threshold",
    "one for all, one threshold": "global",
}
found = {
    condition: read_results(results / f"{stem}_results.json")
    for condition, stem in conditions.items()
}
for metric, label in {"image_auroc": "AUROC", "image_f1": "F1"}.items():
    figure = point_figure(result_points(found, metric), label, "One model for all")
    save_figure(figure, outputs / f"{label.lower()}.png")
title = "Whose patches answer in the global memory bank"
save_figure(neighbour_figure(shares, title), outputs / "neighbours.png")
class_of = {str(sample.image_path): sample.class_name for sample in pooled.train}
mistaken = []
for name, run in whole.items():
    anomalous = [sample for sample in run.test.samples if sample.label]
    explained = bank.explain([sample.image_path for sample in anomalous])
    for sample, one in zip(anomalous, explained, strict=True):
        if class_of[one.compared_with] != name:
            mistaken.append((sample, one))
    title = f"{name}, PatchCore of all classes"
    grid = example_grid(run.test, run.threshold, title)
    save_figure(grid, outputs / f"{name}_patchcore_maps.png")
print(f"{len(mistaken)} anomalies are nearest to a patch of another class.")
if mistaken:
    mistaken.sort(key=lambda pair: pair[1].distance)
    title = "Anomalies nearest to a patch of another class"
    figure = explanation_figure(mistaken[:6], bank.grid_, title)
    save_figure(figure, outputs / "mistaken.png")
print(f"Written to {config.paths.outputs / 'models'}, {results} and {outputs}.")
