"""How each operation is written in Python with NumPy, for ``Tape.to_source``.

An elementary operation that answers to a NumPy function is written as that function, or with Python's sign for it; some
that NumPy lacks have a small definition here, and so have those of the array operations that NumPy's functions make up.
The rest, whose algorithms are fastgrad's own or SciPy's, are imported: :func:`elementary_operation` and
:func:`array_operation` make functions of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fastgrad import array_ops, ops
from fastgrad.array_ops.movement import slices_of
from fastgrad.tape import Shape

__all__ = ["ARRAY_EXPRESSIONS", "DEFINITIONS", "array_operation", "elementary_operation", "index_text"]

# definitions by the name of the operation that they stand for, with _ before it
DEFINITIONS = {
    "zero_product": """
def _zero_product(x, y):
    \"\"\"x*y, and 0 where a factor is 0, whatever the other is.\"\"\"
    with np.errstate(invalid="ignore"):
        return np.where(np.equal(x, 0.0) | np.equal(y, 0.0), 0.0, np.multiply(x, y))[()]
""",
    "excess": """
def _excess(x, y):
    \"\"\"x - y, and 0 where both are the same infinity.\"\"\"
    with np.errstate(invalid="ignore"):
        return np.where(np.equal(x, y), 0.0, np.subtract(x, y))[()]
""",
    "log_of_base": """
def _log_of_base(x):
    return np.log(x)
""",
    "log_quotient": """
def _log_quotient(x, y):
    \"\"\"log(x/y), accurate where x is near y.\"\"\"
    with np.errstate(all="ignore"):
        quotient = np.divide(x, y)
        near = (quotient > 0.5) & (quotient < 2.0) & np.greater(x, 0.0)
        is_normal = (quotient > 1e-300) & (quotient < 1e300)
        far = np.where(is_normal & np.greater(x, 0.0), np.log(quotient), np.log(x) - np.log(y))
        return np.where(near, np.log1p(np.subtract(x, y) / y), far)[()]
""",
    "xlogy": """
def _xlogy(x, y):
    with np.errstate(all="ignore"):
        return np.where(np.equal(x, 0.0) & ~np.isnan(y), 0.0, x * np.log(y))[()]
""",
    "xlog1py": """
def _xlog1py(x, y):
    with np.errstate(all="ignore"):
        return np.where(np.equal(x, 0.0) & ~np.isnan(y), 0.0, x * np.log1p(y))[()]
""",
    "sigmoid": """
def _sigmoid(x):
    small = np.exp(-np.abs(x))
    return np.where(np.greater_equal(x, 0.0), 1.0, small)[()] / (1.0 + small)
""",
    "log_sigmoid": """
def _log_sigmoid(x):
    return -np.logaddexp(0.0, np.negative(x))
""",
    "softplus": """
def _softplus(x):
    return np.logaddexp(0.0, x)
""",
    "slope_of_tanh": """
def _slope_of_tanh(x):
    \"\"\"1/cosh(x)**2\"\"\"
    small = np.exp(-2.0 * np.abs(x))
    return 4.0 * small / (1.0 + small) ** 2
""",
    "fraction": """
def _fraction(x):
    return np.modf(x)[0]
""",
    "binary_exponent": """
def _binary_exponent(x):
    return np.frexp(x)[1] * 1.0
""",
    "binary_mantissa": """
def _binary_mantissa(x):
    return np.frexp(x)[0]
""",
    "ldexp": """
def _ldexp(x, exponent):
    return np.ldexp(x, np.asarray(exponent).astype(int))[()]
""",
    "place": """
def _place(x, shape, index):
    \"\"\"Zeros with an array in a part of them.\"\"\"
    result = np.zeros(shape)
    result[index] = x
    return result
""",
    "update_slice": """
def _update_slice(x, part, index):
    \"\"\"A copy of an array with another one in a part of it.\"\"\"
    result = np.array(x)
    result[index] = part
    return result
""",
    "scatter_add": """
def _scatter_add(x, positions, shape):
    \"\"\"Elements added up at their positions in an array of zeros.\"\"\"
    result = np.zeros(shape)
    np.add.at(result.reshape(-1), positions.astype(int), x)
    return result
