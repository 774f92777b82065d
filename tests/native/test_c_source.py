"""Tapes written as C: compiled, they give the bits of the VM; what cannot be written is refused by name."""

from __future__ import annotations

import doctest
import itertools
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastgrad as fg
from fastgrad.native import c_statements
from fastgrad.native.c_source import CSource
from fastgrad.ops import BY_NAME, TABLE
from fastgrad.plan.request import Kind, Request, result_shapes
from fastgrad.plan.scalar_program import scalar_program
from fastgrad.tape import Tape, number_array
from fastgrad.tape_builder import TapeBuilder
from fastgrad.vm.scalar_executor import ScalarExecutor
from tests.elementary.checks import EDGES, random_floats
from tests.native.c_compiler import COMPILER, Library, needs_compiler
from tests.vm.assembling import SPECIAL, same_bits, samples

pytestmark = [needs_compiler, pytest.mark.filterwarnings("ignore::RuntimeWarning")]
RNG = np.random.default_rng(11)
KINDS: dict[str | None, Kind] = {
    None: Kind.VALUES,
    "gradient": Kind.GRADIENT,
    "vjp": Kind.VJP,
    "jvp": Kind.JVP,
    "jacobian": Kind.JACOBIAN,
}


def executor(tape: Tape, derivative: str | None, wrt: Sequence[int], values: bool = True) -> ScalarExecutor:
    """The VM on the same request."""
    request = Request(KINDS[derivative], tuple(wrt) if derivative else (), len(tape.outputs), values)
    return ScalarExecutor(scalar_program(tape), request, result_shapes(tape.output_shapes, tape.input_shapes, request))


# ---- every operation


def tape_of(name: str) -> Tape:
    builder, operation = TapeBuilder(), BY_NAME[name]
    operands = [builder.append_input((), "xyz"[k]) for k in range(operation.arity)]
    return builder.build([builder.append(operation.code, operands, ())])


NAMES = [operation.name for operation in TABLE]
FORMS = {"value": None, "both": "gradient"}


@pytest.fixture(scope="module")
def operations(tmp_path_factory: pytest.TempPathFactory) -> Library:
    sources = [
        tape_of(name).to_c(f"{form}_of_{name}", derivative)
        for name, (form, derivative) in itertools.product(NAMES, FORMS.items())
    ]
    return Library(sources, tmp_path_factory.mktemp("operations"), "-O2")


def points(name: str) -> np.ndarray:
    """Rows of operands: pairs of special values, random bits, and the operation's own domain."""
    arity = BY_NAME[name].arity
    edges = EDGES if arity < 3 else SPECIAL[:10]
    rows = [list(itertools.product(edges, repeat=arity)), random_floats(100 * arity).reshape(-1, arity)]
    return np.concatenate([*rows, *([np.transpose(samples(name))] if BY_NAME[name].domain else [])])


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", NAMES)
def test_an_operation_gives_the_bits_of_the_vm(operations: Library, name: str, form: str) -> None:
    tape = tape_of(name)
    machine = executor(tape, FORMS[form], range(BY_NAME[name].arity))
    function = operations.function(f"{form}_of_{name}")
    inputs, expected, found = [np.empty(()) for _ in tape.inputs], machine.allocate(), machine.allocate()
    for point in points(name):
        for array, number in zip(inputs, point, strict=True):
            array[...] = number
        assert machine(inputs, (), expected) == function(*inputs, *found) == -1
        assert same_bits(found, expected), point


# ---- whole programs


@dataclass(frozen=True)
class Case:
    """A function, where it is recorded, the points to compare at, and what is asked of it."""

    function: Callable[..., Any]
    inputs: tuple[Any, ...]
    derivatives: tuple[str | None, ...]
    others: tuple[tuple[Any, ...], ...] = ()


def lotka_volterra(p: Any) -> Any:
    growth, predation, death, conversion, x, y = p

    def rates(x: Any, y: Any) -> tuple[Any, Any]:
        return growth * x - predation * x * y, conversion * x * y - death * y

    h = 0.1
    for _ in range(12):
        x1, y1 = rates(x, y)
        x2, y2 = rates(x + h / 2 * x1, y + h / 2 * y1)
        x3, y3 = rates(x + h / 2 * x2, y + h / 2 * y2)
        x4, y4 = rates(x + h * x3, y + h * y3)
        x = x + h / 6 * (x1 + 2 * x2 + 2 * x3 + x4)
        y = y + h / 6 * (y1 + 2 * y2 + 2 * y3 + y4)
    return x * x + y * y


