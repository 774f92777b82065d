"""Assignment, views and changes in place: each program does under fastgrad what it does under NumPy."""

from __future__ import annotations

import copy
import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from numpy import empty, zeros

import fastgrad as fg
from tests.derivative_checks import check

X = np.array([1.1, 2.3, 0.7, 1.9, 2.9, 0.4])


def one_element(x):
    y = x.copy()
    y[0] = y[1] * 2
    return y**2


def a_view_sees_a_write_to_its_base(x):
    y = x * 1
    v = y[1:4]
    y[2] = x[0] * x[1]
    return v**2


def a_base_sees_a_write_to_its_view(x):
    y = x * 1
    v = y[1:4]
    v[:] = y[:3] * 2
    v += 1
    return y**2 * np.arange(6)


def a_view_of_a_view(x):
    y = x * 1
    v = y[1:][::2][1:]
    v *= x[0]
    w = y[::-1]
    w[0] = w[1] * w[2]
    return y * y


def overlapping_addition(x):
    y = x * 1
    y[1:] += y[:-1]
    return y**2


def reversed_and_overlapping(x):
    y = x * 1
    y[::-1][1:4] = y[1:4] ** 2
    return y**2


def a_transposed_reshape(x):
    m = (x * 1).reshape(2, 3)
    v = m.T
    v[1, :] = v[0, :] * 3
    m[0] *= m[1]
    return m**2, v[2, 1]


def a_reshape_that_copies(x):
    m = (x * 1).reshape(2, 3).T
    flat = m.reshape(-1)
    m[0, 0] = x[3] ** 2
    flat[1] = 0.0
    return m.sum(), flat


def a_mask_and_a_number(x):
    y = x * 1
    y[y > 1.5] = 0.5
    return y**3


def a_mask_and_a_recorded_number(x):
    y = x * 1
    y[y > 1.5] = x[0] * x[1]
    return y**3


def a_mask_on_the_first_axis(x):
    m = np.outer(x, x)
    m[x > 1.5] = x[2]
    return m


def a_mask_changed_in_place(x):
    y = x * 1
    y[y > 1.5] *= x[1]
    return y**3


def repeated_positions(x):
    y = x * 1
    y[[0, 0, 1]] += x[1:4]
    return y**3


def repeated_positions_at(x):
    y = x * 1
    np.add.at(y, [0, 0, 1], x[1:4])
    np.multiply.at(y, [2, 2], x[:2])
    np.subtract.at(y, [5, 5, 5], 1.0)
    return y**3


def two_index_arrays(x):
    t = np.zeros((6, 6))
    i = np.arange(6)
    t[i, i[::-1]] = x * x
    return t @ t


def a_loop_that_reads_what_it_wrote(x):
    y = x * 0
    for i in range(6):
        y[i] = x[i] * x[i - 1] + (y[i - 1] if i else 0)
    return y.sum() + y[3] ** 2


def zeros_filled(x):
    y = np.zeros(6)
    for i in range(6):
        y[i] = x[i] ** 2 * (y[i - 1] if i else 1.0)
    return y


def imported_makers(x):
    y, z = zeros(6), empty(2)
    v = y[2:4]
    y[2] = x[0] * x[1]
    y[3] = x[2]
    z[:] = v
    return v**2, y[2] * math.sin(x[1]), z


def rows_of_a_table(x):
    y = np.zeros((3, 6))
    y[0] = x
    y[1] = y[0] * 2
    y[2, :] = y[0] * y[1]
    return y * y


def columns_and_planes(x):
    y = np.ones((2, 3, 6))
    y[:, 1] = x
    y[0, :, 2] = x[:3]
    y[..., -1] += x[0]
    return y**2


def steps_of_a_solver(x):
    u = np.empty((5, 6))
    u[0] = x
    for k in range(4):
        u[k + 1] = u[k] + 0.1 * np.sin(u[k])
        u[k + 1, 0] = u[k, -1]
    return u[-1], u[2:4, 1:3]


def a_stencil(x):
    u = np.outer(x, x)
    for _ in range(3):
        u[1:-1, 1:-1] = 0.25 * (u[2:, 1:-1] + u[:-2, 1:-1] + u[1:-1, 2:] + u[1:-1, :-2])
    return u**2


def boundaries(x):
    u = np.outer(x, x)
    u[0, :] = u[-1, :] = 0.0
    u[:, 0] = x
    u[:, -1] = u[:, -2]
    return u**2


