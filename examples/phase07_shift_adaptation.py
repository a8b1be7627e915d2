"""Phase 7: what learning the shifted domain anew wins back, and what less effort does.

    python examples/phase07_shift_adaptation.py [--data ROOT] [--classes NAME ...]

Needs phases 2 to 6. Both methods learn the shifted training images and set their
thresholds on shifted validation images; beside them a clean memory bank is topped up
with a few shifted good images. Models go to outputs/models, thresholds to
outputs/thresholds, results to outputs/results, pictures to outputs/phase07.
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
    adaptation_of,
    adaptations_table,
    changes,
    changes_table,
    clean_splits,
    compare_methods,
    comparison_table,
    config_from_arguments,
    fit_on_split,
    fitting_table,
    keep_features,
    mean_changes,
    new_padim,
    new_patchcore,
    provenance,
    read_adaptations,
    read_results,
    read_scores,
    results_table,
    run_on_split,
    set_seed,
    shifted_splits,
    top_up,
    write_adaptations,
    write_fittings,
    write_results,
    write_run_details,
    write_thresholds,
)

METHODS = {"PatchCore": new_patchcore, "PaDiM": new_padim}
config = config_from_arguments(__doc__, Path(__file__).with_name("config.yaml"))
set_seed(config.seed)
keep_features(config)
outputs = config.paths.outputs / "phase07"
outputs.mkdir(parents=True, exist_ok=True)
results = config.paths.outputs / "results"
clean, shifted = clean_splits(config), shifted_splits(config)
saved = results / "shift_threshold_only_details_scores.csv"
if not saved.is_file():
    raise SystemExit(f"There is no {saved}: run phases 2 to 6 first.")

# %%
# Learned anew: the same methods on shifted training images, thresholds of best F1 on
# shifted validation images, everything measured on shifted test images.

fittings, adapted = [], []
for method, new in METHODS.items():
    for name, split in shifted.items():
        model = new(config)
        path = config.paths.model(method, name, "shift")
        fittings.append(fit_on_split(model, split, path=path))
        adapted.append(run_on_split(model, split, seed=config.seed))
print(fitting_table(fittings))
thresholds = config.paths.outputs / "thresholds"
write_thresholds(adapted, thresholds / "shift_thresholds.json")

# %%
# What that wins back over phase 6, at clean and at new thresholds, and what stays lost
# to the clean domain, image by image.

unadapted = read_scores(results / "shifted_no_adaptation_details_scores.csv")
rethresholded = read_scores(saved)
on_clean = read_scores(results / "clean_details_scores.csv")
now = [ImageScores.of(run) for run in adapted]
won = changes(unadapted, now, seed=config.seed)
by_model = changes(rethresholded, now, seed=config.seed)
lost = changes(on_clean, now, seed=config.seed)
shown = ("image_auroc", "image_f1", "image_specificity")
print("From nothing adapted to learned anew:")
print(changes_table(won, shown))
print("Of that, beyond what new thresholds give:")
print(changes_table(by_model, shown))
print("From the clean domain to the shifted one learned anew:")
print(changes_table(lost, shown))

evaluations = [run.evaluation for run in adapted]
print(results_table(evaluations, config.metrics))
comparison = compare_methods(*([r for r in adapted if r.method == m] for m in METHODS))
print(comparison_table(comparison))
notes = {
    "domain": "shifted",
    **provenance(config),
    "change_from_no_adaptation": [one.as_dict() for one in won],
    "mean_change_from_no_adaptation": mean_changes(won),
    "explained_by_model": [one.as_dict() for one in by_model],
    "mean_explained_by_model": mean_changes(by_model),
    "change_from_clean": [one.as_dict() for one in lost],
    "mean_change_from_clean": mean_changes(lost),
    "comparison": comparison.as_dict(),
}
write_results(evaluations, results, "shift_with_adaptation_results", notes)
write_run_details(adapted, results, "shift_with_adaptation_details")
write_fittings(fittings, results, "shift_fitting", provenance(config))

# %%
# With less effort: the clean bank and a few shifted good images. All ways side by side,
# with how many shifted images each needs, and what somebody must say of them.

ways = read_adaptations(results / "shift_threshold_ways.json")
for name, split in shifted.items():
    model = adlib.load(config.paths.model("PatchCore", name, "clean"))
    limit = model.threshold_
    ways += top_up(model, clean[name], split, limit, seed=config.seed)
for run in adapted:
    ways.append(adaptation_of(run, "learned anew", len(shifted[run.class_name].train)))
ways.sort(key=lambda way: (list(METHODS).index(way.method), way.class_name))
print(adaptations_table(ways))
write_adaptations(ways, results / "adaptation_ways.json", notes=provenance(config))

# %%
# Pictures: figures under all conditions, where scores went, and maps.

conditions = {
    "clean": "clean",
    "shifted": "shifted_no_adaptation",
    "shifted, new threshold": "shift_threshold_only",
    "shifted, learned anew": "shift_with_adaptation",
}
found = {
    condition: read_results(results / f"{stem}_results.json")
    for condition, stem in conditions.items()
}
drawn = {
    "image_auroc": "AUROC",
    "image_f1": "F1",
    "image_specificity": "specificity",
    "aupro": "AUPRO",
}
for metric, label in drawn.items():
    points = result_points(found, metric)
    if points:
        figure = point_figure(points, label, "From the clean to the shifted domain")
        save_figure(figure, outputs / f"{label.lower()}.png")
before = {(one.method, one.class_name): one for one in on_clean}
for run in adapted:
    key = run.method, run.class_name
    domains = {"clean": before[key], "shifted, learned anew": ImageScores.of(run)}
    title = f"{run.class_name}, {run.method}"
    figure = domain_figure(score_rows(domains), {"new threshold": run.threshold}, title)
    stem = f"{run.class_name}_{run.method.lower()}"
    save_figure(figure, outputs / f"{stem}_scores.png")
    grid = example_grid(run.test, run.threshold, f"{title}: shifted, learned anew")
    save_figure(grid, outputs / f"{stem}_maps.png")
print(f"Written to {config.paths.outputs / 'models'}, {results} and {outputs}.")
