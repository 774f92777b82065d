"""Tapes for tests: functions that record them, a plain interpreter, and derivatives by complex steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fastgrad import array_ops, ops
from fastgrad.tape import ARRAY_OPERATION, CONSTANT, INPUT, Tape
from fastgrad.vm.evaluate import evaluator


def interpret(tape: Tape, inputs: Sequence[Any]) -> list[Any]:
    """The outputs of a tape, node after node."""
    given = dict(zip(tape.inputs.tolist(), inputs, strict=True))
    values: list[Any] = []
    for index, opcode in enumerate(tape.opcodes.tolist()):
        operands = [values[operand] for operand in tape.operands_of(index).tolist()]
        if opcode == INPUT:
            values.append(np.asarray(given[index], float))
        elif opcode == CONSTANT:
            values.append(np.asarray(tape.constant_of(index), float))
        elif opcode < len(ops.TABLE):
            values.append(np.asarray(evaluator(ops.TABLE[opcode])(*operands), float))
        else:
            entry = array_ops.TABLE[opcode - ARRAY_OPERATION]
            values.append(np.asarray(entry.evaluate(tape.attribute_of(index), *operands), float))
        assert values[-1].shape == tape.shape_of(index)
    return [values[node] for node in tape.outputs.tolist()]


def complex_step(function: Callable[..., Any], operands: Sequence[Any], directions: Sequence[Any]) -> Any:
    """The derivative of an analytic function along a direction, exact to rounding (Squire and Trapp 1998)."""
    step = 1e-200
    moved = [np.asarray(x) + 1j * step * np.asarray(d) for x, d in zip(operands, directions, strict=True)]
    return np.imag(function(*moved)) / step


def jacobians(function: Callable[..., Any], operands: Sequence[Any]) -> list[np.ndarray]:
    """The derivative by each operand, of shape ``out.shape + in.shape``, by complex steps."""
    found = []
    for position, operand in enumerate(operands):
        columns = []
        for element in range(np.size(operand)):
            directions = [np.zeros(np.shape(x)) for x in operands]
            directions[position].flat[element] = 1.0
            columns.append(complex_step(function, operands, directions))
        found.append(np.stack(columns, axis=-1).reshape(np.shape(columns[0]) + np.shape(operand)))
    return found


def _runge_kutta(y: Any, rates: Any) -> Any:
    for _ in range(3):

        def slope(z: Any) -> Any:
            return np.stack([rates[0] * z[0] - rates[1] * z[0] * z[1], rates[2] * z[0] * z[1] - rates[3] * z[1]])

        first = slope(y)
        y = y + 0.1 * slope(y + 0.05 * first)
    return y


_RNG = np.random.default_rng(5)
_MATRIX = _RNG.normal(size=(3, 4))

# analytic functions of arrays, and where they are differentiated
ANALYTIC: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "scalars": (lambda x, y: np.exp(x * y) / (1 + x * x) - np.sin(y), (0.7, -1.3)),
    "rosenbrock": (lambda x: np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2), (_RNG.normal(size=6),)),
    "broadcast": (lambda x, y: np.cos(x[:, np.newaxis] * y) / y, (_RNG.normal(size=3), _RNG.uniform(1, 2, 4))),
    "scalar and array": (lambda a, x: np.log(a + x * x) ** 2.5, (3.0, _RNG.normal(size=(2, 3)))),
    "matrices": (lambda x, y: np.tanh(x @ y) @ y.T, (_RNG.normal(size=(2, 3)), _MATRIX)),
    "captured": (lambda x: np.sum(_MATRIX * x, axis=0) / (1 + x * x), (_RNG.normal(size=4),)),
    "movements": (
        lambda x: np.concatenate([x.T[::-1].ravel()[1:6], x[0] * x[1]]).reshape(2, -1),
        (_RNG.normal(size=(2, 3)),),
    ),
    "reductions": (
        lambda x: np.prod(x, axis=1) * np.mean(x) + np.cumsum(x, axis=0)[-1, 0],
        (_RNG.uniform(1, 2, (3, 4)),),
    ),
    "gather": (lambda x: np.sqrt(x[np.array([2, 0, 2])]) * x[np.array([1, 1, 2])], (_RNG.uniform(1, 2, 3),)),
    "differential equation": (_runge_kutta, (np.array([1.0, 0.5]), np.array([0.6, 0.3, 0.2, 0.8]))),
}
