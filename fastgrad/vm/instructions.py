"""What the machine understands: the instruction set, read off the op table, and the job that a driver is given.

A program is an array of ``uint32`` words::

    opcode  out  operand...  computed partial...  memory[out] = forward(operands); each partial to its own slot
    guard   guard_index  slot  other_slot         stop, or mark the lane, where the guard's check does not hold
    END

All operands are read before anything is written. A *slot* is one float64 of ``memory`` in a scalar job, a row of
``lanes`` of them in a tiled one. ``GUARD`` checks that two slots are equal, and two NaNs count as equal; the other
``GUARDS`` are that check fused with the comparison that makes the value.

``VALUE`` gives the opcode of an operation by its ``code`` in the table. An operation with partials that are more than
copies of its operands, of its result or of constants has a second form that stores those partials too
(``WITH_PARTIALS``). The ``FUSED`` pairs round twice and give the bits of the two operations that they replace.

The reverse sweep and the tangent sweep read *edges*, triples ``(i, a, d)`` of ``uint32`` in the order of the reverse
sweep: ``adjoints[a] += adjoints[i] * memory[d]`` from first to last, ``tangents[i] += tangents[a] * memory[d]`` from
last to first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from fastgrad.ops import BY_NAME, TABLE, Operation

if TYPE_CHECKING:
    import numpy.typing as npt

# ---- partial derivatives: which of them need computing


@dataclass(frozen=True)
class Constant:
    """The partial is this number; 0.0 means that there is no edge."""

    value: float


@dataclass(frozen=True)
class OperandCopy:
    """The partial is the value of this operand."""

    index: int


@dataclass(frozen=True)
class ResultCopy:
    """The partial is the result."""


@dataclass(frozen=True)
class Computed:
    """The partial is the ``index``-th of those that the with-partials form stores."""

    index: int


PartialForm = Constant | OperandCopy | ResultCopy | Computed


class _Probe:
    """Stands for a value while ``partials`` runs: whatever is done to it yields another probe."""

    __hash__ = None  # type: ignore[assignment]

    def apply_operation(self, operation: Operation, operands: tuple[Any, ...]) -> _Probe:
        return _Probe()

    def _computed(self, *_: Any) -> _Probe:
        return _Probe()

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = _computed
    __neg__ = __lt__ = __le__ = __gt__ = __ge__ = _computed
    __eq__ = __ne__ = _computed  # type: ignore[assignment]


@cache
def partial_forms(operation: Operation) -> tuple[PartialForm, ...]:
    """How the machine obtains the partial derivative by each operand of ``operation``."""
    operands = tuple(_Probe() for _ in range(operand_count(operation)))
    result = _Probe()
    forms: list[PartialForm] = []
    n_computed = 0
    for partial in operation.partials(*operands, result):
        copied = [index for index, operand in enumerate(operands) if partial is operand]
        if not isinstance(partial, _Probe):
            forms.append(Constant(float(partial)))
        elif copied:
            forms.append(OperandCopy(copied[0]))
        elif partial is result:
            forms.append(ResultCopy())
        else:
            forms.append(Computed(n_computed))
            n_computed += 1
    return tuple(forms)


@cache
def operand_count(operation: Operation) -> int:
    """``operation.arity``, which inspects a signature, kept."""
    return operation.arity


@cache
def n_computed_partials(operation: Operation) -> int:
    """How many partials the with-partials form of ``operation`` stores."""
    return sum(isinstance(form, Computed) for form in partial_forms(operation))


# The same facts as arrays, for kernels: one row of three entries for each operation of the table.
NO_EDGE, PARTIAL_CONSTANT, PARTIAL_OPERAND, PARTIAL_RESULT, PARTIAL_COMPUTED = range(5)


def form_tables() -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Kind of each partial, and its constant, operand number or number among the computed ones."""
    kinds = np.full((len(TABLE), 3), NO_EDGE, np.int64)
    values = np.zeros((len(TABLE), 3))
    for operation in TABLE:
        for position, form in enumerate(partial_forms(operation)):
            match form:
                case Constant(value):
                    kinds[operation.code, position] = PARTIAL_CONSTANT if value != 0.0 else NO_EDGE
                    values[operation.code, position] = value
                case OperandCopy(index):
                    kinds[operation.code, position], values[operation.code, position] = PARTIAL_OPERAND, index
                case ResultCopy():
                    kinds[operation.code, position] = PARTIAL_RESULT
                case Computed(index):
                    kinds[operation.code, position], values[operation.code, position] = PARTIAL_COMPUTED, index
    return kinds, values


