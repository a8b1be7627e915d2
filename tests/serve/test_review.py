"""The review page on a real socket: what it shows, takes, refuses and escapes."""

from __future__ import annotations

import hashlib
import io
import re
import shutil
import time
from urllib.parse import urlencode

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("fastapi")

from adlib import load, runtime
from adlib.cli import main
from adlib.serve._cache import Cache
from adlib.serve._examine import Compared, Examiner, Unavailable
from adlib.serve._keys import add_key
from adlib.serve._results import Results, result_of
from adlib.serve._review import server
from adlib.serve._sign_in import own_page
from tests.serve.reviewing import NAMES, OWN, SCRIPT, labels, reviewing


def numbers(text) -> list[int]:
    return [int(n) for n in re.findall(r'class="card" href="/results/(\d+)', text)]


def test_results_come_newest_first_worst_first_and_filtered(page, line):
    assert numbers(page.text("/")) == [7, 6, 5, 4, 3, 2, 1]
    with Results(line / "results.db") as results:
        rows = results.after("part", 0)
    ranked = sorted(
        (one for one in rows if one.score is not None),
        key=lambda one: (one.threshold_ratio, one.number),
    )
    worst = [one.number for one in ranked[::-1]]
    assert numbers(page.text("/?order=worst")) == worst
    failed = [one.number for one in rows[::-1] if one.decision == "FAIL"]
    assert failed
    assert numbers(page.text("/?decision=FAIL")) == failed
    assert numbers(page.text("/?decision=ERROR&order=worst")) == [7]
    assert numbers(page.text("/?product=other")) == []
    assert numbers(page.text("/?until=2020-01-01T00:00")) == []
    assert len(numbers(page.text("/?since=2020-01-01T00:00"))) == 7


def test_names_and_errors_are_text_and_no_markup(page):
    for path in ("/", "/results/2", "/results/7", "/scores"):
        text = page.text(path)
        assert "<script>alert" not in text
        assert "<img src=x" not in text
        assert "alert(1)" in text or path == "/scores"
    assert "��.png" in page.text("/results/7")


def test_a_comment_is_text_and_no_markup(writing, own):
    assert writing.say(3, "good", SCRIPT).status == 303
    assert labels(own) == [(3, 0, SCRIPT, "")]
    text = writing.text("/results/3")
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert(1)" in text


@pytest.mark.parametrize(
    "path",
    [
        "/results/../../etc/passwd",
        "/results/..%2f..%2fetc%2fpasswd/image",
        "/results/1/image/../../../../etc/passwd",
        "/results/-1/image",
        "/results/%2e%2e/image",
        "/../../../../etc/passwd",
        "/style.css/../../../etc/passwd",
        "/results/99999999999999999999999",
        "/results/8",
    ],
)
def test_an_address_reaches_no_file(page, path):
    reply = page("GET", path)
    assert reply.status == 404
    assert b"root:" not in reply.body


def test_a_version_of_a_picture_reaches_no_file(page):
    for kind in ("map", "near", "compared"):
        reply = page("GET", f"/results/1/{kind}?v=a-../../../../etc/passwd")
        assert reply.status == 404
        assert b"root:" not in reply.body


def test_drift_is_said_above_the_list(page):
    end = time.monotonic() + 30
    while '<p class="drift">' not in (text := page.text("/")):
        assert time.monotonic() < end
        time.sleep(0.05)
    assert "drift known: too few parts that pass" in text


def test_another_host_is_refused(page):
    assert page("GET", "/", Host="evil.example").status == 400
    assert page("GET", "/", Host=f"localhost:{page.port}").status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://["},
        {"Origin": "http://"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"Sec-Fetch-Site": "same-origin", "Origin": "http://evil.example"},
        {"Accept": "*/*"},  # who says nothing
    ],
)
def test_a_form_of_another_site_is_refused(page, line, headers):
    assert page.say(1, "good", **headers).status == 403
    assert labels(line / "results.db") == []


def test_a_form_of_its_own_is_taken_by_either_header(writing, own):
    host = f"127.0.0.1:{writing.port}"
    assert writing.say(1, "good", Origin=f"http://{host}").status == 303
    assert writing.say(2, "defect", Sec_Fetch_Site="same-origin").status == 303
    assert [row[:2] for row in labels(own)] == [(1, 0), (2, 1)]


