"""The two innermost loops of this package, written as LLVM instructions for numba.

``sum_of_squares`` measures one pair in float64. ``similarity_tile`` multiplies ROWS
queries by COLUMNS database rows and compares the results with the pruning thresholds
while they are in registers; NumPy and torch could only write all of them to memory
first, which takes longer than the products.

No Python source makes numba use whole vectors of registers for these loops, or bfloat16
at all. The type of the words says which arithmetic a tile uses:

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

_settings: Any = numba.config
# What numba compiles for: this processor, unless it was told otherwise.
_FEATURES: dict[str, bool] = {}
if not (_settings.CPU_NAME or _settings.CPU_FEATURES):
    _FEATURES = dict(llvmlite.binding.get_host_cpu_features())
HAS_BFLOAT16_UNITS = _FEATURES.get("avx512bf16", False)
# ROWS times two vectors of sums, two of the database and one of a query must fit into
# the registers: 32 of 16 lanes with AVX-512; 16 of 8 lanes is safe elsewhere.
LANES, ROWS = (16, 12) if _FEATURES.get("avx512f", False) else (8, 6)
VECTORS = 2
COLUMNS = VECTORS * LANES
# Of the sum of squares: several sums at a time, as each addition waits for the last.
_SUM_VECTORS, _SUM_WIDTH = 4, 8
SUM_LANES = _SUM_VECTORS * _SUM_WIDTH

WORD = 4  # bytes of a float32, and of whatever else is loaded
_I32, _I64 = ir.IntType(32), ir.IntType(64)
_F32, _F64 = ir.FloatType(), ir.DoubleType()


class _BFloat16(ir.types.Type):  # type: ignore[misc] # llvmlite is untyped, lacks it
    def _to_string(self) -> str:
        return "bfloat"


_FLOATS = ir.VectorType(_F32, LANES)
_INTS = ir.VectorType(_I32, LANES)
_PAIRS = ir.VectorType(_BFloat16(), 2 * LANES)


def _sum_of_squares(context: Any, x: Any, y: Any, n_whole: Any) -> Any:
    """Sum ``(x - y)^2`` of float32 in float64; see ``squared_distance`` for its order.

    Over the first ``n_whole`` coordinates, a multiple of SUM_LANES, not 0. Nothing here
    may be reordered or fused: the result has the same bits on every processor.
    """
    return types.float64(x, y, n_whole), _emit_sum_of_squares


def _similarity_tile(
    context: Any,
    queries: Any,  # words, (n_panels, n_words, ROWS)
    query_panel: Any,  # which of these panels
    database: Any,  # words of the same type, (n_panels, n_words, COLUMNS)
    database_panel: Any,  # which of these panels
    biases: Any,  # what is added to a row's products, (n_panels, COLUMNS) float32
    thresholds: Any,  # of the queries, (n_panels, ROWS) float32
    similarities: Any,  # written to, (ROWS, n_tiles * COLUMNS) float32
    passed: Any,  # written to: bit c if column c is above, (ROWS, n_tiles) int32
    tile: Any,  # which tile of these two
) -> Any:
    """Write a tile of similarities; say if any is above its query's threshold.

    All arrays are C-contiguous.
    """
    panels = (queries, query_panel, database, database_panel)
    results = (similarities, passed, tile)
    return types.boolean(*panels, biases, thresholds, *results), _emit_similarity_tile


# Any: compiled code passes no context, which numba's annotations ask for.
sum_of_squares: Any = intrinsic(_sum_of_squares)
similarity_tile: Any = intrinsic(_similarity_tile)


class _Emitter:
    """Emits what both loops need more than once; values are LLVM's.

    Addresses are integers, so that steps between them are plain arithmetic.
    """

    def __init__(self, builder: Any) -> None:
        self._builder = builder

    def array(self, context: Any, kind: Any, value: Any) -> tuple[Any, list[Any]]:
        """Return address and shape of a numba array."""
        view = context.make_array(kind)(context, self._builder, value)
        shape = [
            self._builder.extract_value(view.shape, axis) for axis in range(kind.ndim)
        ]
        return self._builder.ptrtoint(view.data, _I64), shape

    def step(self, address: Any, count: Any, size: Any) -> Any:
        """Return ``address + count * size``."""
        return self._builder.add(address, self._builder.mul(count, size))

    def load(self, address: Any, word: int, kind: Any) -> Any:
        """Load a value that begins so many words behind an address."""
        loaded = self._builder.load(self._pointer(address, word, kind))
        loaded.align = WORD
        return loaded

    def store(self, value: Any, address: Any, word: int) -> None:
        """Store a value so many words behind an address."""
        stored = self._builder.store(value, self._pointer(address, word, value.type))
        stored.align = WORD

    def spread(self, scalar: Any, kind: Any) -> Any:
        """Return a vector whose lanes all hold the scalar."""
        empty = ir.Constant(kind, ir.Undefined)
        first = self._builder.insert_element(empty, scalar, _I32(0))
        lanes = ir.Constant(ir.VectorType(_I32, kind.count), None)
        return self._builder.shuffle_vector(first, first, lanes)

    def sum_by_halves(self, values: list[Any]) -> Any:
        """Add the second half of the values to the first, until one is left."""
        while len(values) > 1:
            half = len(values) // 2
            pairs = zip(values[:half], values[half:], strict=True)
            values = [self._builder.fadd(x, y) for x, y in pairs]
        return values[0]

    def _pointer(self, address: Any, word: int, kind: Any) -> Any:
        place = self._builder.add(address, _I64(word * WORD))
        return self._builder.inttoptr(place, kind.as_pointer())


def _emit_sum_of_squares(
    context: Any, builder: Any, signature: Any, arguments: Any
) -> Any:
    emit = _Emitter(builder)
    starts = [emit.array(context, signature.args[i], arguments[i])[0] for i in range(2)]
    narrow, wide = (ir.VectorType(kind, _SUM_WIDTH) for kind in (_F32, _F64))
    before, loop = builder.block, builder.append_basic_block("coordinates")
    builder.branch(loop)
    builder.position_at_end(loop)
    place = builder.phi(_I64)
    place.add_incoming(_I64(0), before)
    sums = [builder.phi(wide) for _ in range(_SUM_VECTORS)]
    x, y = (emit.step(start, place, _I64(WORD)) for start in starts)
    totals = []
    for v, total in enumerate(sums):
        pair = (emit.load(address, v * _SUM_WIDTH, narrow) for address in (x, y))
        left, right = (builder.fpext(value, wide) for value in pair)
        difference = builder.fsub(left, right)
        totals.append(builder.fadd(total, builder.fmul(difference, difference)))
    following = builder.add(place, _I64(SUM_LANES))
    place.add_incoming(following, loop)
    for total, result in zip(sums, totals, strict=True):
        total.add_incoming(ir.Constant(wide, None), before)
        total.add_incoming(result, loop)
    after = builder.append_basic_block("lanes")
    builder.cbranch(builder.icmp_signed("<", following, arguments[2]), loop, after)

    builder.position_at_end(after)
    total = emit.sum_by_halves(totals)
    lanes = [builder.extract_element(total, _I64(k)) for k in range(_SUM_WIDTH)]
    return emit.sum_by_halves(lanes)


def _emit_similarity_tile(
    context: Any, builder: Any, signature: Any, arguments: Any
) -> Any:
    in_bfloat16 = signature.args[0].dtype == types.int32
    emit = _Emitter(builder)

    def array(position: int) -> tuple[Any, list[Any]]:
        return emit.array(context, signature.args[position], arguments[position])

    (queries, shape), (database, _) = array(0), array(2)
    (biases, _), (thresholds, _) = array(4), array(5)
    (similarities, _), (passed, (_, n_tiles)) = array(6), array(7)
    n_words, query_panel, database_panel = shape[1], arguments[1], arguments[3]
    tile = arguments[8]
    row_bytes, column_bytes = _I64(ROWS * WORD), _I64(COLUMNS * WORD)
    queries = emit.step(queries, builder.mul(query_panel, n_words), row_bytes)
    database = emit.step(database, builder.mul(database_panel, n_words), column_bytes)
    biases = emit.step(biases, database_panel, column_bytes)
    thresholds = emit.step(thresholds, query_panel, row_bytes)
    similarities = emit.step(similarities, tile, column_bytes)
    passed = emit.step(passed, tile, _I64(WORD))

    begin = [emit.load(biases, v * LANES, _FLOATS) for v in range(VECTORS)]
    before, loop = builder.block, builder.append_basic_block("words")
    builder.branch(loop)
    builder.position_at_end(loop)
    word = builder.phi(_I64)
    word.add_incoming(_I64(0), before)
    sums = [builder.phi(_FLOATS) for _ in range(ROWS * VECTORS)]
    query_words = emit.step(queries, word, row_bytes)
    database_words = emit.step(database, word, column_bytes)
    kind = _INTS if in_bfloat16 else _FLOATS
    columns = [emit.load(database_words, v * LANES, kind) for v in range(VECTORS)]
    totals = []
    for row in range(ROWS):
        value = emit.spread(emit.load(query_words, row, kind.element), kind)
        for v in range(VECTORS):
            total = sums[row * VECTORS + v]
            totals.append(_multiply_add(builder, value, columns[v], total))
    following = builder.add(word, _I64(1))
    word.add_incoming(following, loop)
    for i, (total, result) in enumerate(zip(sums, totals, strict=True)):
        total.add_incoming(begin[i % VECTORS], before)
        total.add_incoming(result, loop)
    after = builder.append_basic_block("thresholds")
    builder.cbranch(builder.icmp_signed("<", following, n_words), loop, after)

    builder.position_at_end(after)
    any_passed = _I32(0)
    for row in range(ROWS):
        threshold = emit.spread(emit.load(thresholds, row, _F32), _FLOATS)
        before = builder.mul(n_tiles, _I64(row))
        line = emit.step(similarities, before, column_bytes)
        mask = _I32(0)
        for v in range(VECTORS):
            total = totals[row * VECTORS + v]
            emit.store(total, line, v * LANES)
            above = builder.fcmp_ordered(">", total, threshold)
            bits = builder.zext(builder.bitcast(above, ir.IntType(LANES)), _I32)
            mask = builder.or_(mask, builder.shl(bits, _I32(v * LANES)))
        emit.store(mask, emit.step(passed, before, _I64(WORD)), 0)
        any_passed = builder.or_(any_passed, mask)
    return builder.icmp_unsigned("!=", any_passed, _I32(0))


def _multiply_add(builder: Any, x: Any, y: Any, total: Any) -> Any:
    """Return ``total + x y``, lane by lane; words of integers hold two numbers."""
    if x.type == _FLOATS:
        kind = ir.FunctionType(_FLOATS, [_FLOATS] * 3)
        fused = builder.module.declare_intrinsic(f"llvm.fma.v{LANES}f32", (), kind)
        return builder.call(fused, [x, y, total])
    kind = ir.FunctionType(_FLOATS, [_FLOATS, _PAIRS, _PAIRS])
    name = "llvm.x86.avx512bf16.dpbf16ps.512"
    dot = builder.module.declare_intrinsic(name, (), kind)
    return builder.call(dot, [total, *(builder.bitcast(w, _PAIRS) for w in (x, y))])
