"""What people do with files works where Windows' rules hold (as_windows.py)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.conftest import scratched, texture

ROOT = Path(__file__).parents[1]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="it looks into Linux's /proc"),
]
BEGIN = """
from tests.as_windows import pretend
pretend()
import errno, os
from pathlib import Path
import numpy as np
import adlib
from adlib.cli import main
def run(*words):
    code = main([str(word) for word in words])
    assert code == 0, code
def fit(**options):
    set = dict(image_size=64, coreset=0.2, device="cpu", progress=False) | options
    return adlib.PatchCore(**set).fit("good")
"""
DONE = {
    "a model is written over the file that it came from": """
fit().save("part.adlib")
loaded = adlib.load("part.adlib")
before = loaded.score("new")
loaded.save("part.adlib")
again = adlib.load("part.adlib")
again.forget(["good/0.png"])
again.save("part.adlib")
assert (loaded.score("new") == before).all()
""",
    "patches that lie in files are gone afterwards": """
model = fit(cache="patches")
assert (model.score("new") == fit().score("new")).all()
assert os.listdir("patches") == ["patches.lock"]
""",
    "folders are scored twice, with overlays": """
for _ in range(2):
    run("fit", "good", "-o", "part.adlib", "--image-size", 64, "--coreset", 0.2)
    run("score", "part.adlib", "new", "-o", "scores.csv", "--overlays", "maps")
assert len(os.listdir("maps")) == 3
""",
    "a folder is watched, its images moved, on a disk without links": """
def refused(*_):
    raise OSError(errno.EPERM, "Operation not permitted")
os.link = refused
model = fit(false_positive_rate=0.2)
model.save("part.adlib")
run("watch", "new", "-m", "part.adlib", "-o", "results.db", "--move-to", "judged",
    "--csv", "results.csv", "--settle", 0, "--once")
assert len([one for one in Path("judged").rglob("*") if one.is_file()]) == 3
""",
    "a model is exported, over an export that is open": """
model = fit()
model.export("part.onnx")
from adlib.runtime import load
exported = load("part.onnx")
before = exported.score("new")
model.export("part.onnx")
assert (exported.score("new") == before).all()
""",
    "keys of a service are made and withdrawn": """
for name in ("line", "other"):
    run("serve", "--keys", "keys.txt", "--new-key", name)
assert len(Path("keys.txt").read_text(encoding="utf-8").splitlines()) >= 2
""",
}
REFUSED = {
    "file = open('a'); os.unlink('a')": "PermissionError",
    "file = np.memmap('a', mode='r'); os.replace('b', 'a')": "PermissionError",
    "file = open('a'); Path('a').rename('c')": "PermissionError",
    "os.open('.', os.O_RDONLY)": "PermissionError",
    "os.fsync(open('a'))": "OSError",
    "Path('a:b').write_text('', encoding='utf-8')": "OSError",
    "open('con.png', 'w')": "OSError",
    "os.fork()": "AttributeError",
}


@pytest.fixture
def place(tmp_path):
    """A folder with images of good parts, and of new ones."""
    for folder, seeds in (("good", range(6)), ("new", range(40, 42))):
        (tmp_path / folder).mkdir()
        for seed in seeds:
            Image.fromarray(texture(seed)).save(tmp_path / folder / f"{seed}.png")
    Image.fromarray(scratched(50)).save(tmp_path / "new/scratched.png")
    return tmp_path


def python(code, place):
    """Run code in a process; return it when it has ended."""
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=place,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )


@pytest.mark.parametrize("what", DONE)
def test_it_is_done_under_the_rules_of_windows(what, place):
    done = python(BEGIN + DONE[what], place)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_imitation_refuses_what_windows_does(tmp_path):
    for name in "ab":
        (tmp_path / name).write_text("some text", encoding="utf-8")
    lines = [
        f"with suppress({refusal}):\n    {code}\n    print({code!r})"
        for code, refusal in REFUSED.items()
    ]
    code = "\n".join([BEGIN, "from contextlib import suppress", *lines])
    done = python(code, tmp_path)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr
