"""Whether scores of parts that pass still are what they were.

Only parts that pass are taken as good, so that the scores that they are compared with
must be below the same limit: then all are drawn from one distribution while nothing
moves, and a false alarm is as rare as ``DriftMonitor`` states.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from adlib._files import sha256_of
from adlib.metrics import DriftMonitor
from adlib.metrics._drift import FEWEST
from adlib.runtime._file import SUFFIX
from adlib.serve._results import LABEL, Results

FIRST = 100  # parts that pass are the reference where the model has none
LONGEST = 50_000  # parts, after which the test begins anew: its memory has an end
WINDOWS = (100, 1000)  # last parts that quantiles are shown of
QUANTILES = (0.5, 0.95)
LINES_EVERY = 5.0  # seconds between two reads for the review page
BETWEEN = 100_000  # parts between false alarms: of a day or more
LAST_MODEL = "SELECT model FROM results WHERE product = ? ORDER BY number DESC LIMIT 1"
PASSED = f"""SELECT number, judged_utc, score, coalesce({LABEL}, 0)
FROM results WHERE product = ? AND model = ? AND decision = 'PASS' AND number > ?
ORDER BY number"""  # noqa: S608 - a constant
RECENT = """SELECT decision <> 'PASS' FROM results
WHERE product = ? AND model = ? ORDER BY number DESC LIMIT ?"""
N_PASSED = """SELECT count(*) FROM results
WHERE product = ? AND model = ? AND decision = 'PASS' AND number > ?"""

# Number, time, score, and 1 where somebody confirmed a defect.
Passed: TypeAlias = tuple[int, str, float, int]


def reference_of(model: Any) -> tuple[float, ...]:
    """Return the scores of a detector's calibration that pass; () where it has none.

    They must be of good images that ``fit`` did not learn from and by this very memory
    bank. The threshold itself, one of them, is left out: the others are then as those
    of any part that passes.
    """
    known, limit = getattr(model, "calibration_", None), model.review_threshold_
    limit = model.threshold_ if limit is None else limit
    if known is None or limit is None or known.kind not in ("conformal", "held-out"):
        return ()
    accepted = getattr(model, "accepted_", ())
    before = accepted[-1].before if accepted else None
    if before is not None and before.calibration == known:
        return ()
    return tuple(score for score in known.scores if score < limit)


def reference_from(model_file: str | bytes) -> Callable[[str], Sequence[float]]:
    """Return what gives the scores of the model whose SHA-256 it is asked for.

    They are those of ``reference_of`` where ``model_file`` is that model, else none.
    """
    file = Path(os.fsdecode(model_file))

    def reference(sha256: str) -> Sequence[float]:
        if file.suffix == SUFFIX or not file.is_file() or sha256_of(file) != sha256:
            return ()
        from adlib.estimators import load  # noqa: PLC0415 - which imports torch

        return reference_of(load(file, device="cpu"))

    return reference


class Quantiles(NamedTuple):
    """Quantiles of the scores of ``n`` parts; ``of`` says which these are."""

    of: str
    n: int
    median: float
    q95: float

    @classmethod
    def taken(cls, of: str, scores: Sequence[float]) -> Quantiles:
        """Take them, interpolated."""
        return cls(of, len(scores), *np.quantile(scores, QUANTILES).tolist())


class Drift:
    """The test of one model, part by part, in bounded memory.

    After ``LONGEST`` parts it begins anew with the same reference. While nothing moves,
    there is at most one false alarm in ``between`` parts on average, in the mean over
    references, too.

    Args:
        reference: Scores of good images that pass, as ``reference_of`` gives them; with
            fewer than ten the first ``FIRST`` parts are the reference.
        between: Parts between false alarms, at least 1.

    Attributes:
        reference: The scores that parts are compared with; so far.
        has_calibration: Whether they were given.
        n_seen: How many parts came, those of a reference included.
        alarmed_at: The number of the part, from 0 and of all that came, at the last
            alarm; None: none in this test and the one before it.
        direction: What scores had become; None: no alarm.
    """

    def __init__(self, reference: Sequence[float], between: float = BETWEEN) -> None:
        self.between = between
        self.has_calibration = len(reference) >= FEWEST
        self.reference = list(reference) if self.has_calibration else []
        self.alarmed_at: int | None = None
        self.direction: str | None = None
        self._recent: deque[float] = deque(maxlen=max(WINDOWS))
        self.n_seen = 0
        self._test: DriftMonitor | None = None

    @property
    def statistic(self) -> float:
        """The statistic; an alarm is given from ``between`` on."""
        return 0.0 if self._test is None else self._test.statistic

    @property
    def n_parts(self) -> int:
        """How many parts were compared since the test began."""
        return 0 if self._test is None else self._test.n_parts

    def update(self, scores: Sequence[float]) -> None:
        """Take the scores of parts that pass, in order."""
        left = list(scores)
        self._recent.extend(left)
        while left:
            if not self.has_calibration and len(self.reference) < FIRST:
                n_taken = FIRST - len(self.reference)
                self.reference += left[:n_taken]
            else:
                n_taken = self._compare(left)
            self.n_seen += len(left[:n_taken])
            left = left[n_taken:]

    def _compare(self, scores: list[float]) -> int:
        """Compare parts, as many as this test takes; return how many these are."""
        if self._test is None or self._test.n_parts == LONGEST:
            if self._test is not None and self._test.alarmed_at is None:
                self.alarmed_at = self.direction = None  # of the test before
            self._test = DriftMonitor(
                self.reference, parts_between_false_alarms=self.between
            )
        test, begun = self._test, self.n_seen - self._test.n_parts
        taken = scores[: LONGEST - test.n_parts]
        was_calm = test.alarmed_at is None
        test.update(taken)
        if was_calm and test.alarmed_at is not None:
            self.alarmed_at = begun + test.alarmed_at
            self.direction = test.direction
        return len(taken)

    def quantiles(self) -> list[Quantiles]:
        """Return those of the reference and of the last parts, where there are some."""
        found = []
        if self.reference:
            of = "calibration" if self.has_calibration else "first parts"
            found.append(Quantiles.taken(of, self.reference))
        for window in WINDOWS:
            if len(self._recent) >= window:
                last = list(self._recent)[-window:]
                found.append(Quantiles.taken(f"last {window}", last))
        return found


class Alarm(NamedTuple):
    """A drift: at which result it was seen, when that was judged, and the direction."""

    number: int
    judged_utc: str
    direction: str


class NotPassing(NamedTuple):
    """How many of the last ``n`` results do not pass, errors among them."""

    n: int
    n_not_passing: int


class State(NamedTuple):
    """What is known of a product's drift, by the model of its last result.

    Attributes:
        product, model: Of which product; SHA-256 of the model file.
        n_parts: Parts that were compared since the test began.
        statistic: An alarm is given once it is ``between`` or more.
        between: Parts between false alarms.
        alarm: The last one, or None.
        quantiles: Of the reference, and of the last parts.
        not_passing: Of the last results. A change so large that nothing passes shows
            here alone.
    """

    product: str
    model: str
    n_parts: int
    statistic: float
    between: float
    alarm: Alarm | None
    quantiles: list[Quantiles]
    not_passing: list[NotPassing]

    def line(self) -> str:
        """Say it in one line."""
        if self.alarm is not None:
            when = self.alarm.judged_utc
            text = f"drift: scores {self.alarm.direction}, seen at result "
            return f"{text}{self.alarm.number} ({when})"
        if not self.n_parts:
            return "no drift known: too few parts that pass"
        text = f"no drift in {self.n_parts:,} parts that pass"
        return f"{text} (statistic {self.statistic:.3g} of {self.between:g})"


class ProductDrift:
    """The drift of a product, read from its results as they come.

    A new model file begins a new test. Of a long run only the present test and the one
    before are read, at most 100,000 parts. Parts that somebody confirmed as defects by
    then are left out.

    Args:
        product: The product.
        reference: Given the SHA-256 of a model file, what ``reference_of`` gives.
        between: Parts between false alarms.
        after: Results up to this number are left out, such as those before an alarm
            that was seen to.
    """

    def __init__(
        self,
        product: str,
        reference: Callable[[str], Sequence[float]] = lambda sha256: (),
        *,
        between: float = BETWEEN,
        after: int = 0,
    ) -> None:
        self._product, self._reference = product, reference
        self._between, self._after = between, after
        self._model = ""
        self._last = after
        self._drift = Drift(())
        self._alarm: Alarm | None = None

    def look(self, results: Results) -> State | None:
        """Read what is new; return what is known, None where there is no result."""
        with results.transaction("DEFERRED") as db:
            row = db.execute(LAST_MODEL, (self._product,)).fetchone()
            if row is None:
                return None
            rows: list[Passed] = []
            if row[0] != self._model:
                rows = self._begin(row[0], db)
            of = self._product, self._model, self._last
            rows += db.execute(PASSED, of).fetchall()
            recent = db.execute(RECENT, (*of[:2], max(WINDOWS))).fetchall()
        self._take(rows)
        drift = self._drift
        return State(
            self._product,
            self._model,
            drift.n_parts,
            drift.statistic,
            drift.between,
            self._alarm,
            drift.quantiles(),
            [
                NotPassing(window, sum(bad for (bad,) in recent[:window]))
                for window in WINDOWS
                if len(recent) >= window
            ],
        )

    def _begin(self, model: str, db: Any) -> list[Passed]:
        """Begin with a model; return the parts that are its reference, if they are."""
        self._model, self._last, self._alarm = model, self._after, None
        self._drift = drift = Drift(self._reference(model), self._between)
        of = self._product, model, self._after
        (n_passed,) = db.execute(N_PASSED, of).fetchone()
        n_first = 0 if drift.has_calibration else FIRST
        n_left_out = ((n_passed - n_first - 1) // LONGEST - 1) * LONGEST
        if n_left_out <= 0:
            return []
        first: list[Passed] = db.execute(f"{PASSED} LIMIT ?", (*of, n_first)).fetchall()
        jump = f"{PASSED} LIMIT 1 OFFSET ?"
        (row,) = db.execute(jump, (*of, n_first + n_left_out - 1)).fetchall()
        self._last = row[0]
        return first

    def _take(self, rows: Sequence[Passed]) -> None:
        kept = [row for row in rows if not row[3]]
        before, n_before = self._drift.alarmed_at, self._drift.n_seen
        self._drift.update([row[2] for row in kept])
        if rows:
            self._last = max(self._last, rows[-1][0])
        at = self._drift.alarmed_at
        if at is None:
            self._alarm = None
        elif at != before:
            number, when, *_ = kept[at - n_before]
            self._alarm = Alarm(number, when, self._drift.direction or "")


class DriftLines:
    """A line on the drift of each product, read in a thread: no page waits for it.

    Args:
        database: The results database.
    """

    def __init__(self, database: Path) -> None:
        self._database = database
        self._pool = ThreadPoolExecutor(1, "adlib-drift")
        self._reading: Future[None] | None = None
        self._read_at = 0.0
        self._known: dict[str, ProductDrift] = {}
        self._lines: dict[str, str] = {}

    def __call__(self) -> dict[str, str]:
        """Return what the last read found, by product; read again when it is time."""
        now = time.monotonic()
        if self._reading is None or (
            self._reading.done() and now - self._read_at > LINES_EVERY
        ):
            self._read_at, self._reading = now, self._pool.submit(self._read)
        return self._lines

    def _read(self) -> None:
        with Results(self._database) as results:
            with results.transaction("DEFERRED") as db:
                files = db.execute(
                    "SELECT product, model_file FROM products"
                ).fetchall()
            lines = {}
            for product, model_file in files:
                if product not in self._known:
                    reference = reference_from(model_file)
                    self._known[product] = ProductDrift(product, reference)
                state = self._known[product].look(results)
                if state is not None:
                    lines[product] = state.line()
        self._lines = lines