# ---- opcodes


@dataclass(frozen=True)
class Instruction:
    """One opcode: what it is called, how many slots follow it, and what it computes.

    ``evaluate`` takes the operands and returns the result followed by the computed partials.
    """

    name: str
    n_operands: int
    n_computed: int
    evaluate: Callable[..., tuple[Any, ...]]

    @property
    def n_words(self) -> int:
        return 2 + self.n_operands + self.n_computed


def _value_form(operation: Operation) -> Instruction:
    return Instruction(operation.name, operand_count(operation), 0, lambda *operands: (operation.forward(*operands),))


def _with_partials(operation: Operation) -> Instruction:
    forms = partial_forms(operation)

    def evaluate(*operands: Any) -> tuple[Any, ...]:
        result = operation.forward(*operands)
        partials = operation.partials(*operands, result)
        return result, *(p for p, form in zip(partials, forms, strict=True) if isinstance(form, Computed))

    return Instruction(
        f"{operation.name}_with_partials", operand_count(operation), n_computed_partials(operation), evaluate
    )


_FUSED = (
    Instruction("multiply_add", 3, 0, lambda x, y, z: (x * y + z,)),
    Instruction("multiply_subtract", 3, 0, lambda x, y, z: (x * y - z,)),
    Instruction("subtract_product", 3, 0, lambda x, y, z: (z - x * y,)),
)
_COMMON = (
    *("add", "subtract", "multiply", "multiply_add", "multiply_subtract", "subtract_product", "fused_multiply_add"),
    *("negative", "divide", "divide_with_partials", "square", "square_with_partials", "sqrt", "sqrt_with_partials"),
)


def _instructions() -> tuple[Instruction, ...]:
    """All that computes: the common ones, which the scalar sweep threads, then the others."""
    every = [
        *(_value_form(operation) for operation in TABLE),
        *(_with_partials(operation) for operation in TABLE if n_computed_partials(operation)),
        *_FUSED,
    ]
    return tuple(sorted(every, key=lambda entry: _COMMON.index(entry.name) if entry.name in _COMMON else len(_COMMON)))


@dataclass(frozen=True)
class Guard:
    """One check of two slots; ``holds`` says when the sweep may go on."""

    name: str
    holds: Callable[[Any, Any], Any]


GUARDS = (
    Guard("guard", lambda x, y: (x == y) | ((x != x) & (y != y))),
    Guard("guard_less", lambda x, y: x < y),
    Guard("guard_not_less", lambda x, y: ~(x < y)),
    Guard("guard_less_equal", lambda x, y: x <= y),
    Guard("guard_not_less_equal", lambda x, y: ~(x <= y)),
    Guard("guard_equal", lambda x, y: x == y),
    Guard("guard_not_equal", lambda x, y: x != y),
)
GUARD_WORDS = 4
INSTRUCTIONS = _instructions()
N_COMMON = len(_COMMON)
GUARD = len(INSTRUCTIONS)
END = GUARD + len(GUARDS)
N_OPCODES = END + 1
OPCODE_NAMES: tuple[str, ...] = (*(entry.name for entry in INSTRUCTIONS), *(guard.name for guard in GUARDS), "end")

_N_GUARDS = len(GUARDS)
N_OPERANDS: npt.NDArray[np.int64] = np.array([*(entry.n_operands for entry in INSTRUCTIONS), *[2] * _N_GUARDS, 0])
N_COMPUTED: npt.NDArray[np.int64] = np.array([*(entry.n_computed for entry in INSTRUCTIONS), *[0] * _N_GUARDS, 0])
N_WORDS: npt.NDArray[np.int64] = np.array([*(entry.n_words for entry in INSTRUCTIONS), *[GUARD_WORDS] * _N_GUARDS, 1])

