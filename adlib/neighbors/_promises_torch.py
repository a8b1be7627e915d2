"""Coarse stand-ins for points on a GPU, whose products bound distances both ways.

As in ``_sketch``, but without a basis: a GPU has product units to spare. With c fixed,
a = x - c and b = y - c, and t^ what is stored of t = a, rounded to bfloat16. Let
r >= |t - t^| be the error that the rounding really made, and w = |t| + r. Then

    |t_a.t_b - t^_a.t^_b| <= r_a w_b + w_a r_b =: e.

So two more columns, (r, w) of a seeker meeting (w, r) of a member, each rounded
upwards, make P = t^_a.t^_b + e of one product. With s = |a|^2 + |b|^2,

    (1 - g) s - 2 P  <=  |x - y|^2  <=  (1 + g) s - 2 P + 4 e.

From the left side, as in ``_distances``,

    promise = P - (1 - g) |b|^2 / 2,    bar = ((1 - g) |a|^2 - m) / 2 - UNDERFLOW,

and a pair that is no farther than m has a promise above the bar of m. From the right
side, one promise alone says how near its member is at most: the *ceiling*.

The slack g covers what float32 rounds. With u = 2^-24 and k columns it is the sum of

- 8 u for centring. A difference of two float32 numbers is off by u of itself at most,
  so a moves by u |a|, b by u |b|, |a - b|^2 by 2 u (|a| + |b|)^2 <= 4 u s, and as much
  again is more than what terms in u^2 need;
- 5 k u for the product. Those of bfloat16 numbers are exact in float32, so only the
  sum rounds, by 2 u of the sum of absolute values for each addition where units
  truncate instead of rounding, and by as much again for each number that they align
  with others first: 4 k u at most, in any order. Each coordinate is rounded by 2^-8 of
  itself at most, hence the absolute values add up to |t^_a| |t^_b| + e <= 0.51 s, and
  the error, 2.04 k u s, is below 5 k u s / 2;
- 24 u for what rounds once: the half norm (u), its subtraction (2.1 u), the bar (3 u:
  it falls as m grows, and no m above 2 s matters), float64 norms and distances (far
  below u). What is left over makes "above the bar" strict, as does UNDERFLOW for s = 0.

Numbers under SMALLEST are stored as zero and counted by r, so that no unit meets a
subnormal number; products that vanish all the same stay below UNDERFLOW together.

All of this holds for any precision that a caller allows to float32 products: what is
stored has the 8 bits of the coarsest, so rounding it again, to TF32 or to bfloat16,
changes nothing. Where bfloat16 products give float32 sums (torch >= 2.8 on a CUDA GPU
of capability 8.0) they are used; elsewhere the same numbers are multiplied as float32.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

from adlib._typing import AnyArray
from adlib.neighbors._distances import UNDERFLOW, UNIT_ROUNDOFF
from adlib.neighbors._sketch import SAMPLE, SMALLEST
from adlib.neighbors._squares import LANES

BOUND_COLUMNS = 2
ALIGNMENT = 8  # columns; tensor cores read 16 bytes at a time
UPWARDS = 1.0 + 2.0**-7  # undoes, and more, rounding to bfloat16 by 2^-8
BYTES_AT_ONCE = 2**28  # of float64 differences, 256 MiB


class Seekers(NamedTuple):
    """Coarse points: columns (n, n_columns) bfloat16, |a|^2 (n,) float64."""

    columns: torch.Tensor
    norms: torch.Tensor


class Promises:
    """Promises, bars and ceilings of points around one centre, on one device.

    Args:
        rows: Points to fit, (n, n_features) float32; the bounds hold for any.
    """

    def __init__(self, rows: torch.Tensor) -> None:
        n_points, n_features = rows.shape
        sample = rows[:: -(-n_points // SAMPLE)]
        self._centre = sample.double().mean(dim=0).float()
        used = n_features + BOUND_COLUMNS
        self._n_columns = used + -used % ALIGNMENT
        self._slack = (5 * self._n_columns + 32) * UNIT_ROUNDOFF
        self._sums_bfloat16 = _sums_bfloat16_in_float32(rows.device)

    def seekers(self, rows: torch.Tensor) -> Seekers:
        """Return coarse stand-ins for rows, (n, n_features) float32."""
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
        return Seekers(columns, norms)

    def of(self, seekers: Seekers, members: Seekers) -> torch.Tensor:
        """Return the promise of each pair, (n_seekers, n_members) float32."""
        left, right = seekers.columns, _turned(members.columns).T
        if self._sums_bfloat16:
            promised = torch.mm(left, right, out_dtype=torch.float32)
        else:
            widened = right.float()
            promised = widened.new_empty((len(left), widened.shape[1]))
            at_once = max(1, BYTES_AT_ONCE // (4 * self._n_columns))
            for first in range(0, len(left), at_once):
                part = slice(first, first + at_once)
                torch.mm(left[part].float(), widened, out=promised[part])
        return promised.sub_(((1.0 - self._slack) * members.norms / 2).float())

    def bars(self, norms: torch.Tensor, nearest: torch.Tensor) -> torch.Tensor:
        """Return what promises exceed if they are no farther than ``nearest``."""
        return (((1.0 - self._slack) * norms - nearest) / 2 - UNDERFLOW).float()

    def ceilings(
        self,
        seekers: Seekers,
        members: Seekers,
        places: torch.Tensor,
        promised: torch.Tensor,
    ) -> torch.Tensor:
        """Return what squared distances to some members do not exceed.

        Args:
            seekers: n of them.
            members: Whoever they met.
            places: Which members each seeker is asked about, (n, n_places).
            promised: The promises of these pairs, (n, n_places).

        Returns:
            (n, n_places) float64.
        """
        r, w = seekers.columns[:, None, -2:].double().unbind(dim=2)
        r_member, w_member = members.columns[:, -2:][places].double().unbind(dim=2)
        inexact = 4.0 * (r * w_member + w * r_member) + 4.0 * UNDERFLOW
        member_norms = 2.0 * self._slack * members.norms[places]
        norms = (1.0 + self._slack) * seekers.norms[:, None] + member_norms
        return norms - 2.0 * promised.double() + inexact


def some(points: Seekers, which: torch.Tensor | slice) -> Seekers:
    """Return some of the points."""
    return Seekers(points.columns[which], points.norms[which])


def _turned(columns: torch.Tensor) -> torch.Tensor:
    """Return seekers' columns as those of members."""
    return torch.cat([columns[:, :-2], columns[:, -2:].flip(1)], dim=1)


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


