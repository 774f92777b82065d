"""The values that flow through a function while it is recorded.

A ``RecordedArray`` holds a NumPy value and the number of the node that computes it. It answers to operators here, and
to indexing, methods and NumPy's two protocols through ``numpy_protocol``, so plain NumPy code runs on it unchanged.
Each operation runs for real on the values and adds a node: ``apply`` finds the recorder and the operand nodes,
computes the value with NumPy, and appends the row. Operators on two scalars have a shorter way of their own,
``_scalar_method``, because recording a loop of scalar code is where recording costs most.
"""

from __future__ import annotations

import operator
import sys
from collections.abc import Callable, Iterator
from functools import cache
from threading import get_ident
from typing import Any, NoReturn

import numpy as np

from fastgrad import array_ops, ops
from fastgrad.errors import InputError, LostDerivativeError, UnsupportedError, located
from fastgrad.recording.recorder import NO_ATTRIBUTE, SCALAR, Recorder
from fastgrad.recording.source import user_line
from fastgrad.recording.storage import Storage, root_of
from fastgrad.tape import ARRAY_OPERATION, Shape
from fastgrad.vm.evaluate import evaluator

_getframe = sys._getframe


class ComplexOperandError(InputError):
    """A real operation was asked of complex values, which ``functions.complex_functions`` may know."""


class RecordedText(str):
    """A recorded value as text, of which no number can be made again without its derivative."""

    __slots__ = ()

    def __float__(self) -> float:
        raise LostDerivativeError(
            located(
                "the text of a recorded value was turned into a number, which would drop its derivative",
                user_line(),
                "Keep the value itself.",
            )
        )

    __int__ = __float__

    def __radd__(self, other: str) -> RecordedText:
        return RecordedText(other + str.__str__(self))


def _text_method(name: str) -> Callable[..., Any]:
    """A method of str that gives parts of a recorded text, or changes it."""
    original = getattr(str, name)

    def method(self: RecordedText, *args: Any, **kwargs: Any) -> Any:
        found = original(self, *args, **kwargs)
        return RecordedText(found) if isinstance(found, str) else type(found)(map(RecordedText, found))

    method.__name__ = name
    return method


for _name in (
    "__add__", "__getitem__", "casefold", "center", "expandtabs", "ljust", "lower", "lstrip", "partition",
    "removeprefix", "removesuffix", "replace", "rjust", "rpartition", "rsplit", "rstrip", "split", "splitlines",
    "strip", "upper", "zfill",
):  # fmt: skip
    setattr(RecordedText, _name, _text_method(_name))