_OPCODE = {name: opcode for opcode, name in enumerate(OPCODE_NAMES)}
FUSED: dict[str, int] = {entry.name: _OPCODE[entry.name] for entry in _FUSED}
VALUE: npt.NDArray[np.uint32] = np.array([_OPCODE[operation.name] for operation in TABLE], np.uint32)
WITH_PARTIALS: npt.NDArray[np.uint32] = np.array(
    [_OPCODE.get(f"{operation.name}_with_partials", _OPCODE[operation.name]) for operation in TABLE], np.uint32
)
# By the code of a comparison: the guards that its results 0.0 and 1.0 make with it, and whether the operands change
# places.
FUSED_GUARDS: dict[int, tuple[int, int, bool]] = {
    operation.code: (_OPCODE[f"guard_{when_false}"], _OPCODE[f"guard_{when_true}"], swapped)
    for operation, when_false, when_true, swapped in (
        (BY_NAME["less"], "not_less", "less", False),
        (BY_NAME["less_equal"], "not_less_equal", "less_equal", False),
        (BY_NAME["greater"], "not_less", "less", True),
        (BY_NAME["greater_equal"], "not_less_equal", "less_equal", True),
        (BY_NAME["equal"], "not_equal", "equal", False),
        (BY_NAME["not_equal"], "equal", "not_equal", False),
    )
}


# ---- the job: what run_scalar and run_tiles are given, as 64-bit words

REVERSE, TANGENT = 0, 1  # direction
SEED_CONSTANT, SEED_ADDRESS = 0, 1  # kind of a seed
OUT_VALUE, OUT_ADJOINT, OUT_ZERO = 0, 1, 2  # kind of an output
STORE, ACCUMULATE, TILE_SUM = 0, 1, 2  # mode of an output row

CHUNK = 8  # lanes that the machine computes at a time
MAX_DIMENSIONS = 8
TILE_ALIGNMENT = 64  # bytes, of memory and adjoints when they hold rows


def _words(*names: str) -> np.dtype[Any]:
    """A record of 64-bit words: integers, but for the float ``value`` and the ``strides``."""
    kinds: dict[str, Any] = {"value": np.float64, "strides": (np.int64, MAX_DIMENSIONS)}
    return np.dtype([(name, kinds.get(name, np.int64)) for name in names])


