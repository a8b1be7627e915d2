"""One tile of promises in registers: the innermost loop of this room.

A tile is ROWS seekers against COLUMNS members. All its products stay in vector
registers until they are complete, and there they are compared with the seekers' bars,
so that a tile in which nobody clears a bar costs little more than its multiply-adds.
NumPy and torch can only write all products to memory first and compare them there,
which takes longer than the products.

The loop is written as LLVM instructions, since no Python source makes numba use whole
vectors of registers, or bfloat16 at all. The type of the words says which arithmetic:

- float32: a word is one number; fused multiply-add, on any processor;
- int32: a word is two bfloat16 numbers; the processor's own dot product of pairs
  (AVX512-BF16), which adds up in float32.
"""

from __future__ import annotations

from typing import Any

import llvmlite.binding
import numba
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from adlib.neighbors._emit import F32, I32, I64, WORD, Emitter


def _host_features() -> dict[str, bool]:
    """Return what numba compiles for: this processor, unless it was told otherwise."""
    settings: Any = numba.config
    if settings.CPU_NAME or settings.CPU_FEATURES:
        return {}
    return dict(llvmlite.binding.get_host_cpu_features())


_FEATURES = _host_features()
HAS_BFLOAT16_UNITS = _FEATURES.get("avx512bf16", False)
# ROWS times two vectors of sums, two of members and one of seekers must fit into the
# registers: 32 of 16 lanes with AVX-512; 16 of 8 lanes is safe elsewhere.
LANES, ROWS = (16, 12) if _FEATURES.get("avx512f", False) else (8, 6)
VECTORS = 2
COLUMNS = VECTORS * LANES


class _BFloat16(ir.types.Type):  # type: ignore[misc] # llvmlite is untyped, lacks it
    def _to_string(self) -> str:
        return "bfloat"


_SUMS = ir.VectorType(F32, LANES)
_INTS = ir.VectorType(I32, LANES)
_PAIRS = ir.VectorType(_BFloat16(), 2 * LANES)


def _promise_tile(
    context: Any,
    seekers: Any,
    seeker_panel: Any,
    members: Any,
    member_panel: Any,
    starts: Any,
    bars: Any,
    strip: Any,
    marks: Any,
    position: Any,
) -> Any:
    """Write a tile of promises and say whether one of them exceeds its seeker's bar.

    For compiled code. All arrays are C-contiguous; the words are of one type.

    Args:
        context: numba's.
        seekers: Words, (n_panels, n_words, ROWS).
        seeker_panel: Which of these panels.
        members: Words, (n_panels, n_words, COLUMNS).
        member_panel: Which of these panels.
        starts: What each member's sum begins with, (n_panels, COLUMNS) float32.
        bars: (n_panels, ROWS) float32.
        strip: Promises, (ROWS, n_tiles * COLUMNS) float32, to write to.
        marks: Bit c is set where the promise in column c of a tile is above its bar,
            (ROWS, n_tiles) int32, to write to.
        position: Which tile of these two.

    Returns:
        Whether any promise is above its bar.
    """
    panels = (seekers, seeker_panel, members, member_panel)
    return types.boolean(*panels, starts, bars, strip, marks, position), _generate


promise_tile: Any = intrinsic(_promise_tile)


def _generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    """Emit the instructions of ``promise_tile``."""
    in_bfloat16 = signature.args[0].dtype == types.int32
    emit = Emitter(builder)

    def array(position: int) -> tuple[Any, list[Any]]:
        return emit.array(context, signature.args[position], arguments[position])

    (seekers, shape), (members, _) = array(0), array(2)
    (starts, _), (bars, _) = array(4), array(5)
    (strip, _), (marks, (_, n_tiles)) = array(6), array(7)
    n_words, row_panel, column_panel = shape[1], arguments[1], arguments[3]
    position = arguments[8]
    row_bytes, column_bytes = emit.number(ROWS * WORD), emit.number(COLUMNS * WORD)
    seekers = emit.step(seekers, builder.mul(row_panel, n_words), row_bytes)
    members = emit.step(members, builder.mul(column_panel, n_words), column_bytes)
    starts = emit.step(starts, column_panel, column_bytes)
    bars = emit.step(bars, row_panel, row_bytes)
    strip = emit.step(strip, position, column_bytes)
    marks = emit.step(marks, position, emit.number(WORD))

    begin = [emit.load(starts, v * LANES, _SUMS) for v in range(VECTORS)]
    before, loop = builder.block, builder.append_basic_block("words")
    builder.branch(loop)
    builder.position_at_end(loop)
    word = builder.phi(I64)
    word.add_incoming(emit.number(0), before)
    sums = [builder.phi(_SUMS) for _ in range(ROWS * VECTORS)]
    mine = emit.step(seekers, word, row_bytes)
    theirs = emit.step(members, word, column_bytes)
    kind = _INTS if in_bfloat16 else _SUMS
    columns = [emit.load(theirs, v * LANES, kind) for v in range(VECTORS)]
    totals = []
    for row in range(ROWS):
        value = emit.spread(emit.load(mine, row, kind.element), kind)
        for v in range(VECTORS):
            total = sums[row * VECTORS + v]
            totals.append(_multiply_add(builder, value, columns[v], total))
    following = builder.add(word, emit.number(1))
    word.add_incoming(following, loop)
    for i, (total, result) in enumerate(zip(sums, totals, strict=True)):
        total.add_incoming(begin[i % VECTORS], before)
        total.add_incoming(result, loop)
    after = builder.append_basic_block("bars")
    builder.cbranch(builder.icmp_signed("<", following, n_words), loop, after)

    builder.position_at_end(after)
    any_above = I32(0)
    for row in range(ROWS):
        bar = emit.spread(emit.load(bars, row, F32), _SUMS)
        before = builder.mul(n_tiles, emit.number(row))
        line = emit.step(strip, before, column_bytes)
        mark = I32(0)
        for v in range(VECTORS):
            total = totals[row * VECTORS + v]
            emit.store(total, line, v * LANES)
            above = builder.fcmp_ordered(">", total, bar)
            bits = builder.zext(builder.bitcast(above, ir.IntType(LANES)), I32)
            mark = builder.or_(mark, builder.shl(bits, I32(v * LANES)))
        emit.store(mark, emit.step(marks, before, emit.number(WORD)), 0)
        any_above = builder.or_(any_above, mark)
    return builder.icmp_unsigned("!=", any_above, I32(0))


def _multiply_add(builder: Any, x: Any, y: Any, total: Any) -> Any:
    """Return ``total + x y``, lane by lane; words of integers hold two numbers."""
    if x.type == _SUMS:
        kind = ir.FunctionType(_SUMS, [_SUMS] * 3)
        fused = builder.module.declare_intrinsic(f"llvm.fma.v{LANES}f32", (), kind)
        return builder.call(fused, [x, y, total])
    kind = ir.FunctionType(_SUMS, [_SUMS, _PAIRS, _PAIRS])
    name = "llvm.x86.avx512bf16.dpbf16ps.512"
    dot = builder.module.declare_intrinsic(name, (), kind)
    return builder.call(dot, [total, *(builder.bitcast(w, _PAIRS) for w in (x, y))])
