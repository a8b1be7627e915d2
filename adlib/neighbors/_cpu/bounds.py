"""Lower bounds of distances, from products of projected and rounded vectors.

Such a vector is called a *sketch* of its point: its leading principal components, in
bfloat16 where the processor multiplies it, and three columns that bound what is
missing, each rounded upwards. p is the length outside the basis, r at least the length
of the rounding error, w at least that of the exact components plus r. A query's
(p, r, w) are multiplied by a database row's (p, w, r). With a and b the two centred
points and P the product of their sketches, the *similarity* of the pair is

    similarity = P - (1 - g) |b|^2 / 2,

from which its ``lower_bound`` and the ``pruning_threshold`` of the query follow.
``docs/core.md`` derives them, and g, the relative error that float32 may make. Numbers
too small for float32's products are stored as zero, and r counts them; products that
vanish all the same stay below UNDERFLOW together, for which these two allow.
"""

from __future__ import annotations

from concurrent.futures import Executor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from adlib._compile import compiled
from adlib._scratch import scratch_array
from adlib._threads import run_in_slices, undivided
from adlib._typing import AnyArray, Float32Array, Float64Array
from adlib.neighbors._cpu.distances import squared_norm
from adlib.neighbors._cpu.llvm import COLUMNS, HAS_BFLOAT16_UNITS, ROWS, similarity_tile

UNIT_ROUNDOFF = 2.0**-24
UNDERFLOW = 2.0**-100  # far above k times the smallest normal float32, 2^-126
SMALLEST = 2.0**-100  # of stored numbers; their products are normal, or below UNDERFLOW
BOUND_COLUMNS = 3
KEPT_VARIANCE = 0.94  # share that the basis must keep; the best of 0.85 to 0.98
SAMPLE = 8192  # rows that the basis is computed from


def half_norms(norms: Float64Array, relative_error: float) -> Float32Array:
    """Return (1 - g) |b|^2 / 2, by which a similarity is below the product."""
    return ((1.0 - relative_error) * norms / 2).astype(np.float32)


@compiled(inline="always")
def lower_bound(
    norm: float, similarity: float, relative_error: float
) -> float:  # pragma: no cover - compiled
    """Return what the squared distance is at least; see above."""
    return (1.0 - relative_error) * norm - 2.0 * UNDERFLOW - 2.0 * similarity


@compiled(inline="always")
def pruning_threshold(
    norm: float, nearest: float, relative_error: float
) -> float:  # pragma: no cover - compiled
    """Return what the similarity exceeds of pairs nearer than squared ``nearest``."""
    return ((1.0 - relative_error) * norm - nearest) / 2 - UNDERFLOW


class Sketches(NamedTuple):
    """Sketches of some points, as queries."""

    words: AnyArray  # (n, n_words); float32, or int32 that holds two bfloat16 numbers
    norms: Float64Array  # |a|^2 of the centred points, (n,)


