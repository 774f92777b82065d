"""The Python source of tapes: the same numbers, readable, and nothing in it but the tape."""

from __future__ import annotations

import ast
import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import scipy.linalg
import scipy.special
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

import fastgrad as fg
from fastgrad import array_ops, ops
from fastgrad.document.notation import SIGNS
from fastgrad.document.operations import ARRAY_EXPRESSIONS, DEFINITIONS
from fastgrad.document.source_code import MAX_ELEMENTS
from fastgrad.tape import ARRAY_OPERATION, Source, Tape
from fastgrad.tape_builder import TapeBuilder
from fastgrad.transform.symbolic import SymbolicTape
from tests.tapes import ANALYTIC, interpret


def run(source: str, name: str = "function") -> Callable[..., Any]:
    """The function that a source defines."""
    namespace: dict[str, Any] = {}
    exec(compile(source, "<source>", "exec"), namespace)
    return namespace[name]  # type: ignore[no-any-return]


def assert_same(tape: Tape, operands: Any, rtol: float = 1e-13, atol: float = 1e-14) -> None:
    """Running the source gives what the tape gives, however constants come in."""
    for constants in ("inline", "argument"):
        function = run(tape.to_source(constants=constants))
        more = {"constants": tape.constants} if constants == "argument" else {}
        with np.errstate(all="ignore"):
            found = function(*operands, **more)
        expected = interpret(tape, operands)
        found = found if isinstance(found, tuple) else (found,)
        for one, other in zip(found, expected, strict=True):
            assert np.shape(one) == other.shape
            assert np.asarray(one).dtype == np.float64
            assert_allclose(one, other, rtol=rtol, atol=atol)


# ---- the tables of operations


def elementary_tape(operation: ops.Operation, shape: tuple[int, ...]) -> Tape:
    builder = TapeBuilder()
    inputs = [builder.append_input(shape, name) for name in "xyz"[: operation.arity]]
    return builder.build([builder.append(operation.code, inputs, shape)]).validate()


SPECIAL = np.array([0.0, -0.0, 1.0, -1.0, 2.0, 0.5, 1e300, -1e-310, np.inf, -np.inf, np.nan])


@pytest.mark.parametrize("operation", ops.TABLE, ids=lambda operation: operation.name)
def test_special_values_are_those_of_the_tape(operation: ops.Operation) -> None:
    if operation is ops.ldexp:
        pytest.skip("its exponents are whole numbers")
    columns = np.array(list(itertools.product(SPECIAL, repeat=min(operation.arity, 2)))).T
    operands = [*columns, *([columns[-1][::-1]] * (operation.arity - len(columns)))]
    tape = elementary_tape(operation, columns[0].shape)
    assert_same(tape, operands, rtol=16 * 2.0**-52, atol=2.0**-50)


_RNG = np.random.default_rng(7)
_SQUARE = _RNG.normal(size=(3, 3)) + 3 * np.eye(3)
_POSITIONS = np.array([2, 0, 2])


def _updated(x: Any) -> Any:
    y = x * 2.0
    y[1:, 0] = x[0, 0]
    y[0] = 0.0
    return y


