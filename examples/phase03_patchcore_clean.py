"""Phase 3: PatchCore on the clean domain, one model a class, and how much to remember.

Models go to outputs/models, their times, sizes and validation AUROC to
outputs/results, pictures of the validation images to outputs/phase03. Test images are
not looked at.
"""

from adlib.report._figures import save_figure
from adlib.report._pictures import picture_grid, verdicts
from adlib.study import set_seed
from adlib.study._fitting import fit_on_split, new_detector
from adlib.study._phase import Phase
from adlib.study._predictions import Predictions
from adlib.study._tables import as_text

phase = Phase.start(__doc__, __file__)
set_seed(phase.config.seed)

# %%
# How much to remember is chosen on validation images: 1, 5 and 10 % of the patches are
# compared there, in fitting time, scoring time, size and AUROC. Where each ranks all of
# them right, AUROC says nothing more; the separation of the scores of both kinds, in
# standard deviations, still does. The configuration's share is saved, with the
# threshold that maximises F1 on the validation images.

chosen = phase.config.patchcore.coreset
tables, models = [], {}
for name, split in phase.clean.items():
    for coreset in sorted({0.01, 0.05, 0.1, chosen}):
        model = new_detector("PatchCore", phase.config, coreset=coreset)
        saved = phase.config.paths.model("PatchCore", name, "clean")
        path = saved if coreset == chosen else saved.with_suffix(f".{coreset:g}.adlib")
        keys = {"setting": f"coreset {100 * coreset:g} %", "keep": coreset == chosen}
        tables.append(fit_on_split(model, split, path, **keys))
        if coreset == chosen:
            models[name] = model
fitted = phase.write("patchcore_clean_fitting", *tables)
shown = ["fit_seconds", "model_megabytes", "val_auroc", "val_separation", "threshold"]
print(as_text(fitted, shown))

# %%
# What the saved models say of validation images: right and wrong, certain and not.

for name, model in models.items():
    predictions = Predictions.of(model, phase.clean[name].val)
    rows = verdicts(predictions, model.threshold_)
    title = f"{name}, PatchCore: validation images"
    save_figure(picture_grid(rows, title), phase.folder / f"{name}_validation.png")
print(f"Written to {phase.outputs / 'models'}, results and {phase.folder}.")
