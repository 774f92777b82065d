"""``np.einsum``: sums over named axes, as diagonals, sums and products of two operands at a time.

A product of two operands is one product of matrices wherever axes of both are summed: the axes that both keep lead, the
summed ones are one axis, and so are those of either operand alone.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import numpy as np

from fastgrad import array_ops
from fastgrad.recording.functions.conversions import recorded
from fastgrad.recording.functions.registry import as_array, implements, reshape, unsupported
from fastgrad.recording.functions.shapes import transpose
from fastgrad.recording.recorded_array import RecordedArray, recorder_of
from fastgrad.tape import ARRAY_OPERATION

__all__ = ["Named", "contracted"]

# a letter, a whole number (in lists of labels), or the distance from the end of an ellipsis
Label = Any


class Named(NamedTuple):
    """A recorded array and the labels of its axes."""

    array: Any
    labels: tuple[Label, ...]


@implements(np.einsum)
def _einsum(
    *operands: Any, out: Any = None, optimize: Any = False, dtype: Any = None, order: str = "K", casting: str = "safe"
) -> Any:
    arrays, inputs, output = _parsed(operands)
    terms = _terms(operands, arrays, inputs)
    if output is None:
        used = [label for term in terms for label in term.labels]
        ellipsis = sorted({label for label in used if isinstance(label, _Dots)})
        once = sorted({label for label in used if not isinstance(label, _Dots) and used.count(label) == 1})
        output = [*ellipsis, *once]
    else:
        longest = max(
            (label.distance for term in terms for label in term.labels if isinstance(label, _Dots)), default=0
        )
        output = _without_ellipsis(output, longest)
    # where nothing is computed NumPy gives a view, whatever the options
    is_view = len(terms) == 1 and all(label in output for label in terms[0].labels)
    terms = terms if is_view else _in_dtype(terms, dtype, casting)
    truth = not is_view and all(term.array.dtype.kind == "b" for term in terms)
    if truth:
        # truth values are added as "or"
        terms = [Named(term.array + 0, term.labels) for term in terms]
    terms = [_diagonal(term) for term in _broadcast(operands, terms)]
    result = _reduced(terms, output, _path(operands, arrays, optimize))
    result = np.not_equal(result, 0) if truth else result
    return result if is_view else _laid_out(result, order)


@implements(np.einsum_path)
def _einsum_path(*operands: Any, optimize: Any = "greedy", **kwargs: Any) -> Any:
    return np.einsum_path(*_with_arrays(operands, lambda x: np.broadcast_to(0.0, x.shape)), optimize=optimize, **kwargs)


# ---- what the arguments say


class _Dots(NamedTuple):
    """An axis under an ellipsis, by its distance from the last of them; further ones come first."""

    distance: int

    def __lt__(self, other: Any) -> bool:
        return bool(self.distance > other.distance)


def _parsed(operands: Sequence[Any]) -> tuple[list[Any], list[list[Label]], list[Label] | None]:
    """The arrays, the labels of each, and those of the result if they are given."""
    if isinstance(operands[0], str):
        text, arrow, result = operands[0].replace(" ", "").partition("->")
        inputs = [_letters(part) for part in text.split(",")]
        return [as_array(x) for x in operands[1:]], inputs, _letters(result) if arrow else None
    n = len(operands) // 2
    inputs = [list(labels) for labels in operands[1 : 2 * n : 2]]
    return [as_array(x) for x in operands[: 2 * n : 2]], inputs, list(operands[-1]) if len(operands) % 2 else None


def _letters(text: str) -> list[Label]:
    return [Ellipsis if letter == "." else letter for letter in text.replace("...", ".")]


def _without_ellipsis(labels: Sequence[Label], count: int) -> list[Label]:
    if Ellipsis not in labels:
        return list(labels)
    at = labels.index(Ellipsis)
    return [*labels[:at], *(_Dots(distance) for distance in range(count, 0, -1)), *labels[at + 1 :]]


def _terms(operands: Sequence[Any], arrays: Sequence[Any], inputs: Sequence[list[Label]]) -> list[Named]:
    # NumPy's own errors, from arrays of one element
    np.einsum(*_with_arrays(operands, lambda x: np.zeros((1,) * x.ndim)))
    recorder = recorder_of(tuple(arrays))
    return [
        Named(recorded(array, recorder), tuple(_without_ellipsis(labels, array.ndim - len(labels) + 1)))
        for array, labels in zip(arrays, inputs, strict=True)
    ]


def _with_arrays(operands: Sequence[Any], make: Any) -> list[Any]:
    """The arguments of einsum with something else in the place of each array."""
    if isinstance(operands[0], str):
        return [operands[0], *(make(as_array(x)) for x in operands[1:])]
    paired = 2 * (len(operands) // 2)
    return [make(as_array(x)) if k % 2 == 0 and k < paired else x for k, x in enumerate(operands)]


def _broadcast(operands: Sequence[Any], terms: Sequence[Named]) -> list[Named]:
    """The terms without axes of length 1 whose label is longer elsewhere. Raises NumPy's error where lengths differ."""
    lengths: dict[Label, int] = {}
    for array, labels in terms:
        pairs = set(zip(labels, array.shape, strict=True))
        # within one operand not even a length of 1 may differ
        fits = len(pairs) == len(set(labels))
        if not fits or any(n != 1 and lengths.setdefault(label, n) != n for label, n in pairs):
            np.einsum(*_with_arrays(operands, lambda x: np.broadcast_to(0.0, x.shape)))
    return [_without_axes_of_one(term, lengths) for term in terms]