ARRAYS: dict[str, tuple[Callable[..., Any], Any]] = {
    "reshape": (lambda x: x.reshape(-1), _SQUARE),
    "transpose": (lambda x: (x.T, np.transpose(x[None], (1, 0, 2))), _SQUARE),
    "slices": (lambda x: (x[1:], x[::-1], x[:2, 1], x[2:0:-1, ::2], x[1:1], x[..., -1:]), _SQUARE),
    "update": (_updated, _SQUARE),
    "concatenate": (lambda x: np.concatenate([x, x * 2, np.ones((3, 1))], axis=1), _SQUARE),
    "gather": (lambda x: x[_POSITIONS, 1], _SQUARE),
    "broadcast": (lambda x: np.broadcast_to(x[0], (4, 3)), _SQUARE),
    "sums": (lambda x: (np.sum(x), np.sum(x, axis=0), np.sum(x[None], axis=(0, 2))), _SQUARE),
    "extrema": (lambda x: (np.max(x), np.min(x, axis=1), np.nanmax(x, axis=0), np.fmin.reduce(x)), _SQUARE),
    "cumulative": (lambda x: (np.cumsum(x, axis=1), np.cumprod(x, axis=0), np.prod(x)), _SQUARE),
    "matmul": (lambda x: (x @ x, x @ x[0], x[0] @ x[1]), _SQUARE),
    "order": (
        lambda x: (np.sort(x, axis=0), np.median(x), np.argmax(x, axis=1) * x[0], np.searchsorted(x[0], x)),
        _SQUARE,
    ),
    "linear algebra": (
        lambda x: (np.linalg.solve(x, x[0]), np.linalg.inv(x), np.linalg.det(x), np.linalg.cholesky(x @ x.T)),
        _SQUARE,
    ),
    "factorizations": (lambda x: (*np.linalg.svd(x), *np.linalg.qr(x), *np.linalg.eigh(x + x.T)), _SQUARE),
    "scipy": (lambda x: (scipy.linalg.expm(x), scipy.linalg.solve_triangular(x, x[0])), _SQUARE),
    "convolve": (lambda x: (np.convolve(x[0], x[1]), np.convolve(x[0], x[1], "valid")), _SQUARE),
    "fft": (lambda x: np.abs(np.fft.fft(x)) + np.fft.irfft(np.fft.rfft(x), 3), _SQUARE),
    "special": (
        lambda x: (scipy.special.gammainc(2.0, x * x), scipy.special.jv(1.5, x * x), scipy.special.hyp1f1(1.0, 2.0, x)),
        _SQUARE,
    ),
    "one": (lambda x: (x[:1, :1] * 3.0, np.where(x > 0, x, 0.1 * x)), _SQUARE),
    "logic": (
        lambda x: (np.where((x > 0) & ~(x > 1) | (x < -1), x, 0.0), (x > 0) ^ (x < 1), np.sum(x > 0), np.isnan(x)),
        _SQUARE,
    ),
    "constants": (lambda x: (2.0, np.ones(3), _SQUARE, np.zeros((0, 2)), x), _SQUARE),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_array_operations_give_the_numbers_of_the_tape(name: str) -> None:
    function, operand = ARRAYS[name]
    assert_same(fg.record(function, operand), [operand])


@pytest.mark.parametrize("name", ["update", "gather", "cumulative", "extrema", "linear algebra", "broadcast"])
def test_derivatives_give_the_numbers_of_the_tape(name: str) -> None:
    function, operand = ARRAYS[name]
    tape = fg.record(function, operand).adjoint()
    seeds = [np.asarray(_RNG.normal(size=shape)) for shape in tape.input_shapes[1:]]
    assert_same(tape, [operand, *seeds], rtol=1e-11, atol=1e-12)


PARTS = (((0, 2, 1), (2, 2, -1)), ((1, 0, 1), (0, 3, 1)), ((2, 3, -1), (1, 1, 1)), ((0, 3, 1), (0, 3, 1)))


@pytest.mark.parametrize("spec", PARTS)
def test_parts_of_arrays_are_written_as_the_tape_writes_them(spec: Any) -> None:
    symbolic = SymbolicTape()
    x, part = symbolic.input((3, 3), "x"), symbolic.input(tuple(count for _, count, _ in spec), "part")
    outputs = [
        symbolic._node(ARRAY_OPERATION + operation.code, operands, shape, attribute)
        for operation, operands, shape, attribute in (
            (array_ops.slice_, (x,), part.shape, spec),
            (array_ops.place, (part,), (3, 3), ((3, 3), spec)),
            (array_ops.clear_slice, (x,), (3, 3), spec),
            (array_ops.update_slice, (x, part), (3, 3), spec),
        )
    ]
    assert_same(symbolic.build(outputs).validate(), [_SQUARE, _RNG.normal(size=part.shape)])


def test_the_cases_use_every_array_operation_that_is_written_out() -> None:
    used = {"clear_slice", "update_slice"}  # of the test before this one
    for function, operand in ARRAYS.values():
        tape = fg.record(function, operand)
        used |= {node.operation for node in tape} | {node.operation for node in tape.adjoint()}
    assert {operation.name for operation in ARRAY_EXPRESSIONS} <= used


def test_what_is_written_by_name_is_an_operation() -> None:
    elementary = {operation.name for operation in ops.TABLE}
    assert set(SIGNS) <= elementary
    assert set(DEFINITIONS) - elementary <= {operation.name for operation in ARRAY_EXPRESSIONS}


# ---- programs


@pytest.mark.parametrize("name", ANALYTIC)
def test_programs_and_their_gradients_give_the_numbers_of_the_tape(name: str) -> None:
    function, operands = ANALYTIC[name]
    tape = fg.record(function, *operands)
    assert_same(tape, operands)
    derived = tape.jacobian()
    assert_same(derived, operands, rtol=1e-12, atol=1e-13)


UNARY = (np.sin, np.tanh, np.square, np.exp, np.negative, np.abs, lambda x: x.T, lambda x: x[::-1], lambda x: x > 0)
BINARY = (np.add, np.subtract, np.multiply, np.maximum, np.divide, np.less, lambda x, y: np.where(x, y, 0.5))


@st.composite
def programs(draw: st.DrawFn) -> Callable[..., Any]:
    steps = draw(
        st.lists(st.tuples(st.integers(0, 99), st.integers(0, 99), st.integers(0, 99)), min_size=1, max_size=15)
    )

    def program(x: Any, y: Any) -> Any:
        values = [x, y, 2.0, np.array([[0.5, -1.5], [2.0, 1.0]])]
        for kind, one, other in steps:
            a, b = values[one % len(values)], values[other % len(values)]
            operation = (*UNARY, *BINARY)[kind % (len(UNARY) + len(BINARY))]
            a = a + 0.0 * x if kind % 3 == 0 else a * np.ones((2, 2))
            with np.errstate(all="ignore"):
                values.append(operation(a) if operation in UNARY else operation(a, b))
        return tuple(values[4:])

    return program


@given(programs(), st.lists(st.floats(-2, 2), min_size=8, max_size=8))
@settings(max_examples=60, deadline=None)
def test_random_programs_give_the_numbers_of_the_tape(program: Callable[..., Any], numbers: list[float]) -> None:
    x, y = np.array(numbers).reshape(2, 2, 2)
    tape = fg.record(program, x, y)
    with np.errstate(all="ignore"):
        expected = interpret(tape, [x, y])
    # exp of exp loses digits; what is compared is that the same is computed
    if all(np.all(np.abs(value[np.isfinite(value)]) < 1e6) for value in expected):
        assert_same(tape, [x, y], rtol=1e-9, atol=1e-9)


# ---- what it looks like


def model(x: Any, w: Any) -> Any:
    with fg.group("encoder"):
        hidden = fg.name(np.tanh(w @ x), "hidden")
    if hidden[0] > 0:
        hidden = hidden * np.array([1.0, 2.0, 3.0])
    return {"loss": np.sum(fg.erf(hidden)), "hidden": hidden}


W, X = np.ones((3, 2)), np.ones(2)


def test_the_source_reads_like_the_function() -> None:
    tape = fg.record(model, X, W)
    line = model.__code__.co_firstlineno
    source = tape.to_source("layer", lines=True, as_dict=True)
    assert (
        "from fastgrad.document.operations import elementary_operation\n\n_erf = elementary_operation('erf')" in source
    )
    assert source.partition("def layer")[2].splitlines() == [
        "(x, w):",
        '    """A tape of 10 operations, as NumPy computes it."""',
        "    x = _checked(x, 'x', (2,))",
        "    w = _checked(w, 'w', (3, 2))",
        "    # encoder",
        f"    v2 = np.reshape(x, (2, 1))  # test_source_code.py:{line + 2}",
        f"    v3 = w @ v2  # test_source_code.py:{line + 2}",
        f"    v4 = np.reshape(v3, (3,))  # test_source_code.py:{line + 2}",
        f"    encoder_hidden = np.tanh(v4)  # test_source_code.py:{line + 2}",
        "    # (no group)",
        f"    v6 = encoder_hidden[:1]  # test_source_code.py:{line + 3}",
        f"    v7 = np.reshape(v6, ())  # test_source_code.py:{line + 3}",
        f"    v9 = v7 > 0.0  # test_source_code.py:{line + 3}",
        f"    _guard(v9, 1.0, '{__file__}:{line + 3}, in model')",
        f"    v10 = np.array([1.0, 2.0, 3.0])  # test_source_code.py:{line + 4}",
        f"    hidden = encoder_hidden * v10  # test_source_code.py:{line + 4}",
        f"    v12 = _erf(hidden)  # test_source_code.py:{line + 5}",
        f"    loss = np.sum(v12)  # test_source_code.py:{line + 5}",
        "    return {'hidden': hidden, 'loss': loss}",
    ]
    found = run(source, "layer")(w=W, x=X)
    assert_allclose(found["loss"], model(X, W)["loss"], rtol=1e-14)


def test_a_tape_without_own_operations_needs_numpy_alone() -> None:
    source = fg.record(lambda x: np.sum(np.sin(x) ** 2), X).adjoint().to_source()
    assert "fastgrad" not in source


def test_guards_and_shapes_are_checked() -> None:
    function = run(fg.record(model, X, W).to_source())
    with pytest.raises(
        ValueError, match=r"takes another way than the recorded one, at .*test_source_code.py:\d+, in model"
    ):
        function(-X, W)
    with pytest.raises(ValueError, match=r"input 'w' has shape \(2, 3\) instead of \(3, 2\)"):
        function(X, W.T)
    nan = fg.record(lambda x: x * int(np.isnan(x)), np.nan)
    assert np.isnan(run(nan.to_source())(np.nan))


def test_outputs_are_memory_of_their_own() -> None:
    function = run(fg.record(lambda x: (x, x[1:], x.reshape(2, 1), _POSITIONS), X).to_source())
    given = X.copy()
    for output in function(given):
        output[...] = 7.0
    assert given.tolist() == X.tolist()
    assert function(given)[3].tolist() == [2.0, 0.0, 2.0]


def test_large_captured_arrays_are_an_argument() -> None:
    data = np.arange(MAX_ELEMENTS + 1.0)
    tape = fg.record(lambda x: np.sum(data * x), 1.0)
    with pytest.raises(fg.InputError) as caught:
        tape.to_source()
    assert str(caught.value) == (
        "the tape holds 10,001 numbers of captured arrays, too many to be written out (at most 10,000). Pass "
        "constants='argument' and call the function with constants=tape.constants."
    )
    source = tape.to_source(constants="argument")
    assert len(source) < 1000
    assert run(source)(2.0, constants=tape.constants) == pytest.approx(2 * data.sum())


@pytest.mark.parametrize("name", ["", "two words", "lambda", "f(): pass\ndef g", "1f"])
def test_function_names_are_checked(name: str) -> None:
    with pytest.raises(fg.InputError, match="name must be one that Python allows for a function"):
        fg.record(np.sin, 1.0).to_source(name)
    with pytest.raises(fg.InputError, match="constants must be 'inline' or 'argument', not 'file'"):
        fg.record(np.sin, 1.0).to_source(constants="file")


# ---- nothing gets in

HOSTILE = [
    "x\n    raise SystemExit",
    "'); raise SystemExit; ('",
    '"""\nraise SystemExit\n"""',
    "x\r__import__('os')",
    "\u2028raise SystemExit",
    "lambda",
    "np",
    "function",
    "_checked",
    "print",
    "constants",
    "v1",
    "v2",
    "\\",
    "{x}",
    "\uff49\uff46",  # "if" in wide letters, which Python reads as narrow ones
    "٣",
    "²",
    "",
    " ",
    "#",
    "é",
    "\x00",
    "None",
]


def hostile_tape(names: list[str]) -> Tape:
    tape = fg.record(model, X, W)
    return replace(
        tape,
        input_names=tuple(names[:2]),
        output_names=tuple(names[2:4]),
        node_names=(names[4],),
        groups=(names[5],),
        sources=tuple(Source(names[6], 3, names[7]) for _ in tape.sources),
    )


def assert_harmless(tape: Tape) -> None:
    source = tape.to_source(lines=True, as_dict=True)
    tree = ast.parse(source)
    allowed = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.Assign)
    assert all(isinstance(statement, allowed) for statement in tree.body)
    plain = ast.parse(fg.record(model, X, W).to_source(lines=True, as_dict=True))
    # the same statements as for harmless names
    assert [type(node) for node in ast.walk(tree)] == [type(node) for node in ast.walk(plain)]
    found = run(source)(X, W)
    assert list(found) == list(dict.fromkeys(tape.output_names))
    assert_allclose(list(found.values())[-1], model(X, W)["loss"], rtol=1e-14)


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_do_no_harm(name: str) -> None:
    assert_harmless(hostile_tape([name, f"{name}x", name + "1", name + "2", f"a{name}", name, name, name]))
    assert_harmless(hostile_tape([name, f"{name}x", name, "loss", name, "g", "a.py", "f"]))


