"""Fit, score, network and search on a free machine, then beside one busy process.

    python benchmarks/busy.py ROOT/screw [--against CHECKOUT]

With ``--against``, another checkout (``git worktree add``) is measured in turn with
this one, and how far apart their scores are is printed. Run nothing else; it takes
one or two minutes a checkout and round. Times are the best of three, and of all rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

SIZE, COUNT = 320, 64  # 64 training images: 102,400 patches, of which a quarter is kept
SPIN = "while True: pass"
HERE = Path(__file__).parents[1]


def best_ms(work: Callable[[], object], repeats: int = 3) -> float:
    """Return the milliseconds of the quickest of some repeats."""
    times = []
    for _ in range(repeats):
        begun = time.perf_counter()
        work()
        times.append(time.perf_counter() - begun)
    return 1e3 * min(times)


def measure(folder: Path) -> dict[str, Any]:
    """Return {"free", "busy": {row: milliseconds}, "scores"} of the adlib imported."""
    from adlib import PatchCore

    train = sorted((folder / "train/good").iterdir())[:COUNT]
    test = sorted((folder / "test/good").iterdir())
    some = [np.asarray(Image.open(p).convert("RGB").resize((SIZE, SIZE))) for p in test]
    unfitted = PatchCore(coreset=0.25, image_size=SIZE, random_state=0, progress=False)
    model = unfitted.fit(train)
    bank = model.memory_bank_
    queries = [
        one.patches.reshape(1, -1, one.patches.shape[-1])
        for one in model.embeddings(test[:10])
    ]
    n_top = max(1, int(model.top_ratio * queries[0].shape[1]))
    all_patches: list[Callable[[], object]] = [
        partial(bank.kneighbors, patches[0]) for patches in queries
    ]
    for_score = all_patches  # before there was ``farthest``, a score needed every patch
    if hasattr(bank, "farthest"):
        for_score = [partial(bank.farthest, patches, n_top) for patches in queries]
    works: dict[str, Callable[[], object]] = {
        f"fit, {len(train)} images": lambda: unfitted.fit(train),
        f"score, {len(test)} images": lambda: model.score(test),
        f"network and embedding, {len(some)} decoded images": lambda: list(
            model.embeddings(some)
        ),
        "score, ten calls of one decoded image": lambda: [
            model.score(image[None]) for image in some[:10]
        ],
        "score and map, the same": lambda: [
            list(model.inspect(image[None])) for image in some[:10]
        ],
        "search, all patches of ten images": lambda: [work() for work in all_patches],
        "search for their scores": lambda: [work() for work in for_score],
    }
    scores = model.score(test).tolist()  # compiles, too
    free = {name: best_ms(work) for name, work in works.items()}
    neighbour = subprocess.Popen([sys.executable, "-c", SPIN])
    try:
        busy = {name: best_ms(work) for name, work in works.items()}
    finally:
        neighbour.kill()
    return {"free": free, "busy": busy, "scores": scores}


def elsewhere(checkout: Path, folder: Path) -> dict[str, Any]:
    """Return what ``measure`` gives with the adlib of a checkout."""
    command = [sys.executable, __file__, str(folder), "--json"]
    environment = {**os.environ, "PYTHONPATH": str(checkout.resolve())}
    run = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
    found: dict[str, Any] = json.loads(run.stdout)
    return found


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="a class in MVTec AD's layout")
    parser.add_argument("--against", type=Path, help="another checkout of adlib")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--json", action="store_true", help="one round, as JSON")
    given = parser.parse_args()
    if given.json:
        print(json.dumps(measure(given.folder)))
        return
    checkouts = [HERE] if given.against is None else [given.against, HERE]
    rounds = [
        [elsewhere(checkout, given.folder) for checkout in checkouts]
        for _ in range(given.rounds)
    ]
    names = ["now"] if given.against is None else ["then", "now"]
    print(f"| milliseconds | {' | '.join(f'{n}: free | busy | x' for n in names)} |")
    print(f"|---{'|---' * 3 * len(names)}|")
    for row in rounds[0][0]["free"]:
        cells = []
        for one in range(len(checkouts)):
            free = min(found[one]["free"][row] for found in rounds)
            busy = min(found[one]["busy"][row] for found in rounds)
            cells.append(f"{free:.0f} | {busy:.0f} | {busy / free:.2f}")
        print(f"| {row} | {' | '.join(cells)} |")
    if given.against is not None:
        then, now = (np.array(found["scores"]) for found in rounds[0])
        print(f"\nScores differ by at most {np.abs(now / then - 1).max():.1e} of them.")


if __name__ == "__main__":
    main()
