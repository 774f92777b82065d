"""The public transforms: from a function to a callable derivative."""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastgrad import ops
from fastgrad.branches import Branch, BranchCache, Executor, OutputLeaf
from fastgrad.calls import Argnums, Call, Key, bind, parameters_of, record_call, record_with_data
from fastgrad.config import resolve_tier
from fastgrad.errors import InputError
from fastgrad.plan.derived import derived_tape
from fastgrad.plan.request import Kind, Request
from fastgrad.recording.captured import Surroundings
from fastgrad.recording.recorded_array import RecordedArray, apply
from fastgrad.recording.recorder import innermost_recorder
from fastgrad.recording.replay import replay
from fastgrad.recording.structures import Structure, flatten, map_leaves
from fastgrad.tape import Tape
from fastgrad.vm.fast_call import FastCalls, Given, accelerate, entry_for, is_plain, places_of

__all__ = [
    "Derivative",
    "Prepared",
    "grad",
    "hessian",
    "hvp",
    "jacobian",
    "jvp",
    "record",
    "stop_gradient",
    "value_and_grad",
    "vjp",
]

Floats = NDArray[np.float64]

# derivatives that jvp and vjp keep, the least recently used dropped first
MAX_SHARED = 128


class Form(Enum):
    """What a derivative returns."""

    VALUE = "value"
    GRADIENT = "grad"
    VALUE_AND_GRADIENT = "value_and_grad"
    JACOBIAN = "jacobian"
    HESSIAN = "hessian"
    HVP = "hvp"
    VJP = "vjp"
    JVP = "jvp"

    @property
    def order(self) -> int:
        """Which tape the request is put to: the function's (0) or its gradient's (1)."""
        return 1 if self in (Form.HESSIAN, Form.HVP) else 0

    @property
    def kind(self) -> Kind:
        return _KINDS[self]

    @property
    def with_values(self) -> bool:
        """Whether the values of the function (or, at order 1, of its gradient) are wanted beside the derivative."""
        return self in (Form.VALUE, Form.VALUE_AND_GRADIENT, Form.VJP, Form.JVP)

    @property
    def needs_scalar(self) -> bool:
        return self in (Form.GRADIENT, Form.VALUE_AND_GRADIENT, Form.HESSIAN, Form.HVP)


_KINDS = {
    Form.VALUE: Kind.VALUES,
    Form.GRADIENT: Kind.GRADIENT,
    Form.VALUE_AND_GRADIENT: Kind.GRADIENT,
    Form.JACOBIAN: Kind.JACOBIAN,
    Form.HESSIAN: Kind.JACOBIAN,
    Form.HVP: Kind.JVP,
    Form.VJP: Kind.VJP,
    Form.JVP: Kind.JVP,
}
_PLAIN_FORMS = (Form.GRADIENT, Form.VALUE_AND_GRADIENT, Form.JACOBIAN, Form.HESSIAN)