def a_checkerboard(x):
    u = np.outer(x, x)
    u[::2, ::2] = 0.5 * u[1::2, 1::2]
    u[1::2, 1::2] = u[::2, ::2] ** 2
    return u


def scattered_writes_to_a_matrix(x):
    u = np.outer(x, x)
    for k in range(12):
        u[(5 * k) % 6, (7 * k) % 5] = x[k % 6] * u[k % 4, k % 3]
    return u


def the_same_row_everywhere(x):
    y = np.zeros((4, 6))
    y[:] = x * x
    y[1:3, 2] = x[:2]
    return y


def ones_multiplied(x):
    y = np.ones(6)
    y *= x
    y += 1
    y **= 2
    y /= x[0]
    y -= 3.0
    return y


def names_of_one_array(x):
    y = x * 1
    z = y
    z += 1
    z *= y
    return y


def swapped_elements(x):
    y = x * 1
    y[0], y[3] = y[3], y[0]
    return y * np.arange(6)


def swapped_rows(x):
    m = np.outer(x, x * x)
    m[[0, 2]] = m[[2, 0]]
    return m * np.arange(6)


def swapped_views(x):
    m = np.outer(x, x * x)
    m[0], m[2] = m[2], m[0]  # as in NumPy, the second write reads the row that the first has changed
    return m * np.arange(6)


def written_by_out(x):
    y = np.zeros(6)
    np.add(x, 1, out=y)
    z = x * 1
    np.multiply(z, z, z)
    np.sum(np.outer(y, z), axis=0, out=y)
    return y, z


def made_by_arithmetic(x):
    y = np.full(3, 2.0) * np.arange(3)
    y[1] = x[1]
    return np.exp(y)


def made_by_a_helper(x):
    def helper(n):
        return np.zeros(n)

    y = helper(4)
    y[0] = x[0]
    z = y.reshape(2, 2)
    z[1, 1] = x[3] * y[0]
    return y[3] + z


def views_made_before_the_first_recorded_write(x):
    y = np.zeros((2, 3))
    row, flat, turned = y[1], y.reshape(-1), y.T
    y[1, 2] = x[0]
    flat[0] = x[1]
    turned[1] = x[2:4]
    return row, flat, turned, y


def an_array_written_with_numbers_after_recorded_values(x):
    y = np.zeros(6)
    y[:] = x
    y[2] = 3.0
    y[4:] = [1.0, 2.0]
    y[0] += 1
    return y * x


def a_list_assigned(x):
    y = np.zeros(6)
    y[1:3] = [x[0], 2 * x[1]]
    y[[3, 5]] = (x[2], 4.0)
    return y


def a_constant_table_with_a_recorded_entry(x):
    rotation = np.array([[1.0, 2.0], [3.0, 4.0]])
    rotation[0, 1] = x[0]
    return rotation @ rotation, np.linalg.norm(rotation)


def like_another(x):
    y = np.empty_like(x)
    y[:] = x
    z = np.zeros_like(y)
    z[1:] += y[:-1]
    return z * y


def in_a_nested_function_and_a_list(x):
    parts = [np.zeros(2) for _ in range(3)]
    for k, part in enumerate(parts):
        part[:] = x[2 * k : 2 * k + 2] ** 2
    return parts[0] * parts[1] + parts[2]


@dataclasses.dataclass
class State:
    position: Any
    velocity: Any

    def step(self, h):
        self.position += h * self.velocity
        self.velocity -= h * np.sin(self.position)


def a_user_class_changed_in_place(x):
    state = State(np.zeros(3), np.ones(3))
    state.position[:] = x[:3]
    state.velocity *= x[3:]
    for _ in range(4):
        state.step(0.1)
    return state.position, state.velocity


def a_copy_is_independent(x):
    y = x * 1
    z = y.copy()
    y[0] = 5.0
    w = np.zeros(3)
    w[0] = x[0]
    v = w.copy()
    w[0] = x[1]
    v[1] = x[2]
    return z, y, w, v


def a_generator_that_fills(x):
    y = np.zeros(6)

    def states():
        for k in range(6):
            y[k] = x[k] * (k + 1)
            yield y[k]

    return sum(states()) * y


def an_object_array(x):
    y = np.empty(3, dtype=object)
    for k in range(3):
        y[k] = x[k] * x[k + 1]
    return np.sum(y), y[0]