def test_pages_may_load_and_run_nothing_but_their_own_files(page):
    for path in ("/", "/results/1", "/scores", "/nowhere", "/results/1/compared?v=-"):
        headers = page("GET", path).headers
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self';" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
    text = page.text("/results/1")
    assert not re.search(
        r"<script(?![^>]* src=)|\son\w+=|\sstyle=|https?://(?!www.w3)", text
    )


def test_another_address_needs_keys(line):
    with pytest.raises(ValueError, match=r"--host 0.0.0.0 .* --keys"):
        server(line / "results.db", host="0.0.0.0")


def test_with_keys_a_browser_signs_in_once(own, tmp_path):
    keys = tmp_path / "keys.txt"
    key = add_key(keys, "anna")
    with reviewing(own, tmp_path / "cache", keys=keys) as browser:
        for path in ("/", "/results/1", "/results/1/image", "/scores?product=part"):
            reply = browser("GET", path)
            assert reply.status == 401
            assert b"0.png" not in reply.body
        assert browser.say(1, "good").status == 401
        wrong = {"key": key + "x", "page": "/results/1"}
        assert browser("POST", "/sign-in", wrong, **OWN).status == 401
        right = {"key": key, "page": "/results/1?order=worst"}
        assert (
            browser("POST", "/sign-in", right, Origin="http://evil.example").status
            == 403
        )
        reply = browser("POST", "/sign-in", right, **OWN)
        assert (reply.status, reply.headers["Location"]) == (303, right["page"])
        cookie = reply.headers["Set-Cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=strict" in cookie
        assert key not in cookie
        signed = {"Cookie": cookie.partition(";")[0]}
        assert "0.png" in browser.text("/results/1", **signed)
        assert browser.say(1, "defect", **signed, **OWN).status == 303
        assert labels(own) == [(1, 1, "", "anna")]
        assert browser("POST", "/sign-out", **signed, **OWN).status == 303
        assert browser("GET", "/", **signed).status == 401


@pytest.mark.parametrize(
    "page", ["http://evil.example", "//evil.example", "/\\evil", "/results/1\r\nA: b"]
)
def test_signing_in_leads_to_no_other_site(page):
    assert own_page(page) == "/"


def test_saying_goes_on_to_the_next_without_a_label_and_can_be_undone(writing, own):
    reply = writing.say(5, "good", query="?order=newest")
    assert reply.headers["Location"].startswith("/results/4?last=5")
    assert 'id="undo"' in writing.text("/results/4?last=5")
    writing.say(3, "defect")
    assert writing.say(4, "good").headers["Location"].startswith("/results/2?")
    assert writing.say(1, "good").headers["Location"] == "/?last=1"
    undone = writing.say(3, "undo")
    assert undone.headers["Location"] == "/results/3"
    assert [row[:2] for row in labels(own)] == [
        (5, 0),
        (3, 1),
        (4, 0),
        (1, 0),
        (3, None),
    ]
    assert "Not confirmed yet" in writing.text("/results/3")
    assert numbers(writing.text("/?label=good")) == [5, 4, 1]
    assert numbers(writing.text("/?label=defect")) == []
    assert numbers(writing.text("/?label=none")) == [7, 6, 3, 2]


def test_what_cannot_be_said_is_refused(writing, own):
    assert writing.say(1, "bad").status == 400
    assert writing.say(99, "good").status == 404
    assert writing.say(1, "good", "x" * 30_000).status == 413
    many = [(f"field{i}", "x") for i in range(20)]
    body = urlencode(many).encode()
    assert writing("POST", "/results/1/label", body, **OWN).status == 400
    assert labels(own) == []
    assert writing.say(1, "good", "x" * 2_000).status == 303
    assert len(labels(own)[0][2]) == 1000


@pytest.mark.parametrize(
    "query", ["?decision=MAYBE", "?order=best", "?label=x", "?since=monday", "?after=x"]
)
def test_an_unknown_filter_is_refused(page, query):
    assert page("GET", f"/{query}").status == 400


def image_of(reply) -> Image.Image:
    assert reply.status == 200, reply.body
    return Image.open(io.BytesIO(reply.body))


def test_pictures_show_the_image_and_its_map(page, line):
    text = page.text("/results/4")
    found = re.findall(r'href="(/results/4/(?:image|map)[^"]*)"', text)
    image, drawn = (image_of(page("GET", path)) for path in found[:2])
    assert (image.format, image.size) == ("JPEG", (64, 64))
    assert (drawn.format, drawn.size) == ("PNG", (64, 64))
    opacity = drawn.convert("RGBA").getchannel("A").getextrema()
    assert opacity[0] == 0
    assert opacity[1] > 100
    assert text.count("<polygon") >= 2
    thumbnail = re.search(r'src="(/results/4/thumbnail[^"]*)"', page.text("/"))[1]
    assert image_of(page("GET", thumbnail)).size == (64, 64)
    assert not [*line.glob("camera/*.jpg")]  # nothing is written beside the images


def test_the_nearest_good_patch_is_shown_or_said_to_be_missing(
    page, line, tmp_path, good
):
    address = re.search(r'data-from="([^"]*)"', page.text("/results/4"))[1]
    text = page.text(address)
    assert "Distance between the two patches" in text
    assert "image " in text  # the model was fitted to arrays
    assert "--training FOLDER" in text


def test_training_images_are_found_by_the_end_of_their_path(tmp_path):
    file = tmp_path / "new" / "good" / "3.png"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"x")
    (tmp_path / "secret.png").write_bytes(b"x")
    examiner = Examiner(load, Cache(tmp_path / "cache"), tmp_path / "new")

    def found(name):
        return examiner.training_image(Compared(1.0, name, None, None))

    assert found("/old/place/good/3.png") == found("good/3.png") == file
    for name in ("3.png", "../secret.png", "/old/../secret.png", "image 7"):
        with pytest.raises(Unavailable, match="not below"):
            found(name)


