"""The C functions behind ``g(x)`` and ``p.into(x, out)``: from the caller's objects to results without any Python code.

``vm/fast_call.py`` tells when they are used and what their records hold. An address of 0 that a function of CPython
returns, and that is returned to it, means that an exception is set.
"""

from __future__ import annotations

from typing import Any

from fastgrad.vm import instructions as isa
from fastgrad.vm.numba_kernel import INTEGER, INTEGERS, NOTHING, caller, external, integers_at, kernel

run_scalar = external("run_scalar", INTEGER, INTEGERS)
run_array = external("run_array", INTEGER, INTEGERS)
call_0, call_1, call_2, call_3, call_4 = (caller(n) for n in range(5))

# ---- layout, in 64-bit words, of the objects that are read here: fast_call.py checks it before it uses a kernel

TYPE = 1  # of any object
CONTENT = 2  # a float's number; a cell's object; the first slot of an object of ours
DATA, NDIM, SHAPE, DTYPE, FLAGS = 2, 3, 4, 7, 8  # of an array; NDIM and FLAGS have 32 bits
LOW_HALF = 0xFFFFFFFF
READABLE = 0x101  # flags C_CONTIGUOUS and ALIGNED
WRITEABLE = 0x501

MISSED = 1  # no address of an object, and not 0
WORD_BYTES = 8

P = {name: isa.field_offset(isa.PYTHON, name) for name in isa.PYTHON.names or ()}
P_ARRAY_TYPE, P_FLOAT_TYPE, P_FLOAT64_TYPE = P["array_type"], P["float_type"], P["float64_type"]
P_FLOAT64_DTYPE, P_NONE, P_OPEN_RECORDERS = P["float64_dtype"], P["none"], P["open_recorders"]
P_LIST_SIZE, P_INCREASE_COUNT, P_DECREASE_COUNT = P["list_size"], P["increase_count"], P["decrease_count"]
P_CLEAR_ERROR, P_DICT_ITEM = P["clear_error"], P["dict_item"]
P_NEW_TUPLE, P_SET_TUPLE_ITEM, P_NEW_METHOD, P_CALL = P["new_tuple"], P["set_tuple_item"], P["new_method"], P["call"]
P_RELEASE_LOCK, P_TAKE_LOCK = P["release_lock"], P["take_lock"]
P_NEW_ARRAY, P_NEW_SCALAR = P["new_array"], P["new_scalar"]

C_PYTHON = isa.field_offset(isa.CALLS, "python")
C_SLOW_CALL = isa.field_offset(isa.CALLS, "slow_call")
C_SLOW_INTO = isa.field_offset(isa.CALLS, "slow_into")
C_N_ANSWERED = isa.field_offset(isa.CALLS, "n_answered")
C_PAST = isa.field_offset(isa.CALLS, "past")
C_PREDICTIONS = isa.field_offset(isa.CALLS, "predictions")
C_DIVERGENCES = isa.field_offset(isa.CALLS, "divergences")
C_ENTRIES = isa.field_offset(isa.CALLS, "entry_0")
MAX_ENTRIES = isa.MAX_ENTRIES
ALL_ENTRIES = (1 << MAX_ENTRIES) - 1
# of the past, the latest four entries count
ENTRY_BITS = MAX_ENTRIES.bit_length() - 1
PAST_MASK = (1 << 4 * ENTRY_BITS) - 1
LAST_PREDICTION = isa.N_PREDICTIONS - 1

E_BUSY = isa.field_offset(isa.ENTRY, "busy")
E_FAILED = isa.field_offset(isa.ENTRY, "failed")
E_USED = isa.field_offset(isa.ENTRY, "used")
E_REMAINING = isa.field_offset(isa.ENTRY, "remaining")
E_RELEASES = isa.field_offset(isa.ENTRY, "releases")
E_OWNER = isa.field_offset(isa.ENTRY, "owner")
E_DRIVER = isa.field_offset(isa.ENTRY, "driver")
E_JOB = isa.field_offset(isa.ENTRY, "job")
E_READS = isa.field_offset(isa.ENTRY, "reads")
E_N_READS = isa.field_offset(isa.ENTRY, "n_reads")
E_ARGUMENTS = isa.field_offset(isa.ENTRY, "arguments")
E_N_ARGUMENTS = isa.field_offset(isa.ENTRY, "n_arguments")
E_PLACES = isa.field_offset(isa.ENTRY, "places")
E_RESULTS = isa.field_offset(isa.ENTRY, "results")
E_N_RESULTS = isa.field_offset(isa.ENTRY, "n_results")
E_OBJECTS = isa.field_offset(isa.ENTRY, "objects")
E_N_VALUES = isa.field_offset(isa.ENTRY, "n_values")
E_AS_TUPLE = isa.field_offset(isa.ENTRY, "as_tuple")
E_IS_BOUND = isa.field_offset(isa.ENTRY, "is_bound")

