"""Let a model inspect many images, as on a line: does memory stay flat?

    python benchmarks/soak.py ROOT screw --images 20000

Learns the good images of a class in MVTec AD's layout, then inspects its test images
again and again until so many have gone by, and prints what the process held on the way.
Ends with an error where it holds more at the end than after a tenth of the images, by
more than ``--slack`` megabytes, or where a score ever differs from the image's first.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Iterator
from pathlib import Path

from adlib import PaDiM, PatchCore


def held_megabytes() -> float:
    """Return the memory that this process holds now (Linux)."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def endless(paths: list[Path], n_images: int) -> Iterator[Path]:
    """Yield the paths again and again."""
    return itertools.islice(itertools.cycle(paths), n_images)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("root", type=Path)
    parser.add_argument("class_name")
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--image-size", type=int, default=128)
    parser.add_argument("--method", choices=["patchcore", "padim"], default="patchcore")
    parser.add_argument("--slack", type=float, default=20.0, help="in megabytes")
    asked = parser.parse_args()
    kind = PatchCore if asked.method == "patchcore" else PaDiM
    model = kind(image_size=asked.image_size, progress=False)
    model.fit(asked.root / asked.class_name / "train" / "good")
    paths = sorted((asked.root / asked.class_name / "test").rglob("*.png"))
    paths += sorted((asked.root / asked.class_name / "test").rglob("*.jpg"))
    first: dict[str, float] = {}
    held: list[float] = []
    step = max(1, asked.images // 10)
    started = time.perf_counter()
    for number, result in enumerate(model.inspect(endless(paths, asked.images)), 1):
        if first.setdefault(result.path, result.score) != result.score:
            raise SystemExit(f"{result.path} scored {result.score}, before otherwise")
        if number % step == 0:
            held.append(held_megabytes())
            seconds = time.perf_counter() - started
            print(f"{number:7,} images {seconds:6.0f} s {held[-1]:7.1f} MB", flush=True)
    grown = held[-1] - held[0]
    print(
        f"{len(first)} different images; grown by {grown:+.1f} MB, peak {max(held):.0f}"
    )
    if grown > asked.slack:
        raise SystemExit("memory is not flat")


if __name__ == "__main__":
    main()
