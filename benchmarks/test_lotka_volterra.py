"""How long does the gradient of a simulation with thousands of scalar operations take?"""

import shutil
import subprocess

import numpy as np
from models import POINT, simulation

import fastgrad as fg


def casadi_function(casadi):
    """Value and gradient as one function for CasADi's virtual machine."""
    parameters = casadi.SX.sym("parameters", 6)
    value = simulation([parameters[k] for k in range(6)])
    return casadi.Function("simulation", [parameters], [value, casadi.gradient(value, parameters)])


def through_buffers(function):
    """A CasADi function as a call without arguments, its results, and what must stay alive: CasADi's quickest way."""
    buffer, evaluate = function.buffer()
    value, gradient = np.zeros(1), np.zeros(6)
    buffer.set_arg(0, memoryview(POINT))
    buffer.set_res(0, memoryview(value))
    buffer.set_res(1, memoryview(gradient))
    return evaluate, (value, gradient), buffer


def in_generated_c(casadi, function, directory):
    """The same from CasADi's C code, compiled at -O1; None without a compiler. (-O2 takes 20 s and gains nothing.)"""
    if not shutil.which("gcc"):
        return None
    generator = casadi.CodeGenerator("simulation.c")
    generator.add(function)
    generator.generate(f"{directory}/")
    library = f"{directory}/simulation.so"
    subprocess.run(["gcc", "-O1", "-shared", "-fPIC", f"{directory}/simulation.c", "-o", library], check=True)
    return casadi.external("simulation", library)


def test_value_and_gradient_of_200_runge_kutta_steps(compare, peer, tmp_path):
    ours = fg.value_and_grad(simulation, tier="vm")
    casadi = peer("casadi")
    machine = compiled = results = None
    if casadi:
        function = casadi_function(casadi)
        machine, results, _keep_machine = through_buffers(function)
        external = in_generated_c(casadi, function, tmp_path)
        if external:
            compiled, _, _keep_compiled = through_buffers(external)
    compare(
        "Lotka-Volterra, 200 RK4 steps: value and gradient",
        lambda: ours(POINT),
        {"CasADi VM": machine},
        {"CasADi C": compiled},
        bar=1.0,
        reach=0.4,
    )
    if results:
        np.testing.assert_allclose(ours(POINT)[0], results[0][0], rtol=1e-12)
        np.testing.assert_allclose(ours(POINT)[1], results[1], rtol=1e-9)
