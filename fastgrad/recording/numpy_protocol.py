"""NumPy's two protocols, methods and attributes on recorded values.

Functions, methods and ufuncs are looked up in the tables of ``functions``; ufuncs that are elementary operations are
read off ``ops.TABLE``. Whatever is not found is refused by name.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from fastgrad import ops
from fastgrad.recording.assignment import setitem, update_at
from fastgrad.recording.functions import methods
from fastgrad.recording.functions.conversions import any_recorded, as_objects
from fastgrad.recording.functions.registry import (
    FUNCTIONS,
    METHODS,
    UFUNC_METHODS,
    UFUNCS,
    as_array,
    reshape,
    unsupported,
)
from fastgrad.recording.functions.shapes import matrix_transpose, transpose
from fastgrad.recording.functions.ufunc_options import chosen, evaluation
from fastgrad.recording.indexing import getitem
from fastgrad.recording.out_argument import call_method, named_out, write_target, written_into
from fastgrad.recording.recorded_array import (
    ComplexOperandError,
    RecordedArray,
    apply,
    normal_operand,
    value_of,
)

# modules of functions that few programs call: loaded when one is called that the others do not have
_LOADED_LATE = (
    "linalg", "fourier", "calculus", "polynomials",
    "ufunc_methods", "order", "choosing", "statistics", "nan_reductions", "sets", "histograms",
    "rearranging", "padding", "selection", "writing", "mapping", "refused", "bits",
)  # fmt: skip
# modules outside NumPy whose functions have definitions
_DEFINED_IN = {
    "math": "standard_library",
    "numpy": "refused",
    "numpy.polynomial": "series",
    "scipy.linalg": "scipy_linalg",
    "scipy.special": "scipy_special",
}
_UFUNCS: dict[Any, ops.Operation] = {
    getattr(np, name.partition(".")[2]): operation
    for operation in ops.TABLE
    for name in operation.answers_to
    if name.startswith("numpy.") and isinstance(getattr(np, name.partition(".")[2], None), np.ufunc)
}
# shares its operation with np.absolute, which keeps integers
_VALUED_OTHERWISE = (np.fabs,)


# ---- the two protocols


def apply_ufunc(ufunc: Any, method: str, inputs: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """``RecordedArray.__array_ufunc__``."""
    out = kwargs.pop("out", None)
    if out is not None and any(target is not None for target in out):
        return written_into(
            out, getattr(ufunc, method), inputs, kwargs, lambda: _without_out(ufunc, method, inputs, kwargs, out)
        )
    if method == "at":
        target, *rest = inputs
        return update_at(ufunc, write_target(target), *rest)
    try:
        return _recorded_ufunc(ufunc, method, inputs, kwargs)
    except ComplexOperandError:
        return complex_functions().apply_ufunc(ufunc, method, inputs, kwargs)


def _without_out(ufunc: Any, method: str, inputs: tuple[Any, ...], kwargs: dict[str, Any], out: tuple[Any, ...]) -> Any:
    """What a ufunc writes into ``out``, which keeps its own elements where a mask is false."""
    options = dict(kwargs)
    where = options.pop("where", True) if method == "__call__" else True
    if any_recorded(inputs, options):
        results = apply_ufunc(ufunc, method, inputs, options)
    else:
        # recorded is only the mask, or what is written into
        results = getattr(ufunc, method)(*inputs, **options)
    return chosen(where, results, out)


def _recorded_ufunc(ufunc: Any, method: str, inputs: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if method == "__call__":
        # looking for SciPy's operation loads SciPy's definitions, of which one may be that of the ufunc
        operation = None if ufunc in UFUNCS else _UFUNCS.get(ufunc) or _scipy_operation(ufunc)
        if ufunc in UFUNCS:
            return UFUNCS[ufunc](*inputs, **kwargs)
        if operation is not None:
            if not kwargs and ufunc not in _VALUED_OTHERWISE:
                return apply(operation, inputs)
            evaluate = evaluation(ufunc, kwargs)
            result = apply(operation, inputs)
            result.value = evaluate(*(value_of(normal_operand(operand)) for operand in inputs))
            return result
        if set(ufunc.types) == {"O" * ufunc.nin + "->" + "O" * ufunc.nout}:
            # of np.frompyfunc: a Python function of elements
            return ufunc(*map(as_objects, inputs), **kwargs)
    elif method == "outer":
        x, y = map(as_array, inputs)
        return apply_ufunc(ufunc, "__call__", (reshape(x, x.shape + (1,) * y.ndim), y), kwargs)
    else:
        if (ufunc, method) not in UFUNC_METHODS:
            load_all()
        if (ufunc, method) in UFUNC_METHODS:
            return UFUNC_METHODS[ufunc, method](*inputs, **kwargs)
    raise unsupported(f"{_package_of(ufunc)}.{ufunc.__name__}" + ("" if method == "__call__" else f".{method}"))


def _scipy_operation(ufunc: np.ufunc) -> ops.Operation | None:
    """The operation that a ufunc of scipy.special stands for; found only if the caller has imported SciPy."""
    if _package_of(ufunc) == "np":
        return None
    load_outside()
    name = f"scipy.special.{ufunc.__name__}"
    for operation in ops.TABLE:
        if name in operation.answers_to:
            return _UFUNCS.setdefault(ufunc, operation)
    return None


def _package_of(ufunc: np.ufunc) -> str:
    """Where a ufunc's user finds it; functions may wrap it there."""
    found: Any = getattr(sys.modules.get("scipy.special"), ufunc.__name__, None)
    # while a recording runs, the name may hold a stand-in, which is equal
    return "scipy.special" if inspect.unwrap(found) == ufunc else "np"


