"""The Lotka-Volterra model of the lynx and hare pelts, in plain NumPy: it knows nothing of fastgrad.

Hares grow and are eaten, lynxes die and grow by eating::

    hare' = growth*hare - predation*hare*lynx
    lynx' = -death*lynx + conversion*hare*lynx

and the pelts of each year are log-normal about the populations, with one noise scale for each species. All eight
parameters are positive, so the functions here take their logarithms: any vector of eight numbers is a valid point,
a minimiser needs no bounds, and a standard error of a logarithm is a relative one.

Model and data: B. Carpenter, Predator-Prey Population Dynamics: the Lotka-Volterra model in Stan (2018).
"""

from pathlib import Path

import numpy as np

DATA = Path(__file__).resolve().parent / "data" / "hudson_bay_lynx_hare.csv"
PARAMETERS = ("growth", "predation", "death", "conversion", "hare 1900", "lynx 1900", "noise hare", "noise lynx")
STEPS_PER_YEAR = 10

years, lynx_pelts, hare_pelts = np.loadtxt(DATA, delimiter=",", comments="#", skiprows=4, unpack=True)
log_hare_pelts, log_lynx_pelts = np.log(hare_pelts), np.log(lynx_pelts)
N_STEPS = STEPS_PER_YEAR * (len(years) - 1)


def rates_of_change(hare, lynx, growth, predation, death, conversion):
    """Change of both populations, in thousands a year."""
    return growth * hare - predation * hare * lynx, -death * lynx + conversion * hare * lynx


def populations(log_parameters):
    """Hares and lynxes, in thousands, after each of the N_STEPS steps and at the start (classical Runge-Kutta)."""
    growth, predation, death, conversion, hare, lynx = np.exp(log_parameters[:6])
    rates = growth, predation, death, conversion
    step = 1 / STEPS_PER_YEAR
    hares, lynxes = [hare], [lynx]
    for _ in range(N_STEPS):
        hare_1, lynx_1 = rates_of_change(hare, lynx, *rates)
        hare_2, lynx_2 = rates_of_change(hare + step / 2 * hare_1, lynx + step / 2 * lynx_1, *rates)
        hare_3, lynx_3 = rates_of_change(hare + step / 2 * hare_2, lynx + step / 2 * lynx_2, *rates)
        hare_4, lynx_4 = rates_of_change(hare + step * hare_3, lynx + step * lynx_3, *rates)
        hare = hare + step / 6 * (hare_1 + 2 * hare_2 + 2 * hare_3 + hare_4)
        lynx = lynx + step / 6 * (lynx_1 + 2 * lynx_2 + 2 * lynx_3 + lynx_4)
        hares.append(hare)
        lynxes.append(lynx)
    return np.array(hares), np.array(lynxes)


def negative_log_likelihood(log_parameters):
    """Minus the log-likelihood of all pelts, without terms that do not depend on the parameters."""
    hares, lynxes = populations(log_parameters)
    noise_hare, noise_lynx = np.exp(log_parameters[6:])
    surprise_hare = (log_hare_pelts - np.log(hares[::STEPS_PER_YEAR])) / noise_hare
    surprise_lynx = (log_lynx_pelts - np.log(lynxes[::STEPS_PER_YEAR])) / noise_lynx
    log_noise = len(years) * (np.log(noise_hare) + np.log(noise_lynx))
    return log_noise + 0.5 * np.sum(surprise_hare**2) + 0.5 * np.sum(surprise_lynx**2)
