"""Functions and derivatives inside ``@numba.njit``: ``compile`` gives an object that compiled code calls as a function.

No Python runs in the calls: they may be in functions with ``nogil=True``, ``parallel=True`` (``prange``) and
``cache=True``. Code that Numba keeps on disk finds the machine code by a name, which is a hash of it and of what it
captures.
"""

from __future__ import annotations

import hashlib
import weakref
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import cached_property
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.core.datamodel import models
from numba.core.errors import TypingError
from numba.core.extending import NativeValue, intrinsic, overload_method, register_model, typeof_impl, unbox
from numba.core.imputils import lower_builtin, lower_constant

from fastgrad.calls import Argnums
from fastgrad.derivative import Derivative
from fastgrad.errors import InputError
from fastgrad.interop import by_name
from fastgrad.interop.c_calls import LONG, POINTER, Caller, compiled
from fastgrad.interop.machine_code import OK, OUT_OF_MEMORY, MachineCode, NamedArray, derivative_of, machine_code
from fastgrad.vm.addresses import address_of

__all__ = ["Function", "compile"]

# lines that errors name; compiled code has a branch for each
MAX_LINES = 20
_NOT_FOUND = -3


def compile(
    function: Callable[..., Any],
    *example: Any,
    derivative: str | None = None,
    argnums: Argnums | None = None,
    examples: Sequence[Sequence[Any]] = (),
) -> Function:
    """An object that functions compiled by Numba call, for arguments like those of the example.

    ``function`` is a derivative (``fg.value_and_grad(f)``), or a function, of which ``derivative`` names what is
    wanted: ``"value"`` (default), ``"gradient"``, ``"value_and_gradient"``, ``"jacobian"``, ``"hessian"``, ``"hvp"``,
    ``"vjp"`` or ``"jvp"``, by the arguments ``argnums`` (0 by default). The last three take a vector, cotangents or
    tangents after the arguments, and the last two return the value first. Each of ``examples`` is a tuple of arguments
    more, where comparisons may come out differently.

    Arguments are numbers or arrays of the example's shapes (nested ones are taken apart), float64 in C order where no
    copy is to be made. Whole numbers that are not differentiated, texts and the like are part of the code and not
    given. Results are numbers and new arrays, in tuples where they are nested. ``into(*arguments, out)`` writes them
    into float64 arrays, nested as the results are.

    Captured arrays are read where they are, so changes in place count. Everything else that the function sees around it
    stays as it was when it was compiled.

    In compiled code InputError (a ValueError) is raised for other shapes, and where a comparison comes out differently
    than in all examples. Here it is raised where arguments do not fit, UnsupportedError where the function cannot
    become machine code.

    >>> import numba, numpy as np
    >>> import fastgrad as fg
    >>> from fastgrad.interop.numba import compile
    >>> slope = compile(fg.grad(lambda x: np.sum(x**2)), np.zeros(2))
    >>> @numba.njit
    ... def descend(x):
    ...     for _ in range(100):
    ...         x = x - 0.1 * slope(x)
    ...     return x
    >>> bool(np.all(np.abs(descend(np.array([1.0, 2.0]))) < 1e-8))
    True
    """
    return Function(derivative_of(function, derivative, argnums), [example, *examples])


class Function:
    """A function or derivative that compiled code calls; calls from Python go through compiled code, too."""

    def __init__(self, derivative: Derivative, examples: Sequence[Sequence[Any]]) -> None:
        self._made_from = derivative, examples
        self.code = machine_code(derivative, examples)
        name = self.code.digest()
        function = by_name.known(name)
        # code that captures other arrays of the same content has the name already; it cannot be kept on disk then
        self.is_lasting = function is None or _places(function.owner[1]) == _places(self.code)
        if not self.is_lasting:
            places = repr((name, _places(self.code))).encode()
            name = hashlib.blake2b(places, digest_size=16).hexdigest()
            function = by_name.known(name)
        self.name = name
        self.function = function or by_name.register(name, compiled(self.code, LONG, [POINTER, POINTER], _pass_on))
        by_name.ensure_findable()
        _functions[name] = self

    def __repr__(self) -> str:
        given = ", ".join(f"{array.name}{list(array.shape) or ''}" for array in self.code.arguments)
        return f"<{self.code.label} for compiled code, of {given}>"

    def __reduce__(self) -> Any:
        """The name is part of it, so that Numba tells callers of different code apart."""
        return _again, (*self._made_from, self.name)

    def __call__(self, *arguments: Any) -> Any:
        return self._from_python[0](*arguments)

    def into(self, *arguments: Any) -> None:
        """Write the results for all arguments but the last into the last one."""
        self._from_python[1](*arguments)

    @cached_property
    def _from_python(self) -> tuple[Any, Any]:
        return (
            numba.njit(nogil=True)(lambda *arguments: self(*arguments)),
            numba.njit(nogil=True)(lambda *arguments: self.into(*arguments)),
        )


