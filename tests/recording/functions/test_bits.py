"""Bits of whole numbers: NumPy's values and dtypes, computed anew at later inputs, with derivative zero."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastgrad as fg
from fastgrad import array_ops
from tests.recording.functions.agreement import assert_right_later, assert_shown_as_numpy

POINT = np.array([5.3, -2.2, 0.4, 12.0, -7.9, 3.0])
LATER = (np.array([-1.0, 4.5, 9.9, 0.0, 2.5, -30.0]), np.array([0.2, 0.1, 6.0, -3.0, 17.4, 8.8]))
SHIFTS = np.array([0, 1, 2, 3, 0, 1])


def whole(x: Any) -> Any:
    return np.floor(x).astype(int)


def small(x: Any) -> Any:
    return np.abs(np.floor(x)).astype(np.uint8)


def in_place(x: Any) -> Any:
    y = np.zeros(6, int)
    y[:] = whole(x)
    y &= 12
    y |= 1
    y ^= SHIFTS
    y <<= 2
    y >>= 1
    z = whole(x) + 0
    z <<= 2
    z |= 3
    return y + 0, z


CALLS = {
    "and": lambda x: whole(x) & 6,
    "or": lambda x: whole(x) | 6,
    "xor": lambda x: whole(x) ^ whole(2 * x),
    "invert": lambda x: ~whole(x),
    "shift left": lambda x: whole(x) << 3,
    "shift right": lambda x: whole(x) >> SHIFTS,
    "reflected": lambda x: (13 & whole(x), 13 | whole(x), 13 ^ whole(x), 13 << np.argsort(x), 1000 >> np.argsort(x)),
    "numbers of NumPy on the left": lambda x: (np.int64(13) & whole(x), np.int64(1) << np.argsort(x)),
    "arrays on the left": lambda x: (SHIFTS & whole(x), SHIFTS << np.argsort(x), SHIFTS ^ whole(x)),
    "one number": lambda x: (whole(x)[0] & 3, 3 | whole(x)[0], ~whole(x)[0], np.int8(3) ^ whole(x)[0]),
    "of positions": lambda x: (np.argsort(x) >> 1, np.argmax(x) & 1, np.searchsorted(np.sort(x), x) ^ 5),
    "functions": lambda x: (np.bitwise_and(whole(x), 6), np.bitwise_or(3, whole(x)), np.bitwise_xor(whole(x), SHIFTS)),
    "functions of one operand": lambda x: (np.invert(whole(x)), np.bitwise_not(small(x)), np.bitwise_invert(small(x))),
    "functions of shifts": lambda x: (np.left_shift(whole(x), SHIFTS), np.bitwise_right_shift(whole(x), 2)),
    "divisors and multiples": lambda x: (np.gcd(whole(x), 12), np.lcm(whole(x), SHIFTS), np.gcd(whole(x), whole(-x))),
    "counts": lambda x: (np.bitwise_count(whole(x)), np.bitwise_count(small(x)), np.bitwise_count(x > 0)),
    "few bits": lambda x: (~small(x), small(x) << 5, small(x) & np.uint8(6), whole(x).astype(np.int8) << 6),
    "of truth values": lambda x: ((x > 0) << 2, (x > 0) & 3, np.int64(1) & (x > 0), (x > 0) ^ whole(x), 2 | (x > 0)),
    "truth values": lambda x: ((x > 0) & (x < 4), (x > 0) | True, ~(x > 0), np.bool_(True) ^ (x > 0)),
    "broadcast": lambda x: whole(x)[:, None] & whole(x)[:3],
    "with a dtype": lambda x: np.left_shift(small(x), 7, dtype=np.int64) + np.left_shift(small(x), 7),
    "in place": in_place,
    "packed": lambda x: np.packbits(x > 0),
    "packed little": lambda x: np.packbits(small(x), bitorder="little"),
    "packed along axes": lambda x: (
        np.packbits((x > 0).reshape(2, 3), axis=0), np.packbits((x > 0).reshape(2, 3), axis=-1),
        np.packbits((x > 0).reshape(2, 3)),
    ),
    "packed more than a byte": lambda x: np.packbits(np.concatenate([x, -x]) > 0),
    "unpacked": lambda x: np.unpackbits(small(x)),
    "unpacked little": lambda x: np.unpackbits(small(x), bitorder="little", count=13),
    "unpacked all but some": lambda x: np.unpackbits(small(x).reshape(2, 3), axis=1, count=-3),
    "unpacked to more": lambda x: np.unpackbits(small(x).reshape(2, 3), axis=0, count=20),
    "reduced": lambda x: (
        np.bitwise_or.reduce(whole(x)), np.bitwise_and.reduce(small(x)), np.bitwise_xor.reduce(whole(x)),
        np.gcd.reduce(6 * whole(x)), np.bitwise_or.reduce(whole(x).reshape(2, 3), axis=0),
    ),
    "reduced with a mask": lambda x: np.bitwise_and.reduce(small(x), where=SHIFTS > 0),
    "reduced from a start": lambda x: np.bitwise_xor.reduce(whole(x), initial=9),
    "accumulated": lambda x: (np.bitwise_or.accumulate(whole(x)), np.gcd.accumulate(6 * whole(x))),
    "outer": lambda x: np.bitwise_xor.outer(whole(x), SHIFTS),
    "empty": lambda x: whole(x[:0]) & 3,
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_bits_are_shown_as_numpy_does_and_follow_later_inputs(name: str) -> None:
    function = CALLS[name]
    assert_shown_as_numpy(function, POINT)
    assert_right_later(function, POINT, *LATER)


@pytest.mark.parametrize("name", CALLS)
def test_bits_have_derivative_zero(name: str) -> None:
    def weighted(x: Any) -> Any:
        found = CALLS[name](x)
        return sum(np.sum(part * 1.0) for part in (found if isinstance(found, tuple) else (found,))) * x[0]

    gradient = fg.grad(weighted)
    for point in (POINT, *LATER):
        expected = np.zeros(6)
        expected[0] = weighted(point) / point[0] if point[0] else 0.0
        np.testing.assert_allclose(gradient(point), expected, rtol=1e-13)
        np.testing.assert_allclose(fg.jvp(weighted, (point,), (np.ones(6),))[1], expected[0], rtol=1e-13)


def test_whole_numbers_that_a_recording_does_not_hold_exactly_are_refused() -> None:
    for call in (
        lambda x: np.sum((whole(x) << 55) * x),
        lambda x: np.sum(~np.abs(np.floor(x)).astype(np.uint64) * x),
        lambda x: np.sum((whole(x) | (2**53 + 1)) * x),
    ):
        with pytest.raises(fg.UnsupportedError, match=r"of whole numbers from 2\*\*53 on"):
            fg.grad(call)(POINT)


def test_a_later_input_with_too_many_bits_gives_nan() -> None:
    tape_of_small = fg.grad(lambda x: (whole(x) << 20) * x)
    assert tape_of_small(3.5) == 3 << 20
    assert np.isnan(tape_of_small(2.0**40))


def test_errors_are_those_of_numpy() -> None:
    for call in (lambda x: x & 1, lambda x: np.left_shift(x, 2), lambda x: ~x, lambda x: np.gcd(x, 2)):
        with pytest.raises(TypeError, match=r"not supported for the input types|did not contain a loop"):
            fg.record(call, POINT)
    with pytest.raises(TypeError, match="Expected an input array of integer or boolean"):
        fg.record(np.packbits, POINT)
    with pytest.raises(TypeError, match="unsupported operand"):
        fg.record(lambda x: whole(x) << "a", POINT)


def test_operations_that_do_not_exist_are_found_in_tapes() -> None:
    for attribute in (("add", "<i8"), ("gcd", "<f8"), ("invert", "<i8")):
        with pytest.raises(ValueError, match=r"no such operation on bits|number of operands"):
            array_ops.bitwise.shape_rule(attribute, (3,), (3,))
