"""A routine as straight-line LLVM assembly: the program's instructions, then its edges, every value in a register.

The arithmetic and its order are those of the VM's kernels, so the bits are too. Two liberties show in no result: a sum
does not start from 0.0 (a last ``+ 0.0`` gives a derivative that is zero the sign that the VM gives it), and an adjoint
that no seed reaches adds nothing. Where a wanted derivative is NaN the code says so instead of writing results, and the
VM does the work, carefully. (``Entry`` has no VM to turn to and brings the careful sweeps along.)

A long program becomes several functions, because compilers take more than proportional time for long ones. What one of
them computes and another needs goes through the job's memory.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from fastgrad.native.library import Library
from fastgrad.native.routine import Edge, Instruction, NotNativeError, Place, Result, Routine, Seed, decoded, edges_of
from fastgrad.vm import instructions as isa

__all__ = ["Entry", "Lanes", "Scalar"]

# LLVM instructions in one function, about; fewer over lanes, where more registers are wanted at once
MAX_FUNCTION = 2_000
MAX_LANES_FUNCTION = 400
# events between two pauses
_PAUSE = 100

_Event = Instruction | Edge
_Adjoint = tuple[int, int]


@dataclass(frozen=True)
class _Part:
    """A stretch of events that becomes one function."""

    number: int
    events: Sequence[_Event]


class _Text:
    """What all forms share: events become functions, and values find their way between them."""

    # the parameters of every function, and of the one that calls them
    parameters: str
    max_length = MAX_FUNCTION
    # whether a factor of 0.0 gives 0.0, whatever the other is
    is_careful = False

    def __init__(self, routine: Routine, name: str, library: Library, pause: Callable[[], None]) -> None:
        """``pause`` is called often, to let other threads run."""
        self.routine, self.name, self.library, self.pause = routine, name, library, pause
        self.type = library.type
        # a scalar sweep of several derivatives at once has rows of them for adjoints
        self.row_type = self.type if routine.width == 1 else f"<{routine.width} x double>"
        self.numbers = {int(slot): float(value) for slot, value in routine.sweep.numbers.tolist()}
        self.seeds: dict[_Adjoint, list[Seed]] = defaultdict(list)
        for seed in routine.seeds:
            self.seeds[seed.sweep, seed.adjoint].append(seed)
        self.parts = self._cut([*decoded(routine.sweep.words), *edges_of(routine)])
        self.is_whole = len(self.parts) == 1
        if not self.is_whole and routine.n_sweeps > 1:
            # they would have to share the job's adjoints
            raise NotNativeError(f"a Jacobian of {routine.n_sweeps} sweeps over a program of {len(self.parts)} parts")
        self._find_crossings()
        self.written: set[int] = set()

    def _cut(self, events: Iterable[_Event]) -> list[_Part]:
        parts: list[list[_Event]] = [[]]
        length = 0
        for event in events:
            length += 2 if isinstance(event, Edge) else self.library.length(event.opcode)
            if length > self.max_length:
                parts.append([])
                length = 0
            parts[-1].append(event)
        return [_Part(number, events) for number, events in enumerate(parts)]

    def _find_crossings(self) -> None:
        """The slots that another part reads than the one that writes them; adjoints' first and last parts."""
        writer: dict[int, int] = {}
        self.crossing: set[int] = set()
        self.first_touch: dict[_Adjoint, int] = {}
        self.last_touch: dict[_Adjoint, int] = {}
        last = self.parts[-1].number
        for part in self.parts:
            for event in part.events:
                if isinstance(event, Edge):
                    read: tuple[int, ...] = (event.partial,)
                    for adjoint in ((event.sweep, event.source), (event.sweep, event.target)):
                        self.first_touch.setdefault(adjoint, part.number)
                        self.last_touch[adjoint] = part.number
                else:
                    read = event.read
                self.crossing.update(slot for slot in read if writer.get(slot, part.number) != part.number)
                if isinstance(event, Instruction):
                    writer.update((slot, part.number) for slot in event.written)
        for result in self.routine.results:
            if result.sweep >= 0:
                self.last_touch[result.sweep, result.position] = last
            elif writer.get(result.position, last) != last:
                self.crossing.add(result.position)

    # ---- functions

    def write(self, is_quick: bool) -> str:
        """The functions' text; the quick way translates them as they stand."""
        functions = [self._function(part, is_quick) for part in self.parts]
        return "\n".join(functions if self.is_whole else [*functions, self._sequence()])

    def _function(self, part: _Part, is_quick: bool) -> str:
        self.part = part.number
        self.lines: list[str] = []
        self.values: dict[int, str] = {}
        self.adjoints: dict[_Adjoint, str] = {}
        self.changed: set[_Adjoint] = set()
        self._begin()
        for number, event in enumerate(part.events):
            if number % _PAUSE == 0:
                self.pause()
            if isinstance(event, Edge):
                self._edge(event)
            else:
                self._instruction(event)
        if part is self.parts[-1]:
            self._finish()
        else:
            for sweep, adjoint in sorted(self.changed):
                if self.last_touch[sweep, adjoint] > part.number:
                    self._store(self.row_type, self.adjoints[sweep, adjoint], self._adjoint_place(adjoint))
            self._end("")
        name = self.name if self.is_whole else f"{self.name}.{part.number}"
        body = "\n".join(self.lines)
        kind = "define" if self.is_whole else "define internal"
        attributes = ["nounwind", *["noinline"] * (is_quick or not self.is_whole), *["optnone"] * is_quick]
        return f'{kind} i64 @"{name}"({self.parameters}) {" ".join(attributes)} {{\n{body}\n}}\n'

    def _sequence(self) -> str:
        """The function to call where there are several: it runs them in turn until one says to stop."""
        lines = []
        for part in self.parts:
            k = part.number
            lines.append(f'%r{k} = call i64 @"{self.name}.{k}"({self.parameters})')
            if part is self.parts[-1]:
                lines.append(f"ret i64 %r{k}")
            elif any(isinstance(event, Instruction) and event.number >= 0 for event in part.events):
                lines.append(f"%goes{k} = icmp eq i64 %r{k}, -1\nbr i1 %goes{k}, label %go{k}, label %stop{k}")
                lines.append(f"stop{k}:\nret i64 %r{k}\ngo{k}:")
        body = "\n".join(lines)
        return f'define i64 @"{self.name}"({self.parameters}) nounwind {{\n{body}\n}}\n'

    def _begin(self) -> None:
        raise NotImplementedError

    def _end(self, nan: str) -> None:
        """Finish a function; ``nan`` is a condition of the text's width, or empty."""
        raise NotImplementedError

    def _finish(self) -> None:
        """Write the results, unless a derivative is NaN."""
        raise NotImplementedError

    # ---- lines

    def _line(self, text: str) -> str:
        """Append an instruction; the name of what it computes."""
        name = self.library.fresh()
        self.lines.append(f"{name} = {text}")
        return name

    def _store(self, kind: str, value: str, place: str) -> None:
        self.lines.append(f"store {kind} {value}, ptr {place}, align 8")

    def _read(self, kind: str, place: str) -> str:
        return self._line(f"load {kind}, ptr {place}, align 8")

    def _at(self, pointer: str, doubles: int | str) -> str:
        return self._line(f"getelementptr double, ptr {pointer}, i64 {doubles}")

    # ---- values

    def _value(self, slot: int) -> str:
        found = self.values.get(slot)
        if found is None:
            if slot in self.numbers:
                return self.library.constant(self.numbers[slot])
            # sweeps with few slots use those of inputs again
            place = None if slot in self.written else self.routine.inputs.get(slot)
            found = self._read(self.type, self._slot_place(slot)) if place is None else self._load(place)
            self.values[slot] = found
        return found

    def _instruction(self, event: Instruction) -> None:
        operands = [self._value(slot) for slot in event.read]
        results = self.library.expand(event.opcode, operands, self.lines)
        if event.number >= 0:
            self._guard(event.number, results[0])
        for slot, result in zip(event.written, results, strict=False):
            self.values[slot] = result
            self.written.add(slot)
            if slot in self.crossing:
                self._store(self.type, result, self._slot_place(slot))

    def _slot_place(self, slot: int) -> str:
        raise NotImplementedError

    def _load(self, place: Place) -> str:
        raise NotImplementedError

    def _guard(self, number: int, holds: str) -> None:
        raise NotImplementedError

    # ---- adjoints

    def _adjoint(self, key: _Adjoint) -> str | None:
        """The adjoint so far; None where nothing has been added to it."""
        found = self.adjoints.get(key)
        if found is None:
            if self.first_touch.get(key, self.part) < self.part:
                found = self._read(self.row_type, self._adjoint_place(key[1]))
            elif key in self.seeds:
                found = self._seeded(self.seeds[key])
                self.changed.add(key)
            else:
                return None
            self.adjoints[key] = found
        return found

    def _seeded(self, seeds: Sequence[Seed]) -> str:
        """What the seeds of an adjoint sum up to. Only adjoints of one column have seeds that are not known yet."""
        known = [0.0] * self.routine.width
        for seed in seeds:
            known[seed.column] += seed.value
        total = self.library.constant(known[0]) if len(known) == 1 else _vector(known)
        for seed in seeds:
            if seed.place is not None:
                total = self._line(f"fadd {self.type} {total}, {self._load(seed.place)}")
        return total

    def _edge(self, edge: Edge) -> None:
        source = self._adjoint((edge.sweep, edge.source))
        assert source is not None
        partial = self._value(edge.partial)
        if self.routine.width > 1:
            partial = self._spread(edge.partial, partial)
        product = self._line(f"fmul {self.row_type} {source}, {partial}")
        if self.is_careful:
            product = self._unless_zero(product, source, partial)
        key = edge.sweep, edge.target
        before = self._adjoint(key)
        self.adjoints[key] = product if before is None else self._line(f"fadd {self.row_type} {before}, {product}")
        self.changed.add(key)

    def _unless_zero(self, product: str, *factors: str) -> str:
        """The product, or 0.0 where one of the factors is 0.0, whatever the other is."""
        bits = "i1" if self.routine.width == 1 else f"<{self.routine.width} x i1>"
        zero = self.library.constant(0.0) if self.routine.width == 1 else _vector([0.0] * self.routine.width)
        first, second = (self._line(f"fcmp oeq {self.row_type} {factor}, {zero}") for factor in factors)
        either = self._line(f"or {bits} {first}, {second}")
        return self._line(f"select {bits} {either}, {self.row_type} {zero}, {self.row_type} {product}")

    def _spread(self, slot: int, value: str) -> str:
        """A number in every column of a row."""
        width = self.routine.width
        if slot in self.numbers:
            return _vector([self.numbers[slot]] * width)
        one = self._line(f"insertelement {self.row_type} poison, double {value}, i64 0")
        return self._line(
            f"shufflevector {self.row_type} {one}, {self.row_type} poison, <{width} x i32> zeroinitializer"
        )

    def _adjoint_place(self, adjoint: int) -> str:
        raise NotImplementedError

    def _derivative(self, result: Result) -> str | None:
        """A wanted adjoint, with the sign of zero that the VM gives it; None where it is zero."""
        found = self._adjoint((result.sweep, result.position))
        if found is None:
            return None
        if self.routine.width > 1:
            found = self._line(f"extractelement {self.row_type} {found}, i64 {result.column}")
        return self._line(f"fadd {self.type} {found}, {self.library.constant(0.0)}")

    def _outcomes(self) -> tuple[list[tuple[Result, str]], str]:
        """The results, and the condition (or nothing) under which one of the derivatives is NaN."""
        found, nan = [], ""
        for result in self.routine.results:
            if result.sweep < 0:
                found.append((result, self._value(result.position)))
                continue
            value = self._derivative(result)
            found.append((result, value or self.library.constant(0.0)))
            if value:
                test = self._line(f"fcmp uno {self.type} {value}, {value}")
                nan = self._line(f"or {self.library.condition_type} {nan}, {test}") if nan else test
        return found, nan


