"""The operations as LLVM functions, emitted by running the op table on the values of :mod:`fastgrad.emit`.

The kernels (``kernels.py``) call what is defined here by name:

``run_common(words, position, memory) -> position``         scalar instructions up to the next that is not a common one,
                                                            and guards up to the first that fails
``step(words, position, memory) -> position``               one scalar instruction of the others
``step_lanes(words, position, memory, lanes) -> position``  one instruction over rows
``check_lanes(words, position, memory, lanes, failed)``     one guard over rows
``add_product`` and its kin                                 the inner loops of sweeps over rows

The common instructions are threaded: each ends with its own indirect jump to the next, which processors predict better
than one shared jump. The others are the cases of a switch; a long one is a function of its own, so that its dozens of
constants are not hoisted into the sweep. Rows are walked in vectors of eight.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir

from fastgrad import basis
from fastgrad.emit import F64, I64, Emitter, FloatValue, IntegerValue
from fastgrad.vm.instructions import (
    CHUNK,
    GUARD,
    GUARD_WORDS,
    GUARDS,
    INSTRUCTIONS,
    N_COMMON,
    Guard,
    Instruction,
)

I32 = ir.IntType(32)
VOID = ir.VoidType()
POINTER = ir.PointerType()

INLINE_INSTRUCTIONS = 12  # a scalar operation up to this long is computed within the switch
ROW_ALIGNMENT = 64

# What the kernels may call: name -> (result, arguments).
SIGNATURES: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "run_common": (I64, (POINTER, I64, POINTER)),
    "step": (I64, (POINTER, I64, POINTER)),
    "step_lanes": (I64, (POINTER, I64, POINTER, I64)),
    "check_lanes": (VOID, (POINTER, I64, POINTER, I64, POINTER)),
    "add_product": (VOID, (POINTER, POINTER, POINTER, I64)),
    "add_product_careful": (VOID, (POINTER, POINTER, POINTER, I64)),
    "add_scaled": (VOID, (POINTER, POINTER, F64, I64)),
    "add_scaled_careful": (VOID, (POINTER, POINTER, F64, I64)),
    "sum_of_row": (F64, (POINTER, I64)),
}


def emit_operations(module: ir.Module) -> None:
    """Define every function of ``SIGNATURES`` in ``module``."""
    _define_run_common(module)
    _define_step(module)
    _define_step_lanes(module)
    _define_check_lanes(module)
    for careful in (False, True):
        _define_add_product(module, careful)
        _define_add_scaled(module, careful)
    _define_sum_of_row(module)


def symbol(name: str) -> str:
    return f"fastgrad.{name}"


def declare(module: ir.Module, name: str) -> ir.Function:
    """The function of that name in ``module``, declared there if it is not yet."""
    result, arguments = SIGNATURES[name]
    declared = module.globals.get(symbol(name))
    return declared or ir.Function(module, ir.FunctionType(result, arguments), symbol(name))


def _begin(module: ir.Module, name: str, argument_names: str, inline: bool) -> tuple[ir.IRBuilder, Sequence[Any]]:
    function = declare(module, name)
    function.attributes.add("alwaysinline" if inline else "noinline")
    function.attributes.add("nounwind")
    for argument, argument_name in zip(function.args, argument_names.split(), strict=True):
        argument.name = argument_name
    return ir.IRBuilder(function.append_basic_block("entry")), function.args


def _index(value: int) -> ir.Constant:
    return ir.Constant(I64, value)


# ---- one instruction


def _slots(builder: ir.IRBuilder, words: Any, position: Any, instruction: Instruction) -> list[Any]:
    """The slot numbers after the opcode, as 64-bit integers: out, operands, computed partials."""
    slots = []
    for offset in range(1, instruction.n_words):
        place = builder.gep(words, [builder.add(position, _index(offset))], source_etype=I32)
        slots.append(builder.zext(builder.load(place, align=4, typ=I32), I64))
    return slots


def _compute(
    emitter: Emitter, instruction: Instruction, slots: list[Any], place: Callable[[Any], Any], alignment: int
) -> None:
    """Load the operands, evaluate, store the result and the partials; ``place`` gives a slot's address."""
    builder = emitter.builder
    out, operands, computed = slots[0], slots[1 : 1 + instruction.n_operands], slots[1 + instruction.n_operands :]
    values = [
        FloatValue(emitter, builder.load(place(slot), align=alignment, typ=emitter.float_type)) for slot in operands
    ]
    for slot, result in zip((out, *computed), instruction.evaluate(*values), strict=True):
        builder.store(emitter.float(result).llvm, place(slot), align=alignment)


