"""``check_recording``: a function beside its recording, at the arguments given, at others, with other data around."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from types import CodeType
from typing import Any

import numpy as np

from fastgrad.api import record
from fastgrad.calls import Key, bind, parameters_of
from fastgrad.checking.knobs import TURNS, Knob, knobs_around, turned
from fastgrad.checking.lines import outside_reads, part_of_tapes
from fastgrad.checking.report import Finding, RecordingReport
from fastgrad.checking.runs import Outcome, agree, copied, run, run_traced, set_back, states_of
from fastgrad.derivative import Derivative
from fastgrad.errors import FastgradError, RecordingWarning
from fastgrad.forms import Form
from fastgrad.recording.captured import Surroundings
from fastgrad.recording.randomness import RandomStates, generators, line_that_names
from fastgrad.recording.structures import flatten, map_leaves
from fastgrad.tape import Tape

__all__ = ["check_recording"]

# How far the other points lie from the given one: the standard deviation of the logarithms of the factors.
DISTANCES = (1e-6, 1e-3, 0.1, 0.1, 1.0, 1.0)
_TAKE_OUT = "Pass it in as an argument"


def check_recording(function: Callable[..., Any], *args: Any, **kwargs: Any) -> RecordingReport:
    """Find what calls of a recorded function would get wrong.

    The function runs as plain NumPy code and through its recording: at these arguments, at some others near and far
    (random ones, the same each time), and while numbers and arrays that it may read around itself are changed for a
    moment. Found are random numbers, results that hang on a state, the clock or the environment, values that a
    recording freezes, data whose change it does not see, arguments and surroundings that the function changes, and
    results that differ under recording. It runs some dozens of times, so print nothing in it, and let no other thread
    use its data meanwhile.

    Arguments are those of the function; arrays among them are copied. Returns a report, whose text names what was
    found, the lines and what to do; nothing that the function raises is raised.

    >>> import time
    >>> print(check_recording(lambda x: x**2, 3.0))
    <lambda>: the recording agrees with the function at 7 points, and nothing was found.
    >>> check_recording(lambda x: x * time.time(), 3.0).kinds
    ('outside world', 'state')
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RecordingWarning)
        return _Check(function, args, kwargs).report()


