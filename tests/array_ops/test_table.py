"""The table of array operations."""

from __future__ import annotations

from fastgrad import array_ops, ops


def test_no_two_operations_have_the_same_name() -> None:
    # files and hashes know operations by name
    names = [*ops.BY_NAME, *(operation.name for operation in array_ops.all_operations())]
    assert len(set(names)) == len(names)
