"""adlib.runtime needs NumPy, Pillow and ONNX Runtime alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.models.make import bytes_of_images

ROOT = Path(__file__).parents[2]
MODELS = ROOT / "tests/models"
MOST_BYTES = 400e6  # installed
SCORE = """
import json, sys, time
began = time.perf_counter()
from adlib import runtime
model = runtime.load(sys.argv[1])
found = []
for one in model.inspect(sys.argv[2]):
    if not found:
        print(f"first score after {time.perf_counter() - began:.2f} s", file=sys.stderr)
    found.append([one.score, one.verdict, list(one.worst_pixel), one.map[15].tolist()])
wrong = {"torch", "timm", "numba", "scipy", "sklearn", "joblib", "onnx", "rich"}
assert not wrong & set(sys.modules), wrong & set(sys.modules)
print(json.dumps(found))
"""


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for i, image in enumerate(bytes_of_images()):
        Image.fromarray(image).save(folder / f"{i}.png")
    return folder


def results(python, images, **environment):
    """What a Python of another environment says of a folder of images."""
    command = [python, "-c", SCORE, str(MODELS / "patchcore-0.1.0.onnx"), str(images)]
    variables = {k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"}
    run = subprocess.run(
        command,
        check=False,
        capture_output=True,
        text=True,
        env=variables | environment,
    )
    assert run.returncode == 0, run.stderr
    print(run.stderr)  # the time to the first score
    return json.loads(run.stdout)


def as_kept(found):
    wanted = json.loads((MODELS / "scores-0.1.0.json").read_text())["patchcore"]
    scores, verdicts, pixels, rows = zip(*found, strict=True)
    np.testing.assert_allclose(scores, wanted["exported_scores"], rtol=1e-4)
    assert list(verdicts) == wanted["exported_verdicts"]
    assert list(pixels) == wanted["exported_pixels"]
    np.testing.assert_allclose(rows[0], wanted["exported_map"], rtol=1e-3)


def test_nothing_heavy_is_imported_where_it_is_there(images):
    # With the variable, cores are not counted, for which joblib is asked if it is here.
    as_kept(results(sys.executable, images, OMP_NUM_THREADS="1"))


@pytest.mark.slow
def test_a_fresh_environment_needs_three_packages(images, tmp_path):
    place = tmp_path / "environment"
    venv.create(place, with_pip=True)
    python = place / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    install = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    clean = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    for words in (["numpy", "pillow", "onnxruntime"], ["--no-deps", str(ROOT)]):
        run = subprocess.run(
            [*install, *words], check=False, capture_output=True, text=True, env=clean
        )
        if run.returncode and "No matching distribution" in run.stderr:
            pytest.skip(f"pip cannot reach packages: {run.stderr[-200:]}")
        assert run.returncode == 0, run.stderr
    size = sum(file.stat().st_size for file in place.rglob("*") if file.is_file())
    print(f"{size / 1e6:.0f} MB installed")
    assert size < MOST_BYTES
    as_kept(results(python, images, PYTHONPATH=""))


def test_the_command_scores_where_only_its_own_packages_are_added(images):
    code = (
        "import sys\n"
        "for name in ('torch', 'timm', 'numba', 'scipy', 'sklearn', 'joblib', 'onnx',\n"
        "             'imagecodecs', 'tifffile', 'safetensors', 'contourpy'):\n"
        "    sys.modules[name] = None\n"
        "from adlib.cli import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    model = str(MODELS / "patchcore-0.1.0.onnx")
    command = [sys.executable, "-c", code, "score", model, str(images)]
    run = subprocess.run(command, check=False, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    wanted = json.loads((MODELS / "scores-0.1.0.json").read_text())["patchcore"]
    scores = [float(row.split(",")[1]) for row in run.stdout.splitlines()[1:]]
    np.testing.assert_allclose(scores, wanted["exported_scores"], rtol=1e-4)