RUN_SCALAR, RUN_ARRAY = isa.RUN_SCALAR, isa.RUN_ARRAY

ARGUMENT_SAME, ARGUMENT_ARRAY = isa.ARGUMENT_SAME, isa.ARGUMENT_ARRAY
ARGUMENT_SIZE = isa.record_size(isa.ARGUMENT)
A_KIND = isa.field_offset(isa.ARGUMENT, "kind")
A_OBJECT = isa.field_offset(isa.ARGUMENT, "object")
A_NDIM = isa.field_offset(isa.ARGUMENT, "ndim")
A_SHAPE = isa.field_offset(isa.ARGUMENT, "shape")
A_TARGET = isa.field_offset(isa.ARGUMENT, "target")

PLACE_CELL, PLACE_ITEM = isa.PLACE_CELL, isa.PLACE_ITEM
PLACE_SIZE = isa.record_size(isa.PLACE)
L_KIND = isa.field_offset(isa.PLACE, "kind")
L_HOLDER = isa.field_offset(isa.PLACE, "holder")
L_NAME = isa.field_offset(isa.PLACE, "name")
L_EXPECTED = isa.field_offset(isa.PLACE, "expected")

RESULT_SIZE = isa.record_size(isa.RESULT)
R_NDIM = isa.field_offset(isa.RESULT, "ndim")
R_SHAPE = isa.field_offset(isa.RESULT, "shape")
R_TARGETS = isa.field_offset(isa.RESULT, "targets")
R_N_TARGETS = isa.field_offset(isa.RESULT, "n_targets")
R_NUMBER = isa.field_offset(isa.RESULT, "number")


# ---- does the call fit?


@kernel(INTEGER, INTEGERS, INTEGERS, INTEGER, INTEGER, INTEGER)
def is_plain_array(python: Any, array: Any, flags: Any, ndim: Any, shape_address: Any) -> Any:
    """Whether it is exactly an ndarray of float64 with these flags and this shape."""
    if array[TYPE] != python[P_ARRAY_TYPE] or array[DTYPE] != python[P_FLOAT64_DTYPE]:
        return 0
    if array[FLAGS] & flags != flags or array[NDIM] & LOW_HALF != ndim:
        return 0
    found, expected = integers_at(array[SHAPE]), integers_at(shape_address)
    for axis in range(ndim):
        if found[axis] != expected[axis]:
            return 0
    return 1


@kernel(INTEGER, INTEGERS, INTEGERS, INTEGERS)
def takes_arguments(entry: Any, python: Any, args: Any) -> Any:
    for k in range(entry[E_N_ARGUMENTS]):
        expected = integers_at(entry[E_ARGUMENTS] + WORD_BYTES * ARGUMENT_SIZE * k)
        given = integers_at(args[k])
        if expected[A_KIND] == ARGUMENT_SAME:
            if args[k] != expected[A_OBJECT]:
                return 0
        elif expected[A_KIND] == ARGUMENT_ARRAY or given[TYPE] == python[P_ARRAY_TYPE]:
            if not is_plain_array(python, given, READABLE, expected[A_NDIM], expected[A_SHAPE]):
                return 0
        elif given[TYPE] != python[P_FLOAT_TYPE] and given[TYPE] != python[P_FLOAT64_TYPE]:
            return 0
    return 1


