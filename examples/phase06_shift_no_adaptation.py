"""Phase 6: what a domain shift costs, and how much of it the threshold alone explains.

    python examples/phase06_shift_no_adaptation.py [--data ROOT] [--classes NAME ...]

Needs phases 2 to 5. The clean models judge the shifted test images, first at their
clean thresholds, then at thresholds set anew on shifted validation images. Results go
to outputs/results, thresholds to outputs/thresholds, pictures to outputs/phase06.
"""

# %%
# One configuration for all phases, and one seed before anything is drawn.

from pathlib import Path

import adlib
from adlib.report import (
    domain_figure,
    example_grid,
    point_figure,
    result_points,
    save_figure,
    score_rows,
)
from adlib.study import (
    ImageScores,
    Predictions,
    adapt_threshold,
    adaptations_table,
    changes,
    changes_table,
    clean_splits,
    config_from_arguments,
    keep_features,
    mean_changes,
    provenance,
    read_results,
    read_scores,
    results_table,
    run_on_split,
    set_seed,
    shifted_splits,
    write_adaptations,
    write_results,
    write_run_details,
    write_thresholds,
)

METHODS = ("PatchCore", "PaDiM")
config = config_from_arguments(__doc__, Path(__file__).with_name("config.yaml"))
set_seed(config.seed)
keep_features(config)
outputs = config.paths.outputs / "phase06"
outputs.mkdir(parents=True, exist_ok=True)
results = config.paths.outputs / "results"
clean, shifted = clean_splits(config), shifted_splits(config)

# %%
# The clean models look at shifted validation and test images, once. First they judge at
# their clean thresholds, then at those of best F1 on the shifted validation images.
# Three ways to move a threshold without a label stand beside these.

unadapted, rethresholded, ways = [], [], []
for method in METHODS:
    for name, split in shifted.items():
        path = config.paths.model(method, name, "clean")
        if not path.is_file():
            raise SystemExit(f"There is no {path}: run phases 3 and 4 first.")
        model = adlib.load(path)
        run = run_on_split(model, split, seed=config.seed)
        unadapted.append(run)
        rethresholded.append(run.recalibrated(seed=config.seed))
        clean_val = Predictions.of(model, clean[name].val, maps=False)
        ways += adapt_threshold(clean_val, run.threshold, run)
thresholds = config.paths.outputs / "thresholds"
write_thresholds(rethresholded, thresholds / "shift_threshold_only.json")
print(adaptations_table(ways))
write_adaptations(ways, results / "shift_threshold_ways.json", notes=provenance(config))

# %%
# What the shift costs, on the same images before and after it; what of that a new
# threshold wins back; and what is left, which is the model's.

saved = results / "clean_details_scores.csv"
if not saved.is_file():
    raise SystemExit(f"There is no {saved}: run phase 5 first.")
on_clean = read_scores(saved)
on_shift = [ImageScores.of(run) for run in unadapted]
at_new = [ImageScores.of(run) for run in rethresholded]
cost = changes(on_clean, on_shift, seed=config.seed)
by_threshold = changes(on_shift, at_new, seed=config.seed)
left = changes(at_new, on_clean, seed=config.seed)
print("From clean to shifted test images, nothing adapted:")
print(changes_table(cost, ("image_auroc", "image_f1", "image_specificity")))
print("What new thresholds win back:")
print(changes_table(by_threshold, ("image_f1", "image_specificity")))
print("What is still missing to the clean domain, which the model explains:")
print(changes_table(left, ("image_auroc", "image_f1")))

# %%
# Results, each with everything that the evaluation of phase 5 has.

notes = {"domain": "shifted", **provenance(config)}
evaluations = [run.evaluation for run in unadapted]
print(results_table(evaluations, config.metrics))
effect = {
    "change_from_clean": [one.as_dict() for one in cost],
    "mean_change_from_clean": mean_changes(cost),
}
name = "shifted_no_adaptation"
write_results(evaluations, results, f"{name}_results", notes | effect)
write_run_details(unadapted, results, f"{name}_details")

again = [run.evaluation for run in rethresholded]
effect = {
    "explained_by_threshold": [one.as_dict() for one in by_threshold],
    "mean_explained_by_threshold": mean_changes(by_threshold),
    "explained_by_model": [one.as_dict() for one in left],
    "mean_explained_by_model": mean_changes(left),
}
write_results(again, results, "shift_threshold_only_results", notes | effect)
write_run_details(rethresholded, results, "shift_threshold_only_details")

# %%
# Pictures: figures in all three conditions, where scores go, and shifted maps.

conditions = {
    "clean": "clean",
    "shifted": "shifted_no_adaptation",
    "shifted, new threshold": "shift_threshold_only",
}
found = {
    condition: read_results(results / f"{stem}_results.json")
    for condition, stem in conditions.items()
}
drawn = {
    "image_auroc": "AUROC",
    "image_f1": "F1",
    "image_specificity": "specificity",
}
for metric, label in drawn.items():
    points = result_points(found, metric)
    figure = point_figure(points, label, "What the shift costs")
    save_figure(figure, outputs / f"{label.lower()}.png")
clean_scores = {(one.method, one.class_name): one for one in on_clean}
for run, new in zip(unadapted, rethresholded, strict=True):
    before = clean_scores[run.method, run.class_name]
    rows = score_rows({"clean": before, "shifted": ImageScores.of(run)})
    title = f"{run.class_name}, {run.method}"
    lines = {"clean threshold": run.threshold, "new threshold": new.threshold}
    stem = f"{run.class_name}_{run.method.lower()}"
    save_figure(domain_figure(rows, lines, title), outputs / f"{stem}_scores.png")
    grid = example_grid(run.test, run.threshold, f"{title}: shifted, clean threshold")
    save_figure(grid, outputs / f"{stem}_maps.png")
print(f"Written to {thresholds}, {results} and {outputs}.")
