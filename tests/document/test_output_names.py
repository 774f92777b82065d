"""What outputs are called, by their place in the result, and in derivatives."""

from __future__ import annotations

from collections import namedtuple
from typing import Any

import numpy as np
import pytest

import fastgrad as fg
from fastgrad.transform.adjoint import adjoint
from fastgrad.transform.jacobian import jacobian
from fastgrad.transform.jacobian_in_one_run import batched_jacobian
from fastgrad.transform.tangent import tangent

Pair = namedtuple("Pair", "first second")


@pytest.mark.parametrize(
    ("function", "names"),
    [
        (lambda x: x * x, ()),
        (lambda x: (x * x, [x]), ()),
        (lambda x: fg.name(x * x, "square"), ("square",)),
        (lambda x: (fg.name(x * x, "square"), x), ("square", "output1")),
        (lambda x: [fg.name(x * x, "square")] * 2, ("square", "square_2")),
        (lambda x: {"loss": x * x, "parts": (x, {"a": x})}, ("loss", "parts[0]", "parts[1]['a']")),
        (lambda x: {"loss": fg.name(x * x, "square")}, ("loss",)),
        (lambda x: Pair(x * x, (x, 1.0)), ("first", "second[0]", "second[1]")),
        (lambda x: {3: x * x, 4: x}, ()),
        (lambda x: {"a[0]": x, "a": [x]}, ("a[0]", "a[0]_2")),
    ],
)
def test_outputs_are_named_by_their_place_in_the_result(function: Any, names: tuple[str, ...]) -> None:
    tape = fg.record(function, 1.5).validate()
    assert len(set(tape.output_names)) == len(tape.output_names)
    assert sorted(tape.output_names) == sorted(names)


def model(x: Any, y: Any) -> Any:
    return {"sum": np.sum(x) * y, "product": x * y}


def test_derivative_tapes_name_their_inputs_and_outputs() -> None:
    tape = fg.record(model, np.ones(2), 3.0)
    assert tape.output_names == ("product", "sum")
    derived = adjoint(tape, (0, 1), 2, seeded=True).validate()
    assert derived.input_names == ("x", "y", "adjoint(product)", "adjoint(sum)")
    assert derived.output_names == ("product", "sum", "adjoint(x)", "adjoint(y)")
    derived = tangent(tape, (1,), 1).validate()
    assert derived.input_names == ("x", "y", "tangent(y)")
    assert derived.output_names == ("product", "sum", "tangent(product)")
    for transform in (jacobian, batched_jacobian):
        found = transform(tape, (1,), 2)
        assert found is not None
        assert found.validate().output_names == ("product", "sum", "jacobian(product, y)", "jacobian(sum, y)")


def test_derivatives_of_derivatives_have_distinct_names() -> None:
    tape = fg.record(lambda x: x**3, 2.0)
    once = adjoint(tape, (0,), 1, seeded=True)
    assert once.output_names == ("y", "adjoint(x)")
    twice = adjoint(once, (0, 1), 2, seeded=True).validate()
    assert twice.input_names == ("x", "adjoint(y)", "adjoint(y)_2", "adjoint(adjoint(x))")
    assert twice.output_names == ("y", "adjoint(x)", "adjoint(x)_2", "adjoint(adjoint(y))")


def test_a_part_of_the_outputs_keeps_its_names() -> None:
    tape = fg.record(model, np.ones(2), 3.0).with_outputs([1])
    assert tape.validate().output_names == ("sum",)
    assert tape.output_shapes == ((),)


def test_values_that_are_not_recorded_are_no_outputs_and_take_no_names() -> None:
    def with_text(x: Any) -> Any:
        return x * x, {"note": "text", "rate": 2 * x}

    derivative = fg.grad(with_text, has_aux=True)
    gradient, aux = derivative(3.0)
    assert (float(gradient), aux["note"], float(aux["rate"])) == (6.0, "text", 6.0)
    (branch,) = derivative.recordings.all_branches()
    assert branch.tape.output_names == ("output0", "rate")
    assert branch.tape_for(1, (0,)).output_names == ("adjoint(x)", "rate")
