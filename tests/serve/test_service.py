"""What the service answers: the scores of ``inspect``, and clear refusals."""

from __future__ import annotations

import base64
import concurrent.futures
import hashlib
import io
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from adlib import load, runtime
from adlib.serve._answers import Answer
from tests.serve.conftest import form, png, serving

KEPT = Path(__file__).parents[1] / "models/patchcore-0.1.0.onnx"


def test_it_says_what_inspect_says(client, models, part, screw, mixed):
    for name, model in (("part", part), ("screw", screw)):
        digest = hashlib.sha256((models / f"{name}.adlib").read_bytes()).hexdigest()
        for image, wanted in zip(mixed, model.inspect(mixed), strict=True):
            reply = client.inspect(png(image), name)
            assert reply.status == 200
            Answer.model_validate_json(reply.body)
            said = reply.json
            (one,) = said.pop("images")
            assert said == {
                "model": name,
                "sha256": digest,
                "threshold": model.threshold_,
                "review_threshold": model.review_threshold_,
                "promise": model.describe()["threshold"],
            }
            assert one["score"] == wanted.score  # bit for bit: JSON keeps doubles
            assert one["verdict"] == wanted.decision
            assert one["p_value"] == wanted.p_value
            assert one["threshold_ratio"] == wanted.threshold_ratio
            assert tuple(one["size"]) == wanted.size
            assert tuple(one["worst_pixel"]) == wanted.worst_pixel
            assert one["map"] is one["error"] is None
            boxes = [tuple(region["box"]) for region in one["regions"]]
            assert boxes == [region.box for region in wanted.regions]
    verdicts = {result.decision for result in part.inspect(mixed)}
    assert {"FAIL"} < verdicts | {"PASS", "REVIEW"}  # the images do differ


def test_forms_of_several_files_keep_their_order(client, part, mixed):
    names = [f"{i}.png" for i in range(len(mixed))]
    body, headers = form(*zip(names, map(png, mixed), strict=True))
    reply = client.inspect(body, **headers)
    assert reply.status == 200
    assert [one["name"] for one in reply.json["images"]] == names
    scores = [one["score"] for one in reply.json["images"]]
    assert scores == part.score(mixed).tolist()


def test_maps_come_as_floats_and_as_grey(client, part, mixed):
    (wanted,) = part.inspect(mixed[-1:])
    reply = client.inspect(png(mixed[-1]), query="?map=npy")
    values = np.load(io.BytesIO(base64.b64decode(reply.json["images"][0]["map"])))
    assert values.dtype == np.float32
    assert np.array_equal(values, wanted.map)
    reply = client.inspect(png(mixed[-1]), query="?map=png")
    drawn = Image.open(io.BytesIO(base64.b64decode(reply.json["images"][0]["map"])))
    shares = wanted.map / (1.5 * part.pixel_threshold_)
    assert np.abs(np.asarray(drawn) / 255 - np.clip(shares, 0, 1)).max() < 0.51 / 255
    reply = client.inspect(png(mixed[-1]), query="?map=gif")
    assert reply.status == 422
    assert "map: " in reply.json["detail"]


def test_many_clients_at_once_get_the_same_scores(client, part, screw, mixed):
    wanted = {"part": part.score(mixed), "screw": screw.score(mixed)}
    bodies = [png(image) for image in mixed]
    cases = [(name, i) for name in wanted for i in range(len(mixed))] * 4

    def ask(case):
        name, i = case
        return client.inspect(bodies[i], name).json["images"][0]["score"]

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        scores = list(pool.map(ask, cases))
    assert scores == [float(wanted[name][i]) for name, i in cases]
    text = client("GET", "/metrics").body.decode()
    batches = re.findall(r'adlib_batch_images_count\{model="\w+"\} (\d+)', text)
    images = re.findall(r'adlib_images_total\{model="\w+",verdict="\w+"\} (\d+)', text)
    assert sum(map(int, batches)) < sum(map(int, images))  # some were judged at once


