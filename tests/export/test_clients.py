"""The clients in C++, node and the browser score as ``adlib.runtime`` does.

Each is skipped where its tools are not installed: see its README.md.
"""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import threading
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image, ImageCms, PngImagePlugin

from adlib import PaDiM, PatchCore, runtime
from adlib.export._export import LOWEST_TORCH
from tests.conftest import scratched, texture

CLIENTS = Path(__file__).parents[2] / "clients"
CORNER = 40  # of a picture that is no square
QUICK = {
    "backbone": "test_byobnet",
    "weights": None,
    "image_size": (64, 96),
    "progress": False,
    "device": "cpu",
}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not CLIENTS.is_dir(), reason="a source distribution holds no clients"
    ),
    pytest.mark.skipif(
        torch.__version__ < LOWEST_TORCH, reason=f"export needs torch {LOWEST_TORCH}"
    ),
]


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@contextmanager
def served(folder):
    """Serve a folder on this machine; yield the address."""
    handler = partial(Quiet, directory=folder)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/"
        finally:
            server.shutdown()
            thread.join()


def tool(*names):
    """Return the path of the first of some programs that is there, or skip."""
    found = next(filter(None, map(shutil.which, names)), None)
    return found or pytest.skip(f"there is no {' or '.join(names)}")


def ran(*command, **options):
    command = [str(part) for part in command]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=300, check=False, **options
    )


def node(client):
    program = tool("node")
    if not (CLIENTS / client / "node_modules").is_dir():
        pytest.skip(f"clients/{client} has no node_modules: run npm install there")
    return program


@pytest.fixture(scope="module", params=["cpp", "node", "browser"])
def client(request, tmp_path_factory):
    """Return what runs one client on a model and images, and where it writes maps."""
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "node":
        script = CLIENTS / "node" / "score.mjs"
        yield partial(ran, node("node"), script, "--maps", folder), folder
    elif request.param == "browser":
        program = node("browser")
        environment = os.environ | {"CHROMIUM": tool("chromium", "google-chrome")}
        script, picture = CLIENTS / "browser" / "check.mjs", folder / "page.png"
        with served(CLIENTS / "browser") as address:
            place = ["--maps", folder, address, picture]
            yield partial(ran, program, script, *place, env=environment), folder
    else:
        cmake = tool("cmake")
        tool("g++", "clang++")
        spec = find_spec("openvino")
        if spec is None or spec.origin is None:
            pytest.skip("openvino is not installed")
        at = Path(spec.origin).parent / "cmake"
        sources = CLIENTS / "cpp"
        made = ran(cmake, "-S", sources, "-B", folder, f"-DOpenVINO_DIR={at}")
        if made.returncode:
            pytest.skip(f"libraries of the C++ client are missing: {made.stderr}")
        made = ran(cmake, "--build", folder)
        assert not made.returncode, made.stdout + made.stderr
        yield partial(ran, folder / "score", "--maps", folder), folder


@pytest.fixture(scope="module")
def model(good, others, tmp_path_factory):
    path = tmp_path_factory.mktemp("exported") / "part.onnx"
    detector = PatchCore(coreset=0.4, **QUICK).fit(good)
    detector.calibrate(others, false_positive_rate=0.3).export(path)
    return path


