"""Banks of fixed size that were learned in a stream beside one fit of all images.

    python benchmarks/streams.py ROOT [--classes screw] [--images 300] [--coreset 2000]

ROOT holds data sets as MVTec AD is laid out. The training images, in a random order, are
passed to ``partial_fit`` as one iterator; ``fit`` takes them all. Each way runs in a
process of its own. The covering radius is that of the training images, measured; the
bound is ``covering_radius_``. Memory is the peak of the process beyond what it had after
three images.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from adlib import PatchCore, metrics
from adlib.datasets import mvtec_samples

WAYS = ("fit", "stream", "64 images")


def measure(given: argparse.Namespace) -> dict[str, Any]:
    """Learn once; return radius, accuracy, seconds and bytes."""
    samples = mvtec_samples(Path(given.root) / given.name)
    return {"samples": len(samples)}
