"""The instruction set as read off the op table."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from fastgrad.ops import BY_NAME, TABLE
from fastgrad.vm import instructions as isa
from fastgrad.vm.instructions import Computed, Constant, OperandCopy, ResultCopy, partial_forms


@pytest.mark.parametrize(
    ("name", "forms"),
    [
        ("add", (Constant(1.0), Constant(1.0))),
        ("subtract", (Constant(1.0), Constant(-1.0))),
        ("multiply", (OperandCopy(1), OperandCopy(0))),
        ("divide", (Computed(0), Computed(1))),
        ("exp", (ResultCopy(),)),
        ("sin", (Computed(0),)),
        ("floor", (Constant(0.0),)),
        ("fmod", (Constant(1.0), Computed(0))),
        ("copysign", (Computed(0), Constant(0.0))),
        ("where", (Constant(0.0), Computed(0), Computed(1))),
        ("fused_multiply_add", (OperandCopy(1), OperandCopy(0), Constant(1.0))),
    ],
)
def test_partials_are_told_apart(name: str, forms: tuple[isa.PartialForm, ...]) -> None:
    assert partial_forms(BY_NAME[name]) == forms


def test_every_operation_has_one_form_per_operand_and_its_computed_ones_are_numbered_in_order() -> None:
    for operation in TABLE:
        forms = partial_forms(operation)
        assert len(forms) == operation.arity
        numbers = [form.index for form in forms if isinstance(form, Computed)]
        assert numbers == list(range(isa.n_computed_partials(operation)))


def test_piecewise_constant_operations_have_no_edges() -> None:
    for operation in TABLE:
        if operation.piecewise_constant:
            assert set(partial_forms(operation)) == {Constant(0.0)}


def test_opcodes_are_distinct_and_their_sizes_follow_the_table() -> None:
    assert len(set(isa.OPCODE_NAMES)) == len(isa.OPCODE_NAMES) == isa.N_OPCODES == isa.END + 1
    assert len(isa.N_WORDS) == len(isa.N_OPERANDS) == len(isa.N_COMPUTED) == isa.N_OPCODES
    for operation in TABLE:
        value, with_partials = isa.VALUE[operation.code], isa.WITH_PARTIALS[operation.code]
        assert isa.OPCODE_NAMES[value] == operation.name
        assert isa.N_WORDS[value] == 2 + operation.arity
        assert (value == with_partials) == (isa.n_computed_partials(operation) == 0)
        assert isa.N_WORDS[with_partials] == 2 + operation.arity + isa.n_computed_partials(operation)
        assert isa.N_OPERANDS[with_partials] == operation.arity
    assert set(isa.N_WORDS[isa.GUARD : isa.END]) == {isa.GUARD_WORDS}
    assert isa.N_WORDS[isa.END] == 1
    assert [isa.N_OPERANDS[opcode] for opcode in isa.FUSED.values()] == [3, 3, 3]


def test_job_and_records_are_made_of_words() -> None:
    for kind in (isa.JOB, isa.CONSTANT, isa.INPUT, isa.SEED, isa.OUTPUT, isa.INPUT_ROW, isa.SEED_ROW, isa.OUTPUT_ROW):
        assert kind.itemsize % 8 == 0
        assert [kind.fields[name][1] % 8 for name in kind.names] == [0] * len(kind.names)
    job = isa.new_job()
    assert job["n_sweeps"] == job["seed_width"] == 1
    assert not np.any(job["words"])


@pytest.mark.parametrize(
    ("shape", "lanes", "count"), [((1,), 8, 1), ((8,), 8, 1), ((9,), 8, 2), ((3, 5), 64, 3), ((2, 3, 65), 64, 12)]
)
def test_tiles_cut_the_last_axis(shape: tuple[int, ...], lanes: int, count: int) -> None:
    assert isa.n_tiles(shape, lanes) == count


def test_the_instruction_set_is_known_without_numba_or_llvmlite() -> None:
    code = "import sys, fastgrad.vm.instructions, fastgrad.vm.binary; print({'numba', 'llvmlite'} & set(sys.modules))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "set()"
