"""The notebooks hold the scripts, each cell once, and keep what their cells showed."""

from __future__ import annotations

import ast
import base64
import io
import os
import shutil
import sys
from collections import Counter

import pandas as pd
import psutil
import pytest
from PIL import Image

from adlib.datasets import demo_root
from adlib.study import Config, PhaseError, read_figures, run_study
from adlib.study._notebooks import (
    BESIDE,
    NOTEBOOKS,
    library,
    new_pictures,
    script_cells,
    write_notebooks,
)
from adlib.study._run_study import phase_scripts

CELLS = {
    path.stem: script_cells(path.read_text(encoding="utf-8"))
    for path in phase_scripts()
}
TIMED = "seconds|megabytes"  # model files hold the paths of their images
STARTUP = """
from functools import partial
import sklearn.manifold
sklearn.manifold.TSNE = partial(sklearn.manifold.TSNE, max_iter=250)
"""


def needed(*names):
    """Skip a test where the extra is not installed."""
    for name in names:
        pytest.importorskip(name, reason="the extra notebooks is not installed")


def test_ten_notebooks_hold_every_cell_of_the_scripts_once():
    held = Counter()
    for parts in NOTEBOOKS.values():
        for stem, chosen in parts.items():
            n_others = len(CELLS[stem]) - 1
            held.update((stem, i) for i in chosen or range(1, n_others + 1))
    every = {(stem, i) for stem, own in CELLS.items() for i in range(1, len(own))}
    assert held == Counter(every)
    numbers = [name[:2] for name in NOTEBOOKS]
    assert numbers == [f"{number:02}" for number in range(1, 11)]
    assert BESIDE.keys() <= NOTEBOOKS.keys()


@pytest.mark.parametrize("script", phase_scripts(), ids=lambda path: path.stem)
def test_cells_hold_all_the_code_and_all_the_words(script):
    cells = CELLS[script.stem]
    joined = ast.parse("\n".join(cell.code for cell in cells))
    whole = ast.parse(script.read_text(encoding="utf-8"))
    assert ast.dump(joined) == ast.dump(ast.Module(whole.body[1:], []))
    title = ast.get_docstring(whole).partition("\n")[0]
    assert cells[0].text.startswith(f"## {title}")
    for cell in cells[1:]:
        assert cell.text
        assert not cell.text.startswith("#")
        assert cell.code.splitlines()[0][0] != "#"


def test_notebooks_are_the_same_whenever_they_are_written(tmp_path):
    needed("nbformat")
    import nbformat

    config, outputs = tmp_path / 'a "config".yaml', tmp_path / "outputs"
    written = [
        write_notebooks(phase_scripts(), config, outputs, tmp_path / folder)
        for folder in ("one", "other")
    ]
    for one, other in zip(*written, strict=True):
        assert one.read_bytes() == other.read_bytes()
        notebook = nbformat.read(one, as_version=4)
        nbformat.validate(notebook)
        for cell in notebook.cells:
            if cell.cell_type == "code":
                ast.parse(cell.source)
        assert repr(str(config)) in notebook.cells[1].source
    assert [path.stem for path in written[0]] == list(NOTEBOOKS)


def test_pictures_are_new_when_they_are_written_and_only_then(tmp_path):
    seen = {}
    (tmp_path / "phase01").mkdir()
    first, second = tmp_path / "phase01/b.png", tmp_path / "a.png"
    for path, time in ((first, 1), (second, 2)):
        path.touch()
        os.utime(path, ns=(time, time))
    (tmp_path / "b.json").touch()
    assert new_pictures(tmp_path, seen) == [first, second]
    assert new_pictures(tmp_path, seen) == []
    os.utime(first, ns=(3, 3))
    assert new_pictures(tmp_path, seen) == [first]


def test_a_missing_package_is_named_with_its_extra_before_any_work(
    tmp_path, monkeypatch
):
    monkeypatch.setitem(sys.modules, "nbclient", None)
    config = Config.from_dict({"paths": {"outputs": tmp_path / "outputs"}})
    with pytest.raises(ImportError, match=r"'nbclient'.*adlib-vision\[notebooks\]"):
        run_study(config, notebooks=True)
    assert not (tmp_path / "outputs").exists()
    with pytest.raises(ImportError, match="notebooks"):
        library("nbclient")


@pytest.fixture
def kernel(tmp_path, monkeypatch):
    """Kernels without the user's profile."""
    needed("ipykernel", "nbclient")
    startup = tmp_path / "ipython/profile_default/startup"
    startup.mkdir(parents=True)
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    return startup


@pytest.fixture
def steps(tmp_path, kernel, monkeypatch):
    """A study of two notebooks, of which the second does as it is told."""

    def run(second, **options):
        def write(scripts, config, outputs, folder):
            folder.mkdir(parents=True, exist_ok=True)
            places = [folder / "01_one.ipynb", folder / "02_other.ipynb"]
            for place, code in zip(places, ("1 + 1", second), strict=True):
                text = NOTEBOOK.replace("CODE", code.replace("\n", "\\n"))
                place.write_text(text)
            return places

        monkeypatch.setattr("adlib.study._run_study.write_notebooks", write)
        for place in ("train/good", "test/good", "test/hole"):
            folder = tmp_path / "set/tile" / place
            folder.mkdir(parents=True, exist_ok=True)
            if not (folder / "0.png").exists():
                Image.new("L", (8, 8)).save(folder / "0.png")
        paths = ("processed", "shifted", "outputs")
        values = {"data": {"root": "set"}, "paths": {name: name for name in paths}}
        monkeypatch.chdir(tmp_path)
        said = []
        config = Config.from_dict(values)
        runs = run_study(config, notebooks=True, say=said.append, **options)
        return "".join(state[0] for state in runs["state"])

    return run, tmp_path / "outputs"


