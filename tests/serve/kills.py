"""Kill the service with SIGKILL while clients ask; it comes back and judges the same.

    python -m tests.serve.kills --kills 200 --seed 0

Every answer that a client gets has the score of ``inspect``; what is cut off is an
error in the client, which asks again. The folder of models stays as it was.
"""

from __future__ import annotations

import argparse
import http.client
import random
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path

from adlib import PatchCore
from tests.conftest import scratched, texture
from tests.serve.conftest import Client, png

CUT_OFF = (OSError, http.client.HTTPException, ValueError)  # ValueError: half a JSON
N_CLIENTS = 8


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextmanager
def running(folder: Path, *options: str, cwd: Path | None = None):
    """Start the command, wait until it is ready, and give its client and process."""
    client = Client(free_port())
    words = [sys.executable, "-m", "adlib", "serve", str(folder), "--device", "cpu"]
    words += ["--port", str(client.port), *options]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(words, stderr=log, cwd=cwd)
        try:
            while process.poll() is None:
                with suppress(*CUT_OFF):
                    if client("GET", "/ready").status == 200:
                        break
                time.sleep(0.05)
            assert process.poll() is None, "it ended before it was ready"
            yield client, process
        finally:
            process.kill()
            process.wait()


def load(client: Client, cases: list[tuple[bytes, float]], over: threading.Event):
    """Ask until it is over; return the answers and how often none came."""
    counts = {"answers": 0, "cut off": 0}
    wrong: list[str] = []

    def ask(seed: int) -> None:
        rng = random.Random(seed)
        while not over.is_set():
            body, wanted = rng.choice(cases)
            try:
                reply = client.inspect(body)
                found = reply.json["images"][0]["score"] if reply.status == 200 else 0
            except CUT_OFF:
                counts["cut off"] += 1
                time.sleep(0.02)
                continue
            if reply.status != 429 and (reply.status, found) != (200, wanted):
                wrong.append(f"{reply.status} {found} {wanted}")
            counts["answers"] += 1

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(N_CLIENTS)]
    for thread in threads:
        thread.start()
    return threads, counts, wrong


def kill(n_kills: int, seed: int) -> dict[str, int]:
    """Kill so often; return how many answers came and how many were cut off."""
    rng = random.Random(seed)
    total = {"answers": 0, "cut off": 0}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        model = PatchCore(image_size=64, coreset=0.2, device="cpu", progress=False)
        model.fit([texture(i) for i in range(6)])
        model.calibrate([texture(i) for i in range(20, 26)], false_positive_rate=0.2)
        model.save(folder / "part.adlib")
        images = [texture(10), scratched(13)]
        cases = [(png(one), float(model.score([one])[0])) for one in images]
        for number in range(n_kills):
            with running(folder) as (client, process):
                over = threading.Event()
                threads, counts, wrong = load(client, cases, over)
                time.sleep(rng.uniform(0.1, 1.0))
                process.kill()
                time.sleep(0.05)
                over.set()
                for thread in threads:
                    thread.join()
            assert not wrong, wrong[:3]
            assert [path.name for path in folder.iterdir()] == ["part.adlib"]
            for name, count in counts.items():
                total[name] += count
            print(f"{number + 1} kills, {total}", flush=True)
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    kill(asked.kills, asked.seed)


if __name__ == "__main__":
    main()
