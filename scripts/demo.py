"""Fits predators and prey to the pelts of the Hudson's Bay Company, and says how well and how fast.

    python scripts/demo.py [--picture FILE] [--draws N]

The model is plain NumPy, in ``lynx_hare.py``. Here it is fitted by maximum likelihood (SciPy's minimiser with
fastgrad's gradient), its standard errors come from the Hessian, a batch of 100,000 parameter vectors around the fit is
evaluated with gradients as a sampler would, and the fit is drawn with the uncertainty that the Jacobian carries over
from the parameters to the curves.
"""

import argparse
import importlib.util
import os
import time
from pathlib import Path

import lynx_hare
import matplotlib
import numpy as np
from lynx_hare import PARAMETERS, hare_pelts, lynx_pelts, negative_log_likelihood, populations, years
from scipy.optimize import approx_fprime, minimize
from tqdm import tqdm

import fastgrad as fg

matplotlib.use("Agg")
import matplotlib.pyplot as plt

START = np.log([0.5, 0.02, 0.5, 0.02, 30.0, 4.0, 1.0, 1.0])
# posterior means of the rates in the study that the model is taken from (see lynx_hare.py)
PUBLISHED = {"growth": 0.55, "predation": 0.028, "death": 0.80, "conversion": 0.024}
PICTURE = Path(__file__).resolve().parent.parent / "output" / "lynx_hare.png"
CHUNK = 10_000
TAILS = 5  # degrees of freedom of the draws: tails heavier than the likelihood's keep the weights even
TWO_SIDED_95 = 1.96
HARE_COLOUR, LYNX_COLOUR, INK, QUIET = "#c1702f", "#1f6f8b", "#2b2b2b", "#808080"
# where the years stand beside their points in the phase plane, in typographic points
YEAR_LABELS = {
    1900: (-2, -14),
    1902: (8, -3),
    1904: (8, 2),
    1911: (-4, 8),
    1913: (8, -3),
    1915: (-33, 4),
}


def fit():
    """The most likely parameters' logarithms, their covariance, and the minimiser's report."""
    found = minimize(fg.value_and_grad(negative_log_likelihood), START, jac=True)
    covariance = np.linalg.inv(fg.hessian(negative_log_likelihood)(found.x))
    return found.x, covariance, found


def evaluate_batch(log_parameters, threads):
    """Values and gradients at every row, and the seconds they took; a bar shows if it takes longer than a second."""
    batched = fg.vmap(fg.value_and_grad(negative_log_likelihood), threads=threads)
    batched(log_parameters[:1])
    values, gradients = np.empty(len(log_parameters)), np.empty_like(log_parameters)
    start = time.perf_counter()
    with tqdm(total=len(log_parameters), delay=1, unit=" gradients", unit_scale=True, leave=False) as bar:
        for first in range(0, len(log_parameters), CHUNK):
            chunk = slice(first, first + CHUNK)
            values[chunk], gradients[chunk] = batched(log_parameters[chunk])
            bar.update(len(values[chunk]))
    return values, gradients, time.perf_counter() - start


def drawn_around(centre, covariance, n):
    """Rows from the multivariate Student t distribution about the fit."""
    random = np.random.default_rng(1900)
    normal = random.multivariate_normal(np.zeros(len(centre)), covariance, size=n)
    return centre + normal * np.sqrt(TAILS / random.chisquare(TAILS, size=(n, 1)))


def weights_of(draws, values, centre, covariance):
    """Importance weights that make the draws ones from the likelihood."""
    away = draws - centre
    squared_distances = np.sum(away @ np.linalg.inv(covariance) * away, axis=1)
    log_weights = (TAILS + len(centre)) / 2 * np.log1p(squared_distances / TAILS) - values
    weights = np.exp(log_weights - np.max(log_weights))
    return weights / np.sum(weights)


def seconds(function, at_least=0.3):
    """The shortest of the calls that fit in ``at_least`` seconds."""
    best, end = np.inf, time.perf_counter() + at_least
    while True:
        start = time.perf_counter()
        function()
        now = time.perf_counter()
        best = min(best, now - start)
        if now > end:
            return best


