"""Count the pixels that JPEG gets wrong in masks, by two ways to read them.

    python benchmarks/jpeg_masks.py ROOT

Saves every PNG mask below ROOT/CLASS/ground_truth as JPEG of several qualities and
reads it by "every value but 0" and by adlib's ``read_mask``. Prints, for each class and
quality, the wrong pixels in percent of the anomalous pixels of the PNG masks, and how
many masks came out as they were. Takes seconds.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from adlib.datasets import read_mask

QUALITIES = (75, 90, 95, 100)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("root", type=Path)
    root = parser.parse_args().root
    print("| class | masks | quality | wrong, != 0 | wrong, read_mask | unchanged |")
    print("|---|---|---|---|---|---|")
    for folder in sorted(root.glob("*/ground_truth")):
        paths = sorted(folder.rglob("*.png"))
        masks = [np.asarray(Image.open(path).convert("L")) for path in paths]
        for quality in QUALITIES:
            naive, ours, unchanged = wrong_pixels(masks, quality)
            print(
                f"| {folder.parent.name} | {len(masks)} | {quality} "
                f"| {naive:.1%} | {ours:.1%} | {unchanged} |"
            )


def wrong_pixels(masks: list[np.ndarray], quality: int) -> tuple[float, float, int]:
    """Return both shares of wrong pixels, and the masks ``read_mask`` reads as drawn.

    Shares are of the anomalous pixels, and may exceed 1.
    """
    naive = ours = unchanged = 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "mask.jpg")
        for mask in masks:
            Image.fromarray(mask).save(path, quality=quality)
            truth = mask > 0
            naive += np.count_nonzero((np.asarray(Image.open(path)) != 0) != truth)
            n_wrong = np.count_nonzero(read_mask(path) != truth)
            ours += n_wrong
            unchanged += n_wrong == 0
    n_anomalous = sum(np.count_nonzero(mask) for mask in masks)
    return naive / n_anomalous, ours / n_anomalous, unchanged


if __name__ == "__main__":
    main()