def _vector(values: Sequence[float]) -> str:
    return "<" + ", ".join(f"double {Library.number(value)}" for value in values) + ">"


class Scalar(_Text):
    """``i64 name(job)``: a routine for one evaluation. Fields of the job and of its records give the addresses."""

    parameters = "ptr %job"

    def _begin(self) -> None:
        self.lines.append("entry:")
        self.pointers: dict[tuple[str, int], str] = {}

    def _field(self, name: str) -> str:
        """An address among the fields of the job."""
        return self._pointer_at("%job", name, 8 * isa.field_offset(isa.JOB, name))

    def _pointer_at(self, base: str, name: str, offset: int) -> str:
        found = self.pointers.get((name, offset))
        if found is None:
            word = self._line(f"getelementptr i8, ptr {base}, i64 {offset}")
            found = self.pointers[name, offset] = self._line(f"load ptr, ptr {word}, align 8")
        return found

    def _address(self, place: Place) -> str:
        """Where a number is, behind the address in a record of a table."""
        kind = {"inputs": isa.INPUT, "seeds": isa.SEED, "outputs": isa.OUTPUT}[place.table]
        offset = kind.itemsize * place.record + 8 * isa.field_offset(kind, "address")
        pointer = self._pointer_at(self._field(place.table), place.table + " record", offset)
        return self._at(pointer, place.element)

    def _load(self, place: Place) -> str:
        return self._read(self.type, self._address(place))

    def _slot_place(self, slot: int) -> str:
        return self._at(self._field("memory"), slot)

    def _adjoint_place(self, adjoint: int) -> str:
        return self._at(self._field("adjoints"), adjoint * self.routine.width)

    def _guard(self, number: int, holds: str) -> None:
        label = self.library.fresh()[1:]
        self.lines.append(f"br i1 {holds}, label %{label}.holds, label %{label}.fails")
        self.lines.append(f"{label}.fails:\nret i64 {number}\n{label}.holds:")

    def _finish(self) -> None:
        outcomes, nan = self._outcomes()
        if nan and not self.is_careful:
            self.lines.append(f"br i1 {nan}, label %careful, label %write\ncareful:\nret i64 {isa.NAN_FOUND}\nwrite:")
        for result, value in outcomes:
            self._store(self.type, value, self._address(result.place))
        self._end("")

    def _end(self, nan: str) -> None:
        self.lines.append("ret i64 -1")