_functions: weakref.WeakValueDictionary[str, Function] = weakref.WeakValueDictionary()


def _again(derivative: Derivative, examples: Sequence[Sequence[Any]], name: str) -> Function:
    found = _functions.get(name)
    return found if found is not None else Function(derivative, examples)


def _pass_on(caller: Caller) -> None:
    caller.builder.ret(caller.run_tables(*caller.parameters))


def _places(code: MachineCode) -> list[int]:
    return [address_of(array) for array in code.captured]


# ---- the type


class _FunctionType(types.Opaque):  # type: ignore[misc]
    """The type of one Function: code that calls it is made for it alone."""

    def __init__(self, function: Function) -> None:
        self.function = function
        super().__init__(_type_name(function.name))

    def __reduce__(self) -> Any:
        """By name, in what Numba keeps on disk of callers that were given a Function as an argument."""
        return _type_named, (self.function.name,)


def _type_name(name: str) -> str:
    return f"fastgrad.Function({name})"


def _type_named(name: str) -> Any:
    function = _functions.get(name)
    return types.Opaque(_type_name(name)) if function is None else _FunctionType(function)


register_model(_FunctionType)(models.OpaqueModel)


@typeof_impl.register(Function)
def _type_of(value: Function, _: Any) -> _FunctionType:
    return _FunctionType(value)


@lower_constant(_FunctionType)
def _constant(context: Any, builder: Any, _type: Any, _value: Any) -> Any:
    return context.get_dummy_value()


@unbox(_FunctionType)
def _unboxed(_type: Any, _value: Any, context: Any) -> NativeValue:
    return NativeValue(context.context.get_dummy_value())


# ---- calls


@overload_method(_FunctionType, "__call__")
def _call(self: Any, *args: Any) -> Any:
    code = self.function.code
    kinds = _kinds(args)
    _check_count(code, kinds, len(code.arguments), "")
    made = {k: f"empty({array.shape})" for k, array in enumerate(code.results) if array.shape}
    before = [f"r{k} = {expression}" for k, expression in made.items()]
    after = f"return {_nested(code.nesting)}"
    return _built([*_reading(code, kinds), *before, *_running(code, made), after])