def rosenbrock(x: Any) -> Any:
    return np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def black_scholes(spot: Any, strike: Any, rate: Any, volatility: Any, time: Any) -> Any:
    spread = volatility * np.sqrt(time)
    d1 = (np.log(spot / strike) + (rate + volatility * volatility / 2) * time) / spread
    return spot * fg.ndtr(d1) - strike * np.exp(-rate * time) * fg.ndtr(d1 - spread)


def branching(x: Any) -> Any:
    y = x[0] * 2 if x[0] > 0 else x[0]
    while y < 3:
        y = y * x[1]
    return y if x[0] != 7 else y * y


CAPTURED = RNG.normal(size=(4, 5)), np.arange(8)[::2], np.array([np.inf, -0.0, np.nan, 5e-324, 1.0])
LONG = RNG.normal(size=50), RNG.integers(0, 50, size=50), RNG.normal(size=(4, 50))

EVERYTHING = (None, "vjp", "jvp", "jacobian")
CASES = {
    "lotka_volterra": Case(
        lotka_volterra, (np.array([0.55, 0.028, 0.8, 0.024, 30.0, 4.0]),), (None, "gradient", "jvp", "jacobian")
    ),
    "rosenbrock": Case(
        rosenbrock,
        (RNG.normal(size=12),),
        (*EVERYTHING, "gradient"),
        ((np.full(12, 1e200),), (np.full(12, np.nan),), (np.zeros(12),), (np.ones(12),)),
    ),
    "black_scholes": Case(
        black_scholes,
        (100.0, 95.0, 0.03, 0.2, 1.5),
        (*EVERYTHING, "gradient"),
        ((100.0, 95.0, 0.03, 0.0, 1.5), (0.0, 95.0, 0.03, 0.2, 0.0), (np.inf, 1.0, -1.0, 3.0, 9.0)),
    ),
    "guards": Case(
        branching,
        (np.array([0.5, 2.0]),),
        (None, "gradient", "jacobian"),
        tuple((np.array(x),) for x in ((0.6, 2.0), (-1.0, 2.0), (0.5, 2.5), (0.5, np.nan), (7.0, 1.0), (np.nan, 1.0))),
    ),
    "strong_zeros": Case(
        lambda x: np.sqrt(np.sum(x * x)) + np.prod(x) + np.where(x[0] > 0, np.sqrt(x[0]), 0.0) + x[1] ** x[2],
        (np.array([1.0, 2.0, 3.0]),),
        (None, "gradient", "jvp", "jacobian"),
        tuple((np.array(x),) for x in itertools.product((0.0, -0.0, 1.0, np.inf), repeat=3)),
    ),
    "wide": Case(
        lambda x, a: (np.sin(x) * CAPTURED[1] + a, CAPTURED[0].T @ x / (1 + CAPTURED[2]), x, x),
        (RNG.normal(size=4), 2.0),
        EVERYTHING,
        ((np.array([0.0, -0.0, np.inf, 1.0]), 0.0),),
    ),
    "narrow": Case(
        lambda x: (np.sum(np.exp(x * CAPTURED[0])), np.mean(x), np.max(x)),
        (RNG.normal(size=(4, 5)),),
        EVERYTHING,
        ((np.zeros((4, 5)),), (np.full((4, 5), np.inf),)),
    ),
    "arrays": Case(
        lambda x, a: (
            np.sum(np.exp(np.sin(x)) / a * LONG[0] + np.cumsum(x)[::-1] ** 2) + np.max(x[LONG[1]] * LONG[2] @ x)
        ),
        (RNG.normal(size=50), 2.0),
        (*EVERYTHING, "gradient"),
        ((np.zeros(50), 0.0), (np.full(50, np.inf), 1.0), (RNG.choice([0.0, -0.0, 1.0, np.inf], size=50), -0.0)),
    ),
    "nothing": Case(
        lambda x, y: (np.floor(x), x, 3.0 + 0.0 * x, 2.0 * y, np.sum(y) + 1.0),
        (1.5, np.zeros((0, 3))),
        EVERYTHING,
        ((np.inf, np.zeros((0, 3))),),
    ),
}
ASKED = [(name, derivative) for name, case in CASES.items() for derivative in case.derivatives]


