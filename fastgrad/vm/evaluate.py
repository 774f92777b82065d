"""One elementary operation on NumPy arrays, computed by the VM."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from fastgrad.ops import Operation
from fastgrad.vm import instructions as isa
from fastgrad.vm.binary import kernels
from fastgrad.vm.memory import MAX_LANES, aligned


def evaluator(operation: Operation) -> Callable[..., Any]:
    """A function that applies ``operation`` to arrays that broadcast; the result is float64, bool for truth values."""
    arity = operation.arity
    words = np.array([isa.VALUE[operation.code], arity, *range(arity), isa.END], np.uint32)

    def evaluate(*operands: Any) -> Any:
        arrays = np.broadcast_arrays(*[np.asarray(operand, np.float64) for operand in operands])
        shape = arrays[0].shape
        columns = [np.ascontiguousarray(array).reshape(-1) for array in arrays]
        result = np.empty(math.prod(shape))
        if result.size:
            run_elementwise(words, arity + 1, columns, [(arity, result)])
        shaped = result.reshape(shape)
        return (shaped != 0.0 if operation.boolean else shaped)[()]

    return evaluate


def run_elementwise(words: Any, n_slots: int, columns: list[Any], results: list[tuple[int, Any]]) -> None:
    """Run a program over equally long one-dimensional arrays: operands in the first slots, results as (slot, array)."""
    n = len(results[0][1])
    memory = aligned(n_slots * MAX_LANES)
    inputs, outputs = np.zeros(len(columns), isa.INPUT_ROW), np.zeros(len(results), isa.OUTPUT_ROW)
    for slot, column in enumerate(columns):
        inputs[slot]["slot"], inputs[slot]["address"] = slot, column.ctypes.data
        inputs[slot]["strides"][0] = 1
    for k, (slot, array) in enumerate(results):
        outputs[k]["slot"], outputs[k]["address"] = slot, array.ctypes.data
        outputs[k]["strides"][0] = 1
    shape, failed_lanes = np.array([n], np.int64), np.zeros(MAX_LANES, np.int64)
    job = isa.new_job()
    fields = {
        "words": words.ctypes.data,
        "memory": memory.ctypes.data,
        "inputs": inputs.ctypes.data,
        "n_inputs": len(inputs),
        "outputs": outputs.ctypes.data,
        "n_outputs": len(outputs),
        "lanes": MAX_LANES,
        "ndim": 1,
        "shape": shape.ctypes.data,
        "last_tile": isa.n_tiles((n,), MAX_LANES),
        "failed_lanes": failed_lanes.ctypes.data,
    }
    isa.set_fields(job, fields)
    kernels().run_tiles(job.ctypes.data)
