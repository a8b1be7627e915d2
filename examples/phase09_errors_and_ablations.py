"""Phase 9: where the models fail, what each choice is worth, which shifts hurt.

    python examples/phase09_errors_and_ablations.py [--data ROOT] [--classes NAME ...]

Needs phases 2 to 8. Errors are those of the saved results. Choices are compared on
validation images, shifts on test images; both on as many as the configuration's section
ablation says. Results go to outputs/results, pictures to outputs/phase09.
"""

# %%
# One configuration for all phases, and one seed before anything is drawn.

from pathlib import Path

import numpy as np

import adlib
from adlib.report import (
    FigurePoint,
    Matrix,
    failure_grid,
    matrix_figure,
    point_figure,
    save_figure,
)
from adlib.study import (
    ablate,
    ablate_shift,
    ablation_table,
    agreement_table,
    analyse_errors,
    clean_splits,
    config_from_arguments,
    cross_shifts,
    keep_features,
    new_padim,
    new_patchcore,
    padim_variants,
    patchcore_variants,
    patterns_table,
    provenance,
    read_scores,
    set_seed,
    shift_table,
    shifted_splits,
    some_of,
    write_json,
)

METHODS = {"PatchCore": new_patchcore, "PaDiM": new_padim}
VARIANTS = {"PatchCore": patchcore_variants, "PaDiM": padim_variants}
config = config_from_arguments(__doc__, Path(__file__).with_name("config.yaml"))
set_seed(config.seed)
keep_features(config)
outputs = config.paths.outputs / "phase09"
outputs.mkdir(parents=True, exist_ok=True)
results = config.paths.outputs / "results"
clean, shifted = clean_splits(config), shifted_splits(config)
notes = provenance(config)

# %%
# Where the models fail, in every condition: verdicts by defect type, whether both fail
# on the same images, and what these have in common.

CONDITIONS = {
    "clean": ("clean", clean),
    "shifted": ("shifted_no_adaptation", shifted),
    "shifted, new threshold": ("shift_threshold_only", shifted),
    "shifted, learned anew": ("shift_with_adaptation", shifted),
    "one model for all": ("global", clean),
}
errors = {}
for condition, (stem, splits) in CONDITIONS.items():
    saved = results / f"{stem}_details_scores.csv"
    if not saved.is_file():
        raise SystemExit(f"There is no {saved}: run phases 2 to 8 first.")
    scores = read_scores(saved)
    errors[condition] = {
        name: analyse_errors([s for s in scores if s.class_name == name], split.test)
        for name, split in splits.items()
    }
    print(f"{condition}:")
    found = errors[condition].values()
    print(agreement_table([one.agreement for one in found]))
print(patterns_table([row for one in errors["clean"].values() for row in one.patterns]))
analyses = {
    condition: {name: one.as_dict() for name, one in found.items()}
    for condition, found in errors.items()
}
write_json(notes | {"conditions": analyses}, results / "errors.json")

for name, split in clean.items():
    matrices = []
    for method in METHODS:
        shares = []
        for condition in CONDITIONS:
            counts = [t for t in errors[condition][name].types if t.method == method]
            shares.append([t.n_called / max(1, t.n_images) for t in counts])
        kinds = [f"{t.defect_type} ({t.n_images})" for t in counts]
        table = np.array(shares).T
        matrices.append(Matrix(method, kinds, list(CONDITIONS), table))
    title = f"{name}: share of the images that is called anomalous"
    figure = matrix_figure(matrices, title, form="{:.0%}")
    save_figure(figure, outputs / f"{name}_types.png")
    by_name = {(s.defect_type, s.image_path.name): s for s in split.test}
    hard = [c for c in errors["clean"][name].cases if len(c.wrong) == len(METHODS)]
    if hard:
        samples = [by_name[case.defect_type, case.image] for case in hard[:6]]
        models = {m: adlib.load(config.paths.model(m, name, "clean")) for m in METHODS}
        title = f"{name}: images that both methods judge wrongly"
        save_figure(failure_grid(samples, models, title), outputs / f"{name}_hard.png")

# %%
# What each choice is worth, one changed at a time, on validation images.

rows = []
for split in clean.values():
    some = some_of(split, config.ablation.n_training, config.ablation.n_judged)
    for method, new in METHODS.items():
        rows += ablate(new(config), VARIANTS[method](config), some)
print(ablation_table(rows))
content = notes | {"rows": [row.as_dict() for row in rows]}
write_json(content, results / "ablations.json")
for method in METHODS:
    points = [
        FigurePoint(
            row.class_name,
            f"{row.group}: {row.name}" if row.name else row.group,
            row.method,
            row.auroc,
            row.auroc_low,
            row.auroc_high,
        )
        for row in rows
        if row.method == method
    ]
    title = f"{method}: one choice changed at a time, validation images"
    figure = point_figure(points, "AUROC", title)
    save_figure(figure, outputs / f"ablations_{method.lower()}.png")

# %%
# Which parts of the shift hurt, how much of them, and whether learning one shift helps
# against another.

parts, crossed = [], []
for name, split in clean.items():
    some = some_of(split, config.ablation.n_training, config.ablation.n_judged)
    models = {m: adlib.load(config.paths.model(m, name, "clean")) for m in METHODS}
    parts += ablate_shift(models, some.test, config.shift, seed=config.seed)
    unfitted = {method: new(config) for method, new in METHODS.items()}
    crossed += cross_shifts(unfitted, some, config.shift, seed=config.seed)
print(shift_table(parts))
print(shift_table(crossed))
content = {
    "parts": [row.as_dict() for row in parts],
    "crossed": [row.as_dict() for row in crossed],
}
write_json(notes | content, results / "shift_ablations.json")
points = [
    FigurePoint(
        row.class_name,
        f"{row.judged_on}, {row.severity}" if row.severity else row.judged_on,
        row.method,
        row.auroc,
        row.auroc_low,
        row.auroc_high,
    )
    for row in parts
]
title = "Clean models on images of each shift"
save_figure(point_figure(points, "AUROC", title), outputs / "shift_parts.png")
matrices = []
for name in clean:
    for method in METHODS:
        chosen = [r for r in crossed if (r.class_name, r.method) == (name, method)]
        domains = list(dict.fromkeys(row.judged_on for row in chosen))
        table = np.array([row.auroc for row in chosen]).reshape(len(domains), -1)
        matrices.append(Matrix(f"{name}, {method}", domains, domains, table))
figure = matrix_figure(
    matrices,
    "Learned from one shift, judged on another: AUROC",
    xlabel="judged on",
    ylabel="learned from",
    scale=(0.5, 1.0),
    form="{:.3f}",
)
save_figure(figure, outputs / "cross_shifts.png")
print(f"Written to {results} and {outputs}.")
