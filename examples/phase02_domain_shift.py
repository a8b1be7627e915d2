"""Phase 2: the shifted twin of the data: another pose, another camera, another light.

    python examples/phase02_domain_shift.py [--data ROOT] [--classes NAME ...]

The twin goes to data/shifted, divided as phase 1 divided the originals, its record to
shifted_splits.json under data/processed, pictures to outputs/phase02. Stopped, it
goes on where it was.
"""

# %%
# One configuration for all phases, and one seed before anything is drawn.

from pathlib import Path

from adlib.datasets import check_shifted_set
from adlib.report import light_rows, pair_rows, part_rows, picture_grid, save_figure
from adlib.study import (
    clean_splits,
    config_from_arguments,
    set_seed,
    shifted_splits,
)

config = config_from_arguments(__doc__, Path(__file__).with_name("config.yaml"))
set_seed(config.seed)
outputs = config.paths.outputs / "phase02"
outputs.mkdir(parents=True, exist_ok=True)

# %%
# Every image of train, val and test, with seed 42 + its number, and its mask with it.

clean, shifted = clean_splits(config), shifted_splits(config)
problems = check_shifted_set(config.paths.shifted_splits, config.paths.shifted)
if problems:
    raise SystemExit("\n".join(problems))
for name, split in shifted.items():
    assert split.counts() == clean[name].counts(), "the twin has other images"
    samples = [sample for part in split.parts().values() for sample in part]
    n_masks = sum(sample.mask_path is not None for sample in samples)
    print(f"{name}: {len(samples)} shifted images, {n_masks} masks")

# %%
# Pictures: clean beside shifted with the outlines of both masks, each kind of light on
# one image, and each part of the shift alone, mild, moderate and severe.

for name, split in clean.items():
    grid = picture_grid(pair_rows(split, shifted[name]), f"{name}: clean and shifted")
    save_figure(grid, outputs / f"{name}_pairs.png")
    image = split.train[0]
    grid = picture_grid(light_rows(image, config.shift), f"{name}: gradients of light")
    save_figure(grid, outputs / f"{name}_light.png")
    rows = part_rows(image, config.shift, config.seed)
    grid = picture_grid(rows, f"{name}: each part of the shift, further and further")
    save_figure(grid, outputs / f"{name}_parts.png")
print(f"Written to {config.paths.shifted} and {outputs}.")
