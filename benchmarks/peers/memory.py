"""Peak memory of fit above the idle process, each library in a process of its own.

Idle: the library imported, the network built and run once, compiled kernels loaded.
Both read the same image files through adlib's decoder, in batches of their defaults.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

STATUS = Path("/proc/self/status")
SIDE, RATIO, N_IMAGES, BATCH = 320, 0.05, 320, 32  # anomalib's batch


def measure(data: Path) -> list[dict]:
    results = []
    sizes = {
        "PatchCore": (SIDE // 8) ** 2 * 152,
        "PaDiM, paper's settings": (SIDE // 4) ** 2 * 100,
    }
    for method, size in sizes.items():
        megabytes = {}
        for library in RUNS[method]:
            command = [sys.executable, __file__, method, library, str(data)]
            done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
            megabytes[library] = json.loads(done.stdout)
        embeddings = N_IMAGES * size * 4 / 2**20
        results.append(
            {"method": method, "embeddings MiB": embeddings, "peak MiB": megabytes}
        )
    return results


def _kilobytes(key: str) -> int:
    return int(re.search(rf"{key}:\s+(\d+)", STATUS.read_text(encoding="utf-8"))[1])


def above_idle(work) -> float:
    """Return the peak of some work above what the process takes before it, in MiB."""
    refs = Path("/proc/self/clear_refs")
    refs.write_text("5", encoding="utf-8")  # forget the peak so far
    idle = _kilobytes("VmRSS")
    work()
    return (_kilobytes("VmHWM") - idle) / 1024


def _patchcore(data: Path) -> float:
    from _work import paths_in

    from adlib import PatchCore

    paths = paths_in(data / "screw" / "train" / "good", N_IMAGES)
    options = {"device": "cpu", "progress": False}
    PatchCore(image_size=SIDE, coreset=RATIO, **options).fit(paths[:4])
    model = PatchCore(image_size=SIDE, coreset=RATIO, **options)
    return above_idle(lambda: model.fit(paths))


def _anomalib_patchcore(data: Path) -> float:
    import numpy as np
    import torch
    from _anomalib import normalised, patchcore_model
    from _work import paths_in
    from anomalib.models.components import KCenterGreedy

    from adlib.images import open_source, read_batches

    paths = paths_in(data / "screw" / "train" / "good", N_IMAGES)
    model = patchcore_model(np.empty((0, 1), np.float32)).train()
    model.feature_extractor.eval()

    def fit(some: list[Path]) -> None:
        source = open_source(some, "peers")
        sizes = {"image_size": (SIDE, SIDE), "batch_size": BATCH}
        for batch in read_batches(source, **sizes):
            with torch.no_grad():
                model(normalised(torch.from_numpy(batch.images)))
        model.memory_bank = torch.vstack(model.embedding_store)
        model.embedding_store.clear()
        # A few picks: what they need is needed from the first on.
        ratio = 10.5 / len(model.memory_bank)
        KCenterGreedy(model.memory_bank, sampling_ratio=ratio).select_coreset_idxs()
        model.memory_bank = torch.empty(0)

    fit(paths[:4])
    return above_idle(lambda: fit(paths))


def _padim(data: Path, **settings) -> float:
    from _work import paths_in

    from adlib import PaDiM

    paths = paths_in(data / "screw" / "train" / "good", N_IMAGES)
    options = {"image_size": SIDE, "device": "cpu", "progress": False} | settings
    PaDiM(**options).fit(paths[:48])
    model = PaDiM(**options)
    return above_idle(lambda: model.fit(paths))


def _papers_padim(data: Path) -> float:
    from gaussians import PAPER

    return _padim(data, **PAPER)


def _anomalib_padim(data: Path) -> float:
    import numpy as np
    import torch
    from _anomalib import normalised, padim_model
    from _work import paths_in
    from gaussians import SIGMA

    from adlib.images import open_source, read_batches

    paths = paths_in(data / "screw" / "train" / "good", N_IMAGES)
    model = padim_model(np.arange(100), SIGMA).train()
    model.feature_extractor.eval()

    def fit(some: list[Path]) -> None:
        source = open_source(some, "peers")
        sizes = {"image_size": (SIDE, SIDE), "batch_size": BATCH}
        for batch in read_batches(source, **sizes):
            with torch.no_grad():
                model(normalised(torch.from_numpy(batch.images)))
        model.fit()

    fit(paths[:4])
    model.gaussian = type(model.gaussian)()
    return above_idle(lambda: fit(paths))


RUNS = {
    "PatchCore": {"adlib": _patchcore, "anomalib": _anomalib_patchcore},
    "PaDiM, paper's settings": {
        "adlib": _papers_padim,
        "adlib's defaults": _padim,
        "anomalib": _anomalib_padim,
    },
}

if __name__ == "__main__":
    answer, sys.stdout = sys.stdout, sys.stderr
    method, library, data = sys.argv[1:]
    json.dump(RUNS[method][library](Path(data)), answer)
