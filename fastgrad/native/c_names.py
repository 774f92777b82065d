"""Names that C accepts: of the function, and of its arguments."""

from __future__ import annotations

import re
from collections.abc import Sequence

from fastgrad.errors import InputError
from fastgrad.tape import Tape
from fastgrad.tape_names import input_names

__all__ = ["Names", "check_name"]

_KEYWORDS = """
auto break case char const continue default do double else enum extern float for goto if inline int long register
restrict return short signed sizeof static struct switch typedef union unsigned void volatile while asm typeof
"""
# what the entry function and its declarations use themselves, and what compilers define
_IN_USE = "w workspace k seed failed memcpy memset int64_t uint32_t uint64_t main NAN INFINITY linux unix"
_LIBRARY = """
acos acosh asin asinh atan atan2 atanh cbrt ceil copysign cos cosh erf erfc exp exp2 expm1 fabs fdim floor fma fmax fmin
fmod frexp gamma hypot ilogb isfinite isinf isnan isnormal j0 j1 jn ldexp lgamma llrint llround log log10 log1p log2
logb lrint lround modf nan nearbyint nextafter nexttoward pow remainder remquo rint round scalbln scalbn signbit signgam
sin sinh sqrt tan tanh tgamma trunc y0 y1 yn memchr memcmp memmove index strlen
"""
RESERVED = frozenset((_KEYWORDS + _IN_USE).split())
_IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


def check_name(name: str) -> None:
    if not isinstance(name, str) or not _IDENTIFIER.fullmatch(name) or name in RESERVED | set(_LIBRARY.split()):
        raise InputError(
            f"the C function needs a name of ASCII letters, digits and '_'; {name!r} is none that C accepts."
        )


class Names:
    """C names of the arguments: inputs, seeds, values, derivatives."""

    def __init__(self, function: str, tape: Tape, wrt: Sequence[int], derivative: str | None) -> None:
        self._taken = set(RESERVED)
        self._own = re.compile(rf"{function}_(seed|has_nan|careful|forward\d+|sweep\d+)")
        self.inputs = [self._new(name) for name in input_names(tape)]
        n_outputs = len(tape.outputs)
        wanted = [self.inputs[position] for position in wrt]
        if derivative == "hessian":
            values = [f"gradient_{name}" for name in wanted]
        else:
            values = [f"value{k}" if n_outputs > 1 else "value" for k in range(n_outputs)]
        seeds = {"vjp": [f"cotangent_{value}" for value in values], "jvp": [f"tangent_{name}" for name in wanted]}
        derivatives = {
            "gradient": [f"gradient_{name}" for name in wanted],
            "vjp": [f"cotangent_{name}" for name in wanted],
            "jvp": [f"tangent_{value}" for value in values],
            "jacobian": [f"jacobian_{value}_{name}" for value in values for name in wanted],
            "hessian": [f"hessian_{row}_{column}" for row in wanted for column in wanted],
        }
        self.seeds = [self._new(name) for name in seeds.get(derivative or "", [])]
        self.values = [self._new(name) for name in values]
        self.derivatives = [self._new(name) for name in derivatives.get(derivative or "", [])]

    def _new(self, wanted: str) -> str:
        name = re.sub(r"[^A-Za-z0-9]+", "_", wanted).strip("_") or "input"
        name = f"input_{name}" if name[0].isdigit() else name
        while name in self._taken or self._own.fullmatch(name):
            name += "_"
        self._taken.add(name)
        return name
