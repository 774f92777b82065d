"""Nested arguments taken apart and results nested, by the programs that ``vm/call_structures.py`` writes.

Taking apart runs no Python code: exact types only, keys that are the same object or equal text. So what is in the
registers needs no references of its own until other threads may run.
"""

from __future__ import annotations

from typing import Any

from fastgrad.vm import instructions as isa
from fastgrad.vm.numba_kernel import (
    INTEGER,
    INTEGERS,
    NOTHING,
    caller,
    floats_at,
    integers_at,
    kernel,
    part,
)

call_0, call_1, call_2, call_3, call_4 = (caller(n) for n in range(5))

# ---- layout, in 64-bit words, of the objects that are read here: fast_call.py checks it before it uses a kernel

TYPE = 1  # of any object
CONTENT = 2  # a float's number; a cell's object; the first slot of an object of ours
SIZE = 2  # of a tuple or list
TUPLE_ITEMS = 3  # the first of them
LIST_ITEMS = 3  # their address
DATA, NDIM, SHAPE, DTYPE, FLAGS = 2, 3, 4, 7, 8  # of an array; NDIM and FLAGS have 32 bits
LOW_HALF = 0xFFFFFFFF  # of what a C function returns as an int, too

WORD_BYTES = 8
PY_EQ = 2  # CPython's number of the comparison ==

P = {name: isa.field_offset(isa.PYTHON, name) for name in isa.PYTHON.names or ()}
P_ARRAY_TYPE, P_FLOAT_TYPE, P_FLOAT64_TYPE = P["array_type"], P["float_type"], P["float64_type"]
P_WHOLE_TYPE, P_TEXT_TYPE, P_FLOAT64_DTYPE = P["whole_type"], P["text_type"], P["float64_dtype"]
P_INCREASE_COUNT, P_DECREASE_COUNT = P["increase_count"], P["decrease_count"]
P_DICT_SIZE, P_DICT_NEXT, P_COMPARE = P["dict_size"], P["dict_next"], P["compare"]
P_COMPARE_TEXT, P_WHOLE_VALUE = P["compare_text"], P["whole_value"]
P_NEW_TUPLE, P_SET_TUPLE_ITEM = P["new_tuple"], P["set_tuple_item"]
P_NEW_LIST, P_SET_LIST_ITEM = P["new_list"], P["set_list_item"]
P_NEW_DICT, P_SET_DICT_ITEM, P_NEW_INSTANCE = P["new_dict"], P["set_dict_item"], P["new_instance"]
P_NEW_SCALAR, P_COPY_INTO, P_SCALAR_VALUE = P["new_scalar"], P["copy_into"], P["scalar_value"]
P_CAST_ARRAY, P_ARRAY_OR_SCALAR = P["cast_array"], P["array_or_scalar"]

E_N_POSITIONAL = isa.field_offset(isa.ENTRY, "n_positional")
E_NAMES = isa.field_offset(isa.ENTRY, "names")
E_N_NAMES = isa.field_offset(isa.ENTRY, "n_names")
E_UNPACKINGS = isa.field_offset(isa.ENTRY, "unpackings")
E_N_UNPACKINGS = isa.field_offset(isa.ENTRY, "n_unpackings")
E_ARGUMENTS = isa.field_offset(isa.ENTRY, "arguments")
E_N_ARGUMENTS = isa.field_offset(isa.ENTRY, "n_arguments")
E_RESULTS = isa.field_offset(isa.ENTRY, "results")
E_N_RESULTS = isa.field_offset(isa.ENTRY, "n_results")
E_OBJECTS = isa.field_offset(isa.ENTRY, "objects")
E_PACKINGS = isa.field_offset(isa.ENTRY, "packings")
E_N_PACKINGS = isa.field_offset(isa.ENTRY, "n_packings")
E_STACK = isa.field_offset(isa.ENTRY, "stack")
E_SCRATCH = isa.field_offset(isa.ENTRY, "scratch")

