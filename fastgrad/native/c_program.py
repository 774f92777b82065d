"""A planned scalar program as C functions: a forward part, a derivative sweep, and the careful sweep.

Every part is straight-line code in functions of at most ``STATEMENTS_PER_FUNCTION`` statements, so that a compiler's
time grows with the length of the program and no faster. Values live in local variables; those that another function
needs also have a place in the workspace ``w``::

    inputs | values that are needed elsewhere | adjoints | constant factors of the careful sweep

Adjoints begin with what is first added to them, which differs from the VM's 0 + that in the sign of zeros only;
``+ 0.0``, where results are written, takes that away.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from fastgrad.native.c_expressions import number_text
from fastgrad.native.c_functions import CFunctions, condition, expressions, number_lines
from fastgrad.plan.sweep import Sweep
from fastgrad.vm import instructions as isa

__all__ = ["CProgram", "Runs", "runs_text"]

# gcc takes as long for 100, a third longer for 1,000; the gradient of 200 Runge-Kutta steps runs alike with all of them
STATEMENTS_PER_FUNCTION = 250


@dataclass(frozen=True)
class Instruction:
    """One instruction of the VM and the slots that it is about."""

    opcode: int
    result: int
    operands: tuple[int, ...]
    partials: tuple[int, ...]


@dataclass(frozen=True)
class Check:
    """One guard: its number in the tape and the two slots that it compares."""

    opcode: int
    number: int
    slots: tuple[int, int]


@dataclass(frozen=True)
class Term:
    """``adjoints[target] += adjoints[source] * memory[factor]``."""

    target: int
    source: int
    factor: int


def decoded(words: Sequence[int]) -> Iterator[Instruction | Check]:
    """What the words of a program say."""
    start = 0
    while words[start] != isa.END:
        opcode = words[start]
        if opcode >= isa.GUARD:
            yield Check(opcode, words[start + 1], (words[start + 2], words[start + 3]))
        else:
            first = start + 2 + int(isa.N_OPERANDS[opcode])
            end = start + int(isa.N_WORDS[opcode])
            yield Instruction(opcode, words[start + 1], tuple(words[start + 2 : first]), tuple(words[first:end]))
        start += int(isa.N_WORDS[opcode])


class CProgram:
    """The functions of a sweep (``<prefix>forward0``, ``<prefix>sweep0`` and so on), and where things are in ``w``.

    ``seeded`` are the adjoints that have a value before the sweep, ``wanted`` those that are read after it.
    """

    def __init__(self, sweep: Sweep, prefix: str, tangent: bool, seeded: Sequence[int], wanted: Sequence[int]) -> None:
        self.prefix = prefix
        self.functions = CFunctions(prefix)
        self.seeded, self.wanted = frozenset(seeded), frozenset(wanted)
        self.statements = list(decoded(sweep.words.tolist()))
        edges = sweep.edges.tolist()
        self.terms = [Term(i, a, d) for i, a, d in reversed(edges)] if tangent else [Term(a, i, d) for i, a, d in edges]
        self._literals = {
            int(slot): number_text(float(value))
            for slot, value in zip(sweep.numbers["slot"], sweep.numbers["value"], strict=True)
        }
        self._values = {
            int(slot): float(value) for slot, value in zip(sweep.numbers["slot"], sweep.numbers["value"], strict=True)
        }
        self.captured_tables = [self._captured(sweep, k) for k in range(len(sweep.captured))]
        self._place_values(sweep)
        self.adjoint_start = self._n_placed
        self._place_constant_factors(self.adjoint_start + sweep.n_adjoints)
        self.n_adjoints = sweep.n_adjoints
        self.forward_parts = self._forward_parts()
        self.sweep_parts = self._sweep_parts()

    # ---- places

    def _captured(self, sweep: Sweep, number: int) -> str:
        array, start = sweep.captured[number]
        flat = np.asarray(array, np.float64).ravel().tolist()
        name = f"{self.prefix}captured{number}"
        for k, value in enumerate(flat):
            self._literals[start + k], self._values[start + k] = f"{name}[{k}]", value
        return f"/* captured, of shape {array.shape} */\nstatic const double {name}[] = {{\n{number_lines(flat)}\n}};\n"

    def _place_values(self, sweep: Sweep) -> None:
        """Inputs first, then what is read outside the function that computes it, in the order of the slots."""
        self.places: dict[int, int] = {}
        for start, size in zip(sweep.input_starts, sweep.input_sizes, strict=True):
            for k in range(size):
                self.places[start + k] = len(self.places)
        self.input_places = [
            self.places[start] if size else 0 for start, size in zip(sweep.input_starts, sweep.input_sizes, strict=True)
        ]
        elsewhere = self._read_elsewhere = {term.factor for term in self.terms}
        elsewhere.update(int(slot) for slots in sweep.outputs for slot in slots.ravel())
        made_in: dict[int, int] = {}
        partials: set[int] = set()
        for position, statement in enumerate(self.statements):
            chunk = position // STATEMENTS_PER_FUNCTION
            read = statement.slots if isinstance(statement, Check) else statement.operands
            elsewhere.update(slot for slot in read if made_in.get(slot, chunk) != chunk)
            if isinstance(statement, Instruction):
                made_in[statement.result] = chunk
                partials.update(statement.partials)
        # the partials of an instruction lie side by side, also those that nobody reads
        for slot in sorted((elsewhere | partials) - self.places.keys() - self._literals.keys()):
            self.places[slot] = len(self.places)
        self._n_placed = len(self.places)

    def _place_constant_factors(self, start: int) -> None:
        factors = sorted({term.factor for term in self.terms} & self._literals.keys())
        self.constant_factors = [self._values[slot] for slot in factors]
        self.constant_start = start
        self.factor_places = {slot: start + k for k, slot in enumerate(factors)} | self.places
        self.workspace_size = start + len(factors)

    def value(self, slot: int) -> str:
        """A value after the forward part, as C: a number, an element of a captured array, or a place in ``w``."""
        return self._literals.get(slot) or f"w[{self.places[slot]}]"

    # ---- the forward part

    def _forward_parts(self) -> list[tuple[str, bool]]:
        """Each function's text and whether it has guards."""
        return [
            self._forward_part(number, self.statements[start : start + STATEMENTS_PER_FUNCTION])
            for number, start in enumerate(range(0, len(self.statements), STATEMENTS_PER_FUNCTION))
        ]

    def _forward_part(self, number: int, statements: Sequence[Instruction | Check]) -> tuple[str, bool]:
        read_here: set[int] = set()
        for statement in statements:
            read_here.update(statement.slots if isinstance(statement, Check) else statement.operands)
        lines: list[str] = []
        local: set[int] = set()

        def operand(slot: int) -> str:
            if slot in self._literals:
                return self._literals[slot]
            if slot not in local:
                local.add(slot)
                lines.append(f"const double v{slot} = w[{self.places[slot]}];")
            return f"v{slot}"

        has_guards = any(isinstance(statement, Check) for statement in statements)
        for statement in statements:
            if isinstance(statement, Check):
                guard = isa.GUARDS[statement.opcode - isa.GUARD]
                holds = condition(self.functions, guard.holds, [operand(slot) for slot in statement.slots])
                lines.append(f"if (!({holds})) return {statement.number};")
            else:
                lines += self._computation(statement, [operand(slot) for slot in statement.operands], read_here)
                local.add(statement.result)
                local.update(statement.partials)
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
        places = [f"w + {self.places[statement.partials[0]]}"] if statement.partials else []
        call = f"{self.functions.instruction(instruction)}({', '.join([*operands, *places])});"
        result = statement.result
        stored = self._stored(result)
        return [f"const double v{result} = {call}", *stored] if stored or result in read_here else [call]

    def _stored(self, slot: int) -> list[str]:
        return [f"w[{self.places[slot]}] = v{slot};"] if slot in self._read_elsewhere else []

    def _part(self, kind: str, name: str, n_statements: int, lines: Sequence[str]) -> str:
        """A static function; where there are several parts they stay apart, or one of them would be the whole again."""
        prefix = "FASTGRAD_PART static" if n_statements > STATEMENTS_PER_FUNCTION else "static"
        body = "\n".join(f"    {line}" for line in lines)
        return f"{prefix} {kind} {self.prefix}{name}(double *w) {{\n{body}\n}}\n"

    # ---- the sweep

    def _sweep_parts(self) -> list[str]:
        begun = set(self.seeded)
        # terms whose source has no adjoint add nothing
        terms = []
        for term in self.terms:
            if term.source in begun:
                begun.add(term.target)
                terms.append(term)
        self.terms = terms
        last_use = {}
        for position, term in enumerate(terms):
            last_use[term.source] = last_use[term.target] = position
        begun = set(self.seeded)
        parts = []
        for start in range(0, len(terms), STATEMENTS_PER_FUNCTION):
            end = start + STATEMENTS_PER_FUNCTION
            parts.append(self._sweep_part(len(parts), terms[start:end], begun, last_use, end))
        return parts

    def _sweep_part(
        self, number: int, terms: Sequence[Term], begun: set[int], last_use: dict[int, int], end: int
    ) -> str:
        lines: list[str] = []
        local: set[int] = set()
        for term in terms:
            for adjoint in (term.source, term.target):
                if adjoint in begun and adjoint not in local:
                    local.add(adjoint)
                    lines.append(f"double g{adjoint} = w[{self.adjoint_start + adjoint}];")
            sign, product = self._product(term)
            if term.target in local:
                lines.append(f"g{term.target} {sign}= {product};")
            else:
                lines.append(f"double g{term.target} = {sign.strip('+')}{product};")
                local.add(term.target)
                begun.add(term.target)
        changed = dict.fromkeys(term.target for term in terms)
        kept = [adjoint for adjoint in changed if adjoint in self.wanted or last_use[adjoint] >= end]
        lines += [f"w[{self.adjoint_start + adjoint}] = g{adjoint};" for adjoint in kept]
        return self._part("void", f"sweep{number}", len(self.terms), lines)

    def _product(self, term: Term) -> tuple[str, str]:
        """The sign and the rest of ``adjoint * factor``; factors of 1 and -1 change no bit."""
        constant = self._values.get(term.factor)
        if constant in (1.0, -1.0):
            return ("+" if constant == 1.0 else "-"), f"g{term.source}"
        return "+", f"g{term.source} * {self.value(term.factor)}"

    def careful(self) -> str:
        """The sweep over a table, in which a factor of exactly 0 gives 0 whatever the other is."""
        rows = [
            f"{self.adjoint_start + term.target}, {self.adjoint_start + term.source}, {self.factor_places[term.factor]}"
            for term in self.terms
        ]
        edges = ",\n".join("    " + ", ".join(rows[k : k + 6]) for k in range(0, len(rows), 6))
        constants, copied = "", ""
        if self.constant_factors:
            name = f"{self.prefix}factors"
            constants = f"static const double {name}[] = {{\n{number_lines(self.constant_factors)}\n}};\n\n"
            copied = f"    memcpy(w + {self.constant_start}, {name}, sizeof {name});\n"
        return _CAREFUL.format(
            prefix=self.prefix, edges=edges, constants=constants, copied=copied, n_terms=len(self.terms)
        )


Runs = Sequence[tuple[int, int, int, int]]


def runs_text(runs: Runs, one: str) -> list[str]:
    """Statements over runs (where in the list, first position, step, count); ``one`` has places for both positions."""
    lines = []
    for at, first, step, count in runs:
        if count == 1:
            lines.append(one.format(at=at, position=first))
            continue
        index = f"{first} + k" if step == 1 else f"{first} + {step} * k"
        text = one.format(at=f"{at} + k" if at else "k", position=index)
        lines.append(f"for (int64_t k = 0; k < {count}; k++) {text}")
    return lines


_CAREFUL = """\
/* the same sweep with care: a factor of exactly 0 gives 0, whatever the other factor is */
static const uint32_t {prefix}edges[] = {{
{edges}
}};

{constants}FASTGRAD_RARE static void {prefix}careful(double *w) {{
{copied}    for (int64_t k = 0; k < {n_terms}; k++) {{
        const uint32_t *edge = {prefix}edges + 3 * k;
        const double adjoint = w[edge[1]], factor = w[edge[2]];
        if (adjoint != 0.0 && factor != 0.0) w[edge[0]] += adjoint * factor;
    }}
}}
"""