class RecordedArray:
    """A value of a recording; see the module's docstring."""

    __slots__ = ("__weakref__", "_node", "recorder", "stamp", "value")

    def __init__(self, recorder: Recorder, node: int, value: Any, stamp: int = 0) -> None:
        self.recorder = recorder
        self._node = node
        self.value = value
        # after how many writes into its memory the node was right; see ``storage``
        self.stamp = stamp

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        """What ``isinstance`` goes by: code that asks for an array, or for a float, means this too."""
        return np.ndarray if isinstance(self.value, np.ndarray) else type(self.value)

    @property
    def node(self) -> int:
        """The node that holds what the array holds now."""
        if self.recorder.storages:
            storage = self.storage
            if storage is not None and storage.count != self.stamp:
                self._node = storage.node(self.value, self._node, self.stamp)
                self.stamp = storage.count
        return self._node

    @property
    def storage(self) -> Storage | None:
        """What has been written into this array's memory, if anything has."""
        value = self.value
        return self.recorder.storages.get(id(root_of(value))) if isinstance(value, np.ndarray) else None

    def seen_as(self, value: Any, make: Callable[[int], int]) -> RecordedArray:
        """Another view of this array's memory: ``make`` adds its node, given the node of this array."""
        storage = self.storage
        if storage is None:
            return RecordedArray(self.recorder, make(self._node), value)
        if isinstance(value, np.ndarray) and storage.is_all_newer(value, self.stamp):
            return RecordedArray(self.recorder, storage.node(value, -1, 0), value, storage.count)
        # parts of it that are out of date are renewed when it is used
        return RecordedArray(self.recorder, make(self._node), value, self.stamp)

    def __copy__(self) -> RecordedArray:
        return copy_of(self)  # type: ignore[no-any-return]

    def __deepcopy__(self, memo: Any) -> RecordedArray:
        return copy_of(self)  # type: ignore[no-any-return]

    def __dlpack_device__(self) -> NoReturn:
        raise _refused("handing a recorded value to another library by DLPack", "Use NumPy's functions on it.")

    __dlpack__ = __dlpack_device__

    def __reduce__(self) -> NoReturn:
        raise _refused("pickling a recorded value", "Do it outside the differentiated function.")

    def __hash__(self) -> NoReturn:
        raise UnsupportedError(
            located(
                "a recorded value is unhashable: it was used as a key of a dict or set, or as an argument of a "
                "function that keeps its results (functools.lru_cache), which would outlive the recording",
                user_line(),
                "Call the function without its cache (function.__wrapped__), or use a number that is not recorded as "
                "the key.",
            )
        )

    # ---- what NumPy users ask an array

    @property
    def shape(self) -> Shape:
        shape: Shape = self.value.shape
        return shape

    @property
    def ndim(self) -> int:
        return len(self.value.shape)

    @property
    def size(self) -> int:
        return int(self.value.size)

    @property
    def dtype(self) -> np.dtype[Any]:
        dtype: np.dtype[Any] = self.value.dtype
        return dtype

    @property
    def nbytes(self) -> int:
        return int(self.value.nbytes)

    @property
    def itemsize(self) -> int:
        return int(self.value.itemsize)

    def __len__(self) -> int:
        return len(self.value)

    def __repr__(self) -> str:
        return f"RecordedArray({self.value!r})"

    def __str__(self) -> str:
        return RecordedText(self.value)

    def __format__(self, spec: str) -> str:
        return RecordedText(format(self.value, spec))

    def __iter__(self) -> Iterator[Any]:
        if self.ndim == 0:
            raise TypeError("iteration over a 0-d array")
        rows: Any = self
        return (rows[index] for index in range(len(self.value)))

    def __contains__(self, item: Any) -> bool:
        array: Any = self
        return any(bool(element == item) for element in array.ravel())

    # ---- the outcomes that a recording depends on

    def __bool__(self) -> bool:
        outcome = bool(self.value)
        self._guard(outcome, ops.not_equal, 0.0)
        return outcome

    def __int__(self) -> int:
        outcome = int(self.value)
        self._guard(outcome, ops.trunc)
        return outcome

    def __trunc__(self) -> int:
        return int(self)

    def __floor__(self) -> int:
        return int(np.floor(self))  # type: ignore[call-overload]

    def __ceil__(self) -> int:
        return int(np.ceil(self))  # type: ignore[call-overload]

    def __index__(self) -> int:
        outcome = operator.index(self.value)  # NumPy's own error for a float
        self._guard(outcome)
        return outcome

    def __float__(self) -> float:
        if self.dtype.kind in "biu":
            outcome = float(self.value)
            self._guard(outcome)
            return outcome
        raise LostDerivativeError(
            located(
                "a recorded value was turned into a Python float (by float(), by storing it into an array that was "
                "made outside the function or by compiled code, or by a function that knows only floats), which would "
                "drop its derivative",
                user_line(),
                "Keep the value as it is; make arrays that are to hold it inside the function, with np.zeros, np.array "
                "or np.stack, and call functions such as math.sin and np.zeros by these names.",
            )
        )

    def __complex__(self) -> NoReturn:
        raise _refused("complex()", "Complex numbers are not differentiated; write the real and imaginary parts.")

    def _guard(self, outcome: float, operation: ops.Operation | None = None, *rest: float) -> None:
        """Guard that this value, passed through ``operation``, is ``outcome``."""
        array: Any = self
        scalar = self if self.shape == () else array.reshape(())
        if operation is None or (operation is ops.not_equal and self.dtype.kind == "b"):
            self.recorder.guard(scalar.node, outcome)
        else:
            operands = (scalar.node, *map(self.recorder.scalar, rest))
            self.recorder.guard(self.recorder.add(operation.code, operands, ()), outcome)

    def apply_operation(self, operation: ops.Operation, operands: tuple[Any, ...]) -> RecordedArray:
        return apply(operation, operands)

    def apply_array_operation(
        self, operation: array_ops.ArrayOperation, operands: tuple[Any, ...], attribute: Any
    ) -> RecordedArray:
        return apply_array(operation, operands, attribute)


def _refused(what: str, remedy: str) -> UnsupportedError:
    return UnsupportedError(located(f"{what} cannot be recorded", user_line(), remedy))


# ---- recording one operation