UNPACK_LIST, UNPACK_DICT = isa.UNPACK_LIST, isa.UNPACK_DICT
UNPACKING_SIZE = isa.record_size(isa.UNPACKING)
U_KIND = isa.field_offset(isa.UNPACKING, "kind")
U_TYPE = isa.field_offset(isa.UNPACKING, "type")
U_REGISTER = isa.field_offset(isa.UNPACKING, "register")
U_FIRST = isa.field_offset(isa.UNPACKING, "first")
U_SIZE = isa.field_offset(isa.UNPACKING, "size")
U_KEYS = isa.field_offset(isa.UNPACKING, "keys")

ARGUMENT_SAME, ARGUMENT_ARRAY, ARGUMENT_NUMBER = isa.ARGUMENT_SAME, isa.ARGUMENT_ARRAY, isa.ARGUMENT_NUMBER
ARGUMENT_EQUAL = isa.ARGUMENT_EQUAL
ARGUMENT_COPIED, ARGUMENT_WHOLE, ARGUMENT_SCALAR = isa.ARGUMENT_COPIED, isa.ARGUMENT_WHOLE, isa.ARGUMENT_SCALAR
ARGUMENT_SIZE = isa.record_size(isa.ARGUMENT)
A_KIND = isa.field_offset(isa.ARGUMENT, "kind")
A_REGISTER = isa.field_offset(isa.ARGUMENT, "register")
A_OBJECT = isa.field_offset(isa.ARGUMENT, "object")
A_MASK = isa.field_offset(isa.ARGUMENT, "mask")
A_FLAGS = isa.field_offset(isa.ARGUMENT, "flags")
A_NDIM = isa.field_offset(isa.ARGUMENT, "ndim")
A_SHAPE = isa.field_offset(isa.ARGUMENT, "shape")
A_TARGET = isa.field_offset(isa.ARGUMENT, "target")
A_COPY = isa.field_offset(isa.ARGUMENT, "copy")

RESULT_SIZE = isa.record_size(isa.RESULT)
R_NDIM = isa.field_offset(isa.RESULT, "ndim")
R_SHAPE = isa.field_offset(isa.RESULT, "shape")
R_TARGETS = isa.field_offset(isa.RESULT, "targets")
R_N_TARGETS = isa.field_offset(isa.RESULT, "n_targets")
R_NUMBER = isa.field_offset(isa.RESULT, "number")
R_CAST = isa.field_offset(isa.RESULT, "cast")

PACK_RESULT, PACK_SAME, PACK_TUPLE, PACK_LIST = isa.PACK_RESULT, isa.PACK_SAME, isa.PACK_TUPLE, isa.PACK_LIST
PACK_DICT = isa.PACK_DICT
PACKING_SIZE = isa.record_size(isa.PACKING)
K_KIND = isa.field_offset(isa.PACKING, "kind")
K_COUNT = isa.field_offset(isa.PACKING, "count")
K_OBJECT = isa.field_offset(isa.PACKING, "object")
K_KEYS = isa.field_offset(isa.PACKING, "keys")


# ---- arguments


@kernel(INTEGER, INTEGERS, INTEGER, INTEGER)
def is_key(python: Any, found: Any, expected: Any) -> Any:
    """Whether it is this key, or the same text."""
    if found == expected:
        return 1
    text = python[P_TEXT_TYPE]
    if integers_at(found)[TYPE] != text or integers_at(expected)[TYPE] != text:
        return 0
    return 1 if call_2(python[P_COMPARE_TEXT], found, expected) & LOW_HALF == 0 else 0


@kernel(INTEGER, INTEGERS, INTEGERS, INTEGER)
def has_names(entry: Any, python: Any, names: Any) -> Any:
    """Whether the arguments by name are the entry's, in its order. ``names`` is a tuple or 0."""
    if names == 0:
        return 1 if entry[E_N_NAMES] == 0 else 0
    found, expected = integers_at(names), integers_at(entry[E_NAMES])
    if found[SIZE] != entry[E_N_NAMES]:
        return 0
    for k in range(entry[E_N_NAMES]):
        if not is_key(python, found[TUPLE_ITEMS + k], expected[k]):
            return 0
    return 1


