"""Complex values of a recording, such as the spectrum of a recorded signal.

A ``RecordedComplex`` is a pair of recorded real arrays. Arithmetic, indexing and NumPy's functions on it are written in
terms of the two, in ``functions.complex_arithmetic`` and ``functions.complex_functions``; what is not there is refused
by name. It cannot be an argument or a result of a differentiated function: that takes and gives real values.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, NoReturn

import numpy as np

from fastgrad.errors import LostDerivativeError, UnsupportedError, located
from fastgrad.recording.out_argument import call_method, named_out, written_into
from fastgrad.recording.recorded_array import ComplexOperandError, RecordedArray, node_of, recorder_of
from fastgrad.recording.source import user_line

__all__ = [
    "COMPLEX_FUNCTIONS",
    "COMPLEX_METHODS",
    "COMPLEX_UFUNCS",
    "Parts",
    "RecordedComplex",
    "apply_function",
    "apply_ufunc",
    "full_name",
    "joined",
    "parts_of",
]

COMPLEX_UFUNCS: dict[Any, Callable[..., Any]] = {}
# by full name: while a recording runs, other functions may stand in for NumPy's own
COMPLEX_FUNCTIONS: dict[str, Callable[..., Any]] = {}
COMPLEX_METHODS: dict[str, Callable[..., Any]] = {}

REMEDY = "Differentiated are real values: use z.real, z.imag, np.abs(z) or np.angle(z)."


class Parts(NamedTuple):
    """The real and the imaginary part of an operand; ``imag`` is None for a real one."""

    real: Any
    imag: Any


class RecordedComplex(RecordedArray):
    """A complex value of a recording; see the module's docstring."""

    __slots__ = ("_imag", "_real")

    def __init__(self, real: RecordedArray, imag: RecordedArray) -> None:
        self.recorder = real.recorder
        self._real: Any = real
        self._imag: Any = imag

    @property
    def real(self) -> Any:
        return self._real

    @real.setter
    def real(self, value: Any) -> None:
        self._real[...] = value

    @property
    def imag(self) -> Any:
        return self._imag

    @imag.setter
    def imag(self, value: Any) -> None:
        self._imag[...] = value

    @property
    def value(self) -> Any:
        number = np.empty(self.shape, self.dtype)
        number.real, number.imag = self._real.value, self._imag.value
        return number[()]

    @property
    def node(self) -> NoReturn:
        raise UnsupportedError(located("a complex value cannot be used here", user_line(), REMEDY))

    def recorded_form(self) -> NoReturn:
        """What reads this as an operand of a real operation is refused."""
        raise ComplexOperandError(located("a complex value met an operation on real ones", user_line(), REMEDY))

    @property
    def shape(self) -> tuple[int, ...]:
        shape: tuple[int, ...] = self._real.shape
        return shape

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return int(self._real.size)

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(np.complex64 if self._real.dtype == np.float32 else np.complex128)

    @property
    def nbytes(self) -> int:
        return self.size * self.itemsize

    @property
    def itemsize(self) -> int:
        return self.dtype.itemsize

    @property
    def T(self) -> RecordedComplex:  # noqa: N802 - NumPy's name
        return RecordedComplex(self._real.T, self._imag.T)

    @property
    def mT(self) -> RecordedComplex:  # noqa: N802 - NumPy's name
        return RecordedComplex(self._real.mT, self._imag.mT)

    @property
    def flat(self) -> Any:
        return iter(self.ravel())

    def __len__(self) -> int:
        return len(self._real)

    def __repr__(self) -> str:
        return f"RecordedComplex({self.value!r})"

    def __getitem__(self, index: Any) -> RecordedComplex:
        return RecordedComplex(self._real[index], self._imag[index])

    def __setitem__(self, index: Any, value: Any) -> None:
        real, imag = parts_of(value)
        self._real[index] = real
        self._imag[index] = 0.0 if imag is None else imag

    def __getattr__(self, name: str) -> Any:
        method = COMPLEX_METHODS.get(name)
        if method is not None:
            return lambda *args, **kwargs: call_method(method, name, self, args, kwargs)
        if not name.startswith("_") and hasattr(np.ndarray, name):
            raise _unsupported(f"the array method .{name}")
        raise AttributeError(f"a recorded complex array has no attribute {name!r}")

    def __copy__(self) -> RecordedComplex:
        return self.copy()  # type: ignore[no-any-return]

    def __deepcopy__(self, memo: Any) -> RecordedComplex:
        return self.copy()  # type: ignore[no-any-return]

    # ---- conversions

    def __bool__(self) -> bool:
        return bool((self._real != 0) | (self._imag != 0))

    def __float__(self) -> float:
        raise LostDerivativeError(
            located("a recorded complex value was turned into a Python number", user_line(), REMEDY)
        )

    __int__ = __index__ = __complex__ = __float__  # type: ignore[assignment]

    # ---- NumPy's protocols

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        return apply_ufunc(ufunc, method, inputs, kwargs)

    def __array_function__(self, function: Any, types: Iterable[type], args: Any, kwargs: Any) -> Any:
        return apply_function(function, args, kwargs)


