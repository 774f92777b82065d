"""Array methods that no NumPy function has the signature of, and attributes of arrays."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np

from fastgrad.errors import UnsupportedError, located
from fastgrad.recording.functions import (  # noqa: F401 - whose functions are methods too
    elementwise,
    making,
    products,
    rearranging,
    reductions,
)
from fastgrad.recording.functions.conversions import astype, with_value
from fastgrad.recording.functions.flat import flat_of, set_flat
from fastgrad.recording.functions.registry import FUNCTIONS, METHODS, as_array
from fastgrad.recording.functions.shapes import numpy_reshape, ravel, transpose
from fastgrad.recording.indexing import getitem
from fastgrad.recording.recorded_array import RecordedArray, copy_of
from fastgrad.recording.source import user_line


def _item(x: RecordedArray, *index: Any) -> Any:
    if x.size != 1 and not index:
        raise ValueError("can only convert an array of size 1 to a Python scalar")
    element = getitem(x, index) if len(index) > 1 else getitem(ravel(x), index[0] if index else 0)
    return {"b": bool, "i": int, "u": int}.get(x.dtype.kind, float)(element)


def _tolist(x: RecordedArray) -> Any:
    return x if x.ndim == 0 else [_tolist(row) for row in x]


def _reshape(x: RecordedArray, *shape: Any, order: str = "C", copy: Any = None) -> Any:
    return numpy_reshape(x, shape[0] if len(shape) == 1 else shape, order, copy=copy)


def _transpose(x: RecordedArray, *axes: Any) -> Any:
    return transpose(x, (axes[0] if len(axes) == 1 and not isinstance(axes[0], int) else axes) if axes else None)


def _flatten(x: RecordedArray, order: str = "C") -> Any:
    return with_value(ravel(x, order), x.value.flatten(order))


def _copy(x: RecordedArray, order: str = "C") -> Any:
    return copy_of(x) if order == "K" or x.ndim < 2 else with_value(x, x.value.copy(order))


def _fill(x: Any, value: Any) -> None:
    if as_array(value).ndim:
        raise ValueError("setting an array element with a sequence.")
    x[...] = value


def _resize(x: RecordedArray, *new_shape: Any, refcheck: bool = True) -> NoReturn:
    raise UnsupportedError(
        located(
            "the array method .resize, which changes the shape of an array under all its names, cannot be recorded",
            user_line(),
            "Make a new array: write x = np.resize(x, shape) or x = x[:n].",
        )
    )


def _namespace(x: RecordedArray, *, api_version: Any = None) -> Any:
    # NumPy's own error for a version that it does not know
    return np.empty(0).__array_namespace__(api_version=api_version)


def _to_device(x: RecordedArray, device: Any, *, stream: Any = None) -> Any:
    np.empty(0).to_device(device, stream=stream)
    return x


def _by_function(name: str) -> Callable[..., Any]:
    """The method as NumPy's function of that name, which may be defined in a module that is loaded late."""

    def method(x: RecordedArray, *args: Any, **kwargs: Any) -> Any:
        return getattr(np, name)(x, *args, **kwargs)

    return method


def _attribute_of_value(name: str) -> Callable[[RecordedArray], Any]:
    return lambda x: getattr(x.value, name)


def _choose(x: RecordedArray, *choices: Any, out: Any = None, mode: Any = "raise") -> Any:
    choose: Any = np.choose
    return choose(x, choices[0] if len(choices) == 1 else choices, mode=mode)


def _sort(x: Any, axis: int = -1, kind: Any = None, order: Any = None, *, stable: Any = None) -> None:
    x[...] = np.sort(x, axis, kind, order, stable=stable)


def _partition(x: Any, kth: Any, axis: int = -1, kind: Any = "introselect", order: Any = None) -> None:
    x[...] = np.partition(x, kth, axis, kind, order)


def _view(x: RecordedArray, dtype: Any = None, type: Any = None) -> Any:
    kind = dtype if dtype is not None else type
    is_class = isinstance(kind, builtins.type) and issubclass(kind, np.ndarray)
    if kind is None or kind is np.ndarray or (not is_class and np.dtype(kind) == x.dtype):
        return x.seen_as(x.value.view(), lambda node: node)
    raise UnsupportedError(
        located(
            f"a view of a recorded array as {kind} cannot be recorded, because it looks at memory and not at elements",
            user_line(),
            "Use .astype, or plain arrays (np.asarray) instead of other classes.",
        )
    )


# these take what the functions of the same name take
_LIKE_FUNCTIONS = (
    "sum", "prod", "mean", "var", "std", "max", "min", "any", "all", "cumsum", "dot", "clip", "round", "swapaxes",
    "squeeze", "repeat", "take", "diagonal", "trace", "ravel",
)  # fmt: skip
METHODS |= {name: FUNCTIONS[getattr(np, name)] for name in _LIKE_FUNCTIONS}
METHODS |= {
    "reshape": _reshape,
    "flatten": _flatten,
    "transpose": _transpose,
    "copy": _copy,
    "conj": lambda x: x,
    "conjugate": lambda x: x,
    "astype": astype,
    "item": _item,
    "tolist": _tolist,
    "fill": _fill,
    "resize": _resize,
    "compress": lambda x, condition, axis=None, out=None: np.compress(condition, x, axis),
    "choose": _choose,
    "put": _by_function("put"),
    "sort": _sort,
    "partition": _partition,
    "view": _view,
    "__array_namespace__": _namespace,
    "to_device": _to_device,
}
# attributes that are computed, and what sets those that can be set
ATTRIBUTES: dict[str, property] = {
    "flat": property(flat_of, set_flat),
    "imag": property(_attribute_of_value("imag")),
    "strides": property(_attribute_of_value("strides")),
    "flags": property(_attribute_of_value("flags")),
    "device": property(_attribute_of_value("device")),
}
