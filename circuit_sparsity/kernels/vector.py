"""Sixteen 32-bit numbers as one value inside a kernel.

The compiler does not reliably turn a loop over a few tokens into vector instructions, nor keep its
sums in registers; with the vector as a type it must. LLVM splits a vector where the machine's are
shorter, so nothing here is bound to one processor.

A vector is written to and read from flat arrays at an offset; a float in its place stands for
sixteen copies of it.
"""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.datamodel.models import PrimitiveModel
from numba.extending import intrinsic, register_model

LANES = 16
operation: Any = intrinsic  # its first parameter, numba's own, is not the caller's to give

_FLOAT, _INT = ir.FloatType(), ir.IntType(32)
_FLOATS, _INTS = ir.VectorType(_FLOAT, LANES), ir.VectorType(_INT, LANES)


class _Floats(types.Type):
    def __init__(self) -> None:
        super().__init__(name="SixteenFloats")


class _Ints(types.Type):
    def __init__(self) -> None:
        super().__init__(name="SixteenInts")


floats, ints = _Floats(), _Ints()


@register_model(_Floats)
class _FloatsModel(PrimitiveModel):
    def __init__(self, manager: Any, numba_type: Any) -> None:
        super().__init__(manager, numba_type, _FLOATS)


@register_model(_Ints)
class _IntsModel(PrimitiveModel):
    def __init__(self, manager: Any, numba_type: Any) -> None:
        super().__init__(manager, numba_type, _INTS)


def _splat(builder: Any, value: Any) -> Any:
    if isinstance(value.type, ir.VectorType):
        return value
    vector = ir.VectorType(value.type, LANES)
    first = builder.insert_element(ir.Constant(vector, ir.Undefined), value, ir.Constant(_INT, 0))
    zeros = ir.Constant(_INTS, [0] * LANES)
    return builder.shuffle_vector(first, ir.Constant(vector, ir.Undefined), zeros)


def _address(context: Any, builder: Any, array_type: Any, array: Any, at: Any, vector: Any) -> Any:
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [at]), vector.as_pointer())


def _is_int(value: Any) -> bool:
    return value is ints or isinstance(value, types.Integer)


def _elementwise(emit: Callable[..., Any], *given: Any, gives: Any = None) -> Any:
    """Signature and code of an operation on vectors, or on numbers to be spread into one."""
    whole = all(_is_int(x) for x in given)
    number, vector = (types.int32, ints) if whole else (types.float32, floats)
    takes = [x if x in (floats, ints) else number for x in given]

    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return emit(builder, *[_splat(builder, arg) for arg in args])

    return (gives or vector)(*takes), code


def _call(builder: Any, name: str, *args: Any) -> Any:
    kind = ir.FunctionType(_FLOATS, [_FLOATS] * len(args))
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), args)


def _loader(vector: Any, gives: Any, array: Any) -> Any:
    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        value = builder.load(
            _address(context, builder, signature.args[0], args[0], args[1], vector)
        )
        value.align = 4
        return value

    return gives(array, types.intp), code


@operation
def load(typing_context, array, at):
    return _loader(_FLOATS, floats, array)


@operation
def load_bits(typing_context, array, at):
    return _loader(_INTS, ints, array)


@operation
def spread(typing_context, array, at):
    """Sixteen copies of ``array[at]``; unlike that, never counted from the end."""

    def code(context, builder, signature, args):
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        return _splat(builder, builder.load(builder.gep(data, [args[1]])))

    return floats(array, types.intp), code


@operation
def number(typing_context, array, at):
    """``array[at]``, never counted from its end: what may be negative costs a comparison."""

    def code(context, builder, signature, args):
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        return builder.load(builder.gep(data, [args[1]]))

    return array.dtype(array, types.intp), code


@operation
def store(typing_context, array, at, value):
    def code(context, builder, signature, args):
        where = _address(context, builder, signature.args[0], args[0], args[1], args[2].type)
        builder.store(args[2], where).align = 4
        return context.get_dummy_value()

    return types.void(array, types.intp, value), code


@operation
def splat(typing_context, value):
    return _elementwise(lambda builder, x: x, value)


@operation
def add(typing_context, left, right):
    whole = _is_int(left) and _is_int(right)
    return _elementwise(lambda b, x, y: b.add(x, y) if whole else b.fadd(x, y), left, right)


@operation
def subtract(typing_context, left, right):
    whole = _is_int(left) and _is_int(right)
    return _elementwise(lambda b, x, y: b.sub(x, y) if whole else b.fsub(x, y), left, right)


