"""Compare the scores of the clients in ``clients/`` with those of ``adlib.runtime``.

    python benchmarks/clients.py part.onnx FOLDER

Build and install them first, as their README files say. A client that is not there is
left out of the table.
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import tempfile
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from adlib import runtime
from adlib.images import open_source

CLIENTS = Path(__file__).parent.parent / "clients"
CODES = {"normal": 1, "anomalous": -1, "": None}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("folder", help="of PNG and JPEG files")
    arguments = parser.parse_args()
    images = [item.name for item in open_source(arguments.folder, "clients").items]
    wanted = list(runtime.load(arguments.model).inspect(images))
    handler = partial(SimpleHTTPRequestHandler, directory=CLIENTS / "browser")
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_address[1]}/"
    screenshot = Path(tempfile.gettempdir(), "adlib_client.png")
    commands: dict[str, list[str | Path]] = {
        "cpp/build/score": [CLIENTS / "cpp/build/score"],
        "node/node_modules": ["node", CLIENTS / "node/score.mjs"],
        "browser/node_modules": [
            "node",
            CLIENTS / "browser/check.mjs",
            address,
            screenshot,
        ],
    }
    print("| client | images | largest relative difference | other verdicts |")
    print("|---|--:|--:|--:|")
    for needed, command in commands.items():
        if not (CLIENTS / needed).exists():
            continue
        words = [*command, arguments.model, *images]
        done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
        rows = csv.DictReader(done.stdout.splitlines())
        pairs = list(zip(rows, wanted, strict=True))
        worst = max(abs(float(row["score"]) / own.score - 1) for row, own in pairs)
        n_other = sum(CODES[row["verdict"]] != own.verdict for row, own in pairs)
        print(f"| {Path(needed).parts[0]} | {len(pairs)} | {worst:.1e} | {n_other} |")


if __name__ == "__main__":
    main()
