"""A C file around the functions of a program: the entry function, its signature and the comments."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence

from fastgrad.native.c_names import Names
from fastgrad.native.c_program import CProgram, runs_text
from fastgrad.plan.request import Kind, Request
from fastgrad.plan.sweep import Sweep
from fastgrad.tape import Tape
from fastgrad.transform.jacobian import is_reverse
from fastgrad.vm.scalar_executor import runs_of

__all__ = ["CFile"]

Shape = tuple[int, ...]

MAX_LISTED_GUARDS = 20


class CFile:
    """The parts of the file: the program's functions, the entry function, the comments."""

    def __init__(
        self, tape: Tape, name: str, derivative: str | None, request: Request, sweep: Sweep, names: Names
    ) -> None:
        self.tape, self.name, self.derivative, self.request, self.sweep, self.names = (
            *(tape, name, derivative, request, sweep, names),
        )
        main = sweep.outputs if request.kind is not Kind.VALUES else ()
        self.output_adjoints = [sweep.adjoint_of_slot[slots.ravel()].tolist() for slots in main]
        self.input_adjoints = [
            list(range(first, first + size))
            for position in request.wrt
            for size in [sweep.input_sizes[position]]
            for first in [int(sweep.adjoint_of_slot[sweep.input_starts[position]]) if size else 0]
        ]
        outputs, inputs = _joined(self.output_adjoints), _joined(self.input_adjoints)
        self.tangent = request.kind is Kind.JVP or (
            request.kind is Kind.JACOBIAN and not is_reverse(len(outputs), len(inputs))
        )
        self.seeded, self.wanted = (inputs, outputs) if self.tangent else (outputs, inputs)
        self.program = CProgram(sweep, f"{name}_", self.tangent, self.seeded, self.wanted)

    def texts(self) -> tuple[str, str]:
        program = self.program
        parts = [text for text, _ in program.forward_parts] + program.sweep_parts
        if self.request.kind is not Kind.VALUES:
            parts += [program.careful] * bool(program.terms) + [self._seeding()]
            parts += [self._nan_test()] * bool(program.terms)
        parts.append(f"{self._signature()} {{\n{self._entry()}}}\n")
        size_of = f"int64_t {self.name}_workspace_size(void)"
        source = "\n".join(
            [
                self._comment(),
                _PREAMBLE,
                *program.functions.definitions,
                *program.memory.captured_tables("\n".join(parts)),
                *parts,
                f"{size_of} {{\n    return {max(program.workspace_size, 1)};\n}}",
                "",
            ]
        )
        header = _HEADER.format(
            comment=self._comment(),
            guard=f"{self.name}_H".upper(),
            signature=self._signature(),
            size_of=size_of,
            name=self.name,
            size=max(program.workspace_size, 1),
        )
        return source, header

    # ---- arguments

    def _arguments(self) -> Iterator[tuple[str, bool, Shape, str]]:
        """Each argument but the workspace: name, whether it is written, shape, what it is."""
        tape, request, names = self.tape, self.request, self.names
        wanted = [(tape.input_shapes[position], self.names.inputs[position]) for position in request.wrt]
        outputs = list(zip(tape.output_shapes, names.values, strict=True))
        for name, shape in zip(names.inputs, tape.input_shapes, strict=True):
            yield name, False, shape, "input"
        of = outputs if request.kind is Kind.VJP else wanted
        for name, (shape, what) in zip(names.seeds, of, strict=False):
            yield name, False, shape, f"{'cotangent' if request.kind is Kind.VJP else 'tangent'} of {what}"
        if request.with_values:
            for shape, name in outputs:
                yield name, True, shape, "the gradient" if self.derivative == "hessian" else "the tape's output"
        if request.kind is Kind.JACOBIAN:
            shapes = [(out + of, f"of {by}, by {name}") for out, by in outputs for of, name in wanted]
        else:
            shapes = [(shape, f"of {what}") for shape, what in (outputs if request.kind is Kind.JVP else wanted)]
        what_is = {"vjp": "cotangent", "jvp": "tangent", "gradient": "gradient"}.get(
            self.derivative or "", "derivative"
        )
        for name, (shape, what) in zip(names.derivatives, shapes, strict=False):
            yield name, True, shape, f"{what_is} {what}"

    def _signature(self) -> str:
        arguments = [f"{'' if written else 'const '}double *{name}" for name, written, *_ in self._arguments()]
        text = f"int64_t {self.name}({', '.join([*arguments, 'double *workspace'])})"
        if len(text) <= 110:
            return text
        return f"int64_t {self.name}(\n    " + ",\n    ".join([*arguments, "double *workspace"]) + ")"

    def _comment(self) -> str:
        rows = [
            (("writes " if written else "reads ") + name, f"{_shape_text(shape)}, {what}")
            for name, written, shape, what in self._arguments()
        ]
        rows.append(("uses workspace", f"{max(self.program.workspace_size, 1)} doubles, of any content"))
        width = max(len(left) for left, _ in rows)
        what = self.derivative or "values"
        if self.request.with_values and self.derivative:
            what = f"{'gradient' if self.derivative == 'hessian' else 'values'} and {what}"
        return _COMMENT.format(
            name=self.name,
            what=what,
            hash=self.tape.hash[:12],
            rows="\n".join(f"     {left:<{width}}  {right}" for left, right in rows),
            guards=self._guards_text(),
        )

    def _guards_text(self) -> str:
        tape = self.tape
        if not len(tape.guard_nodes):
            return "   It returns -1."
        lines = []
        for number in range(min(len(tape.guard_nodes), MAX_LISTED_GUARDS)):
            source = tape.guard_source_of(number)
            where = "" if source is None else f", {source.short}"
            lines.append(f"     {number}{where}".replace("*/", "* /"))
        rest = len(tape.guard_nodes) - len(lines)
        lines += [f"     and {rest} more"] * bool(rest)
        return (
            "   It returns -1. Where the recorded function would have gone another way it writes nothing and returns\n"
            "   the number of the first decision that falls otherwise:\n" + "\n".join(lines)
        )

    # ---- the entry

    def _entry(self) -> str:
        program, request = self.program, self.request
        lines: list[str] = []
        sizes = zip(self.names.inputs, program.memory.input_places, self.sweep.input_sizes, strict=True)
        for name, place, size in sizes:
            lines.append(f"memcpy(w + {place}, {name}, {size} * sizeof(double));" if size else f"(void){name};")
        if any(has_guards for _, has_guards in program.forward_parts):
            lines.append("int64_t failed;")
        for number, (_, has_guards) in enumerate(program.forward_parts):
            call = f"{self.name}_forward{number}(w)"
            lines.append(f"if ((failed = {call}) >= 0) return failed;" if has_guards else f"{call};")
        if request.kind is Kind.JACOBIAN:
            lines += self._values() + self._jacobian()
        elif request.kind is Kind.VALUES:
            lines += self._values()
        else:
            lines += [*self._sweep(", ".join(["w", *self.names.seeds])), *self._values(), *self._derivatives()]
        uses_workspace = any(re.search(r"\bw\b", line) for line in lines)
        first = "double *w = workspace;" if uses_workspace else "(void)workspace;"
        return "".join(f"    {line}\n" for line in [first, *lines, "return -1;"])

    def _sweep(self, seeds: str) -> list[str]:
        program = self.program
        lines = [f"{self.name}_seed({seeds});"]
        lines += [f"{self.name}_sweep{number}(w);" for number in range(len(program.sweep_parts))]
        if program.terms:
            again = f"{self._zeroing()} {self.name}_seed({seeds}); {self.name}_careful(w);"
            lines.append(f"if ({self.name}_has_nan(w)) {{ {again} }}")
        return lines

    def _zeroing(self) -> str:
        program = self.program
        return f"memset(w + {program.adjoint_start}, 0, {program.n_adjoints} * sizeof(double));"

    def _values(self) -> list[str]:
        if not self.request.with_values:
            return []
        lines = []
        for name, slots in zip(self.names.values, self.sweep.outputs, strict=True):
            places = [self.program.memory.text(slot) for slot in slots.ravel().tolist()]
            lines += _unused(name, places)
            if all(place.startswith("w[") for place in places):
                runs = runs_of([int(place[2:-1]) for place in places])
                lines += runs_text(list(runs), f"{name}[{{at}}] = w[{{position}}];")
            else:
                lines += [f"{name}[{k}] = {place};" for k, place in enumerate(places)]
        return lines

    def _adjoint_runs(self, adjoints: Sequence[int]) -> list[tuple[int, int, int, int]]:
        return list(runs_of([self.program.adjoint_start + adjoint for adjoint in adjoints]))

    def _derivatives(self) -> list[str]:
        groups = self.output_adjoints if self.tangent else self.input_adjoints
        lines = []
        for name, adjoints in zip(self.names.derivatives, groups, strict=True):
            lines += _unused(name, adjoints)
            lines += runs_text(self._adjoint_runs(adjoints), f"{name}[{{at}}] = w[{{position}}] + 0.0;")
        return lines

    def _seeding(self) -> str:
        """The function that gives every seeded adjoint its first value, and 0 to wanted ones that nothing reaches."""
        program = self.program
        seeded = self.seeded
        several = self.request.kind is Kind.JACOBIAN or len(set(seeded)) != len(seeded)
        if program.sweep_adds:
            lines = [self._zeroing()]
        else:
            zeroed = sorted({*program.unreached, *(seeded if several else ())})
            lines = runs_text(self._adjoint_runs(zeroed), "w[{position}] = 0.0;")
        sign, arguments, table = "+=" if several else "=", "", ""
        if self.request.kind is Kind.JACOBIAN:
            places = [program.adjoint_start + adjoint for adjoint in seeded]
            rows = ",\n".join("    " + ", ".join(map(str, places[k : k + 12])) for k in range(0, len(places), 12))
            table = f"static const uint32_t {self.name}_seeds[] = {{\n{rows or '    0'}\n}};\n\n"
            arguments = ", int64_t seed"
            lines.append(f"w[{self.name}_seeds[seed]] = 1.0;")
        elif self.request.kind is Kind.GRADIENT:
            lines += runs_text(self._adjoint_runs(seeded), f"w[{{position}}] {sign} 1.0;")
        else:
            groups = self.input_adjoints if self.tangent else self.output_adjoints
            for name, adjoints in zip(self.names.seeds, groups, strict=True):
                lines += _unused(name, adjoints)
                lines += runs_text(self._adjoint_runs(adjoints), f"w[{{position}}] {sign} {name}[{{at}}];")
            arguments = "".join(f", const double *{name}" for name in self.names.seeds)
        body = "".join(f"    {line}\n" for line in lines)
        return f"{table}static void {self.name}_seed(double *w{arguments}) {{\n{body}}}\n"

    def _nan_test(self) -> str:
        lines = ["int found = 0;"]
        lines += runs_text(self._adjoint_runs(self.wanted), "found |= w[{position}] != w[{position}];")
        body = "".join(f"    {line}\n" for line in [*lines, "return found;"])
        return f"static int {self.name}_has_nan(const double *w) {{\n{body}}}\n"

    def _jacobian(self) -> list[str]:
        """A sweep for each output's element, or each input's where these are fewer, and where its results go."""
        sizes = [len(out) * len(of) for out in self.output_adjoints for of in self.input_adjoints]
        lines = [f"(void){name};" for name, size in zip(self.names.derivatives, sizes, strict=True) if not size]
        lines.append(f"for (int64_t seed = 0; seed < {len(self.seeded)}; seed++) {{")
        lines += [f"    {line}" for line in self._sweep("w, seed")]
        names = iter(self.names.derivatives)
        blocks = [[next(names) for _ in self.input_adjoints] for _ in self.output_adjoints]
        start = 0
        for position, seeded in enumerate(self.input_adjoints if self.tangent else self.output_adjoints):
            row = f"(seed - {start})" if start else "seed"
            written = []
            if self.tangent:
                for adjoints, of_inputs in zip(self.output_adjoints, blocks, strict=True):
                    at = f"{len(seeded)} * ({{at}}) + {row}"
                    one = f"{of_inputs[position]}[{at}] = w[{{position}}] + 0.0;"
                    written += runs_text(self._adjoint_runs(adjoints), one)
            else:
                for adjoints, name in zip(self.input_adjoints, blocks[position], strict=True):
                    one = f"{name}[{len(adjoints)} * {row} + {{at}}] = w[{{position}}] + 0.0;"
                    written += runs_text(self._adjoint_runs(adjoints), one)
            end = start + len(seeded)
            lines.append(f"    if (seed >= {start} && seed < {end}) {{")
            lines += [*(f"        {line}" for line in written), "    }"]
            start = end
        return [*lines, "}"]


