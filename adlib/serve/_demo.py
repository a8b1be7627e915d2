"""What the demo found, as a results database with its model, and as pages."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path

from adlib._files import sha256_of
from adlib.overlays._demo import DemoResult
from adlib.serve._cache import Cache
from adlib.serve._examine import Examiner
from adlib.serve._results import result_of
from adlib.serve._review_files import write_review
from adlib.serve._reviewed import Reviewed

PRODUCT = "solar cells"
N_SHOWN = 40  # results that have a page
EXPERTS = "experts of elpv-dataset"
CREDIT = (
    "Photographs: elpv-dataset (Buerhop-Lutz et al. 2018; Deitsch et al. 2019, 2021), "
    "CC BY-NC-SA 4.0. Cells on which the experts were unsure are left out."
)


def write_demo(result: DemoResult, folder: Path) -> tuple[Path, Path]:
    """Write the demo's model, results database and pages into a folder.

    Args:
        result: What the demo found.
        folder: Made where there is none; what an earlier demo wrote is replaced.

    Returns:
        The paths of the database and of the first page.

    Raises:
        OSError: The folder cannot be written to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file, database = folder / "demo.adlib", folder / "results.db"
    result.model.save(file)
    sha256 = sha256_of(file)
    for name in ("results.db", "results.db-wal", "results.db-shm"):
        (folder / name).unlink(missing_ok=True)
    root = Path(result.paths[0]).parent
    limits = (result.model.threshold_, result.model.review_threshold_)
    rows = []
    for one in result.inspections:
        content, stat = Path(one.path).read_bytes(), Path(one.path).stat()
        key = stat.st_size, stat.st_mtime_ns, hashlib.sha256(content).hexdigest()
        row = result_of(one, product=PRODUCT, model=sha256, limits=limits, file=key)
        rows.append(row._replace(path=str(Path(one.path).relative_to(root))))
    with Reviewed(database) as results:
        results.note_product(PRODUCT, root, file)
        results.add(rows)
        results.say(dict(enumerate(result.defective.tolist(), 1)), by=EXPERTS)
        with tempfile.TemporaryDirectory(prefix="adlib-") as drawn:
            examiner = Examiner(lambda _: result.model, Cache(Path(drawn)))
            page = write_review(results, examiner, folder, N_SHOWN, CREDIT)
    return database, page
