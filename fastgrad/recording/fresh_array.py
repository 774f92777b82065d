"""Arrays that a function makes with NumPy while it is recorded, such as ``np.zeros(n)``.

A ``FreshArray`` is a NumPy array until a recorded value is written into it. From then on it answers as the recorded
array with its content, and so do all views of it, older ones too. The memory itself is then filled with NaN, or whole
numbers that are no index: code that reads it past all protocols shows that, instead of dropping a derivative. Truth
values cannot show it, so those that are written into such an array are guarded, and its memory holds them.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastgrad.errors import LeakedValueError, located
from fastgrad.recording.functions.conversions import any_recorded, holds_recorded
from fastgrad.recording.functions.flat import FlatIterator
from fastgrad.recording.numpy_protocol import apply_function, apply_ufunc
from fastgrad.recording.out_argument import named_out
from fastgrad.recording.recorded_array import RecordedArray
from fastgrad.recording.recorder import Recorder, innermost_recorder
from fastgrad.recording.source import user_line
from fastgrad.recording.storage import Piece, Storage, root_of

__all__ = ["FreshArray", "call_on_fresh", "made", "unwrapped", "unwrapped_call"]


class _Home:
    """What a fresh array and all its views share: the memory, and once it is recorded the memory of the values."""

    __slots__ = ("recorder", "root", "shadow")

    def __init__(self, root: NDArray[Any]) -> None:
        # the arrays keep it alive; it may be one of them
        self.root = weakref.ref(root)
        self.recorder: Recorder | None = None
        self.shadow: NDArray[Any] | None = None


class FreshArray(np.ndarray[Any, np.dtype[Any]]):
    """See the module's docstring."""

    home: _Home
    _recorded: RecordedArray | None

    def __array_finalize__(self, obj: Any) -> None:
        # views share the home of what they view; a copy has memory of its own
        home, root = getattr(obj, "home", None), root_of(self)
        self.home = home if home is not None and home.root() is root else _Home(root)
        self._recorded = None

    @property
    def is_recorded(self) -> bool:
        """Whether a recorded value has been written into it."""
        return self.home.recorder is not None

    def recorded_form(self) -> RecordedArray | None:
        """The recorded array that this one has become; None while it is a plain array.

        Raises LeakedValueError once the recording has ended.
        """
        home = self.home
        if home.recorder is None or home.shadow is None:
            return None
        if self._recorded is None:
            len(home.recorder.rows)  # refuses an array whose recording has ended
            self._recorded = RecordedArray(home.recorder, -1, _shadow_of(self, home.shadow))
        return self._recorded

    def promoted(self) -> RecordedArray:
        """The array as a recorded one of the innermost recording, whose content so far is a constant."""
        home, root = self.home, self.home.root()
        if home.recorder is None and root is not None:
            recorder = innermost_recorder()
            if recorder is None:
                raise LeakedValueError(
                    located(
                        "a recorded value was used after its recording", user_line(), "Return it from the function."
                    )
                )
            home.recorder, home.shadow = recorder, np.array(root, order="K", subok=False)
            storage = recorder.storages[id(home.shadow)] = Storage(recorder, home.shadow)
            storage.write(home.shadow, ..., _constant(recorder, home.shadow))
            storage.below = home.root
        found = self.recorded_form()
        assert found is not None
        return found

    def plain_form(self) -> NDArray[Any]:
        """The array as one of NumPy's own: the same object each time where that is possible."""
        root = self.home.root()
        if root is not None and type(root) is np.ndarray and _layout_of(root) == _layout_of(self):
            return root
        return self.view(np.ndarray)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        given = [unwrapped(x) for x in inputs]
        out = kwargs.pop("out", None)
        if method == "at":
            if not holds_recorded(given):
                return getattr(ufunc, method)(*given, **kwargs)
            given[0] = inputs[0]
        elif not holds_recorded(given) and not holds_recorded(kwargs.get("where")):
            if "where" in kwargs:
                kwargs["where"] = unwrapped(kwargs["where"])
            if out is None:
                return _wrapped(getattr(ufunc, method)(*given, **kwargs), inputs)
            if not any(isinstance(unwrapped(target), RecordedArray) for target in out):
                results = getattr(ufunc, method)(*given, out=tuple([unwrapped(target) for target in out]), **kwargs)
                if len(out) == 1:
                    return out[0]
                returned = zip(out, results, strict=True)
                return tuple([_wrapped(x, inputs) if target is None else target for target, x in returned])
        if out is not None:
            kwargs["out"] = out
        return apply_ufunc(ufunc, method, tuple(given), kwargs)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        return call_on_fresh(function, args, kwargs)

    def __setitem__(self, index: Any, value: Any) -> None:
        if self.home.recorder is None and not holds_recorded(value) and not holds_recorded(index):
            super().__setitem__(index, value)
            return
        target: Any = self.promoted()
        target[unwrapped(index)] = value

    def __getitem__(self, index: Any) -> Any:
        if self.home.recorder is None and not holds_recorded(index):
            return super().__getitem__(index)
        found: Any = self.promoted()
        return found[unwrapped(index)]

    def __deepcopy__(self, memo: Any) -> Any:
        return np.copy(self)

    @property
    def flat(self) -> Any:
        found: Any = self.recorded_form()
        return _FreshFlat(self) if found is None else found.flat

    @flat.setter
    def flat(self, values: Any) -> None:
        plain = self.home.recorder is None and not holds_recorded(values)
        target: Any = self.plain_form() if plain else self.promoted()
        target.flat = unwrapped(values)