@kernel(INTEGER, INTEGERS, INTEGERS, INTEGERS, INTEGERS)
def unpack_dict(entry: Any, python: Any, unpacking: Any, registers: Any) -> Any:
    nested, keys = registers[unpacking[U_REGISTER]], integers_at(unpacking[U_KEYS])
    if call_1(python[P_DICT_SIZE], nested) != unpacking[U_SIZE]:
        return 0
    position = entry[E_SCRATCH]
    key, value = position + WORD_BYTES, position + 2 * WORD_BYTES
    integers_at(position)[0] = 0
    for k in range(unpacking[U_SIZE]):
        there = call_4(python[P_DICT_NEXT], nested, position, key, value)
        if there & LOW_HALF == 0 or not is_key(python, integers_at(key)[0], keys[k]):
            return 0
        registers[unpacking[U_FIRST] + k] = integers_at(value)[0]
    return 1


@kernel(INTEGER, INTEGERS, INTEGERS, INTEGERS)
def unpack(entry: Any, python: Any, registers: Any) -> Any:
    """Fill the registers behind the arguments; whether these are nested as the entry's are."""
    for j in range(entry[E_N_UNPACKINGS]):
        unpacking = integers_at(entry[E_UNPACKINGS] + WORD_BYTES * UNPACKING_SIZE * j)
        nested = integers_at(registers[unpacking[U_REGISTER]])
        if nested[TYPE] != unpacking[U_TYPE]:
            return 0
        if unpacking[U_KIND] == UNPACK_DICT:
            if not unpack_dict(entry, python, unpacking, registers):
                return 0
            continue
        if nested[SIZE] != unpacking[U_SIZE]:
            return 0
        items = part(nested, TUPLE_ITEMS)
        if unpacking[U_KIND] == UNPACK_LIST:
            items = integers_at(nested[LIST_ITEMS])
        for k in range(unpacking[U_SIZE]):
            registers[unpacking[U_FIRST] + k] = items[k]
    return 1


@kernel(INTEGER, INTEGERS, INTEGERS, INTEGER, INTEGERS)
def is_array(python: Any, array: Any, dtype: Any, expected: Any) -> Any:
    """Whether it is exactly an ndarray of this dtype, with the flags and the shape that an ARGUMENT expects."""
    if array[TYPE] != python[P_ARRAY_TYPE] or array[DTYPE] != dtype:
        return 0
    if array[FLAGS] & expected[A_MASK] != expected[A_FLAGS]:
        return 0
    return has_shape(array, expected[A_NDIM], expected[A_SHAPE])


@kernel(INTEGER, INTEGERS, INTEGER, INTEGER)
def has_shape(array: Any, ndim: Any, shape_address: Any) -> Any:
    if array[NDIM] & LOW_HALF != ndim:
        return 0
    found, expected = integers_at(array[SHAPE]), integers_at(shape_address)
    for axis in range(ndim):
        if found[axis] != expected[axis]:
            return 0
    return 1


@kernel(INTEGER, INTEGERS, INTEGERS, INTEGER, INTEGERS)
def take_whole_number(entry: Any, python: Any, given: Any, expected: Any) -> Any:
    """Convert an int, unless it is too large or something else."""
    if integers_at(given)[TYPE] != python[P_WHOLE_TYPE]:
        return 0
    overflow = integers_at(entry[E_SCRATCH])
    number = call_2(python[P_WHOLE_VALUE], given, entry[E_SCRATCH])
    if overflow[0] & LOW_HALF != 0:
        return 0
    floats_at(expected[A_COPY])[0] = float(number)
    return 1


@kernel(INTEGER, INTEGERS, INTEGER, INTEGER)
def is_equal(python: Any, found: Any, expected: Any) -> Any:
    """Whether it is of the same type, whose comparison runs no Python code, and equal."""
    if found == expected:
        return 1
    if integers_at(found)[TYPE] != integers_at(expected)[TYPE]:
        return 0
    return 1 if call_3(python[P_COMPARE], found, expected, PY_EQ) & LOW_HALF == 1 else 0


