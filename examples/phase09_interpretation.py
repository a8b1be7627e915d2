"""Phase 9, interpretation: what the scores are made of, and what explains them.

    python examples/phase09_interpretation.py [--data ROOT] [--classes NAME ...]

Needs phase 3. Looks at test images with PatchCore's clean models: which stages and
channels carry the distances, what the network responds to, how patches of normal images
and of defects lie among each other, and which good patch is nearest to each. Results go
to outputs/results, pictures to outputs/phase09.
"""

# %%
# One configuration for all phases, and one seed before anything is drawn.

from pathlib import Path

import adlib
from adlib.report import (
    explanation_figure,
    plane_figure,
    save_figure,
    share_figure,
    stage_figure,
)
from adlib.study import (
    clean_splits,
    config_from_arguments,
    distance_shares,
    keep_features,
    project,
    provenance,
    sample_patches,
    set_seed,
    some_of,
    stage_maps,
    write_json,
)

config = config_from_arguments(__doc__, Path(__file__).with_name("config.yaml"))
set_seed(config.seed)
keep_features(config)
outputs = config.paths.outputs / "phase09"
outputs.mkdir(parents=True, exist_ok=True)
results = config.paths.outputs / "results"
splits, models = clean_splits(config), {}
for name in splits:
    path = config.paths.model("PatchCore", name, "clean")
    if not path.is_file():
        raise SystemExit(f"There is no {path}: run phase 3 first.")
    models[name] = adlib.load(path)

# %%
# What stages and channels add to the distance of each image's highest patch: a sum, so
# nothing is estimated.

shares = []
for name, split in splits.items():
    some = some_of(split, config.ablation.n_training, config.ablation.n_judged)
    shares += distance_shares(models[name], some.test)
for one in shares:
    parts = ", ".join(f"{stage} {part:.1%}" for stage, part in one.stages.items())
    print(f"{one.class_name}, {one.kind} images ({one.n_images}): {parts}")
content = {
    **provenance(config),
    "shares": [one.as_dict() for one in shares],
}
write_json(content, results / "interpretation.json")
title = "What the highest patches' distances are made of"
save_figure(share_figure(shares, title), outputs / "stage_shares.png")

# %%
# Pictures of each class: what the stages respond to; patches in a plane, by t-SNE and
# UMAP; and the nearest good patch that explains a score.

for name, split in splits.items():
    model = models[name]
    first = {s.defect_type: s for s in reversed(split.test) if s.label}
    shown = [first[kind] for kind in sorted(first)][:5]
    found = [(sample, stage_maps(model, sample)) for sample in shown]
    title = f"{name}: what each stage responds to, and what it adds to the distance"
    save_figure(stage_figure(found, title), outputs / f"{name}_stages.png")

    some = some_of(split, config.ablation.n_training, config.ablation.n_judged)
    patches = sample_patches(model, some.test, seed=config.seed)
    planes = [
        (label, project(patches.embeddings, method, seed=config.seed))
        for method, label in (("tsne", "t-SNE"), ("umap", "UMAP"))
    ]
    figure = plane_figure(planes, patches.kinds, f"{name}: patches of test images")
    save_figure(figure, outputs / f"{name}_patches.png")

    explained = model.explain([sample.image_path for sample in shown])
    pairs = list(zip(shown, explained, strict=True))
    figure = explanation_figure(pairs, model.grid_, f"{name}: what explains a score")
    save_figure(figure, outputs / f"{name}_nearest.png")
print(f"Written to {results} and {outputs}.")