def gradient_times(point):
    """Seconds for one value and gradient, by method."""
    ours = fg.value_and_grad(negative_log_likelihood)
    start = time.perf_counter()
    ours(point)
    first = time.perf_counter() - start
    times = {
        "fastgrad": seconds(lambda: ours(point)),
        "fastgrad, first call": first,
        "finite differences": seconds(lambda: approx_fprime(point, negative_log_likelihood)),
    }
    if importlib.util.find_spec("autograd"):
        import autograd
        import autograd.numpy

        # autograd needs its own NumPy in the model's place: a second copy of the module gets it
        spec = importlib.util.spec_from_file_location("lynx_hare_for_autograd", lynx_hare.__file__)
        copy = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(copy)
        copy.np = autograd.numpy
        theirs = autograd.value_and_grad(copy.negative_log_likelihood)
        np.testing.assert_allclose(ours(point)[1], theirs(point)[1], rtol=1e-9, atol=1e-9)
        times["autograd"] = seconds(lambda: theirs(point))
    return times


def curves(log_parameters, covariance):
    """Log populations and the standard deviations that the parameters' covariance gives them, for each species."""

    def log_populations(log_parameters):
        hares, lynxes = populations(log_parameters)
        return np.log(hares), np.log(lynxes)

    jacobians = fg.jacobian(log_populations)(log_parameters)
    deviations = [np.sqrt(np.einsum("ti,ij,tj->t", j, covariance, j)) for j in jacobians]
    return log_populations(log_parameters), deviations


