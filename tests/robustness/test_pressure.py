"""Little memory, a full disk, many threads, Ctrl-C, a stuck file system."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from adlib import PatchCore
from adlib.estimators._patches import _embed_alone, _embed_in_parts
from tests.conftest import texture

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="limits are POSIX's")
ROOT = Path(__file__).parents[2]


def run(code, *arguments, **options):
    """Run code in a Python of its own; return what it printed as JSON."""
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        **options,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


class Crowded:
    """Stands for a GPU with room for so many images."""

    def __init__(self, room):
        self.room = room
        self.asked = []

    def __call__(self, images):
        self.asked.append(len(images))
        if len(images) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return images.sum(dim=1, keepdim=True).permute(0, 2, 3, 1)


def test_a_gpu_without_room_gets_half_the_batch_and_half_again():
    images = np.random.default_rng(0).random((11, 3, 4, 5), dtype=np.float32)
    crowded = Crowded(3)
    found = _embed_in_parts(images, crowded)
    np.testing.assert_array_equal(found, _embed_alone(images, Crowded(99)))
    assert crowded.asked == [11, 5, 2, 3, 6, 3, 3]


def test_no_room_for_one_image_is_what_torch_says():
    crowded = Crowded(0)
    with pytest.raises(torch.OutOfMemoryError):
        _embed_in_parts(np.zeros((4, 3, 2, 2), np.float32), crowded)
    assert crowded.asked == [4, 2, 1]


def test_eight_threads_score_one_model(fitted, mixed):
    expected, maps = fitted.score(mixed), fitted.anomaly_maps(mixed)
    before = set(threading.enumerate())
    start = threading.Barrier(8)

    def score(number):
        start.wait()
        part = np.roll(mixed, number, axis=0)
        return (
            np.roll(fitted.score(part), -number),
            np.roll(fitted.anomaly_maps(part), -number, axis=0),
        )

    with ThreadPoolExecutor(8) as pool:
        for scores, drawn in pool.map(score, range(8)):
            np.testing.assert_array_equal(scores, expected)
            np.testing.assert_array_equal(drawn, maps)
    assert set(threading.enumerate()) <= before


LIMITED = """
import json, resource, sys
import numpy as np
from adlib import PaDiM, PatchCore

def images(n):
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (n, 160, 160), dtype=np.uint8)

def held():
    return 1024 * int(next(
        line.split()[1] for line in open("/proc/self/status") if "VmSize" in line
    ))

options = {"image_size": 160, "progress": False, "n_workers": 2}
if sys.argv[1] == "PatchCore":
    model = PatchCore(coreset=0.01, **options)  # to select more takes time, not memory
else:
    model = PaDiM(**options)
model.fit(images(24)).score(images(24))  # threads, compiled code, the network
stated = int(sys.argv[2])
limit = held() + stated
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
n_images = 600
given = images(n_images)
scores = model.fit(given).score(given[:120])
print(json.dumps(bool(np.isfinite(scores).all())))
"""
N_PATCHES, N_FEATURES = 600 * 20 * 20, 152
ALL_PATCHES = N_PATCHES * N_FEATURES * 4  # bytes in float32
IMAGES = 600 * 160 * 160  # bytes that the caller holds


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")
@pytest.mark.parametrize(
    ("kind", "stated"),
    [
        # All patches once, a fifth of that beside them, and what a batch takes.
        ("PatchCore", int(1.2 * ALL_PATCHES) + IMAGES + 100_000_000),
        # A covariance a position, whatever the number of images.
        ("PaDiM", 3 * 400 * N_FEATURES**2 * 4 + IMAGES + 100_000_000),
    ],
)
def test_fit_and_score_keep_within_the_stated_memory(kind, stated):
    assert run(LIMITED, kind, stated)


FULL = """
import json, resource, signal, sys, warnings
from pathlib import Path
import adlib
from adlib.cli import main
from adlib.datasets import create_clean_split, generate_shifted_set, read_samples
from adlib.features import FeatureCache, use_feature_cache
from adlib.study._tables import write_json

folder = Path(sys.argv[1])
model = adlib.load(folder / "part.adlib")
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # as a full disk: an error, no signal
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
said = []

def attempt(work):
    try:
        work()
        said.append("no error")
    except OSError as error:
        said.append(str(error))

attempt(lambda: model.save(folder / "new.adlib"))
attempt(lambda: model.save(folder / "part.adlib"))
attempt(lambda: write_json({"a": "x" * 9000}, folder / "results.json"))
split = create_clean_split(read_samples(folder / "data"), "tile")
attempt(lambda: generate_shifted_set(
    [split], folder / "data", folder / "shifted", folder / "shifted.json"
))
command = ["score", str(folder / "part.adlib"), str(folder / "data"), "-o"]
said.append(main([*command, str(folder / "table.csv")]))
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    use_feature_cache(FeatureCache(folder / "cache", 10**9))
    model.score(folder / "data")
