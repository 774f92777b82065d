"""Addresses are those that NumPy says."""

from typing import Any

import numpy as np
import pytest

from fastgrad.vm import addresses

ARRAYS = {
    "whole": np.arange(5.0),
    "part": np.arange(24.0).reshape(4, 6)[1:, 2::3],
    "reversed": np.arange(5.0)[::-1],
    "one number": np.array(1.0),
    "empty": np.empty((0, 3)),
    "of a subclass": np.arange(4.0).view(np.recarray),
    "broadcast": np.broadcast_to(np.float64(1.0), (3,)),
}


@pytest.mark.parametrize("name", ARRAYS)
@pytest.mark.parametrize("way", ["address_of", "_fast", "_slow"])
def test_both_ways_give_the_address_of_the_first_element(name: str, way: str) -> None:
    array: Any = ARRAYS[name]
    assert getattr(addresses, way)(array) == array.__array_interface__["data"][0]
