"""The state of a function in fastgrad and in the packages that it is compared with: what its sample calls do there."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass

import fastgrad as fg
from tests.coverage.calls import CALLS, NOT_CALLED, SCIPY_CALLS
from tests.coverage.checks import MismatchError, RoughPointError, Sample, check_first_order
from tests.coverage.drawing import Call, Case, RandomChooser, draw

# points at which each call is compared, and how many are tried where the function is not smooth
N_POINTS, N_TRIES = 2, 6

DIFFERENTIATES, CONSTANT, REFUSED, WRONG, UNKNOWN = "differentiates", "constant", "refused", "wrong", "unknown"


@dataclass(frozen=True)
class State:
    """What one call does (``what``), or all of a function's; ``reason`` says why it is none of the first two."""

    what: str
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.what}: {self.reason}" if self.reason else self.what


Check = Callable[[Case, RandomChooser], bool]


def check_with_fastgrad(case: Case, chooser: RandomChooser) -> bool:
    """Whether the derivative is anywhere other than zero. Raises where it is refused or wrong."""
    return check_first_order(Sample(case, case.call.differentiated), chooser.random)


def state_of_call(call: Call, check: Check = check_with_fastgrad) -> State:
    """Compare a call at a few points."""
    varies, compared = False, 0
    for attempt in range(N_TRIES):
        chooser = RandomChooser(zlib.crc32(f"{call.text} {attempt}".encode()))
        case = draw(call, chooser)
        try:
            varies |= check(case, chooser)
        except RoughPointError:
            continue
        except fg.FastgradError as error:
            return State(REFUSED, first_sentence(error))
        except MismatchError as error:
            return State(WRONG, str(error))
        except Exception as error:
            return State(UNKNOWN, f"{type(error).__name__}: {first_line(error)}")
        compared += 1
        if compared == N_POINTS:
            break
    if not compared:
        return State(UNKNOWN, "not smooth at any of the points drawn")
    if varies:
        return State(DIFFERENTIATES)
    return State(CONSTANT, "" if call.differentiated else "takes no array")


def states_of_calls(name: str, check: Check = check_with_fastgrad) -> list[State]:
    return [state_of_call(call, check) for call in (CALLS.get(name) or SCIPY_CALLS.get(name, []))]


def combined(name: str, states: list[State]) -> State:
    """The state of a function: what all its calls do, or else what is wrong with the first that does not."""
    if name in NOT_CALLED:
        return State(CONSTANT, f"takes no array; {NOT_CALLED[name]}")
    if not states:
        return State(UNKNOWN, "there is no sample call")
    for what in (WRONG, UNKNOWN):
        for state in states:
            if state.what == what:
                return state
    refused = [state for state in states if state.what == REFUSED]
    if len(refused) == len(states):
        return refused[0]
    done = DIFFERENTIATES if any(state.what == DIFFERENTIATES for state in states) else CONSTANT
    if refused:
        return State(done, f"{len(states) - len(refused)} of {len(states)} calls; {refused[0].reason}")
    return State(done, states[0].reason if done == CONSTANT else "")


def first_sentence(error: Exception) -> str:
    """What happened, without the line where it did and what to write instead."""
    return str(error).split(" (at ")[0].split(". ")[0].removesuffix(".")


def first_line(error: Exception) -> str:
    lines = str(error).splitlines()
    return lines[0][:100] if lines else ""