@lower_builtin(_FunctionType, _FunctionType, types.VarArg(types.Any))  # type: ignore[untyped-decorator]
def _called(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    """Numba types a call of an object as one of its method ``__call__``, but looks for its code elsewhere: here."""
    method = context.typing_context.resolve_getattr(signature.args[0], "__call__")
    return context.get_function(method, signature)(builder, arguments)


@overload_method(_FunctionType, "into")
def _into(self: Any, *args: Any) -> Any:
    code = self.function.code
    kinds = _kinds(args)
    n = len(code.arguments)
    _check_count(code, kinds, n + 1, ", then out")
    before, after = _targets(code, kinds[n])
    return _built([*_reading(code, kinds[:n]), *before, *_running(code, range(len(code.results))), *after])


def _kinds(arguments: Any) -> list[Any]:
    """The types of arguments; Numba hands over a tuple of them, or what it takes for one."""
    found = arguments[0] if len(arguments) == 1 and isinstance(arguments[0], types.BaseTuple) else arguments
    return list(found)


def _check_count(code: MachineCode, kinds: Sequence[Any], n: int, more: str) -> None:
    if len(kinds) != n:
        names = ", ".join(f"{array.name} of shape {array.shape}" for array in code.arguments)
        raise TypingError(f"{code.label} was compiled for {names}{more}; the call has {len(kinds)} arguments.")


def _built(statements: Sequence[str]) -> Any:
    """The function of these statements; Numba compiles it."""
    # Numba compares this line with that of the function above
    text = "\n    ".join(["def implementation(self: Any, *args: Any) -> Any:", *statements])
    found: dict[str, Any] = {"InputError": InputError, "run": _run}
    found |= {"empty": np.empty, "contiguous": np.ascontiguousarray, "float64": np.float64, "Any": Any}
    exec(text, found)
    return found["implementation"]


def _reading(code: MachineCode, kinds: Sequence[Any]) -> Iterator[str]:
    """``a0``, ``a1``, ...: the arguments as numbers and plain arrays."""
    for k, (array, kind) in enumerate(zip(code.arguments, kinds, strict=True)):
        n = kind.ndim if isinstance(kind, types.Array) else 0
        dtype = kind.dtype if isinstance(kind, types.Array) else kind
        if not isinstance(dtype, (types.Float, types.Integer, types.Boolean)) or n != len(array.shape):
            raise TypingError(
                f"{code.label} was compiled for {array.name} of shape {array.shape}, float64; it is {kind}."
            )
        if array.shape:
            yield from _shape_checked(code, array, f"args[{k}]")
        yield f"a{k} = {_value(f'args[{k}]', array, kind)}"


def _shape_checked(code: MachineCode, array: NamedArray, name: str) -> Iterator[str]:
    message = f"{code.label} was compiled for {array.name} of shape {array.shape}; it has another shape."
    yield f"if {name}.shape != {array.shape}: raise InputError({message!r})"


def _targets(code: MachineCode, kind: Any) -> tuple[list[str], list[str]]:
    """What comes before and after the run where results are written into ``args[-1]``."""
    before, after = [], []
    for k, place, target in _places_in(code, code.nesting, f"args[{len(code.arguments)}]", kind):
        array = code.results[k]
        is_array = isinstance(target, types.Array)
        if not is_array or target.dtype != types.float64 or target.ndim != len(array.shape) or not target.mutable:
            raise TypingError(
                f"out must have float64 arrays of the results' shapes that can be written to; for {array.name}, of "
                f"shape {array.shape}, it has {target}."
            )
        before += _shape_checked(code, array, place) if array.shape else []
        if _is_plain(target):
            before.append(f"r{k} = {place}")
        else:
            before.append(f"r{k} = empty({array.shape})")
            after.append(f"{place}[...] = r{k}")
    return before, after


def _places_in(code: MachineCode, nesting: Any, place: str, kind: Any) -> Iterator[tuple[int, str, Any]]:
    """Each result's number, where in the arguments its target is, and the target's type."""
    if isinstance(nesting, int):
        yield nesting, place, kind
        return
    if not isinstance(kind, types.BaseTuple) or len(kind) != len(nesting):
        names = ", ".join(array.name for array in code.results)
        raise TypingError(f"out must be nested as the results of {code.label} are ({names}); it is {kind}.")
    for k, part in enumerate(nesting):
        yield from _places_in(code, part, f"{place}[{k}]", kind[k])


def _running(code: MachineCode, arrays: Collection[int]) -> Iterator[str]:
    """Run the code; ``r0``, ``r1``, ... are the results, of which ``arrays`` are written where they are."""
    numbers = [k for k in range(len(code.results)) if k not in arrays]
    arguments = "".join(f"a{k}, " for k in range(len(code.arguments)))
    results = "".join("None, " if k in numbers else f"r{k}, " for k in range(len(code.results)))
    yield f"found = run(self, ({arguments}), ({results}))"
    yield f"if found[0] != {OK}:"
    stale = (
        f"the code that Numba keeps for this caller (cache=True) is from when {code.label} was another, or captured "
        "other data. Change the caller's file, or remove what Numba keeps beside it (__pycache__/*.nbi)."
    )
    yield f"    if found[0] == {_NOT_FOUND}: raise InputError({stale!r})"
    yield f"    if found[0] == {OUT_OF_MEMORY}: raise MemoryError('no memory to work in')"
    for line in range(min(len(code.lines), MAX_LINES)):
        yield f"    if found[0] == {line}: raise InputError({code.remedy(line)!r})"
    other = f"{code.label} was compiled for other outcomes of its comparisons. Give an example that goes this way, too."
    yield f"    raise InputError({other!r})"
    for position, k in enumerate(numbers):
        yield f"r{k} = found[{position + 1}]"


def _nested(nesting: Any) -> str:
    if isinstance(nesting, int):
        return f"r{nesting}"
    return f"({''.join(_nested(part) + ', ' for part in nesting)})"


def _value(place: str, array: NamedArray, kind: Any) -> str:
    """An argument as a float, or as float64 in C order: the array itself where it is that."""
    if not array.shape:
        return f"float({place}{'[()]' * isinstance(kind, types.Array)})"
    if _is_plain(kind):
        return place
    return f"contiguous({place}{'.astype(float64)' * (kind.dtype != types.float64)})"


def _is_plain(kind: Any) -> bool:
    return bool(kind.dtype == types.float64 and kind.layout == "C" and kind.aligned)


@intrinsic  # type: ignore[untyped-decorator]
def _run(_: Any, function: Any, arguments: Any, results: Any) -> Any:
    """The status, and a number for each result for which None is given instead of an array."""
    n_numbers = sum(kind == types.none for kind in results)
    returns = types.Tuple([types.int64, *[types.float64] * n_numbers])

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        _, arguments, results = values
        _, argument_kinds, result_kinds = signature.args
        given = [
            _address_of(context, builder, builder.extract_value(arguments, k), kind)
            for k, kind in enumerate(argument_kinds)
        ]
        numbers, written = [], []
        for k, kind in enumerate(result_kinds):
            if kind == types.none:
                numbers.append(cgutils.alloca_once(builder, ir.DoubleType()))
                written.append(numbers[-1])
            else:
                written.append(_address_of(context, builder, builder.extract_value(results, k), kind))
        target = _target(context, builder, function.function)
        status = cgutils.alloca_once_value(builder, ir.Constant(ir.IntType(64), _NOT_FOUND))
        with builder.if_then(cgutils.is_not_null(builder, target), likely=True):
            tables = [_table(builder, addresses) for addresses in (given, written)]
            builder.store(builder.call(target, tables), status)
        parts = [builder.load(status), *map(builder.load, numbers)]
        return context.make_tuple(builder, signature.return_type, parts)

    return returns(function, arguments, results), generate


def _address_of(context: Any, builder: Any, value: Any, kind: Any) -> Any:
    """Where the data of an array are, or a number that is put on the stack."""
    if isinstance(kind, types.Array):
        return context.make_array(kind)(context, builder, value).data
    return cgutils.alloca_once_value(builder, value)


def _table(builder: Any, addresses: Sequence[Any]) -> Any:
    room = cgutils.alloca_once(builder, cgutils.voidptr_t, size=max(len(addresses), 1))
    for k, address in enumerate(addresses):
        builder.store(builder.bitcast(address, cgutils.voidptr_t), cgutils.gep_inbounds(builder, room, k))
    return room


def _target(context: Any, builder: Any, function: Function) -> Any:
    """The address of the machine code, null if there is none of this name."""
    table = cgutils.voidptr_t.as_pointer()
    kind = ir.FunctionType(ir.IntType(64), [table, table]).as_pointer()
    if not function.is_lasting:
        address = context.add_dynamic_addr(builder, function.function.address, info=function.name)
        return builder.bitcast(address, kind)
    # found once, and kept where all calls in this module look
    name = f"fastgrad.address.{function.name}"
    slot = builder.module.globals.get(name)
    if slot is None:
        slot = cgutils.add_global_variable(builder.module, cgutils.voidptr_t, name)
        slot.linkage, slot.initializer = "internal", ir.Constant(cgutils.voidptr_t, None)
    found = cgutils.alloca_once_value(builder, builder.load(slot))
    with builder.if_then(cgutils.is_null(builder, builder.load(found)), likely=False):
        half = ir.IntType(64)
        find = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(cgutils.voidptr_t, [half, half]), by_name.FIND
        )
        address = builder.call(find, [half(number) for number in by_name.halves(function.name)])
        builder.store(address, slot)
        builder.store(address, found)
    return builder.bitcast(builder.load(found), kind)