class Derivative:
    """A function's derivative: call it as the function itself is called.

    Made by ``grad`` and its kin. Recordings are kept: one for each signature (nesting, shapes, values of whole-number
    and other static arguments, and what the function sees around it) and each way that its control flow has gone.
    """

    __slots__ = ("__dict__", "__weakref__", "_fast")

    def __init__(
        self,
        function: Callable[..., Any],
        form: Form,
        argnums: Argnums = 0,
        has_aux: bool = False,
        tier: str | None = None,
    ) -> None:
        if not callable(function):
            raise InputError(f"{form.value} takes a function; it got {type(function).__name__}.")
        self.function = function
        self.form = form
        self.argnums = argnums
        self.has_aux = has_aux
        self.tier = resolve_tier(tier)
        self._keys = () if form is Form.VALUE else _checked_argnums(argnums)
        self._parameters = parameters_of(function)
        self._surroundings = Surroundings(function)
        self._cache = BranchCache()
        self._fast = FastCalls(type(self))
        functools.update_wrapper(self, function, updated=())

    def __repr__(self) -> str:
        return f"<{self.form.value} of {getattr(self.function, '__name__', self.function)!s}>"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.evaluate(args, kwargs, None)

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        """Inside a class a derivative is a method, as the function that it was made from would be."""
        return self if instance is None else functools.partial(self, instance)

    def evaluate(self, args: tuple[Any, ...], kwargs: dict[str, Any], seeds: Any) -> Any:
        """The results for these arguments; ``seeds`` are the cotangents or tangents where the form takes them."""
        call = self.bind(args, kwargs)
        if self.form is Form.HVP:
            seeds = self._in_order_of_arguments(call, seeds)
        if innermost_recorder() is not None:
            return self._evaluate_in_recording(call, seeds)
        results: list[Floats] = []
        seed_arrays: list[Floats] = []

        def run(branch: Branch, call: Call) -> int:
            executor = self.executor(branch, call)
            results[:] = executor.allocate()
            seed_arrays[:] = self.seed_arrays(branch, call, seeds)
            return executor(call.arrays, seed_arrays, results)

        branch, call = self.fitting_branch(call, run)
        if seeds is None and not kwargs:
            self._answer_without_python(branch, call)
        return self.package(branch, call, results)

    def _answer_without_python(self, branch: Branch, call: Call) -> None:
        """Have the kernels answer calls like this one from now on, if they can and it was not the first."""
        given, packing = _plain_arguments(call), self._plain_packing(branch, call)
        if given is None or packing is None or not self._fast.is_worthwhile(branch):
            return
        found, values = self._surroundings.snapshot()
        places = places_of(found, values)
        entry = next((entry for entry in self._fast.entries if entry.fits(branch, given)), None)
        if places is not None and entry is None:
            entry = entry_for(self.executor(branch, call), branch, given, *packing)
        if places is None or entry is None:
            self._fast.give_up(branch)
            return
        # another thread may have changed what is around the function since the branch was chosen
        signature = (call.signature(), self._surroundings.fingerprint(values))
        if any(known is branch for known in self._cache.branches(signature)):
            entry.expect(places)
            self._fast.add(entry)

    def _plain_packing(self, branch: Branch, call: Call) -> tuple[int, bool] | None:
        """How many values come before the derivative, and whether that is a tuple; None where it is nested deeper."""
        as_tuple = isinstance(self.argnums, tuple)
        if self.form not in _PLAIN_FORMS or self.has_aux or (as_tuple and self.form is Form.HESSIAN):
            return None
        dtype = branch.leaves[0].dtype if branch.structure.tree is None else None
        positions = [int(self._key(argnum, {}, len(call.arguments))) for argnum in self._keys]
        if dtype is None or dtype.kind != "f" or positions != sorted(positions):
            return None
        return int(self.form is Form.VALUE_AND_GRADIENT), as_tuple

    def bind(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], varying: frozenset[tuple[Key, int]] = frozenset()
    ) -> Call:
        return bind(args, kwargs, self._keys, self._parameters, varying)

    def signature(self, call: Call) -> Hashable:
        return (call.signature(), self._surroundings.fingerprint())

    def fitting_branch(self, call: Call, run: Callable[[Branch, Call], int]) -> tuple[Branch, Call]:
        """Run on the branch that fits the call, recording it if need be; also says which data was taken as static."""
        signature = self.signature(call)
        if not self._cache.branches(signature):
            static = call.with_static_data()
            # data that could not be recorded is part of the signature
            if len(static.inputs) < len(call.inputs) and self._cache.branches(self.signature(static)):
                call, signature = static, self.signature(static)
        for branch in self._cache.branches(signature):
            if run(branch, call) < 0:
                self._cache.use(signature, branch)
                return branch, call
        branch, call = self._recorded(lambda kept: self._record_with_data(call, kept))
        if run(branch, call) < 0:
            self.file(call, branch)
            return branch, call
        branch = branch.without_guards()
        run(branch, call)
        return branch, call

    def _record_with_data(self, call: Call, kept: Any) -> tuple[Branch, Call]:
        recording, used = record_with_data(self.function, call, self.has_aux, self._parameters, kept)
        return recording.branch, used

    def branches(self, signature: Hashable) -> tuple[Branch, ...]:
        return self._cache.branches(signature)

    def record(self, call: Call) -> Branch:
        """Record the function at this call, checked, with all data as inputs; ``file`` keeps it."""

        def record(kept: Any) -> tuple[Branch, Call]:
            return record_call(self.function, call, self.has_aux, self._parameters, kept).branch, call

        return self._recorded(record)[0]

    def _recorded(self, record: Callable[[Any], tuple[Branch, Call]]) -> tuple[Branch, Call]:
        """A new branch, and what the function saw around it while it was recorded."""
        start = time.perf_counter()
        self._surroundings.refresh()
        before = self._surroundings.fingerprint()
        branch, used = record(self._surroundings.references())
        self.check(branch)
        if self._surroundings.fingerprint() == before:
            branch.fingerprint = before
        branch.record_seconds = time.perf_counter() - start
        return branch, used

    def file(self, call: Call, branch: Branch) -> None:
        """Keep a branch for calls like the one that it was recorded for.

        If another thread, or the function itself, changed what is around the function meanwhile, nobody can say what
        the recording goes with: it serves its own call only.
        """
        if branch.fingerprint is not None:
            self._cache.use((call.signature(), branch.fingerprint), branch)

    def remember(self, signature: Hashable, branch: Branch) -> None:
        """Put a branch that is kept already in front."""
        self._cache.use(signature, branch)

    def check(self, branch: Branch) -> None:
        """Raise InputError where the function's result does not suit the form."""
        if self.form.needs_scalar:
            shapes = branch.tape.output_shapes[: branch.n_main_outputs]
            if len(shapes) != 1 or branch.structure.tree is not None:
                found = "one value inside a container" if len(shapes) == 1 else f"{len(shapes)} values"
                raise InputError(
                    f"{self.form.value} needs a function that returns one number; {self._name()} returned "
                    f"{found}. Use jacobian, or has_aux=True for what comes beside the number."
                )
            if shapes[0] != ():
                raise InputError(
                    f"{self.form.value} needs a function that returns one number; {self._name()} returned an array of "
                    f"shape {shapes[0]}. Sum it, or use jacobian."
                )

    def _name(self) -> str:
        return str(getattr(self.function, "__name__", "the function"))

    def request(self, branch: Branch, call: Call) -> Request:
        wrt = call.wrt if self.form is not Form.VALUE else ()
        n_outputs = len(wrt) if self.form.order else branch.n_main_outputs
        return Request(self.form.kind, wrt, n_outputs, self.form.with_values)

    def executor(self, branch: Branch, call: Call) -> Executor:
        return branch.executor(self.form.order, self.request(branch, call), call.wrt)

    def _in_order_of_arguments(self, call: Call, tangents: Any) -> Any:
        """Tangents given in the order of ``argnums``, in that of the call."""
        if not isinstance(self.argnums, tuple) or not isinstance(tangents, (tuple, list)):
            return tangents
        if len(tangents) != len(self._keys):
            return tangents  # which seed_arrays refuses
        found = [argument.key for argument in call.arguments if argument.differentiated]
        n_args = sum(not isinstance(argument.key, str) for argument in call.arguments)
        by_key = {
            self._key(key, dict.fromkeys(found), n_args): part for key, part in zip(self._keys, tangents, strict=True)
        }
        return tuple(by_key[key] for key in found)

    def seed_arrays(self, branch: Branch, call: Call, seeds: Any) -> list[Floats]:
        """The cotangents (tangents) as arrays. Raises InputError where they do not fit the results (arguments)."""
        if self.form is Form.VJP:
            shapes = branch.tape.output_shapes[: branch.n_main_outputs]
            return fitting_arrays(seeds, branch.structure, shapes, "cotangent", "the function's result")
        if self.form in (Form.JVP, Form.HVP):
            given = [argument for argument in call.arguments if argument.differentiated]
            parts = seeds if isinstance(self.argnums, tuple) else (seeds,)
            if len(parts) != len(given):
                raise InputError(f"there are {len(parts)} tangents for {len(given)} arguments.")
            arrays: list[Floats] = []
            for argument, part in zip(given, parts, strict=True):
                of_leaves = [leaf.array.shape for leaf in argument.leaves if leaf.array is not None]
                arrays += fitting_arrays(part, argument.structure, of_leaves, "tangent", "the argument")
            return arrays
        return []

    # ---- results in the user's own structure

    def package(self, branch: Branch, call: Call, results: Sequence[Any]) -> Any:
        """Nest the results of the executor (or recorded values in their order) as the caller expects them."""
        n_aux = len(branch.tape.outputs) - branch.n_main_outputs
        n_main = branch.n_main_outputs if self.form.with_values else 0
        derivatives, aux = list(results[n_main + n_aux :]), results[n_main : n_main + n_aux]
        auxiliary = _nested_outputs(branch.aux_leaves, branch.aux_structure, aux) if branch.aux_structure else None
        float32 = _all_float32(call)
        value = None
        if self.form in (Form.VALUE, Form.VALUE_AND_GRADIENT, Form.VJP, Form.JVP):
            value = _nested_outputs(branch.leaves, branch.structure, results[:n_main], float32)
        if self.form is Form.VALUE:
            return (value, auxiliary) if self.has_aux else value
        derivative = self._nested_derivative(branch, call, derivatives, float32)
        if self.form is Form.VALUE_AND_GRADIENT:
            return ((value, auxiliary), derivative) if self.has_aux else (value, derivative)
        if self.form is Form.JVP:
            return (value, derivative, auxiliary) if self.has_aux else (value, derivative)
        return (derivative, auxiliary) if self.has_aux else derivative

    def _nested_derivative(self, branch: Branch, call: Call, derivatives: list[Any], float32: bool) -> Any:
        dtypes = [call.inputs[position].dtype for position in call.wrt]
        if self.form is Form.JVP:
            return _nested_outputs(branch.leaves, branch.structure, derivatives, float32)
        if self.form is Form.JACOBIAN:
            n = len(dtypes)
            blocks = [
                self._nested_arguments(call, derivatives[k * n : (k + 1) * n], dtypes)
                for k in range(branch.n_main_outputs)
            ]
            return branch.structure.unflatten(blocks)
        if self.form is Form.HESSIAN:
            n = len(dtypes)
            rows = [self._nested_arguments(call, derivatives[k * n : (k + 1) * n], dtypes) for k in range(n)]
            return self._nested_arguments(call, rows, None)
        return self._nested_arguments(call, derivatives, dtypes)

    def _nested_arguments(self, call: Call, leaves: Sequence[Any], dtypes: Sequence[Any] | None) -> Any:
        """One leaf for each differentiated leaf, nested as the arguments; a tuple of them if argnums is one."""
        if dtypes is not None:
            leaves = [_cast(leaf, dtype) for leaf, dtype in zip(leaves, dtypes, strict=True)]
        remaining = iter(leaves)
        by_key = {
            argument.key: argument.structure.unflatten([next(remaining) for _ in argument.leaves])
            for argument in call.arguments
            if argument.differentiated
        }
        n_args = sum(not isinstance(argument.key, str) for argument in call.arguments)
        found = tuple(by_key[self._key(argnum, by_key, n_args)] for argnum in self._keys)
        return found if isinstance(self.argnums, tuple) else found[0]

    def _key(self, argnum: Key, by_key: dict[Key, Any], n_args: int) -> Key:
        if isinstance(argnum, str):
            return argnum if argnum in by_key else self._parameters.index(argnum)
        return argnum if argnum >= 0 else argnum + n_args

    # ---- inside another recording

    def _evaluate_in_recording(self, call: Call, seeds: Any) -> Any:
        recording, call = record_with_data(self.function, call, self.has_aux, self._parameters)
        branch = recording.branch
        self.check(branch)
        request = self.request(branch, call)
        derived = derived_tape(branch.tape_for(self.form.order, call.wrt), request)
        operands = [_operand(leaf.original, leaf.array) for leaf in call.inputs]
        seed_values = self._seed_values(branch, call, seeds)
        results = replay(derived, [*operands, *recording.lifted, *seed_values])
        return self.package(branch, call, results[request.n_hidden :])

    def _seed_values(self, branch: Branch, call: Call, seeds: Any) -> list[Any]:
        if self.form not in (Form.VJP, Form.JVP, Form.HVP):
            return []
        concrete = map_leaves(lambda x: x.value if isinstance(x, RecordedArray) else x, seeds)
        arrays = self.seed_arrays(branch, call, concrete)
        return [_operand(leaf, array) for leaf, array in zip(flatten(seeds)[0], arrays, strict=True)]

    # ---- prepared calls

    def prepare(self, *args: Any, **kwargs: Any) -> Prepared:
        """Do all checks and planning for arguments of these shapes now.

        Returns an object that is called with arguments of the same shapes, or whose ``into(*args, out)`` writes the
        result into the caller's float64 arrays.
        """
        return Prepared(self, args, kwargs)

    def explain(self, *args: Any, **kwargs: Any) -> Explanation:
        """What a call with these arguments will run: print it, or read its fields."""
        call = self.bind(args, kwargs)
        found: list[Executor] = []

        def run(branch: Branch, call: Call) -> int:
            executor = self.executor(branch, call)
            found[:] = [executor]
            return executor(call.arrays, self._zero_seeds(branch, call), executor.allocate())

        branch, call = self.fitting_branch(call, run)
        executor = found[0]
        seeds, results = self._zero_seeds(branch, call), executor.allocate()
        seconds = _fastest(lambda: executor(call.arrays, seeds, results))
        return Explanation(
            what=repr(self)[1:-1],
            tier="vm",
            operations=branch.tape.n_operations,
            segments=getattr(executor, "n_segments", 1),
            instructions=getattr(getattr(executor, "sweep", None), "n_instructions", 0),
            workspace_bytes=executor.workspace_bytes,
            guards=tuple(
                str(branch.tape.sources[index]) if index >= 0 else "" for index in branch.tape.guard_sources.tolist()
            ),
            cached_branches=len(self._cache),
            record_seconds=branch.record_seconds,
            run_seconds=seconds,
        )

    def _zero_seeds(self, branch: Branch, call: Call) -> list[Floats]:
        if self.form is Form.VJP:
            return [np.zeros(shape) for shape in branch.tape.output_shapes[: branch.n_main_outputs]]
        if self.form in (Form.JVP, Form.HVP):
            return [np.zeros(call.arrays[position].shape) for position in call.wrt]
        return []


