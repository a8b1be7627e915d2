"""LLVM instructions that the innermost loops of this room are written in."""

from __future__ import annotations

from typing import Any

from llvmlite import ir

I32, I64 = ir.IntType(32), ir.IntType(64)
F32, F64 = ir.FloatType(), ir.DoubleType()
WORD = 4  # bytes of a float32, and of whatever else is loaded


class Emitter:
    """Emits what the loops need more than once; values are LLVM's.

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
        return self._builder.ptrtoint(view.data, I64), shape

    def number(self, value: int) -> Any:
        """Return a constant."""
        return I64(value)

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
        first = self._builder.insert_element(empty, scalar, I32(0))
        lanes = ir.Constant(ir.VectorType(I32, kind.count), None)
        return self._builder.shuffle_vector(first, first, lanes)

    def _pointer(self, address: Any, word: int, kind: Any) -> Any:
        place = self._builder.add(address, self.number(word * WORD))
        return self._builder.inttoptr(place, kind.as_pointer())