def test_what_is_gone_or_changed_is_said(page, line, own, tmp_path):
    assert "no longer there" in page.text("/results/6")
    assert "not be read" in page.text("/results/7")
    images = tmp_path / "camera"
    shutil.copytree(line / "camera", images)
    changed = images / NAMES[0]
    changed.write_bytes(changed.read_bytes()[:-1] + b"x")
    other = tmp_path / "part.adlib"
    other.write_bytes((line / "part.adlib").read_bytes() + b"\n")
    with Results(own) as results:
        results.note_product("part", images, other)
    with reviewing(own, tmp_path / "cache") as browser:
        assert "has changed since it was judged" in browser.text("/results/1")
        assert "by the present model" in browser.text("/results/4")
        other.unlink()
        assert "model file is gone" in browser.text("/results/4")
        assert "image?v=" in browser.text("/results/4")


def test_a_database_that_is_none_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="no results database"):
        server(tmp_path / "results.db")
    (tmp_path / "x.db").write_text("not a database, but long enough to look like one")
    with pytest.raises(ValueError, match="is no results database"):
        server(tmp_path / "x.db")


@pytest.mark.slow
def test_an_exported_model_draws_its_outline_into_the_map(part, line, own, tmp_path):
    pytest.importorskip("onnxscript")
    file = tmp_path / "part.onnx"
    part.export(file)
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    found = next(runtime.load(file).inspect(line / "camera" / NAMES[3]))
    with Results(own) as results:
        results.note_product("part", line / "camera", file)
        last = results.after("part", 3)[0]
        limits = part.threshold_, part.review_threshold_
        key = last.size, 1, last.sha256
        row = result_of(found, product="part", model=sha256, limits=limits, file=key)
        results.add([row._replace(path=NAMES[3])])
    with reviewing(own, tmp_path / "cache") as browser:
        text = browser.text("/results/8")
        assert "<polygon" not in text
        assert "by the present model" not in text
        address = re.search(r'href="(/results/8/map[^"]*)"', text)[1]
        drawn = np.asarray(image_of(browser("GET", address)).convert("RGBA"))
        assert (drawn == 255).all(axis=-1).any()
        address = re.search(r'data-from="([^"]*)"', text)[1]
        assert "keeps no training patches" in browser.text(address)


def test_the_command_says_where_the_page_is(own, monkeypatch, capsys):
    monkeypatch.setattr("uvicorn.Server.run", lambda self: None)
    monkeypatch.setattr("adlib.serve._log.log_json_lines", lambda: None)
    assert main(["review", str(own), "--port", "8123"]) == 0
    assert "http://127.0.0.1:8123/" in capsys.readouterr().err
    assert main(["review", str(own), "--host", "::"]) == 1
    assert "--keys" in capsys.readouterr().err
    assert main(["review", str(own), "--training", str(own)]) == 1
    assert "--training must be a folder" in capsys.readouterr().err
