"""The results database: one SQLite file that everything on the line reads and writes.

A result counts once its transaction is on the disk; all else is derived from it. Its
number orders results, whatever the clock says.
"""

from __future__ import annotations

import json
import math
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

from adlib._inspection import Decision, Inspection
from adlib._scratch import kind_of_disk

VERSION = 1  # of the schema, as PRAGMA user_version
APPLICATION = 0x61646C62  # "adlb", as PRAGMA application_id
# Write-ahead logging needs memory that all who open the file share.
REMOTE_DISKS = ("nfs", "nfs4", "cifs", "smb2", "smb3", "smbfs", "9p", "fuse.sshfs")
PATIENCE = 5.0  # seconds for another's transaction to end
SCHEMA = """
CREATE TABLE products (
  product TEXT PRIMARY KEY,
  folder TEXT NOT NULL,                -- absolute; paths of results are relative to it
  model_file TEXT NOT NULL
);
CREATE TABLE results (
  number INTEGER PRIMARY KEY AUTOINCREMENT, -- in order of time, never used again
  product TEXT NOT NULL,
  model TEXT NOT NULL,                 -- SHA-256 of the model file
  path TEXT NOT NULL,
  size INTEGER,                        -- bytes
  mtime_ns INTEGER,
  sha256 TEXT,                         -- of the file; NULL where it could not be read
  judged_utc TEXT NOT NULL,            -- for people; nothing is decided by it
  decision TEXT NOT NULL CHECK (decision IN ('PASS', 'REVIEW', 'FAIL')),
  score REAL,                          -- NULL where there is an error
  threshold REAL,
  review_threshold REAL,
  p_value REAL,
  threshold_ratio REAL,
  worst_row INTEGER,                   -- pixels of the image
  worst_column INTEGER,
  height INTEGER,
  width INTEGER,
  regions TEXT NOT NULL,               -- JSON, as Region.as_dict has them
  error TEXT,
  moved_to TEXT,                       -- absolute; NULL while it lies where it came
  CHECK ((score IS NULL) = (error IS NOT NULL)),
  CHECK (error IS NULL OR decision = 'REVIEW')
);
-- The same file is never judged twice, whoever tries.
CREATE UNIQUE INDEX once ON results (product, path, sha256, mtime_ns)
  WHERE moved_to IS NULL;
CREATE INDEX by_path ON results (product, path, number);
-- What the review page lists by.
CREATE INDEX by_product ON results (product, number);
CREATE INDEX by_decision ON results (decision, number);
CREATE INDEX by_both ON results (product, decision, number);
CREATE INDEX by_ratio ON results (threshold_ratio, number, product, decision);
CREATE INDEX by_score ON results (product, model, score);
CREATE INDEX by_time ON results (judged_utc);
CREATE INDEX errors ON results (number, product) WHERE error IS NOT NULL;
CREATE TABLE labels (                  -- the last one of a result counts
  label INTEGER PRIMARY KEY AUTOINCREMENT,
  result INTEGER NOT NULL REFERENCES results,
  defect INTEGER CHECK (defect IN (0, 1)), -- NULL: what was said is taken back
  comment TEXT NOT NULL DEFAULT '',
  labelled_by TEXT NOT NULL DEFAULT '',
  labelled_utc TEXT NOT NULL
);
CREATE INDEX labels_of ON labels (result, label);
CREATE TABLE sinks (                   -- how far each got
  product TEXT NOT NULL,
  sink TEXT NOT NULL,
  number INTEGER NOT NULL,             -- of the last result that it has had
  refused INTEGER NOT NULL DEFAULT 0,  -- results that it would not take
  PRIMARY KEY (product, sink)
) WITHOUT ROWID;
"""


