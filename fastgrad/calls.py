"""From a call's arguments to the arrays that a tape takes, and from a function to its branch.

Arguments come apart into leaves. Those that are differentiated, and every other array or float, become inputs of the
tape (so new data need no new recording). The rest (whole numbers, strings, flags, anything else) is static: it is
handed to the function as it is, and a recording is valid for equal values of it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastgrad.branches import Branch, OutputLeaf
from fastgrad.document.function import TapeFunction
from fastgrad.errors import InputError, LostDerivativeError, UnsupportedError
from fastgrad.recording import numpy_protocol  # noqa: F401 - gives recorded arrays their NumPy functions
from fastgrad.recording.fresh_array import FreshArray, unwrapped
from fastgrad.recording.held_functions import places_of_functions
from fastgrad.recording.interception import interception
from fastgrad.recording.recorded_array import RecordedArray, means_more_than_its_data, stacked
from fastgrad.recording.recorder import Recorder, recording
from fastgrad.recording.source import note_library
from fastgrad.recording.storage import root_of
from fastgrad.recording.structures import BARE, Structure, flatten
from fastgrad.tape import Tape, distinct
from fastgrad.tape_names import input_names

Floats = NDArray[np.float64]
Argnums = int | str | tuple[int | str, ...]
Key = int | str

_NUMBERS = (float, int, np.floating, np.integer, np.bool_)
_IMMUTABLE = (int, str, bytes, bool, type(None), np.generic, float, complex)


@dataclass(frozen=True)
class Leaf:
    """One leaf of the arguments: a tape input (``array`` holds its value), or static.

    ``whole`` marks data of whole numbers or flags: the function sees it in that dtype, not as floats.
    """

    original: Any
    array: Floats | None
    dtype: Any
    whole: bool = False

    @property
    def recorded_value(self) -> Any:
        """What the recorded argument holds."""
        assert self.array is not None
        # memory of its own: the function may write into it, and ravel() is a view or not as it is under NumPy
        dtype = self.dtype if self.whole else np.float64
        if self.layout == "strided":
            # a part of other memory; of several axes, one of which no two lie in a row
            *leading, last = self.array.shape
            wide = np.zeros((*leading, last + 1) if leading else 2 * last, dtype)
            value = wide[..., :-1] if leading else wide[::2]
            value[...] = self.array
            return value
        order: Any = self.layout
        return self.array.astype(dtype, order)[()]

    @property
    def layout(self) -> str:
        return layout_of(self.original)

    @property
    def is_input(self) -> bool:
        return self.array is not None


@dataclass(frozen=True)
class Argument:
    """One argument, by position or name."""

    key: Key
    structure: Structure
    leaves: tuple[Leaf, ...]
    differentiated: bool

    def name(self, parameters: Sequence[str]) -> str:
        """The name of the function's parameter, as far as that is known."""
        if isinstance(self.key, str):
            return self.key
        return parameters[self.key] if self.key < len(parameters) else f"argument{self.key}"