class _Check:
    def __init__(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        # copies, since the caller's arrays may be around the function too
        self.function, self.args, self.kwargs = function, copied(args), copied(kwargs)
        self.name = str(getattr(function, "__name__", "the function"))
        self.parameters = parameters_of(function)
        self.surroundings = Surroundings(function)
        self.findings: dict[tuple[str, str], Finding] = {}
        self.n_points = 0
        call = bind(args, kwargs, (), self.parameters)
        self.random_states = RandomStates(self.surroundings.everything(), call, self.parameters)
        self.states = states_of(list(generators(self.surroundings.everything(), call, self.parameters)))
        self.derivative: Derivative | None = None
        self.argnums: tuple[Key, ...] = ()

    def report(self) -> RecordingReport:
        try:
            self._examine()
        finally:
            set_back(self.states)
        return RecordingReport(self.name, tuple(self.findings.values()), self.n_points)

    def _find(self, kind: str, what: str, where: str, remedy: str, key: str = "") -> None:
        """Note a finding; the first of each kind and line, or of each kind and key."""
        self.findings.setdefault((kind, key or where or what), Finding(kind, what, where, remedy))

    def _examine(self) -> None:
        plain, codes = self._watched_run()
        for code, namespace in codes.items():
            for read, line in outside_reads(code, namespace):
                self._find("outside world", f"{read} is read while recording, and never again", line, f"{_TAKE_OUT}.")
        if plain.error is not None:
            error = f"{type(plain.error).__name__}: {plain.error}"
            self._find("fails", f"the function raises {error}", "", "Check it at arguments that it takes.")
            return
        repeated = self._plain(self.args, self.kwargs)
        recorded = self._recorded_first()
        if recorded is None:
            return
        self.n_points = 1
        if not agree(plain, repeated, exact=True):
            self._find(
                "state",
                "two runs with the same arguments give different results (by a counter, a clock, an iterator that is "
                "used up, or a generator of random numbers made in the function)",
                self._line_between(self._tape(), self._tape()),
                f"{_TAKE_OUT}: a recording repeats the first result.",
            )
            return
        if not agree(plain, recorded):
            self._find(
                "recording differs",
                f"at the given arguments it gives {_shown(recorded)}, the function {_shown(plain)}",
                "",
                "The function asks for the kind of its values (isinstance, type, dtype), or changes what it sees: "
                "treat recorded values as arrays.",
            )
            return
        self._compare_at_other_points()
        self._compare_with_other_data(list({id(names): names for names in codes.values()}.values()), plain)

    # ---- running

    def _plain(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Outcome:
        set_back(self.states)
        return run(self.function, copied(args), copied(kwargs))

    def _recorded(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Outcome:
        """The value that the recorded function gives."""
        assert self.derivative is not None
        derivative = self.derivative
        given = [args[int(key)] for key in self.argnums]
        seeds = tuple(map_leaves(lambda x: np.zeros(np.shape(x)), value) for value in given)

        def value(*args: Any, **kwargs: Any) -> Any:
            if not self.argnums:
                return derivative(*args, **kwargs)
            return derivative.evaluate(args, kwargs, seeds)[0]

        set_back(self.states)
        return run(value, copied(args), copied(kwargs))

    def _recorded_first(self) -> Outcome | None:
        """The same at the given arguments, by as many of them as can be recorded; None where none can."""
        candidates = tuple(k for k, value in enumerate(self.args) if _is_differentiable(value))
        outcome = Outcome((), None)
        for argnums in dict.fromkeys((candidates, candidates[:1])):
            self.argnums = argnums
            form = Form.JVP if argnums else Form.VALUE
            self.derivative = Derivative(self.function, form, argnums)
            outcome = self._recorded(self.args, self.kwargs)
            if not isinstance(outcome.error, FastgradError):
                return outcome
        self._find("cannot be recorded", str(outcome.error), "", "")
        return None

    def _tape(self, args: tuple[Any, ...] | None = None, kwargs: dict[str, Any] | None = None) -> Tape | None:
        """A new recording."""
        set_back(self.states)
        try:
            return record(
                self.function,
                *copied(self.args if args is None else args),
                **copied(self.kwargs if kwargs is None else kwargs),
            )
        except Exception:
            return None

    @staticmethod
    def _line_between(*tapes: Tape | None) -> str:
        one, other = tapes
        return "" if one is None or other is None else part_of_tapes(one, other)[1]

    # ---- what one run does

    def _watched_run(self) -> tuple[Outcome, dict[CodeType, dict[str, Any]]]:
        args, kwargs = copied(self.args), copied(self.kwargs)
        described, arrays = self.surroundings.described(), self._captured_arrays()
        outcome, codes = run_traced(self.function, args, kwargs)
        self._note_random_numbers()
        for name in self._changed(args, kwargs):
            self._find(
                "changed argument",
                f"the function changes its argument {name}; a derivative leaves the caller's data as they are",
                "",
                "Return the new values, or change a copy.",
            )
        changed = [label for label, parts in self.surroundings.described().items() if parts != described.get(label)]
        changed += [f"the array in {label}" for label, array, before in arrays if not _equal(array, before)]
        for label in dict.fromkeys(changed):
            self._find(
                "side effect",
                f"the function changes {label}, which later calls do not, since they run its recording",
                "",
                "Return what it computes.",
            )
        return outcome, codes

    def _note_random_numbers(self) -> None:
        drawn = self.random_states.drawn()
        if drawn:
            self._find(
                "random numbers",
                f"numbers drawn from {' and '.join(generator.label for generator in drawn)} are frozen",
                line_that_names(self.surroundings.functions(), {name for each in drawn for name in each.names}),
                "Draw them outside and pass them in as an argument.",
            )

    def _captured_arrays(self) -> list[tuple[str, Any, Any]]:
        seen = self.surroundings.everything()
        arrays = {id(x): (place.label, x) for place, x in seen if isinstance(x, np.ndarray) and x.dtype.kind == "f"}
        return [(label, array, array.copy()) for label, array in arrays.values()]

    def _changed(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterator[str]:
        named = [
            *zip(self.parameters, self.args, args, strict=False),
            *((k, self.kwargs[k], kwargs[k]) for k in kwargs),
        ]
        for name, before, after in named:
            old, structure = flatten(before)
            new, found = flatten(after)
            if structure != found or not all(map(_equal, old, new)):
                yield name

    # ---- other arguments, other data

    def _compare_at_other_points(self) -> None:
        random = np.random.default_rng(0)
        for distance in DISTANCES:
            moved = _moved((self.args, self.kwargs), distance, random)
            plain, recorded = self._plain(*moved), self._recorded(*moved)
            self.n_points += 1
            if not agree(plain, recorded):
                self._find(
                    "frozen value",
                    f"at other arguments the recording gives {_shown(recorded)}, the function {_shown(plain)}: a "
                    "number that hangs on them was taken out of recorded values (through text, a hash, their memory)",
                    self._line_of_difference(self._tape(*moved)),
                    "Compute it with NumPy's functions on the values themselves.",
                )

    def _line_of_difference(self, fresh: Tape | None) -> str:
        """Where the recording that is kept and goes furthest with a new one parts from it."""
        assert self.derivative is not None
        tapes = [branch.tape for branch in self.derivative.recordings.all_branches()]
        parts = [part_of_tapes(fresh, tape) for tape in tapes] if fresh is not None else []
        return max(parts, default=(0, ""))[1]

    def _compare_with_other_data(self, namespaces: list[dict[str, Any]], plain: Outcome) -> None:
        fingerprint = self.surroundings.fingerprint()
        unseen: dict[str, list[Knob]] = {}
        for knob in knobs_around(self.surroundings, namespaces):
            with turned(TURNS[0], knob):
                seen = self.surroundings.fingerprint() != fingerprint
            if not seen:
                unseen.setdefault(knob.label, []).append(knob)
        for label, knobs in unseen.items():
            line = next(
                (line for turn in TURNS if (line := self._line_of_unseen(turn, knobs, plain)) is not None), None
            )
            if line is not None:
                self._find(
                    "captured data",
                    f"a later change of {label} is not seen: it is combined by plain NumPy or Python while recording, "
                    "or lies too deep to be compared",
                    line,
                    f"{_TAKE_OUT}, combine it with recorded values first, or bind a new object instead of changing it.",
                    key=label,
                )

    def _line_of_unseen(self, turn: tuple[float, float], knobs: list[Knob], plain: Outcome) -> str | None:
        """Where the function uses what is changed, if that changes its result but not that of its recording."""
        with turned(turn, *knobs):
            changed = self._plain(self.args, self.kwargs)
            if agree(changed, plain, exact=True) or agree(changed, self._recorded(self.args, self.kwargs)):
                return None
            return self._line_of_difference(self._tape())


# ---- arguments and outcomes


def _is_differentiable(value: Any) -> bool:
    leaves, _ = flatten(value)
    kinds = [np.asarray(x).dtype.kind for x in leaves if isinstance(x, (np.ndarray, np.generic, float, int))]
    return len(kinds) == len(leaves) and set(kinds) <= set("fiub") and "f" in kinds


def _moved(nested: Any, distance: float, random: np.random.Generator) -> Any:
    """Floats multiplied by random factors, which keep their signs (0 becomes a small number); the rest as it is."""

    def move(x: Any) -> Any:
        if not isinstance(x, (float, np.floating, np.ndarray)) or np.asarray(x).dtype.kind != "f":
            return x
        factor = np.exp(distance * random.standard_normal(np.shape(x)))
        moved = np.where(np.equal(x, 0), distance * factor, factor * x)
        return type(x)(moved) if isinstance(x, (float, np.floating)) else np.asarray(moved, x.dtype)

    return map_leaves(move, nested)


def _equal(x: Any, y: Any) -> bool:
    if isinstance(x, np.ndarray) and isinstance(y, np.ndarray):
        return np.array_equal(x, y, equal_nan=x.dtype.kind == "f")
    return x is y or bool(np.all(x == y)) or (x != x and y != y)


def _shown(outcome: Outcome) -> str:
    if outcome.error is not None:
        return f"{type(outcome.error).__name__}"
    text = ", ".join(" ".join(str(leaf).split()) for leaf in outcome.leaves[:2])
    return text if len(text) <= 60 else text[:57] + "..."