@kernel(INTEGER, INTEGERS, INTEGERS)
def is_unchanged_around(entry: Any, python: Any) -> Any:
    """Whether what the function sees besides its arguments is what it was."""
    places = entry[E_PLACES]
    for k in range(integers_at(places)[0]):
        place = integers_at(places + WORD_BYTES * (1 + PLACE_SIZE * k))
        if place[L_KIND] == PLACE_CELL:
            found = integers_at(place[L_HOLDER])[CONTENT]
        elif place[L_KIND] == PLACE_ITEM:
            found = call_2(python[P_DICT_ITEM], place[L_HOLDER], place[L_NAME])
        else:
            found = call_1(place[L_NAME], place[L_HOLDER])
        if found != place[L_EXPECTED]:
            if place[L_KIND] == PLACE_ITEM and found == 0:
                call_0(python[P_CLEAR_ERROR])
            return 0
    return 1


# ---- results


@kernel(NOTHING, INTEGERS, INTEGERS, INTEGER)
def drop(python: Any, objects: Any, n: Any) -> None:
    for k in range(n):
        if objects[k] != 0:
            call_1(python[P_DECREASE_COUNT], objects[k])


@kernel(INTEGER, INTEGERS, INTEGERS, INTEGER)
def tuple_of(python: Any, objects: Any, n: Any) -> Any:
    """A tuple that takes over the references to the objects; 0 if there is no memory, and then they are dropped."""
    made = call_1(python[P_NEW_TUPLE], n)
    if made == 0:
        drop(python, objects, n)
        return 0
    for k in range(n):
        call_3(python[P_SET_TUPLE_ITEM], made, k, objects[k])
    return made


@kernel(INTEGER, INTEGERS, INTEGERS, INTEGER)
def prepare_results(entry: Any, python: Any, out: Any) -> Any:
    """Tell the job where results go: to ``out`` if it is not 0, else to new arrays. 0 if there is no memory."""
    objects = integers_at(entry[E_OBJECTS])
    for k in range(entry[E_N_RESULTS]):
        result = integers_at(entry[E_RESULTS] + WORD_BYTES * RESULT_SIZE * k)
        address = result[R_NUMBER]
        objects[k] = 0
        if out != 0:
            address = integers_at(out)[DATA]
        elif result[R_NDIM] != 0:
            call_1(python[P_INCREASE_COUNT], python[P_FLOAT64_DTYPE])  # the array takes a reference over
            objects[k] = call_4(python[P_NEW_ARRAY], result[R_NDIM], result[R_SHAPE], python[P_FLOAT64_DTYPE], 0)
            if objects[k] == 0:
                drop(python, objects, k)
                return 0
            address = integers_at(objects[k])[DATA]
        targets = integers_at(result[R_TARGETS])
        for j in range(result[R_N_TARGETS]):
            integers_at(targets[2 * j])[0] = address + targets[2 * j + 1]
    return 1


@kernel(INTEGER, INTEGERS, INTEGERS)
def packed_results(entry: Any, python: Any) -> Any:
    """The derivative, or the tuple of value and derivative."""
    objects, n, n_values = integers_at(entry[E_OBJECTS]), entry[E_N_RESULTS], entry[E_N_VALUES]
    for k in range(n):
        if objects[k] == 0:
            number = integers_at(entry[E_RESULTS] + WORD_BYTES * RESULT_SIZE * k)[R_NUMBER]
            objects[k] = call_3(python[P_NEW_SCALAR], number, python[P_FLOAT64_DTYPE], 0)
            if objects[k] == 0:
                drop(python, objects, n)
                return 0
    if entry[E_AS_TUPLE]:
        derivatives = tuple_of(python, integers_at(entry[E_OBJECTS] + WORD_BYTES * n_values), n - n_values)
        if derivatives == 0:
            drop(python, objects, n_values)
            return 0
        objects[n_values] = derivatives
    return tuple_of(python, objects, 2) if n_values else objects[0]


# ---- the call


@kernel(INTEGER, INTEGER, INTEGERS)
def run_job(driver: Any, job: Any) -> Any:
    if driver == RUN_ARRAY:
        return run_array(job)
    if driver == RUN_SCALAR:
        return run_scalar(job)
    return call_0(driver)


@kernel(INTEGER, INTEGER, INTEGER)
def size_in_bytes(ndim: Any, shape_address: Any) -> Any:
    size, shape = WORD_BYTES, integers_at(shape_address)
    for axis in range(ndim):
        size *= shape[axis]
    return size