class Result(NamedTuple):
    """A row of the table ``results``, which says what the fields are."""

    number: int | None
    product: str
    model: str
    path: str
    size: int | None
    mtime_ns: int | None
    sha256: str | None
    judged_utc: str
    decision: Decision
    score: float | None = None
    threshold: float | None = None
    review_threshold: float | None = None
    p_value: float | None = None
    threshold_ratio: float | None = None
    worst_row: int | None = None
    worst_column: int | None = None
    height: int | None = None
    width: int | None = None
    regions: str = "[]"
    error: str | None = None
    moved_to: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the fields by name, for JSON."""
        return {**self._asdict(), "regions": json.loads(self.regions)}


# What people last said of the result ``number``: 1 a defect, 0 good, NULL nothing.
LABEL = "(SELECT defect FROM labels WHERE result = number ORDER BY label DESC LIMIT 1)"
COLUMNS = ", ".join(Result._fields)
INSERT = (
    f"INSERT INTO results ({COLUMNS}) VALUES ({', '.join('?' * len(Result._fields))}) "  # noqa: S608 - names of fields alone
    "ON CONFLICT (product, path, sha256, mtime_ns) WHERE moved_to IS NULL DO NOTHING"
)


def result_of(
    inspection: Inspection,
    *,
    product: str,
    model: str,
    limits: tuple[float | None, float | None],
    file: tuple[int | None, int | None, str | None] = (None, None, None),
) -> Result:
    """Return the row of an inspected image; whatever went wrong is to be reviewed.

    Args:
        inspection: What a model said; its path becomes that of the row.
        product: What the model is for.
        model: SHA-256 of its file.
        limits: Its threshold and its review threshold.
        file: Size, time of change in ns, and SHA-256 of the image's file.
    """
    error, decision = inspection.error, inspection.decision
    if error is None and not math.isfinite(inspection.score):
        error = f"{inspection.path}: the score is {inspection.score}."
    if error is None and decision is None:
        error = f"{inspection.path}: the model has no threshold."
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    plain = Result(None, product, model, inspection.path, *file, now, "REVIEW")
    plain = plain._replace(threshold=limits[0], review_threshold=limits[1])
    if error is not None or decision is None:
        return plain._replace(error=error or "")
    row, column = inspection.worst_pixel or (None, None)
    height, width = inspection.size or (None, None)
    regions = [region.as_dict() for region in inspection.regions or ()]
    return plain._replace(
        decision=decision,
        score=inspection.score,
        p_value=inspection.p_value,
        threshold_ratio=inspection.threshold_ratio,
        worst_row=row,
        worst_column=column,
        height=height,
        width=width,
        regions=json.dumps(regions),
    )


def _stored(value: Any) -> Any:
    """Return a text as SQLite can hold it: a name that is no UTF-8 as its bytes."""
    try:
        str.encode(value if isinstance(value, str) else "")
    except UnicodeEncodeError:
        return os.fsencode(value)
    return value


def _read(value: Any) -> Any:
    return os.fsdecode(value) if isinstance(value, bytes) else value


class Results:
    """An open results database. Each thread opens its own.

    Args:
        path: The file, made where there is none. It must lie on a local disk.
        durable: Wait until each transaction is on the disk (synchronous=FULL). What is
            told to others, or moves files, must not be forgotten when the power fails:
            its number would be given to another image.

    Raises:
        ValueError: The file is no results database, one of a later version, or on a
            disk of another machine.
        OSError: It cannot be opened or written.
    """

    def __init__(self, path: str | os.PathLike[str], *, durable: bool = True) -> None:
        self.path = Path(path)
        if kind_of_disk(self.path.resolve()) in REMOTE_DISKS:
            raise ValueError(
                f"The results database must lie on a disk of this machine; "
                f"{str(path)!r} does not."
            )
        try:
            self._db = sqlite3.connect(path, timeout=PATIENCE, isolation_level=None)
            try:
                self._begin(durable)
                self._opened = self.path.stat()
            except BaseException:
                self._db.close()  # or Windows keeps what was refused from being moved
                raise
        except sqlite3.OperationalError as error:
            text = f"The results database {str(path)!r} cannot be opened: {error}."
            raise OSError(text) from error
        except sqlite3.DatabaseError as error:
            raise ValueError(
                f"{str(path)!r} is no results database: {error}."
            ) from None

    def _begin(self, durable: bool) -> None:
        with self.transaction("DEFERRED") as db:  # of one moment: others may make it
            (version,) = db.execute("PRAGMA user_version").fetchone()
            (owner,) = db.execute("PRAGMA application_id").fetchone()
            (n_tables,) = db.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if n_tables and owner != APPLICATION:
            raise ValueError(f"{str(self.path)!r} is a database of another program.")
        if version > VERSION:
            raise ValueError(
                f"{str(self.path)!r} has version {version}; this adlib knows {VERSION}."
            )
        self._log_ahead()
        self._db.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
        self._db.execute("PRAGMA foreign_keys = ON")
        with self.transaction():
            if not self._db.execute("PRAGMA user_version").fetchone()[0]:
                for statement in SCHEMA.split(";\n"):
                    self._db.execute(statement)
                self._db.execute(f"PRAGMA application_id = {APPLICATION}")
                self._db.execute(f"PRAGMA user_version = {VERSION}")

    def _log_ahead(self) -> None:
        """Switch to a write-ahead log; for this SQLite does not wait by itself."""
        end = time.monotonic() + PATIENCE
        while True:
            try:
                self._db.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.01)

    @contextmanager
    def transaction(
        self, kind: Literal["IMMEDIATE", "DEFERRED"] = "IMMEDIATE"
    ) -> Iterator[sqlite3.Connection]:
        """Do all of the block or nothing of it; "DEFERRED" where it reads alone."""
        self._db.execute(f"BEGIN {kind}")
        try:
            yield self._db
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    def add(self, rows: Iterable[Result]) -> int:
        """Write results, all or none; return how many were not there already."""
        with self.transaction() as db:
            return sum(
                db.execute(INSERT, [*map(_stored, row)]).rowcount for row in rows
            )

    def is_known(self, product: str, path: str, size: int, mtime_ns: int) -> bool:
        """Ask whether a file of this size and time was judged, and still lies there."""
        text = "SELECT 1 FROM results WHERE product = ? AND path = ? AND size = ? "
        text += "AND mtime_ns = ? AND moved_to IS NULL"
        values = (product, _stored(path), size, mtime_ns)
        return self._db.execute(text, values).fetchone() is not None

    def last_of(self, product: str, path: str) -> Result | None:
        """Return the last result of a file that still lies where it came."""
        where = "product = ? AND path = ? AND moved_to IS NULL ORDER BY number DESC"
        return next(self._select(f"{where} LIMIT 1", product, _stored(path)), None)

    def touch(self, number: int, size: int, mtime_ns: int) -> None:
        """Note that a file that was judged, with the same bytes, has another time."""
        with self.transaction() as db:
            text = (
                "UPDATE OR IGNORE results SET size = ?, mtime_ns = ? WHERE number = ?"
            )
            db.execute(text, (size, mtime_ns, number))

    def after(self, product: str, number: int, limit: int = 100) -> list[Result]:
        """Return the results behind a number, in order."""
        where = "product = ? AND number > ? ORDER BY number LIMIT ?"
        return list(self._select(where, product, number, limit))

    def counts(self, product: str) -> dict[str, int]:
        """Return how many results there are of each decision."""
        text = "SELECT decision, count(*) FROM results WHERE product = ? GROUP BY 1"
        return dict(self._db.execute(text, (product,)).fetchall())

    def note_product(self, product: str, folder: Path, model_file: Path) -> None:
        """Keep where the images of a product and its model are."""
        with self.transaction() as db:
            text = "INSERT OR REPLACE INTO products VALUES (?, ?, ?)"
            places = (_stored(str(place.absolute())) for place in (folder, model_file))
            db.execute(text, (product, *places))

    def sink_at(self, product: str, sink: str) -> int:
        """Return the number of the last result that a sink has had.

        A new one has had all that are there.
        """
        with self.transaction() as db:
            db.execute(
                "INSERT OR IGNORE INTO sinks (product, sink, number) SELECT ?, ?, "
                "coalesce(max(number), 0) FROM results WHERE product = ?",
                (product, sink, product),
            )
            text = "SELECT number FROM sinks WHERE product = ? AND sink = ?"
            return int(db.execute(text, (product, sink)).fetchone()[0])

    def sink_had(
        self,
        product: str,
        sink: str,
        number: int,
        *,
        refused: bool = False,
        moved_to: str | None = None,
    ) -> None:
        """Note that a sink has had a result, or refused it, or moved its file."""
        with self.transaction() as db:
            db.execute(
                "UPDATE sinks SET number = ?, refused = refused + ? "
                "WHERE product = ? AND sink = ?",
                (number, refused, product, sink),
            )
            if moved_to is not None:
                text = "UPDATE results SET moved_to = ? WHERE number = ?"
                db.execute(text, (_stored(moved_to), number))

    def n_after(self, product: str, number: int) -> int:
        """Return how many results there are behind a number."""
        text = "SELECT count(*) FROM results WHERE product = ? AND number > ?"
        return int(self._db.execute(text, (product, number)).fetchone()[0])

    def _select(self, where: str, *values: Any) -> Iterator[Result]:
        text = f"SELECT {COLUMNS} FROM results WHERE {where}"  # noqa: S608 - no input
        with closing(self._db.execute(text, values)) as found:
            yield from (Result._make(map(_read, row)) for row in found)

    def is_in_place(self) -> bool:
        """Ask whether the file is still the one that was opened."""
        try:
            return os.path.samestat(self._opened, self.path.stat())
        except FileNotFoundError:
            return False

    def close(self) -> None:
        """Close the database; what was written stays."""
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
