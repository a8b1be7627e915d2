"""Phase 9: where the models fail, what each choice is worth, which shifts hurt.

Needs phases 2 to 8. Errors are those of the saved scores. Choices are compared on
validation images, shifts on test images; both on as many as the configuration's section
ablation says. Results go to outputs/results, pictures to outputs/phase09.
"""

from adlib.report._figures import matrix_figure, metric_figure, save_figure
from adlib.report._pictures import failures, picture_grid
from adlib.study import set_seed
from adlib.study._errors import analyse_errors, wrong_verdicts
from adlib.study._fitting import ablate
from adlib.study._names import CLEAN, CONDITIONS, METHODS
from adlib.study._phase import Phase
from adlib.study._shifts import ablate_shift, cross_shifts, shift_variants
from adlib.study._tables import as_text

phase = Phase.start(__doc__, __file__)
set_seed(phase.config.seed)
models = {n: {m: phase.load(m, n) for m in METHODS} for n in phase.clean}

# %%
# Where the models fail, in every condition: verdicts by defect type, whether both fail
# on the same images, and what these have in common.

tables = []
for condition in CONDITIONS:
    scores = phase.scores(condition)
    splits = phase.shifted if condition.startswith("shifted") else phase.clean
    for name, split in splits.items():
        tables.append(analyse_errors(scores[scores["class"] == name], split.test))
errors = phase.write("errors", *tables)
print(as_text(errors[(errors["method"] == "both") & (errors["versus"] == "")]))
print(as_text(errors[errors["setting"].str.startswith("pattern ")]))

found = errors[errors["metric"] == "n_predicted_anomalous"]
shares = found.assign(value=found["value"] / found["n"].astype(float), metric="share")
options = {"index": "setting", "columns": "condition", "panels": "method"}
clean = phase.scores(CLEAN)
for name, split in phase.clean.items():
    title = f"{name}: share of the images that is predicted anomalous"
    own = shares[shares["class"] == name]
    figure = matrix_figure(own, "share", title, form=".0%", **options)
    save_figure(figure, phase.folder / f"{name}_types.png")
    wrong = wrong_verdicts(clean[clean["class"] == name], split.test)
    hard = [split.test[place] for place in wrong.index[wrong.all(axis=1)][:6]]
    picture = phase.folder / f"{name}_hard.png"
    picture.unlink(missing_ok=True)  # of an earlier run
    if hard:
        title = f"{name}: images that both methods predict wrongly"
        save_figure(picture_grid(failures(hard, models[name]), title), picture)

# %%
# What each choice is worth, one changed at a time, on validation images.

some = phase.some()
tables = [ablate(m, phase.config, split) for split in some.values() for m in METHODS]
ablations = phase.write("ablations", *tables)
print(as_text(ablations[ablations["versus"] == ""]))
for method in METHODS:
    own = ablations[(ablations["method"] == method) & (ablations["versus"] == "")]
    title = f"{method}: one choice changed at a time, validation images"
    figure = metric_figure(own, "val_auroc", title, x="setting", hue="class")
    save_figure(figure, phase.folder / f"ablations_{method.lower()}.png")

# %%
# Which parts of the shift hurt, how much of them, and whether training on one shift
# helps against another.

shifts, seed = shift_variants(phase.config.shift), phase.config.seed
tables = []
for name, split in some.items():
    tables.append(ablate_shift(models[name], split.test, shifts, seed=seed))
    tables.append(cross_shifts(phase.config, split))
found = phase.write("shift_ablations", *tables)
print(as_text(found))
found = found[found["versus"] == ""]
parts = found[found["condition"] == "clean"]
title = "Clean models on images of each shift"
figure = metric_figure(parts, "auroc", title, x="setting", panels="class")
save_figure(figure, phase.folder / "shift_parts.png")
crossed = found[found["condition"] != "clean"]
crossed = crossed.assign(panel=crossed["class"] + ", " + crossed["method"])
title = "Trained on one shift, tested on another: AUROC"
options = {"index": "condition", "columns": "setting", "panels": "panel"}
figure = matrix_figure(crossed, "auroc", title, **options)
save_figure(figure, phase.folder / "cross_shifts.png")
print(f"Written to {phase.outputs / 'results'} and {phase.folder}.")
