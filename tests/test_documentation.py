"""All code that README.md and the pages below docs show runs, or is marked as text.

A page's Python runs from top to bottom in one namespace and in a folder of its own, in
which the pictures lie that the pages speak of; its commands run there too, in this
process. Commands that install, download or take long are not run: what they name must
exist. Code that cannot run here stands in blocks of the language ``text``.
"""

from __future__ import annotations

import doctest
import re
import shlex
import shutil
import tomllib
from functools import cache
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import torch
import typer
import yaml
from PIL import Image
from threadpoolctl import threadpool_limits

from adlib import PaDiM, PatchCore
from adlib.cli import main
from adlib.cli._main import app, spread
from adlib.estimators import _detector
from adlib.features import Backbone, use_feature_cache
from adlib.study import Config, compare_conditions
from adlib.study._tables import figures, joined, row, write_figures, write_table
from tests.conftest import scratched, texture
from tests.markdown import DOCS, ROOT, Block, blocks, documentation, spans
from tests.study.conftest import scored

SMALL = 64  # pixels; pages that ask for no other size learn and score as quickly
CLASSES = ("carpet", "hazelnut", "zipper")
SHOWN = ("text", "mermaid")  # languages of blocks that nothing is done with
CODE_DIRECTIVES = ("{code}", "{code-block}", "{code-cell}", "{sourcecode}")
COMPARED = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
RUN = (("fit",), ("score",), ("watch",), ("export",), ("forget",), ("info",))
RUN = (*RUN, ("--version",), ("--config",), ("data", "verify"), ("monitor",))
RUN = (*RUN, ("accept",))
PIP_OPTIONS = ("-d", "-e", "-w", "--find-links", "--no-index", "--no-deps")
# By people who develop or deploy, and for formats that Pillow alone does not read.
ALSO_INSTALLED = (
    "pip",
    "pip-audit",
    "pre-commit",
    "pillow-heif",
    "pillow-jxl-plugin",
)
PYTEST_OPTIONS = ("-k", "-m", "-n", "-q", "-s", "-x")
ASV = ("machine", "run", "show", "compare")
MADE_ONCE = cache(Backbone)  # networks are frozen, and take longer to make than to run

pytestmark = pytest.mark.skipif(
    not DOCS.is_dir(), reason="a source distribution holds no docs"
)
LONG = ("howto.md",)  # pages that do a bit of everything
pages = pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, marks=pytest.mark.slow if page.name in LONG else ())
        for page in documentation()
    ],
    ids=lambda page: str(page.relative_to(ROOT)),
)