NOTEBOOK = """
{"cells": [{"cell_type": "code", "execution_count": null, "id": "a", "metadata": {},
"outputs": [], "source": "CODE"}], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
"""


def outputs_of(path):
    import nbformat

    return [
        output
        for cell in nbformat.read(path, as_version=4).cells
        for output in cell.get("outputs", [])
    ]


@pytest.mark.slow
def test_a_notebook_is_kept_with_what_it_showed_or_with_its_error(steps):
    run, outputs = steps
    with pytest.raises(PhaseError, match=r"02_other failed .*ValueError: no <model>"):
        run("print('so far')\nraise ValueError('no <model>')")
    assert psutil.Process().children(recursive=True) == []  # no kernel lives on
    (shown,) = outputs_of(outputs / "notebooks/01_one.ipynb")
    assert shown.data["text/plain"] == "2"
    printed, error = outputs_of(outputs / "notebooks/02_other.ipynb")
    assert (printed.text, error.evalue) == ("so far\n", "no <model>")
    assert run("2 + 2") == "kr"  # the first is kept
    assert run("2 + 2") == "kk"
    (outputs / "notebooks/01_one.ipynb").unlink()
    assert run("2 + 2") == "rr"


@pytest.mark.slow
def test_a_kernel_that_ends_is_an_error_that_says_where_it_wrote(steps):
    run, outputs = steps
    with pytest.raises(PhaseError, match=r"the end of its kernel; see .*02_other\.txt"):
        run("import os; os.write(2, b'killed'); os._exit(9)")
    assert (outputs / "notebooks/02_other.ipynb").exists()


@pytest.fixture
def tiny(tmp_path):
    """Two classes of the demo set with few images, in MVTec AD's layout."""
    whole, root = demo_root(), tmp_path / "tiny"
    parts = {"train/good": 10, "test/good": 4, "test/crack": 4, "test/hole": 4}
    for name in ("brick", "grass"):
        for part, n_images in parts.items():
            images = sorted((whole / name / part).glob("*.png"))[:n_images]
            (root / name / part).mkdir(parents=True)
            for image in images:
                shutil.copy(image, root / name / part)
            if "good" not in part:
                masks = f"{name}/ground_truth/{images[0].parent.name}"
                (root / masks).mkdir(parents=True)
                for image in images:
                    mask = whole / masks / f"{image.stem}_mask.png"
                    shutil.copy(mask, root / masks)
    return root


@pytest.mark.slow
def test_the_notebooks_give_the_results_of_the_scripts(
    tiny, kernel, tmp_path, monkeypatch
):
    (kernel / "00.py").write_text(STARTUP)
    values = {
        "data": {"root": tiny},
        "backbone": {"image_size": 64},
        "ablation": {"n_training": 4, "n_judged": 4},
    }
    monkeypatch.chdir(tmp_path)
    runs = run_study(Config.from_dict(values), notebooks=True, say=lambda line: None)
    assert list(runs["phase"]) == list(NOTEBOOKS)
    outputs = tmp_path / "outputs"
    folder = outputs / "notebooks"
    assert {path.stem for path in folder.iterdir()} == set(NOTEBOOKS)
    shown = {name: outputs_of(folder / f"{name}.ipynb") for name in NOTEBOOKS}
    pictures = [
        output.data["image/jpeg"]
        for own in shown.values()
        for output in own
        if "image/jpeg" in output.get("data", {})
    ]
    assert len(pictures) == len(list(outputs.glob("**/*.png")))
    for picture in pictures:
        with Image.open(io.BytesIO(base64.b64decode(picture))) as image:
            assert image.width < 1200
    for name, own in shown.items():
        assert "error" not in {output.output_type for output in own}
        assert "stderr" not in {output.get("name") for output in own}
        cards = [o for o in own if o.output_type == "execute_result"]
        assert len(cards) >= len(BESIDE.get(name, [])) - 1, name
    assert (outputs / "report/report.pdf").exists()
    # Some scripts beside them; their cells are those of the notebooks.
    beside = tmp_path / "beside"
    beside.mkdir()
    monkeypatch.chdir(beside)
    alone = ("phase00_setup", "phase01_explore_and_split", "phase04_padim_clean")
    scripts = [path for path in phase_scripts() if path.stem in alone]
    run_study(Config.from_dict(values), scripts=scripts, say=lambda line: None)
    ours, theirs = read_figures(outputs), read_figures(beside / "outputs")
    ours = ours[ours["phase"].isin(alone)]
    pd.testing.assert_frame_equal(untimed(ours), untimed(theirs))


def untimed(figures):
    return figures[~figures["metric"].str.contains(TIMED)].reset_index(drop=True)