@dataclass(frozen=True)
class Explanation:
    """What ``explain`` found out. Times are in seconds, the least of several runs of the sweeps alone."""

    what: str
    tier: str
    operations: int
    segments: int
    instructions: int
    workspace_bytes: int
    guards: tuple[str, ...]
    cached_branches: int
    record_seconds: float
    run_seconds: float

    def __str__(self) -> str:
        lines = [
            f"{self.what}, tier {self.tier}",
            f"  recorded      {self.operations} operations in {1e3 * self.record_seconds:.3g} ms",
            f"  runs          {self.instructions or self.operations} instructions in {self.segments} "
            f"segment{'s' * (self.segments != 1)}, {self.workspace_bytes} bytes of workspace",
            f"  measured      {1e6 * self.run_seconds:.3g} us per evaluation",
            f"  branches      {self.cached_branches} cached, {len(self.guards)} guards in this one",
        ]
        lines += [f"    guard       {where}" for where in self.guards[:10]]
        if len(self.guards) > 10:
            lines.append(f"    and {len(self.guards) - 10} more")
        return "\n".join(lines)


class Prepared:
    """A derivative for arguments of fixed shapes, with all checks done but those of shape and dtype."""

    __slots__ = ("__dict__", "__weakref__", "_fast")

    def __init__(self, derivative: Derivative, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._derivative = derivative
        call = derivative.bind(args, kwargs)
        self._shapes = [array.shape for array in call.arrays]
        self._kwargs = tuple(kwargs)
        self._fast = FastCalls(type(self))
        for _ in range(2):  # the second time it is worth while to have the kernels answer
            self._evaluate(args, kwargs)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """As the derivative itself. Raises InputError for arguments of other shapes."""
        self._check(args, kwargs)
        return self._evaluate(args, kwargs)

    def _evaluate(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        result = self._derivative.evaluate(args, kwargs, None)
        self._fast.set([entry for entry in self._derivative._fast.entries if entry.input_shapes == self._shapes])
        return result

    def into(self, *args: Any, **kwargs: Any) -> None:
        """Write the derivative at the leading arguments into the last one, ``out``, nested as the result would be.

        ``out`` holds float64 arrays of the results' shapes, strided or not. Raises InputError where they do not fit.
        """
        *given, out = args
        self._check(tuple(given), kwargs)
        result = self._evaluate(tuple(given), kwargs)
        targets, structure = flatten(out)
        leaves, expected = flatten(result)
        if structure != expected:
            raise InputError("out must be nested as the result is.")
        for target, leaf in zip(targets, leaves, strict=True):
            shape = np.shape(leaf)
            if not isinstance(target, np.ndarray) or target.shape != shape or target.dtype != np.float64:
                found = (
                    f"{target.dtype} of shape {target.shape}"
                    if isinstance(target, np.ndarray)
                    else type(target).__name__
                )
                raise InputError(f"out must be a float64 array of shape {shape}; it is {found}.")
            if not target.flags.writeable:
                raise InputError("out is read-only: pass an array that can be written to.")
            target[...] = leaf

    def _check(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        shapes = [array.shape for array in self._derivative.bind(args, kwargs).arrays]
        if shapes != self._shapes:
            raise InputError(
                f"this was prepared for arguments of shapes {self._shapes}; these have shapes {shapes}. "
                "Prepare again, or call the derivative itself, which takes any."
            )


accelerate(Derivative)
accelerate(Prepared)


# ---- helpers


def _plain_arguments(call: Call) -> list[Given] | None:
    """The arguments as the kernels take them; None where they are nested, named or of other types."""
    given = []
    for position, argument in enumerate(call.arguments):
        if argument.key != position or argument.structure.tree is not None:
            return None
        leaf = argument.leaves[0]
        plain = Given(leaf.original, None if leaf.array is None else leaf.array.shape)
        if not is_plain(plain):
            return None
        given.append(plain)
    return given


def _checked_argnums(argnums: Argnums) -> tuple[Key, ...]:
    keys = argnums if isinstance(argnums, tuple) else (argnums,)
    if not keys or any(isinstance(key, bool) or not isinstance(key, (int, str)) for key in keys):
        raise InputError(f"argnums must be an int, a name, or a tuple of these; it is {argnums!r}.")
    if len(set(keys)) != len(keys):
        raise InputError(f"argnums {argnums!r} names an argument twice.")
    return keys


def _all_float32(call: Call) -> bool:
    dtypes = [leaf.dtype for leaf in call.inputs if isinstance(leaf.original, (np.ndarray, np.floating))]
    return bool(dtypes) and all(dtype in (np.float32, np.float16) for dtype in dtypes)


def _cast(value: Any, dtype: Any) -> Any:
    """A result as the caller's kind of number: float32 stays float32, everything else is float64; 0-d are scalars."""
    if isinstance(value, np.ndarray):
        if dtype in (np.float32, np.float16):
            value = value.astype(dtype)
        return value if value.shape else value[()]
    return value


def _nested_outputs(
    leaves: Sequence[OutputLeaf], structure: Structure, values: Sequence[Any], float32: bool = False
) -> Any:
    remaining = iter(values)
    return structure.unflatten([_output(leaf, remaining, float32) for leaf in leaves])


def _output(leaf: OutputLeaf, remaining: Any, float32: bool) -> Any:
    if leaf.dtype is None:
        return leaf.static
    value = next(remaining)
    if isinstance(value, np.ndarray):
        if leaf.dtype.kind in "biu":
            value = value.astype(leaf.dtype)
        elif float32:
            value = value.astype(np.float32)
        return value if value.shape else value[()]
    return value


def _operand(original: Any, array: Floats | None) -> Any:
    return original if isinstance(original, RecordedArray) else array


def fitting_arrays(
    nested: Any, structure: Structure, shapes: Sequence[tuple[int, ...]], what: str, of: str
) -> list[Floats]:
    """A nested value as float64 arrays of these shapes. Raises InputError."""
    leaves, found = flatten(nested)
    if found != structure or len(leaves) != len(shapes):
        raise InputError(f"the {what} must be nested as {of} is.")
    arrays = []
    for leaf, shape in zip(leaves, shapes, strict=True):
        array = np.asarray(leaf)
        if array.dtype.kind not in "fiub" or array.shape != shape:
            raise InputError(
                f"the {what} must hold real numbers in shape {shape}; it has {array.dtype} in {array.shape}."
            )
        arrays.append(np.ascontiguousarray(array, np.float64).reshape(shape))
    return arrays


def _fastest(run: Callable[[], Any]) -> float:
    best, spent = math.inf, 0.0
    while spent < 0.02:
        start = time.perf_counter()
        run()
        took = time.perf_counter() - start
        best, spent = min(best, took), spent + took
    return best


# ---- the transforms


def grad(
    function: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False, *, tier: str | None = None
) -> Derivative:
    """The gradient of a function that returns one number.

    ``argnums`` says by which arguments: a position, the name of an argument passed by name, or a tuple of these (then
    the result is a tuple). The gradient has the structure and shapes of the argument. With ``has_aux`` the function
    returns ``(value, aux)`` and the result is ``(gradient, aux)``.

    Raises InputError for arguments or results that cannot be differentiated, UnsupportedError at operations that cannot
    be recorded.

    >>> import numpy as np
    >>> grad(lambda x: np.sum(x**2))(np.array([1.0, 2.0]))
    array([2., 4.])
    """
    return Derivative(function, Form.GRADIENT, argnums, has_aux, tier)


def value_and_grad(
    function: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False, *, tier: str | None = None
) -> Derivative:
    """As :func:`grad`, returning ``(value, gradient)``; with ``has_aux``, ``((value, aux), gradient)``.

    >>> import numpy as np
    >>> value, gradient = value_and_grad(lambda x: np.sum(x**2))(np.array([1.0, 2.0]))
    >>> float(value), gradient
    (5.0, array([2., 4.]))
    """
    return Derivative(function, Form.VALUE_AND_GRADIENT, argnums, has_aux, tier)


def jacobian(
    function: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False, *, tier: str | None = None
) -> Derivative:
    """The derivative of every element of the result by every element of the argument.

    For a result of shape ``out.shape`` and an argument of shape ``in.shape`` it has shape ``out.shape + in.shape``; a
    nested result holds, at each leaf, the structure of the argument. Arguments and errors as for :func:`grad`.

    >>> import numpy as np
    >>> jacobian(lambda x: x * x)(np.array([1.0, 2.0]))
    array([[2., 0.],
           [0., 4.]])
    """
    return Derivative(function, Form.JACOBIAN, argnums, has_aux, tier)


def hessian(
    function: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False, *, tier: str | None = None
) -> Derivative:
    """The second derivatives of a function that returns one number, of shape ``in.shape + in.shape``.

    The Jacobian of the gradient's tape. Arguments and errors as for :func:`grad`.

    >>> import numpy as np
    >>> hessian(lambda x: x[0] ** 2 * x[1])(np.array([3.0, 5.0]))
    array([[10.,  6.],
           [ 6.,  0.]])
    """
    return Derivative(function, Form.HESSIAN, argnums, has_aux, tier)


def hvp(function: Callable[..., Any], argnums: Argnums = 0, *, tier: str | None = None) -> Callable[..., Any]:
    """Products of the Hessian with a vector: ``hvp(f)(x, v)``, the vector being the last argument.

    ``v`` has the structure and shapes of the differentiated argument, and so has the result. Raises InputError where it
    has not; other errors as for :func:`grad`.

    >>> import numpy as np
    >>> hvp(lambda x: np.sum(x**3))(np.array([1.0, 2.0]), np.array([1.0, 0.0]))
    array([6., 0.])
    """
    derivative = Derivative(function, Form.HVP, argnums, False, tier)

    @functools.wraps(function)
    def product(*args: Any, **kwargs: Any) -> Any:
        *given, vector = args
        return derivative.evaluate(tuple(given), kwargs, vector)

    return product


@functools.lru_cache(maxsize=MAX_SHARED)
def _kept_derivative(function: Callable[..., Any], form: Form, argnums: Argnums, tier: str) -> Derivative:
    return Derivative(function, form, argnums, False, tier)


def _shared_derivative(function: Callable[..., Any], form: Form, argnums: Argnums, tier: str | None) -> Derivative:
    """The same derivative for the same function and form, so that ``jvp`` and ``vjp`` record a function once."""
    try:
        return _kept_derivative(function, form, argnums, resolve_tier(tier))
    except TypeError:  # a callable that cannot be hashed
        return Derivative(function, form, argnums, False, tier)


def jvp(
    function: Callable[..., Any], primals: Sequence[Any], tangents: Sequence[Any], *, tier: str | None = None
) -> tuple[Any, Any]:
    """The value and its directional derivative: ``jvp(f, primals, tangents) -> (out, tangent_out)``.

    ``primals`` and ``tangents`` are sequences with one entry for each argument, nested alike; all arguments are
    differentiated. ``tangent_out`` has the structure and shapes of the value. Raises InputError where they do not fit.

    >>> value, tangent_out = jvp(lambda x, y: x * y, (2.0, 3.0), (1.0, 0.0))
    >>> float(value), float(tangent_out)
    (6.0, 3.0)
    """
    if (
        not isinstance(primals, (tuple, list))
        or not isinstance(tangents, (tuple, list))
        or len(primals) != len(tangents)
    ):
        raise InputError("jvp takes a tuple of primals and a tuple of as many tangents.")
    derivative = _shared_derivative(function, Form.JVP, tuple(range(len(primals))), tier)
    value, tangent_out = derivative.evaluate(tuple(primals), {}, tuple(tangents))
    return value, tangent_out


def vjp(function: Callable[..., Any], *primals: Any, tier: str | None = None) -> tuple[Any, Callable[[Any], Any]]:
    """The value and the pullback: ``vjp(f, *primals) -> (out, pullback)``.

    ``pullback(cotangent)`` takes the structure and shapes of the result and returns a tuple with one cotangent for each
    argument. Raises InputError where it does not fit.

    >>> value, pullback = vjp(lambda x, y: x * y, 2.0, 3.0)
    >>> [float(cotangent) for cotangent in pullback(1.0)]
    [3.0, 2.0]
    """
    argnums = tuple(range(len(primals)))
    kept = tuple(map_leaves(lambda x: x.copy() if isinstance(x, np.ndarray) else x, primal) for primal in primals)
    derivative = _shared_derivative(function, Form.VJP, argnums, tier)
    value = _shared_derivative(function, Form.VALUE, argnums, tier)(*kept)

    def pullback(cotangent: Any) -> Any:
        return derivative.evaluate(kept, {}, cotangent)

    return value, pullback


def stop_gradient(x: Any) -> Any:
    """``x`` itself (any structure), with derivative zero.

    >>> float(grad(lambda x: x * stop_gradient(x))(3.0))
    3.0
    """
    return map_leaves(lambda leaf: apply(ops.stop_gradient, (leaf,)) if isinstance(leaf, RecordedArray) else leaf, x)


def record(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Tape:
    """The tape of ``function`` at these arguments.

    Its inputs are the arguments' arrays and floats, in order; whole numbers and other arguments are part of it. Raises
    UnsupportedError where an operation cannot be recorded.

    >>> record(lambda x, y: x * y + 1.0, 2.0, 3.0)
    <Tape 2 inputs, 2 operations, 1 outputs>
    """
    call = bind(args, kwargs, (), parameters_of(function))
    return record_call(function, call, False, parameters_of(function)).branch.tape
