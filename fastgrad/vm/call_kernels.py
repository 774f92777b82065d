"""The C functions behind ``g(x)`` and ``p.into(x, out)``: from the caller's objects to results without any Python code.

``vm/fast_call.py`` tells when they are used and what their records hold. An address of 0 that a function of CPython
returns, and that is returned to it, means that an exception is set.
"""

from __future__ import annotations

from typing import Any

from fastgrad.vm import instructions as isa
from fastgrad.vm.numba_kernel import INTEGER, INTEGERS, external, integers_at, kernel
from fastgrad.vm.structure_kernels import (
    A_FLAGS,
    A_KIND,
    A_NDIM,
    A_REGISTER,
    A_SHAPE,
    ARGUMENT_ARRAY,
    ARGUMENT_COPIED,
    ARGUMENT_SIZE,
    CONTENT,
    DATA,
    DTYPE,
    E_ARGUMENTS,
    E_N_ARGUMENTS,
    E_N_NAMES,
    E_N_POSITIONAL,
    E_N_RESULTS,
    E_N_UNPACKINGS,
    E_OBJECTS,
    E_RESULTS,
    FLAGS,
    P_ARRAY_TYPE,
    P_DECREASE_COUNT,
    P_FLOAT64_DTYPE,
    P_INCREASE_COUNT,
    R_CAST,
    R_N_TARGETS,
    R_NDIM,
    R_NUMBER,
    R_SHAPE,
    R_TARGETS,
    RESULT_SIZE,
    TYPE,
    WORD_BYTES,
    P,
    call_0,
    call_1,
    call_2,
    call_4,
    drop,
    has_names,
    has_shape,
    hold,
    let_go,
    load_arguments,
    nested_results,
    takes_arguments,
    unpack,
)

run_scalar = external("run_scalar", INTEGER, INTEGERS)
run_array = external("run_array", INTEGER, INTEGERS)
run_tiles = external("run_tiles", INTEGER, INTEGERS)

MISSED = 1  # no address of an object, and not 0
CONTIGUOUS = 0x3  # either of the flags C_CONTIGUOUS and F_CONTIGUOUS
WRITEABLE = 0x501  # flags C_CONTIGUOUS, ALIGNED and WRITEABLE

P_NONE, P_OPEN_RECORDERS, P_LIST_SIZE, P_NEW_ARRAY = P["none"], P["open_recorders"], P["list_size"], P["new_array"]
P_CLEAR_ERROR, P_DICT_ITEM, P_NEW_METHOD, P_CALL = P["clear_error"], P["dict_item"], P["new_method"], P["call"]
P_RELEASE_LOCK, P_TAKE_LOCK = P["release_lock"], P["take_lock"]

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
E_PLACES = isa.field_offset(isa.ENTRY, "places")
E_REGISTERS = isa.field_offset(isa.ENTRY, "registers")
E_IS_HELD = isa.field_offset(isa.ENTRY, "is_held")
E_IS_SINGLE = isa.field_offset(isa.ENTRY, "is_single")
E_IS_BOUND = isa.field_offset(isa.ENTRY, "is_bound")

RUN_SCALAR, RUN_ARRAY, RUN_TILES = isa.RUN_SCALAR, isa.RUN_ARRAY, isa.RUN_TILES

PLACE_CELL, PLACE_ITEM = isa.PLACE_CELL, isa.PLACE_ITEM
PLACE_SIZE = isa.record_size(isa.PLACE)
L_KIND = isa.field_offset(isa.PLACE, "kind")
L_HOLDER = isa.field_offset(isa.PLACE, "holder")
L_NAME = isa.field_offset(isa.PLACE, "name")
L_EXPECTED = isa.field_offset(isa.PLACE, "expected")


# ---- does the call fit?


@kernel(INTEGER, INTEGERS, INTEGERS, INTEGERS)
def takes_result(entry: Any, python: Any, out: Any) -> Any:
    """Whether the result can be written into the memory of ``out``."""
    result = integers_at(entry[E_RESULTS])
    if entry[E_IS_SINGLE] == 0 or out[TYPE] != python[P_ARRAY_TYPE] or out[DTYPE] != python[P_FLOAT64_DTYPE]:
        return 0
    return 1 if out[FLAGS] & WRITEABLE == WRITEABLE and has_shape(out, result[R_NDIM], result[R_SHAPE]) else 0


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
        elif result[R_NDIM] != 0 or result[R_CAST] != 0:
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


# ---- the call


@kernel(INTEGER, INTEGER, INTEGERS)
def run_job(driver: Any, job: Any) -> Any:
    if driver == RUN_ARRAY:
        return run_array(job)
    if driver == RUN_SCALAR:
        return run_scalar(job)
    if driver == RUN_TILES:
        return run_tiles(job)
    return call_0(driver)


