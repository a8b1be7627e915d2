"""The tables and the picture of the architecture page, made from the code and a run.

``rooms.md`` lists the packages; ``one_image.md`` and ``one_image.png`` follow an image
of the demo set from file to verdict.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from sphinx.application import Sphinx

import adlib
from adlib.datasets import demo_root, read_samples
from adlib.estimators._aggregation import top_mean_scores
from adlib.features import patch_embeddings
from adlib.images import open_source, read_batches, read_image
from adlib.neighbors import greedy_coreset
from adlib.overlays import overlay
from adlib.report._figures import save_figure

DOCS = Path(__file__).parent.parent
GENERATED = DOCS / "_generated"
PACKAGE = Path(adlib.__file__).parent


def rooms_table() -> str:
    """Return how large each package is and what it imports."""
    pyproject = tomllib.loads((DOCS.parent / "pyproject.toml").read_text("utf-8"))
    layers = pyproject["tool"]["importlinter"]["contracts"][0]["layers"]
    names = [layer.removeprefix("adlib.") for layer in layers if "_" not in layer]
    rows = ["| package | modules | lines | imports from |", "|---|--:|--:|---|"]
    for name in names:
        files = list((PACKAGE / name).rglob("*.py"))
        source = "\n".join(path.read_text(encoding="utf-8") for path in files)
        imported = set(re.findall(r"^ *(?:from|import) adlib\.(\w+)", source, re.M))
        used = ", ".join(one for one in names if one in imported - {name})
        shown = "`adlib.cli`" if name == "cli" else f"{{py:mod}}`adlib.{name}`"
        n_lines = source.count("\n") + 1
        rows.append(f"| {shown} | {len(files)} | {n_lines:,} | {used} |")
    return "\n".join(rows) + "\n"


def follow_one_image() -> tuple[str, Figure]:
    """Return the table and the pictures of one image, from file to verdict.

    Raises:
        RuntimeError: The steps, taken one by one, give another bank or score.
    """
    samples = [s for s in read_samples(demo_root()) if s.class_name == "brick"]
    good = [s.image_path for s in samples if s.split == "train"]
    path = next(s.image_path for s in samples if s.defect_type == "hole")
    model = adlib.PatchCore(false_positive_rate=0.05, progress=False).fit(good)

    pixels = read_image(path)
    source = open_source([path], "the architecture page")
    (batch,) = read_batches(source, image_size=(320, 320), batch_size=1)
    stages = model.backbone_(torch.from_numpy(batch.images))
    embeddings = patch_embeddings(stages, model.embedding).numpy()
    n_features = embeddings.shape[-1]
    every = [one.patches.reshape(-1, n_features) for one in model.embeddings(good)]
    patches, bank = np.concatenate(every), model.memory_bank_
    seed = model.random_state
    coreset = np.sort(greedy_coreset(patches, len(bank), random_state=seed))
    found = bank.kneighbors(embeddings.reshape(-1, n_features))
    grid = found.distances.reshape(1, *model.grid_)
    score = top_mean_scores(grid.reshape(1, -1), model.top_ratio)
    (result,) = model.inspect([path])
    if (
        not np.array_equal(patches[coreset], bank.embeddings)
        or score[0] != result.score
    ):
        raise RuntimeError("The steps give another bank or score than the model.")

    steps = [
        ("the file, decoded", "images.read_image", pixels),
        ("resized, a batch of one", "images.read_batches", batch.images),
        *(("feature maps of a stage", "features.Backbone", stage) for stage in stages),
        ("patch embeddings", "features.patch_embeddings", embeddings),
        (
            "in `fit`: all patches of the training images",
            "estimators.PatchCore.embeddings",
            patches,
        ),
        ("in `fit`: the coreset", "neighbors.greedy_coreset", coreset),
        ("in `fit`: the memory bank", "neighbors.MemoryBank", bank.embeddings),
        ("distances to the bank", "neighbors.MemoryBank.kneighbors", found.distances),
        ("patch scores, as a grid", "estimators.PatchCore", grid),
        (f"image score: {score[0]:.2f}", "estimators.PatchCore.score", score),
        ("anomaly map", "estimators.PatchCore.inspect", result.map),
    ]
    rows = ["| step | by | shape | dtype |", "|---|---|---|---|"]
    for step, name, array in steps:
        shape, kind = tuple(array.shape), str(array.dtype).removeprefix("torch.")
        rows.append(f"| {step} | {{py:obj}}`~adlib.{name}` | `{shape}` | `{kind}` |")
    panels = {"the image": pixels}
    panels |= {f"stage {i}": s[0].abs().mean(dim=0) for i, s in enumerate(stages, 1)}
    light = pixels / np.float32(255)
    laid_over = overlay(light, result.map, result.map.min(), result.map.max())
    verdict = "anomalous" if result.verdict == -1 else "normal"
    panels |= {"patch scores": grid[0], "anomaly map": result.map, verdict: laid_over}
    figure = Figure(figsize=(2 * len(panels), 2.35), layout="constrained")
    for axes, (title, panel) in zip(
        figure.subplots(1, len(panels)), panels.items(), strict=True
    ):
        axes.imshow(panel)
        axes.set_title(title, fontsize=13)
        axes.set_axis_off()
    return "\n".join(rows) + "\n", figure


def _write(app: Sphinx) -> None:
    """Write the tables, and the picture unless it is there."""
    GENERATED.mkdir(exist_ok=True)
    (GENERATED / "rooms.md").write_text(rooms_table(), encoding="utf-8")
    if not (GENERATED / "one_image.png").is_file() or app.config.plot_gallery == "True":
        table, figure = follow_one_image()
        (GENERATED / "one_image.md").write_text(table, encoding="utf-8")
        save_figure(figure, GENERATED / "one_image.png")


def setup(app: Sphinx) -> dict[str, bool]:
    """Write before Sphinx looks for sources."""
    app.connect("builder-inited", _write, priority=200)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
