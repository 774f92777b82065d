"""Runs tapes of large arrays, node by node."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastgrad import array_ops, ops
from fastgrad.plan.request import Kind, Request, result_shapes
from fastgrad.tape import ARRAY_OPERATION, CONSTANT, INPUT, Tape
from fastgrad.transform.adjoint import adjoint
from fastgrad.transform.tangent import tangent
from fastgrad.vm.evaluate import evaluator

Floats = NDArray[np.float64]


class ArrayExecutor:
    """A request on a tape of arrays; safe to call from several threads."""

    def __init__(self, tape: Tape, request: Request) -> None:
        self.request = request
        self.result_shapes = result_shapes(tape.output_shapes, tape.input_shapes, request)
        self.n_values = len(tape.outputs)
        if request.kind is Kind.VALUES:
            self.tape = tape
        elif request.kind is Kind.JVP:
            self.tape = tangent(tape, request.wrt, request.n_outputs)
        else:
            self.tape = adjoint(tape, request.wrt, request.n_outputs, seeded=request.kind is not Kind.GRADIENT)
        self._main_shapes = tape.output_shapes[: request.n_outputs]

    @property
    def workspace_bytes(self) -> int:
        return 8 * sum(int(np.prod(self.tape.shape_of(index))) for index in range(len(self.tape)))

    def allocate(self) -> list[Floats]:
        return [np.empty(shape) for shape in self.result_shapes]

    def __call__(self, inputs: Sequence[Floats], seeds: Sequence[Floats], results: Sequence[Floats]) -> int:
        if self.request.kind is not Kind.JACOBIAN:
            return self._run([*inputs, *seeds], results)
        cotangents = [np.zeros(shape) for shape in self._main_shapes]
        n_wrt = len(self.request.wrt)
        rows = [np.empty(self.tape.shape_of(int(node))) for node in self.tape.outputs]
        failed = self._run([*inputs, *cotangents], [*results[: self.n_values], *rows[self.n_values :]])
        for k, cotangent in enumerate(cotangents):
            blocks = results[self.n_values + k * n_wrt : self.n_values + (k + 1) * n_wrt]
            flats = [block.reshape(cotangent.size, -1) for block in blocks]
            for element in range(cotangent.size):
                if failed >= 0:
                    return failed
                cotangent.flat[element] = 1.0
                failed = self._run([*inputs, *cotangents], rows)
                cotangent.flat[element] = 0.0
                for flat, row in zip(flats, rows[self.n_values :], strict=True):
                    flat[element] = row.ravel()
        return failed

    def _run(self, inputs: Sequence[Floats], results: Sequence[Floats]) -> int:
        tape = self.tape
        given = dict(zip(tape.inputs.tolist(), inputs, strict=True))
        values: list[Any] = []
        for index, opcode in enumerate(tape.opcodes.tolist()):
            if opcode == INPUT:
                values.append(given[index])
                continue
            if opcode == CONSTANT:
                values.append(np.asarray(tape.constant_of(index), np.float64))
                continue
            operands = [values[operand] for operand in tape.operands_of(index).tolist()]
            if opcode < len(ops.TABLE):
                values.append(np.asarray(evaluator(ops.TABLE[opcode])(*operands), np.float64))
            else:
                entry = array_ops.TABLE[opcode - ARRAY_OPERATION]
                values.append(np.asarray(entry.evaluate(tape.attribute_of(index), *operands)))
        for number, (node, expected) in enumerate(
            zip(tape.guard_nodes.tolist(), tape.guard_values.tolist(), strict=True)
        ):
            if values[node] != expected and not (np.isnan(values[node]) and np.isnan(expected)):
                return number
        for node, result in zip(tape.outputs.tolist(), results, strict=True):
            result[...] = values[node]
        return -1
