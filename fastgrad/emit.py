"""LLVM values with Python arithmetic: what the op table's functions run on to become machine code.

``Emitter`` holds an ``IRBuilder`` and a width (1: scalar code; more: that many lanes in one vector). A
``FloatValue``, ``IntegerValue`` or ``ConditionValue`` wraps an LLVM value of that width. No fast-math flag is ever
set and fma is only what the source asks for, so every width and every tier gives the same bits.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from llvmlite import ir

from fastgrad.operators import ConditionOperators, FloatOperators, IntegerOperators, OperationOperand

F64 = ir.DoubleType()
I64 = ir.IntType(64)
I1 = ir.IntType(1)

_COMPARISONS = {"<": "olt", "<=": "ole", ">": "ogt", ">=": "oge", "==": "oeq", "!=": "une"}
_ON_FLOATS = {"+": "fadd", "-": "fsub", "*": "fmul", "/": "fdiv"}
_ON_BITS = {"&": "and_", "|": "or_", "^": "xor"}
_ON_INTEGERS = {"+": "add", "-": "sub", "*": "mul", "<<": "shl", ">>": "ashr", ">>>": "lshr", **_ON_BITS}


class Emitter:
    """Where instructions go and how many lanes each holds."""

    def __init__(self, builder: Any, width: int = 1) -> None:
        self.builder = builder
        self.width = width
        self.float_type = self.type_of(F64)
        self.integer_type = self.type_of(I64)
        self.condition_type = self.type_of(I1)

    def type_of(self, scalar: Any) -> Any:
        return scalar if self.width == 1 else ir.VectorType(scalar, self.width)

    def constant(self, scalar: Any, value: Any) -> Any:
        if self.width == 1:
            return ir.Constant(scalar, value)
        return ir.Constant(ir.VectorType(scalar, self.width), [ir.Constant(scalar, value)] * self.width)

    def float(self, x: Any) -> FloatValue:
        """``x`` as a float value: itself, a condition as 1.0 or 0.0, a Python number as a constant."""
        if isinstance(x, FloatValue):
            return x
        if isinstance(x, ConditionValue):
            return x.select(1.0, 0.0)
        return FloatValue(self, self.constant(F64, float(x)))

    def integer(self, x: Any) -> IntegerValue:
        return x if isinstance(x, IntegerValue) else IntegerValue(self, self.constant(I64, int(x)))

    def condition(self, x: Any) -> ConditionValue:
        """``x`` as a condition: a float is true where it differs from zero (so NaN is true, as in NumPy)."""
        if isinstance(x, ConditionValue):
            return x
        if isinstance(x, FloatValue):
            return x != 0.0
        return ConditionValue(self, self.constant(I1, int(x)))

    def intrinsic(self, name: str, *args: FloatValue) -> FloatValue:
        # llvmlite cannot mangle vector types in intrinsic names, so the declaration is made by hand.
        full = f"llvm.{name}.{'f64' if self.width == 1 else f'v{self.width}f64'}"
        return FloatValue(self, self.builder.call(self._declare(full, len(args)), [arg.llvm for arg in args]))

    def _declare(self, name: str, arity: int) -> Any:
        module = self.builder.module
        declared = module.globals.get(name)
        if declared is None:
            declared = ir.Function(module, ir.FunctionType(self.float_type, [self.float_type] * arity), name)
        return declared

    def out_of_line(self, function: Callable[..., Any], arity: int) -> Any:
        """``function`` over floats as an LLVM function of the module, emitted at its first use."""
        module = self.builder.module
        name = f"{function.__module__}.{function.__qualname__}.{self.width}"
        emitted = module.globals.get(name)
        if emitted is None:
            emitted = ir.Function(module, ir.FunctionType(self.float_type, [self.float_type] * arity), name)
            emitted.linkage = "internal"
            for attribute in ("cold", "noinline", "nounwind"):
                emitted.attributes.add(attribute)
            inner = Emitter(ir.IRBuilder(emitted.append_basic_block("start")), self.width)
            result = function(*[FloatValue(inner, argument) for argument in emitted.args])
            inner.builder.ret(inner.float(result).llvm)
        return emitted

    def load_float(self, pointer: Any) -> FloatValue:
        return FloatValue(self, self.builder.load(pointer, align=8, typ=self.float_type))

    def store_float(self, value: Any, pointer: Any) -> None:
        self.builder.store(self.float(value).llvm, pointer, align=8)


class _Value(OperationOperand):
    """What the three kinds share."""

    __slots__ = ("emitter", "llvm")

    def __init__(self, emitter: Emitter, llvm: Any) -> None:
        self.emitter = emitter
        self.llvm = llvm

    def repeat_while(self, condition: Any, step: Any, state: tuple[Any, ...]) -> tuple[Any, ...]:
        emitter, builder = self.emitter, self.emitter.builder
        before = builder.block
        test, again, done = (builder.append_basic_block(name) for name in ("test", "again", "done"))
        builder.branch(test)
        builder.position_at_end(test)
        values = []
        for value in state:
            phi = builder.phi(value.llvm.type)
            phi.add_incoming(value.llvm, before)
            values.append(type(value)(emitter, phi))
        going = emitter.condition(condition(*values))
        builder.cbranch(going.in_any_lane(), again, done)
        builder.position_at_end(again)
        for value, following in zip(values, step(*values), strict=True):
            value.llvm.add_incoming(going.select(following, value).llvm, builder.block)
        builder.branch(test)
        builder.position_at_end(done)
        return tuple(values)


class FloatValue(FloatOperators, _Value):
    """A double, or a vector of them."""

    __slots__ = ()

    def _binary(self, sign: str, x: Any, y: Any) -> FloatValue:
        emitter = self.emitter
        build = getattr(emitter.builder, _ON_FLOATS[sign])
        return FloatValue(emitter, build(emitter.float(x).llvm, emitter.float(y).llvm))

    def __neg__(self) -> FloatValue:
        return FloatValue(self.emitter, self.emitter.builder.fneg(self.llvm))

    def _compare(self, sign: str, other: Any) -> ConditionValue:
        emitter = self.emitter
        predicate = _COMPARISONS[sign]
        # llvmlite splits IEEE comparisons into an ordered and an unordered family.
        build = emitter.builder.fcmp_unordered if predicate[0] == "u" else emitter.builder.fcmp_ordered
        return ConditionValue(emitter, build(sign, self.llvm, emitter.float(other).llvm))

    def unary(self, name: str) -> FloatValue:
        return self.emitter.intrinsic(name, self)

    def fma(self, x: Any, y: Any, z: Any) -> FloatValue:
        emitter = self.emitter
        return emitter.intrinsic("fma", emitter.float(x), emitter.float(y), emitter.float(z))

    def copysign(self, x: Any, y: Any) -> FloatValue:
        emitter = self.emitter
        return emitter.intrinsic("copysign", emitter.float(x), emitter.float(y))

    def to_bits(self) -> IntegerValue:
        emitter = self.emitter
        return IntegerValue(emitter, emitter.builder.bitcast(self.llvm, emitter.integer_type))

    def to_integer(self) -> IntegerValue:
        emitter = self.emitter
        return IntegerValue(emitter, emitter.builder.fptosi(self.llvm, emitter.integer_type))


class IntegerValue(IntegerOperators, _Value):
    """A signed 64-bit integer, or a vector of them. ``>>`` keeps the sign; arithmetic wraps."""

    __slots__ = ()

    def _binary(self, sign: str, x: Any, y: Any) -> IntegerValue:
        emitter = self.emitter
        build = getattr(emitter.builder, _ON_INTEGERS[sign])
        return IntegerValue(emitter, build(emitter.integer(x).llvm, emitter.integer(y).llvm))

    def _compare(self, sign: str, other: Any) -> ConditionValue:
        emitter = self.emitter
        return ConditionValue(emitter, emitter.builder.icmp_signed(sign, self.llvm, emitter.integer(other).llvm))

    def from_bits(self) -> FloatValue:
        emitter = self.emitter
        return FloatValue(emitter, emitter.builder.bitcast(self.llvm, emitter.float_type))

    def to_float(self) -> FloatValue:
        emitter = self.emitter
        return FloatValue(emitter, emitter.builder.sitofp(self.llvm, emitter.float_type))

    def lookup(self, table: tuple[float, ...]) -> FloatValue:
        emitter = self.emitter
        builder = emitter.builder
        array = _constant_table(builder.module, table)
        zero = ir.Constant(I64, 0)
        if emitter.width == 1:
            pointer = builder.gep(array, [zero, self.llvm], inbounds=True)
            return FloatValue(emitter, builder.load(pointer, align=8, typ=F64))
        found = ir.Constant(emitter.float_type, ir.Undefined)
        for lane in range(emitter.width):
            position = ir.Constant(ir.IntType(32), lane)
            index = builder.extract_element(self.llvm, position)
            entry = builder.load(builder.gep(array, [zero, index], inbounds=True), align=8, typ=F64)
            found = builder.insert_element(found, entry, position)
        return FloatValue(emitter, found)


class ConditionValue(ConditionOperators, _Value):
    """True or false, or a vector of them."""

    __slots__ = ()
    is_condition = True

    def select(self, x: Any, y: Any) -> Any:
        emitter = self.emitter
        convert = emitter.integer if isinstance(x, IntegerValue) or isinstance(y, IntegerValue) else emitter.float
        x, y = convert(x), convert(y)
        return type(x)(emitter, emitter.builder.select(self.llvm, x.llvm, y.llvm))

    def in_any_lane(self) -> Any:
        """One LLVM bit: does it hold in some lane?"""
        emitter = self.emitter
        if emitter.width == 1:
            return self.llvm
        lanes = ir.IntType(emitter.width)
        return emitter.builder.icmp_unsigned("!=", emitter.builder.bitcast(self.llvm, lanes), ir.Constant(lanes, 0))

    def rarely(self, function: Any, operands: tuple[Any, ...], cheap: Any) -> FloatValue:
        emitter, builder = self.emitter, self.emitter.builder
        callee = emitter.out_of_line(function, len(operands))
        arguments = [emitter.float(operand).llvm for operand in operands]
        usual, before = emitter.float(cheap), builder.block
        rare, after = (builder.append_basic_block(name) for name in ("rare", "after"))
        builder.cbranch(self.in_any_lane(), rare, after).set_weights([1, 1 << 20])
        builder.position_at_end(rare)
        taken = self.select(FloatValue(emitter, builder.call(callee, arguments)), usual)
        builder.branch(after)
        builder.position_at_end(after)
        result = builder.phi(emitter.float_type)
        result.add_incoming(usual.llvm, before)
        result.add_incoming(taken.llvm, rare)
        return FloatValue(emitter, result)

    def _binary(self, sign: str, x: Any, y: Any) -> ConditionValue:
        emitter = self.emitter
        build = getattr(emitter.builder, _ON_BITS[sign])
        return ConditionValue(emitter, build(emitter.condition(x).llvm, emitter.condition(y).llvm))

    def __invert__(self) -> ConditionValue:
        return self ^ True


def _constant_table(module: Any, table: tuple[float, ...]) -> Any:
    name = "fastgrad.table." + struct.pack(f"<{len(table)}d", *table).hex()[:64] + f".{len(table)}"
    array = module.globals.get(name)
    if array is None:
        kind = ir.ArrayType(F64, len(table))
        array = ir.GlobalVariable(module, kind, name)
        array.global_constant = True
        array.linkage = "internal"
        array.initializer = ir.Constant(kind, [ir.Constant(F64, entry) for entry in table])
    return array
