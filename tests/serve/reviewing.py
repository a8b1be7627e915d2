"""A line of five images with their results, and a review server before them."""

from __future__ import annotations

import hashlib
import http.client
import os
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlencode

from PIL import Image

from adlib.serve._results import Results, result_of
from adlib.serve._review import server
from tests.serve.conftest import Reply

OWN = {"Sec-Fetch-Site": "same-origin"}
SCRIPT = "<script>alert(1)</script>"
MARKUP = "<img src=x onerror=alert(1)>.png"  # a name that a disk takes
NAMES = ("0.png", MARKUP, "deep/2.png", "3.png", "4.png")


class Browser:
    """Asks a review server for pages."""

    def __init__(self, port: int) -> None:
        self.port = port

    def __call__(self, method, path, body=None, **headers) -> Reply:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.putrequest(method, path, skip_host="Host" in names)
        for name, value in names.items():
            connection.putheader(name, value)
        content = urlencode(body).encode() if isinstance(body, dict) else body or b""
        if method == "POST":
            connection.putheader("Content-Length", str(len(content)))
        connection.endheaders(content)
        reply = connection.getresponse()
        found = Reply(reply.status, reply.headers, reply.read())
        connection.close()
        return found

    def text(self, path, **headers) -> str:
        reply = self("GET", path, **headers)
        assert reply.status == 200, reply.body
        return reply.body.decode()

    def say(self, number, what, comment="", query="", **headers) -> Reply:
        body = {"say": what, "comment": comment}
        return self("POST", f"/results/{number}/label{query}", body, **(headers or OWN))


@contextmanager
def reviewing(database, cache, **options):
    """Serve a database from a thread."""
    service = server(database, port=0, cache=cache, **options)
    thread = threading.Thread(target=service.run)
    thread.start()
    while not service.started and thread.is_alive():
        time.sleep(0.01)
    try:
        yield Browser(service.servers[0].sockets[0].getsockname()[1])
    finally:
        service.should_exit = True
        thread.join(60)
        assert not thread.is_alive()


def write_line(root: Path, part, pixels) -> Path:
    """Write a model, images and a database of their results; return the folder.

    Beside five images there are the results of one that is gone, and of one that could
    not be read, whose name is no UTF-8.
    """
    file, images = root / "part.adlib", root / "camera"
    part.save(file)
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    rows = []
    for name, image in zip(NAMES, pixels, strict=False):
        path = images / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    limits = part.threshold_, part.review_threshold_
    for name, found in zip(
        NAMES, part.inspect([str(images / n) for n in NAMES]), strict=True
    ):
        stat, content = (images / name).stat(), (images / name).read_bytes()
        key = stat.st_size, stat.st_mtime_ns, hashlib.sha256(content).hexdigest()
        row = result_of(found, product="part", model=sha256, limits=limits, file=key)
        rows.append(row._replace(path=name))
    gone = rows[0]._replace(path="gone.png", sha256="0" * 64)
    broken = rows[0]._replace(
        path=os.fsdecode(b"\xff\xfe.png"), decision="REVIEW", score=None, sha256=None
    )
    broken = broken._replace(error=f"It is broken: {SCRIPT}", threshold_ratio=None)
    with Results(root / "results.db") as results:
        results.note_product("part", images, file)
        results.add([*rows, gone, broken])
    return root


def labels(database) -> list[tuple]:
    with Results(database) as results:
        text = "SELECT result, defect, comment, labelled_by FROM labels ORDER BY label"
        return results._db.execute(text).fetchall()