@given(st.lists(st.text(max_size=12), min_size=8, max_size=8, unique=True))
@settings(max_examples=100, deadline=None)
def test_any_names_do_no_harm(names: list[str]) -> None:
    assert_harmless(hostile_tape(names))


def test_invalid_tapes_are_refused_before_anything_is_written() -> None:
    class Evil(str):
        def __repr__(self) -> str:
            return "__import__('os').abort()"

    tape = fg.record(lambda x: np.sum(x, axis=0), W)
    with pytest.raises(fg.TapeError, match="attributes must be"):
        replace(tape, attributes=(Evil("a"),)).to_source()
    with pytest.raises(fg.TapeError):
        replace(tape, input_names=(Evil("a"),)).to_source()


@pytest.mark.parametrize("name", ["np", "float", "constants", "_checked", "_guard", "_zero_product", "\uff4e\uff50"])
def test_a_name_that_the_source_uses_itself_is_refused(name: str) -> None:
    tape = fg.record(lambda x: x * 2.0, 1.0)
    with pytest.raises(fg.InputError, match=r"name must not be '.*', which the source itself may use"):
        tape.to_source(name)


@pytest.mark.parametrize("name", ["print", "_f", "function_2", "match"])
def test_other_names_are_the_functions(name: str) -> None:
    assert run(fg.record(lambda x: x * 2.0, 1.0).to_source(name), name)(3.0) == 6.0


def test_an_output_that_comes_twice_is_two_arrays() -> None:
    tape = fg.record(lambda x: (y := x * 2.0, y), np.ones(2))
    one, other = run(tape.to_source())(np.ones(2))
    one[0] = 9.0
    assert other.tolist() == [2.0, 2.0]