@kernel(INTEGER, INTEGERS, INTEGERS, INTEGERS)
def would_overwrite(entry: Any, args: Any, out: Any) -> Any:
    """Whether ``out`` shares memory with what an array job still reads while it writes there."""
    if entry[E_DRIVER] == RUN_SCALAR:
        return 0  # scalar jobs copy their inputs first
    result = integers_at(entry[E_RESULTS])
    first = out[DATA]
    last = first + size_in_bytes(result[R_NDIM], result[R_SHAPE])
    for k in range(entry[E_N_ARGUMENTS]):
        argument = integers_at(entry[E_ARGUMENTS] + WORD_BYTES * ARGUMENT_SIZE * k)
        if argument[A_KIND] == ARGUMENT_ARRAY:
            start = integers_at(args[k])[DATA]
            if start < last and first < start + size_in_bytes(argument[A_NDIM], argument[A_SHAPE]):
                return 1
    reads = integers_at(entry[E_READS])
    for k in range(entry[E_N_READS]):
        if reads[2 * k] < last and first < reads[2 * k] + reads[2 * k + 1]:
            return 1
    return 0


@kernel(INTEGER, INTEGERS, INTEGERS, INTEGERS, INTEGER)
def run_entry(entry: Any, python: Any, args: Any, out: Any) -> Any:
    """The object to return, 0 with an exception set, or MISSED where a guard failed."""
    for k in range(entry[E_N_ARGUMENTS]):
        expected = integers_at(entry[E_ARGUMENTS] + WORD_BYTES * ARGUMENT_SIZE * k)
        if expected[A_KIND] != ARGUMENT_SAME:
            given = integers_at(args[k])
            is_array = given[TYPE] == python[P_ARRAY_TYPE]
            integers_at(expected[A_TARGET])[0] = given[DATA] if is_array else args[k] + WORD_BYTES * CONTENT
    if not prepare_results(entry, python, out):
        return 0
    job = integers_at(entry[E_JOB])
    if entry[E_RELEASES]:
        thread = call_0(python[P_RELEASE_LOCK])
        failed = run_job(entry[E_DRIVER], job)
        call_1(python[P_TAKE_LOCK], thread)
    else:
        failed = run_job(entry[E_DRIVER], job)
    entry[E_FAILED] = failed
    if failed != -1:
        drop(python, integers_at(entry[E_OBJECTS]), entry[E_N_RESULTS])
        return MISSED
    if out != 0 or entry[E_IS_BOUND]:
        call_1(python[P_INCREASE_COUNT], python[P_NONE])
        return python[P_NONE]
    return packed_results(entry, python)


@kernel(INTEGER, INTEGERS, INTEGERS, INTEGER, INTEGERS, INTEGER)
def answer_of(entry: Any, python: Any, n_args: Any, args: Any, into: Any) -> Any:
    """What the entry gives, or MISSED; then ``failed`` of the entry is the guard at which it stopped, if it did."""
    entry[E_FAILED] = -1
    if entry[E_N_ARGUMENTS] != n_args - into or entry[E_REMAINING] == 0:
        return MISSED
    out = args[n_args - 1] if into else 0
    if into:
        result = integers_at(entry[E_RESULTS])
        if entry[E_N_RESULTS] != 1 or entry[E_AS_TUPLE] != 0:
            return MISSED
        if not is_plain_array(python, integers_at(out), WRITEABLE, result[R_NDIM], result[R_SHAPE]):
            return MISSED
    if not (takes_arguments(entry, python, args) and is_unchanged_around(entry, python)):
        return MISSED
    if into and would_overwrite(entry, args, integers_at(out)):
        return MISSED
    if entry[E_REMAINING] > 0:
        entry[E_REMAINING] -= 1
    entry[E_BUSY] = 1
    found = run_entry(entry, python, args, out)
    entry[E_BUSY] = 0
    return found


@kernel(INTEGER, INTEGERS)
def place_of_prediction(calls: Any) -> Any:
    """The address of what the past tells about the next call."""
    # a factor with which entries that answer in turns, however many, seldom meet in one place
    mixed = (calls[C_PAST] * 0xC2B2AE35) >> 24
    return calls[C_PREDICTIONS] + WORD_BYTES * (mixed & LAST_PREDICTION)


