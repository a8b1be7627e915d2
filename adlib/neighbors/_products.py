"""Promises of queries and bank rows on the CPU: in float32, or twice as fast.

Either kind proposes pairs whose distance is then measured; see ``_distances`` for the
promise and the bar. They differ in what they round, and so in the slack g that makes
up for it.

bfloat16 keeps 8 bits, so it rounds by v = 2^-8. Rows are centred first, a = x - c and
b = y - c, since small numbers are rounded by little; the centring itself rounds each
coordinate by u, hence |x - y|^2 >= |a - b|^2 - 8 u (|a|^2 + |b|^2). One product then
gives the whole promise a.b - h with h = (1 - g) |b|^2 / 2, because h rides along in two
more columns, h = h1 + h2, each in bfloat16. Its errors, against s = |a|^2 + |b|^2:

- a and b rounded: (2 v + v^2) |a|.|b| <= (v + v^2 / 2) s;
- what h1 + h2 lacks of h: v^2 h <= v^2 s / 2;
- the sum over d + 2 columns in float32: (d + 2) u (1 + v)^2 (|a|.|b| + h) <= 2 d u s;
- the promise rounded, the above included: (v + 2 v^2) (|a|.|b| + h) <= (v + 2 v^2) s.

The promise is half a squared distance, so g is twice their sum, and 8 u for the
centring: g = 4 v + 6 v^2 + (4 d + 8) u, to which 64 u are added for the norms and
for d of 1 or 2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from adlib._typing import AnyArray, BoolArray, Float32Array, Float64Array
from adlib.neighbors._distances import (
    UNIT_ROUNDOFF,
    half_norms,
    slack,
    squared_norms,
)
from adlib.neighbors._points import Points

if TYPE_CHECKING:
    import torch

BFLOAT16_ROUNDOFF = 2.0**-8
ROWS_AT_ONCE = 2**14
FEWEST_ROWS = 2048  # in a smaller bank the conversions cost more than they save


class Prepared(NamedTuple):
    """Queries as a kind of product takes them, and their squared norms."""

    rows: Any
    norms: Float64Array


class Promised(NamedTuple):
    """Promises of a tile, and the best of each query.

    Attributes:
        promises: (n_queries, n_members) float32, or uint16: the upper half of a
            float32, which is what bfloat16 is.
        best: (n_queries,) float32.
    """

    promises: AnyArray
    best: Float32Array


class Products(Protocol):
    """A bank's side of the products; ``slack`` is the g of its promises.

    The bank's rows may be filled in later than the products are made: ``take`` says
    which are there. They are referred to, not copied.
    """

    slack: float

    def take(self, first: int, last: int) -> None:
        """Take the bank's rows from ``first`` to before ``last`` into account."""
        ...

    def prepare(self, queries: Points) -> Prepared:
        """Return queries ready for ``promise``."""
        ...

    def promise(
        self, prepared: Prepared, members: slice, hidden: BoolArray | None
    ) -> Promised:
        """Return what members promise to queries; ``hidden`` pairs promise nothing."""
        ...


class Float32Products:
    """Products in float32, by NumPy's BLAS."""

    def __init__(self, rows: Float32Array) -> None:
        self.slack = slack(rows.shape[1])
        self._rows = rows
        self._half_norms = np.empty(len(rows), np.float32)

    def take(self, first: int, last: int) -> None:
        """Compute the norms of new rows."""
        norms = squared_norms(self._rows[first:last])
        self._half_norms[first:last] = half_norms(norms, self.slack)

    def prepare(self, queries: Points) -> Prepared:
        """Return the queries as they are."""
        return Prepared(queries.rows, queries.norms)

    def promise(
        self, prepared: Prepared, members: slice, hidden: BoolArray | None
    ) -> Promised:
        """Return promises in float32."""
        promises: Float32Array = prepared.rows @ self._rows[members].T
        promises -= self._half_norms[members]
        if hidden is not None:
            promises[hidden] = -np.inf
        return Promised(promises, promises.max(axis=1))


class BFloat16Products:
    """Products of centred rows in bfloat16, by torch, for processors with the units."""

    def __init__(self, rows: Float32Array, centre: Float32Array) -> None:
        n_rows, n_features = rows.shape
        v, u = BFLOAT16_ROUNDOFF, UNIT_ROUNDOFF
        self.slack = 4 * v + 6 * v**2 + (4 * n_features + 72) * u
        self._centre = centre
        self._rows = rows
        self._converted = _torch().empty(
            (n_rows, n_features + 2), dtype=_torch().bfloat16
        )

    def take(self, first: int, last: int) -> None:
        """Convert new rows."""
        converted, norms = self._convert(self._rows[first:last])
        halves = _torch().from_numpy((self.slack - 1.0) * norms / 2)
        converted[:, -2] = halves
        converted[:, -1] = halves - converted[:, -2]
        self._converted[first:last] = converted

    def prepare(self, queries: Points) -> Prepared:
        """Return the queries centred, in bfloat16, with two columns of ones."""
        rows, norms = self._convert(queries.rows)
        rows[:, -2:] = 1.0
        return Prepared(rows, norms)

    def promise(
        self, prepared: Prepared, members: slice, hidden: BoolArray | None
    ) -> Promised:
        """Return promises in bfloat16."""
        torch = _torch()
        promises = torch.mm(prepared.rows, self._converted[members].T)
        if hidden is not None:
            promises.masked_fill_(torch.from_numpy(hidden), -torch.inf)
        best = promises.amax(dim=1).float().numpy()
        return Promised(promises.view(torch.uint16).numpy(), best)

    def _convert(self, rows: Float32Array) -> tuple[torch.Tensor, Float64Array]:
        """Return centred rows in bfloat16 with two columns to fill, and their norms.

        The norms are those before rounding to bfloat16.
        """
        torch = _torch()
        n_rows, n_features = rows.shape
        converted = torch.empty((n_rows, n_features + 2), dtype=torch.bfloat16)
        norms = np.empty(n_rows)
        for first in range(0, n_rows, ROWS_AT_ONCE):
            part = slice(first, first + ROWS_AT_ONCE)
            centred = rows[part] - self._centre
            norms[part] = squared_norms(centred)
            converted[part, :n_features] = torch.from_numpy(centred)
        return converted, norms


def choose_products(rows: Float32Array) -> Products:
    """Return the faster kind of product with a whole bank on this processor."""
    products: Products = Float32Products(rows)
    if len(rows) >= FEWEST_ROWS and _has_bfloat16_units():
        mean: Float64Array = rows.mean(axis=0, dtype=np.float64)
        products = BFloat16Products(rows, mean.astype(np.float32))
    products.take(0, len(rows))
    return products


def _has_bfloat16_units() -> bool:
    """Ask torch whether the processor multiplies bfloat16 in hardware."""
    ask = getattr(_torch().cpu, "_is_avx512_bf16_supported", None)
    return ask is not None and bool(ask())


def _torch() -> Any:
    import torch  # noqa: PLC0415 - heavy

    return torch
