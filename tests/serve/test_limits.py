"""Nothing that comes takes more than is allowed, and hostile images harm nothing."""

from __future__ import annotations

import concurrent.futures
import http.client
import io
import socket
import threading
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from adlib.serve import _worker
from adlib.serve._uploads import Limits
from tests.serve.conftest import form, png, serving
from tests.serve.hostile import attack, png_of

SMALL = Limits(n_bytes=100_000, n_pixels=10_000, n_waiting=2, seconds=2.0)


@pytest.fixture(scope="module")
def small(models):
    with serving(models, limits=SMALL) as client:
        yield client


def bomb(height: int, width: int) -> bytes:
    """Return a PNG that states a size, with pixels for a part of it."""
    return png_of(height, width, zlib.compress(bytes(60_000)))


def test_large_bodies_are_refused_before_they_have_come(small):
    with socket.create_connection(("127.0.0.1", small.port), timeout=10) as line:
        head = b"POST /models/part/inspect HTTP/1.1\r\nHost: localhost\r\n"
        line.sendall(head + b"Content-Length: 9999999999\r\n\r\n")
        assert line.recv(100).startswith(b"HTTP/1.1 413")


def test_bodies_of_unknown_length_are_counted(small):
    def endless():
        while True:
            yield bytes(10_000)

    connection = http.client.HTTPConnection("127.0.0.1", small.port, timeout=10)
    with pytest.raises((BrokenPipeError, ConnectionResetError)):
        connection.request("POST", "/models/part/inspect", endless())
    connection.close()
    body, headers = form(("1.png", bytes(200_000)))
    reply = small.inspect(body, **headers)
    assert (reply.status, reply.json["detail"]) == (
        413,
        "The body must have at most 100,000 bytes.",
    )


def test_more_pixels_are_refused_before_they_are_decoded(small):
    for image, most in (
        (bomb(60_000, 60_000), "178,956,970"),
        (bomb(101, 100), "10,000"),
    ):
        reply = small.inspect(image)
        assert reply.status == 422
        (one,) = reply.json["images"]
        assert f"at most {most} pixels" in one["error"]
        assert (one["score"], one["verdict"]) == (None, "REVIEW")
    deep = io.BytesIO()
    Image.fromarray(np.zeros((110, 110), np.float32)).save(deep, format="TIFF")
    assert "at most 10,000" in small.inspect(deep.getvalue()).json["images"][0]["error"]


def test_no_more_wait_than_may_and_the_rest_are_told_when_to_return(small, mixed):
    image = png(mixed[0])
    slow = [socket.create_connection(("127.0.0.1", small.port)) for _ in range(2)]
    head = b"POST /models/part/inspect HTTP/1.1\r\nHost: localhost\r\n"
    for line in slow:  # bodies that do not come hold a place, but no longer than 2 s
        line.sendall(head + b"Content-Length: 10\r\n\r\n")
    time.sleep(0.3)
    reply = small.inspect(image)
    assert (reply.status, reply.headers["Retry-After"]) == (429, "1")
    assert small("GET", "/health").status == 200
    assert b"adlib_requests_waiting 2.0" in small("GET", "/metrics").body
    for line in slow:
        assert line.recv(100).startswith(b"HTTP/1.1 408")
        line.close()
    assert small.inspect(image).status == 200


@pytest.mark.slow
def test_what_takes_too_long_is_answered_and_forgotten(models, mixed, monkeypatch):
    entered, begin = threading.Event(), threading.Event()
    judge = _worker.Worker._judge

    def slow(self, jobs):
        entered.set()
        begin.wait(20)
        return judge(self, jobs)

    monkeypatch.setattr(_worker.Worker, "_judge", slow)
    limits = Limits(n_waiting=4, seconds=3.0)
    image = png(mixed[0])
    with serving(models, limits=limits) as client:
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            first = pool.submit(client.inspect, image)
            entered.wait(20)
            replies = list(pool.map(client.inspect, [image] * 7))
        assert first.result().status == 504
        assert sorted(reply.status for reply in replies) == [429] * 4 + [504] * 3
        begin.set()
        assert client.inspect(image).status == 200
        text = client("GET", "/metrics").body.decode()
        batch = [line for line in text.splitlines() if "batch_images_sum" in line]
        assert batch == ['adlib_batch_images_sum{model="part"} 2.0']  # the first, too


