"""A planned scalar program as C functions: a forward part, a derivative sweep, and the careful sweep.

Every part is straight-line code in functions of at most ``STATEMENTS_PER_FUNCTION`` statements, so that a compiler's
time grows with the length of the program and no faster. What repeats along arrays is a loop. Values live in local
variables; those that another function or a loop needs also have a place in the workspace ``w``::

    inputs | values that are needed elsewhere | adjoints | constant factors of the careful sweep

In a program with loops every slot has its own place in front of the adjoints. Adjoints begin with what is first added
to them, which differs from the VM's 0 + that in the sign of zeros only; ``+ 0.0``, where results are written, takes
that away.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Sequence

from fastgrad.native.c_functions import CFunctions, condition, expressions, number_lines
from fastgrad.native.c_memory import Memory, index_text
from fastgrad.native.c_statements import Check, Instruction, Loop, Term, decoded, rolled
from fastgrad.plan.sweep import Sweep
from fastgrad.vm import instructions as isa

__all__ = ["CProgram", "Runs", "runs_text"]

# gcc takes as long for 100, a third longer for 1,000; the gradient of 200 Runge-Kutta steps runs alike with all of them
STATEMENTS_PER_FUNCTION = 250

TARGET, SOURCE, FACTOR = range(3)  # the slots of a term
Forward = Instruction | Check | Loop[Instruction | Check]
Backward = Term | Loop[Term]


class CProgram:
    """The functions of a sweep (``<prefix>forward0``, ``<prefix>sweep0`` and so on), and where things are in ``w``.

    ``seeded`` are the adjoints that have a value before the sweep, ``wanted`` those that are read after it.
    """

    def __init__(self, sweep: Sweep, prefix: str, tangent: bool, seeded: Sequence[int], wanted: Sequence[int]) -> None:
        self.prefix = prefix
        self.functions = CFunctions(prefix)
        self.memory = Memory(sweep, prefix)
        self.seeded, self.wanted = frozenset(seeded), frozenset(wanted)
        self.n_adjoints = sweep.n_adjoints
        self.statements: list[Forward] = list(rolled(list(decoded(sweep.words.tolist())), self._kind))
        self.terms: list[Backward] = list(
            rolled(_reached_terms(sweep, tangent, seeded), lambda term: self.memory.region(term.factor))
        )
        self.has_loops = any(isinstance(item, Loop) for item in (*self.statements, *self.terms))
        self._read_elsewhere = self._find_read_elsewhere(sweep)
        self._place()
        self.adjoint_start = self.memory.size
        self.workspace_size = self.adjoint_start + self.n_adjoints
        self.forward_parts = self._forward_parts()
        self.sweep_parts = self._sweep_parts()
        self.careful = self._careful() if self.terms else ""

    @property
    def n_statements(self) -> int:
        return len(self.statements) + len(self.terms)

    @property
    def sweep_adds(self) -> bool:
        """Whether the sweep has loops, which add to what must be 0 before."""
        return any(isinstance(item, Loop) for item in self.terms)

    @property
    def unreached(self) -> set[int]:
        """Wanted adjoints that the sweep does not come to."""
        return set(self.wanted - self.seeded).difference(*map(_adjoints, self.terms))

    def _kind(self, statement: Instruction | Check) -> Hashable:
        if isinstance(statement, Check):
            return None
        return statement.opcode, *map(self.memory.region, statement.operands)

    # ---- places

    def _find_read_elsewhere(self, sweep: Sweep) -> set[int]:
        """Slots that are read outside the function that computes them."""
        elsewhere = {slot for item in self.terms for slot in _factors(item)}
        elsewhere.update(int(slot) for slots in sweep.outputs for slot in slots.ravel())
        made_in: dict[int, int] = {}
        for position, item in enumerate(self.statements):
            part = position // STATEMENTS_PER_FUNCTION
            if isinstance(item, Loop):
                for k, statement in enumerate(item.body):
                    for place in range(len(statement.slots)):
                        elsewhere.update(item.touched(k, place))
            else:
                read = item.slots if isinstance(item, Check) else item.operands
                elsewhere.update(slot for slot in read if made_in.get(slot, part) != part)
                if isinstance(item, Instruction):
                    made_in[item.result] = part
        return elsewhere

    def _place(self) -> None:
        if self.has_loops:
            self.memory.place_all()
            return
        # the partials of an instruction lie side by side, also those that nobody reads
        partials = {slot for item in self.statements if isinstance(item, Instruction) for slot in item.partials}
        self.memory.place(self._read_elsewhere | partials)

    # ---- the forward part

    def _forward_parts(self) -> list[tuple[str, bool]]:
        """Each function's text and whether it has guards."""
        return [
            self._forward_part(number, self.statements[start : start + STATEMENTS_PER_FUNCTION])
            for number, start in enumerate(range(0, len(self.statements), STATEMENTS_PER_FUNCTION))
        ]

    def _forward_part(self, number: int, items: Sequence[Forward]) -> tuple[str, bool]:
        read_here: set[int] = set()
        for item in items:
            if not isinstance(item, Loop):
                read_here.update(item.slots if isinstance(item, Check) else item.operands)
        lines: list[str] = []
        local: set[int] = set()

        def operand(slot: int) -> str:
            text = self.memory.text(slot) if slot not in local else ""
            if text.startswith("w["):
                local.add(slot)
                lines.append(f"const double v{slot} = {text};")
            return f"v{slot}" if slot in local else text

        for item in items:
            if isinstance(item, Loop):
                lines += self._forward_loop(item)
            elif isinstance(item, Check):
                guard = isa.GUARDS[item.opcode - isa.GUARD]
                holds = condition(self.functions, guard.holds, [operand(slot) for slot in item.slots])
                lines.append(f"if (!({holds})) return {item.number};")
            else:
                lines += self._computation(item, [operand(slot) for slot in item.operands], read_here)
                local.update((item.result, *item.partials))
        has_guards = any(isinstance(item, Check) for item in items)
        kind, end = ("int64_t", ["return -1;"]) if has_guards else ("void", [])
        return self._part(kind, f"forward{number}", len(self.statements), [*lines, *end]), has_guards

    def _computation(self, statement: Instruction, operands: Sequence[str], read_here: set[int]) -> list[str]:
        instruction = isa.INSTRUCTIONS[statement.opcode]
        slots = (statement.result, *statement.partials)
        names = [f"v{slot}" for slot in slots]
        texts = expressions(self.functions, instruction, operands, names)
        if texts is None:
            return self._call(instruction, statement, operands, read_here)
        needed = {slot for slot in slots if slot in read_here or slot in self._read_elsewhere}
        lines: list[str] = []
        for slot, name, text in zip(reversed(slots), reversed(names), reversed(texts), strict=True):
            if slot in needed or any(re.search(rf"\b{name}\b", line) for line in lines):
                lines = [f"const double {name} = {text};", *self._stored(slot), *lines]
        return lines

    def _call(
        self, instruction: isa.Instruction, statement: Instruction, operands: Sequence[str], read_here: set[int]
    ) -> list[str]:
        places = [f"w + {self.memory.places[statement.partials[0]]}"] if statement.partials else []
        call = f"{self.functions.instruction(instruction)}({', '.join([*operands, *places])});"
        result = statement.result
        stored = self._stored(result)
        return [f"const double v{result} = {call}", *stored] if stored or result in read_here else [call]

    def _stored(self, slot: int) -> list[str]:
        return [f"w[{self.memory.places[slot]}] = v{slot};"] if slot in self._read_elsewhere else []

    def _forward_loop(self, loop: Loop[Instruction | Check]) -> list[str]:
        lines = []
        for number, (statement, strides) in enumerate(zip(loop.body, loop.strides, strict=True)):
            assert isinstance(statement, Instruction)
            instruction = isa.INSTRUCTIONS[statement.opcode]
            result, *rest = (
                self.memory.text(slot, stride) for slot, stride in zip(statement.slots, strides, strict=True)
            )
            operands, partials = rest[: len(statement.operands)], rest[len(statement.operands) :]
            names = [f"v{number}", *(f"v{number}_{k}" for k in range(len(partials)))]
            texts = expressions(self.functions, instruction, operands, names)
            if texts is None:
                places = [f"w + {partials[0][2:-1]}"] if partials else []
                call = f"{self.functions.instruction(instruction)}({', '.join([*operands, *places])})"
                lines.append(f"{result} = {call};")
            else:
                lines += [f"const double {name} = {text};" for name, text in zip(names, texts, strict=True)]
                lines += [f"{place} = {name};" for place, name in zip((result, *partials), names, strict=True)]
        return _loop_text(loop.count, lines)

    def _part(self, kind: str, name: str, n_statements: int, lines: Sequence[str]) -> str:
        """A static function; where there are several parts they stay apart, or one of them would be the whole again."""
        prefix = "FASTGRAD_PART static" if n_statements > STATEMENTS_PER_FUNCTION else "static"
        body = "\n".join(f"    {line}" for line in lines)
        return f"{prefix} {kind} {self.prefix}{name}(double *w) {{\n{body}\n}}\n"

    # ---- the sweep

    def _sweep_parts(self) -> list[str]:
        last_use: dict[int, int] = {}
        # what loops add to must hold a number before them
        begun = set(self.seeded)
        for position, item in enumerate(self.terms):
            touched = list(_adjoints(item))
            last_use.update(dict.fromkeys(touched, position))
            begun.update(touched if isinstance(item, Loop) else ())
        return [
            self._sweep_part(start, self.terms[start : start + STATEMENTS_PER_FUNCTION], begun, last_use)
            for start in range(0, len(self.terms), STATEMENTS_PER_FUNCTION)
        ]

    def _sweep_part(self, start: int, items: Sequence[Backward], begun: set[int], last_use: dict[int, int]) -> str:
        lines: list[str] = []
        straight: list[Term] = []
        for position, item in enumerate(items, start):
            if isinstance(item, Loop):
                lines += self._straight_sweep(straight, begun, last_use, position)
                straight = []
                lines += self._sweep_loop(item)
            else:
                straight.append(item)
        lines += self._straight_sweep(straight, begun, last_use, start + len(items))
        return self._part("void", f"sweep{start // STATEMENTS_PER_FUNCTION}", len(self.terms), lines)

    def _straight_sweep(self, terms: Sequence[Term], begun: set[int], last_use: dict[int, int], end: int) -> list[str]:
        """Terms with their adjoints in variables; those that are used from statement ``end`` on are stored."""
        lines: list[str] = []
        local: set[int] = set()
        for term in terms:
            for adjoint in (term.source, term.target):
                if adjoint in begun and adjoint not in local:
                    local.add(adjoint)
                    lines.append(f"double g{adjoint} = w[{self.adjoint_start + adjoint}];")
            sign, product = self._product(f"g{term.source}", term.factor)
            if term.target in local:
                lines.append(f"g{term.target} {sign}= {product};")
            else:
                lines.append(f"double g{term.target} = {sign.strip('+')}{product};")
                local.add(term.target)
                begun.add(term.target)
        changed = dict.fromkeys(term.target for term in terms)
        kept = [adjoint for adjoint in changed if adjoint in self.wanted or last_use[adjoint] >= end]
        lines += [f"w[{self.adjoint_start + adjoint}] = g{adjoint};" for adjoint in kept]
        return ["{", *(f"    {line}" for line in lines), "}"] if self.has_loops and lines else lines

    def _sweep_loop(self, loop: Loop[Term]) -> list[str]:
        lines = []
        for term, (to, of, along) in zip(loop.body, loop.strides, strict=True):
            target = f"w[{index_text(self.adjoint_start + term.target, to)}]"
            source = f"w[{index_text(self.adjoint_start + term.source, of)}]"
            sign, product = self._product(source, term.factor, along)
            lines.append(f"{target} {sign}= {product};")
        return _loop_text(loop.count, lines)

    def _product(self, adjoint: str, factor: int, stride: int = 0) -> tuple[str, str]:
        """The sign and the rest of ``adjoint * factor``; factors of 1 and -1 change no bit."""
        constant = self.memory.numbers.get(factor)
        if constant in (1.0, -1.0):
            return ("+" if constant == 1.0 else "-"), adjoint
        return "+", f"{adjoint} * {self.memory.text(factor, stride)}"

    # ---- the careful sweep

    def _careful(self) -> str:
        """The sweep over a table, in which a factor of exactly 0 gives 0 whatever the other is."""
        places, copies = self._constant_factors()

        def row(term: Term) -> list[int]:
            factor = places[term.factor] if term.factor in places else self.memory.places[term.factor]
            return [self.adjoint_start + term.target, self.adjoint_start + term.source, factor]

        numbers: list[int] = []
        straight: list[int] = []
        for item in (*self.terms, None):
            if isinstance(item, Term):
                straight += row(item)
                continue
            if straight:
                numbers += [1, len(straight) // 3, *straight]
                straight = []
            if item is not None:
                numbers += [item.count, len(item.body)]
                for term, strides in zip(item.body, item.strides, strict=True):
                    numbers += [*row(term), *strides]
        texts = [str(number) for number in numbers]
        edges = ",\n".join("    " + ", ".join(texts[k : k + 20]) for k in range(0, len(texts), 20))
        return _CAREFUL.format(prefix=self.prefix, edges=edges, tables=copies[0], copies=copies[1])

    def _constant_factors(self) -> tuple[dict[int, int], tuple[str, str]]:
        """Places behind the adjoints for constants that are factors; the table of numbers, and what copies them."""
        start = self.workspace_size
        slots = {slot for item in self.terms for slot in _factors(item)}
        regions = {slot: self.memory.region(slot) for slot in slots}
        numbers = sorted(slot for slot in slots if slot in self.memory.numbers)
        places = {slot: start + k for k, slot in enumerate(numbers)}
        table, copies = "", ""
        if numbers:
            name = f"{self.prefix}factors"
            values = number_lines([self.memory.numbers[slot] for slot in numbers])
            table = f"static const double {name}[] = {{\n{values}\n}};\n\n"
            copies = f"    memcpy(w + {start}, {name}, sizeof {name});\n"
        end = start + len(numbers)
        for region in sorted({region for region in regions.values() if isinstance(region, int)}):
            places |= {slot: end + offset for slot, offset in self.memory.offsets(region)}
            name = f"{self.prefix}captured{region}"
            copies += f"    memcpy(w + {end}, {name}, sizeof {name});\n"
            end += len(self.memory.captured[region])
        self.workspace_size = end
        return places, (table, copies)


def _reached_terms(sweep: Sweep, tangent: bool, seeded: Sequence[int]) -> list[Term]:
    """The sweep's terms in order, without those whose source nothing was added to: they add nothing."""
    edges = sweep.edges.tolist()
    terms = [Term(i, a, d) for i, a, d in reversed(edges)] if tangent else [Term(a, i, d) for i, a, d in edges]
    reached = set(seeded)
    kept = []
    for term in terms:
        if term.source in reached:
            reached.add(term.target)
            kept.append(term)
    return kept


def _factors(item: Backward) -> Iterable[int]:
    if isinstance(item, Term):
        return (item.factor,)
    return (slot for k in range(len(item.body)) for slot in item.touched(k, FACTOR))


def _adjoints(item: Backward) -> Iterable[int]:
    if isinstance(item, Term):
        return item.target, item.source
    return (a for k in range(len(item.body)) for place in (TARGET, SOURCE) for a in item.touched(k, place))


def _loop_text(count: int, lines: Sequence[str]) -> list[str]:
    return [f"for (int64_t k = 0; k < {count}; k++) {{", *(f"    {line}" for line in lines), "}"]


Runs = Sequence[tuple[int, int, int, int]]


def runs_text(runs: Runs, one: str) -> list[str]:
    """Statements over runs (where in the list, first position, step, count); ``one`` has places for both positions."""
    lines = []
    for at, first, step, count in runs:
        if count == 1:
            lines.append(one.format(at=at, position=first))
            continue
        text = one.format(at=f"{at} + k" if at else "k", position=index_text(first, step))
        lines.append(f"for (int64_t k = 0; k < {count}; k++) {text}")
    return lines


_CAREFUL = """\
/* The same sweep with care: a factor of exactly 0 gives 0, whatever the other factor is. The table holds groups: how
   often, how many terms, then for each its target, source and factor and, if repeated, by how much these move on. */
static const int32_t {prefix}edges[] = {{
{edges}
}};

{tables}FASTGRAD_RARE static void {prefix}careful(double *w) {{
    const int32_t *edge = {prefix}edges;
    const int32_t *end = edge + sizeof {prefix}edges / sizeof *edge;
{copies}    while (edge < end) {{
        const int32_t repeats = edge[0], terms = edge[1], width = repeats > 1 ? 6 : 3;
        edge += 2;
        for (int64_t k = 0; k < repeats; k++) {{
            for (int32_t term = 0; term < terms; term++) {{
                const int32_t *at = edge + width * term;
                const int64_t moved = width > 3 ? k : 0, rest = width - 3;
                const double adjoint = w[at[1] + moved * at[1 + rest]], factor = w[at[2] + moved * at[2 + rest]];
                if (adjoint != 0.0 && factor != 0.0) w[at[0] + moved * at[rest]] += adjoint * factor;
            }}
        }}
        edge += width * terms;
    }}
}}
"""
