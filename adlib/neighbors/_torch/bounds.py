"""Lower and upper bounds of distances from products of rounded vectors, with torch.

The twin of ``_cpu.bounds``, with the same similarity, lower bound and threshold, but
without a projection: a GPU has product units to spare. A sketch is v, the centred point
rounded to bfloat16, and two columns, rounded upwards: (r, w) of a query, multiplied by
(w, r) of a database row. With e = r_a w_b + w_a r_b, P = v_a.v_b + e, the product of
the sketches, and s = |a|^2 + |b|^2,

    (1 - g) s - 2 P  <=  |x - y|^2  <=  (1 + g) s - 2 P + 4 e,

so that one similarity alone gives an upper bound, too.

The relative error g covers what float32 rounds. With u = 2^-24 and k columns it is the
sum of

- 8 u for centring. A difference of two float32 numbers is off by u of itself at most,
  so a moves by u |a|, b by u |b|, |a - b|^2 by 2 u (|a| + |b|)^2 <= 4 u s, and as much
  again is more than what terms in u^2 need;
- 5 k u for the product. Those of bfloat16 numbers are exact in float32, so only the
  sum rounds, by 2 u of the sum of absolute values for each addition where units
  truncate instead of rounding, and by as much again for each number that they align
  with others first: 4 k u at most, in any order. Each coordinate is rounded by 2^-8 of
  itself at most, hence the absolute values add up to |v_a| |v_b| + e <= 0.51 s, and
  the error, 2.04 k u s, is below 5 k u s / 2;
- 24 u for what rounds once: the half norm (u), its subtraction (2.1 u), the threshold
  (3 u: it falls as m grows, and no m above 2 s matters), float64 norms and distances
  (far below u). What is left over makes "above the threshold" strict, as does UNDERFLOW
  for s = 0.

Numbers under SMALLEST are stored as zero and counted by r, so that no unit multiplies
a subnormal number; products that vanish all the same stay below UNDERFLOW together.

All of this holds for any precision that a caller allows to float32 products: what is
stored has the 8 bits of the coarsest, so rounding it again, to TF32 or to bfloat16,
changes nothing. Where bfloat16 products give float32 sums (torch >= 2.8 on a CUDA GPU
of capability 8.0) they are used; elsewhere the same numbers are multiplied as float32.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

from adlib.neighbors._cpu.bounds import SAMPLE, SMALLEST, UNDERFLOW, UNIT_ROUNDOFF
from adlib.neighbors._torch.distances import BYTES_AT_ONCE

BOUND_COLUMNS = 2
ALIGNMENT = 8  # columns; tensor cores read 16 bytes at a time
UPWARDS = 1.0 + 2.0**-7  # undoes, and more, rounding to bfloat16 by 2^-8


class Sketches(NamedTuple):
    """Rounded points, as queries."""

    columns: torch.Tensor  # (n, n_columns) bfloat16
    norms: torch.Tensor  # |a|^2 of the centred points, (n,) float64

    def part(self, which: torch.Tensor | slice) -> Sketches:
        """Return some of the points."""
        return Sketches(self.columns[which], self.norms[which])


class Database(NamedTuple):
    """Rounded points, as the database: what does not depend on the queries."""

    columns: torch.Tensor  # (n_columns, n) bfloat16, with w before r
    norms: torch.Tensor  # (n,) float64
    halves: torch.Tensor  # of the norms, what similarities are lessened by, float32


class Sketcher:
    """Centre of some rows, and the bounds that hold with it for any, on one device."""

    def __init__(self, rows: torch.Tensor) -> None:
        n_points, n_features = rows.shape
        sample = rows[:: -(-n_points // SAMPLE)]
        self._centre = sample.double().mean(dim=0).float()
        used = n_features + BOUND_COLUMNS
        self._n_columns = used + -used % ALIGNMENT
        self._relative_error = (5 * self._n_columns + 32) * UNIT_ROUNDOFF
        self._sums_bfloat16 = _sums_bfloat16_in_float32(rows.device)

    def sketch(self, rows: torch.Tensor) -> Sketches:
        """Return sketches of rows, (n, n_features) float32."""
        n_rows, n_features = rows.shape
        columns = rows.new_zeros((n_rows, self._n_columns), dtype=torch.bfloat16)
        norms = rows.new_empty(n_rows, dtype=torch.float64)
        at_once = max(1, BYTES_AT_ONCE // (8 * n_features))
        for first in range(0, n_rows, at_once):
            part = slice(first, first + at_once)
            centred = rows[part] - self._centre
            kept = centred.masked_fill(centred.abs() < SMALLEST, 0.0).bfloat16()
            columns[part, :n_features] = kept
            exact = centred.double()
            norms[part] = exact.square().sum(dim=1)
            error = (exact - kept).square_().sum(dim=1).sqrt_()
            columns[part, -2] = _upwards(error)
            columns[part, -1] = _upwards(norms[part].sqrt() + error)
        return Sketches(columns, norms)

    def as_database(self, sketches: Sketches) -> Database:
        """Return what queries are multiplied by."""
        flipped = sketches.columns[:, -2:].flip(1)
        columns = torch.cat([sketches.columns[:, :-2], flipped], dim=1).T
        halves = ((1.0 - self._relative_error) * sketches.norms / 2).float()
        return Database(columns, sketches.norms, halves)

    def similarities(self, queries: Sketches, database: Database) -> torch.Tensor:
        """Return the similarity of each pair, (n_queries, n_database) float32."""
        left, right = queries.columns, database.columns
        if self._sums_bfloat16:
            products = torch.mm(left, right, out_dtype=torch.float32)
        else:
            widened = right.float()
            products = widened.new_empty((len(left), widened.shape[1]))
            at_once = max(1, BYTES_AT_ONCE // (4 * self._n_columns))
            for first in range(0, len(left), at_once):
                part = slice(first, first + at_once)
                torch.mm(left[part].float(), widened, out=products[part])
        return products.sub_(database.halves)

    def pruning_thresholds(
        self, norms: torch.Tensor, nearest: torch.Tensor
    ) -> torch.Tensor:
        """Return what similarities exceed that are no farther than ``nearest``."""
        kept = (1.0 - self._relative_error) * norms
        return ((kept - nearest) / 2 - UNDERFLOW).float()

    def upper_bounds(
        self,
        queries: Sketches,
        database: Database,
        indices: torch.Tensor,
        similarities: torch.Tensor,
    ) -> torch.Tensor:
        """Return what squared distances of pairs do not exceed, (n, n_indices) float64.

        The pairs are n queries and the database rows of ``indices``, (n, n_indices).
        """
        r, w = queries.columns[:, None, -2:].double().unbind(dim=2)
        w_row, r_row = database.columns[-2:].T[indices].double().unbind(dim=2)
        inexact = 4.0 * (r * w_row + w * r_row) + 4.0 * UNDERFLOW
        row_norms = 2.0 * self._relative_error * database.norms[indices]
        norms = (1.0 + self._relative_error) * queries.norms[:, None] + row_norms
        return norms - 2.0 * similarities.double() + inexact


def _upwards(numbers: torch.Tensor) -> torch.Tensor:
    """Return bfloat16 numbers that are not below the float64 ones."""
    return (numbers * UPWARDS).clamp(min=SMALLEST).bfloat16()


def _sums_bfloat16_in_float32(device: torch.device) -> bool:
    """Tell whether bfloat16 products can be had before they are rounded back."""
    return (
        device.type == "cuda"
        and torch.version.hip is None
        and hasattr(torch.ops.aten.mm, "dtype")
        and torch.cuda.get_device_capability(device) >= (8, 0)
    )