class _AtPointers(Scalar):
    """A routine for one evaluation that is given addresses, not a job."""

    parameters = "ptr %inputs, ptr %outputs, ptr %workspace"

    def _address(self, place: Place) -> str:
        return self._at(self._pointer_at(f"%{place.table}", place.table, 8 * place.record), place.element)

    def _slot_place(self, slot: int) -> str:
        return self._at("%workspace", slot)

    def _adjoint_place(self, adjoint: int) -> str:
        return self._at("%workspace", self.routine.sweep.n_slots + adjoint * self.routine.width)


class _Careful(_AtPointers):
    is_careful = True


class Entry:
    """``i64 name(inputs, outputs, workspace)``: a routine that needs nothing but this code.

    ``inputs`` and ``outputs`` are tables of addresses, one for each array. The workspace may be anything where the
    program is short (see ``EntrySource.workspace``). It returns -1, or the number of a failed guard, and then has
    written nothing.
    """

    def __init__(self, routine: Routine, name: str, library: Library, pause: Callable[[], None]) -> None:
        self._name = name
        self._forms = [
            _AtPointers(routine, f"{name}.plain", library, pause),
            _Careful(routine, f"{name}.careful", library, pause),
        ]

    def write(self, is_quick: bool) -> str:
        parameters = _AtPointers.parameters
        functions = [form.write(is_quick).replace("define i64", "define internal i64") for form in self._forms]
        lines = [
            f'%plain = call i64 @"{self._name}.plain"({parameters})',
            f"%gave_up = icmp eq i64 %plain, {isa.NAN_FOUND}",
            "br i1 %gave_up, label %again, label %done",
            f'again:\n%careful = call i64 @"{self._name}.careful"({parameters})\nret i64 %careful',
            "done:\nret i64 %plain",
        ]
        body = "\n".join(lines)
        return "\n".join([*functions, f'define i64 @"{self._name}"({parameters}) nounwind {{\n{body}\n}}\n'])