""",
}


def index_text(spec: Sequence[tuple[int, int, int]], of: Shape) -> str:
    """The index of a slice's attribute within an array of a shape, as it stands in brackets."""
    parts = []
    for axis, length in zip(slices_of(tuple(spec)), of, strict=True):
        if axis == slice(0, length, 1):
            parts.append(":")
            continue
        start = "" if axis.start == 0 and axis.step > 0 else str(axis.start)
        stop = "" if axis.stop is None or (axis.stop == length and axis.step > 0) else str(axis.stop)
        parts.append(f"{start}:{stop}" + ("" if axis.step == 1 else f":{axis.step}"))
    return ", ".join(parts) or "()"


def _reduction(function: str) -> Callable[..., str]:
    def write(axes: Any, shapes: Sequence[Shape], x: str) -> str:
        whole = len(axes) == len(shapes[0]) > 0
        return f"{function}({x})" if whole else f"{function}({x}, axis={axes[0] if len(axes) == 1 else axes})"

    return write


def _along_axis(function: str) -> Callable[..., str]:
    return lambda axis, shapes, x: f"{function}({x}, axis={axis})"


def _transposed(axes: Any, shapes: Sequence[Shape], x: str) -> str:
    return f"{x}.T" if axes == tuple(reversed(range(len(axes)))) else f"np.transpose({x}, {axes})"


def _index(spec: Any, of: Shape) -> str:
    return f"np.s_[{index_text(spec, of)}]"


# array operations as expressions, from the attribute, the operands' shapes and the operands
ARRAY_EXPRESSIONS: dict[array_ops.ArrayOperation, Callable[..., str]] = {
    array_ops.reshape: lambda shape, shapes, x: f"np.reshape({x}, {shape})",
    array_ops.transpose: _transposed,
    array_ops.slice_: lambda spec, shapes, x: f"{x}[{index_text(spec, shapes[0])}]",
    array_ops.place: lambda at, shapes, x: f"_place({x}, {at[0]}, {_index(at[1], at[0])})",
    array_ops.clear_slice: lambda spec, shapes, x: f"_update_slice({x}, 0.0, {_index(spec, shapes[0])})",
    array_ops.update_slice: lambda spec, shapes, x, part: f"_update_slice({x}, {part}, {_index(spec, shapes[0])})",
    array_ops.concatenate: lambda axis, shapes, *xs: f"np.concatenate([{', '.join(xs)}], axis={axis})",
    array_ops.gather: lambda _, shapes, x, positions: f"np.ravel({x})[{positions}.astype(int)]",
    array_ops.scatter_add: lambda shape, shapes, x, positions: f"_scatter_add({x}, {positions}, {shape})",
    array_ops.broadcast_to: lambda shape, shapes, x: f"np.broadcast_to({x}, {shape})",
    array_ops.sum_: _reduction("np.sum"),
    array_ops.max_: _reduction("np.max"),
    array_ops.min_: _reduction("np.min"),
    array_ops.cumsum: _along_axis("np.cumsum"),
    array_ops.matmul: lambda _, shapes, x, y: f"{x} @ {y}",
}


def elementary_operation(name: str) -> Callable[..., Any]:
    """An elementary operation of fastgrad as a function of arrays, for the source of tapes.

    >>> round(float(elementary_operation("erf")(0.5)), 12)
    0.520499877813
    """
    from fastgrad.vm.evaluate import evaluator  # loads the kernels

    return evaluator(ops.BY_NAME[name])


def array_operation(name: str) -> Callable[..., Any]:
    """An array operation of fastgrad as a function of its attribute and arrays, for the source of tapes.

    >>> array_operation("cumsum")(0, [1.0, 2.0, 3.0])
    array([1., 3., 6.])
    """
    (entry,) = (entry for entry in array_ops.all_operations() if entry.name == name)

    def evaluate(attribute: Any, *operands: Any) -> Any:
        result = entry.evaluate(attribute, *(np.asarray(operand, np.float64) for operand in operands))
        return np.asarray(result, np.float64)[()]

    return evaluate