def recorder_of(operands: tuple[Any, ...]) -> Recorder:
    """The innermost recorder among the operands' (at least one is recorded)."""
    found: Recorder | None = None
    for operand in operands:
        if type(operand) is RecordedArray and (found is None or operand.recorder.level > found.level):
            found = operand.recorder
    assert found is not None
    return found


def node_of(recorder: Recorder, operand: Any) -> int:
    """The node of any operand in this recorder's recording."""
    if type(operand) is RecordedArray:
        return operand.node if operand.recorder is recorder else recorder.lift(operand)
    if isinstance(operand, np.ndarray):
        return recorder.array(operand)
    return recorder.scalar(operand)


def normal_operand(operand: Any) -> Any:
    """An operand as a RecordedArray, an ndarray of real numbers or a number. Raises InputError for anything else."""
    if type(operand) is RecordedArray or isinstance(operand, (float, int, np.bool_)):
        return operand
    if isinstance(operand, (list, tuple)) or (isinstance(operand, np.ndarray) and operand.dtype.kind == "O"):
        return stacked(operand)
    if hasattr(operand, "recorded_form"):
        # an array that the function has made: recorded by now, or plain
        recorded = operand.recorded_form()
        return operand.plain_form() if recorded is None else recorded
    array = operand if isinstance(operand, np.ndarray) else np.asarray(operand)
    if means_more_than_its_data(array):
        raise InputError(
            located(f"a recorded value met a {type(array).__name__}", user_line(), "Use a plain array (np.asarray).")
        )
    if array.dtype.kind == "c":
        raise ComplexOperandError(
            located("a recorded value met complex numbers", user_line(), "Write the real and imaginary parts.")
        )
    if array.dtype.kind not in "fiub":
        kind = {"U": "text", "S": "text"}.get(array.dtype.kind, f"{array.dtype} data")
        raise InputError(
            located(f"a recorded value met {kind}", user_line(), "Only real numbers can be combined with it.")
        )
    if array.dtype.itemsize > 8:
        raise InputError(
            located(f"a recorded value met {array.dtype} data", user_line(), "Convert it with .astype(float) first.")
        )
    # a captured 0-d array stays one: its content may change
    return array if array.ndim or array is operand else array.item()


def means_more_than_its_data(x: Any) -> bool:
    """Whether it is an array of a kind that NumPy computes with otherwise: masked, or a matrix."""
    # np.ma loads at its first use, and plain arrays need none of it
    return isinstance(x, np.ndarray) and type(x) is not np.ndarray and isinstance(x, (np.ma.MaskedArray, np.matrix))


def value_of(operand: Any) -> Any:
    """The concrete value of an operand, however deep the recordings nest."""
    return operand.value if type(operand) is RecordedArray else operand


def stacked(items: Any) -> Any:
    """Nested lists, tuples or an object array, with recorded values inside, as one array (recorded if any is)."""
    if isinstance(items, np.ndarray) and items.dtype.kind == "O":
        if items.ndim == 0:
            return normal_operand(items.item())
        items = list(items) if items.size else np.zeros(items.shape)
    if not isinstance(items, (list, tuple)):
        return normal_operand(items)
    parts = [stacked(item) for item in items]
    if not any(type(part) is RecordedArray for part in parts):
        return np.array(parts)
    shapes = {np.shape(value_of(part)) for part in parts}
    if len(shapes) > 1:
        raise InputError(
            located(f"a list of values of different shapes {sorted(shapes)}", user_line(), "Give them one shape.")
        )
    shape = (1, *shapes.pop())
    rows = [
        apply_array(array_ops.reshape, (part,), shape) if _recorded(part) else np.reshape(part, shape) for part in parts
    ]
    return rows[0] if len(rows) == 1 else apply_array(array_ops.concatenate, tuple(rows), 0)


def _recorded(x: Any) -> bool:
    return type(x) is RecordedArray


def apply(operation: ops.Operation, operands: tuple[Any, ...]) -> RecordedArray:
    """Record an elementary operation on operands that broadcast."""
    operands = tuple(map(normal_operand, operands))
    value = concrete(operation)(*map(value_of, operands))
    if operation.logical_twin and value.dtype.kind == "b":
        # NumPy adds and multiplies truth values as "or" and "and"
        operation = ops.BY_NAME[operation.logical_twin]
    recorder = recorder_of(operands)
    nodes = tuple([node_of(recorder, operand) for operand in operands])
    return RecordedArray(recorder, recorder.add(operation.code, nodes, value.shape), value)


