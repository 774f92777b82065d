"""Nested tuples as columns: put together again they are what they were."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastgrad.columns import DEEPEST, LARGEST_NUMBER, groups, leaves_of, put_together

LEAVES = st.integers(-LARGEST_NUMBER, LARGEST_NUMBER) | st.floats(allow_nan=False) | st.text(max_size=3) | st.none()
ENTRIES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3).map(tuple), max_leaves=6)


def again(entries: list[Any]) -> list[Any]:
    """The entries, group by group put back at their places."""
    found: list[Any] = [None] * len(entries)
    for group in groups(entries):
        parts = put_together(group.form, group.columns, len(group.positions))
        for position, entry in zip(group.positions.tolist(), parts, strict=True):
            found[position] = entry
    return found


@given(st.lists(ENTRIES, min_size=1, max_size=12))
def test_entries_are_the_same_to_the_type_when_they_are_put_together(entries: list[Any]) -> None:
    # repr tells 1, 1.0 and True, and the signs of zero, apart
    assert repr(again(entries)) == repr(entries)


@given(st.lists(ENTRIES, min_size=1, max_size=12))
def test_each_entry_is_in_one_group_and_no_two_groups_have_the_same_form(entries: list[Any]) -> None:
    found = groups(entries)
    assert sorted(position for group in found for position in group.positions.tolist()) == list(range(len(entries)))
    assert len({group.form for group in found}) == len(found)
    assert all(len(group.columns) == len(leaves_of(group.form)) for group in found)


def test_slices_are_three_columns_for_each_axis() -> None:
    (group,) = groups([((0, 3, 1),), ((2, 4, 1),)])
    assert group.form == (("i", "i", "i"),)
    assert [list(column) for column in group.columns] == [[0, 2], [3, 4], [1, 1]]


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ([1], "a list"),
        (True, "a bool"),
        ((1, {}), "a dict"),
        (LARGEST_NUMBER + 1, "a whole number beyond"),
        (-LARGEST_NUMBER - 1, "a whole number beyond"),
    ],
)
def test_anything_else_is_refused(entry: Any, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        groups([entry])


def test_nesting_is_bounded() -> None:
    entry: Any = 1
    for _ in range(DEEPEST):
        entry = (entry,)
    assert again([entry]) == [entry]
    with pytest.raises(ValueError, match="too deeply"):
        groups([(entry,)])