@dataclass(frozen=True)
class Call:
    """The arguments of one call, taken apart."""

    arguments: tuple[Argument, ...]

    @cached_property
    def inputs(self) -> list[Leaf]:
        return [leaf for argument in self.arguments for leaf in argument.leaves if leaf.is_input]

    @cached_property
    def arrays(self) -> list[Floats]:
        return [leaf.array for leaf in self.inputs if leaf.array is not None]

    @cached_property
    def wrt(self) -> tuple[int, ...]:
        """The positions, among the tape's inputs, of the differentiated leaves."""
        flags = [a.differentiated for a in self.arguments for leaf in a.leaves if leaf.is_input]
        return tuple(position for position, flag in enumerate(flags) if flag)

    def signature(self) -> Hashable:
        """Equal for two calls that a recording serves alike, as far as the arguments go."""
        return tuple(
            (argument.key, argument.structure, argument.differentiated, *map(_leaf_key, argument.leaves))
            for argument in self.arguments
        )

    def described(self, parameters: Sequence[str]) -> dict[str, Hashable]:
        """What ``signature`` is made of, by names for a message about what changes."""
        found: dict[str, Hashable] = {}
        for argument in self.arguments:
            root = argument.name(parameters)
            found[f"the nesting of argument {root}"] = (argument.structure, argument.differentiated)
            for leaf, name in zip(argument.leaves, argument.structure.names(root), strict=True):
                what = "value" if leaf.array is None else "shape or dtype"
                found[f"the {what} of argument {name}"] = _leaf_key(leaf)
        return found

    def with_static_data(self, varying: frozenset[tuple[Key, int]] = frozenset()) -> Call:
        """The call with everything made static that is neither differentiated nor (argument, position) varying."""

        def static(argument: Argument) -> Argument:
            leaves = [
                leaf if (argument.key, position) in varying else _made_static(leaf)
                for position, leaf in enumerate(argument.leaves)
            ]
            return Argument(argument.key, argument.structure, tuple(leaves), False)

        return Call(tuple(a if a.differentiated else static(a) for a in self.arguments))


def layout_of(original: Any) -> str:
    """How an argument lies in memory, which says whether reshape() and ravel() of it are views: C, F or strided."""
    array = original.value if type(original) is RecordedArray else original
    if not isinstance(array, np.ndarray) or array.flags.c_contiguous:
        return "C"
    return "F" if array.flags.f_contiguous else "strided"


def _made_static(leaf: Leaf) -> Leaf:
    return leaf if isinstance(leaf.original, RecordedArray) else Leaf(leaf.original, None, None)


def _leaf_key(leaf: Leaf) -> Hashable:
    if leaf.array is not None:
        return (leaf.array.shape, leaf.dtype, leaf.whole, leaf.layout)
    original = leaf.original
    if isinstance(original, np.ndarray):
        return (original.shape, original.dtype.str, original.tobytes(), layout_of(original))
    if isinstance(original, _IMMUTABLE):
        return (original.__class__, original if original == original else "nan", str(original))
    return (original.__class__, id(original))


def bind(
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    argnums: tuple[Key, ...],
    parameters: Sequence[str],
    varying: frozenset[tuple[Key, int]] = frozenset(),
) -> Call:
    """Take a call apart. ``varying`` names leaves, by argument and position in it, that must be inputs of the tape.

    Raises InputError for what cannot be differentiated.
    """
    names = dict(zip(parameters, range(len(args)), strict=False))
    chosen: set[Key] = set()
    for argnum in argnums:
        key = names.get(argnum, argnum) if isinstance(argnum, str) else argnum + len(args) * (argnum < 0)
        if not (key in kwargs if isinstance(key, str) else 0 <= key < len(args)):
            raise InputError(_no_such_argument(argnum, args, kwargs))
        if key in chosen:
            raise InputError(f"argnums {argnums!r} names an argument twice.")
        chosen.add(key)
    given: list[tuple[Key, Any]] = [*enumerate(args), *kwargs.items()]
    return Call(tuple(_argument(key, value, key in chosen, varying) for key, value in given))


