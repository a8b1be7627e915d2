"""Phase 4: PaDiM on the clean domain, one model a class, the baseline of the study.

    python examples/phase04_padim_clean.py [--data ROOT] [--classes NAME ...]

Models go to outputs/models, their times, sizes and validation AUROC to
outputs/results, pictures of the validation images to outputs/phase04. Test images are
not looked at.
"""

from adlib.report._figures import save_figure
from adlib.report._pictures import picture_grid
from adlib.study import set_seed
from adlib.study._fitting import fit_on_split, new_detector
from adlib.study._phase import Phase
from adlib.study._pictures import verdicts
from adlib.study._predictions import Predictions
from adlib.study._tables import as_text

phase = Phase.start(__doc__, __file__)
set_seed(phase.config.seed)

# %%
# The same images as PatchCore's, the same network, the same rule for the threshold.

tables, models = [], {}
for name, split in phase.clean.items():
    models[name] = new_detector("PaDiM", phase.config)
    path = phase.config.paths.model("PaDiM", name, "clean")
    tables.append(fit_on_split(models[name], split, path))
fitted = phase.write("padim_clean_fitting", *tables)
print(as_text(fitted, ["fit_seconds", "model_megabytes", "val_auroc", "threshold"]))

# %%
# What the models say of validation images: right and wrong, certain and not.

for name, model in models.items():
    predictions = Predictions.of(model, phase.clean[name].val)
    rows = verdicts(predictions, model.threshold_)
    title = f"{name}, PaDiM: validation images"
    save_figure(picture_grid(rows, title), phase.folder / f"{name}_validation.png")
print(f"Written to {phase.outputs / 'models'}, results and {phase.folder}.")
