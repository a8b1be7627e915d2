"""The architecture page's pictures, made from the code and from a run of it.

``rooms.html`` draws who imports whom, in the order of import-linter's contract in
pyproject.toml; an import against that order stops the build. ``one_image.md`` and
``one_image.png`` follow an image of the demo set from file to verdict; each number is
what the code gave, and the last is compared with what ``inspect`` says.
"""

from __future__ import annotations

import ast
import hashlib
import html
import tomllib
from collections import Counter
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from matplotlib.figure import Figure
from sphinx.application import Sphinx

import adlib
from adlib.datasets import demo_root, read_samples
from adlib.features import patch_embeddings
from adlib.images import open_source, read_batches, read_image
from adlib.metrics import top_mean_scores
from adlib.neighbors import greedy_coreset
from adlib.report import overlay, save_figure

DOCS = Path(__file__).parent.parent
GENERATED = DOCS / "_generated"
PACKAGE = Path(adlib.__file__).parent
BELOW = "adlib._*"  # checks, files, threads, progress: what all rooms stand on
STEP_X, STEP_Y, BOX_X, BOX_Y, MARGIN = 92, 58, 104, 36, 8


def rooms() -> list[str]:
    """Return the rooms, those first that others stand on."""
    with (DOCS.parent / "pyproject.toml").open("rb") as file:
        contracts = tomllib.load(file)["tool"]["importlinter"]["contracts"]
    (layers,) = [one["layers"] for one in contracts if one["type"] == "layers"]
    names = [layer.removeprefix("adlib.") for layer in layers if "_" not in layer]
    return [BELOW, *reversed(names)]


def _room(module: str, known: Iterable[str]) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in known else BELOW


def imports() -> Counter[tuple[str, str]]:
    """Count the import statements from room to room; adlib's front doors are none."""
    known = rooms()
    found: Counter[tuple[str, str]] = Counter()
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        if parts in (("adlib", "__init__"), ("adlib", "__main__")):
            continue
        importer = _room(".".join(parts), known)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            named = []
            if isinstance(node, ast.ImportFrom):
                named = [node.module or ""]
            elif isinstance(node, ast.Import):
                named = [alias.name for alias in node.names]
            for module in named:
                imported = _room(module, known)
                if module.split(".")[0] == "adlib" and imported != importer:
                    found[importer, imported] += 1
    return found


def rooms_picture() -> str:
    """Return an SVG: rooms on the diagonal, lines to the left and up to what they use.

    Raises:
        RuntimeError: A room imports from one that stands below it.
    """
    names, counts = rooms(), imports()
    place = {name: i for i, name in enumerate(names)}
    wrong = [pair for pair in counts if place[pair[0]] < place[pair[1]]]
    if wrong:
        raise RuntimeError(f"Rooms import against the one direction: {wrong}.")
    width = MARGIN * 2 + STEP_X * (len(names) - 1) + BOX_X
    height = MARGIN * 2 + STEP_Y * (len(names) - 1) + BOX_Y

    def centre(i: int) -> tuple[float, float]:
        return MARGIN + BOX_X / 2 + STEP_X * i, MARGIN + BOX_Y / 2 + STEP_Y * i

    lines, dots, boxes = [], [], []
    for name, i in place.items():
        x, y = centre(i)
        used = [place[other] for one, other in counts if one == name]
        users = [place[one] for one, other in counts if other == name]
        if used:
            lines.append(f'<path d="M{x - BOX_X / 2} {y} H{centre(min(used))[0]}"/>')
        if users:
            low = y + BOX_Y / 2
            lines.append(f'<path d="M{x} {centre(max(users))[1]} V{low + 7}"/>')
            head = f"M{x} {low + 1} l-5 9 h10 z"
            lines.append(f'<path class="head" d="{head}"/>')
        text = f'<text x="{x}" y="{y}">{html.escape(name)}</text>'
        box = (
            f'<rect x="{x - BOX_X / 2}" y="{y - BOX_Y / 2}" width="{BOX_X}" '
            f'height="{BOX_Y}" rx="6"/>'
        )
        if name != BELOW:
            page = "command_line" if name == "cli" else f"adlib_{name}"
            boxes.append(f'<a href="api/{page}.html">{box}{text}</a>')
        else:
            boxes.append(f'<g class="below">{box}{text}</g>')
    for (one, other), n in sorted(counts.items()):
        x, y = centre(place[other])[0], centre(place[one])[1]
        title = f"{one} imports from {other}: {n}"
        dots.append(
            f'<g class="dot"><title>{html.escape(title)}</title>'
            f'<circle cx="{x}" cy="{y}" r="14"/><text x="{x}" y="{y}">{n}</text></g>'
        )
    drawn = "\n".join([*lines, *boxes, *dots])
    label = "Who imports from whom, in statements. " + "; ".join(
        f"{one} from {other} {n}" for (one, other), n in sorted(counts.items())
    )
    return (
        f'<svg class="rooms" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="{html.escape(label)}">\n{drawn}\n</svg>\n'
    )


