"""The sum that decides: squared differences in float64, in one order everywhere."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from adlib.neighbors._emit import F32, F64, I64, WORD, Emitter

_VECTORS, _WIDTH = 4, 8  # several sums at a time: each addition waits for the last
LANES = _VECTORS * _WIDTH


def _sum_of_squares(context: Any, x: Any, y: Any, n_whole: Any) -> Any:
    """Sum ``(x - y)^2`` over the first coordinates, a multiple of LANES, not 0.

    For compiled code. Written as LLVM instructions, since whether numba would use whole
    vectors for the same sum in Python depends on what stands around it. Nothing here
    may be reordered or fused: the result has the same bits on every processor.

    Args:
        context: numba's.
        x: (n,) float32, contiguous.
        y: The same.
        n_whole: How many coordinates.

    Returns:
        The sum in float64; see ``squared_distance`` for its order.
    """
    return types.float64(x, y, n_whole), _generate


sum_of_squares: Any = intrinsic(_sum_of_squares)


def _generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    emit = Emitter(builder)
    starts = [emit.array(context, signature.args[i], arguments[i])[0] for i in range(2)]
    narrow, wide = ir.VectorType(F32, _WIDTH), ir.VectorType(F64, _WIDTH)
    before, loop = builder.block, builder.append_basic_block("coordinates")
    builder.branch(loop)
    builder.position_at_end(loop)
    place = builder.phi(I64)
    place.add_incoming(emit.number(0), before)
    sums = [builder.phi(wide) for _ in range(_VECTORS)]
    x, y = (emit.step(start, place, emit.number(WORD)) for start in starts)
    totals = []
    for v, total in enumerate(sums):
        pair = (emit.load(address, v * _WIDTH, narrow) for address in (x, y))
        left, right = (builder.fpext(value, wide) for value in pair)
        difference = builder.fsub(left, right)
        totals.append(builder.fadd(total, builder.fmul(difference, difference)))
    following = builder.add(place, emit.number(LANES))
    place.add_incoming(following, loop)
    for total, result in zip(sums, totals, strict=True):
        total.add_incoming(ir.Constant(wide, None), before)
        total.add_incoming(result, loop)
    after = builder.append_basic_block("lanes")
    builder.cbranch(builder.icmp_signed("<", following, arguments[2]), loop, after)

    builder.position_at_end(after)
    half = _VECTORS // 2
    while half:
        totals = [builder.fadd(totals[v], totals[v + half]) for v in range(half)]
        half //= 2
    lanes = [builder.extract_element(totals[0], I64(lane)) for lane in range(_WIDTH)]
    half = _WIDTH // 2
    while half:
        lanes = [builder.fadd(lanes[k], lanes[k + half]) for k in range(half)]
        half //= 2
    return lanes[0]
