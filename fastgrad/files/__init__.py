"""Keeping tapes, and arrays beside them, in files. See README.md."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

import fastgrad
from fastgrad.errors import FileFormatError, InputError
from fastgrad.files.container import Target, read_container, write_container
from fastgrad.files.tape_file import SECTIONS, pack_tape, unpack_tape
from fastgrad.tape import Tape

__all__ = ["Contents", "load", "read", "save", "write"]

_ARRAYS = "arrays/"


class Contents(NamedTuple):
    """What a file holds: a tape or None, arrays by name (read-only), and what JSON can hold."""

    tape: Tape | None
    arrays: dict[str, NDArray[Any]]
    metadata: dict[str, Any]


def save(tape: Tape, target: Target) -> None:
    """Write a tape to a path or to a file opened for writing in binary; see ``Tape.save``."""
    write(target, tape)


def load(source: Target, *, mmap: bool = True) -> Tape:
    """The tape in a file that ``Tape.save`` wrote: a path, or a file opened for reading in binary.

    Large constants stay in the mapped file, read-only, until they are used (from a path, and unless ``mmap`` is False);
    that file must not be written to meanwhile. Everything is checked, nothing is executed: a file may come from
    anywhere. Raises FileFormatError for what is no such file, damaged, or written by a newer version.

    >>> import fastgrad, io
    >>> file = io.BytesIO()
    >>> fastgrad.record(lambda x: x * x, 3.0).save(file)
    >>> _ = file.seek(0)
    >>> float(fastgrad.load(file)(5.0))
    25.0
    """
    tape = read(source, mmap=mmap).tape
    if tape is None:
        raise FileFormatError("this file holds arrays and no tape. Read it with fastgrad.files.read.")
    return tape


def write(
    target: Target,
    tape: Tape | None = None,
    arrays: Mapping[str, ArrayLike] | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> None:
    """Write a tape, arrays by name, and what JSON can hold to one file.

    A path is replaced at once, when all is written. Raises InputError for arrays of anything but real numbers and for
    metadata that JSON does not give back as they are.

    >>> import fastgrad, io
    >>> from fastgrad import files
    >>> file = io.BytesIO()
    >>> files.write(file, arrays={"weights": [1.0, 2.0]}, metadata={"epoch": 3})
    >>> _ = file.seek(0)
    >>> files.read(file).metadata
    {'epoch': 3}
    """
    fields: dict[str, Any] = {"fastgrad": fastgrad.__version__, "tape": None, "metadata": dict(metadata or {})}
    _check_metadata(fields["metadata"])
    sections: dict[str, NDArray[Any]] = {}
    if tape is not None:
        fields["tape"], sections = pack_tape(tape.validate())
    for name, value in (arrays or {}).items():
        array = np.asarray(value)
        if not isinstance(name, str) or array.dtype.kind not in "fiub" or array.dtype.itemsize > 8:
            raise InputError(f"arrays are kept by names, and hold real numbers of at most 64 bits; {name!r} does not.")
        sections[_ARRAYS + name] = array
    write_container(target, fields, sections)


def read(source: Target, *, mmap: bool = True) -> Contents:
    """All that a file holds, checked; see ``load`` for what is mapped and raised."""
    fields, arrays = read_container(source, {**SECTIONS, _ARRAYS: True}, mmap)
    metadata, described = fields.get("metadata"), fields.get("tape")
    if not isinstance(metadata, dict):
        raise FileFormatError("this file cannot be loaded: its header has no metadata. It is damaged.")
    named = {name.removeprefix(_ARRAYS): array for name, array in arrays.items() if name.startswith(_ARRAYS)}
    return Contents(None if described is None else unpack_tape(described, arrays), named, metadata)


def _check_metadata(metadata: dict[str, Any]) -> None:
    try:
        same = json.loads(json.dumps(metadata, allow_nan=False)) == metadata
    except (TypeError, ValueError, RecursionError):
        same = False
    if not same:
        raise InputError(
            "metadata must be a dict of what JSON holds: keys of text, finite numbers, lists instead of tuples."
        )