def recorded(name: str) -> Tape:
    return fg.record(CASES[name].function, *CASES[name].inputs)


# the last time with loops wherever statements repeat
@pytest.fixture(scope="module", params=["-O1", "-std=gnu99 -O3 -march=native", "-O0 loops"])
def programs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Library:
    *flags, last = request.param.split()
    with pytest.MonkeyPatch.context() as patch:
        if last == "loops":
            patch.setattr(c_statements, "LEAST_REPEATS", 2)
        else:
            flags.append(last)
        sources = [recorded(name).to_c(f"{name}_{derivative}", derivative) for name, derivative in ASKED]
    return Library(sources, tmp_path_factory.mktemp("programs"), *flags)


def seeds_of(tape: Tape, derivative: str | None) -> list[list[np.ndarray]]:
    shapes = {"vjp": tape.output_shapes, "jvp": tape.input_shapes}.get(derivative or "", ())
    return [
        [np.asarray(RNG.normal(size=shape)) for shape in shapes],
        [np.asarray(RNG.choice([0.0, -0.0, 1.0, np.inf], size=shape)) for shape in shapes],
    ]


@pytest.mark.parametrize(("name", "derivative"), ASKED)
def test_a_program_gives_the_bits_of_the_vm(programs: Library, name: str, derivative: str | None) -> None:
    tape, case = recorded(name), CASES[name]
    machine = executor(tape, derivative, range(len(tape.inputs)))
    function = programs.function(f"{name}_{derivative}")
    outcomes = set()
    for point in (case.inputs, *case.others):
        inputs = [np.array(x, float) for x in point]
        for seeds in seeds_of(tape, derivative):
            expected, found = ([np.full(x.shape, 7.25) for x in machine.allocate()] for _ in range(2))
            outcomes.add(machine(inputs, seeds, expected))
            assert function(*inputs, *seeds, *found) in outcomes
            assert all(same_bits(x, y) for x, y in zip(found, expected, strict=True)), point
    assert (outcomes == {-1}) == (name != "guards")


def test_the_first_failed_guard_is_returned_and_nothing_written(programs: Library) -> None:
    function = programs.function("guards_gradient")
    results = [np.array(-5.0), np.array([-5.0, -5.0])]
    tape = recorded("guards")
    failed = [function(np.array(x), *results) for x in ([-1.0, 2.0], [0.5, 9.0], [7.0, 1.0])]
    assert failed[0] == 0
    assert len(set(failed)) == 3
    assert max(failed) < len(tape.guard_nodes)
    assert all(np.all(result == -5.0) for result in results)
    assert function(np.array([0.5, 2.0]), *results) == -1
    assert results[0] == 4.0


def test_second_derivatives_are_those_of_hessian(tmp_path: Path) -> None:
    x = RNG.normal(size=5)
    code = fg.record(rosenbrock, x).to_c("curvature", "hessian")
    gradient, hessian = np.empty(5), np.empty((5, 5))
    assert Library([code], tmp_path, "-O1").function("curvature")(x, gradient, hessian) == -1
    # the gradient's own tape adds in another order than the sweep over edges does
    np.testing.assert_allclose(gradient, fg.grad(rosenbrock)(x), rtol=1e-12)
    assert same_bits(hessian, fg.hessian(rosenbrock)(x))


def test_results_may_take_the_place_of_inputs(tmp_path: Path) -> None:
    def function(x: Any) -> Any:
        return np.cumsum(x) * x[::-1]

    x = RNG.normal(size=6)
    tape = fg.record(function, x)
    library = Library([tape.to_c("values"), tape.to_c("rows", "jacobian")], tmp_path, "-O2")
    jacobian = np.empty((6, 6))
    for name, rest in (("values", ()), ("rows", (jacobian,))):
        memory = x.copy()
        assert library.function(name)(memory, memory, *rest) == -1
        assert same_bits(memory, values_of(tape, x))
    assert same_bits(jacobian, fg.jacobian(function)(x))


def values_of(tape: Tape, x: np.ndarray) -> np.ndarray:
    machine = executor(tape, None, ())
    results = machine.allocate()
    assert machine([x], (), results) == -1
    return results[0]


