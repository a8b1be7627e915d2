"""Phase 2: the shifted twin of the data: another pose, another camera, another light.

The twin goes to data/shifted, divided as phase 1 divided the originals, its record to
shifted_splits.json under data/processed, pictures to outputs/phase02. Stopped, it
goes on where it was.
"""

from adlib.datasets import check_shifted_set
from adlib.report._figures import save_figure
from adlib.report._pictures import lights, pairs, picture_grid, shift_parts
from adlib.study import set_seed
from adlib.study._phase import Phase

phase = Phase.start(__doc__, __file__)
set_seed(phase.config.seed)
paths = phase.config.paths

# %%
# Every image of train, val and test, with seed 42 + its number, and its mask with it.

clean, shifted = phase.clean, phase.shifted
problems = check_shifted_set(paths.shifted_splits, paths.shifted)
if problems:
    raise SystemExit("\n".join(problems))
for name, split in shifted.items():
    assert split.counts() == clean[name].counts(), "the twin has other images"
    samples = [sample for part in split.parts().values() for sample in part]
    n_masks = sum(sample.mask_path is not None for sample in samples)
    print(f"{name}: {len(samples)} shifted images, {n_masks} masks")

# %%
# Pictures: clean above shifted with the outlines of both masks, each kind of light on
# one image, and each part of the shift alone, mild, moderate and severe.

for name, split in clean.items():
    image, shift = split.train[0], phase.config.shift
    pictures = {
        "pairs": (pairs(split, shifted[name]), "clean and shifted"),
        "light": (lights(image, shift), "gradients of light"),
        "parts": (shift_parts(image, shift, phase.config.seed), "parts of the shift"),
    }
    for kind, (rows, title) in pictures.items():
        figure = picture_grid(rows, f"{name}: {title}")
        save_figure(figure, phase.folder / f"{name}_{kind}.png")
print(f"Written to {paths.shifted} and {phase.folder}.")