class Sketcher:
    """Centre and basis, chosen to fit some rows; valid for any.

    ``relative_error`` is g of the bounds, ``n_words`` the words of a sketch, ``word``
    their type. bfloat16 is used where the processor has units for it, or as said.
    """

    @undivided()
    def __init__(self, rows: Float32Array, *, bfloat16: bool | None = None) -> None:
        self._bfloat16 = HAS_BFLOAT16_UNITS if bfloat16 is None else bfloat16
        sample = rows[:: -(-len(rows) // SAMPLE)]
        self._centre = sample.mean(axis=0, dtype=np.float64).astype(np.float32)
        basis = _principal_components(sample - self._centre)
        self._basis = _in_panels(basis)
        n_features, kept = basis.shape
        self._n_kept = kept
        self._projection_error, self._basis_error = 0.0, 0.0
        if kept < n_features:
            units = (n_features + 2) * UNIT_ROUNDOFF
            self._projection_error = units * float(np.sqrt(kept))
            gram = basis.astype(np.float64).T @ basis
            self._basis_error = float(np.linalg.norm(gram - np.eye(kept)))
        used = kept + BOUND_COLUMNS
        self._n_columns = used + used % 2
        self.n_words = self._n_columns // 2 if self._bfloat16 else self._n_columns
        self.word = np.dtype(np.int32 if self._bfloat16 else np.float32)
        rounding = (2.1 * self._n_columns + 33) * UNIT_ROUNDOFF
        self.relative_error = rounding + 4 * self._basis_error

    def sketch(
        self,
        rows: Float32Array,
        pool: Executor,
        n_threads: int,
        scratch: Path | None = None,
    ) -> Sketches:
        """Return sketches of rows, (n, n_features) float32; see ``scratch_array``."""
        kind = np.uint16 if self._bfloat16 else np.float32
        columns = scratch_array((len(rows), self._n_columns), kind, scratch)
        norms = scratch_array((len(rows),), np.float64, scratch)

        errors = (self._projection_error, self._basis_error)
        fitted = (self._centre, self._basis, self._n_kept, *errors)

        def work(begin: int, end: int) -> None:
            part = slice(begin, end)
            _sketch(rows[part], *fitted, columns[part], norms[part])

        run_in_slices(pool, n_threads, len(rows), work)
        return Sketches(columns.view(self.word), norms)

    def as_database(self, words: AnyArray) -> AnyArray:
        """Return a copy of queries' words as those of database rows."""
        columns = words.copy().view(np.uint16 if self._bfloat16 else np.float32)
        columns[:, -2:] = columns[:, :-3:-1].copy()
        return columns.view(words.dtype)


def _principal_components(centred: Float32Array) -> Float32Array:
    """Return an orthonormal basis of leading components, (n_features, n_kept).

    It is the identity where little could be left out.
    """
    n_features = centred.shape[1]
    largest = np.abs(centred).max()
    if not largest > 0.0:
        return np.eye(n_features, dtype=np.float32)
    scaled = centred / largest  # whose squares neither overflow nor vanish
    variances, directions = np.linalg.eigh(scaled.T @ scaled)
    share = np.cumsum(variances[::-1].clip(min=0.0), dtype=np.float64)
    n_kept = int(np.searchsorted(share, KEPT_VARIANCE * share[-1])) + 1
    n_kept += -(n_kept + BOUND_COLUMNS) % 8
    if n_kept + BOUND_COLUMNS >= n_features:
        return np.eye(n_features, dtype=np.float32)
    return np.ascontiguousarray(directions[:, : -n_kept - 1 : -1])


def _in_panels(basis: Float32Array) -> Float32Array:
    """Return a basis as the tiles read it; without panels if it is the identity."""
    n_features, n_kept = basis.shape
    n_panels = 0 if n_kept == n_features else -(-n_kept // COLUMNS)
    padded = np.zeros((n_features, n_panels * COLUMNS), np.float32)
    padded[:, :n_kept] = basis[:, : padded.shape[1]]
    panels = padded.reshape(n_features, n_panels, COLUMNS).transpose(1, 0, 2)
    return np.ascontiguousarray(panels)


@compiled()
def _sketch(
    rows: Float32Array,
    centre: Float32Array,
    basis: Float32Array,
    n_kept: int,
    projection_error: float,
    basis_error: float,
    columns: AnyArray,
    norms: Float64Array,
) -> None:  # pragma: no cover - compiled
    """Centre, project and round some rows on one thread."""
    n_rows, n_features = rows.shape
    n_panels = len(basis)
    width = max(n_panels, 1)
    point = np.empty(n_features, np.float32)
    centred = np.zeros((1, n_features, ROWS), np.float32)
    projected = np.empty((ROWS, max(width * COLUMNS, n_kept)), np.float32)
    biases = np.zeros((width, COLUMNS), np.float32)
    thresholds = np.full((1, ROWS), np.inf, np.float32)
    passed = np.empty((ROWS, width), np.int32)
    for begin in range(0, n_rows, ROWS):
        n_here = min(ROWS, n_rows - begin)
        for row in range(n_here):
            for k in range(n_features):
                point[k] = rows[begin + row, k] - centre[k]
                centred[0, k, row] = point[k]
            norms[begin + row] = squared_norm(point)
        for panel in range(n_panels):
            similarity_tile(
                centred, 0, basis, panel, biases, thresholds, projected, passed, panel
            )
        for row in range(n_here):
            if n_panels == 0:
                for k in range(n_kept):
                    projected[row, k] = centred[0, k, row]
            _round(
                projected[row, :n_kept], norms[begin + row], projection_error,
                basis_error, columns[begin + row],
            )  # fmt: skip


@compiled()
def _round(
    projected: Float32Array,
    norm: float,
    projection_error: float,
    basis_error: float,
    row: AnyArray,
) -> None:  # pragma: no cover - compiled
    """Write rounded coordinates, and the three columns that bound what is missing."""
    to_bfloat16 = row.itemsize < projected.itemsize
    number = np.empty(1, np.float32)
    bits = number.view(np.uint32)
    rounding = 0.0
    inside = 0.0
    for k in range(len(projected)):
        value = projected[k]
        number[0] = value if abs(value) >= SMALLEST else np.float32(0.0)
        if to_bfloat16:  # to the nearest, ties to even
            bits[0] += np.uint32(0x7FFF) + ((bits[0] >> np.uint32(16)) & np.uint32(1))
            bits[0] &= np.uint32(0xFFFF0000)
        rounding += (np.float64(value) - np.float64(number[0])) ** 2
        inside += np.float64(value) ** 2
        row[k] = bits[0] >> np.uint32(16) if to_bfloat16 else number[0]
    length, whole = np.sqrt(inside), np.sqrt(norm)
    least = max(0.0, length - projection_error * whole)
    r = np.sqrt(rounding) + projection_error * whole
    w = length + projection_error * whole + r
    p = np.sqrt(max(0.0, norm - least**2 / (1.0 + basis_error)))
    for place, bound in ((3, p), (2, r), (1, w)):
        number[0] = max(bound, SMALLEST)
        if number[0] < bound:
            bits[0] += np.uint32(1)
        if to_bfloat16:  # upwards
            bits[0] += np.uint32(0xFFFF)
        k = len(row) - place
        row[k] = bits[0] >> np.uint32(16) if to_bfloat16 else number[0]