def test_a_function_of_nothing_compiles_and_gives_its_constants(tmp_path: Path) -> None:
    found = np.empty(())
    tape = fg.record(lambda x: np.sum(x) + 3.0, np.zeros(0))
    builder = TapeBuilder()
    constant = builder.append_constant(number_array(2.5))
    sources = [builder.build([constant]).to_c("constant"), tape.to_c("empty", "gradient")]
    library = Library(sources, tmp_path, "-O1")
    assert library.function("constant")(found) == -1
    assert found == 2.5
    assert library.function("empty")(np.zeros(0), found, np.zeros(0)) == -1
    assert found == 3.0


def test_only_the_asked_inputs_and_results_are_arguments(tmp_path: Path) -> None:
    tape = fg.record(black_scholes, *CASES["black_scholes"].inputs)
    code = tape.to_c("vega", "gradient", argnums="volatility", values=False)
    inputs = [np.array(x) for x in CASES["black_scholes"].inputs]
    found = np.empty(())
    assert Library([code], tmp_path, "-O1").function("vega")(*inputs, found) == -1
    assert same_bits(found, fg.grad(black_scholes, argnums=3)(*map(float, inputs)))
    assert "double *gradient_volatility, double *workspace" in code.header.replace("\n    ", " ")
    assert tape.to_c("vega", "gradient", argnums=3, values=False) == code
    assert tape.to_c("vega", "gradient", argnums=(-2,), values=False) == code


# ---- the text


def test_the_text_is_the_same_every_time_and_names_what_it_was_made_from() -> None:
    tape = fg.record(branching, np.array([0.5, 2.0]))
    code = tape.to_c("walk", "gradient")
    assert code == fg.record(branching, np.array([0.5, 2.0])).to_c("walk", "gradient")
    assert str(code) == code.source
    for said in ("reads x", "2 doubles", "writes gradient_x", "test_c_source.py:", tape.hash[:12], "-ffp-contract=off"):
        assert said in code.source
    assert [line for line in code.source.splitlines() if line.startswith("#include")] == [
        "#include <math.h>",
        "#include <stdint.h>",
        "#include <string.h>",
    ]


def test_an_operation_is_written_once_and_only_if_it_is_used() -> None:
    source = fg.record(lambda x: np.sum(np.exp(x) * np.exp(-x)), np.ones(9)).to_c("f").source
    assert source.count("static double f_exp(double x) {") == 1
    assert source.count("= f_exp(") == 18
    assert "f_log" not in source
    assert "to_bits" not in fg.record(lambda x: x * x, 2.0).to_c("f").source


def test_functions_stay_short_however_long_the_program_is() -> None:
    source = fg.record(lotka_volterra, CASES["lotka_volterra"].inputs[0]).to_c("f", "gradient").source
    bodies = [part.split("\n}")[0] for part in source.split("(double *w) {")[1:]]
    assert len(bodies) > 6
    assert max(body.count("\n") for body in bodies) < 1000


def test_arguments_have_names_that_c_accepts(tmp_path: Path) -> None:
    def function(double: Any, w: Any, f_seed: Any, λ: Any) -> Any:
        return double["a b"][0] * w * f_seed * λ + double["a_b"]

    tape = fg.record(function, {"a b": [2.0], "a_b": 1.0}, 3.0, 5.0, 7.0)
    code = tape.to_c("f", "gradient")
    inputs = [np.array(x) for x in (2.0, 1.0, 3.0, 5.0, 7.0)]
    results = [np.empty(()) for _ in range(6)]
    assert Library([code], tmp_path, "-O1").function("f")(*inputs, *results) == -1
    assert [float(result) for result in results] == [211.0, 105.0, 1.0, 70.0, 42.0, 30.0]


