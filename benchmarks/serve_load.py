"""Let 1 to 64 clients ask `adlib serve` at once: is it fast, right, and flat in memory?

    python benchmarks/serve_load.py ROOT screw --seconds 120

Fits a model to a class in MVTec AD's layout, times its ``inspect`` alone (one image at
a time, and all in one pass), then serves it in a process of its own and lets clients
post the test images. Prints, for each number of clients, the images a second, as a
share of what ``inspect`` does in one pass, the latency, refusals (429), and the memory
of the service. Ends with an error where a score differs from ``inspect``'s, an answer
is neither 200 nor 429, or the memory grows by more than ``--slack`` megabytes while a
number of clients asks, after a quarter of the seconds more in which its batches come to
their size. The clients run on the same machine, and take their share.
"""

from __future__ import annotations

import argparse
import http.client
import itertools
import json
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import psutil

from adlib import PatchCore

CLIENTS = [1, 2, 4, 8, 16, 32, 64]


def quantiles(seconds: list[float]) -> str:
    """Return p50, p95 and p99 in milliseconds."""
    if len(seconds) < 2:
        return "-"
    cuts = statistics.quantiles(seconds, n=100)
    return " ".join(f"{1000 * cuts[i]:7.1f}" for i in (49, 94, 98))


def bare(model: PatchCore, paths: list[Path], seconds: float) -> float:
    """Print how fast ``inspect`` is; return images a second in one pass."""
    took, end = [], time.perf_counter() + seconds
    for path in itertools.cycle(paths):
        started = time.perf_counter()
        list(model.inspect([path]))
        took.append(time.perf_counter() - started)
        if time.perf_counter() > end:
            break
    print(f"inspect, one at a time: {len(took) / sum(took):6.1f}/s   {quantiles(took)}")
    n_images, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        n_images += len(list(model.inspect(paths)))
    rate = n_images / (time.perf_counter() - started)
    print(f"inspect, in one pass:   {rate:6.1f}/s", flush=True)
    return rate


class Load:
    """So many clients that ask for so long."""

    def __init__(self, port: int, bodies: list[bytes], scores: list[float]) -> None:
        self.port, self.bodies, self.scores = port, bodies, scores

    def run(self, n_clients: int, seconds: float) -> float:
        """Let clients ask; return images a second."""
        self.took: list[float] = []
        self.statuses: Counter[int] = Counter()
        self.wrong: list[str] = []
        self._end = time.perf_counter() + seconds
        threads = [
            threading.Thread(target=self._ask, args=(i,)) for i in range(n_clients)
        ]
        started = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return len(self.took) / (time.perf_counter() - started)

    def _ask(self, first: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        for number in itertools.count(first):
            i = number % len(self.bodies)
            started = time.perf_counter()
            if started > self._end:
                return
            headers = {"Content-Type": "image/png"}
            connection.request("POST", "/models/part/inspect", self.bodies[i], headers)
            reply = connection.getresponse()
            text = reply.read()
            self.statuses[reply.status] += 1
            if reply.status == 429:
                time.sleep(float(reply.headers["Retry-After"]))
            elif reply.status == 200:
                self.took.append(time.perf_counter() - started)
                score = json.loads(text)["images"][0]["score"]
                if score != self.scores[i]:
                    self.wrong.append(f"image {i} scored {score}, not {self.scores[i]}")
            else:
                self.wrong.append(text.decode())


def free_port() -> int:
    """Return a port that nobody listens at."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def wait_until_ready(port: int, process: subprocess.Popen[bytes]) -> None:
    """Wait for the service, or raise where it ended."""
    while process.poll() is None:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", "/ready")
            connection.getresponse().read()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise SystemExit("the service did not start")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("root", type=Path)
    parser.add_argument("class_name")
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--clients", type=int, nargs="*", default=CLIENTS)
    parser.add_argument("--image-size", type=int, default=320)
    parser.add_argument("--images", type=int, default=64, help="that are posted")
    parser.add_argument("--slack", type=float, default=50.0, help="in megabytes")
    asked = parser.parse_args()
    place = asked.root / asked.class_name
    paths = [p for p in sorted((place / "test").rglob("*")) if p.is_file()]
    step = max(1, len(paths) // asked.images)
    paths = paths[::step][: asked.images]
    model = PatchCore(
        image_size=asked.image_size, false_positive_rate=0.05, progress=False
    )
    model.fit(place / "train" / "good")
    scores = [float(score) for score in model.score(paths)]
    rate = bare(model, paths, min(asked.seconds, 30.0))
    faults: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        model.save(Path(folder, "part.adlib"))
        del model
        port = free_port()
        words = [sys.executable, "-m", "adlib", "serve", folder, "--port", str(port)]
        process = subprocess.Popen(words, stderr=subprocess.DEVNULL)
        try:
            wait_until_ready(port, process)
            load = Load(port, [path.read_bytes() for path in paths], scores)
            load.run(2, 2.0)  # warm
            memory = psutil.Process(process.pid).memory_info
            print("clients  images/s  of inspect  p50 p95 p99 (ms)  429  MB")
            for n_clients in asked.clients:
                load.run(n_clients, asked.seconds / 4)
                flat = memory().rss / 1e6
                done = load.run(n_clients, asked.seconds)
                held = memory().rss / 1e6
                print(
                    f"{n_clients:7} {done:9.1f} {100 * done / rate:10.0f}%  "
                    f"{quantiles(load.took)} {load.statuses[429]:4} {held:6.0f}",
                    flush=True,
                )
                faults += load.wrong
                if held > flat + asked.slack:
                    faults.append(f"the memory grew from {flat:.0f} to {held:.0f} MB")
        finally:
            process.terminate()
            process.wait()
    if faults:
        raise SystemExit(f"{len(faults)} faults, the first: {faults[0]}")


if __name__ == "__main__":
    main()