def _unused(name: str, elements: Sequence[object]) -> list[str]:
    """What keeps compilers from complaining about an argument without elements."""
    return [] if elements else [f"(void){name};"]


def _joined(lists: Sequence[Sequence[int]]) -> list[int]:
    return [entry for part in lists for entry in part]


def _shape_text(shape: Shape) -> str:
    n = math.prod(shape)
    return f"{n} double{'s' * (n != 1)}" + (f" of shape {shape}" if len(shape) > 1 else "")


_COMMENT = """\
/* {name}: {what} of the function that tape {hash} was recorded from. Written by fastgrad.

   {name}
{rows}

{guards}

   Arrays are C-contiguous; outputs may take the place of inputs. Captured data and numbers are frozen as they were when
   this file was written.
   It keeps no state, so threads may call it at once, each with a workspace of its own.

   It gives the bits of fastgrad's own kernels. That needs IEEE doubles that are rounded once an operation:
     gcc -std=c99 -O2 -ffp-contract=off {name}.c -c     (add -march=native, or -mfma, for a fast fma())
   and neither -ffast-math nor -Ofast nor x87 arithmetic; link with -lm.
*/"""

_PREAMBLE = """\
#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(__FAST_MATH__) || (defined(__FLT_EVAL_METHOD__) && (__FLT_EVAL_METHOD__ == 2 || __FLT_EVAL_METHOD__ < 0))
#error "compile this file with IEEE arithmetic in doubles: without -ffast-math, on x86 with -mfpmath=sse"
#endif

/* products and sums are rounded one by one; fma() stands where one rounding is meant */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("fp-contract=off")
#else
#pragma STDC FP_CONTRACT OFF
#endif

#if defined(__GNUC__)
#define FASTGRAD_PART __attribute__((noinline))
#define FASTGRAD_RARE __attribute__((noinline, cold))
#else
#define FASTGRAD_PART
#define FASTGRAD_RARE
#endif
"""

_HEADER = """\
{comment}
#ifndef {guard}
#define {guard}

#include <stdint.h>

#ifdef __cplusplus
extern "C" {{
#endif

{signature};

/* how many doubles the workspace needs: {name}_WORKSPACE_SIZE of them */
{size_of};
#define {name}_WORKSPACE_SIZE {size}

#ifdef __cplusplus
}}
#endif

#endif
"""