def test_files_are_written_and_the_header_serves_a_program_in_c(tmp_path: Path) -> None:
    code = fg.record(lambda x: np.sum(x * x), np.ones(3)).to_c("norm", "gradient")
    assert code.write(tmp_path) == tmp_path / "norm.c"
    (tmp_path / "main.c").write_text(
        '#include <stdio.h>\n#include "norm.h"\n#include "norm.h"\n'
        "int main(void) {\n"
        "    double x[3] = {1, 2, 3}, value, slope[3], workspace[norm_WORKSPACE_SIZE];\n"
        "    if (norm_workspace_size() != norm_WORKSPACE_SIZE || norm(x, &value, slope, workspace) != -1) return 1;\n"
        '    printf("%g %g %g %g\\n", value, slope[0], slope[1], slope[2]);\n'
        "    return 0;\n}\n"
    )
    subprocess.run([COMPILER or "", "main.c", "norm.c", "-o", "main", "-lm"], cwd=tmp_path, check=True)
    assert subprocess.run([tmp_path / "main"], capture_output=True, text=True, check=True).stdout == "14 2 4 6\n"


def test_the_example_of_the_method_gives_what_it_shows() -> None:
    (example,) = doctest.DocTestFinder().find(Tape.to_c, "to_c")
    assert doctest.DocTestRunner().run(example) == (0, 3)


# ---- refusals


@pytest.mark.parametrize("flag", ["-ffast-math", "-Ofast"])
def test_compilers_that_were_told_to_change_arithmetic_are_stopped(tmp_path: Path, flag: str) -> None:
    with pytest.raises(AssertionError, match="compile this file with IEEE arithmetic"):
        Library([parabola().to_c("f")], tmp_path, flag)


def parabola() -> Tape:
    return fg.record(lambda x: np.sum(x * x), np.ones(3))


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda: parabola().to_c("2f"), r"'2f' is none that C accepts"),
        (lambda: parabola().to_c("while"), r"'while' is none"),
        (lambda: parabola().to_c("exp"), r"'exp' is none"),
        (lambda: parabola().to_c("été"), r"'été' is none"),
        (lambda: parabola().to_c("f", "slope"), r"derivative must be one of None, 'gradient', .*; it is 'slope'"),
        (lambda: parabola().to_c("f", values=False), r"values=False leaves nothing to compute"),
        (lambda: parabola().to_c("f", "vjp", 1), r"argnums names 1; the tape's inputs are x, from 0 to 0"),
        (lambda: parabola().to_c("f", "vjp", "y"), r"argnums names 'y'"),
        (lambda: parabola().to_c("f", "vjp", ()), r"argnums must name one or more inputs"),
        (lambda: parabola().to_c("f", "vjp", (0, "x")), r"each once"),
        (
            lambda: fg.record(lambda x: x * x, np.ones(3)).to_c("f", "gradient"),
            r"needs a tape with one output, a number; this one has outputs of shapes \(3,\). Use 'jacobian' or 'vjp'",
        ),
    ],
)
def test_what_was_asked_wrongly_is_said(ask: Callable[[], CSource], message: str) -> None:
    with pytest.raises(fg.InputError, match=message):
        ask()


def test_operations_that_only_libraries_have_are_refused_by_name_and_line() -> None:
    tape = fg.record(lambda a: np.linalg.det(a), np.eye(3))
    with pytest.raises(fg.UnsupportedError, match=r"cannot be written as C \(at .*test_c_source.py:\d+.*Take it out"):
        tape.to_c("f", "gradient")


def test_what_repeats_along_arrays_is_a_loop() -> None:
    def lines(n: int, derivative: str | None) -> int:
        return fg.record(rosenbrock, np.ones(n)).to_c("f", derivative).source.count("\n")

    for derivative in (None, "gradient", "jvp", "jacobian"):
        assert lines(1024 + 1, derivative) < lines(128 + 1, derivative) + 30


def test_tapes_beyond_the_limit_are_refused_with_the_figure() -> None:
    positions = RNG.integers(0, 500, size=700)
    tape = fg.record(lambda x: np.sum(np.sin(x[positions])), np.ones(500))
    with pytest.raises(fg.UnsupportedError, match=r"would become about 7\d\d statements.*the limit is 600"):
        tape.to_c("f", limit=600)
    with pytest.raises(fg.UnsupportedError, match=r"would become about 1,4\d\d statements.*the limit is 1,000"):
        tape.to_c("f", "gradient", limit=1000)
    assert tape.to_c("f", limit=1000).source
    with pytest.raises(fg.UnsupportedError, match=r"smaller arrays"):
        fg.record(lambda x: np.sum(np.sin(x)), np.ones(100_000)).to_c("f", limit=1000)