def squared_distances(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Return float64 squared distances of paired rows, (n_pairs,).

    Summed over LANES lanes in the order of ``_distances.squared_distance``, so that
    both give the same bits, and equal pairs equal distances, on every device.
    """
    n_features = left.shape[1]
    whole = n_features - n_features % LANES
    result = torch.empty(len(left), dtype=torch.float64, device=left.device)
    at_once = max(1, BYTES_AT_ONCE // (8 * n_features))
    for first in range(0, len(left), at_once):
        pairs = slice(first, first + at_once)
        squares = left[pairs].double()
        squares -= right[pairs]
        squares *= squares
        lanes = squares.new_zeros((len(squares), LANES))
        for k in range(0, whole, LANES):
            lanes += squares[:, k : k + LANES]
        while lanes.shape[1] > 1:
            lanes = lanes[:, : lanes.shape[1] // 2] + lanes[:, lanes.shape[1] // 2 :]
        total = lanes[:, 0]
        for k in range(whole, n_features):
            total = total + squares[:, k]
        result[pairs] = total
    return result


def pair_distances(
    left: torch.Tensor, i: torch.Tensor, right: torch.Tensor, j: torch.Tensor
) -> torch.Tensor:
    """Return float64 squared distances of ``left[i]`` and ``right[j]``, (n_pairs,).

    The rows are gathered in parts, so that memory stays bounded however many pairs.
    """
    at_once = max(1, BYTES_AT_ONCE // (8 * left.shape[1]))
    result = torch.empty(len(i), dtype=torch.float64, device=left.device)
    for first in range(0, len(i), at_once):
        part = slice(first, first + at_once)
        result[part] = squared_distances(left[i[part]], right[j[part]])
    return result


def to_device(array: AnyArray, device: str) -> torch.Tensor:
    """Return an array on a device; one that must not be written to is copied."""
    if not array.flags.writeable:  # torch has no such tensors, and warns
        array = array.copy()
    return torch.from_numpy(array).to(device)
