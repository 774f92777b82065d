"""Between the arrays of executors and the caller's own structure: seeds going in, results coming out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastgrad.branches import Branch, OutputLeaf
from fastgrad.calls import Argnums, Call, Key
from fastgrad.errors import InputError
from fastgrad.forms import Form
from fastgrad.recording.recorded_array import RecordedArray
from fastgrad.recording.structures import Structure, flatten, map_leaves

__all__ = ["Nesting", "operand_of"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Nesting:
    """How one derivative's seeds and results are nested."""

    form: Form
    argnums: Argnums
    keys: tuple[Key, ...]
    parameters: tuple[str, ...]
    has_aux: bool

    # ---- results

    def package(self, branch: Branch, call: Call, results: Sequence[Any]) -> Any:
        """Nest the results of the executor (or recorded values in their order) as the caller expects them."""
        n_aux = len(branch.tape.outputs) - branch.n_main_outputs
        n_main = branch.n_main_outputs if self.form.with_values else 0
        derivatives, aux = list(results[n_main + n_aux :]), results[n_main : n_main + n_aux]
        auxiliary = _nested_outputs(branch.aux_leaves, branch.aux_structure, aux) if branch.aux_structure else None
        float32 = _all_float32(call)
        value = None
        if self.form in (Form.VALUE, Form.VALUE_AND_GRADIENT, Form.VJP, Form.JVP):
            value = _nested_outputs(branch.leaves, branch.structure, results[:n_main], float32)
        if self.form is Form.VALUE:
            return (value, auxiliary) if self.has_aux else value
        derivative = self._nested_derivative(branch, call, derivatives, float32)
        if self.form is Form.VALUE_AND_GRADIENT:
            return ((value, auxiliary), derivative) if self.has_aux else (value, derivative)
        if self.form is Form.JVP:
            return (value, derivative, auxiliary) if self.has_aux else (value, derivative)
        return (derivative, auxiliary) if self.has_aux else derivative

    def _nested_derivative(self, branch: Branch, call: Call, derivatives: list[Any], float32: bool) -> Any:
        dtypes = [call.inputs[position].dtype for position in call.wrt]
        if self.form is Form.JVP:
            return _nested_outputs(branch.leaves, branch.structure, derivatives, float32)
        if self.form is Form.JACOBIAN:
            n = len(dtypes)
            blocks = [
                self._nested_arguments(call, derivatives[k * n : (k + 1) * n], dtypes)
                for k in range(branch.n_main_outputs)
            ]
            return branch.structure.unflatten(blocks)
        if self.form is Form.HESSIAN:
            n = len(dtypes)
            rows = [self._nested_arguments(call, derivatives[k * n : (k + 1) * n], dtypes) for k in range(n)]
            return self._nested_arguments(call, rows, None)
        return self._nested_arguments(call, derivatives, dtypes)

    def _nested_arguments(self, call: Call, leaves: Sequence[Any], dtypes: Sequence[Any] | None) -> Any:
        """One leaf for each differentiated leaf, nested as the arguments; a tuple of them if argnums is one."""
        if dtypes is not None:
            leaves = [_cast(leaf, dtype) for leaf, dtype in zip(leaves, dtypes, strict=True)]
        remaining = iter(leaves)
        by_key = {
            argument.key: argument.structure.unflatten([next(remaining) for _ in argument.leaves])
            for argument in call.arguments
            if argument.differentiated
        }
        n_args = sum(not isinstance(argument.key, str) for argument in call.arguments)
        found = tuple(by_key[self._key(argnum, by_key, n_args)] for argnum in self.keys)
        return found if isinstance(self.argnums, tuple) else found[0]

    def _key(self, argnum: Key, by_key: dict[Key, Any], n_args: int) -> Key:
        if isinstance(argnum, str):
            return argnum if argnum in by_key else self.parameters.index(argnum)
        return argnum if argnum >= 0 else argnum + n_args

    # ---- seeds: the cotangents or tangents where the form takes them

    def in_order_of_arguments(self, call: Call, tangents: Any) -> Any:
        """Tangents given in the order of ``argnums``, in that of the call."""
        if not isinstance(self.argnums, tuple) or not isinstance(tangents, (tuple, list)):
            return tangents
        if len(tangents) != len(self.keys):
            return tangents  # which seed_arrays refuses
        found = [argument.key for argument in call.arguments if argument.differentiated]
        n_args = sum(not isinstance(argument.key, str) for argument in call.arguments)
        by_key = {
            self._key(key, dict.fromkeys(found), n_args): part for key, part in zip(self.keys, tangents, strict=True)
        }
        return tuple(by_key[key] for key in found)

    def seed_arrays(self, branch: Branch, call: Call, seeds: Any) -> list[Floats]:
        """The cotangents (tangents) as arrays. Raises InputError where they do not fit the results (arguments)."""
        if self.form is Form.VJP:
            shapes = branch.tape.output_shapes[: branch.n_main_outputs]
            return _fitting_arrays(seeds, branch.structure, shapes, "cotangent", "the function's result")
        if self.form in (Form.JVP, Form.HVP):
            given = [argument for argument in call.arguments if argument.differentiated]
            parts = seeds if isinstance(self.argnums, tuple) else (seeds,)
            if len(parts) != len(given):
                raise InputError(f"there are {len(parts)} tangents for {len(given)} arguments.")
            arrays: list[Floats] = []
            for argument, part in zip(given, parts, strict=True):
                of_leaves = [leaf.array.shape for leaf in argument.leaves if leaf.array is not None]
                arrays += _fitting_arrays(part, argument.structure, of_leaves, "tangent", "the argument")
            return arrays
        return []

    def seed_values(self, branch: Branch, call: Call, seeds: Any) -> list[Any]:
        """The cotangents (tangents), recorded ones as they are."""
        if self.form not in (Form.VJP, Form.JVP, Form.HVP):
            return []
        concrete = map_leaves(lambda x: x.value if isinstance(x, RecordedArray) else x, seeds)
        arrays = self.seed_arrays(branch, call, concrete)
        return [operand_of(leaf, array) for leaf, array in zip(flatten(seeds)[0], arrays, strict=True)]

    def zero_seeds(self, branch: Branch, call: Call) -> list[Floats]:
        if self.form is Form.VJP:
            return [np.zeros(shape) for shape in branch.tape.output_shapes[: branch.n_main_outputs]]
        if self.form in (Form.JVP, Form.HVP):
            return [np.zeros(call.arrays[position].shape) for position in call.wrt]
        return []