def coloured(seed):
    """Return a smooth picture in colour, not square, its corner darker."""
    planes = [texture(seed + i, 128)[:120, :90] for i in range(3)]
    image = np.stack(planes, axis=2)
    image[:CORNER, : CORNER // 2] //= 2
    return Image.fromarray(image)


def odd_profile():
    """Return a colour profile with red and blue exchanged."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for old, new in ((b"rXYZ", b"...."), (b"bXYZ", b"rXYZ"), (b"....", b"bXYZ")):
        profile = profile.replace(old, new)
    return profile


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Return files in which decoders may differ."""
    folder = tmp_path_factory.mktemp("pictures, some")
    image = coloured(50)
    Image.fromarray(texture(40)).save(folder / "grey.png")
    Image.fromarray(scratched(41)).save(folder / "scratched.png")
    Image.fromarray(texture(42)).convert("1").save(folder / "bits.png")
    image.save(folder / "colour.png")
    image.convert("P").save(folder / "palette.png")
    image.convert("RGBA").save(folder / "opaque.png")
    gamma = PngImagePlugin.PngInfo()
    gamma.add(b"gAMA", (100_000).to_bytes(4, "big"))
    image.save(folder / "gamma.png", pnginfo=gamma)
    image.save(folder / "profile.png", icc_profile=odd_profile())
    image.save(folder / "profile.jpg", icc_profile=odd_profile(), quality=95)
    Image.fromarray(texture(43)).save(folder / "grey.jpg")
    image.save(folder / "progressive.jpg", progressive=True)
    for subsampling in ("4:4:4", "4:2:2", "4:2:0"):
        name = f"sampled_{subsampling.replace(':', '')}.jpg"
        image.save(folder / name, subsampling=subsampling, quality=80)
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[ExifTags.Base.Orientation] = orientation
        image.save(folder / f"turned_{orientation}.jpg", exif=exif)
        image.save(folder / f"turned_{orientation}.png", exif=exif)
    return sorted(folder.iterdir())


def test_a_client_scores_as_adlib_does(client, model, pictures):
    run, folder = client
    found = run(model, *pictures)
    assert not found.returncode, found.stderr
    rows = list(csv.DictReader(found.stdout.splitlines()))
    assert [Path(row["path"]).name for row in rows] == [path.name for path in pictures]
    verdicts = {"normal": 1, "anomalous": -1}
    wanted = list(runtime.load(model).inspect(pictures))
    assert {result.verdict for result in wanted} == {1, -1}
    for i, (row, result) in enumerate(zip(rows, wanted, strict=True)):
        # Pixels that differ by one step in a few places change scores by 1e-3.
        assert float(row["score"]) == pytest.approx(result.score, rel=1e-5), row
        assert verdicts[row["verdict"]] == result.verdict, row
        assert float(row["ms"]) > 0
        drawn = np.fromfile(folder / f"{i}.f32", np.float32)
        np.testing.assert_allclose(drawn, result.map.ravel(), rtol=1e-4)


@pytest.mark.parametrize(
    "detector",
    [
        PatchCore(coreset=0.9, aggregation="reweighted", **QUICK),
        PaDiM(aggregation="map_max", **QUICK),
    ],
    ids=["reweighted", "PaDiM"],
)
def test_a_client_runs_every_kind_of_graph(client, detector, good, pictures, tmp_path):
    path = tmp_path / "part.onnx"
    detector.fit(good).export(path)
    found = client[0](path, *pictures[:3])
    assert not found.returncode, found.stderr
    rows = list(csv.DictReader(found.stdout.splitlines()))
    wanted = runtime.load(path).score(pictures[:3])
    assert [float(row["score"]) for row in rows] == pytest.approx(wanted, rel=1e-5)
    assert {row["verdict"] for row in rows} == {""}  # there is no threshold


def test_a_client_refuses_what_it_cannot_score(client, model, pictures, tmp_path):
    whole = (pictures[0].parent / "colour.png").read_bytes()
    jpeg = (pictures[0].parent / "grey.jpg").read_bytes()
    deep = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    Image.new("CMYK", (64, 64)).save(tmp_path / "cmyk.jpg")
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "short.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "short.jpg").write_bytes(jpeg[: len(jpeg) // 2])
    for path in sorted(tmp_path.iterdir()):
        found = client[0](model, path)
        assert found.returncode == 1, path
        assert found.stdout == "path,score,verdict,ms\n"
        assert f"{path.name} cannot be used: " in found.stderr


def test_a_client_refuses_what_is_no_model(client, model, pictures, tmp_path):
    content = model.read_bytes()
    (tmp_path / "short.onnx").write_bytes(content[: len(content) // 2])
    (tmp_path / "text.onnx").write_text("no model")
    for path in sorted(tmp_path.iterdir()):
        found = client[0](path, pictures[0])
        assert found.returncode == 1, path
        assert f"{path.name} cannot be used: " in found.stderr
