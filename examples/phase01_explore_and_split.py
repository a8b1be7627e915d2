"""Phase 1: what is in the data, and which images train, set thresholds, and test.

Counts go to outputs/results/dataset.json, pictures to outputs/phase01, the split to
clean_splits.json under data/processed, drawn once and read back ever after. The data
set itself is only read.
"""

from adlib.report._figures import matrix_figure, save_figure
from adlib.report._pictures import examples, picture_grid
from adlib.study import set_seed
from adlib.study._data import counts, image_table, samples_of
from adlib.study._phase import Phase

phase = Phase.start(__doc__, __file__)
set_seed(phase.config.seed)
samples = samples_of(phase.config)
images = image_table(samples)

# %%
# What is there: images of each split and defect type, sizes, modes, masks; and examples
# of every kind with their masks.

print(images.groupby(["class", "split", "defect_type"], sort=False).size().to_string())
print(images.groupby(["class", "height", "width", "mode"]).size().to_string())
areas = images.groupby(["class", "defect_type"])["defect_area"]
print(areas.describe()[["count", "min", "50%", "max"]].to_string(na_rep="no mask"))
for name in images["class"].unique():
    rows = examples([sample for sample in samples if sample.class_name == name])
    title = f"{name}: good images, defects and their masks"
    save_figure(picture_grid(rows, title), phase.folder / f"{name}_examples.png")

# %%
# The split. 80 % of the good training images are learned; the others and 30 % of each
# defect type set thresholds; all the rest is tested on.

splits = phase.clean
for name, split in splits.items():
    parts = [sample.image_path for of in split.parts().values() for sample in of]
    assert len(parts) == len(set(parts)), f"an image of {name} is in two parts"
found = phase.write("dataset", counts(images, splits))
divided = found[found["setting"].str.match("train|val|test")]
print(divided[["class", "setting", "n"]].to_string(index=False))
options = {"index": "setting", "columns": "class", "form": ".0f"}
figure = matrix_figure(divided, "n_images", "Images", **options)
save_figure(figure, phase.folder / "counts.png")
print(f"Written to {phase.folder} and {phase.config.paths.clean_splits}.")