JOB = _words(
    "words",  # address of the program
    "edges",  # address of the edge triples
    "n_edges",  # triples; 0: values only
    "direction",  # REVERSE or TANGENT
    "memory",  # address of the slots
    "adjoints",  # address of the adjoints (tangents)
    "n_adjoints",  # how many, or how many rows
    "n_sweeps",  # reverse (tangent) sweeps after the one forward sweep
    "constants",
    "n_constants",
    "inputs",
    "n_inputs",
    "seeds",
    "n_seeds",
    "outputs",
    "n_outputs",
    "seed_width",  # scalar: doubles per adjoint, 1 or a multiple of 8
    "lanes",  # tiles: doubles per slot and per adjoint, a multiple of 8
    "ndim",  # tiles: of the index space
    "shape",  # tiles: address of its lengths
    "first_tile",  # tiles: the range to run
    "last_tile",
    "failed",  # tiles: 0, or address of one int64 per element for its first failed guard
    "failed_lanes",  # tiles: address of lanes int64, scratch
    "native",  # 0, or address of machine code for this very job: see native/straight_line.py
    "rows",  # tiles with native code: address of one int64 per input, seed from an address, and output
    "scratch",  # tiles with native code: address of a row of lanes for each of these
    "has_guards",  # tiles with native code: 1 if a lane can fail
)
# What native code returns where the job must be done carefully, besides -1 and the number of a failed guard.
NAN_FOUND = -2
ARRAY_JOB = _words(
    "addresses",  # address of one int64 per buffer: where it is
    "loads",  # the INPUT_ROWs of all jobs
    "load_places",  # for each: number of its buffer, offset in bytes
    "n_loads",
    "stores",  # the OUTPUT_ROWs of all jobs
    "store_places",
    "n_stores",
    "zeroed",  # triples: number of a buffer, first element there that starts as zero, how many do
    "n_zeroed",
    "jobs",  # JOBs, one after the other
    "n_jobs",
)
# A call from Python that the kernels answer by themselves; vm/fast_call.py tells the whole story. ``object`` stands
# for the address of a Python object.
PYTHON = _words(
    "array_type",  # objects: numpy.ndarray, float, numpy.float64, int, str, the dtype float64, None
    "float_type",
    "float64_type",
    "whole_type",
    "text_type",
    "float64_dtype",
    "none",
    "open_recorders",  # object: the list of recordings in progress
    "list_size",  # functions of CPython and NumPy
    "increase_count",
    "decrease_count",
    "clear_error",
    "dict_item",
    "dict_size",
    "dict_next",
    "compare_text",
    "compare",
    "whole_value",
    "new_tuple",
    "set_tuple_item",
    "new_list",
    "set_list_item",
    "new_dict",
    "set_dict_item",
    "new_instance",
    "new_method",
    "call",
    "release_lock",
    "take_lock",
    "new_array",
    "new_scalar",
    "copy_into",
    "scalar_value",
    "cast_array",
    "array_or_scalar",
)
MAX_ENTRIES = 32  # a power of two up to 32: sets of entries are the bits of a word
N_PREDICTIONS = 256  # a power of two
CALLS = _words(
    "python",  # address of the PYTHON record
    "slow_call",  # objects: the Python functions that answer what no entry does
    "slow_into",
    "n_answered",  # how many calls were answered
    "past",  # positions of the entries that answered the latest calls, the last one in the lowest bits
    "predictions",  # 0, or address of N_PREDICTIONS int64: by the past, the entry to try first
    "divergences",  # address of MAX_ENTRIES x MAX_ENTRIES int64: see Branch.divergence
    *(f"entry_{k}" for k in range(MAX_ENTRIES)),  # addresses of ENTRYs, then zeros
)
RUN_SCALAR, RUN_ARRAY, RUN_TILES = 0, 1, 2  # driver of an entry, if it is no address
ENTRY = _words(
    "busy",  # 1 while a call uses the job
    "failed",  # the guard that failed when it ran last, or -1
    "used",  # n_answered when it answered last
    "remaining",  # runs until Python is to be asked whether native code would pay now; -1: any number
    "releases",  # 1: the sweep runs without the interpreter's lock
    "owner",  # object: what keeps all of this alive
    "driver",  # RUN_SCALAR, RUN_ARRAY, RUN_TILES, or the address of a function without arguments
    "job",
    "reads",  # ARRAY, TILES: pairs, address and size in bytes, of captured memory read while results are written
    "n_reads",
    "n_positional",  # arguments of the call by position, and names of those by name
    "names",  # address of one object each
    "n_names",
    "registers",  # address of one int64 each, scratch: objects, first the arguments, then what UNPACKINGs find
    "unpackings",
    "n_unpackings",
    "arguments",  # the leaves
    "n_arguments",
    "is_held",  # 1: the leaves are kept alive by the entry itself, since other threads may run before they are read
    "places",  # one int64, how many, and then so many PLACEs: what must be unchanged
    "results",
    "n_results",
    "objects",  # address of one int64 per result, scratch
    "packings",
    "n_packings",
    "stack",  # address of one int64 for each object that PACKINGs leave behind, scratch
    "is_single",  # 1: the one result is returned as it is, float64
    "is_bound",  # 1: arguments and results are bound to the job, and None is returned
    "scratch",  # address of three int64
)
# What takes a nested argument apart: the object in ``register`` is of exactly this type and length, and its items go to
# the registers from ``first`` on.
UNPACK_TUPLE, UNPACK_LIST, UNPACK_DICT = 0, 1, 2  # kind of an unpacking; named tuples are tuples
UNPACKING = _words(
    "kind",
    "type",  # object
    "register",
    "first",
    "size",
    "keys",  # DICT: address of one object each, in the order in which the dict has them
)
# kind of a leaf
ARGUMENT_SAME, ARGUMENT_EQUAL, ARGUMENT_ARRAY, ARGUMENT_NUMBER, ARGUMENT_COPIED = range(5)
ARGUMENT_WHOLE, ARGUMENT_SCALAR = 5, 6
ARGUMENT = _words(
    "kind",
    "register",
    "object",  # SAME: the object that it must be; EQUAL: one that it must equal and have the type of;
    # NUMBER: its type, or 0 for any; SCALAR: its type; COPIED: its dtype
    "mask",  # ARRAY, COPIED: these flags of the array must be ``flags``
    "flags",
    "ndim",
    "shape",  # address of ndim int64
    "target",  # address of the word that takes the address of its numbers, or of pairs; 0: SAME, EQUAL
    # ARRAY: 0, or how many pairs: the address of a word, and what to add for it; COPIED: object, the array that takes
    # its numbers; WHOLE, SCALAR: address of a float64
    "copy",
)
PLACE_CELL, PLACE_ITEM, PLACE_ASKED = 0, 1, 2  # kind of a place
PLACE = _words(
    "kind",
    "holder",  # object: a cell, a dict, or what the function is asked about
    "name",  # object: the key of an ITEM; ASKED: address of a function of CPython
    "expected",  # object, or another word that the function returned
)
RESULT = _words(
    "ndim",
    "shape",
    "targets",  # address of pairs: the word that takes an address, what to add to it
    "n_targets",
    "number",  # address of a float64 for a result of rank 0
    "cast",  # 0, or object: the dtype that the result is turned into
)
# What nests the results, on a stack: a result, or an object that is the same each time, is put there, or so many are
# replaced by one that holds them.
PACK_RESULT, PACK_SAME, PACK_TUPLE, PACK_LIST, PACK_DICT, PACK_NAMED = range(6)  # kind of a packing
PACKING = _words(
    "kind",
    "count",  # RESULT: which; else how many it takes
    "object",  # SAME: object; NAMED: the type of the named tuple
    "keys",  # DICT: address of one object each
)
CONSTANT = _words("slot", "value")
INPUT = _words("address", "position", "count")
SEED = _words("sweep", "kind", "position", "count", "value", "address")
OUTPUT = _words("sweep", "kind", "position", "step", "count", "address")
# ``uniform``: native code takes one number for all lanes
INPUT_ROW = _words("slot", "address", "uniform", "strides")
SEED_ROW = _words("sweep", "kind", "slot", "value", "address", "strides")
OUTPUT_ROW = _words("sweep", "kind", "mode", "slot", "address", "strides")


