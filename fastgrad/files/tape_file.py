"""A tape as the sections and header fields of a file, and back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastgrad import array_ops, ops, tape_checks
from fastgrad.errors import FileFormatError, TapeError
from fastgrad.files.container import ALIGNMENT, DTYPES
from fastgrad.files.tables import narrow, pack_table, unpack_table
from fastgrad.tape import (
    ARRAY_OPERATION,
    CONSTANT,
    INPUT,
    Source,
    Tape,
    is_number,
    number_array,
    operation_name,
)

__all__ = ["SECTIONS", "pack_tape", "unpack_tape"]

# the arrays with one entry for each node; one that is the same everywhere is a number in the header
_PER_NODE = ("shape_indices", "attribute_indices", "source_indices", "group_indices")
_ENDS = ("inputs", "outputs", "guard_nodes", "guard_values", "guard_sources", "named_nodes")
_NAMES = ("input_names", "output_names", "groups", "node_names")
_TABLES = ("shapes", "attributes", "sources", "constants")
# the sections of a tape, and whether each may stay in the mapped file
SECTIONS = {
    **dict.fromkeys(("operations", "operand_counts", "operand_distances", *_PER_NODE, *_ENDS, "numbers"), False),
    **{f"{table}/": False for table in _TABLES},
    "constants": True,
}


def pack_tape(tape: Tape) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """The header's description of a tape, and its sections."""
    used = np.flatnonzero(np.bincount(tape.opcodes, minlength=1))
    number = np.zeros(2**16, np.uint16)
    number[used] = np.arange(len(used))
    counts = np.diff(tape.operand_starts)
    owners = np.repeat(np.arange(len(tape), dtype=np.uint32), counts)
    arrays: dict[str, NDArray[Any]] = {
        "operations": narrow(number[tape.opcodes]),
        "operand_counts": narrow(counts),
        "operand_distances": narrow(owners - tape.operands),
    }
    description: dict[str, Any] = {"operations": [operation_name(int(code)) for code in used], "same": {}}
    for name in _PER_NODE:
        array = getattr(tape, name)
        if len(array) and (array == array[0]).all():
            description["same"][name] = int(array[0])
        else:
            arrays[name] = narrow(array)
    for name in _ENDS:
        array = getattr(tape, name)
        arrays[name] = array if array.dtype.kind == "f" else narrow(array)
    arrays["numbers"] = np.array([c.item() for c in tape.constants if is_number(c)], np.float64)
    arrays["constants"] = _joined([c for c in tape.constants if not is_number(c)])
    constants = [None if is_number(c) else (c.dtype.str[1:], c.shape) for c in tape.constants]
    tables: dict[str, Sequence[Any]] = {
        "shapes": tape.shapes,
        "attributes": tape.attributes,
        "sources": [tuple(source) for source in tape.sources],
        "constants": constants,
    }
    for name, entries in tables.items():
        description[name], columns = pack_table(entries)
        arrays |= {f"{name}/{column}": array for column, array in columns.items()}
    description |= {name: list(getattr(tape, name)) for name in _NAMES}
    return description, arrays


def unpack_tape(description: Any, arrays: dict[str, NDArray[Any]]) -> Tape:
    """The tape again, every invariant checked. Raises FileFormatError."""
    _require(isinstance(description, dict) and isinstance(description.get("same"), dict), "the description of the tape")
    codes = np.array([_code_of(name) for name in _texts(description, "operations")], np.uint16)
    operations = _array(arrays, "operations", np.int64)
    _require(not len(operations) or int(operations.max()) < len(codes), "the numbers of operations")
    n = len(operations)
    counts = _array(arrays, "operand_counts", np.int64)
    distances = _array(arrays, "operand_distances", np.int64)
    starts = np.zeros(n + 1, np.int64)
    _require(len(counts) == n and (not n or int(counts.max()) <= len(distances)), "the numbers of operands")
    np.cumsum(counts, out=starts[1:])
    _require(int(starts[-1]) == len(distances) < 2**32, "the numbers of operands")
    operands = np.repeat(np.arange(n), counts) - distances
    _require(not len(operands) or int(operands.min()) >= 0, "an operand")
    fields: dict[str, Any] = {}
    for name in _PER_NODE:
        dtype = tape_checks.DTYPES[name]
        if name in description["same"]:
            fields[name] = np.full(n, _within(description["same"][name], dtype, name), dtype)
        else:
            fields[name] = _array(arrays, name, dtype)
    fields |= {name: _array(arrays, name, tape_checks.DTYPES[name]) for name in _ENDS}
    fields |= {name: tuple(_texts(description, name)) for name in _NAMES}
    tables = {name: unpack_table(description.get(name), _columns(arrays, name), name) for name in _TABLES}
    try:
        return Tape(
            opcodes=codes[operations] if n else np.zeros(0, np.uint16),
            operand_starts=starts.astype(np.uint32),
            operands=operands.astype(np.uint32),
            shapes=tables["shapes"],
            attributes=tables["attributes"],
            sources=tuple(Source(*_line(source)) for source in tables["sources"]),
            constants=_constants(tables["constants"], arrays),
            **fields,
        ).validate()
    except FileFormatError:
        raise
    except TapeError as error:
        raise FileFormatError(f"this file cannot be loaded: {error}. It is damaged.") from None


