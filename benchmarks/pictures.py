"""Draw latency, fit time and memory against the size of the coreset.

    python benchmarks/pictures.py  # docs/images/coreset_latency_memory.svg
    python benchmarks/pictures.py --quick --out some.png  # a few images, a minute

The default detector at 224x224 and 320x320 learns ``--images`` seeded textures, at each
ratio in a process of its own, and scores single images that it has not seen. Prints the
figures as a table too. The peak is what ``fit`` adds to a process that has loaded and
compiled everything and holds the images; it is read from Linux's /proc.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

SIDES = [224, 320]
RATIOS = [0.001, 0.003, 0.01, 0.03, 0.1, 0.25]
OUT = Path(__file__).parents[1] / "docs/images/coreset_latency_memory.svg"
COLOURS = {224: "#1f77b4", 320: "#d55e00"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=30, help="single images scored")
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--quick", action="store_true", help="6 images, 3 ratios")
    options = parser.parse_args()
    n_images, rounds, ratios = options.images, options.rounds, RATIOS
    if options.quick:
        n_images, rounds, ratios = 6, 3, RATIOS[1::2]
    found = {side: [] for side in SIDES}
    head = ["side", "coreset", "entries", "ms an image", "fit, s", "peak, MiB"]
    print(f"| {' | '.join([*head, 'file, MiB'])} |")
    print("|---|---|---|---|---|---|---|")
    for ratio in ratios:
        for side in SIDES:
            point = _in_new_process(side, ratio, n_images, rounds)
            found[side].append(point)
            print(
                f"| {side} | {100 * ratio:g} % | {point['entries']:,} "
                f"| {point['latency']:.1f} | {point['fit']:.2f} "
                f"| {point['peak']:.0f} | {point['file']:.1f} |",
                flush=True,
            )
    draw(found, n_images, options.out)


def measure(side: int, ratio: float, n_images: int, rounds: int) -> dict:
    """Return what one detector takes: seconds, milliseconds and MiB."""
    from benchmarks._textures import texture
    from peers.memory import above_idle

    from adlib import PatchCore

    textures = [texture(seed, side) for seed in range(n_images + rounds)]
    known, new = textures[:n_images], textures[n_images:]

    def detector(coreset):
        return PatchCore(image_size=side, coreset=coreset, device="cpu", progress=False)

    # Everything is compiled and loaded before a clock runs.
    detector(0.1).fit(known[:2]).score(new[:1])
    model = detector(ratio)
    started = time.perf_counter()
    peak = above_idle(lambda: model.fit(known))
    fit = time.perf_counter() - started
    seconds = []
    model.score(new[:1])
    for image in new:
        started = time.perf_counter()
        model.score(image[None])
        seconds.append(time.perf_counter() - started)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.adlib"
        model.save(path)
        size = path.stat().st_size / 2**20
    return {
        "ratio": ratio,
        "entries": len(model.memory_bank_),
        "latency": 1e3 * median(seconds),
        "fit": fit,
        "peak": peak,
        "file": size,
    }


def draw(found: dict[int, list[dict]], n_images: int, out: Path) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = "adlib"  # the same figures give the same file
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(10.5, 3.4), layout="constrained")
    panels = {
        "Scoring one image (ms)": {"latency": ("-", "")},
        f"Learning {n_images} images (s)": {"fit": ("-", "")},
        "Memory (MiB)": {
            "peak": ("-", ", added by fit"),
            "file": ("--", ", model file"),
        },
    }
    for ax, (title, lines) in zip(axes, panels.items(), strict=True):
        for side, points in found.items():
            percent = [100 * point["ratio"] for point in points]
            for key, (style, suffix) in lines.items():
                ax.plot(
                    percent,
                    [point[key] for point in points],
                    style,
                    marker="o",
                    markersize=4,
                    color=COLOURS[side],
                    label=f"{side} x {side}{suffix}",
                )
        ax.set_title(title, fontsize=10.5)
        ax.set_xscale("log")
        ax.set_xticks(percent, [f"{value:g}" for value in percent])
        ax.minorticks_off()
        ax.set_ylim(bottom=0)
        ax.grid(axis="y", color="#dddddd", linewidth=0.6)
        ax.set_axisbelow(True)
        ax.spines[["top", "right"]].set_visible(False)
        ax.legend(frameon=False, fontsize=8)
    figure.supxlabel("Coreset (% of all patches)", fontsize=10)
    out.parent.mkdir(parents=True, exist_ok=True)
    stamp = {"Date": None} if out.suffix == ".svg" else None
    figure.savefig(out, dpi=150, metadata=stamp)
    print(out)


def _in_new_process(*values) -> dict:
    command = [sys.executable, __file__, "--one", *map(str, values)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        side, ratio, *counts = sys.argv[2:]
        print(json.dumps(measure(int(side), float(ratio), *map(int, counts))))
    else:
        main()