def _without_axes_of_one(term: Named, longer: Collection[Label]) -> Named:
    array, labels = term
    kept = [k for k, label in enumerate(labels) if array.shape[k] != 1 or label not in longer]
    return Named(reshape(array, [array.shape[k] for k in kept]), tuple(labels[k] for k in kept))


def _path(operands: Sequence[Any], arrays: Sequence[Any], optimize: Any) -> list[Sequence[int]]:
    """Which terms are multiplied with one another, one after the other."""
    if len(arrays) <= 2:
        return [range(len(arrays))]
    if optimize is True or optimize is False:
        optimize = "greedy"
    path: list[Sequence[int]] = _einsum_path(*operands, optimize=optimize)[0][1:]
    return path


# ---- what is recorded


def _diagonal(term: Named) -> Named:
    """The term with one axis for each label: a view, as in NumPy."""
    array, labels = term
    for label in labels:
        axes = [k for k, other in enumerate(labels) if other == label]
        if len(axes) > 1:
            rest = tuple(k for k in range(array.ndim) if k not in axes)
            return _diagonal(Named(_diagonal_of(array, axes, rest), (*(labels[k] for k in rest), label)))
    return term


def _diagonal_of(array: RecordedArray, axes: Sequence[int], rest: Sequence[int]) -> RecordedArray:
    """The elements with one index along all of ``axes``, which becomes the last axis."""
    recorder, length = array.recorder, array.shape[axes[0]]
    lengths = [array.shape[k] for k in rest]
    total = length ** len(axes)
    step = sum(length**k for k in range(len(axes)))
    spec = (*((0, n, 1) for n in lengths), (0, length, step))
    inputs = [0 if k in axes else k + 1 for k in range(array.ndim)]
    value = np.einsum(array.value, inputs, [k + 1 for k in rest] + [0])

    def record(node: int) -> int:
        order = (*rest, *axes)
        for operation, shape, attribute in (
            (array_ops.transpose, tuple(array.shape[k] for k in order), order),
            (array_ops.reshape, (*lengths, total), (*lengths, total)),
            (array_ops.slice_, (*lengths, length), spec),
        ):
            node = recorder.add(ARRAY_OPERATION + operation.code, (node,), shape, attribute)
        return node

    return array.seen_as(value, record)