# ---- operations by name


def _code_of(name: str) -> int:
    special = {"input": INPUT, "constant": CONSTANT}.get(name)
    if special is not None:
        return special
    if name in ops.BY_NAME:
        return ops.BY_NAME[name].code
    for loaded in (array_ops.TABLE.values, array_ops.all_operations):
        for operation in loaded():
            if operation.name == name:
                return ARRAY_OPERATION + operation.code
    raise FileFormatError(
        f"this file cannot be loaded: this version of fastgrad has no operation {name[:60]!r}. "
        "Load it with the version that wrote it, or a newer one."
    )


# ---- constants


def _joined(constants: list[NDArray[Any]]) -> NDArray[np.uint8]:
    places, size = _places([(c.dtype.itemsize, c.nbytes) for c in constants])
    whole = np.zeros(size, np.uint8)
    for constant, start in zip(constants, places, strict=True):
        content = constant.astype(constant.dtype.newbyteorder("<"), copy=False)
        whole[start : start + constant.nbytes].view(content.dtype).reshape(constant.shape)[...] = content
    return whole


def _places(sizes: Sequence[tuple[int, int]]) -> tuple[list[int], int]:
    """Where constants of these sizes of an element and sizes in all begin, and the size of all together."""
    places, start = [], 0
    for item, size in sizes:
        alignment = ALIGNMENT if size >= ALIGNMENT else item
        start = -(-start // alignment) * alignment
        places.append(start)
        start += size
    return places, start


def _constants(kinds: tuple[Any, ...], arrays: dict[str, NDArray[Any]]) -> tuple[NDArray[Any], ...]:
    numbers, content = _array(arrays, "numbers", np.float64), arrays.get("constants")
    _require(content is not None and content.dtype == np.uint8 and content.ndim == 1, "the constants")
    assert content is not None
    dtypes = [None if kind is None else _dtype_of(kind) for kind in kinds]
    described = [(dtype.itemsize, kind[1]) for dtype, kind in zip(dtypes, kinds, strict=True) if dtype is not None]
    sizes = [(item, math.prod(shape) * item) for item, shape in described]
    places, size = _places(sizes)
    _require(size == len(content) and kinds.count(None) == len(numbers), "the constants")
    found: list[NDArray[Any]] = []
    remaining, values = iter(zip(places, sizes, strict=True)), iter(numbers.tolist())
    for dtype, kind in zip(dtypes, kinds, strict=True):
        if dtype is None:
            found.append(number_array(next(values)))
            continue
        start, (_, n_bytes) = next(remaining)
        part = content[start : start + n_bytes]
        _require(dtype.kind != "b" or not np.any(part > 1), "a constant of truth values")
        try:
            found.append(part.view(dtype).reshape(kind[1]))
        except ValueError:
            raise _damaged("the shape of a constant") from None
    return tuple(found)


def _dtype_of(kind: Any) -> np.dtype[Any]:
    fits = type(kind) is tuple and len(kind) == 2 and type(kind[0]) is str and type(kind[1]) is tuple
    _require(fits and kind[0] in _KINDS, "the kind of a constant")
    _require(all(type(length) is int and length >= 0 for length in kind[1]), "the shape of a constant")
    dtype: np.dtype[Any] = np.dtype("<" + kind[0])
    return dtype


_KINDS = frozenset(dtype[1:] for dtype in DTYPES)


# ---- what a file says, checked


def _columns(arrays: dict[str, NDArray[Any]], table: str) -> dict[str, NDArray[Any]]:
    return {name.partition("/")[2]: array for name, array in arrays.items() if name.startswith(table + "/")}


def _array(arrays: dict[str, NDArray[Any]], name: str, dtype: Any) -> NDArray[Any]:
    """A section with one axis, as ``dtype``, which must hold its numbers."""
    array = arrays.get(name)
    _require(array is not None and array.ndim == 1, f"the section {name}")
    assert array is not None
    if np.dtype(dtype).kind == "f":
        _require(array.dtype == np.float64, f"the section {name}")
        return array.copy()
    _require(array.dtype.kind in "iu", f"the section {name}")
    if array.size:
        _within(int(array.min()), dtype, name)
        _within(int(array.max()), dtype, name)
    return array.astype(dtype)


def _within(number: Any, dtype: Any, name: str) -> Any:
    limits = np.iinfo(dtype)
    _require(type(number) is int and limits.min <= number <= limits.max, f"the section {name}")
    return number


def _texts(description: dict[str, Any], name: str) -> list[str]:
    texts = description.get(name)
    _require(type(texts) is list and set(map(type, texts)) <= {str}, f"the list of {name}")
    assert isinstance(texts, list)
    return texts


def _line(source: Any) -> tuple[str, int, str]:
    _require(type(source) is tuple and [type(part) for part in source] == [str, int, str], "a line of the program")
    return source  # type: ignore[no-any-return]


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise _damaged(what)


def _damaged(what: str) -> FileFormatError:
    return FileFormatError(f"this file cannot be loaded: {what} is wrong or missing in it. It is damaged.")