def rooms_table() -> str:
    """Return what each room holds and how large it is."""
    rows = ["| room | holds | modules | lines |", "|---|---|--:|--:|"]
    for name in rooms():
        if name == BELOW:
            files = list(PACKAGE.glob("*.py"))
            files.remove(PACKAGE / "__init__.py")
            holds, shown = "Checks, errors, files, threads, progress", f"`{BELOW}`"
        else:
            files = list((PACKAGE / name).rglob("*.py"))
            text = import_module(f"adlib.{name}").__doc__ or ""
            holds = text.partition("\n")[0].partition(";")[0].rstrip(".")
            page = "command_line" if name == "cli" else f"adlib_{name}"
            shown = f"[`adlib.{name}`](api/{page}.rst)"
        n_lines = sum(len(file.read_text("utf-8").splitlines()) for file in files)
        rows.append(f"| {shown} | {holds} | {len(files)} | {n_lines:,} |")
    return "\n".join(rows) + "\n"


class Step(NamedTuple):
    """One step of the image: what happens, who does it, what comes out."""

    what: str
    who: str
    array: Any
    note: str = ""


def follow_one_image() -> tuple[str, Figure]:
    """Return the table and the pictures of one image, from file to verdict.

    Raises:
        RuntimeError: The steps, taken one by one, give another score than ``inspect``.
    """
    samples = [s for s in read_samples(demo_root()) if s.class_name == "brick"]
    learned = [s.image_path for s in samples if s.split == "train"]
    sample = next(s for s in samples if s.defect_type == "hole")
    path = sample.image_path
    model = adlib.PatchCore(false_positive_rate=0.05, progress=False).fit(learned)

    pixels = read_image(path)
    source = open_source([path], "the architecture page")
    (batch,) = read_batches(source, image_size=(320, 320), batch_size=1)
    stages = model.backbone_(torch.from_numpy(batch.images))
    embeddings = patch_embeddings(stages, model.embedding).numpy()
    every = np.concatenate(
        [
            one.patches.reshape(-1, embeddings.shape[3])
            for one in model.embeddings(learned)
        ]
    )
    bank = model.memory_bank_
    picks = np.sort(greedy_coreset(every, len(bank), random_state=model.random_state))
    found = bank.kneighbors(embeddings.reshape(-1, embeddings.shape[3]))
    grid = found.distances.reshape(1, *model.grid_)
    scores = top_mean_scores(grid.reshape(1, -1), model.top_ratio)
    (result,) = model.inspect([path])
    if not np.array_equal(every[picks], bank.embeddings) or scores[0] != result.score:
        raise RuntimeError("The steps give another bank or score than the model.")

    size = f"{path.stat().st_size:,} bytes"
    strides = ", ".join(f"{stage.stride}" for stage in model.backbone_.stages)
    n_patches = len(every)
    steps = [
        Step("the file, decoded", "adlib.images.read_image", pixels, size),
        Step("resized, a batch of one", "adlib.images.read_batches", batch.images),
        *(
            Step(f"feature maps at stride {stage.stride}", "adlib.features.Backbone", m)
            for stage, m in zip(model.backbone_.stages, stages, strict=True)
        ),
        Step(
            "patch embeddings",
            "adlib.features.patch_embeddings",
            embeddings,
            f"both strides ({strides}), 3x3 means, side by side",
        ),
        Step(
            f"learned before: all patches of {len(learned)} good images",
            "adlib.estimators.PatchCore.embeddings",
            every,
        ),
        Step(
            "the coreset",
            "adlib.neighbors.greedy_coreset",
            picks,
            f"{100 * len(picks) / n_patches:.0f} % of them, by position",
        ),
        Step("the memory bank", "adlib.neighbors.MemoryBank", bank.embeddings),
        Step(
            "nearest entry of each patch",
            "adlib.neighbors.MemoryBank.kneighbors",
            found.distances,
            "distances, plain; and as many indices",
        ),
        Step("patch scores", "adlib.estimators.PatchCore", grid, "the same, as a grid"),
        Step(
            "image score",
            "adlib.metrics.top_mean_scores",
            scores,
            f"{scores[0]:.2f}, the mean of the highest {100 * model.top_ratio:.0f} %",
        ),
        Step(
            "anomaly map",
            "adlib.estimators.PatchCore.inspect",
            result.map,
            "upsampled and blurred",
        ),
        Step(
            "threshold",
            "adlib.estimators.PatchCore.fit",
            np.float64(model.threshold_),
            f"{model.threshold_:.2f}, from good images alone",
        ),
        Step(
            "verdict",
            "adlib.estimators.PatchCore.predict",
            model.predict([path]),
            "anomalous" if result.verdict == -1 else "normal",
        ),
    ]
    rows = ["| step | room | by | shape, dtype | note |", "|---|---|---|---|---|"]
    for step in steps:
        shape = f"`{tuple(step.array.shape)}`" if step.array.ndim else "a number"
        kind = str(step.array.dtype).removeprefix("torch.")
        who = f"{{py:obj}}`~{step.who}`"
        room = step.who.split(".")[1]
        rows.append(
            f"| {step.what} | {room} | {who} | {shape} `{kind}` | {step.note} |"
        )
    figure = _strip(pixels, stages, grid, result, model.threshold_)
    return "\n".join(rows) + "\n", figure


