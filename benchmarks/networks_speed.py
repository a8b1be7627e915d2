"""What an image takes in other networks than the default, in processor time.

    OMP_NUM_THREADS=1 python benchmarks/networks_speed.py

One random image in torch float32 on one thread, at a size that each network takes, with
random weights. All networks run in turn, and the least of the rounds is printed, beside
its ratio to the default's.
"""

from __future__ import annotations

import argparse
import time
import warnings

import torch

from adlib.features import Backbone
from adlib.features._weights import DEFAULT_BACKBONE

NETWORKS = (
    (DEFAULT_BACKBONE, 320),
    ("wide_resnet50_2", 320),
    ("vit_tiny_patch16_224", 320),
    ("vit_small_patch14_dinov2", 322),
    ("vit_small_patch14_dinov2", 448),
    ("vit_small_patch14_reg4_dinov2", 322),
    ("vit_small_patch16_dinov3", 320),
    ("swin_tiny_patch4_window7_224", 320),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    ways = []
    for name, side in NETWORKS:
        backbone = Backbone(name, weights=None, image_size=(side, side), random_state=0)
        ways.append((name, side, backbone, torch.rand(1, 3, side, side)))
    least = [float("inf")] * len(ways)
    for _ in range(rounds + 1):  # the first one warms up, and is never the least
        for i, (_, _, backbone, images) in enumerate(ways):
            started = time.process_time()
            backbone(images)
            least[i] = min(least[i], time.process_time() - started)
    for (name, side, backbone, _), seconds in zip(ways, least, strict=True):
        stages = ", ".join(
            f"{stage.index} ({stage.channels} at {stage.stride})"
            for stage in backbone.stages
        )
        print(
            f"{name:30} {side:4}  {1e3 * seconds:6.1f} ms, "
            f"{seconds / least[0]:5.1f} times; stages {stages}"
        )


if __name__ == "__main__":
    main()
