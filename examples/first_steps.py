"""First steps: learn good parts, set a threshold, inspect new ones.

The parts are solar cells of the package elpv-dataset, so that the script runs without
an argument; put your own folders in place of the lists of paths. It shows the whole
life of a detector in a minute: fit, calibrate, inspect, explain, save and load.
"""

# %%
# Good cells to learn from, other good cells to set the threshold with, and some of
# both kinds to inspect. Fewer and smaller than in `adlib demo`, to be quick.

import tempfile
from pathlib import Path

import adlib
from adlib import PatchCore
from adlib.datasets import elpv_samples

cells = elpv_samples("mono")
functional = [cell.image_path for cell in cells if cell.label == 0]
defective = [cell.image_path for cell in cells if cell.label == 1]
learned, set_aside, inspected = functional[:60], functional[60:80], functional[80:84]

# %%
# The threshold keeps a promise: of new good cells, at most one in ten is rejected.

model = PatchCore(image_size=192).fit(learned)
model.calibrate(set_aside, false_positive_rate=0.1)
print(f"threshold {model.threshold_:.2f}")

# %%
# `inspect` streams: a folder, a camera's generator, any number of images.

for result in model.inspect([*inspected, *defective[:4]]):
    verdict = "normal" if result.verdict == 1 else "anomalous"
    print(f"{Path(result.path).name}  score {result.score:5.2f}  {verdict}")

# %%
# Every score has a reason: the strangest patch, and the good patch nearest to it.

for reason in model.explain(defective[:2]):
    print(
        f"{Path(reason.path).name}: patch {reason.patch} is {reason.distance:.2f} away "
        f"from patch {reason.compared_patch} of {Path(reason.compared_with).name}"
    )

# %%
# A model file holds all that scoring needs.

with tempfile.TemporaryDirectory() as folder:
    file = Path(folder) / "cells.adlib"
    model.save(file)
    again = adlib.load(file)
    print(
        "loaded scores equal:", (again.score(inspected) == model.score(inspected)).all()
    )
