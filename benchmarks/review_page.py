"""How fast the review page answers with a large results database.

    python benchmarks/review_page.py ROOT CLASS [--results 100000] [--folder KEPT]

Fits a model to the good images of a class of an MVTec AD folder, inspects 40 of its
test images, and writes a database in which each result is one of these with its score
varied. Then asks a review server on this machine for its pages, each 20 times.
"""

from __future__ import annotations

import argparse
import hashlib
import http.client
import tempfile
import threading
import time
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path

import numpy as np

from adlib import PatchCore, load
from adlib.serve._results import Result, Results, result_of

N_IMAGES, CHUNK, TRIES = 40, 5_000, 20
SHARE_BAD, SHARE_BROKEN = 0.015, 0.0003
PRODUCTS = {"screw M4": 0.8, "screw M6": 0.2}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", type=Path)
    parser.add_argument("name")
    parser.add_argument("--results", type=int, default=100_000)
    parser.add_argument("--folder", type=Path, help="Where all is kept; else nowhere.")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        database = folder / "results.db"
        if not database.exists():
            write(database, given.root / given.name, given.results)
        measure(database)


def write(database: Path, data: Path, n_results: int) -> None:
    """Write the database, and the model beside it."""
    file = database.with_name("part.adlib")
    good = sorted((data / "train" / "good").iterdir())
    model = PatchCore().fit(good[::2])
    model.calibrate(good[1::2], false_positive_rate=0.01, review_rate=0.05)
    model.save(file)
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    model = load(file)
    ok = sorted((data / "test" / "good").iterdir())[: N_IMAGES // 2]
    bad = sorted(p for p in (data / "test").rglob("*.*") if p.parent.name != "good")
    bad = bad[:: max(1, len(bad) // (N_IMAGES // 2))][: N_IMAGES // 2]
    found = list(model.inspect([*map(str, ok + bad)]))
    rng = np.random.default_rng(0)
    begin = datetime(2026, 11, 1, tzinfo=UTC)
    limits = (model.threshold_, model.review_threshold_)

    def rows():
        for number in range(n_results):
            is_bad = rng.random() < SHARE_BAD
            one = int(rng.integers(len(ok))) + is_bad * len(ok)
            path = (ok + bad)[min(one, len(found) - 1)]
            plain = found[min(one, len(found) - 1)]
            content = path.read_bytes() if path not in shas else b""
            shas.setdefault(path, hashlib.sha256(content).hexdigest())
            stat = path.stat()
            row = result_of(
                plain,
                product=str(rng.choice([*PRODUCTS], p=[*PRODUCTS.values()])),
                model=sha256,
                limits=limits,
                file=(stat.st_size, number, shas[path]),
            )
            when = (begin + timedelta(seconds=20 * number)).isoformat(
                timespec="milliseconds"
            )
            yield varied(row, rng)._replace(
                path=str(path.relative_to(data)), judged_utc=when
            )

    shas: dict[Path, str] = {}
    with Results(database, durable=False) as results:
        for product in PRODUCTS:
            results.note_product(product, data, file)
        every = rows()
        while chunk := list(islice(every, CHUNK)):
            results.add(chunk)
        text = "INSERT INTO labels (result, defect, labelled_utc) "
        text += "SELECT number, decision = 'FAIL', judged_utc FROM results "
        text += "WHERE number % 50 = 0 OR (decision = 'FAIL' AND number % 3 = 0)"
        with results.transaction() as db:
            db.execute(text)


def varied(row: Result, rng: np.random.Generator) -> Result:
    """Return a result with another score, and what follows from it."""
    assert row.score is not None
    assert row.threshold is not None
    assert row.review_threshold is not None
    if rng.random() < SHARE_BROKEN:
        error = f"{row.path} must be a readable image; it cannot be decoded."
        nothing = dict.fromkeys(("score", "threshold_ratio", "p_value", "worst_row"))
        return row._replace(**nothing, decision="REVIEW", error=error, regions="[]")
    score = row.score * float(np.exp(0.06 * rng.standard_normal()))
    decision = "PASS" if score <= row.review_threshold else "REVIEW"
    decision = "FAIL" if score > row.threshold else decision
    ratio = score / row.threshold
    return row._replace(score=score, decision=decision, threshold_ratio=ratio)


def measure(database: Path) -> None:
    """Ask a server for its pages and print how long each took."""
    from adlib.serve._review import server

    begun = time.perf_counter()
    service = server(database, port=0)
    thread = threading.Thread(target=service.run)
    thread.start()
    while not service.started:
        time.sleep(0.005)
    print(f"start: {1000 * (time.perf_counter() - begun):.0f} ms")
    port = service.servers[0].sockets[0].getsockname()[1]
    n_results = Results(database).counts("screw M4")
    middle = sum(n_results.values()) // 2
    pages = {
        "newest": "/",
        "newest, deep inside": f"/?after={middle}",
        "worst": "/?order=worst",
        "worst, deep inside": f"/?order=worst&after={middle}",
        "one product, PASS": "/?product=screw+M6&decision=PASS",
        "FAIL, not labelled, worst": "/?decision=FAIL&label=none&order=worst",
        "confirmed defects": "/?label=defect",
        "not judged": "/?decision=ERROR",
        "an hour": "/?since=2026-11-10T10:00&until=2026-11-10T11:00",
        "a result": f"/results/{middle}",
        "histogram": "/scores?product=screw+M4",
    }
    for name, path in pages.items():
        taken = []
        for _ in range(TRIES):
            begun = time.perf_counter()
            connection = http.client.HTTPConnection("127.0.0.1", port)
            connection.request("GET", path)
            answer = connection.getresponse()
            n_bytes = len(answer.read())
            taken.append(1000 * (time.perf_counter() - begun))
            assert answer.status == 200, (path, answer.status)
            connection.close()
        first, median, worst = taken[0], float(np.median(taken)), max(taken)
        print(
            f"{name:28s} first {first:6.1f}  median {median:6.1f}  "
            f"max {worst:6.1f} ms  {n_bytes / 1000:6.1f} kB"
        )
    service.should_exit = True
    thread.join()


if __name__ == "__main__":
    main()