def apply_function(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """``RecordedArray.__array_function__``."""
    handler = FUNCTIONS.get(function)
    if handler is None:
        load_all()
        handler = FUNCTIONS.get(function)
    if handler is None:
        raise unsupported(f"np{function.__module__.removeprefix('numpy')}.{function.__name__}")
    args, kwargs = named_out(function, args, kwargs)
    if kwargs.get("out") is not None:
        options = {name: option for name, option in kwargs.items() if name != "out"}
        return written_into(kwargs["out"], function, args, options, lambda: _call(function, args, options))
    try:
        return handler(*args, **kwargs)
    except ComplexOperandError:
        return complex_functions().apply_function(function, args, kwargs)


def _call(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return apply_function(function, args, kwargs) if any_recorded(args, kwargs) else function(*args, **kwargs)


def complex_functions() -> Any:
    """The module of NumPy's functions on complex values, which few programs need."""
    return importlib.import_module("fastgrad.recording.functions.complex_functions")


def load_all() -> None:
    """Register the definitions of the modules that are loaded late."""
    # by the module's attribute: while a recording runs, that takes the stand-ins away
    for name in _LOADED_LATE:
        importlib.import_module(f"fastgrad.recording.functions.{name}")


def load_outside() -> None:
    """Register the definitions for those modules outside NumPy that are loaded."""
    for package, name in _DEFINED_IN.items():
        if package in sys.modules:
            importlib.import_module(f"fastgrad.recording.functions.{name}")


def special_ufuncs() -> list[np.ufunc]:
    """The ufuncs of scipy.special that can be recorded, if it is loaded."""
    operations = {name for operation in ops.TABLE for name in operation.answers_to}
    found = list(vars(sys.modules.get("scipy.special", np)).items())
    ufuncs = [(name, original_ufunc(x)) for name, x in found if isinstance(x, np.ufunc)]
    return [x for name, x in ufuncs if f"scipy.special.{name}" in operations or (x in UFUNCS and not hasattr(np, name))]


def original_ufunc(x: Any) -> np.ufunc:
    ufunc: np.ufunc = getattr(x, "stands_for", x)
    return ufunc


def bound_method(x: RecordedArray, name: str) -> Any:
    """``RecordedArray.__getattr__``: the array methods, and functions by name for arrays of objects (``.exp()``)."""
    method = METHODS.get(name)
    if method is None and not name.startswith("_") and name in ops.BY_NAME and ops.BY_NAME[name].arity == 1:
        operation = ops.BY_NAME[name]
        return lambda: apply(operation, (x,))
    if method is None:
        if name.startswith("_") or not hasattr(np.ndarray, name):
            raise AttributeError(f"a recorded array has no attribute {name!r}")
        load_all()
        method = METHODS.get(name)
        if method is None:
            raise unsupported(f"the array method .{name}")
    return lambda *args, **kwargs: call_method(method, name, x, args, kwargs)


def _getattr(x: RecordedArray, name: str) -> Any:
    return bound_method(x, name)


def _array_function(self: RecordedArray, function: Any, types: Iterable[type], args: Any, kwargs: Any) -> Any:
    kind: Any
    for kind in types:
        if kind is not RecordedArray and hasattr(kind, "recorded_form"):
            # arrays that the function has made are unwrapped first
            return kind.__array_function__(self, function, types, args, kwargs)
    return apply_function(function, args, kwargs)


def _array_ufunc(self: RecordedArray, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
    return apply_ufunc(ufunc, method, inputs, kwargs)


def _install(attributes: Sequence[tuple[str, Any]]) -> None:
    for name, attribute in attributes:
        setattr(RecordedArray, name, attribute)


_install(
    [
        ("__getitem__", getitem),
        ("__setitem__", setitem),
        ("__getattr__", _getattr),
        ("__array_ufunc__", _array_ufunc),
        ("__array_function__", _array_function),
        ("T", property(transpose)),
        ("mT", property(matrix_transpose)),
        ("real", property(lambda x: x)),
        *methods.ATTRIBUTES.items(),
    ]
)