class _FreshFlat(FlatIterator):
    """``x.flat`` of an array that need not hold recorded values yet."""

    def __setitem__(self, index: Any, value: Any) -> None:
        self.index = 0  # as NumPy does
        array = self.base
        plain = array.home.recorder is None and not holds_recorded(value) and not holds_recorded(index)
        elements = (array.plain_form() if plain else array.promoted()).flat
        elements[unwrapped(index)] = unwrapped(value)

    def __array__(self, dtype: Any = None, *, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(unwrapped(self.base).flat, dtype)


def _shadow_of(view: NDArray[Any], shadow: NDArray[Any]) -> NDArray[Any]:
    """The part of the values' memory that corresponds to a view."""
    root = root_of(view)
    offset = view.__array_interface__["data"][0] - root.__array_interface__["data"][0]
    whole = offset == 0 and view.shape == shadow.shape and view.strides == shadow.strides
    if whole and view.flags.writeable:
        return shadow
    found: NDArray[Any] = np.ndarray(view.shape, view.dtype, shadow, offset, view.strides)
    found.flags.writeable = view.flags.writeable
    return found


def _constant(recorder: Recorder, content: NDArray[Any]) -> Piece:
    """What an array holds when the first recorded value is written into it."""
    first = content.flat[0] if content.size else 0.0
    if first == first and (content == first).all() and not np.signbit(content).any():
        return Piece(recorder.scalar(float(first)), ())
    return Piece(recorder.array(content.copy()), content.shape)


def _layout_of(x: NDArray[Any]) -> tuple[Any, ...]:
    # the real part of an array, and its bytes seen as another type, have its shape and strides
    return x.dtype, x.shape, x.strides


def unwrapped(x: Any) -> Any:
    """Fresh arrays, also those in lists and tuples, as what they are now: recorded or plain."""
    if isinstance(x, FreshArray):
        recorded = x.recorded_form()
        return x.plain_form() if recorded is None else recorded
    if type(x) in (list, tuple) and any(isinstance(item, (FreshArray, list, tuple)) for item in x):
        return type(x)([unwrapped(item) for item in x])
    return x


def unwrapped_call(function: Callable[..., Any], args: Iterable[Any], kwargs: dict[str, Any]) -> Any:
    """Call a function with its arguments unwrapped."""
    return function(*map(unwrapped, args), **{name: unwrapped(x) for name, x in kwargs.items()})


def made(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What one of NumPy's makers of arrays returns: a recorded value, or a fresh array."""
    if args and not isinstance(args[0], _KNOWN_MEMORY) and not any_recorded(args, kwargs):
        # it may be another library's object, whose memory the array shares
        return function(*args, **kwargs)
    return call_on_fresh(function, args, kwargs)


def call_on_fresh(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A NumPy function on arguments of which some are fresh arrays, or recorded."""
    if any_recorded(args, kwargs):
        args, kwargs = named_out(function, args, kwargs)
        given = tuple([unwrapped(x) for x in args])
        if function in _WRITES_FIRST:
            given = (args[0].promoted() if isinstance(args[0], FreshArray) else args[0], *given[1:])
        options = {name: unwrapped(x) if name != "out" else x for name, x in kwargs.items()}
        return _wrapped(apply_function(function, given, options), args)
    given = tuple([unwrapped(x) for x in args])
    options = {name: unwrapped(x) for name, x in kwargs.items()}
    result = function(*given, **options)
    for argument, plain in zip((*args, *kwargs.values()), (*given, *options.values()), strict=True):
        if result is plain:
            # what was given as out=, or comes back as it is
            return argument
    return _wrapped(result, (*args, *kwargs.values()))


# what arrays are made of that hold no memory, or NumPy's
_KNOWN_MEMORY = (int, float, complex, str, list, tuple, range, type(None), np.generic, np.ndarray, type, np.dtype)
_WRITES_FIRST = {np.copyto, np.put, np.place, np.putmask, np.put_along_axis, np.fill_diagonal}


def _wrapped(result: Any, given: Iterable[Any]) -> Any:
    """Arrays among results as fresh ones: views of a fresh argument share its home, those of others stay plain."""
    if type(result) in (list, tuple):
        return type(result)([_wrapped(item, given) for item in result])
    if type(result) is not np.ndarray or result.dtype.kind not in "fiub":
        return result
    root = root_of(result)
    for array in _arrays_in(given):
        if root_of(array) is root:
            if not isinstance(array, FreshArray):
                return result
            view = result.view(FreshArray)
            view.home = array.home
            return view
    return result.view(FreshArray)


def _arrays_in(given: Iterable[Any]) -> Iterator[NDArray[Any]]:
    for x in given:
        if issubclass(type(x), np.ndarray):
            yield x
        elif isinstance(x, (list, tuple)):
            yield from _arrays_in(x)


def _delegating(name: str) -> Callable[..., Any]:
    original = getattr(np.ndarray, name)

    def method(self: FreshArray, *args: Any, **kwargs: Any) -> Any:
        if self.home.recorder is None and not any_recorded(args, kwargs):
            return original(self, *args, **kwargs)
        return getattr(self.promoted(), name)(*args, **kwargs)

    method.__name__ = name
    return method


# the methods of arrays that look at their elements
_METHODS = (
    "all", "any", "argmax", "argmin", "argpartition", "argsort", "astype", "choose", "clip", "compress", "conj",
    "conjugate", "copy", "cumprod", "cumsum", "diagonal", "dot", "fill", "flatten", "item", "max", "mean",
    "min", "nonzero", "partition", "prod", "put", "ravel", "repeat", "reshape", "resize", "round",
    "searchsorted", "sort", "squeeze", "std", "sum", "swapaxes", "take", "tobytes", "tolist", "trace",
    "transpose", "var", "dump", "dumps", "tofile", "__bool__", "__complex__", "__contains__", "__copy__",
    "__float__", "__format__", "__index__", "__int__", "__reduce__", "__reduce_ex__", "__repr__", "__str__",
)  # fmt: skip
for _name in _METHODS:
    setattr(FreshArray, _name, _delegating(_name))
