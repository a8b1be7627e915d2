"""Compare the clients in ``clients/`` with ``adlib.runtime``, by ONNX Runtime.

    python benchmarks/clients.py FOLDER part.onnx [other.onnx ...]

Build and install them first, as their README files say. A client that is not there is
left out of the table. Score differences are relative to the score, those of maps to the
highest value of all maps; milliseconds are the median for one image.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import subprocess
import tempfile
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np

from adlib import runtime
from adlib.images import open_source

CLIENTS = Path(__file__).parent.parent / "clients"
PROGRAMS = {  # by what must be there
    "cpp/build/score": [CLIENTS / "cpp/build/score"],
    "node/node_modules": ["node", CLIENTS / "node/score.mjs"],
    "browser/node_modules": ["node", CLIENTS / "browser/check.mjs"],
}
HEADS = [
    "model",
    "client",
    "scores differ by",
    "maps differ by",
    "other verdicts",
    "ms",
]
CODES = {"normal": 1, "anomalous": -1, "": None}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", help="of PNG and JPEG files")
    parser.add_argument("models", nargs="+")
    arguments = parser.parse_args()
    images = [item.name for item in open_source(arguments.folder, "clients").items]
    handler = partial(SimpleHTTPRequestHandler, directory=CLIENTS / "browser")
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_address[1]}/"
    print(f"| {' | '.join(HEADS)} |\n{'|---' * len(HEADS)}|")
    for model in arguments.models:
        wanted = list(runtime.load(model).inspect(images))
        for needed, program in PROGRAMS.items():
            if not (CLIENTS / needed).exists():
                continue
            with tempfile.TemporaryDirectory() as folder:
                place = [address, f"{folder}/page.png"] if "browser" in needed else []
                words = [*program, "--maps", folder, *place, model, *images]
                done = subprocess.run(
                    words, stdout=subprocess.PIPE, text=True, check=True
                )
                rows = list(csv.DictReader(done.stdout.splitlines()))
                names = [f"{folder}/{i}.f32" for i in range(len(rows))]
                maps = [np.fromfile(name, np.float32) for name in names]
            cells = _compared(rows, maps, wanted)
            print(
                f"| {Path(model).stem} | {Path(needed).parts[0]} | {cells} |",
                flush=True,
            )


def _compared(rows: list[dict], maps: list[np.ndarray], wanted: list[Any]) -> str:
    """Return how the rows of a client compare, as cells of the table."""
    pairs = list(zip(rows, wanted, strict=True))
    # By np.max, which keeps NaN.
    worst = np.max([abs(float(row["score"]) / own.score - 1) for row, own in pairs])
    apart = max(
        np.abs(one - own.map.ravel()).max()
        for one, own in zip(maps, wanted, strict=True)
    )
    apart /= max(own.map.max() for own in wanted)
    n_other = sum(CODES[row["verdict"]] != own.verdict for row, own in pairs)
    ms = statistics.median(float(row["ms"]) for row in rows)
    return f"{worst:.1e} | {apart:.1e} | {n_other} of {len(pairs)} | {ms:.0f}"


if __name__ == "__main__":
    main()
