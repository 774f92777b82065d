"""How long until the first gradient, in a process that has differentiated nothing yet?

With everything imported, and with imports counted. The caches on disk are warm.
"""

import pytest
from comparison import Row
from fresh_process import fastest_in_fresh_processes, seconds_in_fresh_process

PROGRAM = """
import time
{imports}
from models import POINT, simulation
start = time.perf_counter()
{work}
print(time.perf_counter() - start)
"""
OURS = PROGRAM.format(imports="import fastgrad", work="fastgrad.value_and_grad(simulation)(POINT)")
AUTOGRAD = PROGRAM.format(imports="import autograd", work="autograd.value_and_grad(simulation)(POINT)")
CASADI = PROGRAM.format(
    imports="import casadi",
    work="""
p = casadi.SX.sym("p", 6)
value = simulation([p[k] for k in range(6)])
casadi.Function("simulation", [p], [value, casadi.gradient(value, p)])(POINT)
""",
)


def test_first_gradient_of_200_runge_kutta_steps(report, peer):
    seconds_in_fresh_process(OURS)  # the kernels are in their cache from here on
    programs = {"fastgrad": OURS}
    programs |= {name: text for name, text in (("CasADi", CASADI), ("autograd", AUTOGRAD)) if peer(name.lower())}
    missing = tuple(name for name in ("CasADi", "autograd") if name not in programs)
    times = fastest_in_fresh_processes(programs, samples=9)
    row = Row(
        "Lotka-Volterra, 200 RK4 steps: first gradient of a process",
        times.pop("fastgrad"),
        others=times,
        bar=60e-3,
        reach=25e-3,
        missing=missing,
        judged_alone=True,
    )
    report(row, lambda: seconds_in_fresh_process(OURS))


ROSENBROCK = """
import time
import numpy as np
from models import rosenbrock
x = np.linspace(-1.0, 1.0, 10)
{before}
start = time.perf_counter()
{counted}
{work}
print(time.perf_counter() - start)
"""
WORKS = {
    "fastgrad": ("import fastgrad", "fastgrad.grad(rosenbrock)(x)"),
    "autograd": ("import autograd", "autograd.grad(rosenbrock)(x)"),
    "JAX": ("import jax", "jax.block_until_ready(jax.jit(jax.grad(in_jax))(jax.numpy.asarray(x)))"),
}
# the same function, of jax.numpy
IN_JAX = "in_jax = lambda x: jax.numpy.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2); "


def rosenbrock_program(name, with_imports):
    imports, work = WORKS[name]
    if name == "JAX":
        work = IN_JAX + work
    return ROSENBROCK.format(before="" if with_imports else imports, counted=imports if with_imports else "", work=work)


@pytest.mark.parametrize("with_imports", [False, True])
def test_first_gradient_of_rosenbrock(report, peer, with_imports):
    programs = {
        name: rosenbrock_program(name, with_imports) for name in WORKS if name == "fastgrad" or peer(name.lower())
    }
    seconds_in_fresh_process(programs["fastgrad"])
    times = fastest_in_fresh_processes(programs, samples=9)
    ours, autograd = times.pop("fastgrad"), times.pop("autograd", None)
    row = Row(
        f"Rosenbrock n=10: first gradient of a process{', import beyond NumPy counted' if with_imports else ''}",
        ours,
        {"autograd": autograd} if autograd else {},
        times,
        bar=1.5,
        reach=1.0,
        missing=tuple(name for name in WORKS if name not in programs),
    )
    report(row, lambda: seconds_in_fresh_process(programs["fastgrad"]))
