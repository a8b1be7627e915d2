"""Phase 5: what PatchCore and PaDiM are worth on clean test images.

    python examples/phase05_evaluate_clean.py [--data ROOT] [--classes NAME ...]

Needs the models of phases 3 and 4. Thresholds, set on validation images, go to
outputs/thresholds, clean_results.json and .csv to outputs/results, pictures to
outputs/phase05.
"""

# %%
# One configuration for all phases, and one seed before anything is drawn.

from pathlib import Path

import adlib
from adlib.report import comparison_figures, run_figures, save_figure
from adlib.study import (
    clean_splits,
    compare_methods,
    comparison_table,
    config_from_arguments,
    keep_features,
    provenance,
    results_table,
    run_on_split,
    set_seed,
    write_results,
    write_run_details,
    write_thresholds,
)

METHODS = ("PatchCore", "PaDiM")
config = config_from_arguments(__doc__, Path(__file__).with_name("config.yaml"))
set_seed(config.seed)
keep_features(config)
outputs = config.paths.outputs / "phase05"
outputs.mkdir(parents=True, exist_ok=True)
splits = clean_splits(config)

# %%
# Every model looks at the validation and test images of its class, once. The threshold
# is the one that it was saved with.

runs = []
for method in METHODS:
    for name, split in splits.items():
        path = config.paths.model(method, name, "clean")
        if not path.is_file():
            raise SystemExit(f"There is no {path}: run phases 3 and 4 first.")
        runs.append(run_on_split(adlib.load(path), split, seed=config.seed))
write_thresholds(runs, config.paths.outputs / "thresholds/clean_thresholds.json")

# %%
# All figures, per class and averaged over classes, and whether the methods differ by
# more than chance: DeLong's test and permutations in each class, corrected for their
# number by Holm, and a paired t-test over the classes.

evaluations = [run.evaluation for run in runs]
print(results_table(evaluations, config.metrics))
comparison = compare_methods(*([r for r in runs if r.method == m] for m in METHODS))
print(comparison_table(comparison))
notes = {
    "domain": "clean",
    **provenance(config),
    "comparison": comparison.as_dict(),
}
results = config.paths.outputs / "results"
write_results(evaluations, results, "clean_results", notes)

# %%
# Behind the figures: other rules for the threshold, other ways from a map to a score,
# probabilities and how far they can be trusted, and the score of every image.

write_run_details(runs, results, "clean_details")

# %%
# Pictures: methods together, then each alone.

for name in splits:
    together = [run for run in runs if run.class_name == name]
    for kind, figure in comparison_figures(together).items():
        save_figure(figure, outputs / f"{name}_{kind}.png")
    for run in together:
        for kind, figure in run_figures(run).items():
            save_figure(figure, outputs / f"{name}_{run.method.lower()}_{kind}.png")
print(f"Written to {results} and {outputs}.")