def _strip(
    pixels: Any, stages: Any, grid: Any, result: Any, threshold: float
) -> Figure:
    """Draw the image at six of the steps."""
    figure = Figure(figsize=(12, 2.35), layout="constrained")
    axes = figure.subplots(1, 6)
    first, second = (stage[0].abs().mean(dim=0).numpy() for stage in stages)
    high = max(float(grid.max()), threshold)
    panels = (
        ("the image", pixels, None),
        (f"stage 1, {first.shape[0]}x{first.shape[1]}", first, None),
        (f"stage 2, {second.shape[0]}x{second.shape[1]}", second, None),
        (f"patch scores, {grid.shape[1]}x{grid.shape[2]}", grid[0], high),
        ("anomaly map", result.map, None),
    )
    for ax, (title, shown, top) in zip(axes, panels, strict=False):
        ax.imshow(shown, cmap="viridis", vmin=None if top is None else 0, vmax=top)
        ax.set_title(title, fontsize=13)
    low, top = float(result.map.min()), float(result.map.max())
    axes[-1].imshow(overlay(pixels / np.float32(255), result.map, low, top))
    verdict = "anomalous" if result.verdict == -1 else "normal"
    axes[-1].set_title(f"verdict: {verdict}", fontsize=13)
    for ax in axes:
        ax.set_axis_off()
    return figure


def _make(app: Sphinx) -> None:
    """Write the pictures and tables, unless they are there and nothing changed."""
    known = hashlib.sha256(Path(__file__).read_bytes())
    for path in sorted(PACKAGE.rglob("*.py")):
        known.update(path.read_bytes())
    state = GENERATED / "state.txt"
    if state.is_file() and state.read_text("utf-8") == known.hexdigest():
        return
    GENERATED.mkdir(exist_ok=True)
    (GENERATED / "rooms.html").write_text(rooms_picture(), encoding="utf-8")
    (GENERATED / "rooms.md").write_text(rooms_table(), encoding="utf-8")
    table, figure = follow_one_image()
    (GENERATED / "one_image.md").write_text(table, encoding="utf-8")
    save_figure(figure, GENERATED / "one_image.png")
    state.write_text(known.hexdigest(), encoding="utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    """Make them before Sphinx looks for sources."""
    app.connect("builder-inited", _make, priority=200)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