@kernel(INTEGER, INTEGER, INTEGER)
def size_in_bytes(ndim: Any, shape_address: Any) -> Any:
    size, shape = WORD_BYTES, integers_at(shape_address)
    for axis in range(ndim):
        size *= shape[axis]
    return size


@kernel(INTEGER, INTEGERS, INTEGERS, INTEGERS)
def would_overwrite(entry: Any, registers: Any, out: Any) -> Any:
    """Whether ``out`` shares memory with what an array or tile job still reads while it writes there."""
    if entry[E_DRIVER] == RUN_SCALAR:
        return 0  # scalar jobs copy their inputs first
    result = integers_at(entry[E_RESULTS])
    first = out[DATA]
    last = first + size_in_bytes(result[R_NDIM], result[R_SHAPE])
    for k in range(entry[E_N_ARGUMENTS]):
        argument = integers_at(entry[E_ARGUMENTS] + WORD_BYTES * ARGUMENT_SIZE * k)
        # batches refuse to write over their arguments, though some are copied first
        is_copied = entry[E_DRIVER] == RUN_TILES and argument[A_KIND] == ARGUMENT_COPIED
        if is_copied and argument[A_FLAGS] & CONTIGUOUS == 0:
            return 1  # who knows
        if argument[A_KIND] == ARGUMENT_ARRAY or is_copied:
            start = integers_at(registers[argument[A_REGISTER]])[DATA]
            if start < last and first < start + size_in_bytes(argument[A_NDIM], argument[A_SHAPE]):
                return 1
    reads = integers_at(entry[E_READS])
    for k in range(entry[E_N_READS]):
        if reads[2 * k] < last and first < reads[2 * k] + reads[2 * k + 1]:
            return 1
    return 0


@kernel(INTEGER, INTEGERS, INTEGERS, INTEGER)
def sweep(entry: Any, python: Any, out: Any) -> Any:
    """The object to return, 0 with an exception set, or MISSED where a guard failed."""
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
    return nested_results(entry, python)


@kernel(INTEGER, INTEGERS, INTEGERS, INTEGERS, INTEGER)
def run_entry(entry: Any, python: Any, registers: Any, out: Any) -> Any:
    """As ``sweep``, which it does on these arguments."""
    held = entry[E_IS_HELD]
    if held:
        hold(entry, python, registers)
    found = sweep(entry, python, out) if load_arguments(entry, python, registers) else 0
    if held:
        let_go(entry, python, registers)
    return found


@kernel(INTEGER, INTEGERS, INTEGERS, INTEGER, INTEGER, INTEGER, INTEGER)
def answer_of(entry: Any, python: Any, n_args: Any, args: Any, names: Any, into: Any) -> Any:
    """What the entry gives, or MISSED; then ``failed`` of the entry is the guard at which it stopped, if it did."""
    entry[E_FAILED] = -1
    n_positional = entry[E_N_POSITIONAL]
    if n_positional != n_args - into or entry[E_REMAINING] == 0 or not has_names(entry, python, names):
        return MISSED
    # what is around the function comes first: should Python code run there, nothing has been read yet that it changes
    if not is_unchanged_around(entry, python) or entry[E_BUSY] != 0:
        return MISSED
    given, registers = integers_at(args), integers_at(args)
    out = given[n_args - 1] if into else 0
    if into and not takes_result(entry, python, integers_at(out)):
        return MISSED
    if entry[E_N_UNPACKINGS] != 0 or entry[E_N_NAMES] != 0:
        registers = integers_at(entry[E_REGISTERS])
        for k in range(n_positional):
            registers[k] = given[k]
        for k in range(entry[E_N_NAMES]):
            registers[n_positional + k] = given[n_args + k]
        if not unpack(entry, python, registers):
            return MISSED
    if not takes_arguments(entry, python, registers):
        return MISSED
    if into and would_overwrite(entry, registers, integers_at(out)):
        return MISSED
    if entry[E_REMAINING] > 0:
        entry[E_REMAINING] -= 1
    entry[E_BUSY] = 1
    found = run_entry(entry, python, registers, out)
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


@kernel(INTEGER, INTEGERS, INTEGERS, INTEGER, INTEGER, INTEGER, INTEGER)
def answer(calls: Any, python: Any, n_args: Any, args: Any, names: Any, into: Any) -> Any:
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
        found = answer_of(entry, python, n_args, args, names, into)
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
    if n_args >= into:
        found = answer(calls, python, n_args, args, names, into)
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
