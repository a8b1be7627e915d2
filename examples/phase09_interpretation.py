"""Phase 9, interpretation: what the scores are made of, and what explains them.

Needs phase 3. Looks at test images with PatchCore's clean models: which stages and
channels carry the distances, what the network responds to, how patches of normal images
and of defects lie among each other, and which good patch is nearest to each. Results go
to outputs/results, pictures to outputs/phase09.
"""

import pandas as pd

from adlib.report._figures import metric_figure, save_figure, scatter_figure
from adlib.report._pictures import explanation_figure, in_turn, picture_grid, stage_rows
from adlib.study import set_seed
from adlib.study._interpretation import distance_shares, project, sample_patches
from adlib.study._phase import Phase
from adlib.study._predictions import paths_of
from adlib.study._reduction import reduce_features, without_a_stage
from adlib.study._tables import as_text

phase = Phase.start(__doc__, __file__)
set_seed(phase.config.seed)
option = {"random_state": phase.config.seed}
splits = phase.some()
models = {name: phase.load("PatchCore", name) for name in splits}

# %%
# What stages and channels add to the distance of each image's highest patch: a sum, so
# nothing is estimated.

tables = [distance_shares(models[name], split.test) for name, split in splits.items()]
shares = phase.write("interpretation", *tables)
print(as_text(shares))
layers = shares[shares["setting"].str.startswith("layer ")]
kinds = ["distance_share_normal", "distance_share_anomalous"]
title = "What the highest patches' distances are made of"
figure = metric_figure(layers, kinds, title, hue="setting", kind="bar")
save_figure(figure, phase.folder / "stage_shares.png")

# %%
# What is lost without a stage: bank and patches leave its features out, no more.

tables = [
    reduce_features(models[n], split.test, without_a_stage(models[n]), **option)
    for n, split in splits.items()
]
found = phase.write("stages_left_out", *tables)
print(as_text(found))
title = "PatchCore without the features of a stage"
found = found[found["versus"] == ""]
figure = metric_figure(found, "auroc", title, x="setting", hue="class")
save_figure(figure, phase.folder / "stages_left_out.png")

# %%
# Pictures of each class: what the stages respond to; patches in a plane, by t-SNE and
# UMAP; and the nearest good patch that explains a score.

for name, split in splits.items():
    model, shown = models[name], in_turn(phase.clean[name].test, 2)
    rows = {
        f"{s.defect_type}, {s.image_path.name}": stage_rows(model, s) for s in shown
    }
    title = f"{name}: what each stage responds to, and what it adds to the distance"
    save_figure(picture_grid(rows, title), phase.folder / f"{name}_stages.png")

    embeddings, kinds = sample_patches(model, split.test, **option)
    planes = []
    for label, method in {"t-SNE": "tsne", "UMAP": "umap"}.items():
        plane = pd.DataFrame(project(embeddings, method, **option), columns=["x", "y"])
        planes.append(plane.assign(plane=label, kind=kinds))
    options = {"hue": "kind", "panels": "plane", "axes": False}
    title = f"{name}: patches of test images"
    figure = scatter_figure(pd.concat(planes), "x", "y", title, **options)
    save_figure(figure, phase.folder / f"{name}_patches.png")

    pairs = list(zip(shown, model.explain(paths_of(shown)), strict=True))
    figure = explanation_figure(pairs, model.grid_, f"{name}: what explains a score")
    save_figure(figure, phase.folder / f"{name}_nearest.png")
print(f"Written to {phase.outputs / 'results'} and {phase.folder}.")