def a_diagonal_filled(x):
    m = np.outer(x, x)
    np.fill_diagonal(m, x[0])
    return m


def copied_to(x):
    y = np.zeros((2, 6))
    np.copyto(y, x)
    np.copyto(y[0], x * x, where=np.arange(6) > 2)
    return y


def put_in_places(x):
    y = np.zeros(6)
    np.put(y, [0, 3, -1], x[:3] * 2)
    y.put([1], x[5])
    y.fill(x[0]) if y[0] < 0 else None
    return y


def a_truncated_triangle(x):
    m = np.zeros((3, 3))
    m[np.tril_indices(3)] = x
    return m @ m.T


def a_zero_dimensional_array(x):
    y = np.zeros(())
    y[...] = x[0]
    y += x[1]
    z = (x * 1)[0, ...]
    z *= 3.0
    return y * y, z


def chained_views(x):
    y = x * 1
    y.reshape(2, 3)[:, 1:].T[0] = x[:2] ** 2
    return y


def written_through_flat(x):
    y = np.zeros((3, 2)).T
    for k in range(3):
        y.flat[2 * k] = x[k]
    z = np.zeros((3, 3))
    z.flat[::4] = x[3:]
    z.flat[[1, 5]] = 2.0
    return y, z @ z


def all_elements_through_flat(x):
    y = np.zeros((3, 4))
    y.flat = x
    return y**2


