"""The default backbone in every runtime and precision, beside plain timm.

    python benchmarks/features_speed.py

Random images at 320x320 in batches of 1 and of 16. All ways run in turn, so that what
else the machine does meets them alike; milliseconds an image are medians over the
rounds. "timm" is the network as timm gives it, cut off at the same stage, channels last
and one image at a time: what adlib ran before it folded batch norms.
"""

from __future__ import annotations

import argparse
import time
from statistics import median
from typing import get_args

import torch

from adlib.features import Backbone
from adlib.features._backbone import Precision, Runtime

SIDE = 320
REST = 0.5  # seconds before each call: other runtimes' threads spin for a while


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    ways = {"timm, torch float32": plain()}
    for runtime in get_args(Runtime):
        for precision in get_args(Precision):
            name = f"adlib, {runtime} {precision}"
            ways[name] = Backbone(runtime=runtime, precision=precision)
    for n_images in (1, 16):
        images = torch.rand(n_images, 3, SIDE, SIDE)
        seconds = {name: [] for name in ways}
        for _ in range(rounds + 2):
            for name, run in ways.items():
                time.sleep(REST)
                run(images)
                started = time.perf_counter()
                run(images)
                seconds[name].append((time.perf_counter() - started) / n_images)
        print(f"batch {n_images}")
        for name, taken in seconds.items():
            warm = taken[2:]
            print(
                f"  {name:28} {1e3 * median(warm):6.1f} ms, least {1e3 * min(warm):.1f}"
            )


def plain():
    """Return the unfolded network as a function of images."""
    backbone = Backbone()
    network = backbone._network.to(memory_format=torch.channels_last)
    indices = [stage.index for stage in backbone.stages]

    @torch.inference_mode()
    def run(images):
        images = images.to(memory_format=torch.channels_last)
        for image in (images - backbone._mean) / backbone._std:
            network.forward_intermediates(
                image[None], indices=indices, intermediates_only=True
            )

    return run


if __name__ == "__main__":
    main()
