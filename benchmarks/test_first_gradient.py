"""How long until the first gradient, in a process that has imported everything but differentiated nothing?"""

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
