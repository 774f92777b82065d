"""Tapes for many examples at once, against the examples one by one: each operation, programs, names, errors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastgrad
from fastgrad import array_ops, ops
from fastgrad.array_ops.special import SPECIAL
from fastgrad.errors import InputError
from fastgrad.plan.request import Kind, Request
from fastgrad.tape import ARRAY_OPERATION, Tape
from fastgrad.tape_builder import TapeBuilder
from fastgrad.transform.adjoint import adjoint
from fastgrad.transform.batching import BatchingError, VaryingGuardError, batched
from fastgrad.vm.array_executor import ArrayExecutor
from tests.tapes import ANALYTIC, interpret

N = 3
RNG = np.random.default_rng(11)


@dataclass(frozen=True)
class Case:
    """An attribute, and what makes each operand of one example."""

    attribute: Any
    makers: tuple[Callable[[], Any], ...]
    # subsets of operands (as flags) that cannot vary
    refused: Callable[[Sequence[bool]], bool] = lambda varies: False
    # operands that there are derivatives by
    wrt: tuple[int, ...] | None = None


def normal(*shape: int) -> Callable[[], Any]:
    return lambda: RNG.normal(size=shape)


def ties(*shape: int) -> Callable[[], Any]:
    return lambda: RNG.integers(0, 3, shape) * 1.0


def whole(high: int, *shape: int) -> Callable[[], Any]:
    return lambda: RNG.integers(0, high, shape) * 1.0


def positive_definite(*shape: int) -> Callable[[], Any]:
    def make() -> Any:
        a = RNG.normal(size=shape)
        return a @ np.swapaxes(a, -1, -2) + 2.0 * np.eye(shape[-1])

    return make


def dominant(*shape: int) -> Callable[[], Any]:
    return lambda: RNG.normal(size=shape) + 5.0 * np.eye(shape[-1])


def distinct_real(n: int) -> Callable[[], Any]:
    return lambda: np.diag(np.arange(1.0, n + 1)) + 0.05 * RNG.normal(size=(n, n))


def increasing(n: int) -> Callable[[], Any]:
    return lambda: np.cumsum(RNG.uniform(0.5, 1.0, n))


def number(x: float) -> Callable[[], Any]:
    return lambda: np.asarray(x)


def packed_eig(n: int) -> Callable[[], Any]:
    make = distinct_real(n)
    entry = array_ops.eig
    return lambda: np.asarray(entry.evaluate(None, make()))


def pivots(n: int) -> Callable[[], Any]:
    return lambda: np.array([RNG.integers(k, n) for k in range(n)]) * 1.0


def triangle(n: int) -> Callable[[], Any]:
    return lambda: np.triu(RNG.normal(size=(n, n)))


def first_varies(varies: Sequence[bool]) -> bool:
    return varies[0]


BAND = (1, 1)
CASES: dict[str, list[Case]] = {
    "reshape": [Case((6,), (normal(2, 3),)), Case((1, 2, 1), (normal(2),)), Case((), (normal(1, 1),))],
    "transpose": [Case((2, 0, 1), (normal(2, 3, 4),)), Case((), (normal(),))],
    "slice": [Case(((2, 2, -1), (1, 2, 2)), (normal(3, 4),))],
    "place": [Case(((3, 4), ((2, 2, -1), (1, 2, 2))), (normal(2, 2),))],
    "clear_slice": [Case(((1, 2, 1),), (normal(4),))],
    "update_slice": [Case(((1, 2, 1), (0, 3, 1)), (normal(4, 3), normal(2, 3)))],
    "concatenate": [Case(1, (normal(2, 3), normal(2, 1), normal(2, 2)))],
    "gather": [Case(None, (normal(2, 3), whole(6, 4, 2)), wrt=(0,)), Case(None, (normal(5), whole(5)), wrt=(0,))],
    "scatter_add": [Case((2, 3), (normal(4, 2), whole(6, 4, 2)), wrt=(0,))],
    "broadcast_to": [Case((2, 3), (normal(3),)), Case((2, 3), (normal(2, 1),)), Case((4,), (normal(),))],
    "sum": [Case((1,), (normal(2, 3),)), Case((0, 2), (normal(2, 3, 2),)), Case((), (normal(2),))],
    "cumsum": [Case(1, (normal(2, 3),)), Case(0, (normal(4),))],
    "cumprod": [Case(1, (normal(2, 3),)), Case(0, (normal(4),))],
    "prod": [Case(1, (normal(2, 3),)), Case(0, (ties(4),))],
    "linear_recurrence": [Case(0, (normal(4, 2), normal(4, 2))), Case(0, (normal(5), normal(5)))],
    "matmul": [
        Case(None, (normal(2, 3), normal(3, 4))),
        Case(None, (normal(1, 3), normal(3, 1))),
        Case(None, (normal(4, 3), normal(3, 1))),
        Case(None, (normal(1, 3), normal(3, 4))),
        Case(None, (normal(2, 1), normal(1, 4))),
        Case(None, (normal(2, 0), normal(0, 4))),
        Case(None, (normal(2, 5, 2, 3), normal(2, 5, 3, 4))),
    ],
    "convolve": [Case(None, (normal(5), normal(3))), Case(None, (normal(2, 2), normal(2, 4)))],
    "convolve_valid": [Case(None, (normal(5), normal(3))), Case(None, (normal(2, 4), normal(2, 4)))],
    "argsort": [Case((1, "stable", "<f8"), (ties(2, 5),)), Case((0, "stable", "<f8"), (normal(4),))],
    "sort_positions": [
        Case((1, ()), (ties(2, 5),)),
        Case((0, ()), (normal(4, 2),)),
        Case((0, (1,)), (normal(4),)),
    ],
    "argmax": [Case(1, (ties(2, 5),)), Case(0, (normal(4),))],
    "argmin": [Case(1, (ties(2, 5),)), Case(0, (normal(4),))],
    "running_extremum": [Case((0, "maximum"), (ties(5, 2),)), Case((0, "minimum"), (normal(4),))],
    "lexsort": [Case(0, (ties(2, 6),)), Case(1, (ties(3, 2, 5),))],
    "searchsorted": [Case("left", (increasing(5), normal(2, 3)), first_varies)],
    "triangles": [Case((1.0, 0.5, 0.0), (normal(3, 4),)), Case((0.0, 0.0, 2.0), (normal(2, 3, 3),))],
    "solve": [
        Case(None, (dominant(3, 3), normal(3, 2))),
        Case("nan", (dominant(3, 3), normal(3, 1))),
        Case(None, (dominant(2, 3, 3), normal(2, 3, 2))),
    ],
    "inv": [Case(None, (dominant(3, 3),)), Case("zero", (dominant(2, 2, 2),))],
    "det": [Case(None, (normal(3, 3),)), Case(None, (normal(2, 2, 2),))],
    "cofactor": [Case(None, (dominant(3, 3), number(100.0)), wrt=(0,))],
    "cofactor_slope": [Case(None, (dominant(3, 3), normal(3, 3)))],
    "far_from_singular": [Case(None, (dominant(3, 3),))],
    "det_sign": [Case(None, (normal(3, 3),))],
    "log_abs_det": [Case(None, (dominant(3, 3),)), Case(None, (dominant(2, 2, 2),))],
    "pinv": [
        Case(None, (normal(3, 2), number(1e-10)), wrt=(0,)),
        Case(None, (normal(2, 3, 2), number(1e-10)), wrt=(0,)),
        Case("L", (positive_definite(3, 3), number(1e-10)), wrt=(0,)),
    ],
    "lstsq": [Case(None, (normal(5, 2), normal(5, 3), number(1e-12)), lambda v: v[0] or v[2], (0, 1))],
    "matrix_rank": [
        Case(("", 0), (normal(3, 2), number(0.0))),
        Case(("rtol", 0), (normal(2, 3, 2), number(0.5))),
        Case(("tol", 0), (normal(2, 3, 2), normal(2))),
    ],
    "tie_average": [Case(0, (normal(4), ties(4)), wrt=(0,)), Case(1, (normal(2, 3), ties(2, 3)), wrt=(0,))],
    "tied": [Case(0, (ties(4),)), Case(2, (ties(4),))],
    "reciprocals": [Case(-1, (increasing(4),)), Case(1, (increasing(4),))],
    "eigvalsh": [Case(("numpy", "L"), (positive_definite(3, 3),))],
    "eigh": [Case(("numpy", "U"), (positive_definite(3, 3),)), Case(("scipy", "L"), (positive_definite(2, 2),))],
    "eigvals": [Case(None, (distinct_real(3),))],
    "eig": [Case(None, (distinct_real(3),))],
    "doubtful": [Case("values", (packed_eig(3),))],
    "svdvals": [Case("numpy", (normal(3, 2),)), Case("scipy", (normal(2, 3),))],
    "svd": [Case(("numpy", 0), (normal(3, 2),)), Case(("scipy", 1), (normal(3, 3),))],
    "cholesky": [Case("L", (positive_definite(3, 3),)), Case("U", (positive_definite(2, 2, 2),))],
    "qr": [Case(("numpy", 0), (normal(3, 2),)), Case(("scipy", 0), (normal(2, 3),))],
    "dependent": [Case(None, (triangle(3),))],
    "solve_triangular": [
        Case((1, 0, 0), (dominant(3, 3), normal(3, 2))),
        Case((0, 1, 1), (dominant(3, 3), normal(3, 1))),
        Case((0, 0, 0), (dominant(2, 3, 3), normal(2, 3, 2))),
    ],
    "lu": [Case(None, (normal(3, 3),)), Case(None, (normal(2, 2, 2),))],
    "lu_pivots": [Case(None, (normal(3, 3),))],
    "row_positions": [Case(2, (pivots(3),))],
    "sylvester": [Case(None, (positive_definite(2, 2), positive_definite(3, 3), normal(2, 3)))],
    "matrix_function": [Case("expm", (normal(2, 2),)), Case("sqrtm", (positive_definite(3, 3),))],
    "solve_banded": [Case(BAND, (lambda: RNG.normal(size=(3, 4)) + [[0], [5], [0]], normal(4, 2)), first_varies)],
    "fft": [Case(("fft", 0, "backward"), (normal(2, 5),)), Case(("ifft", 1, "ortho"), (normal(2, 2, 4),))],
    "rfft": [Case((0, "backward", "plain"), (normal(5),)), Case((1, "ortho", "doubled"), (normal(2, 4),))],
    "irfft": [
        Case((5, 0, "backward", "plain"), (normal(2, 3),)),
        Case((4, 1, "forward", "halved"), (normal(2, 2, 3),)),
    ],
    "bitwise": [Case(("bitwise_xor", "<i8"), (whole(64, 2, 3), whole(64, 3)))],
    "polygamma.3": [Case(None, (lambda: RNG.uniform(0.5, 2.0, 3),))],
} | {
    name: [Case((1,), (ties(2, 5),)), Case((0, 1), (normal(2, 3),)), Case((0,), (normal(3),))]
    for name in ("max", "min", "fmax.reduce", "fmin.reduce")
}
# whose rule would have to know what its result is checked for, and one that only raises
WITHOUT_RULE = {"bincount"}
NOT_EVALUATED = {"no_derivative"}


@cache
def entries() -> dict[str, array_ops.ArrayOperation]:
    return {entry.name: entry for entry in array_ops.table.all_operations()}


def tape_of(entry: array_ops.ArrayOperation, attribute: Any, shapes: Sequence[tuple[int, ...]]) -> Tape:
    """One operation on inputs."""
    builder = TapeBuilder()
    nodes = [builder.append_input(shape, f"x{k}") for k, shape in enumerate(shapes)]
    shape = entry.shape_rule(attribute, *shapes)
    return builder.build([builder.append(ARRAY_OPERATION + entry.code, nodes, shape, attribute)]).validate()


def example(values: Sequence[Any], varies: Sequence[bool], k: int) -> list[Any]:
    return [value[k] if flag else value for value, flag in zip(values, varies, strict=True)]


def assert_close(found: Any, expected: Any) -> None:
    scale = np.max(np.abs(expected), initial=1e-300, where=np.isfinite(expected))
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-11 * scale)


def assert_as_one_by_one(tape: Tape, values: Sequence[Any], varies: Sequence[bool], n: int) -> None:
    which = [position for position, flag in enumerate(varies) if flag]
    many = batched(tape, which, n).validate()
    found = interpret(many, values)
    singles = [interpret(tape, example(values, varies, k)) for k in range(n)]
    for position, result in enumerate(found):
        assert_close(result, np.stack([single[position] for single in singles]))


def assert_derivatives_as_one_by_one(
    tape: Tape, values: Sequence[Any], varies: Sequence[bool], n: int, wrt: tuple[int, ...]
) -> None:
    """Both ways: the derivative for many examples, and the derivative of the tape for many examples."""
    of_one = adjoint(tape, wrt, 1, seeded=True)
    seeds = RNG.normal(size=(n, *tape.output_shapes[0]))
    assert_as_one_by_one(of_one, [*values, seeds], [*varies, True], n)
    which = [position for position, flag in enumerate(varies) if flag]
    of_many = adjoint(batched(tape, which, n), wrt, 1, seeded=True)
    found = interpret(of_many, [*values, seeds])[1:]
    singles = [interpret(of_one, [*example(values, varies, k), seeds[k]])[1:] for k in range(n)]
    for place, position in enumerate(wrt):
        parts = [single[place] for single in singles]
        assert_close(found[place], np.stack(parts) if varies[position] else np.sum(parts, axis=0))


def subsets(count: int) -> list[tuple[bool, ...]]:
    return [flags for flags in product((False, True), repeat=count) if any(flags)]


ALL_CASES = [(name, case) for name, cases in CASES.items() for case in cases]


@pytest.mark.parametrize(("name", "case"), ALL_CASES, ids=[f"{name} {case.attribute}" for name, case in ALL_CASES])
def test_operations_give_what_the_examples_give_one_by_one(name: str, case: Case) -> None:
    entry = entries()[name]
    tape = tape_of(entry, case.attribute, [np.shape(make()) for make in case.makers])
    for varies in subsets(len(case.makers)):
        values = [
            np.stack([make() for _ in range(N)]) if flag else make()
            for make, flag in zip(case.makers, varies, strict=True)
        ]
        if case.refused(varies):
            with pytest.raises(BatchingError, match=f"The operation {name} cannot be done for many examples"):
                batched(tape, [k for k, flag in enumerate(varies) if flag], N)
            continue
        assert_as_one_by_one(tape, values, varies, N)
        if not entry.piecewise_constant:
            wrt = tuple(range(len(case.makers))) if case.wrt is None else case.wrt
            try:
                assert_derivatives_as_one_by_one(tape, values, varies, N, wrt)
            except BatchingError:
                # a derivative by a shared matrix may need an operation on ones that vary
                assert name in ("lstsq", "solve_banded")


def test_the_cases_cover_the_table() -> None:
    named = set(CASES) | set(SPECIAL) | NOT_EVALUATED
    assert {name for name, entry in entries().items() if entry.batch is None} == WITHOUT_RULE
    assert named == set(entries()) - WITHOUT_RULE


def special_names() -> list[str]:
    for module in ("special", "bessel", "hypergeometric"):
        import_module(f"fastgrad.array_ops.{module}")
    return sorted(SPECIAL)


def arity_of(name: str) -> int:
    # functions of Python's have two arguments, an order and a number
    return int(getattr(getattr(import_module("scipy.special"), name.partition(".")[0]), "nin", 2))


@pytest.mark.parametrize("name", special_names())
def test_special_functions_give_what_the_examples_give_one_by_one(name: str) -> None:
    arity = arity_of(name)
    shapes = [(), (3,), (2, 1), (2, 3)][:arity] if arity > 1 else [(2, 3)]
    tape = tape_of(entries()[name], None, shapes)
    for varies in subsets(arity):
        values = [
            # orders are whole
            np.floor(RNG.uniform(1.0, 3.0, (N, *shape) if flag else shape))
            if position == 0 and arity > 1
            else RNG.uniform(0.2, 0.8, (N, *shape) if flag else shape)
            for position, (shape, flag) in enumerate(zip(shapes, varies, strict=True))
        ]
        assert_as_one_by_one(tape, values, varies, N)


SPECIAL_SLOPES = ["beta", "erfi", "dawsn", "jv", "airy.a", "powm1", "boxcox", "gammainc", "eval_legendre"]


@pytest.mark.parametrize("name", SPECIAL_SLOPES)
def test_slopes_of_special_functions_come_along(name: str) -> None:
    arity = arity_of(name)
    shapes = [(), (3,)][-arity:]
    tape = tape_of(entries()[name], None, shapes)
    for varies in subsets(arity):
        values = [
            RNG.uniform(0.2, 0.8, (N, *shape) if flag else shape) for shape, flag in zip(shapes, varies, strict=True)
        ]
        assert_derivatives_as_one_by_one(tape, values, varies, N, (arity - 1,))


@pytest.mark.parametrize("operation", [ops.add, ops.multiply, ops.power, ops.sin, ops.maximum, ops.zero_product])
def test_elementary_operations_align_their_operands(operation: ops.Operation) -> None:
    shapes = [(4,), (2, 1, 4), ()][: operation.arity] if operation.arity < 3 else [(4,)] * operation.arity
    for order in (shapes, shapes[::-1]):
        builder = TapeBuilder()
        nodes = [builder.append_input(shape, f"x{k}") for k, shape in enumerate(order)]
        tape = builder.build([builder.append(operation.code, nodes, np.broadcast_shapes(*order))]).validate()
        for varies in subsets(operation.arity):
            values = [
                RNG.uniform(0.5, 2.0, (N, *shape) if flag else shape) for shape, flag in zip(order, varies, strict=True)
            ]
            assert_as_one_by_one(tape, values, varies, N)
            assert_derivatives_as_one_by_one(tape, values, varies, N, tuple(range(operation.arity)))


@pytest.mark.parametrize("name", ANALYTIC)
def test_programs_and_their_derivatives(name: str) -> None:
    function, operands = ANALYTIC[name]
    tape = fastgrad.record(function, *operands)
    arrays = [np.asarray(operand, float) for operand in operands]
    for varies in subsets(len(arrays)):
        values = [
            x * RNG.uniform(0.95, 1.05, (N, *x.shape)) if flag else x for x, flag in zip(arrays, varies, strict=True)
        ]
        assert_as_one_by_one(tape, values, varies, N)
        assert_derivatives_as_one_by_one(tape, values, varies, N, tuple(range(len(arrays))))


def network(x: Any, kernel: Any, bias: Any, head: Any) -> Any:
    with fastgrad.group("encoder"):
        hidden = fastgrad.name(np.tanh(x @ kernel + bias), "hidden")
    return np.sum((hidden @ head) ** 2)


NETWORK = (RNG.normal(size=5), RNG.normal(size=(5, 4)), RNG.normal(size=4), RNG.normal(size=(4, 2)))


def products(tape: Tape) -> list[tuple[tuple[int, ...], ...]]:
    """The shapes of the operands of each product of matrices."""
    return [
        tuple(tape.shape_of(operand) for operand in tape.operands_of(index).tolist())
        for index, opcode in enumerate(tape.opcodes.tolist())
        if opcode == ARRAY_OPERATION + array_ops.matmul.code
    ]


def test_layers_of_many_examples_are_one_product_each_and_so_are_the_derivatives_of_their_kernels() -> None:
    many = batched(fastgrad.record(network, *NETWORK), [0], 7)
    assert products(many) == [((7, 5), (5, 4)), ((7, 4), (4, 2))]
    derived = adjoint(many, (1, 2, 3), 1, seeded=False)
    assert products(derived)[2:] == [((7, 2), (2, 4)), ((4, 7), (7, 2)), ((5, 7), (7, 4))]


def test_a_matrix_before_a_vector_is_one_product_too() -> None:
    tape = fastgrad.record(lambda x, w: np.tanh(w @ x), np.ones(5), np.ones((4, 5)))
    many = batched(tape, [0], 7)
    assert products(many) == [((7, 5), (5, 4))]
    assert products(adjoint(many, (1,), 1, seeded=True))[1:] == [((5, 7), (7, 4))]


def test_a_matrix_that_is_shared_is_factored_once() -> None:
    tape = fastgrad.record(np.linalg.solve, np.eye(3), np.ones(3))
    many = batched(tape, [1], 7)
    solved = [many.shape_of(k) for k, code in enumerate(many.opcodes) if code == ARRAY_OPERATION + array_ops.solve.code]
    assert solved == [(3, 7)]


def test_machine_code_gives_what_the_examples_give_one_by_one() -> None:
    tape = fastgrad.record(network, *NETWORK)
    many = adjoint(batched(tape, [0], 40), (0, 1), 1, seeded=False)
    x = RNG.normal(size=(40, 5))
    results = [np.empty(shape) for shape in many.output_shapes]
    run = ArrayExecutor(many, Request(kind=Kind.VALUES, n_outputs=len(results)))
    run([x, *NETWORK[1:]], [], results)
    gradient = fastgrad.value_and_grad(network, argnums=(0, 1))
    singles = [gradient(row, *NETWORK[1:]) for row in x]
    np.testing.assert_allclose(results[0], [value for value, _ in singles], rtol=1e-13)
    np.testing.assert_allclose(results[1], [slopes[0] for _, slopes in singles], rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(results[2], sum(slopes[1] for _, slopes in singles), rtol=1e-12, atol=1e-14)


def test_names_groups_and_lines_come_along() -> None:
    tape = fastgrad.record(network, *NETWORK)
    many = batched(tape, [0], 7)
    assert (many.input_names, many.output_names) == (tape.input_names, tape.output_names)
    assert many.node_names == tape.node_names == ("encoder/hidden",)
    hidden = int(many.named_nodes[0])
    assert many.shape_of(hidden) == (7, 4)
    assert many.groups[many.group_indices[hidden]] == "encoder"
    (was_hidden,) = tape.named_nodes.tolist()
    assert many.sources[many.source_indices[hidden]] == tape.sources[tape.source_indices[was_hidden]]


def test_what_is_shared_is_computed_once_and_outputs_that_do_not_vary_are_repeated() -> None:
    tape = fastgrad.record(lambda x, w: (np.sin(w), np.sin(w) + x, w * 0.0 + 1.0), np.ones(3), np.ones(3))
    many = batched(tape, [0], 4)
    assert many.output_shapes == ((4, 3),) * 3
    sines = [many.shape_of(k) for k, code in enumerate(many.opcodes.tolist()) if code == ops.sin.code]
    assert sines == [(3,)]
    assert_as_one_by_one(tape, [RNG.normal(size=(4, 3)), RNG.normal(size=3)], (True, False), 4)


@pytest.mark.parametrize("n", [0, 1])
def test_no_example_and_one(n: int) -> None:
    tape = fastgrad.record(network, *NETWORK)
    (found,) = interpret(batched(tape, [0], n), [np.ones((n, 5)), *NETWORK[1:]])
    np.testing.assert_allclose(found, [network(np.ones(5), *NETWORK[1:])] * n)


def test_a_decision_that_varies_is_refused_and_one_that_is_shared_is_kept() -> None:
    def way(x: Any, w: Any) -> Any:
        return np.sin(x) if w > 0 else np.cos(x)

    tape = fastgrad.record(way, np.ones(3), 1.0)
    assert len(batched(tape, [0], 4).guard_nodes) == len(tape.guard_nodes) == 1
    with pytest.raises(VaryingGuardError) as caught:
        batched(tape, [1], 4)
    message = str(caught.value)
    assert message.startswith("Which way the function takes hangs on a value that is another for each example (at ")
    assert "test_batching.py:" in message
    assert message.endswith("Choose between values with np.where, which computes both.")


def test_an_operation_without_a_rule_is_named_with_its_line() -> None:
    tape = fastgrad.record(lambda x, v: np.interp(v, x, x * x), np.arange(4.0), np.ones(2))
    with pytest.raises(BatchingError) as caught:
        batched(tape, [0], 4)
    message = str(caught.value)
    assert message.startswith("The operation searchsorted cannot be done for many examples at once (at ")
    assert "test_batching.py:" in message
    assert message.endswith("Use fastgrad.vmap, which runs such functions example by example.")


@pytest.mark.parametrize(("inputs", "n"), [([2], 3), ([-1], 3), ([0], -1)])
def test_bad_positions_and_lengths_are_refused(inputs: list[int], n: int) -> None:
    tape = fastgrad.record(lambda x, y: x + y, 1.0, 2.0)
    with pytest.raises(InputError) as caught:
        batched(tape, inputs, n)
    assert str(caught.value) == (
        f"a tape with 2 inputs cannot be batched over inputs {inputs} with {n} examples. "
        "Give positions of inputs and a length that is not negative."
    )


STEPS: dict[str, Callable[[Any, Any], Any]] = {
    "sum": lambda x, w: x - np.sum(x, axis=-1, keepdims=True),
    "layer": lambda x, w: np.tanh(x @ w),
    "turned": lambda x, w: (w @ x.T).T,
    "matrices": lambda x, w: x @ x.T @ x * 0.2,
    "flip": lambda x, w: x[::-1] * 0.5,
    "shift": lambda x, w: np.concatenate([x[1:], x[:1] + 1.0]),
    "sort": lambda x, w: np.sort(x, axis=0),
    "largest": lambda x, w: x + np.max(x, axis=1)[:, None],
    "running": lambda x, w: np.cumsum(x, axis=1) / 3.0,
    "own": lambda x, w: x * w[0] + w[1, 0],
    "take": lambda x, w: x[np.array([2, 0, 0])],
    "where": lambda x, w: np.where(x > 0.0, x, np.sin(x)),
    "system": lambda x, w: np.linalg.solve(w + 6.0 * np.eye(3), x),
}


@settings(deadline=None, max_examples=60)
@given(
    names=st.lists(st.sampled_from(sorted(STEPS)), min_size=1, max_size=5),
    varies=st.sampled_from([(True, False), (False, True), (True, True)]),
    n=st.integers(1, 4),
    seed=st.integers(0, 1000),
)
def test_any_program_of_these_steps(names: list[str], varies: tuple[bool, bool], n: int, seed: int) -> None:
    def program(x: Any, w: Any) -> Any:
        for name in names:
            x = STEPS[name](x, w)
        return x

    rng = np.random.default_rng(seed)
    values = [rng.uniform(-1.0, 1.0, (n, 3, 3) if flag else (3, 3)) for flag in varies]
    tape = fastgrad.record(program, np.ones((3, 3)), np.ones((3, 3)))
    assert_as_one_by_one(tape, values, varies, n)
    assert_derivatives_as_one_by_one(tape, values, varies, n, (0, 1))