def test_colour_depth_and_rotation_are_read_as_from_files(client, part, tmp_path):
    rng = np.random.default_rng(0)
    deep = rng.integers(0, 65536, (64, 64)).astype(np.uint16)
    colour = Image.fromarray(rng.integers(0, 256, (50, 70, 3), np.uint8))
    exif = colour.getexif()
    exif[0x0112] = 6
    Image.fromarray(deep).save(tmp_path / "deep.png")
    Image.fromarray(deep).save(tmp_path / "deep.tiff")
    colour.save(tmp_path / "turned.jpg", exif=exif)
    colour.save(tmp_path / "plain.webp")
    for wanted in part.inspect(tmp_path):
        with open(wanted.path, "rb") as file:  # noqa: PTH123
            (one,) = client.inspect(file.read()).json["images"]
        assert (one["score"], tuple(one["size"])) == (wanted.score, wanted.size)


def test_exported_models_are_served_too(mixed, tmp_path):
    pytest.importorskip("onnxruntime")
    for suffix in (".onnx", ".adlib"):
        shutil.copy(KEPT.with_suffix(suffix), tmp_path / f"part{suffix}")
    wanted = runtime.load(tmp_path / "part.onnx").score(mixed)
    with serving(tmp_path) as client:
        reply = client.inspect(png(mixed[-1]), "part.onnx")
        (one,) = reply.json["images"]
        assert one["score"] == float(wanted[-1])
        assert one["regions"] is None
        Answer.model_validate_json(reply.body)
        (one,) = client.inspect(png(mixed[-1])).json["images"]
        assert one["score"] == float(load(tmp_path / "part.adlib").score(mixed)[-1])


def test_equal_backbones_are_in_memory_once(client, part, good, tmp_path):
    part.save(tmp_path / "a.adlib")
    part.save(tmp_path / "b.adlib")
    from adlib.features import Backbone
    from adlib.serve import _models

    kept = Backbone.from_weights(
        part.backbone_.name,
        part.backbone_.state(),
        [stage.index for stage in part.backbone_.stages],
        part.backbone_.normalisation,
        "cpu",
    )
    models = _models.Models(tmp_path, device="cpu")
    models.refresh()
    a, b = (models.by_name[name].inspector for name in "ab")
    assert a.backbone_ is b.backbone_
    assert _models._key(kept) == _models._key(a.backbone_)
    other = Backbone(weights=None, random_state=0)
    assert _models._key(other) != _models._key(kept)


def test_what_is_no_request_is_refused_with_its_reason(client, mixed):
    image = png(mixed[0])
    reply = client.inspect(image, "nut")
    assert reply.status == 404
    assert reply.json["detail"].endswith("There are: part, screw.")
    reply = client.inspect(b'{"image": 1}', **{"Content-Type": "application/json"})
    assert reply.status == 415
    for body, headers in ((b"", {}), form()):
        reply = client.inspect(body, **headers)
        assert reply.status == 400
    body, headers = form(("1.png", image))
    reply = client.inspect(body[:-4], **headers)
    assert (reply.status, reply.json["detail"]) == (400, "The form is cut short.")
    reply = client.inspect(body, **{"Content-Type": "multipart/form-data"})
    assert (reply.status, reply.json["detail"]) == (
        400,
        "Missing boundary in multipart.",
    )
    assert client("GET", "/models/part/inspect").status == 405
    assert client("GET", "/").status == 404


def test_health_readiness_and_metrics(client):
    assert client("GET", "/health").json == {"status": "alive"}
    reply = client("GET", "/ready")
    assert reply.status == 200
    assert reply.json["ready"] is True
    assert set(reply.json["models"]) == {"part", "screw"}
    assert reply.json["missing"] == {}
    text = client("GET", "/metrics").body.decode()
    assert 'adlib_model_current{model="part"} 1.0' in text
    assert 'adlib_model_loads_total{model="screw",outcome="loaded"} 1.0' in text
    assert re.search(r"adlib_requests_waiting 0.0", text)


def test_the_page_needs_no_network_and_the_schema_is_openapi(client):
    text = client("GET", "/docs").body.decode()
    assert "POST /models/{name}/inspect" in text
    assert "REVIEW" in text
    assert not re.search(r"<script|<link|src=|https?://(?!HOST:PORT)", text)
    schema = client("GET", "/openapi.json").json
    assert schema["openapi"].startswith("3.")
    assert "image/*" in str(schema["paths"]["/models/{name}/inspect"]["post"])