def apply_array(operation: array_ops.ArrayOperation, operands: tuple[Any, ...], attribute: Any) -> RecordedArray:
    """Record an array operation; numbers among the operands must be arrays already."""
    recorder = recorder_of(operands)
    # a 0-d array becomes a scalar, as NumPy's functions and indexing make it
    value = operation.evaluate(attribute, *map(value_of, operands))[()]
    if isinstance(value, np.ndarray) and type(value) is not np.ndarray:
        # SciPy makes its arrays with the stand-ins
        value = value.view(np.ndarray)
    code = ARRAY_OPERATION + operation.code
    if recorder.storages and _is_view(value, operands) and operands[0].recorder is recorder:
        viewed: RecordedArray = operands[0]
        return viewed.seen_as(value, lambda node: recorder.add(code, (node,), value.shape, attribute))
    nodes = tuple([node_of(recorder, operand) for operand in operands])
    return RecordedArray(recorder, recorder.add(code, nodes, value.shape, attribute), value)


def _is_view(value: Any, operands: tuple[Any, ...]) -> bool:
    return isinstance(value, np.ndarray) and len(operands) == 1 and root_of(value) is root_of(operands[0].value)


@cache
def concrete(operation: ops.Operation) -> Callable[..., Any]:
    """The function that computes an operation's value while recording: NumPy's, or else the VM's own."""
    if operation.on_arrays is not None:
        return operation.on_arrays
    for name in operation.answers_to:
        module, _, attribute = name.rpartition(".")
        if module == "numpy" and isinstance(getattr(np, attribute, None), np.ufunc):
            return getattr(np, attribute)  # type: ignore[no-any-return]
    return evaluator(operation)


# ---- operators


def _method(operation: ops.Operation, reflected: bool = False) -> Callable[..., Any]:
    def method(self: RecordedArray, *other: Any) -> Any:
        if other and not _operable(other[0]):
            return NotImplemented
        operands = (*other, self) if reflected else (self, *other)
        try:
            return apply(operation, operands)
        except ComplexOperandError:
            # the protocols know what to do
            return concrete(operation)(*operands)

    return method


def _operable(other: Any) -> bool:
    return isinstance(other, (RecordedArray, float, int, np.ndarray, np.generic, complex, list, tuple))


def _scalar_method(operation: ops.Operation, compute: Callable[[Any, Any], Any], reflected: bool = False) -> Any:
    """An operator with a short way for scalars (the long way is ``apply``)."""
    code = operation.code
    float64 = np.float64
    general = _method(operation, reflected)

    def method(self: RecordedArray, other: Any) -> Any:
        value, recorder = self.value, self.recorder
        if value.__class__ is not float64 or recorder.thread != get_ident():
            return general(self, other)
        kind = type(other)
        if kind is float or kind is float64 or kind is int:
            node = recorder.scalar(other)
        elif kind is RecordedArray and other.recorder is recorder and other.value.__class__ is float64:
            node, other = other._node, other.value
        else:
            return general(self, other)
        rows = recorder.rows
        number = len(rows)
        frame = _getframe(1)
        if reflected:
            result = compute(other, value)
            operands = (node, self._node)
        else:
            result = compute(value, other)
            operands = (self._node, node)
        rows.append((code, operands, SCALAR, NO_ATTRIBUTE, frame.f_code, frame.f_lasti))
        return RecordedArray(recorder, number, result)

    return method


def _power(self: RecordedArray, exponent: Any) -> Any:
    """Small whole exponents and the square root are recorded as what they are; the rest as ``power``."""
    if type(exponent) in (int, float, np.float64):
        if exponent == 2:
            return apply(ops.square, (self,))
        if exponent == 1:
            return apply(ops.positive, (self,))
        if exponent == 3:
            return apply(ops.multiply, (self, apply(ops.square, (self,))))
        if exponent == -1 and type(exponent) is not int:
            return apply(ops.reciprocal, (self,))
        if exponent == 0.5 and self.ndim:
            return apply(ops.sqrt, (self,))
    if not _operable(exponent):
        return NotImplemented
    return apply(ops.power, (self, exponent))


def _on_bits(ufunc: np.ufunc, operation: ops.Operation | None = None, reflected: bool = False) -> Callable[..., Any]:
    """``& | ^ ~ << >>``: of truth values the logical ``operation``, if there is one; else the ufunc's definition."""
    between_truth_values = None if operation is None else _method(operation, reflected)

    def method(self: RecordedArray, *other: Any) -> Any:
        if between_truth_values is not None and all(_is_truth(operand) for operand in (self, *other)):
            return between_truth_values(self, *other)
        if other and not _operable(other[0]):
            return NotImplemented
        return ufunc(*other, self) if reflected else ufunc(self, *other)

    return method


