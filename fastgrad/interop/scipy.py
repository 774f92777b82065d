"""Functions and derivatives as ``scipy.LowLevelCallable``, for ``scipy.integrate`` and ``scipy.ndimage``.

SciPy then calls machine code, without Python. Functions are given with an example of their arguments, derivatives too
(``fg.grad(f, argnums=1)`` integrates a derivative by a parameter).
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from llvmlite import ir
from numpy.typing import NDArray

from fastgrad.calls import Argnums
from fastgrad.errors import InputError
from fastgrad.interop.c_calls import DOUBLE, INT, LONG, POINTER, Caller, compiled, element
from fastgrad.interop.machine_code import OK, MachineCode, derivative_of, machine_code
from fastgrad.vm.memory import is_plain

try:
    from scipy import LowLevelCallable
except ImportError as error:
    raise ImportError("callbacks for SciPy need SciPy: install fastgrad[scipy].") from error

__all__ = ["filter_function", "filter_function1d", "integrand", "mapping"]

_DOUBLES, _WHOLE, _ANYTHING = ctypes.POINTER(ctypes.c_double), ctypes.POINTER(ctypes.c_ssize_t), ctypes.c_void_p
_SIZE, _INT, _DOUBLE = ctypes.c_ssize_t, ctypes.c_int, ctypes.c_double
_TYPES = {_DOUBLES: POINTER, _WHOLE: POINTER, _ANYTHING: POINTER, _SIZE: LONG, _INT: INT, _DOUBLE: DOUBLE}
_NAMES = {
    _DOUBLES: "double *",
    _WHOLE: "intptr_t *",
    _ANYTHING: "void *",
    _SIZE: "intptr_t",
    _INT: "int",
    _DOUBLE: "double",
}


def integrand(
    function: Callable[..., Any],
    *example: Any,
    user_data: NDArray[np.float64] | None = None,
    derivative: str | None = None,
    argnums: Argnums | None = None,
    examples: Sequence[Sequence[Any]] = (),
    of_one_number: bool = False,
) -> LowLevelCallable:
    """An integrand for ``quad``, ``dblquad``, ``tplquad`` and ``nquad``.

    ``function`` is called as SciPy calls it: with the variables, then what ``args`` holds, all of them floats. With
    ``user_data``, a float64 array in C order, it takes this as its last argument; the integrand reads it where it is,
    so changes in place count. Arguments that are arrays take as many of SciPy's numbers as they have elements.

    The integrand is NaN where a comparison in the function comes out differently than in the example and in all of
    ``examples`` (tuples of arguments, without ``user_data``), and where SciPy hands over another number of arguments.

    Its signature is ``double (int, double *)``; with ``of_one_number`` it is ``double (double)``, without ``args``.
    ``derivative`` and ``argnums`` as for ``fastgrad.interop.c.compile``. Raises InputError where the result is not one
    number, or arguments do not fit; UnsupportedError where the function cannot become machine code.

    >>> import fastgrad as fg, numpy as np, scipy.integrate
    >>> decay = integrand(lambda t, rate: np.exp(-rate * t), 0.0, 1.0)
    >>> value, _ = scipy.integrate.quad(decay, 0.0, 2.0, args=(3.0,))
    >>> bool(np.isclose(value, (1 - np.exp(-6.0)) / 3))
    True
    """
    code = _code(function, example, user_data, derivative, argnums, examples)
    _check_one_number(code)
    sizes = _sizes(code, user_data)
    if of_one_number and sizes != [1]:
        raise InputError(
            f"of_one_number=True is for functions of one number; {code.label} takes {len(sizes)} arguments."
        )

    def body(caller: Caller) -> None:
        builder = caller.builder
        result, nan = builder.alloca(DOUBLE), ir.Constant(DOUBLE, float("nan"))
        if of_one_number:
            number, *data = caller.parameters
            x = builder.alloca(DOUBLE)
            builder.store(number, x)
        else:
            n, x, *data = caller.parameters
            caller.unless(builder.icmp_signed("==", n, ir.Constant(INT, sum(sizes))), nan)
        status = caller.run([*caller.in_a_row(x, sizes), *data], [result])
        caller.unless(builder.icmp_signed("==", status, ir.Constant(LONG, OK)), nan)
        builder.ret(builder.load(result, typ=DOUBLE))

    parameters = [_DOUBLE] if of_one_number else [_INT, _DOUBLES]
    return _callable(code, _DOUBLE, parameters, user_data, body, has_place_for_data=False)


def filter_function(
    function: Callable[..., Any],
    window: Any,
    *,
    user_data: NDArray[np.float64] | None = None,
    derivative: str | None = None,
    argnums: Argnums | None = None,
    examples: Sequence[Sequence[Any]] = (),
) -> LowLevelCallable:
    """A function for ``scipy.ndimage.generic_filter``: from the values in a window, one dimension, to a number.

    ``window`` is an example, of as many elements as the footprint has. SciPy raises RuntimeError where a comparison
    comes out differently than in all examples, and where the window has another size. The rest is as for ``integrand``.

    >>> import numpy as np, scipy.ndimage
    >>> spread = filter_function(lambda window: np.sum((window - np.mean(window)) ** 2), np.zeros(3))
    >>> scipy.ndimage.generic_filter(np.array([1.0, 2.0, 4.0]), spread, size=3)
    array([0.66666667, 4.66666667, 2.66666667])
    """
    code = _code(function, (window,), user_data, derivative, argnums, examples)
    _check_one_number(code)
    sizes = _sizes(code, user_data)

    def body(caller: Caller) -> None:
        values, n, result, data = caller.parameters
        _require(caller, n, sum(sizes))
        _return_success(caller, [*caller.in_a_row(values, sizes), *([data] * (user_data is not None))], [result])

    return _callable(code, _INT, [_DOUBLES, _SIZE, _DOUBLES], user_data, body)


def filter_function1d(
    function: Callable[..., Any],
    line: Any,
    *,
    user_data: NDArray[np.float64] | None = None,
    derivative: str | None = None,
    argnums: Argnums | None = None,
    examples: Sequence[Sequence[Any]] = (),
) -> LowLevelCallable:
    """A function for ``scipy.ndimage.generic_filter1d``: from an extended line to the filtered line.

    ``line`` is an example, longer than the result by the filter's size less one. All else is as in ``filter_function``.
    """
    code = _code(function, (line,), user_data, derivative, argnums, examples)
    sizes, lengths = _sizes(code, user_data), [array.size for array in code.results]

    def body(caller: Caller) -> None:
        values, n, results, n_results, data = caller.parameters
        _require(caller, n, sum(sizes))
        _require(caller, n_results, sum(lengths))
        arguments = [*caller.in_a_row(values, sizes), *([data] * (user_data is not None))]
        _return_success(caller, arguments, caller.in_a_row(results, lengths))

    return _callable(code, _INT, [_DOUBLES, _SIZE, _DOUBLES, _SIZE], user_data, body)


def mapping(
    function: Callable[..., Any],
    coordinates: Any,
    *,
    user_data: NDArray[np.float64] | None = None,
    examples: Sequence[Sequence[Any]] = (),
) -> LowLevelCallable:
    """A mapping for ``scipy.ndimage.geometric_transform``: from coordinates of the output to those of the input.

    ``coordinates`` is an example: floats in an array or a tuple, as the function takes them. It returns an array or a
    tuple. The rest is as for ``filter_function``.
    """
    code = _code(function, (coordinates,), user_data, None, None, examples)
    sizes, lengths = _sizes(code, user_data), [array.size for array in code.results]

    def body(caller: Caller) -> None:
        builder = caller.builder
        whole, results, n_results, n, data = caller.parameters
        _require(caller, n_results, sum(sizes))
        _require(caller, n, sum(lengths))
        floats = builder.alloca(DOUBLE, size=ir.Constant(LONG, max(sum(sizes), 1)))
        for k in range(sum(sizes)):
            number = builder.load(element(builder, whole, k, LONG), typ=LONG)
            builder.store(builder.sitofp(number, DOUBLE), caller.number_at(floats, k))
        arguments = [*caller.in_a_row(floats, sizes), *([data] * (user_data is not None))]
        _return_success(caller, arguments, caller.in_a_row(results, lengths))

    return _callable(code, _INT, [_WHOLE, _DOUBLES, _INT, _INT], user_data, body)


def _code(
    function: Callable[..., Any],
    example: tuple[Any, ...],
    user_data: NDArray[np.float64] | None,
    derivative: str | None,
    argnums: Argnums | None,
    examples: Sequence[Sequence[Any]],
) -> MachineCode:
    more: tuple[Any, ...] = ()
    if user_data is not None:
        if not isinstance(user_data, np.ndarray) or not is_plain(user_data):
            raise InputError("user_data must be a float64 array in C order: machine code reads it where it is.")
        more = (user_data,)
    wanted = derivative_of(function, derivative, argnums)
    code = machine_code(wanted, [(*arguments, *more) for arguments in (example, *examples)])
    if code.seeds:
        raise InputError(f"SciPy hands over no cotangents or tangents, which {code.label} takes.")
    return code


def _sizes(code: MachineCode, user_data: Any) -> list[int]:
    """How many numbers each argument takes that SciPy hands over."""
    sizes = [array.size for array in code.inputs]
    return sizes if user_data is None else sizes[:-1]


def _check_one_number(code: MachineCode) -> None:
    if len(code.results) != 1 or code.results[0].size != 1:
        found = ", ".join(f"{array.name} of shape {array.shape}" for array in code.results)
        raise InputError(f"SciPy takes one number here; {code.label} returns {found}.")


def _require(caller: Caller, given: Any, expected: int) -> None:
    """Return failure where a size that SciPy gives is another."""
    same = caller.builder.icmp_signed("==", given, ir.Constant(given.type, expected))
    caller.unless(same, ir.Constant(INT, 0))


def _return_success(caller: Caller, arguments: Sequence[Any], results: Sequence[Any]) -> None:
    """Return 1, or 0 where no way fits."""
    status = caller.run(arguments, results)
    caller.builder.ret(caller.builder.zext(caller.builder.icmp_signed("==", status, ir.Constant(LONG, OK)), INT))


def _callable(
    code: MachineCode,
    returns: Any,
    parameters: Sequence[Any],
    user_data: NDArray[np.float64] | None,
    body: Callable[[Caller], None],
    has_place_for_data: bool = True,
) -> LowLevelCallable:
    """The callable, which keeps code, captured arrays and user data alive."""
    if has_place_for_data or user_data is not None:
        parameters = [*parameters, _ANYTHING]
    made = compiled(code, _TYPES[returns], [_TYPES[parameter] for parameter in parameters], body)
    function: Any = ctypes.CFUNCTYPE(returns, *parameters)(made.address)
    function.owner = (made, user_data)
    signature = f"{_NAMES[returns]} ({', '.join(_NAMES[parameter] for parameter in parameters)})"
    data: Any = None if user_data is None else ctypes.c_void_p(user_data.ctypes.data)
    found: LowLevelCallable = LowLevelCallable(function, data, signature)
    return found
