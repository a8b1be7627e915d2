"""A service on a real socket, and a client that sends what it is told."""

from __future__ import annotations

import http.client
import io
import json
import sqlite3
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image

from adlib import PaDiM, PatchCore

pytest.importorskip("fastapi")

from adlib.serve._server import server


def png(pixels: np.ndarray) -> bytes:
    """Return an image as the bytes of a PNG."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="PNG")
    return file.getvalue()


def form(*files: tuple[str, bytes]) -> tuple[bytes, dict[str, str]]:
    """Return the body and headers of a form with files, names as they are."""
    parts = [
        b'--limit\r\nContent-Disposition: form-data; name="file"; filename="'
        + name.encode()
        + b'"\r\nContent-Type: image/png\r\n\r\n'
        + data
        + b"\r\n"
        for name, data in files
    ]
    kind = "multipart/form-data; boundary=limit"
    return b"".join(parts) + b"--limit--\r\n", {"Content-Type": kind}


class Reply(NamedTuple):
    status: int
    headers: Any
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Client:
    """Speaks to a service at a port of this machine."""

    def __init__(self, port: int, service: Any = None) -> None:
        self.port, self.service = port, service

    def __call__(self, method: str, path: str, body: Any = None, **headers: str):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            connection.request(method, path, body, names)
            reply = connection.getresponse()
            return Reply(reply.status, reply.headers, reply.read())
        finally:
            connection.close()

    def inspect(self, body: Any, name: str = "part", query: str = "", **headers: str):
        headers = {"Content-Type": "image/png", **headers}
        return self("POST", f"/models/{name}/inspect{query}", body, **headers)


@contextmanager
def serving(folder: Path, **options: Any):
    """Serve a folder from a thread, and give a client."""
    service = server(folder, port=0, **options)
    thread = threading.Thread(target=service.run)
    thread.start()
    deadline = time.monotonic() + 60
    while not service.started and thread.is_alive() and time.monotonic() < deadline:
        time.sleep(0.01)
    try:
        port = service.servers[0].sockets[0].getsockname()[1]
        yield Client(port, service)
    finally:
        service.should_exit = True
        thread.join(60)
        assert not thread.is_alive()


@pytest.fixture(scope="session")
def part(good, others) -> PatchCore:
    """A PatchCore with a threshold and a review threshold."""
    model = PatchCore(image_size=64, coreset=0.2, progress=False).fit(good)
    return model.calibrate(others, false_positive_rate=0.2, review_rate=0.5)


@pytest.fixture(scope="session")
def screw(good, others) -> PaDiM:
    """A PaDiM with another threshold, of the same backbone at other stages."""
    model = PaDiM(image_size=64, progress=False).fit(good)
    return model.calibrate(others, false_positive_rate=0.3)


@pytest.fixture(scope="session")
def models(part, screw, tmp_path_factory) -> Path:
    """A folder of both; tests must not change it."""
    folder = tmp_path_factory.mktemp("models")
    part.save(folder / "part.adlib")
    screw.save(folder / "screw.adlib")
    return folder


@pytest.fixture(scope="session")
def client(models):
    """A client of a service of both models."""
    with serving(models) as one:
        yield one


@pytest.fixture(scope="session")
def line(part, mixed, tmp_path_factory) -> Path:
    """A folder with a model, images and results.db; tests must not change it."""
    from tests.serve.reviewing import write_line

    return write_line(tmp_path_factory.mktemp("line"), part, mixed)


@pytest.fixture(scope="session")
def page(line, tmp_path_factory):
    """A browser before a review page that tests only look at."""
    from tests.serve.reviewing import reviewing

    with reviewing(line / "results.db", tmp_path_factory.mktemp("cache")) as browser:
        yield browser


@pytest.fixture
def own(line, tmp_path) -> Path:
    """A copy of the results database that a test may write to."""
    copy = tmp_path / "results.db"
    with sqlite3.connect(line / "results.db") as database:
        database.execute("VACUUM INTO ?", (str(copy),))
    database.close()
    return copy


@pytest.fixture
def writing(own, tmp_path):
    """A browser before a review page of that copy."""
    from tests.serve.reviewing import reviewing

    with reviewing(own, tmp_path / "cache") as browser:
        yield browser