@kernel(INTEGER, INTEGERS, INTEGERS, INTEGERS)
def takes_arguments(entry: Any, python: Any, registers: Any) -> Any:
    """Whether the leaves of the arguments are of the entry's kinds."""
    for k in range(entry[E_N_ARGUMENTS]):
        expected = integers_at(entry[E_ARGUMENTS] + WORD_BYTES * ARGUMENT_SIZE * k)
        address = registers[expected[A_REGISTER]]
        kind, given = expected[A_KIND], integers_at(address)
        if kind == ARGUMENT_SAME:
            if address != expected[A_OBJECT]:
                return 0
        elif kind == ARGUMENT_EQUAL:
            if not is_equal(python, address, expected[A_OBJECT]):
                return 0
        elif kind == ARGUMENT_NUMBER:
            if expected[A_OBJECT] != 0 and given[TYPE] != expected[A_OBJECT]:
                return 0
            if given[TYPE] == python[P_ARRAY_TYPE]:
                if not is_array(python, given, python[P_FLOAT64_DTYPE], expected):
                    return 0
            elif given[TYPE] != python[P_FLOAT_TYPE] and given[TYPE] != python[P_FLOAT64_TYPE]:
                return 0
        elif kind == ARGUMENT_ARRAY:
            if not is_array(python, given, python[P_FLOAT64_DTYPE], expected):
                return 0
        elif kind == ARGUMENT_COPIED:
            if not is_array(python, given, expected[A_OBJECT], expected):
                return 0
        elif kind == ARGUMENT_SCALAR:
            if given[TYPE] != expected[A_OBJECT]:
                return 0
        elif not take_whole_number(entry, python, address, expected):
            return 0
    return 1


@kernel(NOTHING, INTEGERS, INTEGERS, INTEGERS)
def hold(entry: Any, python: Any, registers: Any) -> None:
    """Keep the leaves alive, though other threads may take them out of their containers."""
    for k in range(entry[E_N_ARGUMENTS]):
        expected = integers_at(entry[E_ARGUMENTS] + WORD_BYTES * ARGUMENT_SIZE * k)
        call_1(python[P_INCREASE_COUNT], registers[expected[A_REGISTER]])


@kernel(NOTHING, INTEGERS, INTEGERS, INTEGERS)
def let_go(entry: Any, python: Any, registers: Any) -> None:
    for k in range(entry[E_N_ARGUMENTS]):
        expected = integers_at(entry[E_ARGUMENTS] + WORD_BYTES * ARGUMENT_SIZE * k)
        call_1(python[P_DECREASE_COUNT], registers[expected[A_REGISTER]])


@kernel(INTEGER, INTEGERS, INTEGERS, INTEGERS)
def load_arguments(entry: Any, python: Any, registers: Any) -> Any:
    """Tell the job where the leaves are; 0 with an exception set if one could not be copied."""
    for k in range(entry[E_N_ARGUMENTS]):
        expected = integers_at(entry[E_ARGUMENTS] + WORD_BYTES * ARGUMENT_SIZE * k)
        kind, address = expected[A_KIND], registers[expected[A_REGISTER]]
        given = integers_at(address)
        if expected[A_TARGET] == 0:
            continue  # no data
        if kind == ARGUMENT_COPIED:
            if call_2(python[P_COPY_INTO], expected[A_COPY], address) & LOW_HALF != 0:
                return 0
            found = integers_at(expected[A_COPY])[DATA]
        elif kind == ARGUMENT_WHOLE:
            found = expected[A_COPY]
        elif kind == ARGUMENT_SCALAR:
            found = expected[A_COPY]
            if call_3(python[P_SCALAR_VALUE], address, found, python[P_FLOAT64_DTYPE]) & LOW_HALF != 0:
                return 0
        elif given[TYPE] == python[P_ARRAY_TYPE]:
            found = given[DATA]
        else:
            found = address + WORD_BYTES * CONTENT
        targets = integers_at(expected[A_TARGET])
        if kind == ARGUMENT_ARRAY and expected[A_COPY] != 0:
            for j in range(expected[A_COPY]):
                integers_at(targets[2 * j])[0] = found + targets[2 * j + 1]
        else:
            targets[0] = found
    return 1


# ---- results


@kernel(NOTHING, INTEGERS, INTEGERS, INTEGER)
def drop(python: Any, objects: Any, n: Any) -> None:
    for k in range(n):
        if objects[k] != 0:
            call_1(python[P_DECREASE_COUNT], objects[k])


