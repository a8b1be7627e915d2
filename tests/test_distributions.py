"""The wheel, and one made from the sdist, do alone what the repository does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.conftest import scratched, texture

ROOT = Path(__file__).parents[1]
PARTS = ("adlib/py.typed", "adlib/examples/config.yaml", "adlib/examples/run_all.py")

pytestmark = pytest.mark.slow


def run(*words, path=None, cwd=ROOT, timeout=600):
    """Run Python in a process of its own; return what it printed."""
    environment = {**os.environ, "PYTHONPATH": str(path or "")}
    done = subprocess.run(
        [sys.executable, *map(str, words)],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
        env=environment,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A folder with the wheel and the sdist."""
    folder = tmp_path_factory.mktemp("built")
    run("-m", "hatchling", "build", "-d", folder)
    return folder


@pytest.fixture(scope="module", params=["*.whl", "*.tar.gz"])
def installed(request, built, tmp_path_factory):
    """A folder that holds what pip installs of one of them, without dependencies."""
    (file,) = built.glob(request.param)
    folder = tmp_path_factory.mktemp("installed")
    options = ("--no-deps", "--no-build-isolation", "--no-index", "--quiet")
    run("-m", "pip", "install", *options, "--target", folder, file)
    return folder


def test_nothing_is_missing_and_nothing_too_much(installed):
    for name in PARTS:
        assert (installed / name).is_file()
    here = {
        path.relative_to(ROOT)
        for path in (ROOT / "adlib").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    there = {
        path.relative_to(installed)
        for path in (installed / "adlib").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert here <= there
    assert {path.parts[1] for path in there - here} == {"examples"}
    assert {path.name for path in installed.iterdir()} - {"bin", "__pycache__"} == {
        "adlib",
        next(installed.glob("*.dist-info")).name,
    }


def test_it_fits_scores_and_reports(installed, tmp_path):
    for seed in range(6):
        (tmp_path / "good").mkdir(exist_ok=True)
        Image.fromarray(texture(seed)).save(tmp_path / f"good/{seed}.png")
    (tmp_path / "new").mkdir()
    Image.fromarray(scratched(40)).save(tmp_path / "new/scratched.png")

    def adlib(*words):
        return run("-m", "adlib", *words, path=installed, cwd=tmp_path)

    where = run(
        "-c", "import adlib; print(adlib.__file__)", path=installed, cwd=tmp_path
    )
    assert Path(where.strip()).is_relative_to(installed)
    adlib("fit", "good", "-o", "part.adlib", "--image-size", "64", "--coreset", "0.2")
    adlib("score", "part.adlib", "new", "-o", "scores.csv", "--overlays", "maps")
    assert "scratched.png" in (tmp_path / "scores.csv").read_text()
    assert list((tmp_path / "maps").iterdir())
    assert "phase" in adlib("study", "--help")
    assert "solar cells" in adlib("demo", "--help")


@pytest.mark.parametrize("installed", ["*.whl"], indirect=True)
def test_the_demo_runs_from_the_wheel(installed, tmp_path):
    run("-m", "adlib", "demo", path=installed, cwd=tmp_path, timeout=2000)
    page = (tmp_path / "adlib-demo/index.html").read_text(encoding="utf-8")
    assert "<img" in page
