"""Phase 3: PatchCore on the clean domain, one model a class, and how much to remember.

    python examples/phase03_patchcore_clean.py [--data ROOT] [--classes NAME ...]

Models go to outputs/models, figures of fitting to outputs/results, pictures of the
validation images to outputs/phase03. Test images are not looked at.
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
    new_patchcore,
    provenance,
    set_seed,
    write_fittings,
)

config = config_from_arguments(__doc__, Path(__file__).with_name("config.yaml"))
set_seed(config.seed)
outputs = config.paths.outputs / "phase03"
outputs.mkdir(parents=True, exist_ok=True)
splits = clean_splits(config)

# %%
# How much to remember is chosen on validation images: 1, 5 and 10 % of the patches are
# compared there, in fitting time, scoring time, size and AUROC. The configuration's
# share is saved, with the threshold that maximises F1 on the validation images.

chosen = config.patchcore.coreset
fittings, models = [], {}
for name, split in splits.items():
    for coreset in sorted({0.01, 0.05, 0.1, chosen}):
        model = new_patchcore(config, coreset)
        saved = config.paths.model("PatchCore", name, "clean")
        path = saved if coreset == chosen else saved.with_suffix(f".{coreset:g}.adlib")
        setting = f"coreset {100 * coreset:g} %"
        fittings.append(fit_on_split(model, split, setting=setting, path=path))
        if coreset == chosen:
            models[name] = model
        else:
            path.unlink()  # it was saved to be weighed
print(fitting_table(fittings))
notes = provenance(config)
results = config.paths.outputs / "results"
write_fittings(fittings, results, "patchcore_clean_fitting", notes)

# %%
# What the saved models see in validation images: right and wrong, certain and not.

for name, model in models.items():
    predictions = Predictions.of(model, splits[name].val)
    title = f"{name}, PatchCore: validation images"
    grid = example_grid(predictions, model.threshold_, title)
    save_figure(grid, outputs / f"{name}_validation.png")
print(f"Written to {config.paths.outputs / 'models'}, {results} and {outputs}.")
