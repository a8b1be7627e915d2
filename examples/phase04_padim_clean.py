"""Phase 4: PaDiM on the clean domain, one model a class, the baseline of the study.

    python examples/phase04_padim_clean.py [--data ROOT] [--classes NAME ...]

Models go to outputs/models, figures of fitting to outputs/results, pictures of the
validation images to outputs/phase04. Test images are not looked at.
"""

# %%
# One configuration for all phases, and one seed before anything is drawn.

from pathlib import Path

from adlib.report import example_grid, save_figure
from adlib.study import (
    Predictions,
    clean_splits,
    config_from_arguments,
    fit_on_split,
    fitting_table,
    new_padim,
    provenance,
    set_seed,
    write_fittings,
)

config = config_from_arguments(__doc__, Path(__file__).with_name("config.yaml"))
set_seed(config.seed)
outputs = config.paths.outputs / "phase04"
outputs.mkdir(parents=True, exist_ok=True)
splits = clean_splits(config)

# %%
# The same images as PatchCore's, the same network, the same rule for the threshold.

fittings, models = [], {}
for name, split in splits.items():
    models[name] = new_padim(config)
    path = config.paths.model("PaDiM", name, "clean")
    fittings.append(fit_on_split(models[name], split, path=path))
print(fitting_table(fittings))
notes = provenance(config)
results = config.paths.outputs / "results"
write_fittings(fittings, results, "padim_clean_fitting", notes)

# %%
# What the models see in validation images: right and wrong, certain and not.

for name, model in models.items():
    predictions = Predictions.of(model, splits[name].val)
    title = f"{name}, PaDiM: validation images"
    grid = example_grid(predictions, model.threshold_, title)
    save_figure(grid, outputs / f"{name}_validation.png")
print(f"Written to {config.paths.outputs / 'models'}, {results} and {outputs}.")