def test_a_stop_answers_what_was_accepted(models, mixed, part):
    bodies = [png(image) for image in mixed] * 4
    with concurrent.futures.ThreadPoolExecutor(len(bodies)) as pool:
        with serving(models) as client:
            waiting = [pool.submit(client.inspect, body) for body in bodies]
            text = ""
            while "adlib_requests_waiting 0.0" in (
                text or "adlib_requests_waiting 0.0"
            ):
                text = client("GET", "/metrics").body.decode()
        answered, refused = [], 0
        for i, future in enumerate(waiting):
            try:
                reply = future.result()
            except OSError:  # it came after the signal
                refused += 1
            else:
                assert reply.status == 200
                answered.append((i, reply.json["images"][0]["score"]))
    wanted = part.score(mixed)
    assert answered
    assert answered == [(i, float(wanted[i % len(mixed)])) for i, _ in answered]


def hostile(image: bytes):
    """Yield what nobody sends by accident."""
    yield b"\x00" * 1000
    yield b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"  # Ghostscript's
    yield b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>"
    yield b"PK\x03\x04" + image
    yield b"GIF89a\xff\xff\xff\xff\x00\x00\x00"
    yield b"\xff\xd8" + b"\xff\xda\x00\x08" * 5000  # a JPEG of many scans
    yield b"II*\x00\xff\xff\xff\xff"
    yield b"P6 100 100 255\n"
    yield image[:100]
    jpeg = io.BytesIO()
    Image.open(io.BytesIO(image)).save(jpeg, format="JPEG")
    for whole in (image, jpeg.getvalue()):
        rng = np.random.default_rng(0)
        for _ in range(20):
            damaged = bytearray(whole)
            for place in rng.integers(0, len(whole), 8):
                damaged[place] = rng.integers(0, 256)
            yield bytes(damaged[: rng.integers(1, len(whole))])


def test_hostile_images_are_refused_and_nothing_else_happens(small, mixed, part):
    image = png(mixed[0])
    for body in hostile(image):
        reply = small.inspect(body)
        assert reply.status in (200, 422), body[:50]
        (one,) = reply.json["images"]
        if reply.status == 422:
            assert one["error"].startswith("image")
            assert one["verdict"] == "REVIEW"
            assert "/" not in one["error"].partition("bytes")[0].replace("and/or", "")
    (one,) = small.inspect(image).json["images"]
    assert one["score"] == float(part.score(mixed[:1])[0])


def test_one_bad_file_of_a_form_does_not_hide_the_others(small, mixed, part):
    image = png(mixed[0])
    body, headers = form(("a.png", image), ("b.png", image[:80]), ("c.png", image))
    reply = small.inspect(body, **headers)
    assert reply.status == 422
    errors = [one["error"] for one in reply.json["images"]]
    assert errors[0] is errors[2] is None
    assert errors[1].startswith("b.png must be a readable image")
    wanted = float(part.score(mixed[:1])[0])
    assert [one["score"] for one in reply.json["images"]] == [wanted, None, wanted]


def test_file_names_of_forms_are_only_said_again(small, mixed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = ["../../etc/passwd", "/tmp/x.png", "<script>.png", "a\x00b", "n" * 1000]
    body, headers = form(*((name, png(mixed[0])) for name in names))
    reply = small.inspect(body, **headers)
    assert reply.status == 200
    assert reply.headers["Content-Type"] == "application/json"
    assert reply.headers["X-Content-Type-Options"] == "nosniff"
    said = [one["name"] for one in reply.json["images"]]
    assert said[:3] == names[:3]
    assert len(said[4]) == 200
    assert list(tmp_path.iterdir()) == []
    for refused in ([("x", b"y")] * 65, [("n" * 5000, b"y")]):
        body, headers = form(*refused)
        assert small.inspect(body, **headers).status == 400


def test_forms_of_hostile_boundaries_take_no_long_time(models):
    body = b"--limit\r\nContent-Disposition: form-data; name=f; filename=x\r\n\r\n"
    body += b"\r\n--limi" * 1_000_000
    kind = {"Content-Type": "multipart/form-data; boundary=limit"}
    with serving(models) as client:
        started = time.monotonic()
        assert client.inspect(body, **kind).status in (400, 422)
        assert time.monotonic() - started < 20


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
def test_nothing_comes_of_hostile_uploads():
    counts = attack(300, seed=1, slack=100)
    assert {kind.split()[0] for kind in counts} == {
        "bomb", "changed", "cut", "joined", "stretched",
    }  # fmt: skip