def _length(instruction: Instruction) -> int:
    """How many LLVM instructions the scalar form takes."""
    module = ir.Module()
    function = ir.Function(module, ir.FunctionType(VOID, [POINTER]), "probe")
    builder = ir.IRBuilder(function.append_basic_block())
    values = [FloatValue(Emitter(builder), ir.Constant(F64, ir.Undefined)) for _ in range(instruction.n_operands)]
    instruction.evaluate(*values)
    return sum(len(block.instructions) for block in function.blocks)


def _define_run_common(module: ir.Module) -> None:
    builder, (words, start, memory) = _begin(module, "run_common", "words position memory", inline=False)
    function = builder.function
    cases = [function.append_basic_block(instruction.name) for instruction in INSTRUCTIONS[:N_COMMON]]
    checks = [function.append_basic_block(guard.name) for guard in GUARDS]
    other = function.append_basic_block("other")
    blocks = [*cases, *checks, other]
    table = _jump_table(module, function, [*cases, *[other] * (len(INSTRUCTIONS) - N_COMMON), *checks, other])
    origin = ir.FormattedConstant(I64, _address_of(cases[0]))

    def dispatch(position: Any) -> None:
        opcode = builder.load(builder.gep(words, [position], source_etype=I32), align=4, typ=I32)
        entry = builder.gep(table, [_index(0), builder.zext(opcode, I64)], inbounds=True)
        distance = builder.sext(builder.load(entry, align=4, typ=I32), I64)
        jump = builder.branch_indirect(builder.inttoptr(builder.add(origin, distance), POINTER))
        for block in blocks:
            jump.add_destination(block)

    arrivals = [(start, builder.block)]
    dispatch(start)
    positions = {}
    for block, step in zip(blocks, (*INSTRUCTIONS[:N_COMMON], *GUARDS, None), strict=True):
        builder.position_at_end(block)
        position = positions[block] = builder.phi(I64)
        if step is None:
            builder.ret(position)
            continue
        if isinstance(step, Guard):
            failed = function.append_basic_block("failed")
            passed = function.append_basic_block("passed")
            holds = _check(Emitter(builder), step, words, position, memory, _index(1))
            builder.cbranch(holds.llvm, passed, failed).set_weights([1 << 20, 1])
            builder.position_at_end(failed)
            builder.ret(position)
            builder.position_at_end(passed)
            following = builder.add(position, _index(GUARD_WORDS))
        else:
            _scalar(builder, step, words, position, memory)
            following = builder.add(position, _index(step.n_words))
        arrivals.append((following, builder.block))
        dispatch(following)
    for position in positions.values():
        for value, block in arrivals:
            position.add_incoming(value, block)


def _check(emitter: Emitter, guard: Guard, words: Any, position: Any, memory: Any, lanes: Any, lane: Any = None) -> Any:
    """Whether the guard holds for two slots, or for a chunk of lanes of theirs."""
    builder = emitter.builder
    values = []
    for offset in (2, 3):
        word = builder.gep(words, [builder.add(position, _index(offset))], source_etype=I32)
        slot = builder.mul(builder.zext(builder.load(word, align=4, typ=I32), I64), lanes)
        place = builder.gep(memory, [slot if lane is None else builder.add(slot, lane)], source_etype=F64)
        alignment = 8 if lane is None else ROW_ALIGNMENT
        values.append(FloatValue(emitter, builder.load(place, align=alignment, typ=emitter.float_type)))
    return guard.holds(*values)


def _jump_table(module: ir.Module, function: ir.Function, blocks: list[ir.Block]) -> ir.GlobalVariable:
    """The distance of each block from the first: numbers, so that the code needs no absolute address."""
    start = _address_of(blocks[0])
    distances = [
        ir.FormattedConstant(I32, f"trunc (i64 sub (i64 {_address_of(block)}, i64 {start}) to i32)") for block in blocks
    ]
    table = ir.GlobalVariable(module, ir.ArrayType(I32, len(blocks)), f"{function.name}.jumps")
    table.global_constant = True
    table.linkage = "internal"
    table.initializer = ir.Constant(table.value_type, distances)
    return table


def _address_of(block: ir.Block) -> str:
    return f"ptrtoint (ptr blockaddress({block.function.get_reference()}, {block.get_reference()}) to i64)"


def _define_step(module: ir.Module) -> None:
    builder, (words, position, memory) = _begin(module, "step", "words position memory", inline=False)

    def case(instruction: Instruction) -> None:
        if _length(instruction) > INLINE_INSTRUCTIONS:
            builder.call(_scalar_function(module, instruction), [words, position, memory])
        else:
            _scalar(builder, instruction, words, position, memory)

    _switch(builder, words, position, range(N_COMMON, len(INSTRUCTIONS)), case)


