"""Lines that pass through boxes led around them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

__all__ = ["Point", "around_boxes"]

GAP = 9.0

Point = tuple[float, float]


def around_boxes(line: Sequence[Point], boxes: NDArray[np.float64], ends: tuple[int, int]) -> tuple[Point, ...]:
    """The line along the axes, or if it passes through a box other than those at its ends one that passes by.

    ``boxes`` has a row of left, top, right and lower side for each. The new line goes down, aside, down, aside, down;
    where no such line is clear the old one stays.
    """
    others = np.delete(boxes, ends, axis=0)
    if _is_clear(line, others):
        return tuple(line)
    (x, y), (end_x, end_y) = line[0], line[-1]
    aside, back = (y + GAP, end_y - 2 * GAP) if y < end_y else (y - GAP, end_y + 2 * GAP)
    places = np.concatenate([[x, end_x], others[:, 0] - GAP, others[:, 2] + GAP])
    for place in places[np.argsort(abs(places - x) + abs(places - end_x), kind="stable")].tolist():
        found = ((x, y), (x, aside), (place, aside), (place, back), (end_x, back), (end_x, end_y))
        if _is_clear(found, others):
            return tuple(point for point, following in pairwise((*found, (np.nan, np.nan))) if point != following)
    return tuple(line)


def _is_clear(line: Sequence[Point], boxes: NDArray[np.float64]) -> bool:
    points = np.array(line)
    low, high = np.minimum(points[1:], points[:-1]), np.maximum(points[1:], points[:-1])
    is_inside = (low[:, None] < boxes[None, :, 2:]) & (high[:, None] > boxes[None, :, :2])
    return not is_inside.all(axis=2).any()
