"""How long until the first gradient, in a process that has differentiated nothing yet?

From the first call, with everything imported, and above bare Python, with imports counted. The caches on disk are warm.
"""

import pytest
from comparison import Row
from fresh_process import fastest_in_fresh_processes, seconds_in_fresh_process

PROGRAM = """
import time
{before}
start = time.perf_counter()
{counted}
print(time.perf_counter() - start)
"""
SIMULATION, ROSENBROCK = (
    "from models import POINT, simulation",
    "from models import rosenbrock; x = np.linspace(-1, 1, 10)",
)
SIMULATIONS = {
    "fastgrad": ("import fastgrad", "fastgrad.value_and_grad(simulation)(POINT)"),
    "autograd": ("import autograd", "autograd.value_and_grad(simulation)(POINT)"),
    "CasADi": (
        "import casadi",
        """
p = casadi.SX.sym("p", 6)
value = simulation([p[k] for k in range(6)])
casadi.Function("simulation", [p], [value, casadi.gradient(value, p)])(POINT)
""",
    ),
    # the loop over the steps as a loop of JAX: unrolled, it takes minutes to compile
    "JAX scan": (
        "import jax",
        """
def scanned(p):
    def step(state, _):
        return state_after(p[:4], state), None
    x, y = jax.lax.scan(step, (p[4], p[5]), None, 200)[0]
    return x * x + y * y
def state_after(rates, state):
    growth, predation, death, conversion = rates
    def slope(x, y):
        return growth * x - predation * x * y, conversion * x * y - death * y
    x, y = state
    x1, y1 = slope(x, y)
    x2, y2 = slope(x + 0.05 * x1, y + 0.05 * y1)
    x3, y3 = slope(x + 0.05 * x2, y + 0.05 * y2)
    x4, y4 = slope(x + 0.1 * x3, y + 0.1 * y3)
    return x + 0.1 / 6 * (x1 + 2 * x2 + 2 * x3 + x4), y + 0.1 / 6 * (y1 + 2 * y2 + 2 * y3 + y4)
jax.block_until_ready(jax.jit(jax.value_and_grad(scanned))(jax.numpy.asarray(POINT)))
""",
    ),
}
GRADIENTS = {
    "fastgrad": ("import fastgrad", "fastgrad.grad(rosenbrock)(x)"),
    "autograd": ("import autograd", "autograd.grad(rosenbrock)(x)"),
    "JAX": (
        "import jax",
        """
in_jax = lambda x: jax.numpy.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)
jax.block_until_ready(jax.jit(jax.grad(in_jax))(jax.numpy.asarray(x)))
""",
    ),
}


@pytest.fixture
def compare_programs(report, peer):
    """``compare_programs(work, programs)`` reports the first gradients of all, in processes of their own."""

    def compare_programs(work, programs):
        missing = tuple(name for name in programs if name != "fastgrad" and not peer(name.split()[0].lower()))
        programs = {name: program for name, program in programs.items() if name not in missing}
        seconds_in_fresh_process(programs["fastgrad"])  # the kernels are in their cache from here on
        times = fastest_in_fresh_processes(programs, samples=9)
        ours = times.pop("fastgrad")
        rivals = {name: times.pop(name) for name in ("autograd",) if name in times}
        report(
            Row(work, ours, rivals, times, bar=1.5, reach=1.0, missing=missing),
            lambda: seconds_in_fresh_process(programs["fastgrad"]),
        )

    return compare_programs


def from_the_first_call(model, works):
    return {
        name: PROGRAM.format(before=f"import numpy as np\n{imports}\n{model}", counted=work)
        for name, (imports, work) in works.items()
    }


def above_bare_python(model, works):
    return {
        name: PROGRAM.format(before="", counted=f"import numpy as np\n{imports}\n{model}\n{work}")
        for name, (imports, work) in works.items()
    }


def test_simulation_from_the_first_call(compare_programs):
    work = "Lotka-Volterra, 200 RK4 steps: first gradient of a process, from the first call"
    compare_programs(work, from_the_first_call(SIMULATION, SIMULATIONS))


def test_rosenbrock_from_the_first_call(compare_programs):
    work = "Rosenbrock n=10: first gradient of a process, from the first call"
    compare_programs(work, from_the_first_call(ROSENBROCK, GRADIENTS))


def test_simulation_above_bare_python(compare_programs):
    work = "Lotka-Volterra, 200 RK4 steps: first gradient of a process, imports counted"
    compare_programs(work, above_bare_python(SIMULATION, SIMULATIONS))


def test_rosenbrock_above_bare_python(compare_programs):
    work = "Rosenbrock n=10: first gradient of a process, imports counted"
    compare_programs(work, above_bare_python(ROSENBROCK, GRADIENTS))
