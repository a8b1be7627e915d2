"""Phase 1: what is in the data, and who learns, who sets thresholds, who is reported.

    python examples/phase01_explore_and_split.py [--data ROOT] [--classes NAME ...]

Pictures and tables go to outputs/phase01, the split to clean_splits.json under
data/processed, drawn once and read back ever after. The data set itself is only read.
"""

# %%
# One configuration for all phases, and one seed before anything is drawn.

import json
from pathlib import Path

from adlib.report import class_figure, example_rows, picture_grid, save_figure
from adlib.study import (
    clean_splits,
    config_from_arguments,
    samples_of,
    set_seed,
    summarise,
)

config = config_from_arguments(__doc__, Path(__file__).with_name("config.yaml"))
set_seed(config.seed)
outputs = config.paths.outputs / "phase01"
outputs.mkdir(parents=True, exist_ok=True)

# %%
# What is there: images of each split and defect type, sizes, modes, masks.

samples = samples_of(config)
summaries = summarise(samples)
for name, summary in summaries.items():
    print(f"{name}: {summary.size_text()}, modes {summary.modes}")
    for split, counts in summary.counts.items():
        print(f"  published {split:10} {counts}")
    print(f"  masks for {summary.n_masks} of {summary.n_anomalous} anomalous images")

# %%
# The split. 80 % of the good training images are learned; the others and 30 % of each
# defect type set thresholds; all the rest is reported on.

splits = clean_splits(config)
for name, split in splits.items():
    parts = split.parts()
    print(f"{name}: " + ", ".join(f"{part} {len(of)}" for part, of in parts.items()))
    images = [sample.image_path for of in parts.values() for sample in of]
    assert len(images) == len(set(images)), "an image is in two parts"
counts = {name: split.counts() for name, split in splits.items()}
(outputs / "counts.json").write_text(json.dumps(counts, indent=1) + "\n")

# %%
# Pictures: the numbers above, and examples of every kind with their masks.

for name, split in splits.items():
    numbers = class_figure(summaries[name], split.counts())
    save_figure(numbers, outputs / f"{name}_numbers.png")
    rows = example_rows([s for s in samples if s.class_name == name])
    examples = picture_grid(rows, f"{name}: good images, defects and their masks")
    save_figure(examples, outputs / f"{name}_examples.png")
print(f"Written to {outputs} and {config.paths.clean_splits}.")
