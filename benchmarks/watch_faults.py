"""Kill `adlib watch` again and again while images come, and trouble it otherwise.

    python benchmarks/watch_faults.py --kills 200 --seed 0

Each part starts the real command in a forked process, ends with a last run with --once,
and compares what the database, the table, the receiver and the folders hold with what
was written: nothing may be missing, nothing may be there twice, every score must be the
one that `inspect` gives.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import multiprocessing
import os
import random
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
from PIL import Image

import adlib
from adlib import runtime
from adlib.cli import main
from adlib.serve._results import Results
from tests.conftest import scratched, texture

FORK = multiprocessing.get_context("fork")
KEPT = Path(__file__).parents[1] / "tests/models/patchcore-0.1.0.onnx"
QUICK = ["--settle", "0.2", "--interval", "0.05"]


class Receiver:
    """A web server that keeps what is posted, and can be dead for a while."""

    def __init__(self) -> None:
        self.got: list[dict] = []
        self.alive = True
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                body = self.rfile.read(length)
                if len(body) < length:  # the sender was killed
                    return
                if outer.alive:
                    outer.got.append(json.loads(body))
                self.send_response(200 if outer.alive else 503)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{server.server_port}/"


class Line:
    """A folder, a model, and everything that the command is asked to write."""

    def __init__(self, root: Path, model: Path) -> None:
        self.root, self.model, self.inbox = root, model, root / "in"
        self.inbox.mkdir(parents=True)
        self.written: dict[str, set[str]] = {}  # digests of what each name held
        self.last: dict[str, str] = {}  # of what each name holds
        self.options = [str(self.inbox), "-m", str(model), "-o", str(root / "r.db")]
        self.options += QUICK
        self.rng = random.Random(0)  # noqa: S311 - only pauses

    def start(
        self, *more: str, before: Callable[[], None] | None = None
    ) -> BaseProcess:
        """Start the command in a process of its own."""

        def work() -> None:
            log = os.open(self.root / "log.txt", os.O_CREAT | os.O_APPEND | os.O_WRONLY)
            sys.stderr = os.fdopen(log, "w", buffering=1)  # pytest has its own
            if before is not None:
                before()
            os._exit(main(["watch", *self.options, *more]))

        process = FORK.Process(target=work)
        process.start()
        return process

    def n_started(self) -> int:
        """Return how often the command has come as far as to watch."""
        log = self.root / "log.txt"
        return log.read_text().count("Watching") if log.exists() else 0

    def n_judged(self) -> int:
        """Return how many results there are."""
        if not (self.root / "r.db").exists():
            return 0
        with (
            suppress(sqlite3.Error),
            closing(sqlite3.connect(self.root / "r.db")) as db,
        ):
            return int(db.execute("SELECT count(*) FROM results").fetchone()[0])
        return 0

    def wait_until_said(self, *texts: str) -> None:
        """Wait until one of some texts is in what the command says."""
        log = self.root / "log.txt"
        wait_for(
            lambda: log.exists() and any(text in log.read_text() for text in texts)
        )

    def finish(self) -> None:
        process = self.start("--once")
        process.join(300)
        assert process.exitcode == 0, (self.root / "log.txt").read_text()[-2000:]

    def write(self, number: int) -> None:
        """Write an image as cameras do: at once, in pieces, or over an old one."""
        image = (scratched if number % 5 == 0 else texture)(number)
        name = f"{'ab'[number % 2]}/{number}.png"
        if number % 7 == 6:
            name = f"{'ab'[(number - 4) % 2]}/{number - 4}.png"
        path = self.inbox / name
        path.parent.mkdir(exist_ok=True)
        whole = self.root / "whole.png"
        Image.fromarray(image).save(whole)
        content = whole.read_bytes()
        self.last[name] = hashlib.sha256(content).hexdigest()
        self.written.setdefault(name, set()).add(self.last[name])
        if number % 7 == 6 or number % 3 == 0:
            whole.replace(path)
            return
        with path.open("wb") as file:
            for begin in range(0, len(content), len(content) // 3):
                file.write(content[begin : begin + len(content) // 3])
                file.flush()
                time.sleep(self.rng.uniform(0, 0.03))

    def scores(self) -> dict[str, float]:
        """Return what ``inspect`` gives for each content that was written."""
        found = {}
        is_exported = self.model.suffix == ".onnx"
        model = (runtime.load if is_exported else adlib.load)(self.model)
        for number in range(self.n_written):
            image = (scratched if number % 5 == 0 else texture)(number)
            Image.fromarray(image).save(self.root / "one.png")
            digest = hashlib.sha256((self.root / "one.png").read_bytes()).hexdigest()
            (one,) = model.inspect(self.root / "one.png")
            found[digest] = one.score
        return found

    n_written = 0

    @contextmanager
    def camera(self, seconds: float) -> Iterator[None]:
        """Write images in a thread, ``seconds`` apart."""
        ended = threading.Event()

        def work() -> None:
            while not ended.wait(seconds):
                self.write(self.n_written)
                self.n_written += 1

        thread = threading.Thread(target=work)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def report(self) -> dict[str, object]:
        """Compare what was written with what was judged.

        What lay there for less than the settle time before it was replaced has never
        been a settled image; the last content of each name always counts.
        """
        with Results(self.root / "r.db") as results:
            product = self.model.stem
            rows = results.after(product, 0, 10**9)
        judged = Counter((row.path, row.sha256) for row in rows)
        lost = sum(not judged[name, last] for name, last in self.last.items())
        twice = sum(count - 1 for count in judged.values())
        foreign = sum(
            1 for row in rows if row.sha256 not in self.written.get(row.path, ())
        )
        scores = self.scores()
        wrong = sum(1 for row in rows if row.score != scores.get(row.sha256 or ""))
        return {
            "written": self.n_written,
            "names": len(self.written),
            "results": len(rows),
            "lost": lost,
            "twice": twice,
            "of no whole image": foreign,
            "other scores": wrong,
        }


def table_of(line: Line) -> tuple[int, int]:
    """Return how many results the table lacks, and how many it has twice."""
    with Results(line.root / "r.db") as results:
        wanted = [row.number for row in results.after(line.model.stem, 0, 10**9)]
    with (line.root / "r.csv").open(encoding="utf-8-sig", newline="") as file:
        found = [int(row["number"]) for row in csv.DictReader(file)]
    return len(set(wanted) - set(found)), len(found) - len(set(found))


def kills(line: Line, n_kills: int, seed: int, *, move: bool) -> dict[str, object]:
    """Kill the command at random moments while images come."""
    receiver = Receiver()
    line.options += ["--csv", str(line.root / "r.csv"), "--webhook", receiver.url]
    if move:
        line.options += ["--move-to", str(line.root / "out")]
    rng = random.Random(seed)  # noqa: S311 - only pauses
    died = 0
    with line.camera(0.25):
        for _ in range(n_kills):
            n_started, n_judged = line.n_started(), line.n_judged()
            process = line.start()
            moment = rng.random()
            if moment > 0.2:  # else while it starts
                wait_for(lambda n=n_started: line.n_started() > n)
            if moment > 0.4:  # while it judges, delivers and moves
                wait_for(lambda n=n_judged: line.n_judged() > n)
            time.sleep(rng.uniform(0.0, 0.6))
            if process.is_alive():
                os.kill(process.pid or 0, signal.SIGKILL)
                died += 1
            process.join()
    n_judged = line.n_judged()
    line.finish()
    found = line.report() | {"judged between kills": n_judged}
    lacks, has_twice = table_of(line)
    numbers = Counter(message["number"] for message in receiver.got)
    found |= {"kills": died, "table lacks": lacks, "table twice": has_twice}
    found |= {"webhook lacks": int(found["results"]) - len(numbers)}  # type: ignore[call-overload]
    found |= {"webhook repeats, by number": numbers.total() - len(numbers)}
    if move:
        out = [p for p in (line.root / "out").rglob("*") if p.is_file()]
        digests = Counter(hashlib.sha256(p.read_bytes()).hexdigest() for p in out)
        found |= {"moved": len(out), "moved twice": digests.total() - len(digests)}
        left = [p for p in line.inbox.rglob("*") if p.is_file()]
        found |= {"left in the folder": len(left)}
        with Results(line.root / "r.db") as results:
            rows = results.after(line.model.stem, 0, 10**9)
        by_digest = {row.sha256: row.decision for row in rows}
        wrong = sum(
            p.relative_to(line.root / "out").parts[0]
            != by_digest[hashlib.sha256(p.read_bytes()).hexdigest()]
            for p in out
        )
        found |= {"moved elsewhere": wrong}
    return found


def disk_full(line: Line) -> dict[str, object]:
    """Let the file system of the database fill up, and become free again."""
    disk = line.root / "disk"
    disk.mkdir()
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)], check=True
    )
    try:
        line.options[line.options.index("-o") + 1] = str(disk / "r.db")
        (line.root / "r.db").symlink_to(disk / "r.db")
        process = line.start()
        line.wait_until_said("Watching")
        ballast = disk / "ballast"
        with line.camera(0.1):
            time.sleep(3)
            with suppress(OSError), ballast.open("wb", buffering=0) as file:
                while True:
                    file.write(bytes(4096))
            line.wait_until_said("disk is full", "disk I/O error")
            time.sleep(5)
            ballast.unlink()
            subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
            time.sleep(8)
        alive = process.is_alive()
        end(process)
        line.finish()
        return line.report() | {"went on": alive}
    finally:
        subprocess.run(["umount", str(disk)], check=False)


def file_limit(line: Line) -> dict[str, object]:
    """Let no file grow beyond a limit, as a quota does; then kill, and lift it."""
    process = line.start()
    line.wait_until_said("Watching")
    with line.camera(0.1):
        time.sleep(3)
        pid, limit = process.pid or 0, (40_000, resource.RLIM_INFINITY)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, limit)
        line.wait_until_said("disk I/O error", "is full")
        time.sleep(5)
    alive = process.is_alive()
    process.kill()
    process.join()
    line.finish()
    return line.report() | {"went on": alive}


def locked(line: Line) -> dict[str, object]:
    """Lock the database from another process for longer than SQLite waits."""
    process = line.start()
    line.wait_until_said("Watching")
    with line.camera(0.2):
        time.sleep(3)
        other = sqlite3.connect(line.root / "r.db", isolation_level=None, timeout=60)
        other.execute("BEGIN EXCLUSIVE")
        line.wait_until_said("database is locked")
        time.sleep(5)
        other.execute("ROLLBACK")
        other.close()
        time.sleep(3)
    alive = process.is_alive()
    end(process)
    line.finish()
    return line.report() | {"went on": alive}


def webhook_dead(line: Line, seconds: float) -> dict[str, object]:
    """Let the receiver answer 503 for a while."""
    receiver = Receiver()
    line.options += ["--webhook", receiver.url]
    process = line.start()
    line.wait_until_said("Watching")
    with line.camera(0.2):
        time.sleep(3)
        receiver.alive = False
        before = line.n_written
        time.sleep(seconds)
        receiver.alive = True
        meanwhile = line.n_written - before
        with Results(line.root / "r.db") as results:
            judged = sum(results.counts(line.model.stem).values())
    end(process)
    line.finish()
    numbers = [message["number"] for message in receiver.got]
    found = line.report()
    first = list(dict.fromkeys(numbers))
    return found | {
        "written while dead": meanwhile,
        "judged when it came back": judged,
        "webhook lacks": int(found["results"]) - len(first),  # type: ignore[call-overload]
        "webhook repeats, by number": len(numbers) - len(first),
        "in order": first == sorted(first),
    }


def clock_back(line: Line) -> dict[str, object]:
    """Set the clock of process and files back an hour between two runs, and ahead."""
    for hours in (0, -1, 1):
        real = time.time

        def shift(hours: int = hours, real: Callable[[], float] = real) -> None:
            time.time = lambda: real() + 3600 * hours

        for _ in range(20):
            number = line.n_written
            line.write(number)
            line.n_written += 1
            at = time.time_ns() + hours * 3600 * 10**9
            newest = max(
                (p for p in line.inbox.rglob("*.png")), key=lambda p: p.stat().st_ctime
            )
            os.utime(newest, ns=(at, at))
        process = line.start("--once", before=shift)
        process.join()
        for path in line.inbox.rglob("*.png"):  # as a share does in summer
            at = path.stat().st_mtime_ns + 3600 * 10**9
            os.utime(path, ns=(at, at))
    line.finish()
    return line.report()


def model_broken(line: Line) -> dict[str, object]:
    """Replace the model file by a broken one, and then by a good one."""
    good = line.model.read_bytes()
    process = line.start()
    line.wait_until_said("Watching")
    with line.camera(0.2):
        time.sleep(3)
        line.model.write_bytes(good[: len(good) // 2])
        line.wait_until_said("the old stays")
        time.sleep(3)
        line.model.write_bytes(good)
        line.wait_until_said("the new model is in service")
        time.sleep(3)
    alive = process.is_alive()
    end(process)
    line.finish()
    return line.report() | {"went on": alive}


def start_of_many(line: Line, n_files: int) -> dict[str, object]:
    """Start on a folder of many files that were judged, and time the first new one."""
    (line.root / "one.png").write_bytes(b"")
    Image.fromarray(texture(0)).save(line.root / "one.png")
    content = (line.root / "one.png").read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    from adlib.serve._folder import Folder, Key
    from adlib.serve._results import Result

    rows = []
    for number in range(n_files):
        path = line.inbox / f"{number % 100:02}" / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        size, mtime_ns, _ = Key.of(path.stat())
        name = path.relative_to(line.inbox).as_posix()
        plain = Result(
            None, "m", "m", name, size, mtime_ns, digest, "2026", "PASS", 1.0
        )
        rows.append(plain)
    with Results(line.root / "r.db") as results:
        begun = time.perf_counter()
        results.add(rows)
        adding = time.perf_counter() - begun
        folder = Folder(
            line.inbox, 1.0, lambda path, key: results.is_known("m", path, *key[:2])
        )
        looks = []
        for _ in range(3):
            begun = time.process_time()
            folder.look(0.0)
            looks.append(time.process_time() - begun)
        one = [row._replace(path=f"new{i}.png") for i, row in enumerate(rows[:50])]
        begun = time.perf_counter()
        for row in one:
            results.add([row])
        single = (time.perf_counter() - begun) / len(one)
    return {
        "files": n_files,
        "first look, s of processor": round(looks[0], 2),
        "later looks, s of processor": round(min(looks[1:]), 2),
        "waiting": folder.n_waiting,
        "adding all at once, s": round(adding, 2),
        "adding one, ms": round(1000 * single, 2),
        "database, MB": round((line.root / "r.db").stat().st_size / 1e6, 1),
    }


def model_in(root: Path, *, exported: bool = False) -> Path:
    """Return the file of a small model; a kept exported one starts soonest."""
    if exported:
        return shutil.copy(KEPT, root / "part.onnx")
    good = np.stack([texture(1000 + seed) for seed in range(12)])
    model = adlib.PatchCore(
        image_size=64, coreset=0.2, progress=False, false_positive_rate=0.1
    )
    model.fit(good).save(root / "part.adlib")
    return root / "part.adlib"


def end(process: BaseProcess) -> None:
    """End a process as systemd does, and wait for it."""
    process.terminate()
    process.join(60)
    assert process.exitcode == 0, process.exitcode


def wait_for(condition: Callable[[], bool], seconds: float = 400.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)


def main_() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--dead", type=float, default=60.0, help="seconds")
    parser.add_argument("--only", nargs="*", help="names of parts")
    given = parser.parse_args()
    parts: dict[str, Callable[[Line], dict[str, object]]] = {
        "disk_full": disk_full,
        "file_limit": file_limit,
        "locked": locked,
        "webhook_dead": lambda line: webhook_dead(line, given.dead),
        "clock_back": clock_back,
        "model_broken": model_broken,
        "start_of_many": lambda line: start_of_many(line, given.files),
        "kills": lambda line: kills(line, given.kills, given.seed, move=False),
        "kills_moving": lambda line: kills(line, given.kills, given.seed, move=True),
    }
    with tempfile.TemporaryDirectory() as folder:
        for name, part in parts.items():
            if given.only and name not in given.only:
                continue
            root = Path(folder, name)
            root.mkdir()
            line = Line(root / "line", model_in(root, exported="kills" in name))
            begun = time.monotonic()
            found = part(line)
            seconds = f"{time.monotonic() - begun:.0f} s"
            print(name, json.dumps(found), seconds, flush=True)


if __name__ == "__main__":
    main_()