def new_job() -> npt.NDArray[Any]:
    """A job of one element with every field 0 but ``n_sweeps`` and ``seed_width``, which are 1."""
    job = np.zeros(1, JOB)
    job["n_sweeps"] = job["seed_width"] = 1
    return job


def set_fields(records: npt.NDArray[Any], fields: Mapping[str, Any]) -> None:
    """Write fields, by name, into every one of these records."""
    for name, value in fields.items():
        records[name] = value


def field_offset(record: np.dtype[Any], name: str) -> int:
    """Where the field begins in its record, in words."""
    fields: Any = record.fields
    return int(fields[name][1]) // 8


def record_size(record: np.dtype[Any]) -> int:
    """The record's length in words."""
    return record.itemsize // 8


def n_tiles(shape: tuple[int, ...], lanes: int) -> int:
    """How many tiles of ``lanes`` lanes cover an index space: its last axis is cut, the others are walked."""
    return prod(shape[:-1]) * -(-shape[-1] // lanes)


# ---- the entries of the compiled kernels: result and arguments, "p" an address, "i" a 64-bit integer, "" nothing

_SWEEP = ("", "pipp")
_SWEEP_OVER_ROWS = ("", "pippi")
ENTRIES: dict[str, tuple[str, str]] = {
    "forward": ("i", "pp"),
    "reverse": _SWEEP,
    "reverse_careful": _SWEEP,
    "tangent": _SWEEP,
    "tangent_careful": _SWEEP,
    "reverse_rows": _SWEEP_OVER_ROWS,
    "reverse_rows_careful": _SWEEP_OVER_ROWS,
    "tangent_rows": _SWEEP_OVER_ROWS,
    "tangent_rows_careful": _SWEEP_OVER_ROWS,
    "forward_lanes": ("", "ppip"),
    "reverse_lanes": _SWEEP_OVER_ROWS,
    "reverse_lanes_careful": _SWEEP_OVER_ROWS,
    "tangent_lanes": _SWEEP_OVER_ROWS,
    "tangent_lanes_careful": _SWEEP_OVER_ROWS,
    "run_scalar": ("i", "p"),
    "run_tiles": ("i", "p"),
    "run_array": ("i", "p"),
    "mark_active": ("", "ipppppp"),
    "find_edges": ("i", "i" + 15 * "p"),
    "mark_needed": ("", "ippp"),
    "mark_dependent": ("", "ippp"),
    "call_derivative": ("i", "iiii"),
    "call_into": ("i", "iiii"),
}
