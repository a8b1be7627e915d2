"""What people have confirmed: images for a model, and how often decisions were right.

Of the labels of a result the last one counts; NULL in it takes back what was said.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, get_args

from scipy import stats

from adlib._inspection import Decision
from adlib._typing import AnyArray
from adlib.exceptions import ImageError
from adlib.images import Source
from adlib.images._decode import read_content
from adlib.images._pixels import PLAIN
from adlib.images._sources import Item
from adlib.serve._results import Results, _read

CONFIDENCE = 0.95
# Of each result with labels the last one; SQLite takes defect from the row of max().
LAST = "(SELECT result, defect, max(label) FROM labels GROUP BY result)"
# CROSS JOIN goes from the labels to the results, which are many more.
LABELLED = f"""SELECT number, folder, path, moved_to, sha256, defect
FROM {LAST} CROSS JOIN results ON number = result JOIN products USING (product)
WHERE defect IS NOT NULL AND product = ? AND sha256 IS NOT NULL ORDER BY number"""  # noqa: S608 - constants
COUNTS = """SELECT decision, count(*) FROM results
WHERE product = ? AND model = ? AND error IS NULL GROUP BY 1"""
LABEL_COUNTS = f"""SELECT decision, defect, count(*)
FROM {LAST} CROSS JOIN results ON number = result WHERE defect IS NOT NULL
AND product = ? AND model = ? AND error IS NULL GROUP BY 1, 2"""  # noqa: S608 - constants


class Confirmed(NamedTuple):
    """An image that somebody confirmed.

    Attributes:
        number: Of its first result with a label.
        path: Where it lies, or lay.
        sha256: Of its bytes when it was judged.
        is_defect: What was said last.
    """

    number: int
    path: Path
    sha256: str
    is_defect: bool

    def pixels(self) -> AnyArray:
        """Read the image, or raise ImageError unless it has the bytes of then."""
        try:
            content = self.path.read_bytes()
        except OSError as error:
            text = f"{self.path} cannot be read: {error.strerror}."
            raise ImageError(text) from None
        if hashlib.sha256(content).hexdigest() != self.sha256:
            raise ImageError(f"{self.path} has other bytes than when it was judged.")
        return read_content(content, str(self.path))


def confirmed(results: Results, product: str) -> list[Confirmed]:
    """Return the confirmed images of a product, each content once, in order.

    Raises:
        ValueError: The same image is confirmed good and as a defect.
    """
    found: dict[str, Confirmed] = {}
    with results.transaction("DEFERRED") as db:
        rows = db.execute(LABELLED, (product,)).fetchall()
    for number, folder, path, moved_to, sha256, defect in rows:
        place = Path(_read(folder), _read(path))
        if moved_to is not None:
            place = Path(_read(moved_to))
        one = Confirmed(number, place, sha256, bool(defect))
        first = found.setdefault(sha256, one)
        if first.is_defect != one.is_defect:
            raise ValueError(
                f"Results {first.number} and {number} are of the same image "
                f"({place}); one is confirmed good, the other as a defect. Take one "
                "of both back."
            )
        if not first.path.exists():  # another copy may still be there
            found[sha256] = first._replace(path=place)
    return list(found.values())


def source_of(images: Sequence[Confirmed], owner: str) -> Source:
    """Return images as a detector takes them, each checked when it is read."""
    items = [Item(i, str(one.path), one.pixels) for i, one in enumerate(images)]
    return Source.of(items, PLAIN, owner)


class Share(NamedTuple):
    """How many of the results with one decision are defects.

    Attributes:
        decision: "PASS", "REVIEW" or "FAIL".
        n_results: Results with it, those of errors left out.
        n_labelled: Those that somebody confirmed.
        n_defects: Those that are defects.
        low, high: The share of defects among all results with this decision, 95 %
            interval (Clopper and Pearson), if those that were labelled are a random
            sample of them; 0 and 1 where none is.
    """

    decision: Decision
    n_results: int
    n_labelled: int
    n_defects: int
    low: float
    high: float

    @property
    def rate(self) -> float | None:
        """The share of those labelled: of FAIL the precision, of PASS what is missed.

        None where none is labelled.
        """
        return self.n_defects / self.n_labelled if self.n_labelled else None


def interval(n_defects: int, n_labelled: int) -> tuple[float, float]:
    """Return the exact 95 % interval of a share, (0, 1) of nothing."""
    if not n_labelled:
        return 0.0, 1.0
    test = stats.binomtest(n_defects, n_labelled)
    low, high = test.proportion_ci(CONFIDENCE, "exact")
    return float(low), float(high)


def shares(results: Results, product: str, model: str) -> tuple[Share, ...]:
    """Return how many results are defects, for each decision of one model.

    ``model`` is the SHA-256 of its file.
    """
    with results.transaction("DEFERRED") as db:
        n_results = dict(db.execute(COUNTS, (product, model)).fetchall())
        rows = db.execute(LABEL_COUNTS, (product, model)).fetchall()
    said = {(decision, defect): count for decision, defect, count in rows}
    found = []
    for decision in get_args(Decision):
        n_defects = said.get((decision, 1), 0)
        n_labelled = n_defects + said.get((decision, 0), 0)
        bounds = interval(n_defects, n_labelled)
        n_all = n_results.get(decision, 0)
        found.append(Share(decision, n_all, n_labelled, n_defects, *bounds))
    return tuple(found)
