"""Time what adlib does with images beside OpenCV and scikit-image, on the same arrays.

    python benchmarks/vision_libraries.py

The least of several runs each, on one thread, in milliseconds; all in turn in one
process.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import cv2
import imagecodecs
import numpy as np
from contourpy import contour_generator
from scipy import ndimage
from skimage import measure

from adlib.estimators import find_regions
from adlib.metrics._checks import EIGHT_CONNECTED

N_RUNS = 30
MARKED = 0.03  # share of the map that is above the threshold
PROPERTIES = ("bbox", "area", "max_intensity", "mean_intensity")


def tasks(side: int) -> dict[str, dict[str, Callable[[], object]]]:
    """Return by task what each library does, on a smooth map and a 16-bit image."""
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((side, side)).astype(np.float32)
    smooth = ndimage.gaussian_filter(noise, side / 40)
    threshold = float(np.quantile(smooth, 1 - MARKED))
    above = smooth > threshold
    bytes_above = above.astype(np.uint8)
    image = ndimage.gaussian_filter(rng.random((side, side, 3)), (3, 3, 0)) * 65535
    png = imagecodecs.png_encode(image.astype(np.uint16))
    content = np.frombuffer(png, np.uint8)
    theirs = cv2.imdecode(content, cv2.IMREAD_UNCHANGED)[..., ::-1]
    assert (imagecodecs.png_decode(png) == theirs).all()
    chains = cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE
    labels = measure.label(above, connectivity=2)
    return {
        "connected areas": {
            "adlib (SciPy)": lambda: ndimage.label(above, EIGHT_CONNECTED),
            "OpenCV": lambda: cv2.connectedComponents(bytes_above, connectivity=8),
            "scikit-image": lambda: measure.label(above, connectivity=2),
        },
        "outlines": {
            "adlib (contourpy)": lambda: contour_generator(z=smooth).lines(threshold),
            "OpenCV, pixels": lambda: cv2.findContours(bytes_above, *chains),
            "scikit-image": lambda: measure.find_contours(smooth, threshold),
        },
        "regions whole": {
            "adlib, with outlines": lambda: find_regions(smooth, threshold),
            "scikit-image, without": lambda: measure.regionprops_table(
                labels, smooth, properties=PROPERTIES
            ),
        },
        "16-bit RGB PNG": {
            "adlib (imagecodecs)": lambda: imagecodecs.png_decode(png),
            "OpenCV": lambda: cv2.imdecode(content, cv2.IMREAD_UNCHANGED),
        },
    }


def main() -> None:
    """Print a table for each size."""
    cv2.setNumThreads(1)
    for side in (320, 1024):
        for task, libraries in tasks(side).items():
            least = dict.fromkeys(libraries, float("inf"))
            for _ in range(N_RUNS):
                for name, work in libraries.items():
                    started = time.perf_counter()
                    work()
                    least[name] = min(least[name], time.perf_counter() - started)
            said = ", ".join(f"{name} {1000 * t:.2f}" for name, t in least.items())
            print(f"{side}x{side}, {task}: {said} ms")


if __name__ == "__main__":
    main()