def operand_of(original: Any, array: Floats | None) -> Any:
    """What stands for a leaf inside another recording."""
    return original if isinstance(original, RecordedArray) else array


def _all_float32(call: Call) -> bool:
    dtypes = [leaf.dtype for leaf in call.inputs if isinstance(leaf.original, (np.ndarray, np.floating))]
    return bool(dtypes) and all(dtype in (np.float32, np.float16) for dtype in dtypes)


def _cast(value: Any, dtype: Any) -> Any:
    """A result as the caller's kind of number: float32 stays float32, everything else is float64; 0-d are scalars."""
    if isinstance(value, np.ndarray):
        if dtype in (np.float32, np.float16):
            value = value.astype(dtype)
        return value if value.shape else value[()]
    return value


def _nested_outputs(
    leaves: Sequence[OutputLeaf], structure: Structure, values: Sequence[Any], float32: bool = False
) -> Any:
    remaining = iter(values)
    return structure.unflatten([_output(leaf, remaining, float32) for leaf in leaves])


def _output(leaf: OutputLeaf, remaining: Any, float32: bool) -> Any:
    if leaf.dtype is None:
        return leaf.static
    value = next(remaining)
    if isinstance(value, np.ndarray):
        if leaf.dtype.kind in "biu":
            value = value.astype(leaf.dtype)
        elif float32:
            value = value.astype(np.float32)
        return value if value.shape else value[()]
    return value


def _fitting_arrays(
    nested: Any, structure: Structure, shapes: Sequence[tuple[int, ...]], what: str, of: str
) -> list[Floats]:
    """A nested value as float64 arrays of these shapes. Raises InputError."""
    leaves, found = flatten(nested)
    if found != structure or len(leaves) != len(shapes):
        raise InputError(f"the {what} must be nested as {of} is.")
    arrays = []
    for leaf, shape in zip(leaves, shapes, strict=True):
        array = np.asarray(leaf)
        if array.dtype.kind not in "fiub" or array.shape != shape:
            raise InputError(
                f"the {what} must hold real numbers in shape {shape}; it has {array.dtype} in {array.shape}."
            )
        arrays.append(np.ascontiguousarray(array, np.float64).reshape(shape))
    return arrays