def save(image, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    """The folder that pages find themselves in.

    Parts as a user has them: good ones, others of which three are scratched, and what a
    camera sends; three classes of a data set in MVTec AD's layout; results of a study.
    """
    root = tmp_path_factory.mktemp("pictures")
    for i in range(20):
        save(texture(i), root / f"parts/good/{i:02}.png")
        save(texture(100 + i), root / f"parts/other_good/{i:02}.png")
    for i in range(3):
        save(texture(200 + i), root / f"parts/new/good_{i}.png")
        save(scratched(300 + i), root / f"parts/new/scratched_{i}.png")
        save(scratched(400 + i), root / f"parts/defects/{i}.png")
        save(texture(500 + i), root / f"camera/monday/{i}.png")
        save(scratched(600 + i), root / f"camera/tuesday/{i}.png")
    scratch = np.zeros((64, 64), np.uint8)
    scratch[30:34, 8:-8] = 255
    for number, name in enumerate(CLASSES):
        folder, seed = root / "data/raw/mvtec_ad" / name, 1000 * (number + 1)
        for i in range(10):
            save(texture(seed + i), folder / f"train/good/{i:03}.png")
        for i in range(4):
            save(texture(seed + 100 + i), folder / f"test/good/{i:03}.png")
            save(scratched(seed + 200 + i), folder / f"test/hole/{i:03}.png")
            save(scratch, folder / f"ground_truth/hole/{i:03}_mask.png")
    save_study(root / "outputs/results")
    return root


def save_study(results):
    """Write what a study leaves: figures and scores of two conditions."""
    clean = scored(np.arange(20.0) % 7, 3.0, [0, 1] * 10)
    dark = scored(np.arange(20.0) % 5, 3.0, [0, 1] * 10, condition="shifted")
    keys = {"condition": "clean", "method": "PaDiM", "class_": "nut"}
    found = joined(
        figures([row("auroc", 0.9), row("f1", 0.8)], **keys),
        compare_conditions(dark, clean),
    )
    write_figures(found, results / "clean_results.json")
    write_table(joined(clean, dark), results / "clean_scores.csv")


@pytest.fixture
def place(pictures, tmp_path, monkeypatch, tmp_path_factory):
    """A fresh copy of the pictures to work in, and detectors that are quick."""
    folder = tmp_path / "place"
    shutil.copytree(pictures, folder)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("ADLIB_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
    for kind in (PatchCore, PaDiM):
        monkeypatch.setitem(kind.__init__.__kwdefaults__, "image_size", SMALL)
    monkeypatch.setattr(_detector, "Backbone", MADE_ONCE)
    # Images are so small that threads would mostly wait for each other.
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with threadpool_limits(1):
        yield folder
    torch.set_num_threads(n_threads)
    use_feature_cache(None)  # a page may have set one


def run(page: Path) -> None:
    """Do what a page's blocks show, in order."""
    names = {"__name__": "__main__"}
    for block in blocks(page.read_text("utf-8")):
        where = f"{page}, line {block.line}"
        if block.language == "python":
            run_python(block, page, names)
        elif block.language == "pycon":
            run_pycon(block, page, names)
        elif block.language in ("", "shell"):
            run_commands(block, where)
        elif block.language == "toml":  # its first line names the file
            Path(block.code.partition("\n")[0].removeprefix("# ")).write_text(
                block.code, encoding="utf-8"
            )
        elif block.language == "yaml":  # all YAML there is configures the study
            Config.from_dict(yaml.safe_load(block.code), where)
        else:
            directive = block.language.split(" ")[0]
            told = directive.startswith("{") and directive not in CODE_DIRECTIVES
            assert told or directive in SHOWN, f"{where}: {block.language!r} is not run"


def run_python(block: Block, page: Path, names: dict) -> None:
    lines = "\n" * (block.line - 1)  # so that tracebacks name the page's
    exec(compile(lines + block.code, str(page), "exec", dont_inherit=True), names)


def run_pycon(block: Block, page: Path, names: dict) -> None:
    parser = doctest.DocTestParser()
    example = parser.get_doctest(
        block.code, names, page.name, str(page), block.line - 1
    )
    assert example.examples, f"{page}, line {block.line}: no >>> in it"
    told: list[str] = []
    runner = doctest.DocTestRunner(optionflags=COMPARED)
    found = runner.run(example, out=told.append, clear_globs=False)
    assert found.failed == 0, "".join(told)
    names.update(example.globs)


def run_commands(block: Block, where: str) -> None:
    text = block.code.replace("\\\n", " ")
    for line in text.splitlines():
        for words in commands(line):
            if words[0] == "adlib" and any(
                words[1 : 1 + len(name)] == list(name) for name in RUN
            ):
                given = words[1:]
                if given[0] == "fit" and "--image-size" not in given:
                    given += ["--image-size", str(SMALL)]
                wanted = (0, 3) if "--fail-on-anomaly" in given else (0,)
                assert main(given) in wanted, f"{where}: {line}"
            elif words[:2] == ["python", "-c"]:
                exec(compile(words[2], where, "exec", dont_inherit=True), {})
            else:
                check(words, where)


def commands(line: str) -> list[list[str]]:
    """Return the words of each command of a line, without what it sets for it."""
    found: list[list[str]] = [[]]
    for word in shlex.split(line, comments=True):
        if word == "&&":
            found.append([])
        elif found[-1] or not re.fullmatch(r"[A-Z_]+=.*", word):
            found[-1].append(word)
    return [words for words in found if words]


def check(words: list[str], where: str) -> None:
    """Look whether what a command names exists."""
    program, *rest = words
    where = f"{where}: {' '.join(words)}"
    if program == "adlib":
        check_adlib(rest, where)
    elif program == "pip":
        check_pip(rest, where)
    elif program == "python" and rest[0].startswith(("examples/", "benchmarks/")):
        check_script(ROOT / rest[0], rest[1:], where)
    elif program == "python" and rest[1].startswith("tests."):  # behind -m
        script = ROOT / f"{rest[1].replace('.', '/')}.py"
        check_script(script, rest[2:], where)
    elif program == "pytest":
        unknown = [word for word in options(rest) if word not in PYTEST_OPTIONS]
        assert not unknown, where
        paths = [word for word in rest if word.startswith(("tests", "benchmarks"))]
        assert all((ROOT / path).exists() for path in paths), where
    elif program == "asv":
        assert rest[0] in ASV, where
        assert (ROOT / "benchmarks/asv.conf.json").is_file()
    elif program == "cd":
        assert (ROOT / rest[0]).is_dir(), where
    else:
        assert words[:3] == ["python", "-m", "venv"], f"{where} is not known"


def options(words: list[str]) -> list[str]:
    return [word.partition("=")[0] for word in words if word.startswith("-")]


def check_adlib(words: list[str], where: str) -> None:
    command = typer.main.get_command(app)
    rest = spread(words)
    while hasattr(command, "commands") and rest and not rest[0].startswith("-"):
        assert rest[0] in command.commands, where
        command = command.commands[rest.pop(0)]
    known = {name for parameter in command.params for name in parameter.opts}
    assert set(options(rest)) <= known | {"--help"}, where


def check_pip(words: list[str], where: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    needed = [*project["dependencies"], *chain.from_iterable(extras.values())]
    names = {re.match(r"[\w-]+", one)[0] for one in needed} | set(ALSO_INSTALLED)
    assert words[0] in ("install", "download", "wheel"), where
    assert set(options(words)) <= set(PIP_OPTIONS), where
    previous = ""
    for word in words[1:]:
        requirement = re.fullmatch(r"(\.|[\w-]+)(?:\[([\w,-]+)\])?", word)
        if not word.startswith("-") and previous not in ("-d", "-w", "--find-links"):
            assert requirement is not None, where
            assert requirement[1] in {".", project["name"], *names}, where
            assert set((requirement[2] or "test").split(",")) <= extras.keys(), where
        previous = word


def check_script(script: Path, words: list[str], where: str) -> None:
    assert script.is_file(), where
    source = script.read_text("utf-8")
    if "Phase.start" in source or "config_from_arguments" in source:
        source += (ROOT / "adlib/study/_config.py").read_text("utf-8")
    missing = [name for name in options(words) if f'"{name}"' not in source]
    assert not missing, f"{where} has no {missing}"


@pages
@pytest.mark.slow
def test_what_a_page_shows_runs(page, place):
    run(page)


def test_the_reference_has_a_page_for_each_package():
    index = (DOCS / "api/index.md").read_text("utf-8")
    packages = {path.parent.name for path in ROOT.glob("adlib/[a-z]*/__init__.py")}
    missing = [name for name in packages - {"cli"} if f"   adlib.{name}\n" not in index]
    assert not missing


@pages
def test_commands_in_sentences_exist(page):
    for span in spans(page.read_text("utf-8")):
        if re.match(r"adlib [a-z-]|pip install|pytest |python (examples|bench)", span):
            for words in commands(span):
                check(words, str(page))


@pytest.mark.parametrize(
    ("text", "fragment"),
    [
        ("```bash\nls\n```", "'bash' is not run"),
        ("```{code-block} python\n1 / 0\n```", "is not run"),
        ("````{note}\n```\nrm -r parts\n```\n````", "rm -r parts is not known"),
        ("```\nadlib data download mvtec-ad --to there\n```", "--to there"),
        ("```\npip install -e '.[everything]'\n```", "everything"),
        ("```\npython benchmarks/loading.py FOLDER --fast\n```", "--fast"),
        ("```\npython examples/run_all.py && python examples/gone.py\n```", "gone.py"),
        ("```shell\nadlib info gone.adlib\n```", "adlib info gone.adlib"),
        ("```pycon\n>>> 1 + 1\n3\n```", "Expected"),
    ],
)
def test_what_cannot_be_right_is_found(text, fragment, place):
    page = place / "page.md"
    page.write_text(text)
    with pytest.raises(AssertionError, match=re.escape(fragment)):
        run(page)


def test_blocks_share_names_and_tell_their_lines(place):
    page = place / "page.md"
    page.write_text("```python\nx = 1\n```\n\n```pycon\n>>> x + 1\n2\n>>> y = x\n```\n")
    run(page)
    page.write_text("A page.\n\n```python\nx = 1\nassert x == 2\n```\n")
    with pytest.raises(AssertionError) as caught:
        run(page)
    assert (caught.traceback[-1].path, caught.traceback[-1].lineno + 1) == (page, 5)


def test_defaults_are_small_for_pages_alone(place):
    assert PatchCore().image_size == PaDiM().image_size == SMALL
