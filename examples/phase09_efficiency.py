"""Phase 9, efficiency: what models cost in time and size, and what less would give.

    python examples/phase09_efficiency.py [--data ROOT] [--classes NAME ...]

Needs phases 3 and 4. Times the saved clean models on validation images, one image at a
time and stage by stage, then PatchCore with more and with fewer remembered patches.
Results go to outputs/results, pictures to outputs/phase09.
"""

# %%
# One configuration for all phases, and one seed before anything is drawn.

from pathlib import Path

import adlib
from adlib.report import ScatterPoint, save_figure, scatter_figure
from adlib.study import (
    FRACTIONS,
    clean_splits,
    config_from_arguments,
    cost_table,
    measure_model,
    new_patchcore,
    provenance,
    set_seed,
    some_of,
    stage_table,
    trade_off,
    write_json,
)

METHODS = ("PatchCore", "PaDiM")
config = config_from_arguments(__doc__, Path(__file__).with_name("config.yaml"))
set_seed(config.seed)
outputs = config.paths.outputs / "phase09"
outputs.mkdir(parents=True, exist_ok=True)
splits = {
    name: some_of(split, config.ablation.n_training, config.ablation.n_judged)
    for name, split in clean_splits(config).items()
}

# %%
# The models that the other phases judge with.

saved, stages = [], []
for method in METHODS:
    for name, split in splits.items():
        path = config.paths.model(method, name, "clean")
        if not path.is_file():
            raise SystemExit(f"There is no {path}: run phases 3 and 4 first.")
        model = adlib.load(path)
        cost, times = measure_model(model, split.val, class_name=name)
        saved.append(cost)
        stages += times
print(cost_table(saved))
print(stage_table(stages))

# %%
# How much to remember: size, time and AUROC of banks of 0.5 to 20 % of the patches.

traded = []
for split in splits.values():
    models = [(f"{100 * part:g} %", new_patchcore(config, part)) for part in FRACTIONS]
    traded += trade_off(models, split)
print(cost_table(traded))
results = config.paths.outputs / "results"
content = {
    **provenance(config),
    "stages": [one.as_dict() for one in stages],
    "saved": [one.as_dict() for one in saved],
    "trade_off": [one.as_dict() for one in traded],
}
write_json(content, results / "efficiency.json")

# %%
# The trade-off, once over time and once over size.

for label, stem in (("ms an image (median)", "time"), ("MB of the model", "size")):
    points = [
        ScatterPoint(
            one.class_name,
            one.setting,
            one.p50_milliseconds if stem == "time" else one.megabytes,
            one.auroc,
            one.auroc_low,
            one.auroc_high,
        )
        for one in traded
    ]
    figure = scatter_figure(points, label, "validation AUROC", named=True)
    save_figure(figure, outputs / f"efficiency_{stem}.png")
print(f"Written to {results} and {outputs}.")
