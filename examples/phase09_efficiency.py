"""Phase 9, efficiency: what models cost in time and size, and what less would give.

Needs phases 3 and 4. Times the saved clean models on validation images, one image at a
time and stage by stage, then PatchCore with larger and smaller coresets, and with fewer
features. Results go to outputs/results, pictures to outputs/phase09.
"""

from adlib.report._figures import metric_figure, save_figure, scatter_figure
from adlib.study import set_seed
from adlib.study._fitting import measure_model, trade_off
from adlib.study._names import METHODS
from adlib.study._phase import Phase
from adlib.study._reduction import fewer_dimensions, reduce_features
from adlib.study._tables import as_text

phase = Phase.start(__doc__, __file__)
set_seed(phase.config.seed)
splits = phase.some()

# %%
# The models that the other phases test; and how much to remember: size, time and AUROC
# of banks of 0.5 to 20 % of the patches.

saved = [
    measure_model(phase.load(method, name), split)
    for method in METHODS
    for name, split in splits.items()
]
traded = [trade_off(phase.config, split) for split in splits.values()]
found = phase.write("efficiency", *saved, *traded)
print(as_text(found))

# %%
# The trade-off, once over time and once over size.

found = found[found["setting"].str.startswith("coreset ")]
keys = ["method", "class", "setting"]
points = found.pivot(index=keys, columns="metric", values="value").reset_index()
title, options = "More and less to remember", {"hue": "class", "style": "setting"}
for stem, x in {"time": "latency_ms_p50", "size": "model_megabytes"}.items():
    figure = scatter_figure(points, x, "val_auroc", title, **options)
    save_figure(figure, phase.folder / f"efficiency_{stem}.png")

# %%
# Fewer features: patches and bank by PCA and by random projections, on test images.

tables = []
for name, split in splits.items():
    model, option = phase.load("PatchCore", name), {"random_state": phase.config.seed}
    choices = fewer_dimensions(model, **option)
    tables.append(reduce_features(model, split.test, choices, **option))
found = phase.write("feature_dimensions", *tables)
print(as_text(found))
title = "PatchCore with fewer features"
found = found[found["versus"] == ""]
figure = metric_figure(found, "auroc", title, x="setting", hue="class")
save_figure(figure, phase.folder / "feature_dimensions.png")
print(f"Written to {phase.outputs / 'results'} and {phase.folder}.")