@kernel(INTEGER, INTEGERS, INTEGER, INTEGER, INTEGER)
def still_possible(calls: Any, possible: Any, k: Any, failed: Any) -> Any:
    """The entries that may fit when a guard of entry ``k`` has failed: none that has that guard with that outcome."""
    row = integers_at(calls[C_DIVERGENCES] + WORD_BYTES * MAX_ENTRIES * k)
    for j in range(MAX_ENTRIES):
        if row[j] > failed:
            possible &= ~(1 << j)
    return possible


@kernel(INTEGER, INTEGERS, INTEGER, INTEGER)
def diverging_there(calls: Any, k: Any, failed: Any) -> Any:
    """The entries that have another outcome at the guard of entry ``k`` that failed."""
    row, found = integers_at(calls[C_DIVERGENCES] + WORD_BYTES * MAX_ENTRIES * k), 0
    for j in range(MAX_ENTRIES):
        if row[j] == failed:
            found |= 1 << j
    return found


@kernel(INTEGER, INTEGERS, INTEGERS, INTEGER, INTEGERS, INTEGER)
def answer(calls: Any, python: Any, n_args: Any, args: Any, into: Any) -> Any:
    """What the first entry that fits gives, else MISSED. With ``into`` the last argument takes the result.

    First comes the entry that the past predicts, then those that a failed guard makes likely, then the others.
    """
    if call_1(python[P_LIST_SIZE], python[P_OPEN_RECORDERS]) != 0:
        return MISSED
    possible, likely, prediction = ALL_ENTRIES, 1, 0
    if calls[C_PREDICTIONS] != 0:
        prediction = place_of_prediction(calls)
        likely = 1 << integers_at(prediction)[0]
    while possible != 0:
        chosen = possible & likely
        if chosen == 0:
            chosen = possible
        k = 0
        while not (chosen >> k) & 1:
            k += 1
        if calls[C_ENTRIES + k] == 0:
            possible &= (1 << k) - 1  # behind it there are none
            continue
        possible &= ~(1 << k)
        entry = integers_at(calls[C_ENTRIES + k])
        if entry[E_BUSY] != 0:
            continue
        # other threads or a collection of garbage may drop this entry, or call it again, before it is done
        owner = entry[E_OWNER]
        call_1(python[P_INCREASE_COUNT], owner)
        found = answer_of(entry, python, n_args, args, into)
        failed = entry[E_FAILED]
        if found != MISSED:
            calls[C_N_ANSWERED] += 1
            entry[E_USED] = calls[C_N_ANSWERED]
        call_1(python[P_DECREASE_COUNT], owner)
        if found != MISSED:
            if prediction != 0:
                integers_at(prediction)[0] = k
                calls[C_PAST] = (calls[C_PAST] << ENTRY_BITS | k) & PAST_MASK
            return found
        if prediction != 0 and failed >= 0:
            possible = still_possible(calls, possible, k, failed)
            likely = diverging_there(calls, k, failed)
    return MISSED


@kernel(INTEGER, INTEGER, INTEGER, INTEGER, INTEGER, INTEGER)
def answer_or_ask_python(self: Any, args: Any, n_args: Any, names: Any, into: Any) -> Any:
    holder = integers_at(self)[CONTENT]
    if holder == 0:  # an object that was never initialised
        return 0
    calls = integers_at(integers_at(integers_at(holder)[CONTENT])[DATA])
    python = integers_at(calls[C_PYTHON])
    found = MISSED
    if names == 0 and n_args >= into:
        found = answer(calls, python, n_args, integers_at(args), into)
    if found != MISSED:
        return found
    method = call_2(python[P_NEW_METHOD], calls[C_SLOW_INTO] if into else calls[C_SLOW_CALL], self)
    if method == 0:
        return 0
    found = call_4(python[P_CALL], method, args, n_args, names)
    call_1(python[P_DECREASE_COUNT], method)
    return found


@kernel(INTEGER, INTEGER, INTEGER, INTEGER, INTEGER)
def call_derivative(self: Any, args: Any, n_args: Any, names: Any) -> Any:
    """``self(*args)`` with CPython's METH_FASTCALL | METH_KEYWORDS signature."""
    return answer_or_ask_python(self, args, n_args, names, 0)


@kernel(INTEGER, INTEGER, INTEGER, INTEGER, INTEGER)
def call_into(self: Any, args: Any, n_args: Any, names: Any) -> Any:
    """``self.into(*arguments, out)``."""
    return answer_or_ask_python(self, args, n_args, names, 1)
