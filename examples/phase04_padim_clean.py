"""Phase 4: PaDiM on the clean domain, one model a class, the baseline of the study.

Models go to outputs/models, their times, sizes and validation AUROC to outputs/results.
Test images are not looked at.
"""

from adlib.study import set_seed
from adlib.study._fitting import fit_on_split, new_detector
from adlib.study._phase import Phase
from adlib.study._tables import as_text

phase = Phase.start(__doc__, __file__)
set_seed(phase.config.seed)

# %%
# The same images as PatchCore's, the same network, the same rule for the threshold.

tables = []
for name, split in phase.clean.items():
    model = new_detector("PaDiM", phase.config)
    path = phase.config.paths.model("PaDiM", name, "clean")
    tables.append(fit_on_split(model, split, path))
fitted = phase.write("padim_clean_fitting", *tables)
print(as_text(fitted, ["fit_seconds", "model_megabytes", "val_auroc", "threshold"]))

print(f"Written to {phase.outputs / 'models'} and results.")