@kernel(INTEGER, INTEGERS, INTEGERS, INTEGER, INTEGER)
def sequence_of(python: Any, objects: Any, n: Any, is_list: Any) -> Any:
    """A tuple or list that takes over the references to the objects; 0 without memory, and then they are dropped."""
    made = call_1(python[P_NEW_LIST if is_list else P_NEW_TUPLE], n)
    if made == 0:
        drop(python, objects, n)
        return 0
    for k in range(n):
        call_3(python[P_SET_LIST_ITEM if is_list else P_SET_TUPLE_ITEM], made, k, objects[k])
    return made


@kernel(INTEGER, INTEGERS, INTEGERS, INTEGER, INTEGERS)
def dict_of(python: Any, objects: Any, n: Any, keys: Any) -> Any:
    """As ``sequence_of``."""
    made = call_0(python[P_NEW_DICT])
    if made != 0:
        for k in range(n):
            if call_3(python[P_SET_DICT_ITEM], made, keys[k], objects[k]) & LOW_HALF != 0:
                call_1(python[P_DECREASE_COUNT], made)
                made = 0
                break
    drop(python, objects, n)  # the dict has references of its own
    return made


@kernel(INTEGER, INTEGERS, INTEGERS, INTEGER, INTEGER)
def named_tuple_of(python: Any, objects: Any, n: Any, kind: Any) -> Any:
    """As ``sequence_of``."""
    fields = sequence_of(python, objects, n, 0)
    if fields == 0:
        return 0
    made = call_3(python[P_NEW_INSTANCE], kind, fields, 0)
    call_1(python[P_DECREASE_COUNT], fields)
    return made


@kernel(INTEGER, INTEGERS, INTEGERS)
def finish_results(entry: Any, python: Any) -> Any:
    """Make scalars of numbers and cast what is to be cast; 0 with an exception set if that failed."""
    objects = integers_at(entry[E_OBJECTS])
    for k in range(entry[E_N_RESULTS]):
        result = integers_at(entry[E_RESULTS] + WORD_BYTES * RESULT_SIZE * k)
        if objects[k] == 0:
            objects[k] = call_3(python[P_NEW_SCALAR], result[R_NUMBER], python[P_FLOAT64_DTYPE], 0)
        elif result[R_CAST] != 0:
            array = objects[k]
            call_1(python[P_INCREASE_COUNT], result[R_CAST])  # the cast takes a reference over
            objects[k] = call_3(python[P_CAST_ARRAY], array, result[R_CAST], 0)
            call_1(python[P_DECREASE_COUNT], array)
            if objects[k] != 0:
                objects[k] = call_1(python[P_ARRAY_OR_SCALAR], objects[k])  # it takes the reference over
        if objects[k] == 0:
            return 0
    return 1


@kernel(INTEGER, INTEGERS, INTEGERS)
def nested_results(entry: Any, python: Any) -> Any:
    """What the call returns; 0 with an exception set if there is no memory."""
    objects, n = integers_at(entry[E_OBJECTS]), entry[E_N_RESULTS]
    if not finish_results(entry, python):
        drop(python, objects, n)
        return 0
    stack, height = integers_at(entry[E_STACK]), 0
    for j in range(entry[E_N_PACKINGS]):
        packing = integers_at(entry[E_PACKINGS] + WORD_BYTES * PACKING_SIZE * j)
        kind, count = packing[K_KIND], packing[K_COUNT]
        if kind == PACK_RESULT:
            made = objects[count]
            objects[count] = 0
        elif kind == PACK_SAME:
            made = packing[K_OBJECT]
            call_1(python[P_INCREASE_COUNT], made)
        else:
            height -= count
            held = part(stack, height)
            if kind == PACK_TUPLE:
                made = sequence_of(python, held, count, 0)
            elif kind == PACK_LIST:
                made = sequence_of(python, held, count, 1)
            elif kind == PACK_DICT:
                made = dict_of(python, held, count, integers_at(packing[K_KEYS]))
            else:
                made = named_tuple_of(python, held, count, packing[K_OBJECT])
            if made == 0:
                drop(python, stack, height)
                drop(python, objects, n)
                return 0
        stack[height] = made
        height += 1
    return stack[0]