def _reduced(terms: list[Named], output: Sequence[Label], path: Sequence[Sequence[int]]) -> Any:
    for positions in path:
        chosen = [terms[k] for k in positions]
        terms = [term for k, term in enumerate(terms) if k not in positions]
        wanted = {*output, *(label for term in terms for label in term.labels)}
        while len(chosen) > 1:
            first, second, *chosen = chosen
            later = {label for term in chosen for label in term.labels}
            chosen = [contracted(first, second, wanted | later), *chosen]
        terms.append(_summed(chosen[0], wanted))
    ((array, labels),) = terms
    return transpose(array, [labels.index(label) for label in output])


def _summed(term: Named, kept: Collection[Label]) -> Named:
    axes = tuple(k for k, label in enumerate(term.labels) if label not in kept)
    if not axes:
        return term
    return Named(np.sum(term.array, axes), tuple(label for label in term.labels if label in kept))


def contracted(x: Named, y: Named, kept: Collection[Label]) -> Named:
    """The product of two terms, summed over the labels that are not kept."""
    x, y = _summed(x, {*kept, *y.labels}), _summed(y, {*kept, *x.labels})
    shared = [label for label in x.labels if label in y.labels]
    leading = [label for label in shared if label in kept]
    inner = [label for label in shared if label not in kept]
    of_x = [label for label in x.labels if label not in shared]
    of_y = [label for label in y.labels if label not in shared]
    lengths = dict(zip(x.labels + y.labels, x.array.shape + y.array.shape, strict=True))

    def shape(labels: Sequence[Label]) -> tuple[int, ...]:
        return tuple(lengths[label] for label in labels)

    if not inner or not (of_x or of_y or not leading):
        # nothing that a product of matrices is good for
        left = _arranged(x, [*leading, *of_x, *inner], (*shape(leading + of_x), *(1 for _ in of_y), *shape(inner)))
        right = _arranged(y, [*leading, *of_y, *inner], (*shape(leading), *(1 for _ in of_x), *shape(of_y + inner)))
        return _summed(Named(np.multiply(left, right), (*leading, *of_x, *of_y, *inner)), {*leading, *of_x, *of_y})
    n_inner = math.prod(shape(inner))
    left = _arranged(x, [*leading, *of_x, *inner], (*shape(leading), math.prod(shape(of_x)), n_inner))
    right = _arranged(y, [*leading, *inner, *of_y], (*shape(leading), n_inner, math.prod(shape(of_y))))
    labels = (*leading, *of_x, *of_y)
    return Named(reshape(np.matmul(left, right), shape(labels)), labels)


def _arranged(term: Named, labels: Sequence[Label], shape: Sequence[int]) -> Any:
    return reshape(transpose(term.array, [term.labels.index(label) for label in labels]), shape)


def _in_dtype(terms: Sequence[Named], dtype: Any, casting: Any) -> list[Named]:
    """The terms shown in the dtype that is to be computed in; tapes compute float64."""
    if dtype is None or np.dtype(dtype) == np.result_type(*(term.array.dtype for term in terms)):
        return list(terms)
    for term in terms:
        # NumPy's own error where the dtype does not fit
        np.einsum("i->i", np.zeros(1, term.array.dtype), dtype=dtype, casting=casting)
    if np.dtype(dtype).kind != "f" or np.dtype(dtype).itemsize > 8:
        raise unsupported(f"np.einsum with dtype={dtype!r}")
    return [
        Named(RecordedArray(array.recorder, array.node, array.value.astype(dtype)), labels) for array, labels in terms
    ]


def _laid_out(result: Any, order: str) -> Any:
    """The result in the memory order that was asked for."""
    value: Any = result.value
    if order not in ("C", "F") or not isinstance(value, np.ndarray):
        return result
    ordered = np.asarray(value, order=order)  # type: ignore[call-overload]
    return result if ordered is value else RecordedArray(result.recorder, result.node, ordered)
