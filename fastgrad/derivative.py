"""A function's derivative as an object to call."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastgrad.branches import Branch, Executor
from fastgrad.calls import Argnums, Call, Key, bind, parameters_of, record_with_data
from fastgrad.config import resolve_tier
from fastgrad.errors import InputError
from fastgrad.explanation import Explanation, explanation_of
from fastgrad.forms import Form, check_result, request_of
from fastgrad.plan.derived import derived_tape
from fastgrad.plan.request import Request
from fastgrad.prepared import Prepared
from fastgrad.recording.recorder import innermost_recorder
from fastgrad.recording.replay import replay
from fastgrad.recordings import Recordings
from fastgrad.repeated import MISSED, FlatCalls, ways
from fastgrad.results import Nesting, operand_of
from fastgrad.tape import Tape
from fastgrad.vm.fast_call import FastCalls, accelerate, places_of

__all__ = ["Derivative", "by_reference"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class RecordedInside:
    """A derivative within another recording.

    The inputs of ``tape`` are those of the call, then the values of enclosing recordings that it took in (``lifted``),
    then seeds; ``call`` says which data was taken as static.
    """

    branch: Branch
    call: Call
    request: Request
    tape: Tape
    lifted: tuple[Any, ...]


class Derivative:
    """A function's derivative: call it as the function itself is called.

    Made by ``grad`` and its kin. It keeps the recordings of the function; see ``Recordings``.
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
        self._check = functools.partial(check_result, form, str(getattr(function, "__name__", "the function")))
        self.recordings = Recordings(function, has_aux, self._check)
        self.nesting = Nesting(form, argnums, self._keys, self._parameters, has_aux)
        self._fast = FastCalls(type(self))
        self._flat = FlatCalls()
        functools.update_wrapper(self, function, updated=())

    def __repr__(self) -> str:
        return f"<{self.form.value} of {getattr(self.function, '__name__', self.function)!s}>"

    def __reduce__(self) -> Any:
        """Pickled as what it was made from: a process that loads it records the function anew."""
        arguments = (self.function, self.form, self.argnums, self.has_aux, self.tier)
        return by_reference(self) or (Derivative, arguments)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.evaluate(args, kwargs, None)

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        """Inside a class a derivative is a method, as the function that it was made from would be."""
        return self if instance is None else functools.partial(self, instance)

    def evaluate(self, args: tuple[Any, ...], kwargs: dict[str, Any], seeds: Any) -> Any:
        """The results for these arguments; ``seeds`` are the cotangents or tangents where the form takes them."""
        given = (args, kwargs, seeds)
        found = self._flat.answer(given)
        if found is not MISSED:
            self.recordings.watch.called()
            return found
        call = self.bind(args, kwargs)
        self.recordings.watch.called(1 + self._fast.taken_answers())
        if self.form is Form.HVP:
            seeds = self.nesting.in_order_of_arguments(call, seeds)
        if innermost_recorder() is not None:
            return self._evaluate_in_recording(call, seeds)
        results: list[Floats] = []
        seed_arrays: list[Floats] = []

        def run(branch: Branch, call: Call) -> int:
            executor = self.executor(branch, call)
            results[:] = executor.allocate()
            seed_arrays[:] = self.nesting.seed_arrays(branch, call, seeds)
            return executor(call.arrays, seed_arrays, results)

        branch, call = self.recordings.fitting_branch(call, run)
        if not branch.needs_separate_arguments:
            self._answer_without_python(branch, call, given)
        return self.nesting.package(branch, call, results)

    def _answer_without_python(
        self, branch: Branch, call: Call, given: tuple[tuple[Any, ...], dict[str, Any], Any]
    ) -> None:
        """Have the kernels answer calls like this one from now on, if they can and it was not the first."""
        if not self._fast.is_worthwhile(branch):
            return
        surroundings = self.recordings.surroundings
        found, values = surroundings.snapshot()
        places = places_of(found, values)
        entry, fast = None, self._fast
        for way in ways(self._fast, self._flat, self.nesting, branch, call, given):
            if not way.is_plain:
                return  # other calls on this branch may be
            entry, fast = way.entry(self.executor(branch, call), branch), way.fast
            if entry is not None:
                break
        if places is None or entry is None:
            self._fast.give_up(branch)
            return
        entry.account()
        # another thread may have changed what is around the function since the branch was chosen
        signature = (call.signature(), surroundings.fingerprint(values))
        if any(known is branch for known in self.recordings.branches(signature)):
            entry.expect(places)
            fast.add(entry)

    def bind(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], varying: frozenset[tuple[Key, int]] = frozenset()
    ) -> Call:
        return bind(args, kwargs, self._keys, self._parameters, varying)

    def request(self, branch: Branch, call: Call) -> Request:
        return request_of(self.form, branch, call)

    def executor(self, branch: Branch, call: Call) -> Executor:
        def make() -> Executor:
            return branch.executor(self.form.order, self.request(branch, call), call.wrt, self.tier)

        # found by what the request is made from, in a fifth of the time that making it takes
        return branch.once(("request", self.form.value, call.wrt, self.tier), make)  # type: ignore[no-any-return]

    def _evaluate_in_recording(self, call: Call, seeds: Any) -> Any:
        inner = self.recorded_inside(call)
        operands = [operand_of(leaf.original, leaf.array) for leaf in inner.call.inputs]
        seed_values = self.nesting.seed_values(inner.branch, inner.call, seeds)
        results = replay(inner.tape, [*operands, *inner.lifted, *seed_values])
        return self.nesting.package(inner.branch, inner.call, results[inner.request.n_hidden :])

    def recorded_inside(self, call: Call) -> RecordedInside:
        """Record the function at a call within another recording."""
        recording, call = record_with_data(self.function, call, self.has_aux, self._parameters)
        branch = recording.branch
        self._check(branch)
        request = self.request(branch, call)
        tape = derived_tape(branch.tape_for(self.form.order, call.wrt), request)
        return RecordedInside(branch, call, request, tape, recording.lifted)

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
            return executor(call.arrays, self.nesting.zero_seeds(branch, call), executor.allocate())

        branch, call = self.recordings.fitting_branch(call, run)
        executor = found[0]
        seeds, results = self.nesting.zero_seeds(branch, call), executor.allocate()
        return explanation_of(
            repr(self)[1:-1], branch, executor, lambda: executor(call.arrays, seeds, results), len(self.recordings)
        )


accelerate(Derivative)


def by_reference(thing: Any) -> str | None:
    """The name under which a module has this very object, as one that decorates a function is found; else None."""
    module, name = str(getattr(thing, "__module__", None)), str(getattr(thing, "__qualname__", ""))
    if module == "__main__" and "cloudpickle" in sys.modules:
        return None  # cloudpickle takes functions of the main program along, which other processes do not have
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    return name if found is thing else None


def _checked_argnums(argnums: Argnums) -> tuple[Key, ...]:
    keys = argnums if isinstance(argnums, tuple) else (argnums,)
    if not keys or any(isinstance(key, bool) or not isinstance(key, (int, str)) for key in keys):
        raise InputError(f"argnums must be an int, a name, or a tuple of these; it is {argnums!r}.")
    if len(set(keys)) != len(keys):
        raise InputError(f"argnums {argnums!r} names an argument twice.")
    return keys