@operation
def multiply(typing_context, left, right):
    return _elementwise(lambda b, x, y: b.fmul(x, y), left, right)


@operation
def divide(typing_context, left, right):
    return _elementwise(lambda b, x, y: b.fdiv(x, y), left, right)


@operation
def multiply_add(typing_context, left, right, total):
    """left * right + total, in one rounding where the machine has that."""
    name = f"llvm.fmuladd.v{LANES}f32"
    return _elementwise(lambda b, x, y, z: _call(b, name, x, y, z), left, right, total)


@operation
def root(typing_context, value):
    return _elementwise(lambda b, x: _call(b, f"llvm.sqrt.v{LANES}f32", x), value)


@operation
def largest(typing_context, left, right):
    """The larger of the two; left where it is not a number."""

    def emit(builder, x, y):
        compare = builder.icmp_signed if x.type == _INTS else builder.fcmp_ordered
        return builder.select(compare(">", y, x), y, x)

    return _elementwise(emit, left, right)


@operation
def smallest(typing_context, left, right):
    """The smaller of the two; left where it is not a number."""

    def emit(builder, x, y):
        compare = builder.icmp_signed if x.type == _INTS else builder.fcmp_ordered
        return builder.select(compare("<", y, x), y, x)

    return _elementwise(emit, left, right)


@operation
def magnitude_bits(typing_context, value):
    """The bits of |value|; they order like |value|."""

    def emit(builder, x):
        return builder.and_(builder.bitcast(x, _INTS), ir.Constant(_INTS, [0x7FFFFFFF] * LANES))

    return _elementwise(emit, value, gives=ints)


@operation
def scale_by_power(typing_context, value, exponent):
    """value * 2**exponent, for finite results well inside the range of a float."""

    def emit(builder, x, power):
        shift = builder.shl(power, ir.Constant(_INTS, [23] * LANES))
        return builder.bitcast(builder.add(builder.bitcast(x, _INTS), shift), _FLOATS)

    return _elementwise(emit, value, exponent)


@operation
def bits_of(typing_context, value):
    return _elementwise(lambda b, x: b.bitcast(x, _INTS), value, gives=ints)


@operation
def add_where_reaching(typing_context, total, bits, bound):
    """total + 1 in the lanes where bits >= bound."""

    def emit(builder, count, x, y):
        reached = builder.sext(builder.icmp_signed(">=", x, y), _INTS)
        return builder.sub(count, reached)

    return _elementwise(emit, total, bits, bound)


@operation
def keep_where_reaching(typing_context, value, bits, bound):
    """value in the lanes where bits >= bound, 0 elsewhere."""

    def emit(builder, x, y, z):
        reached = builder.icmp_signed(">=", y, z)
        return builder.select(reached, x, ir.Constant(_FLOATS, [0.0] * LANES))

    return _elementwise(emit, value, bits, bound)


@operation
def lanes_between(typing_context, bits, low, high):
    """A number whose bit i is set where low <= bits < high in lane i."""

    def code(context, builder, signature, args):
        x, y, z = args
        inside = builder.and_(builder.icmp_signed(">=", x, y), builder.icmp_signed("<", x, z))
        return builder.zext(builder.bitcast(inside, ir.IntType(LANES)), _INT)

    return types.int32(ints, ints, ints), code


@operation
def lowest_set(typing_context, word):
    """The place of the lowest set bit; 32 for 0."""

    def code(context, builder, signature, args):
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 0))

    return types.int32(types.int32), code


@operation
def transpose(typing_context, source, at, step, target, to, target_step):
    """Turn 16 rows of 16 numbers, ``step`` apart, into 16 columns, ``target_step`` apart."""
    halves = [
        ir.Constant(_INTS, [i // 2 + LANES * (i % 2) + 8 * h for i in range(LANES)]) for h in (0, 1)
    ]

    def code(context, builder, signature, args):
        def place(which, array, start, apart, row):
            offset = builder.add(start, builder.mul(apart, ir.Constant(start.type, row)))
            return _address(context, builder, signature.args[which], array, offset, _FLOATS)

        rows = [builder.load(place(0, args[0], args[1], args[2], i)) for i in range(LANES)]
        for row in rows:
            row.align = 4
        for _ in range(4):
            pairs = [(rows[i], rows[i + 8]) for i in range(8)]
            rows = [builder.shuffle_vector(*pair, half) for pair in pairs for half in halves]
        for i, row in enumerate(rows):
            builder.store(row, place(3, args[3], args[4], args[5], i)).align = 4
        return context.get_dummy_value()

    at_type = types.intp
    return types.void(source, at_type, at_type, target, at_type, at_type), code
