"""Two loops by Triton, one kernel each, for CUDA devices; the bits are those of torch.

``pair_distances`` and ``pick_leading`` do what ``_pair_distances`` of ``distances`` and
``_pick_leading`` of ``coreset`` do by many operators, each of which the host launches,
with results that go through the device's memory. ``distances.fused`` says where.
"""

# No ``from __future__ import annotations``: Triton 3.0 reads annotations as types.
import torch
import triton
import triton.language as tl

from adlib.neighbors._cpu.llvm import SUM_LANES

PAIRS = 32  # that one program measures
# A fused multiply-add rounds once, where the twins round twice.
OPTIONS = {"enable_fp_fusion": False}


def pick_leading(
    distances: torch.Tensor,
    values: torch.Tensor,
    block: torch.Tensor,
    limit: torch.Tensor,
    limit_index: torch.Tensor,
    n_steps: int,
) -> tuple[torch.Tensor, float]:
    """Return the picks that lead, at most ``n_steps``, and the value of the last.

    The host waits for the device once.
    """
    n_rows = len(values)
    picks = block.new_empty(n_steps)
    outcome = values.new_empty(2)  # how many picks, and the value of the last
    with torch.cuda.device(values.get_device()):
        _pick_leading[(1,)](
            distances,
            values,
            block,
            limit,
            limit_index,
            picks,
            outcome,
            n_rows,
            n_steps,
            distances.stride(0),
            WIDTH=triton.next_power_of_2(n_rows),
            **OPTIONS,
        )
    n_picks, last = outcome.tolist()
    return picks[: int(n_picks)], last


@triton.jit(do_not_specialize=["n_rows", "n_steps"])  # type: ignore[untyped-decorator]
def _pick_leading(
    distances: tl.tensor,
    values: tl.tensor,
    block: tl.tensor,
    limit: tl.tensor,
    limit_index: tl.tensor,
    picks: tl.tensor,
    outcome: tl.tensor,
    n_rows: tl.tensor,
    n_steps: tl.tensor,
    stride: tl.tensor,
    WIDTH: tl.constexpr,
) -> None:
    """Run the textbook greedy on a block, in one program that holds its values."""
    column = tl.arange(0, WIDTH)
    inside = column < n_rows
    # Columns beyond the block are lower than what is selected: none is picked.
    nearest = tl.load(values + column, mask=inside, other=float("-inf"))
    indices = tl.load(block + column, mask=inside, other=0)
    most = tl.load(limit)
    # The block ascends: these places come before the limit's index.
    n_before = tl.sum((inside & (indices < tl.load(limit_index))).to(tl.int32))
    last, n_picks = most, 0
    leads = n_steps > 0
    while leads & (n_picks < n_steps):
        value, place = tl.max(
            nearest, 0, return_indices=True, return_indices_tie_break_left=True
        )
        leads = (value > most) | ((value == most) & (place < n_before))
        tl.store(picks + n_picks, tl.load(block + place), mask=leads)
        n_picks += leads.to(tl.int32)
        last = tl.where(leads, value, last)
        row = distances + place.to(tl.int64) * stride
        others = tl.load(row + column, mask=inside, other=float("inf"))
        nearest = tl.minimum(nearest, others)
    tl.store(outcome, n_picks)
    tl.store(outcome + 1, last)


def pair_distances(
    left: torch.Tensor, i: torch.Tensor, right: torch.Tensor, j: torch.Tensor
) -> torch.Tensor:
    """Return float64 squared distances of ``left[i]`` and ``right[j]``, (n_pairs,)."""
    result = torch.empty(len(i), dtype=torch.float64, device=left.device)
    if not len(i):
        return result
    with torch.cuda.device(left.get_device()):
        _pair_distances[(triton.cdiv(len(i), PAIRS),)](
            left.contiguous(),
            i.contiguous(),
            right.contiguous(),
            j.contiguous(),
            result,
            len(i),
            left.shape[1],
            PAIRS=PAIRS,
            LANES=SUM_LANES,
            HALVINGS=SUM_LANES.bit_length() - 1,
            **OPTIONS,
        )
    return result


@triton.jit(do_not_specialize=["n_pairs"])  # type: ignore[untyped-decorator]
def _pair_distances(
    left: tl.tensor,
    i: tl.tensor,
    right: tl.tensor,
    j: tl.tensor,
    result: tl.tensor,
    n_pairs: tl.tensor,
    n_features: tl.tensor,
    PAIRS: tl.constexpr,
    LANES: tl.constexpr,
    HALVINGS: tl.constexpr,
) -> None:
    """Sum in the order of ``_cpu.distances.squared_distance``."""
    pair = tl.program_id(0).to(tl.int64) * PAIRS + tl.arange(0, PAIRS)
    inside = pair < n_pairs
    x = left + tl.load(i + pair, mask=inside, other=0) * n_features
    y = right + tl.load(j + pair, mask=inside, other=0) * n_features
    lane = tl.arange(0, LANES)[None, :]
    lanes = tl.zeros((PAIRS, LANES), tl.float64)
    whole = n_features // LANES * LANES
    for k in range(0, whole, LANES):
        lanes += _square(x[:, None] + (k + lane), y[:, None] + (k + lane))
    for _ in tl.static_range(HALVINGS):
        lanes = _add_halves(lanes)
    total = tl.reshape(lanes, (PAIRS,))
    for k in range(whole, n_features):
        total += _square(x + k, y + k)
    tl.store(result + pair, total, mask=inside)


@triton.jit  # type: ignore[untyped-decorator]
def _square(x: tl.tensor, y: tl.tensor) -> tl.tensor:
    difference = tl.load(x).to(tl.float64) - tl.load(y).to(tl.float64)
    return difference * difference


@triton.jit  # type: ignore[untyped-decorator]
def _add_halves(lanes: tl.tensor) -> tl.tensor:
    """Add the second half of the columns to the first."""
    half: tl.constexpr = lanes.shape[1] // 2
    halves = tl.reshape(lanes, (lanes.shape[0], 2, half))
    first, second = tl.split(tl.permute(halves, (0, 2, 1)))
    return first + second
