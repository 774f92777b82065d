"""The hash of a tape's content, the same in every process, on every machine and for every numbering of operations.

It covers what the tape computes and in which order: operations by name, operands, shapes, attributes, inputs, outputs,
guards and the content of constants. Tables count by what nodes use of them, in the order of first use: entries that
nobody uses, equal entries of shapes and attributes, and the order of entries make no difference. Names, groups and
lines are left out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastgrad.tape import CONSTANT, operation_name

if TYPE_CHECKING:
    from fastgrad.tape import Tape

__all__ = ["content_hash", "structure_digest"]

_SIZE = 16
# constants below this many bytes are joined before they are hashed
_SMALL = 4096


def structure_digest(tape: Tape) -> bytes:
    """Digest of everything but the content of the constants, which others may change."""
    digest = hashlib.blake2b(digest_size=_SIZE)
    constants = tape.opcodes == CONSTANT
    attributes = np.where(constants, -1, tape.attribute_indices)
    # repr keeps 1, 1.0 and the signs of zero apart, and has no ends of lines
    columns: list[tuple[NDArray[Any], Callable[[list[int]], Iterable[str]]]] = [
        (tape.opcodes, lambda used: map(operation_name, used)),
        (tape.shape_indices, lambda used: [repr(tape.shapes[k]) for k in used]),
        (attributes, lambda used: [repr(tape.attributes[k]) for k in used]),
    ]
    for indices, texts_of in columns:
        numbers, texts = _numbered(indices.astype(np.int64), texts_of)
        _add(digest, "\n".join(texts).encode(), numbers.astype("<i4"))
    _add(digest, _first_use(tape.attribute_indices[constants].astype(np.int64))[0].astype("<i4"))
    _add(digest, np.diff(tape.operand_starts).astype("<u4"), tape.operands.astype("<u4", copy=False))
    for ends in (tape.inputs, tape.outputs, tape.guard_nodes):
        _add(digest, ends.astype("<u4", copy=False))
    _add(digest, tape.guard_values.astype("<f8", copy=False))
    return digest.digest()


def content_hash(tape: Tape, structure: bytes) -> str:
    """Hash of the structure and of the constants as they are now; 32 hex digits."""
    digest = hashlib.blake2b(structure, digest_size=_SIZE)
    nodes = np.flatnonzero(tape.opcodes == CONSTANT)
    used = _first_use(tape.attribute_indices[nodes].astype(np.int64))[1]
    constants = [tape.constants[k] for k in used.tolist()]
    _add(digest, repr([(constant.dtype.str[1:], constant.shape) for constant in constants]).encode())
    _add(digest, b"".join([_bytes(constant) for constant in constants if constant.nbytes < _SMALL]))
    for constant in constants:
        if constant.nbytes >= _SMALL:
            digest.update(_little(np.ascontiguousarray(constant)).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def _add(digest: Any, *parts: Any) -> None:
    """Add parts with their lengths, so that no two lists of parts look alike."""
    for part in parts:
        digest.update(memoryview(part).nbytes.to_bytes(8, "little"))
        digest.update(part)


def _bytes(constant: NDArray[Any]) -> bytes:
    return _little(constant).tobytes()


def _little(constant: NDArray[Any]) -> NDArray[Any]:
    return constant.astype(constant.dtype.newbyteorder("<"), copy=False)


def _first_use(indices: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices (-1: none) numbered anew in the order in which they come first, and the old ones in that order."""
    if not len(indices):
        return indices, indices
    first = np.full(int(indices.max()) + 2, len(indices))
    # of several values for one place the last stays: from the end, that is the first use
    first[indices[::-1] + 1] = np.arange(len(indices) - 1, -1, -1)
    first[0] = len(indices)
    used = np.flatnonzero(first < len(indices))
    used = used[np.argsort(first[used])]
    number = np.full(len(first), -1)
    number[used] = np.arange(len(used))
    return number[indices + 1], used - 1


def _numbered(
    indices: NDArray[np.int64], texts_of: Callable[[list[int]], Iterable[str]]
) -> tuple[NDArray[np.int64], list[str]]:
    """Indices into the entries that they use, each once and in the order of first use; and these entries as text."""
    numbers, used = _first_use(indices)
    texts = list(texts_of(used.tolist()))
    distinct = dict.fromkeys(texts)
    if len(distinct) < len(texts):
        place = {text: k for k, text in enumerate(distinct)}
        numbers = np.array([place[text] for text in texts] + [-1])[numbers]
    return numbers, list(distinct)