said.append(" ".join(str(warning.message) for warning in caught))
print(json.dumps(said))
"""


@POSIX
@pytest.mark.slow
def test_a_full_disk_is_a_clear_error_and_leaves_no_debris(fitted, tmp_path):
    for place in ("train/good", "test/good", "test/hole"):
        images = tmp_path / "data/tile" / place
        images.mkdir(parents=True)
        for number in range(12):
            image = Image.fromarray(texture(number, 128))
            image.save(images / f"{number:02}{'long' * 20}.png")
    fitted.save(tmp_path / "part.adlib")
    before = (tmp_path / "part.adlib").read_bytes()
    new, old, json_said, shifted, code, cache = run(FULL, tmp_path)
    for said in (new, old):
        assert "could not be written" in said
        assert "untouched" in said
    assert "File too large" in json_said
    assert "File too large" in shifted
    assert code == 1
    assert "features are computed, and no longer kept" in cache
    assert (tmp_path / "part.adlib").read_bytes() == before
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    names = {path.name for path in written if "data" not in path.parts}
    assert names <= {"part.adlib", "shift.json"}


SLOW = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # shells may have it ignored
import numpy as np
import adlib
from adlib.cli import main
{body}
"""
SCORING = """
model = adlib.load(sys.argv[1])
def images():
    print("begun", flush=True)
    while True:
        yield np.zeros((640, 640), np.uint8)
for result in model.inspect(images()):
    pass
"""
FITTING = """
def images():
    print("begun", flush=True)
    while True:
        yield np.zeros((640, 640), np.uint8)
adlib.PatchCore(progress=False).fit(images())
"""
SELECTING = """
from adlib.neighbors import greedy_coreset
X = np.random.default_rng(0).random((400_000, 64), dtype=np.float32)
greedy_coreset(X[:2000], 100)
print("begun", flush=True)
greedy_coreset(X, 200_000)
"""
COMMAND = """
print("begun", flush=True)
sys.exit(main(["score", sys.argv[1], sys.argv[2], "-o", sys.argv[2] + "/t.csv"]))
"""
STUDYING = """
from pathlib import Path
from adlib.study import Config, run_study
folder = Path(sys.argv[2])
script = folder / "phase00_sleep.py"
script.write_text("import time; time.sleep(99)")
paths = {name: folder / name for name in ("processed", "shifted", "outputs")}
config = Config.from_dict({"data": {"root": folder / "data"}, "paths": paths})
print("begun", flush=True)
run_study(config, scripts=[script])
"""
BODIES = {
    "score": SCORING,
    "fit": FITTING,
    "coreset": SELECTING,
    "command": COMMAND,
    "study": STUDYING,
}


@POSIX
@pytest.mark.slow
@pytest.mark.parametrize("body", BODIES)
def test_an_interrupt_ends_everything_within_a_second(body, fitted, tmp_path):
    for place in ("train/good", "test/good", "test/hole"):
        (tmp_path / "data/tile" / place).mkdir(parents=True)
        Image.fromarray(texture(0)).save(tmp_path / "data/tile" / place / "0.png")
    for number in range(400 if body == "command" else 0):
        (tmp_path / f"{number:03}.png").symlink_to("data/tile/train/good/0.png")
    fitted.save(tmp_path / "part.adlib")
    code = SLOW.replace("{body}", BODIES[body])
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "part.adlib"), str(tmp_path)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    assert child.stdout.readline() == b"begun\n"
    time.sleep(0.7)
    begun = time.monotonic()
    child.send_signal(signal.SIGINT)  # to it alone: it must end its own
    child.communicate(timeout=30)
    seconds = time.monotonic() - begun
    assert child.returncode != 0
    with pytest.raises(ProcessLookupError):
        os.killpg(child.pid, 0)  # nobody of its session is left
    assert not list(tmp_path.rglob("*.tmp"))
    assert not (tmp_path / "t.csv").exists()
    print(f"{body}: ended after {seconds:.2f} s")
    assert seconds < 10  # a second where the machine is idle; here others may work


GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
SHARE_OF_A_GPU = """
import json
import numpy as np
import torch
from adlib import PatchCore

images = np.random.default_rng(0).integers(0, 256, (96, 160, 160), dtype=np.uint8)
model = PatchCore(image_size=160, coreset=0.02, progress=False, device="cuda")
model.fit(images[:8])
expected = model.set_params(batch_size=1).score(images)
torch.cuda.empty_cache()
room = torch.cuda.memory_reserved() + 100 * 2**20
total = torch.cuda.get_device_properties(0).total_memory
torch.cuda.set_per_process_memory_fraction(room / total)
found = model.set_params(batch_size=96).score(images)
stats = torch.cuda.memory_stats()
print(json.dumps([stats["num_ooms"], float(np.abs(found / expected - 1.0).max())]))
"""


@pytest.mark.gpu
@GPU
def test_a_real_gpu_without_room_gets_half_the_batch():
    n_refused, off = run(SHARE_OF_A_GPU)
    assert n_refused > 0
    assert off < 1e-4


@pytest.mark.gpu
@GPU
def test_eight_threads_score_one_model_on_a_gpu(good, mixed):
    model = PatchCore(image_size=64, coreset=0.2, progress=False, device="cuda")
    expected = model.fit(good).score(mixed)
    with ThreadPoolExecutor(8) as pool:
        for scores in pool.map(lambda _: model.score(mixed), range(32)):
            np.testing.assert_array_equal(scores, expected)