def apply_ufunc(ufunc: np.ufunc, method: str, inputs: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A ufunc on operands some of which are complex and some recorded."""
    name = f"np.{ufunc.__name__}" + ("" if method == "__call__" else f".{method}")
    out = kwargs.pop("out", None)
    if out is not None:
        compute = getattr(ufunc, method)
        if _holds_complex(inputs):
            return written_into(out, compute, inputs, kwargs, lambda: apply_ufunc(ufunc, method, inputs, kwargs))
        return written_into(out, compute, inputs, kwargs, lambda: compute(*inputs, **kwargs))
    definition = COMPLEX_UFUNCS.get(ufunc)
    if kwargs or method != "__call__" or definition is None or not _holds_complex(inputs):
        raise _unsupported(name + (f" with {next(iter(kwargs))}=" if kwargs else ""))
    result = definition(*map(parts_of, inputs))
    return joined(result) if isinstance(result, Parts) else result


def _holds_complex(x: Any) -> bool:
    if isinstance(x, (list, tuple)):
        return any(map(_holds_complex, x))
    return isinstance(x, (RecordedComplex, complex)) or (isinstance(x, np.ndarray) and x.dtype.kind == "c")


def full_name(function: Any) -> str:
    """A function's module and name: ``numpy.fft.rfft``."""
    return f"{function.__module__}.{function.__name__}"


def apply_function(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A function of NumPy on arguments some of which are complex and some recorded."""
    args, kwargs = named_out(function, args, kwargs)
    if kwargs.get("out") is not None:
        options = {key: option for key, option in kwargs.items() if key != "out"}
        return written_into(kwargs["out"], function, args, options, lambda: function(*args, **options))
    name = full_name(function)
    definition = COMPLEX_FUNCTIONS.get(name)
    result = NotImplemented
    if definition is not None and _holds_complex((args, list(kwargs.values()))):
        result = definition(*args, **kwargs)
    if result is NotImplemented:
        raise _unsupported(f"np{name.removeprefix('numpy')}")
    return result


def _unsupported(name: str) -> UnsupportedError:
    return UnsupportedError(located(f"{name} of complex values cannot be recorded", user_line(), REMEDY))


def parts_of(x: Any) -> Parts:
    """The parts of any operand: recorded, an array or a number, or nested lists of these."""
    if isinstance(x, RecordedComplex):
        return Parts(x.real, x.imag)
    if isinstance(x, (RecordedArray, float, int)):
        return Parts(x, None)
    if isinstance(x, complex):
        return Parts(x.real, x.imag)
    if isinstance(x, (list, tuple)):
        rows = [parts_of(row) for row in x]
        if all(row.imag is None for row in rows):
            return Parts([row.real for row in rows], None)
        return Parts(np.stack([row.real for row in rows]), np.stack([_imaginary(row) for row in rows]))
    array = x if isinstance(x, np.ndarray) else np.asarray(x)
    return Parts(array.real, array.imag) if array.dtype.kind == "c" else Parts(array, None)


def _imaginary(parts: Parts) -> Any:
    return np.zeros(np.shape(parts.real)) if parts.imag is None else parts.imag


def joined(parts: Parts) -> RecordedComplex:
    """A complex value from two parts, one of them recorded, that broadcast."""
    real, imag = (part if isinstance(part, RecordedArray) else np.asarray(part) for part in parts)
    recorder = recorder_of((real, imag))
    shape = np.broadcast_shapes(real.shape, imag.shape)

    def part(x: Any) -> RecordedArray:
        # memory of its own: the parts can be written into
        node, value = node_of(recorder, x), x.value if isinstance(x, RecordedArray) else x
        whole: Any = RecordedArray(recorder, node, value)
        if x.shape != shape:
            whole = np.broadcast_to(whole, shape)
        elif isinstance(x, RecordedArray) and x.recorder is recorder and not _is_shared(x):
            return x
        return RecordedArray(recorder, whole.node, np.array(whole.value)[()])

    return RecordedComplex(part(real), part(imag))


def _is_shared(x: RecordedArray) -> bool:
    return isinstance(x.value, np.ndarray) and (x.value.base is not None or not x.value.flags.writeable)


# ---- operators


def _operator(ufunc: np.ufunc, reflected: bool = False) -> Callable[..., Any]:
    def method(self: RecordedComplex, *other: Any) -> Any:
        operands = (*other, self) if reflected else (self, *other)
        return self.__array_ufunc__(ufunc, "__call__", *operands)

    return method


def _in_place(compute: Callable[..., Any]) -> Callable[..., Any]:
    def method(self: RecordedComplex, other: Any) -> Any:
        if self.ndim == 0:
            return NotImplemented
        self[...] = compute(self, other)
        return self

    return method


def _refused(name: str) -> Callable[..., Any]:
    def method(self: RecordedComplex, *other: Any) -> Any:
        raise _unsupported(f"the operator {name}")

    return method


def _install() -> None:
    binary = {
        "add": "add",
        "sub": "subtract",
        "mul": "multiply",
        "truediv": "divide",
        "pow": "power",
        "matmul": "matmul",
    }
    for name, ufunc_name in binary.items():
        ufunc = getattr(np, ufunc_name)
        setattr(RecordedComplex, f"__{name}__", _operator(ufunc))
        setattr(RecordedComplex, f"__r{name}__", _operator(ufunc, reflected=True))
        setattr(RecordedComplex, f"__i{name}__", _in_place(getattr(operator, name)))
    for name, ufunc in [
        ("neg", np.negative),
        ("pos", np.positive),
        ("abs", np.absolute),
        ("eq", np.equal),
        ("ne", np.not_equal),
    ]:
        setattr(RecordedComplex, f"__{name}__", _operator(ufunc))
    for name in ("lt", "le", "gt", "ge", "invert", "divmod", "rdivmod", "round", "trunc", "floor", "ceil", "contains"):
        setattr(RecordedComplex, f"__{name}__", _refused(f"__{name}__"))
    for name in ("floordiv", "mod", "and", "or", "xor"):
        for prefix in ("", "r", "i"):
            setattr(RecordedComplex, f"__{prefix}{name}__", _refused(f"__{name}__"))


_install()
