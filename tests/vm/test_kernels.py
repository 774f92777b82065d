"""The kernels against plain Python and NumPy, and against each other to the bit."""

from __future__ import annotations

import itertools
import re
from typing import Any

import numpy as np
import pytest

from fastgrad.ops import BY_NAME, TABLE
from fastgrad.vm import instructions as isa
from fastgrad.vm.binary import kernels
from tests.llvm_harness import evaluate
from tests.vm.assembling import SPECIAL, Job, edges, opcode, program, records, rows, same_bits, samples

NAMES = [operation.name for operation in TABLE]
INF, NAN = np.inf, np.nan


def address(array: np.ndarray) -> int:
    return array.ctypes.data


# ---- single instructions


def scalar_results(words: np.ndarray, n_slots: int, operands: list[np.ndarray], wanted: slice) -> np.ndarray:
    """Run the program once per sample, operands in the first slots; the wanted slots of each run, as columns."""
    results = []
    for column in zip(*operands, strict=True):
        memory = np.full(n_slots, NAN)
        memory[: len(column)] = column
        assert kernels().forward(address(words), address(memory)) == -1
        results.append(memory[wanted].copy())
    return np.array(results).T


def lane_results(words: np.ndarray, n_slots: int, operands: list[np.ndarray], wanted: slice) -> np.ndarray:
    lanes = -(-len(operands[0]) // 8) * 8
    memory, failed = rows(n_slots, lanes, 1.0), np.full(lanes, -1)
    for slot, column in enumerate(operands):
        memory[slot, : len(column)] = column
    kernels().forward_lanes(address(words), address(memory), lanes, address(failed))
    assert np.all(failed == -1)
    return memory[wanted, : len(operands[0])]


@pytest.mark.parametrize("name", NAMES)
def test_scalar_and_lanes_and_both_forms_give_the_same_bits(name: str) -> None:
    operands = samples(name)
    arity, n_computed = len(operands), isa.n_computed_partials(BY_NAME[name])
    slots = list(range(arity))
    value = program((name, arity, *slots))
    results = scalar_results(value, arity + 1, operands, slice(arity, None))
    assert same_bits(results, lane_results(value, arity + 1, operands, slice(arity, None)))
    if n_computed:
        both = program((f"{name}_with_partials", arity, *slots, *range(arity + 1, arity + 1 + n_computed)))
        everything = scalar_results(both, arity + 1 + n_computed, operands, slice(arity, None))
        assert same_bits(everything, lane_results(both, arity + 1 + n_computed, operands, slice(arity, None)))
        assert same_bits(everything[:1], results)


@pytest.mark.parametrize("name", ["add", "divide", "exp", "sin", "power", "fmod", "where", "isnan"])
def test_an_instruction_gives_what_its_function_gives_alone(name: str) -> None:
    operands = samples(name)
    words = program((name, len(operands), *range(len(operands))))
    results = scalar_results(words, len(operands) + 1, operands, slice(len(operands), None))
    assert same_bits(results[0], evaluate(_as_number(BY_NAME[name].forward), *operands, width=1))


def _as_number(forward: Any) -> Any:
    return lambda *operands: operands[0].emitter.float(forward(*operands))


@pytest.mark.parametrize(
    ("name", "pair"),
    [
        ("multiply_add", [("multiply", 4, 0, 1), ("add", 3, 4, 2)]),
        ("multiply_subtract", [("multiply", 4, 0, 1), ("subtract", 3, 4, 2)]),
        ("subtract_product", [("multiply", 4, 0, 1), ("subtract", 3, 2, 4)]),
    ],
)
def test_fused_pairs_round_twice_like_the_pair(name: str, pair: list[tuple[Any, ...]]) -> None:
    rng = np.random.default_rng(1)
    operands = [np.concatenate([rng.normal(size=200), rng.permutation(np.tile(SPECIAL, 3))]) for _ in range(3)]
    fused, two = program((name, 3, 0, 1, 2)), program(*pair)
    wanted = scalar_results(two, 5, operands, slice(3, 4))
    assert same_bits(scalar_results(fused, 5, operands, slice(3, 4)), wanted)
    assert same_bits(lane_results(fused, 5, operands, slice(3, 4)), wanted)


@pytest.mark.parametrize("name", ["subtract", "divide", "power", "multiply_add"])
def test_the_result_may_take_the_place_of_an_operand(name: str) -> None:
    count = int(isa.N_OPERANDS[opcode(name)])
    operands = [np.linspace(1.0, 2.0, 16) + k for k in range(count)]
    apart = scalar_results(program((name, count, *range(count))), count + 1, operands, slice(count, None))
    for place in range(count):
        words = program((name, place, *range(count)))
        for results in (scalar_results, lane_results):
            assert same_bits(results(words, count + 1, operands, slice(place, place + 1)), apart)


def test_common_and_other_instructions_alternate() -> None:
    words = program(
        ("add", 2, 0, 1), ("sin", 3, 2), ("multiply", 4, 3, 0), ("floor", 5, 4), ("exp", 6, 4), ("add", 7, 6, 5)
    )
    x, y = 0.7, 0.4
    (column,) = scalar_results(words, 8, [np.array([x]), np.array([y])], slice(7, 8))
    m = np.sin(x + y) * x
    assert column[0] == pytest.approx(np.exp(m) + np.floor(m), rel=1e-14)


# ---- guards


@pytest.mark.parametrize(
    ("value", "expected", "failed"),
    [(1.0, 1.0, -1), (0.0, -0.0, -1), (NAN, NAN, -1), (1.0, 0.0, 7), (NAN, 1.0, 7), (1.0, NAN, 7), (INF, INF, -1)],
)
def test_a_guard_compares_values(value: float, expected: float, failed: int) -> None:
    words = program(("guard", 7, 0, 1), ("add", 2, 0, 1))
    memory = np.array([value, expected, -5.0])
    assert kernels().forward(address(words), address(memory)) == failed
    assert (memory[2] == -5.0) == (failed != -1)
    lane_memory, lane_failed = rows(3, 8), np.full(8, -1)
    lane_memory[0], lane_memory[1] = value, expected
    kernels().forward_lanes(address(words), address(lane_memory), 8, address(lane_failed))
    assert lane_failed.tolist() == [failed] * 8


HOLDS: dict[str, Any] = {
    "guard_less": lambda x, y: x < y,
    "guard_not_less": lambda x, y: not x < y,
    "guard_less_equal": lambda x, y: x <= y,
    "guard_not_less_equal": lambda x, y: not x <= y,
    "guard_equal": lambda x, y: x == y,
    "guard_not_equal": lambda x, y: x != y,
}


@pytest.mark.parametrize("name", HOLDS)
@pytest.mark.parametrize("x", [1.0, 2.0, 0.0, -0.0, INF, NAN])
@pytest.mark.parametrize("y", [1.0, 2.0, 0.0, -0.0, INF, NAN])
def test_a_guard_with_a_comparison_of_its_own_decides_as_python_does(name: str, x: float, y: float) -> None:
    words = program((name, 7, 0, 1), ("add", 2, 0, 1))
    memory, failed = np.array([x, y, -5.0]), -1 if HOLDS[name](x, y) else 7
    assert kernels().forward(address(words), address(memory)) == failed
    assert (memory[2] == -5.0) == (failed != -1)
    lane_memory, lane_failed = rows(3, 16), np.full(16, -1)
    lane_memory[0, 3:], lane_memory[1, 3:] = x, y
    kernels().forward_lanes(address(words), address(lane_memory), 16, address(lane_failed))
    assert lane_failed.tolist() == [-1 if HOLDS[name](0.0, 0.0) else 7] * 3 + [failed] * 13


def test_each_lane_keeps_its_first_failed_guard() -> None:
    words = program(("guard", 3, 0, 2), ("guard", 4, 1, 2))
    memory, failed = rows(3, 16), np.full(16, -1)
    memory[0, [1, 5]] = 1.0
    memory[1, [5, 9]] = 1.0
    kernels().forward_lanes(address(words), address(memory), 16, address(failed))
    assert failed.tolist() == [-1, 3, -1, -1, -1, 3, -1, -1, -1, 4] + [-1] * 6


# ---- sweeps


def python_sweep(
    triples: np.ndarray, memory: np.ndarray, adjoints: np.ndarray, backwards: bool, careful: bool
) -> np.ndarray:
    """The definition, for numbers or rows."""
    adjoints = adjoints.copy()
    with np.errstate(all="ignore"):
        for i, a, d in triples[::-1] if backwards else triples:
            source, target = (a, i) if backwards else (i, a)
            total = adjoints[target] + adjoints[source] * memory[d]
            absent = careful & ((adjoints[source] == 0.0) | (memory[d] == 0.0))
            adjoints[target] = np.where(absent, adjoints[target], total)
    return adjoints


@pytest.fixture(name="tape")
def _tape() -> tuple[np.ndarray, np.ndarray]:
    """Random edges of a graph of 30 nodes, whose partials hold zeros, infinities and NaN."""
    rng = np.random.default_rng(5)
    triples = [(i, int(rng.integers(0, i)), int(rng.integers(0, 40))) for i in range(29, 0, -1) for _ in range(2)]
    memory = rng.normal(size=40)
    memory[[3, 7]] = 0.0
    memory[11] = INF
    return edges(*triples), memory


@pytest.mark.parametrize("careful", [False, True])
@pytest.mark.parametrize("direction", ["reverse", "tangent"])
def test_sweeps_follow_the_edges(tape: tuple[np.ndarray, np.ndarray], direction: str, careful: bool) -> None:
    triples, memory = tape
    suffix = "_careful" if careful else ""
    seeds = np.zeros((30, 16))
    seeds[0 if direction == "tangent" else 29] = np.linspace(-1.0, 1.0, 16)
    seeds[15, ::3] = INF
    wanted = python_sweep(triples, memory[:, None], seeds, direction == "tangent", careful)
    for lane in range(16):
        adjoints = seeds[:, lane].copy()
        sweep = getattr(kernels(), direction + suffix)
        sweep(address(triples), len(triples), address(memory), address(adjoints))
        assert same_bits(adjoints, wanted[:, lane])
    for n_seeds in (8, 16):
        adjoints = rows(30, n_seeds)
        adjoints[:] = seeds[:, :n_seeds]
        sweep = getattr(kernels(), f"{direction}_rows{suffix}")
        sweep(address(triples), len(triples), address(memory), address(adjoints), n_seeds)
        assert same_bits(adjoints, wanted[:, :n_seeds])
    adjoints, lane_memory = rows(30, 16), rows(40, 16)
    adjoints[:], lane_memory[:] = seeds, memory[:, None]
    sweep = getattr(kernels(), f"{direction}_lanes{suffix}")
    sweep(address(triples), len(triples), address(lane_memory), address(adjoints), 16)
    assert same_bits(adjoints, wanted)


def test_no_edges_is_no_work() -> None:
    adjoints = np.ones(3)
    for name in ("reverse", "reverse_careful", "tangent", "tangent_careful"):
        getattr(kernels(), name)(0, 0, 0, address(adjoints))
    assert adjoints.tolist() == [1.0] * 3


# ---- the scalar driver: f(x, y) = x * y + sqrt(x)

ONE = 5
SCALAR_WORDS = program(("multiply", 2, 0, 1), ("sqrt_with_partials", 3, 0, 6), ("add", 4, 2, 3))
SCALAR_EDGES = edges((4, 3, ONE), (4, 2, ONE), (3, 0, 6), (2, 1, 0), (2, 0, 1))


def scalar_job(x: np.ndarray, gradient: np.ndarray, value: np.ndarray, **fields: Any) -> Job:
    defaults = dict(
        words=SCALAR_WORDS,
        edges=SCALAR_EDGES,
        memory=np.zeros(7),
        adjoints=np.full(5, 99.0),
        n_adjoints=5,
        constants=records(isa.CONSTANT, dict(slot=ONE, value=1.0)),
        inputs=records(isa.INPUT, dict(address=x, position=0, count=2)),
        seeds=records(isa.SEED, dict(kind=isa.SEED_CONSTANT, position=4, count=1, value=1.0)),
        outputs=records(
            isa.OUTPUT,
            dict(kind=isa.OUT_VALUE, position=4, step=1, count=1, address=value),
            dict(kind=isa.OUT_ADJOINT, position=0, step=1, count=2, address=gradient),
        ),
    )
    return Job(**{**defaults, **fields})


def test_run_scalar_gives_value_and_gradient_every_time() -> None:
    x, gradient, value = np.array([4.0, 3.0]), np.zeros(2), np.zeros(1)
    job = scalar_job(x, gradient, value)
    for _ in range(2):
        assert job.run_scalar() == -1
        assert value[0] == 14.0
        assert gradient.tolist() == [3.25, 4.0]
    x[:] = 1.0, 2.0
    assert job.run_scalar() == -1
    assert (value[0], gradient.tolist()) == (3.0, [2.5, 1.0])


def test_run_scalar_without_edges_gives_values_only() -> None:
    x, gradient, value = np.array([4.0, 3.0]), np.full(2, 7.0), np.zeros(3)
    outputs = records(
        isa.OUTPUT,
        dict(kind=isa.OUT_VALUE, position=4, step=-2, count=3, address=value),
        dict(kind=isa.OUT_ZERO, count=2, address=gradient),
    )
    job = scalar_job(x, gradient, value, outputs=outputs, n_edges=0, adjoints=0)
    assert job.run_scalar() == -1
    assert value.tolist() == [14.0, 12.0, 4.0]
    assert gradient.tolist() == [0.0, 0.0]


def test_run_scalar_stops_at_a_failed_guard_and_writes_nothing() -> None:
    x, gradient, value = np.array([4.0, 3.0]), np.full(2, 7.0), np.full(1, 7.0)
    words = program(("multiply", 2, 0, 1), ("guard", 5, 2, ONE), ("add", 4, 2, 0))
    assert scalar_job(x, gradient, value, words=words).run_scalar() == 5
    assert (gradient.tolist(), value.tolist()) == ([7.0, 7.0], [7.0])


@pytest.mark.parametrize("direction", [isa.REVERSE, isa.TANGENT])
def test_a_partial_that_is_infinite_is_harmless_where_the_adjoint_is_zero(direction: int) -> None:
    x, result, value = np.array([0.0, 3.0]), np.zeros(2), np.zeros(1)
    words = program(("sqrt_with_partials", 3, 0, 6), ("multiply", 4, 3, 2), ("add", 4, 4, 1))
    triples = edges((4, 3, 2), (4, 1, ONE), (3, 0, 6))  # sqrt(x) * 0 + y
    wanted = [0.0, 1.0]
    job = scalar_job(x, result, value, words=words, edges=triples)
    if direction == isa.TANGENT:
        job.set(
            direction=direction,
            seeds=records(isa.SEED, dict(position=0, count=2, value=1.0)),
            outputs=records(isa.OUTPUT, dict(kind=isa.OUT_ADJOINT, position=4, step=1, count=1, address=result)),
        )
        wanted = [1.0, 0.0]
    assert job.run_scalar() == -1
    assert result.tolist() == wanted


def test_a_nan_input_stays_nan() -> None:
    x, gradient, value = np.array([NAN, 3.0]), np.zeros(2), np.zeros(1)
    assert scalar_job(x, gradient, value).run_scalar() == -1
    assert np.isnan(value[0])
    assert np.isnan(gradient).all()


def test_run_scalar_sweeps_once_per_seed_or_all_seeds_in_rows() -> None:
    x, jacobian = np.array([4.0, 3.0]), np.zeros((3, 2))
    wanted = [[3.0, 4.0], [0.25, 0.0], [3.25, 4.0]]  # of slots 2, 3, 4
    seeds = [dict(sweep=k, position=2 + k, count=1, value=1.0) for k in range(3)]
    outputs = [dict(sweep=k, kind=isa.OUT_ADJOINT, position=0, step=1, count=2, address=jacobian[k]) for k in range(3)]
    job = scalar_job(x, jacobian, jacobian, seeds=records(isa.SEED, *seeds), outputs=records(isa.OUTPUT, *outputs))
    job.set(n_sweeps=3)
    assert job.run_scalar() == -1
    assert jacobian.tolist() == wanted

    jacobian[:] = 0.0
    identity = np.eye(3, 8)
    job.set(
        n_sweeps=1,
        seed_width=8,
        adjoints=rows(5, 8, 99.0),
        seeds=records(isa.SEED, dict(kind=isa.SEED_ADDRESS, position=16, count=24, address=identity)),
        outputs=records(
            isa.OUTPUT,
            *(dict(kind=isa.OUT_ADJOINT, position=k, step=8, count=2, address=jacobian[k]) for k in range(3)),
        ),
    )
    assert job.run_scalar() == -1
    assert jacobian.tolist() == wanted


def test_seeds_on_the_same_slot_add_up() -> None:
    x, gradient, value, seed = np.array([4.0, 3.0]), np.zeros(2), np.zeros(1), np.array([2.0])
    seeds = records(
        isa.SEED,
        dict(position=4, count=1, value=0.5),
        dict(kind=isa.SEED_ADDRESS, position=4, count=1, address=seed),
    )
    assert scalar_job(x, gradient, value, seeds=seeds).run_scalar() == -1
    assert gradient.tolist() == [2.5 * 3.25, 10.0]


# ---- the driver over tiles: z = x * y + sqrt(x), with derivatives


def strides_of(array: np.ndarray) -> tuple[int, ...]:
    return tuple(stride // 8 for stride in array.strides)


def tile_job(shape: tuple[int, ...], lanes: int, x: np.ndarray, y: np.ndarray, outputs: list[dict[str, Any]]) -> Job:
    return Job(
        words=SCALAR_WORDS,
        edges=SCALAR_EDGES,
        memory=rows(7, lanes),
        adjoints=rows(5, lanes, 99.0),
        n_adjoints=5,
        lanes=lanes,
        ndim=len(shape),
        shape=np.array(shape, np.int64),
        first_tile=0,
        last_tile=isa.n_tiles(shape, lanes),
        failed_lanes=np.zeros(lanes, np.int64),
        constants=records(isa.CONSTANT, dict(slot=ONE, value=1.0)),
        inputs=records(
            isa.INPUT_ROW,
            dict(slot=0, address=x, strides=strides_of(x)),
            dict(slot=1, address=y, strides=strides_of(y)),
        ),
        seeds=records(isa.SEED_ROW, dict(kind=isa.SEED_CONSTANT, slot=4, value=1.0)),
        outputs=records(isa.OUTPUT_ROW, *outputs),
    )


def out(
    kind: int, slot: int, array: np.ndarray, mode: int = isa.STORE, strides: tuple[int, ...] | None = None
) -> dict[str, Any]:
    return dict(
        kind=kind, mode=mode, slot=slot, address=array, strides=strides_of(array) if strides is None else strides
    )


def single_results(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Value and both derivatives by the scalar driver, element by element."""
    z, dx, dy = (np.empty(np.broadcast_shapes(x.shape, y.shape)) for _ in range(3))
    point, gradient, value = np.zeros(2), np.zeros(2), np.zeros(1)
    job = scalar_job(point, gradient, value)
    for index in np.ndindex(z.shape):
        point[:] = np.broadcast_to(x, z.shape)[index], np.broadcast_to(y, z.shape)[index]
        assert job.run_scalar() == -1
        z[index], dx[index], dy[index] = value[0], gradient[0], gradient[1]
    return z, dx, dy


@pytest.mark.parametrize(("n", "lanes"), [*((n, 8) for n in range(1, 18)), (63, 64), (64, 64), (65, 64), (300, 128)])
def test_tiles_of_any_length_give_the_bits_of_single_runs(n: int, lanes: int) -> None:
    rng = np.random.default_rng(n)
    x, y = rng.uniform(0.1, 2.0, n), rng.normal(size=n)
    x[n // 2] = 0.0
    z, dx, dy = (np.full(n + 2, 55.0) for _ in range(3))
    outputs = [out(isa.OUT_VALUE, 4, z[1:]), out(isa.OUT_ADJOINT, 0, dx[1:]), out(isa.OUT_ADJOINT, 1, dy[1:])]
    assert tile_job((n,), lanes, x, y, outputs).run_tiles() == -1
    for column, wanted in zip((z, dx, dy), single_results(x, y), strict=True):
        assert same_bits(column[1:-1], wanted)
        assert column[0] == column[-1] == 55.0


@pytest.mark.parametrize("shape", [(3, 11), (2, 3, 9), (4, 1, 2, 17), (1, 2, 1, 2, 1, 2, 1, 3)])
def test_tiles_walk_any_axes_with_any_strides(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(len(shape))
    base = rng.uniform(0.1, 2.0, tuple(2 * n for n in shape[::-1]))
    x = base.T[tuple(slice(None, None, 2) for _ in shape)]
    y = np.broadcast_to(rng.normal(size=shape[-1]), shape)
    z, dx = np.zeros(shape), np.zeros(tuple(n + 1 for n in shape))[tuple(slice(0, n) for n in shape)]
    outputs = [out(isa.OUT_VALUE, 4, z), out(isa.OUT_ADJOINT, 0, dx)]
    assert tile_job(shape, 8, x, y, outputs).run_tiles() == -1
    wanted = single_results(x, y)
    assert same_bits(z, wanted[0])
    assert same_bits(dx, wanted[1])


def test_an_input_of_one_element_is_broadcast_along_the_tile() -> None:
    x, y, z = np.linspace(0.1, 1.0, 21), np.array(2.0), np.zeros(21)
    job = tile_job((21,), 8, x, np.broadcast_to(y, 21), [out(isa.OUT_VALUE, 4, z)])
    assert job.run_tiles() == -1
    assert same_bits(z, single_results(x, np.broadcast_to(y, 21))[0])


@pytest.mark.parametrize("n", [1, 7, 8, 9, 100])
def test_accumulation_adds_each_element_or_the_sum_of_a_row(n: int) -> None:
    rng = np.random.default_rng(n)
    x, y = rng.uniform(0.1, 2.0, (3, n)), rng.normal(size=(3, n))
    every, spread, column, total = np.ones((3, n)), np.ones((3, 2 * n)), np.ones(n), np.ones(3)
    outputs = [
        out(isa.OUT_ADJOINT, 0, every, isa.ACCUMULATE),
        out(isa.OUT_ADJOINT, 0, spread[:, ::2], isa.ACCUMULATE),
        out(isa.OUT_ADJOINT, 0, column, isa.ACCUMULATE, (0, 1)),
        out(isa.OUT_ADJOINT, 0, total, isa.ACCUMULATE, (1, 0)),
    ]
    assert tile_job((3, n), 16, x, y, outputs).run_tiles() == -1
    dx = single_results(x, y)[1]
    assert same_bits(every, 1.0 + dx)
    assert same_bits(spread[:, ::2], 1.0 + dx)
    assert np.all(spread[:, 1::2] == 1.0)
    assert same_bits(column, ((1.0 + dx[0]) + dx[1]) + dx[2])
    assert same_bits(total, np.array([sum_in_order(row, 16, 1.0) for row in dx]))


def sum_in_order(row: np.ndarray, lanes: int, total: float) -> float:
    for start in range(0, len(row), lanes):
        total += tile_sum(row[start : start + lanes])
    return total


def tile_sum(row: np.ndarray) -> float:
    partial = np.zeros(8)
    for k, value in enumerate(row):
        partial[k % 8] += value
    while len(partial) > 1:
        partial = partial[: len(partial) // 2] + partial[len(partial) // 2 :]
    return float(partial[0])


@pytest.mark.parametrize("shape", [(203,), (3, 50)])
def test_results_do_not_depend_on_how_tiles_are_shared_out(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(3)
    x, y = rng.uniform(0.1, 2.0, shape), rng.normal(size=shape)
    n = isa.n_tiles(shape, 16)
    wanted = None
    for cuts in ((0, n), (0, 1, n), (0, 3, 5, n), tuple(range(n + 1))):
        z, sums = np.zeros(shape), np.zeros(n)
        outputs = [out(isa.OUT_VALUE, 4, z), out(isa.OUT_ADJOINT, 0, sums, isa.TILE_SUM, ())]
        job = tile_job(shape, 16, x, y, outputs)
        for first, last in reversed(list(itertools.pairwise(cuts))):
            job.set(first_tile=first, last_tile=last)
            assert job.run_tiles() == -1
        if wanted is None:
            wanted = z, sums
            dx = single_results(x, y)[1].reshape(-1, shape[-1])
            assert same_bits(sums, [tile_sum(row[k : k + 16]) for row in dx for k in range(0, shape[-1], 16)])
        assert same_bits(z, wanted[0])
        assert same_bits(sums, wanted[1])


def test_failed_guards_are_noted_per_element_and_only_for_elements_that_exist() -> None:
    n = 21
    x, y = np.ones(n), np.zeros(n)
    x[[4, 20]] = 9.0  # the last element is repeated in the unused lanes
    y[[4, 9]] = 1.0
    words = program(("guard", 3, 1, 2), ("guard", 6, 0, ONE), ("add", 4, 0, 1))
    z, failed = np.zeros(n), np.full(n + 1, 88)
    job = tile_job((n,), 8, x, y, [out(isa.OUT_VALUE, 4, z)])
    job.set(words=words, n_edges=0, failed=failed)
    assert job.run_tiles() == 3
    wanted = np.full(n + 1, -1)
    wanted[[4, 9, 20, 21]] = 3, 3, 6, 88
    assert failed.tolist() == wanted.tolist()
    passed = failed[:n] == -1
    assert same_bits(z[passed], (x + y)[passed])
    job.set(failed=0, first_tile=2)
    assert job.run_tiles() == 6


def test_a_nan_in_one_lane_changes_no_other() -> None:
    x, y = np.linspace(0.0, 1.0, 24), np.zeros(24)
    words = program(("sqrt_with_partials", 3, 0, 6), ("multiply", 4, 3, 1))
    triples = edges((4, 3, 1), (4, 1, 3), (3, 0, 6))  # sqrt(x) * y, y = 0: dx = 0 * inf at x = 0
    dx, dy = np.ones(24), np.ones(24)
    job = tile_job((24,), 8, x, y, [out(isa.OUT_ADJOINT, 0, dx), out(isa.OUT_ADJOINT, 1, dy)])
    job.set(words=words, edges=triples)
    assert job.run_tiles() == -1
    assert same_bits(dx, np.zeros(24))
    assert same_bits(dy, np.sqrt(x))


@pytest.mark.parametrize("n", [5, 8, 30])
def test_seeds_may_come_from_an_array_and_there_may_be_several_sweeps(n: int) -> None:
    rng = np.random.default_rng(n)
    x, y, w = rng.uniform(0.1, 2.0, n), rng.normal(size=n), rng.normal(size=2 * n)[::2]
    by_add, by_root, zero = np.zeros(n), np.zeros(n), np.ones(n)
    outputs = [
        dict(sweep=0, **out(isa.OUT_ADJOINT, 1, by_add)),
        dict(sweep=1, **out(isa.OUT_ADJOINT, 0, by_root)),
        dict(sweep=1, **out(isa.OUT_ZERO, 0, zero)),
    ]
    job = tile_job((n,), 8, x, y, outputs)
    seeds = records(
        isa.SEED_ROW,
        dict(sweep=0, kind=isa.SEED_ADDRESS, slot=4, address=w, strides=strides_of(w)),
        dict(sweep=1, kind=isa.SEED_CONSTANT, slot=3, value=2.0),
    )
    job.set(seeds=seeds, n_sweeps=2)
    assert job.run_tiles() == -1
    assert same_bits(by_add, w * x)
    assert same_bits(by_root, 2.0 * (0.5 / np.sqrt(x)))
    assert same_bits(zero, np.zeros(n))


def test_tangents_run_over_tiles() -> None:
    rng = np.random.default_rng(0)
    x, y, v = rng.uniform(0.1, 2.0, 19), rng.normal(size=19), rng.normal(size=19)
    dz = np.zeros(19)
    job = tile_job((19,), 8, x, y, [out(isa.OUT_ADJOINT, 4, dz)])
    seeds = records(isa.SEED_ROW, dict(kind=isa.SEED_ADDRESS, slot=0, address=v, strides=(1,)))
    job.set(direction=isa.TANGENT, seeds=seeds)
    assert job.run_tiles() == -1
    assert dz == pytest.approx(v * (y + 0.5 / np.sqrt(x)), rel=1e-14)


# ---- the machine code


def test_operations_over_lanes_are_packed_and_call_no_library() -> None:
    from llvmlite import binding, ir

    from fastgrad.vm import compiler, operations, target

    machine = target.target_machine()
    if not binding.get_host_cpu_features().get("avx"):
        pytest.skip("this processor has no AVX")
    own = ir.Module("lanes")
    own.triple = machine.triple
    for name in ("add", "multiply", "maximum", "exp", "sin_with_partials"):
        operations.lanes_function(own, isa.INSTRUCTIONS[opcode(name)]).linkage = "external"
    module = binding.parse_assembly(compiler.without_library_calls(str(own)))
    compiler.optimise(module, machine)
    functions = re.split(r"^fastgrad\.lanes\.", machine.emit_assembly(module), flags=re.MULTILINE)[1:]
    assert len(functions) == 5
    register = "zmm" if binding.get_host_cpu_features().get("avx512f") else "ymm"
    for text in functions:
        assert re.search(rf"v\w+pd\s.*{register}", text)
        assert not re.search(r"v(add|mul|max|min|fn?m(add|sub)\w*)sd\s", text)
        called = re.findall(r"call\w*\s+(\S+)", text.split(".Lfunc_end")[0])
        assert all(name.startswith("fastgrad.elementary.") for name in called)  # what `rarely` keeps out of line