def _no_such_argument(argnum: Key, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    given = f"{len(args)} positional argument{'s' * (len(args) != 1)}"
    if kwargs:
        given += f" and {', '.join(kwargs)}"
    return (
        f"argnums names argument {argnum!r}, but the call has {given}. "
        "Give the position of a positional argument or the name of one passed by name."
    )


def _argument(key: Key, value: Any, differentiated: bool, varying: frozenset[tuple[Key, int]]) -> Argument:
    leaves, structure = flatten(value)
    for leaf in leaves:
        if means_more_than_its_data(leaf):
            raise InputError(
                f"{_called(key)} holds a {type(leaf).__name__}, whose mask or own arithmetic a recording would lose. "
                "Pass a plain array (np.asarray), and a mask as one more argument."
            )
    found = tuple(
        _differentiated_leaf(leaf, key, structure, position)
        if differentiated
        else (_varying_leaf if (key, position) in varying else _data_leaf)(leaf, key)
        for position, leaf in enumerate(leaves)
    )
    if differentiated and not found:
        raise InputError(f"{_called(key)} is empty: there is nothing to differentiate by. Choose other argnums.")
    return Argument(key, structure, found, differentiated)


def _called(key: Key) -> str:
    return f"argument {key!r}" if isinstance(key, str) else f"positional argument {key}"


def _differentiated_leaf(leaf: Any, key: Key, structure: Structure = BARE, position: int = 0) -> Leaf:
    """The leaf at that position of an argument that is nested so."""
    if isinstance(leaf, RecordedArray):
        return Leaf(leaf, np.asarray(leaf.value, np.float64), np.dtype(np.float64))
    if isinstance(leaf, (np.ndarray, *_NUMBERS)):
        array = np.asarray(leaf)
        if array.dtype.kind in "fiub" and array.dtype.itemsize <= 8:
            return Leaf(leaf, _float64(array), array.dtype)
        kind = {
            "c": "complex numbers",
            "O": "Python objects",
            "U": "text",
            "S": "text",
            "M": "dates",
            "m": "time spans",
        }
        what = f"an array of {kind.get(array.dtype.kind, str(array.dtype))}"
    else:
        what = "text" if isinstance(leaf, str) else f"{type(leaf).__name__}"
        what = "a complex number" if isinstance(leaf, (complex, np.complexfloating)) else what
    place, remedy = "", "choose argnums that leave this argument out"
    if structure.tree is not None:
        place = f" at {structure.names(key if isinstance(key, str) else f'args[{key}]')[position]}"
        remedy = "move it into an argument of its own, which argnums leaves out"
    raise InputError(
        f"{_called(key)} holds {what}{place}, which cannot be differentiated. Pass real numbers (float64, float32 or "
        f"whole numbers), or {remedy}."
    )


def _float64(array: NDArray[Any]) -> Floats:
    converted = np.ascontiguousarray(array, np.float64)
    return converted.reshape(array.shape)  # ascontiguousarray makes 0-d arrays 1-d


def _varying_leaf(leaf: Any, key: Key) -> Leaf:
    """A leaf of data that changes from one run of the tape to the next, so that it must be an input of it."""
    array = np.asarray(leaf)
    if array.dtype.kind in "iub":
        return Leaf(leaf, _float64(array), array.dtype, whole=True)
    found = _data_leaf(leaf, key)
    return found if found.is_input else _differentiated_leaf(leaf, key)


def _data_leaf(leaf: Any, key: Key) -> Leaf:
    if isinstance(leaf, RecordedArray):
        return Leaf(leaf, np.asarray(leaf.value, np.float64), np.dtype(np.float64))
    if isinstance(leaf, (float, np.floating)) or (isinstance(leaf, np.ndarray) and leaf.dtype.kind == "f"):
        array = np.asarray(leaf)
        if array.dtype.itemsize <= 8:
            return Leaf(leaf, _float64(array), array.dtype)
    return Leaf(leaf, None, None)


# ---- recording


def parameters_of(function: Callable[..., Any]) -> tuple[str, ...]:
    """The names of a function's positional parameters; none where it does not tell."""
    if isinstance(function, TapeFunction):
        return function.parameters
    if isinstance(function, Tape):
        return tuple(input_names(function))
    try:
        kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        return tuple(p.name for p in inspect.signature(function).parameters.values() if p.kind in kinds)
    except (TypeError, ValueError):
        return ()


@dataclass(frozen=True)
class Recording:
    """A branch just recorded, and the values of enclosing recordings that it took in."""

    branch: Branch
    lifted: tuple[Any, ...]


def record_call(
    function: Callable[..., Any], call: Call, has_aux: bool, parameters: Sequence[str], kept: Any = None
) -> Recording:
    """Run the function on recorded values and return the tape of what it did."""
    places: Sequence[tuple[Any, Any]] | None = None
    while True:
        suspensions = interception.suspensions_elsewhere()
        try:
            return _record_call(function, call, has_aux, parameters, kept, places)
        except LostDerivativeError:
            # another thread may have imported or compiled something, for which the stand-ins were taken away
            if interception.suspensions_elsewhere() == suspensions:
                if places is not None:
                    raise
                places = interception.worth_replacing(function, places_of_functions(function))
                if places is None:
                    raise


def _record_call(
    function: Callable[..., Any],
    call: Call,
    has_aux: bool,
    parameters: Sequence[str],
    kept: Any,
    places: Sequence[tuple[Any, Any]] | None,
) -> Recording:
    with recording() as recorder:
        args, kwargs, memory = _recorded_arguments(recorder, call, parameters)
        result = _result_of(function, args, kwargs, places)
        needs_separate_arguments = len(memory) > 1 and any(_is_written(array, recorder) for array in memory)
        if needs_separate_arguments:
            require_separate_arguments(call)
        aux: Any = None
        if has_aux:
            if not isinstance(result, tuple) or len(result) != 2:
                raise InputError(
                    "with has_aux=True the function must return a pair (value, auxiliary data); "
                    f"it returned {type(result).__name__}."
                )
            result, aux = result
        nodes: list[int] = []
        leaves, structure = _outputs(recorder, result, nodes, strict=True)
        aux_leaves, aux_structure = _outputs(recorder, aux, nodes, strict=False) if has_aux else ((), None)
        paths = [*structure.paths(), *(aux_structure.paths() if aux_structure is not None else ())]
        known = [path for path, leaf in zip(paths, [*leaves, *aux_leaves], strict=True) if leaf.dtype is not None]
        tape = recorder.build(nodes, _output_names(recorder, nodes, known))
        lifted = tuple(outer for outer, _ in recorder.lifted.values())
    # static arguments are told apart by identity, so they must live as long as the branch
    static = [leaf.original for argument in call.arguments for leaf in argument.leaves if not leaf.is_input]
    branch = Branch(tape, structure, leaves, aux_structure, aux_leaves, (kept, static), 0.0, needs_separate_arguments)
    return Recording(branch, lifted)


def _output_names(recorder: Recorder, nodes: Sequence[int], paths: Sequence[str]) -> tuple[str, ...]:
    """What the outputs are called: by their place in a result with names, else as their nodes; none if nothing has one.

    Where others have a name, an output without is called ``output`` with its position.
    """
    of_nodes = {node: name for name, node in reversed(recorder.named.items())}
    names = [path or of_nodes.get(node, "") for path, node in zip(paths, nodes, strict=True)]
    if not any(names):
        return ()
    return distinct([name or f"output{position}" for position, name in enumerate(names)])


def _is_written(memory: NDArray[Any], recorder: Recorder) -> bool:
    """Whether the function has written into an argument, or into its copy of a static one."""
    if not isinstance(memory, _StaticArray):
        return id(memory) in recorder.storages
    return memory.home.recorder is not None or memory.view(np.ndarray).tobytes() != memory.original.tobytes()


class _StaticArray(FreshArray):
    """The copy of a static argument."""

    original: NDArray[Any]


def require_separate_arguments(call: Call) -> None:
    """Raises UnsupportedError where arrays among the arguments share memory: a write into one would change another."""
    arrays = [leaf.original for argument in call.arguments for leaf in argument.leaves]
    arrays = [array.value if isinstance(array, RecordedArray) else array for array in arrays]
    arrays = [array for array in arrays if isinstance(array, np.ndarray)]
    for array, other in combinations(arrays, 2):
        if np.may_share_memory(array, other):
            raise UnsupportedError(
                "the function writes into an argument, and two of its arguments share memory: under NumPy the other "
                "would change too, but arguments are separate variables here. Pass a copy of one of them, or have the "
                "function write into a copy."
            )


def _result_of(
    function: Callable[..., Any],
    args: Sequence[Any],
    kwargs: dict[str, Any],
    places: Sequence[tuple[Any, Any]] | None,
) -> Any:
    function = interception.open(function, places)
    try:
        return function(*args, **kwargs)
    except (ValueError, SystemError) as error:
        # compiled code that takes a recorded value for a float hides the reason behind an error of its own
        if isinstance(error.__cause__, LostDerivativeError):
            raise error.__cause__ from None
        note_library(error)
        raise
    except Exception as error:
        note_library(error)
        raise
    finally:
        interception.close()


def record_with_data(
    function: Callable[..., Any], call: Call, has_aux: bool, parameters: Sequence[str], kept: Any = None
) -> tuple[Recording, Call]:
    """Record; where data that is not differentiated cannot be recorded, take it as static. Also says which it was."""
    try:
        return record_call(function, call, has_aux, parameters, kept), call
    except (UnsupportedError, LostDerivativeError):
        static = call.with_static_data()
        if len(static.inputs) == len(call.inputs):
            raise
        return record_call(function, static, has_aux, parameters, kept), static


def _recorded_arguments(
    recorder: Recorder, call: Call, parameters: Sequence[str]
) -> tuple[list[Any], dict[str, Any], list[NDArray[Any]]]:
    """What the function is called with, and the memory of the recorded arrays among it."""
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    memory: list[NDArray[Any]] = []
    for argument in call.arguments:
        root = argument.name(parameters)
        leaves = [
            _static(leaf.original) if leaf.array is None else _input(recorder, leaf.recorded_value, name)
            for leaf, name in zip(argument.leaves, argument.structure.names(root), strict=True)
        ]
        memory += [root_of(x.value) for x in leaves if type(x) is RecordedArray and isinstance(x.value, np.ndarray)]
        memory += [x for x in leaves if isinstance(x, _StaticArray)]
        value = argument.structure.unflatten(leaves)
        if isinstance(argument.key, str):
            kwargs[argument.key] = value
        else:
            args.append(value)
    return args, kwargs, memory


def _static(original: Any) -> Any:
    """A static argument as the function sees it: arrays as copies, which it may write into."""
    if type(original) is not np.ndarray:
        return original
    copy = original.copy(order="K").view(_StaticArray)
    copy.original = original
    return copy


def _input(recorder: Recorder, value: Any, name: str) -> RecordedArray:
    return RecordedArray(recorder, recorder.add_input(value.shape, name), value)


def _outputs(
    recorder: Recorder, result: Any, nodes: list[int], strict: bool
) -> tuple[tuple[OutputLeaf, ...], Structure]:
    """The leaves of a function's result; nodes of recorded and numeric ones are appended to ``nodes``."""
    leaves, structure = flatten(result)
    found = []
    for leaf in map(unwrapped, leaves):
        value = stacked(leaf) if isinstance(leaf, np.ndarray) and leaf.dtype.kind == "O" else leaf
        if isinstance(value, RecordedArray):
            nodes.append(value.node if value.recorder is recorder else recorder.lift(value))
            found.append(OutputLeaf(value.dtype))
        elif strict and isinstance(value, (np.ndarray, *_NUMBERS)) and np.asarray(value).dtype.kind in "fiub":
            nodes.append(_constant(recorder, value))
            found.append(OutputLeaf(np.asarray(value).dtype))
        elif strict:
            raise InputError(
                f"the function returned {type(value).__name__}, which cannot be differentiated. Return real numbers or "
                "arrays (in any nesting of tuples, lists and dicts), other things beside them with has_aux=True."
            )
        else:
            found.append(OutputLeaf(None, value))
    return tuple(found), structure


def _constant(recorder: Recorder, value: Any) -> int:
    return recorder.array(value) if isinstance(value, np.ndarray) else recorder.scalar(float(value))


__all__ = [
    "Argnums",
    "Call",
    "bind",
    "layout_of",
    "parameters_of",
    "record_call",
    "record_with_data",
    "require_separate_arguments",
]