def _is_truth(operand: Any) -> bool:
    return np.asarray(value_of(operand)).dtype.kind == "b"


def _in_place(name: str) -> Callable[..., Any]:
    """``+=`` and its like: a number is replaced, an array changes under all its names, as in NumPy."""
    compute: Callable[..., Any] = getattr(operator, name)
    compute_in_place: Callable[..., Any] = getattr(operator, f"i{name.strip('_')}")

    def method(self: RecordedArray, other: Any) -> Any:
        if not isinstance(self.value, np.ndarray):
            return NotImplemented
        result = compute(self, other)
        if result.shape != self.shape or not np.can_cast(result.dtype, self.dtype, "same_kind"):
            operand = other if isinstance(other, RecordedArray) else normal_operand(other)
            plain = operand.value if isinstance(operand, RecordedArray) else operand
            compute_in_place(self.value.copy(), plain)  # raises NumPy's own error
        array: Any = self
        array[...] = result
        return self

    return method


def copy_of(x: Any) -> Any:
    """The same node under another name, which changes in place by itself; a plain array or number copied."""
    return RecordedArray(x.recorder, x.node, x.value.copy()) if type(x) is RecordedArray else np.copy(x)[()]


def _matmul(self: Any, other: Any) -> Any:
    return np.matmul(self, other)


def _reflected_matmul(self: Any, other: Any) -> Any:
    return np.matmul(other, self)


def _divmod(self: RecordedArray, other: Any) -> tuple[Any, Any]:
    return apply(ops.floor_divide, (self, other)), apply(ops.remainder, (self, other))


def _round(self: Any, decimals: int | None = None) -> Any:
    rounded = np.round(self, decimals or 0)
    return rounded if decimals is not None else int(rounded)


def _install() -> None:
    fast: list[tuple[str, ops.Operation, Callable[[Any, Any], Any]]] = [
        ("add", ops.add, operator.add),
        ("sub", ops.subtract, operator.sub),
        ("mul", ops.multiply, operator.mul),
        ("truediv", ops.divide, operator.truediv),
    ]
    for name, operation, compute in fast:
        setattr(RecordedArray, f"__{name}__", _scalar_method(operation, compute))
        setattr(RecordedArray, f"__r{name}__", _scalar_method(operation, compute, reflected=True))
    for name, operation in [("floordiv", ops.floor_divide), ("mod", ops.remainder)]:
        setattr(RecordedArray, f"__{name}__", _method(operation))
        setattr(RecordedArray, f"__r{name}__", _method(operation, reflected=True))
    on_bits: list[tuple[str, np.ufunc, ops.Operation | None]] = [
        ("and", np.bitwise_and, ops.logical_and),
        ("or", np.bitwise_or, ops.logical_or),
        ("xor", np.bitwise_xor, ops.logical_xor),
        ("lshift", np.left_shift, None),
        ("rshift", np.right_shift, None),
    ]
    for name, ufunc, logical in on_bits:
        setattr(RecordedArray, f"__{name}__", _on_bits(ufunc, logical))
        setattr(RecordedArray, f"__r{name}__", _on_bits(ufunc, logical, reflected=True))
    for name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul"):
        setattr(RecordedArray, f"__i{name}__", _in_place(name))
    for name in ("and", "or", "xor", "lshift", "rshift"):
        setattr(RecordedArray, f"__i{name}__", _in_place(f"__{name}__"))
    comparisons = {"lt": "less", "le": "less_equal", "gt": "greater", "ge": "greater_equal"}
    for name, operation_name in (comparisons | {"eq": "equal", "ne": "not_equal"}).items():
        setattr(RecordedArray, f"__{name}__", _method(ops.BY_NAME[operation_name]))
    for name, operation in [("neg", ops.negative), ("pos", ops.positive), ("abs", ops.absolute)]:
        setattr(RecordedArray, f"__{name}__", _method(operation))
    others: dict[str, Callable[..., Any]] = {
        "pow": _power,
        "rpow": _method(ops.power, reflected=True),
        "invert": _on_bits(np.invert, ops.logical_not),
    }
    others |= {"matmul": _matmul, "rmatmul": _reflected_matmul, "divmod": _divmod, "round": _round}
    for name, method in others.items():
        setattr(RecordedArray, f"__{name}__", method)


_install()