def _scalar(builder: ir.IRBuilder, instruction: Instruction, words: Any, position: Any, memory: Any) -> None:
    slots = _slots(builder, words, position, instruction)
    _compute(
        Emitter(builder), instruction, slots, lambda slot: builder.gep(memory, [slot], source_etype=F64), alignment=8
    )


def _scalar_function(module: ir.Module, instruction: Instruction) -> ir.Function:
    function = ir.Function(module, ir.FunctionType(VOID, [POINTER, I64, POINTER]), symbol(f"scalar.{instruction.name}"))
    function.linkage = "internal"
    function.attributes.add("noinline")
    function.attributes.add("nounwind")
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    _scalar(builder, instruction, *function.args)
    builder.ret_void()
    return function


def _define_step_lanes(module: ir.Module) -> None:
    builder, (words, position, memory, lanes) = _begin(module, "step_lanes", "words position memory lanes", inline=True)

    def case(instruction: Instruction) -> None:
        builder.call(lanes_function(module, instruction), [words, position, memory, lanes])

    _switch(builder, words, position, range(len(INSTRUCTIONS)), case)


def lanes_function(module: ir.Module, instruction: Instruction) -> ir.Function:
    """One instruction over rows: ``(words, position, memory, lanes)``, eight lanes at a time."""
    function = ir.Function(
        module, ir.FunctionType(VOID, [POINTER, I64, POINTER, I64]), symbol(f"lanes.{instruction.name}")
    )
    function.linkage = "internal"
    function.attributes.add("noinline")
    function.attributes.add("nounwind")
    words, position, memory, lanes = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    slots = _slots(builder, words, position, instruction)
    rows = [builder.gep(memory, [builder.mul(slot, lanes)], source_etype=F64) for slot in slots]

    def body(lane: Any) -> None:
        def place(row: Any) -> Any:
            return builder.gep(row, [lane], source_etype=F64)

        _compute(Emitter(builder, CHUNK), instruction, rows, place, ROW_ALIGNMENT)

    _for_each_chunk(builder, lanes, body)
    builder.ret_void()
    return function


def _define_check_lanes(module: ir.Module) -> None:
    """Where a guard does not hold in a lane, ``failed`` of that lane becomes its number if it was -1."""
    names = "words position memory lanes failed"
    builder, (words, position, memory, lanes, failed) = _begin(module, "check_lanes", names, inline=False)
    number = builder.load(builder.gep(words, [builder.add(position, _index(1))], source_etype=I32), align=4, typ=I32)
    numbers = _splat(builder, builder.zext(number, I64))
    opcode = builder.load(builder.gep(words, [position], source_etype=I32), align=4, typ=I32)
    other = builder.append_basic_block("other")
    switch = builder.switch(opcode, other)
    for offset, guard in enumerate(GUARDS):
        block = builder.append_basic_block(guard.name)
        switch.add_case(ir.Constant(I32, GUARD + offset), block)
        builder.position_at_end(block)

        def body(lane: Any, guard: Guard = guard) -> None:
            emitter = Emitter(builder, CHUNK)
            holds = _check(emitter, guard, words, position, memory, lanes, lane)
            with builder.if_then((~holds).in_any_lane(), likely=False):
                place = builder.gep(failed, [lane], source_etype=I64)
                before = IntegerValue(emitter, builder.load(place, align=8, typ=emitter.integer_type))
                kept = (holds | (before != -1)).select(before, IntegerValue(emitter, numbers))
                builder.store(kept.llvm, place, align=8)

        _for_each_chunk(builder, lanes, body)
        builder.ret_void()
    builder.position_at_end(other)
    builder.unreachable()


def _switch(
    builder: ir.IRBuilder, words: Any, position: Any, opcodes: range, case: Callable[[Instruction], None]
) -> None:
    """Run the case of the opcode at ``position``, which is one of ``opcodes``, and return the position after it."""
    opcode = builder.load(builder.gep(words, [position], source_etype=I32), align=4, typ=I32)
    function = builder.function
    other = function.append_basic_block("other")
    switch = builder.switch(opcode, other)
    for number in opcodes:
        instruction = INSTRUCTIONS[number]
        block = function.append_basic_block(instruction.name)
        switch.add_case(ir.Constant(I32, number), block)
        builder.position_at_end(block)
        case(instruction)
        builder.ret(builder.add(position, _index(instruction.n_words)))
    builder.position_at_end(other)
    builder.unreachable()