class Lanes(_Text):
    """``i64 name(rows, lanes, failed, memory, adjoints)``: a routine over a tile, some lanes at a time.

    ``rows`` has the address of a row of lanes for each place. Results are written in any case, for the caller to do the
    tile again where NaN was found. A lane of ``failed`` keeps the number of the first guard that does not hold there.
    """

    max_length = MAX_LANES_FUNCTION
    parameters = "ptr %rows, i64 %lanes, ptr %failed, ptr %memory, ptr %adjoints"

    def _begin(self) -> None:
        self.lines.append("entry:")
        # what does not depend on the lane is read before the loop
        self.before: list[str] = []
        self.pointers: dict[int, str] = {}
        self.uniform: dict[int, str] = {}
        self.last_block = "%loop"

    def _row(self, record: int) -> str:
        found = self.pointers.get(record)
        if found is None:
            place, found = f"%row{record}.place", f"%row{record}"
            self.before.append(f"{place} = getelementptr ptr, ptr %rows, i64 {record}")
            self.before.append(f"{found} = load ptr, ptr {place}, align 8")
            self.pointers[record] = found
        return found

    def _load(self, place: Place) -> str:
        row = self._row(place.record)
        if not place.uniform:
            return self._read(self.type, self._at(row, "%lane"))
        found = self.uniform.get(place.record)
        if found is None:
            found = self.uniform[place.record] = f"{row}.all"
            width = self.library.width
            self.before.append(f"{row}.one = load double, ptr {row}, align 8")
            self.before.append(f"{row}.first = insertelement {self.type} poison, double {row}.one, i64 0")
            zeros = f"<{width} x i32> zeroinitializer"
            self.before.append(f"{found} = shufflevector {self.type} {row}.first, {self.type} poison, {zeros}")
        return found

    def _slot_place(self, slot: int) -> str:
        return self._in_workspace("%memory", slot)

    def _adjoint_place(self, adjoint: int) -> str:
        return self._in_workspace("%adjoints", adjoint)

    def _in_workspace(self, base: str, row: int) -> str:
        start = self._line(f"mul i64 %lanes, {row}")
        return self._at(base, self._line(f"add i64 {start}, %lane"))

    def _guard(self, number: int, holds: str) -> None:
        width, label = self.library.width, self.library.fresh()[1:]
        bits = self._line(f"bitcast {self.library.condition_type} {holds} to i{width}")
        good = self._line(f"icmp eq i{width} {bits}, -1")
        self.lines.append(f"br i1 {good}, label %{label}.hold, label %{label}.fail\n{label}.fail:")
        place = self._line("getelementptr i64, ptr %failed, i64 %lane")
        kind = f"<{width} x i64>"
        before = self._line(f"load {kind}, ptr {place}, align 8")
        earlier = self._line(f"icmp ne {kind} {before}, splat (i64 -1)")
        kept = self._line(f"or {self.library.condition_type} {holds}, {earlier}")
        after = self._line(f"select {self.library.condition_type} {kept}, {kind} {before}, {kind} splat (i64 {number})")
        self.lines.append(f"store {kind} {after}, ptr {place}, align 8\nbr label %{label}.hold\n{label}.hold:")
        self.last_block = f"%{label}.hold"

    def _finish(self) -> None:
        outcomes, nan = self._outcomes()
        for result, value in outcomes:
            self._store(self.type, value, self._at(self._row(result.place.record), "%lane"))
        self._end(nan)

    def _end(self, nan: str) -> None:
        condition, width = self.library.condition_type, self.library.width
        found = self._line(f"or {condition} %nan, {nan}") if nan else "%nan"
        body = self.lines[1:]
        self.lines = ["entry:", *self.before, "br label %loop", "loop:"]
        self.lines.append(f"%lane = phi i64 [0, %entry], [%next, {self.last_block}]")
        self.lines.append(f"%nan = phi {condition} [zeroinitializer, %entry], [{found}, {self.last_block}]")
        self.lines += body
        self.lines.append(f"%next = add i64 %lane, {width}\n%goes = icmp slt i64 %next, %lanes")
        self.lines.append("br i1 %goes, label %loop, label %after\nafter:")
        self.lines.append(f"%bits = bitcast {condition} {found} to i{width}\n%any = icmp ne i{width} %bits, 0")
        self.lines.append(f"%status = select i1 %any, i64 {isa.NAN_FOUND}, i64 -1\nret i64 %status")
