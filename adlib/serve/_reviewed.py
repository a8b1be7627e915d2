"""What the review page reads from a results database, and the labels it writes."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np

from adlib._typing import Float64Array, Int64Array
from adlib.serve._results import COLUMNS, LABEL, Result, Results, _read, _stored

N_BINS = 240  # of a histogram
LATEST = "label IN (SELECT max(label) FROM labels GROUP BY result)"
LABELS = {  # what a filter of labels asks; the first part names those that can be it
    "none": [f"{LABEL} IS NULL"],
    "good": ["number IN (SELECT result FROM labels)", f"{LABEL} = 0"],
    "defect": ["number IN (SELECT result FROM labels)", f"{LABEL} = 1"],
}
Order: TypeAlias = Literal["newest", "worst"]
Where: TypeAlias = tuple[list[str], list[Any]]  # conditions, and their values


class Filter(NamedTuple):
    """Which results are listed, and in which order.

    Attributes:
        product: Of which product; "": of all.
        decision: "PASS", "REVIEW" (of a score), "FAIL", "ERROR" (not judged), "": all.
        label: "none", "good", "defect"; "": all.
        since, until: UTC as the database has it, the latter excluded; "": no limit.
        order: "worst" is by score over threshold; what has none is left out, and what
            was not judged is in order of time.
    """

    product: str = ""
    decision: str = ""
    label: str = ""
    since: str = ""
    until: str = ""
    order: Order = "newest"


class Row(NamedTuple):
    """A result, and what people last said of it: 1 a defect, 0 good, None nothing."""

    result: Result
    defect: int | None


class Label(NamedTuple):
    """What somebody said of a result; ``defect`` None: took it back."""

    defect: int | None
    comment: str
    labelled_by: str
    labelled_utc: str


class Product(NamedTuple):
    """A product, and how many results it has by decision."""

    name: str
    counts: dict[str, int]


class Scores(NamedTuple):
    """How the scores of a product's present model are spread.

    Attributes:
        product, model: Of which product and model.
        threshold: Of the last result; one of the edges.
        edges: (n,) ascending.
        up_to: By "all", "good" and "defect" (as confirmed) how many scores are at most
            each edge, (n,).
        n_others: Results of the product by other models, which are left out.
    """

    product: str
    model: str
    threshold: float
    edges: Float64Array
    up_to: dict[str, Int64Array]
    n_others: int


class Reviewed(Results):
    """A results database as the review page uses it, by one thread."""

    def products(self) -> list[Product]:
        """Return all products by name; "ERROR" counts what could not be judged."""
        db, found = self._db, dict[str, dict[str, int]]()
        counts = "SELECT product, decision, count(*) FROM results GROUP BY 1, 2"
        for product, decision, count in db.execute(counts):
            found.setdefault(product, {})[decision] = count
        errors = "SELECT product, count(*) FROM results INDEXED BY errors "
        for product, count in db.execute(
            f"{errors} WHERE error IS NOT NULL GROUP BY 1"
        ):
            found[product]["ERROR"] = count
            found[product]["REVIEW"] -= count
        return [Product(name, found[name]) for name in sorted(found)]

    def place(self, product: str) -> tuple[str, str]:
        """Return the folder and the model file of a product, "" if not known."""
        text = "SELECT folder, model_file FROM products WHERE product = ?"
        found = self._db.execute(text, (product,)).fetchone() or ("", "")
        return _read(found[0]), _read(found[1])

    def label_counts(self) -> dict[int | None, int]:
        """Return how many results are confirmed good (0) and as defects (1)."""
        text = f"SELECT defect, count(*) FROM labels WHERE {LATEST} GROUP BY 1"  # noqa: S608 - constants
        return dict(self._db.execute(text).fetchall())

    def state(self) -> tuple[int, int]:
        """Return what changes with every new result and label."""
        text = (
            "SELECT (SELECT max(number) FROM results), (SELECT max(label) FROM labels)"
        )
        number, label = self._db.execute(text).fetchone()
        return number or 0, label or 0

    def row(self, number: int) -> Row | None:
        """Return a result by its number."""
        return next(iter(self._rows((["number = ?"], [number]))), None)

    def labels(self, number: int) -> list[Label]:
        """Return all that was said of a result, the last first."""
        text = "SELECT defect, comment, labelled_by, labelled_utc FROM labels "
        text += "WHERE result = ? ORDER BY label DESC"
        return [Label(*row) for row in self._db.execute(text, (number,))]

    def listed(
        self, wanted: Filter, limit: int, *, after: int = 0, before: int = 0
    ) -> list[Row]:
        """Return results in order: the first, or next to the one of a number.

        Args:
            wanted: Which, and in which order.
            limit: How many, at most.
            after: Those that come behind this result; 0: from the first on.
            before: Those that come just before this one, in order too.
        """
        conditions, values = self._where(wanted)
        by = ["number"]
        if wanted.order == "worst" and wanted.decision != "ERROR":
            by = ["threshold_ratio", "number"]
            # The sign keeps SQLite from another index, after which it would sort all.
            conditions = [f"+{text}" for text in conditions]
            conditions.append("threshold_ratio IS NOT NULL")
        place = after or before
        if place:
            sign = "<" if after else ">"
            keys = self._db.execute(
                f"SELECT {', '.join(by)} FROM results WHERE number = ?",  # noqa: S608
                (place,),
            ).fetchone()
            if keys is None or None in keys:
                return []
            conditions.append(f"({', '.join(by)}) {sign} ({', '.join('?' * len(by))})")
            values.extend(keys)
        way = "ASC" if before and not after else "DESC"
        order = ", ".join(f"{name} {way}" for name in by)
        rows = self._rows((conditions, values), f"ORDER BY {order} LIMIT {limit:d}")
        return rows if way == "DESC" else rows[::-1]

    def say(
        self, said: Mapping[int, bool | None], comment: str = "", by: str = ""
    ) -> None:
        """Add what somebody says of results.

        Args:
            said: By number True for a defect, False for good, None to take back what
                was said before.
            comment: On all of them.
            by: Who says it.

        Raises:
            KeyError: One is not there; nothing is written then.
        """
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        text = "INSERT INTO labels (result, defect, comment, labelled_by, labelled_utc)"
        rows = [(number, defect, comment, by, now) for number, defect in said.items()]
        with self.transaction() as db:
            try:
                db.executemany(f"{text} VALUES (?, ?, ?, ?, ?)", rows)
            except sqlite3.IntegrityError:
                raise KeyError(*said) from None

    def scores(self, product: str) -> Scores | None:
        """Return the scores of a product by the model of its last result, if any."""
        last = next(
            self._select(
                "product = ? AND score IS NOT NULL ORDER BY number DESC LIMIT 1",
                product,
            ),
            None,
        )
        if last is None or last.threshold is None:
            return None
        of = "product = ? AND model = ? AND score IS NOT NULL"
        values = (product, last.model)
        text = f"SELECT score FROM results WHERE {of} ORDER BY score"  # noqa: S608
        found = {"all": self._numbers(self._db.execute(text, values))}
        for name, defect in (("good", 0), ("defect", 1)):
            # CROSS JOIN begins with the labels, which are fewer.
            text = "SELECT score FROM labels CROSS JOIN results ON number = result "
            text += f"WHERE {LATEST} AND defect = {defect} AND {of} ORDER BY score"
            found[name] = self._numbers(self._db.execute(text, values))
        text = "SELECT count(*) FROM results WHERE product = ? AND model <> ?"
        (n_others,) = self._db.execute(text, values).fetchone()
        edges = _edges(found["all"], last.threshold)
        counts = {
            name: np.searchsorted(scores, edges, side="right")
            for name, scores in found.items()
        }
        return Scores(product, last.model, last.threshold, edges, counts, n_others)

    @staticmethod
    def _numbers(rows: Iterable[tuple[float]]) -> Float64Array:
        return np.fromiter((row[0] for row in rows), np.float64)

    def _rows(self, where: Where, order: str = "") -> list[Row]:
        conditions, values = where
        text = " AND ".join(conditions) or "TRUE"
        select = f"SELECT {COLUMNS}, {LABEL} FROM results WHERE {text} {order}"  # noqa: S608 - no input
        return [
            Row(Result._make(map(_read, row[:-1])), row[-1])
            for row in self._db.execute(select, values)
        ]

    def _where(self, wanted: Filter) -> Where:
        conditions, values = list[str](), list[Any]()
        if wanted.product:
            conditions.append("product = ?")
            values.append(_stored(wanted.product))
        if wanted.decision == "ERROR":
            conditions.append("error IS NOT NULL")
        elif wanted.decision:
            conditions.append("decision = ?")
            values.append(wanted.decision)
            if wanted.decision == "REVIEW":
                conditions.append("error IS NULL")
        if wanted.label:
            conditions += LABELS[wanted.label]
        if wanted.since or wanted.until:
            when = ["judged_utc >= ?", "judged_utc < ?"]
            limits = [wanted.since, wanted.until or "9"]
            # Times follow numbers but for changes of the clock: so few are looked at.
            text = "SELECT min(number), max(number) FROM results WHERE "
            text += " AND ".join(when)
            span = self._db.execute(text, limits).fetchone()
            conditions += [*when, "number BETWEEN ? AND ?"]
            values += [*limits, *span]
        return conditions, values


def _edges(scores: Float64Array, threshold: float) -> Float64Array:
    """Return the edges of even bins over all scores, one of them the threshold."""
    low = min(float(scores[0]), threshold)
    high = max(float(scores[-1]), threshold)
    width = (high - low) / N_BINS or 1.0
    first = -int(np.ceil((threshold - low) / width)) - 1
    last = int(np.ceil((high - threshold) / width)) + 1
    return np.asarray(threshold + width * np.arange(first, last + 1), np.float64)