def _for_each_chunk(builder: ir.IRBuilder, count: Any, body: Callable[[Any], None]) -> None:
    """``for lane in range(0, count, 8): body(lane)``; ``count`` is at least 8."""
    before = builder.block
    loop = builder.append_basic_block("chunk")
    after = builder.append_basic_block("after")
    builder.branch(loop)
    builder.position_at_end(loop)
    lane = builder.phi(I64)
    lane.add_incoming(_index(0), before)
    body(lane)
    following = builder.add(lane, _index(CHUNK))
    lane.add_incoming(following, builder.block)
    builder.cbranch(builder.icmp_signed("<", following, count), loop, after)
    builder.position_at_end(after)


# ---- inner loops of the sweeps over rows


def _sum_with_product(target: FloatValue, source: FloatValue, factor: FloatValue, careful: bool) -> Any:
    total = target + source * factor
    return basis.select((source == 0.0) | (factor == 0.0), target, total) if careful else total


def _chunk_of(emitter: Emitter, row: Any, lane: Any) -> tuple[Any, FloatValue]:
    builder = emitter.builder
    place = builder.gep(row, [lane], source_etype=F64)
    return place, FloatValue(emitter, builder.load(place, align=ROW_ALIGNMENT, typ=emitter.float_type))


def _define_add_product(module: ir.Module, careful: bool) -> None:
    """``target += source * factor``, row by row."""
    name = "add_product_careful" if careful else "add_product"
    builder, (target, source, factor, count) = _begin(module, name, "target source factor count", inline=True)
    emitter = Emitter(builder, CHUNK)

    def body(lane: Any) -> None:
        place, total = _chunk_of(emitter, target, lane)
        _, x = _chunk_of(emitter, source, lane)
        _, y = _chunk_of(emitter, factor, lane)
        builder.store(_sum_with_product(total, x, y, careful).llvm, place, align=ROW_ALIGNMENT)

    _for_each_chunk(builder, count, body)
    builder.ret_void()


def _define_add_scaled(module: ir.Module, careful: bool) -> None:
    """``target += source * factor``, rows by a number."""
    name = "add_scaled_careful" if careful else "add_scaled"
    builder, (target, source, factor, count) = _begin(module, name, "target source factor count", inline=True)
    emitter = Emitter(builder, CHUNK)
    y = FloatValue(emitter, _splat(builder, factor))

    def body(lane: Any) -> None:
        place, total = _chunk_of(emitter, target, lane)
        _, x = _chunk_of(emitter, source, lane)
        builder.store(_sum_with_product(total, x, y, careful).llvm, place, align=ROW_ALIGNMENT)

    _for_each_chunk(builder, count, body)
    builder.ret_void()


def _splat(builder: ir.IRBuilder, scalar: Any) -> Any:
    vector = ir.VectorType(scalar.type, CHUNK)
    first = builder.insert_element(ir.Constant(vector, ir.Undefined), scalar, ir.Constant(I32, 0))
    mask = ir.Constant(ir.VectorType(I32, CHUNK), [ir.Constant(I32, 0)] * CHUNK)
    return builder.shuffle_vector(first, ir.Constant(vector, ir.Undefined), mask)


def _define_sum_of_row(module: ir.Module) -> None:
    """The sum of the first ``count`` lanes: eight partial sums, each over every eighth lane, then pairs of them."""
    builder, (row, count) = _begin(module, "sum_of_row", "row count", inline=False)
    emitter = Emitter(builder, CHUNK)
    lane_numbers = ir.Constant(emitter.integer_type, [_index(lane) for lane in range(CHUNK)])
    before = builder.block
    loop = builder.append_basic_block("chunk")
    after = builder.append_basic_block("after")
    builder.branch(loop)
    builder.position_at_end(loop)
    lane, partial = builder.phi(I64), builder.phi(emitter.float_type)
    lane.add_incoming(_index(0), before)
    partial.add_incoming(emitter.constant(F64, 0.0), before)
    _, x = _chunk_of(emitter, row, lane)
    within = IntegerValue(emitter, lane_numbers) < IntegerValue(emitter, _splat(builder, builder.sub(count, lane)))
    total = FloatValue(emitter, partial) + basis.select(within, x, 0.0)
    following = builder.add(lane, _index(CHUNK))
    lane.add_incoming(following, loop)
    partial.add_incoming(total.llvm, loop)
    builder.cbranch(builder.icmp_signed("<", following, count), loop, after)
    builder.position_at_end(after)
    scalar = Emitter(builder)
    sums = [FloatValue(scalar, builder.extract_element(total.llvm, ir.Constant(I32, k))) for k in range(CHUNK)]
    while len(sums) > 1:
        half = len(sums) // 2
        sums = [sums[k] + sums[k + half] for k in range(half)]
    builder.ret(sums[0].llvm)
