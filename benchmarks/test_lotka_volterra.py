"""How long does the gradient of a simulation with thousands of scalar operations take?"""

from pathlib import Path

import numpy as np
import pytest
from by_hand import compiled
from models import POINT, simulation

import fastgrad as fg

WORK = "Lotka-Volterra, 200 RK4 steps: value and gradient"
FLOPS = 200 * (54 + 108)  # there, and back with the stages known


def casadi_function(casadi):
    """Value and gradient as one function for CasADi's virtual machine."""
    parameters = casadi.SX.sym("parameters", 6)
    value = simulation([parameters[k] for k in range(6)])
    return casadi.Function("simulation", [parameters], [value, casadi.gradient(value, parameters)])


def through_buffers(function):
    """A CasADi function as a call without arguments, its results, and what must stay alive: CasADi's quickest way."""
    if function is None:
        return None, None, None
    buffer, evaluate = function.buffer()
    value, gradient = np.zeros(1), np.zeros(6)
    buffer.set_arg(0, memoryview(POINT))
    buffer.set_res(0, memoryview(value))
    buffer.set_res(1, memoryview(gradient))
    return evaluate, (value, gradient), buffer


@pytest.fixture(scope="session")
def casadi_in_c(tmp_path_factory):
    """The same from CasADi's C code, compiled at -O3, which takes some 20 s; None without CasADi or a compiler."""
    casadi = pytest.importorskip("casadi")
    directory = tmp_path_factory.mktemp("casadi")
    generator = casadi.CodeGenerator("simulation.c")
    generator.add(casadi_function(casadi))
    generator.generate(f"{directory}/")
    library = compiled(Path(directory, "simulation.c"), directory, "-O3")
    return casadi.external("simulation", str(library)) if library else None


def in_c(by_hand):
    """The derivative by hand as a call without arguments, and its results."""
    value, gradient = np.zeros(1), np.zeros(6)
    return by_hand.bound("lotka_volterra", POINT, value, gradient), (value, gradient)


def bound(tier):
    """fastgrad's as a call without arguments, and its results."""
    results = np.zeros(()), np.zeros(6)
    return fg.value_and_grad(simulation, tier=tier).prepare(POINT).bind(POINT, results), results


def assert_equal_results(results, others):
    for other in filter(None, others):
        np.testing.assert_allclose(results[0], other[0].reshape(()), rtol=1e-11)
        np.testing.assert_allclose(results[1], other[1], rtol=1e-9)


def test_in_the_virtual_machine(compare, peer):
    ours, results = bound("vm")
    casadi = peer("casadi")
    theirs, their_results, _keep = through_buffers(casadi_function(casadi) if casadi else None)
    compare(f"{WORK}, virtual machine", ours, {"CasADi VM": theirs}, bar=1.0, reach=0.4, flops=FLOPS)
    assert_equal_results(results, [their_results])


def test_against_c_by_hand(compare, by_hand):
    ours, results = bound("native")
    theirs, their_results = in_c(by_hand)
    compare(WORK, ours, {"C by hand": theirs}, bar=2.0, reach=1.3, flops=FLOPS)
    assert_equal_results(results, [theirs and their_results])


def test_against_generated_c(compare, casadi_in_c):
    ours, results = bound("native")
    theirs, their_results, _keep = through_buffers(casadi_in_c)
    compare(WORK, ours, {"CasADi C -O3": theirs}, bar=1.0, reach=0.7, flops=FLOPS)
    assert_equal_results(results, [their_results])
