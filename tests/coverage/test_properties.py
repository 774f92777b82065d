"""Every sample call on random shapes, axes, options, dtypes and layouts.

Its value is compared with NumPy's, its derivatives with differences and complex steps, forward mode with reverse mode,
second order with first. Calls that the page on coverage has as refused are left out.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.coverage.calls import CALLS
from tests.coverage.checks import (
    RoughPointError,
    Sample,
    check_first_order,
    check_other_memory,
    check_second_order,
    parts,
    quietly,
)
from tests.coverage.drawing import LAYOUTS, Call, Case, draw, laid_out
from tests.coverage.states import state_of_call

PAGE = Path(__file__).resolve().parents[2] / "docs" / "coverage.md"
ANY_HEALTH = list(HealthCheck)
# a failure is not made smaller: that takes long where a whole family fails, and the long test does it
QUICK = settings(max_examples=2, derandomize=True, deadline=None, database=None, phases=[Phase.generate],
                 suppress_health_check=ANY_HEALTH)  # fmt: skip
LONG = settings(max_examples=60, deadline=None, suppress_health_check=ANY_HEALTH)


def _is_refused(name: str, call: Call) -> bool:
    row = next(line for line in PAGE.read_text().splitlines() if line.startswith(f"| {name} |"))
    state = row.split(" | ")[1]
    return state.startswith("refused") or ("calls;" in state and state_of_call(call).what == "refused")


ALL = [
    pytest.param(call, id=f"{name.removeprefix('numpy.')}: {call.text}")
    for name, calls in CALLS.items()
    for call in calls
    if call.differentiated and not _is_refused(name, call)
]


class HypothesisChooser:
    """Choices made by Hypothesis, so that it finds the smallest case that fails."""

    def __init__(self, data: st.DataObject, text: str) -> None:
        self.data = data
        # the same choices draw different values for different calls
        self.random = np.random.default_rng([zlib.crc32(text.encode()), self.data.draw(st.integers(0, 2**16))])

    def choose(self, options: Sequence[Any]) -> Any:
        return options[self.data.draw(st.integers(0, len(options) - 1))]


def chosen_case(call: Call, chooser: HypothesisChooser) -> tuple[Case, list[str]]:
    """A case whose data are laid out in any way, and which of its arguments are differentiated."""
    case = draw(call, chooser)
    names = call.differentiated
    # an array computed from captured ones alone takes no recorded values, and NumPy looks into no list
    together = len(names) == 1 or call.text.startswith(("z = ", "x.dot(", "np.polyint(x, 2, k=[y"))
    kept = names if together or chooser.choose((True, False)) else [chooser.choose(names)]
    arrays = {name: x if name in kept else laid_out(x, chooser.choose(LAYOUTS)) for name, x in case.arrays.items()}
    return Case(call, arrays, case.options), kept


def check(call: Call, data: st.DataObject) -> None:
    chooser = HypothesisChooser(data, call.text)
    case, names = chosen_case(call, chooser)
    sample = Sample(case, names)
    try:
        check_first_order(sample, chooser.random)
        check_second_order(sample, chooser.random)
    except RoughPointError:
        pass  # some calls have points without a derivative; the page says that each was compared at others
    dtype = np.dtype(chooser.choose(("float64", "float32", "int64")))
    layout = chooser.choose(LAYOUTS)
    rounded = {name: quietly(case.arrays[name].astype, dtype) for name in names}
    same = Sample(Case(call, {**case.arrays, **{k: x.astype(float) for k, x in rounded.items()}}, case.options), names)
    other = Sample(
        Case(call, {**case.arrays, **{k: laid_out(x, layout) for k, x in rounded.items()}}, case.options), names
    )
    try:
        results = [parts(sample.on_numpy(*sample.point))[0] for sample in (same, other)]
    except (ValueError, IndexError, TypeError, np.linalg.LinAlgError):
        return  # rounded values may lie outside what the function takes
    if dtype.kind == "i" and any(not np.allclose(*pair, equal_nan=True) for pair in zip(*results, strict=True)):
        return  # NumPy itself computes something else with whole numbers
    check_other_memory(same, other, chooser.random)


@pytest.mark.parametrize("call", ALL)
def test_a_call_has_its_value_and_derivatives(call):
    QUICK(given(st.data())(lambda data: check(call, data)))()


@pytest.mark.slow
@pytest.mark.parametrize("call", ALL)
def test_a_call_has_its_value_and_derivatives_in_many_cases(call):
    LONG(given(st.data())(lambda data: check(call, data)))()