def flat_kept_over_the_first_recorded_write(x):
    y = np.arange(1.0, 7.0).reshape(2, 3)
    elements = y.flat
    total = elements[4] + len(elements)
    for k, element in enumerate(elements):
        y[k // 3, k % 3] = element * x[k]
    return total * y, elements[1:3], elements.copy()


def flat_of_plain_numbers(x):
    y = np.arange(6.0)
    y.flat[y.flat == 3.0] = 7.0
    return np.array(y.flat) * x, np.sum(y.flat) * x[0], sum(y.flat) * x[1], (y.flat > 2.0) * x


def flat_of_recorded_values_compared(x):
    return np.where((x * 1).flat > 1.0, x, 0.0)


def truth_values_combined_in_place(x):
    mask = x > 1.0
    same, part = mask, mask[::2]
    mask |= x < 0.5
    mask &= x < 2.5
    part ^= x[:3] > 2.0
    return np.where(same, x**2, x)


def a_copy_of_an_array_that_was_made(x):
    y, k = np.zeros(3), np.zeros(2, int)
    y[0], k[0] = x[0], np.argmax(x)
    z = copy.copy(y)
    z[1] = x[1]
    return y * z, x[copy.copy(k)], z**2


def plain_numbers_in_arrays_of_whole_numbers_and_truth_values(x):
    positions, mask, made = np.argsort(x), x > 1.0, np.zeros(3, int)
    positions[0], mask[2] = 2.7, 5
    positions[1:3] = np.array([1.9, -1.2])
    mask[3:5] = [0.0, math.nan]
    made[0], made[1] = np.argmax(x), -3.6
    return positions * x, mask * x, made * x[:3]


def positions_filled_one_by_one(x):
    positions = np.zeros(3, int)
    positions[0], positions[2] = np.argmax(x), np.argmin(x)
    y = x * 1
    y[positions] += 1.5
    y[positions[:1]] **= 2
    return x[positions] ** 2, y, x.reshape(3, 2)[positions // 2, positions % 2], x[positions[::-1]]


def positions_filled_one_by_one_in_functions(x):
    positions, y = np.zeros(3, int), x * 1
    positions[0], positions[2] = np.argmax(x), np.argmin(x)
    np.put_along_axis(y, positions, x[:3] ** 2, 0)
    return y, np.take_along_axis(x, positions, 0), np.take(y, positions)


def truth_values_filled_one_by_one(x):
    data, mask = np.arange(6.0), np.zeros(6, bool)
    mask[0], mask[4] = x[0] > 1.0, x[4] > 1.0
    first = data[mask].sum()
    np.greater(x[:3], 1.0, out=mask[3:])
    mask[::2] |= x[:3] < 1.0
    return first * x, data[mask].sum() * x, x[mask] ** 2


def elements_chosen_along_the_last_axis_are_in_fortran_order(x):
    m, order = (x * 1).reshape(2, 3), np.argsort(x[:3])
    y, z, w = m[:, [0, 2, 1]], m[:, order], m[:, np.array([True, False, True])]
    copy, view = y.ravel(), y.T.ravel()
    copy[0], view[1] = x[4] ** 2, x[5] ** 2
    z.ravel()[1] = 7.0
    z.T.reshape(-1)[2] *= x[0]
    w.reshape(-1)[0] = 9.0
    return y**2, copy, view, z**2, w, z.ravel("K")


def axes_in_another_order(x):
    y = np.ones((2, 3, 2)).transpose(1, 0, 2) * x.reshape(3, 2, 1)
    v = y[1:, :, ::-1]
    y[0, 0] = x[1] ** 2
    v[:, 1] *= y[0, 0]
    y.ravel("K")[3] = 5.0
    return y**2, v, y.ravel()


def what_may_not_be_written_into(x):
    y, z = np.zeros(3), x[:3] * 1
    y.flags.writeable = z.flags.writeable = False
    failures = 0
    for target in (y, z, np.broadcast_to(np.zeros(3), (2, 3)), np.diag(np.ones((3, 3))), np.broadcast_to(z, (2, 3))):
        try:
            target[0] = x[0]
        except ValueError:
            failures += 1
    return failures * x, y * x[:3]


PROGRAMS = [
    value
    for value in list(globals().values())
    if getattr(value, "__code__", None) and value.__module__ == __name__ and value.__code__.co_varnames[:1] == ("x",)
]


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_a_program_with_assignments_has_numpys_values_and_right_derivatives(program):
    check(program, X)


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_a_program_with_assignments_has_right_second_derivatives(program):
    fg.check_grads(lambda x: sum(np.sum(part) for part in _parts(program(x))), (X,), order=2)


@pytest.mark.parametrize(
    "program",
    [
        positions_filled_one_by_one,
        positions_filled_one_by_one_in_functions,
        truth_values_filled_one_by_one,
        truth_values_combined_in_place,
    ],
)
def test_whole_numbers_and_truth_values_are_those_of_later_inputs(program):
    def joined(x):
        return np.concatenate([np.ravel(part) for part in _parts(program(x))])

    jacobian, value = fg.jacobian(joined), fg.value_and_grad(lambda x: np.sum(joined(x)))
    for x in (X, X[::-1].copy(), X + 0.15):
        slope = joined(x + 1e-200j).imag * 1e200
        np.testing.assert_allclose(jacobian(x).sum(axis=1), slope, rtol=1e-12)
        np.testing.assert_allclose(value(x)[0], joined(x).sum(), rtol=1e-14)


def test_code_that_knows_no_protocol_cannot_take_recorded_positions_for_plain_ones():
    data = np.arange(6.0)

    def function(x):
        positions = np.zeros(2, int)
        positions[0] = np.argmax(x)
        return data[positions] * x[0]

    with pytest.raises(IndexError):
        fg.jacobian(function)(X)


def test_positions_that_recorded_values_only_met_are_still_plain():
    data = np.arange(6.0)

    def function(x):
        positions = np.arange(3)
        return positions.dot(x[:3]) * data[positions].sum() * positions[np.argmax(x[:2])]

    np.testing.assert_array_equal(fg.grad(function)(X), [0, 3, 6, 0, 0, 0])


def test_arguments_in_fortran_order_are_laid_out_as_they_are():
    def read(x, positions):
        return x.ravel("A") * np.arange(6.0) + positions.ravel("K") * x.ravel("K")

    def write(x, positions):
        v, k = x.ravel(), positions.ravel()
        v *= 2.0
        k[0] = 9
        return x * positions + v.reshape(2, 3)

    positions = np.arange(6).reshape(2, 3)
    for function in (read, write):

        def weighted(x, k, function=function):
            result = function(x, k)
            return np.sum(result * np.arange(6.0).reshape(result.shape))

        recorded = fg.value_and_grad(weighted)
        for order in ("C", "F", "C"):
            x, k = np.asarray(X.reshape(2, 3), order=order), np.asarray(positions, order=order)
            value, gradient = recorded(x, k)
            assert value == pytest.approx(weighted(x.copy(order="K"), k.copy(order="K")), rel=1e-14)
            # linear in x
            assert np.sum(gradient * x) == pytest.approx(value, rel=1e-14)


def _parts(result):
    return result if isinstance(result, tuple) else (result,)