def draw(log_parameters, covariance, picture):
    """Write the picture: the populations in time with their uncertainty, and one against the other."""
    plt.rcParams.update({"font.size": 10.5, "axes.spines.top": False, "axes.spines.right": False, "text.color": INK})
    figure, (in_time, in_phase) = plt.subplots(
        1, 2, figsize=(13, 5.6), width_ratios=(2.15, 1), layout="constrained", facecolor="white"
    )
    figure.get_layout_engine().set(w_pad=0.12, h_pad=0.12, wspace=0.04)
    t = np.linspace(years[0], years[-1], lynx_hare.N_STEPS + 1)
    log_curves, deviations = curves(log_parameters, covariance)
    noise = np.exp(log_parameters[6:])
    species = (
        ("hares", HARE_COLOUR, hare_pelts, log_curves[0], deviations[0], noise[0]),
        ("lynxes", LYNX_COLOUR, lynx_pelts, log_curves[1], deviations[1], noise[1]),
    )
    for name, colour, pelts, curve, deviation, scatter in species:
        for spread, shade in ((np.hypot(deviation, scatter), 0.11), (deviation, 0.30)):
            low, high = (np.exp(curve + side * TWO_SIDED_95 * spread) for side in (-1, 1))
            in_time.fill_between(t, low, high, color=colour, alpha=shade, linewidth=0)
        in_time.plot(t, np.exp(curve), color=colour, linewidth=2.2)
        in_time.plot(years, pelts, "o", color=colour, markersize=6.5, markeredgecolor="white", markeredgewidth=1.1)
        peak = int(np.argmax(curve[: len(curve) // 2]))
        in_time.annotate(
            name, (t[peak], np.exp(curve[peak])), xytext=(26, 20), textcoords="offset points", color=colour,
            fontsize=13, fontweight="bold", arrowprops={"arrowstyle": "-", "color": colour, "alpha": 0.6},
        )  # fmt: skip
    in_time.set_xlim(years[0] - 0.4, years[-1] + 0.4)
    in_time.set_ylim(0, None)
    in_time.set_xticks(np.arange(years[0], years[-1] + 1, 4).astype(int))
    in_time.set_ylabel("pelts, thousands a year")
    in_time.grid(axis="y", color="#e6e6e6", linewidth=0.8)
    in_time.set_axisbelow(True)
    in_time.set_title("Points: pelts traded. Lines: fitted populations", loc="left", fontsize=11, color=INK)

    hares, lynxes = np.exp(log_curves)
    in_phase.plot(hares, lynxes, color=INK, linewidth=1.6)
    in_phase.plot(hare_pelts, lynx_pelts, "-", color=QUIET, linewidth=0.7, alpha=0.6)
    in_phase.scatter(hare_pelts, lynx_pelts, c=years, cmap="viridis", s=42, edgecolor="white", linewidth=1, zorder=3)
    for year, offset in YEAR_LABELS.items():
        where = np.flatnonzero(years == year)[0]
        point = hare_pelts[where], lynx_pelts[where]
        in_phase.annotate(str(year), point, xytext=offset, textcoords="offset points", fontsize=9)
    start, end = (hares[131], lynxes[131]), (hares[134], lynxes[134])
    in_phase.annotate("", end, start, arrowprops={"arrowstyle": "-|>", "color": INK, "mutation_scale": 18})
    in_phase.set(xlim=(0, 88), ylim=(0, 66), xlabel="hares, thousands", ylabel="lynxes, thousands")
    in_phase.grid(color="#e6e6e6", linewidth=0.8)
    in_phase.set_axisbelow(True)
    in_phase.set_title("One against the other, year by year", loc="left", fontsize=11, color=INK)

    figure.suptitle(
        "Lynx and snowshoe hare, Hudson's Bay Company 1900-1920: a Lotka-Volterra fit",
        x=0.012, ha="left", fontsize=15, fontweight="bold",
    )  # fmt: skip
    figure.supxlabel(
        "Dark bands: 95 % for the populations, from the Hessian through the Jacobian. Light bands: 95 % for the pelts, "
        "with the fitted noise.  Data: Hewitt (1921), Howard (2009).",
        x=0.012, ha="left", fontsize=9, color=QUIET,
    )  # fmt: skip
    picture.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(picture, dpi=150)
    plt.close(figure)


def main():
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--picture", type=Path, default=PICTURE, help="where the picture goes (default: %(default)s)")
    options.add_argument("--draws", type=int, default=100_000, help="parameter vectors in the batch")
    options = options.parse_args()

    print(
        f"Lotka-Volterra, {lynx_hare.N_STEPS} Runge-Kutta steps, 8 parameters, {len(years)} years of two kinds of pelts"
    )
    start = time.perf_counter()
    centre, covariance, report = fit()
    taken = time.perf_counter() - start
    print(f"\nFit: {report.nit} iterations, {report.nfev} gradients and a Hessian in {taken:.2f} s")

    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    draws = drawn_around(centre, covariance, options.draws)
    values, _, elapsed = evaluate_batch(draws, threads)
    weights = weights_of(draws, values, centre, covariance)
    means = weights @ np.exp(draws)
    effective = 1 / np.sum(weights**2)

    best, errors = np.exp(centre), np.exp(centre) * np.sqrt(np.diag(covariance))
    print(f"\n{'':12}{'most likely':>12}{'std. error':>12}{'mean of draws':>15}{'published mean':>16}")
    for name, value, error, mean in zip(PARAMETERS, best, errors, means, strict=True):
        published = f"{PUBLISHED[name]:16.3g}" if name in PUBLISHED else ""
        print(f"{name:12}{value:12.4g}{error:12.2g}{mean:15.4g}{published}")
    print(f"(draws weighted by the likelihood, flat prior on the logarithms: worth {effective:,.0f} independent ones)")

    times = gradient_times(centre)
    print("\nOne value and gradient")
    for name, taken in times.items():
        ratio = "" if name.startswith("fastgrad") else f"{taken / times['fastgrad']:10,.0f} x"
        print(f"  {name:22}{1e6 * taken:12,.0f} us{ratio}")

    a_core = options.draws / elapsed / threads
    print(f"\n{options.draws:,} values and gradients in one batch: {elapsed:.2f} s on {threads} threads,")
    print(f"{a_core:,.0f} a second and core, {1e6 / a_core:.1f} us each")

    draw(centre, covariance, options.picture)
    print(f"\nPicture: {options.picture}")


if __name__ == "__main__":
    main()
