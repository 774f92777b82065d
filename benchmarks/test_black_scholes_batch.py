"""What does one input cost in a batch? Prices of options and their five greeks."""

import math

import numpy as np
import pytest
from limits import EXP, LOG, NORMAL_DISTRIBUTION
from scipy.special import ndtr

import fastgrad as fg

N = 100_000
ALL = (0, 1, 2, 3, 4)
WORK = "Black-Scholes and five greeks"
FLOPS = LOG + 2 * EXP + 2 * NORMAL_DISTRIBUTION + 40
NUMBERS = 5 + 6  # read and written for an input


def price(spot, strike, years, rate, volatility, np=np, ndtr=ndtr):
    """Black-Scholes price of a call option."""
    spread = volatility * np.sqrt(years)
    above = (np.log(spot / strike) + (rate + 0.5 * volatility**2) * years) / spread
    return spot * ndtr(above) - strike * np.exp(-rate * years) * ndtr(above - spread)


def options(n=N):
    random = np.random.default_rng(0)
    return [random.uniform(*ends, n) for ends in ((50, 150), (80, 120), (0.1, 2), (0, 0.1), (0.1, 0.5))]


def numba_loop(numba, arguments):
    """The price and its five derivatives by hand, each subexpression once, the functions of the C library."""
    if numba is None:
        return None
    root_half, density_at_0 = math.sqrt(0.5), 1 / math.sqrt(2 * math.pi)

    @numba.njit(error_model="numpy")
    def loop(spots, strikes, all_years, rates, volatilities):
        prices, greeks = np.empty(len(spots)), np.empty((5, len(spots)))
        for i in range(len(spots)):
            spot, strike, years, rate, volatility = spots[i], strikes[i], all_years[i], rates[i], volatilities[i]
            root = math.sqrt(years)
            spread = volatility * root
            above = (math.log(spot / strike) + (rate + 0.5 * volatility * volatility) * years) / spread
            owned = 0.5 * math.erfc(-root_half * above)
            exercised = 0.5 * math.erfc(-root_half * (above - spread))
            discount = math.exp(-rate * years)
            density = density_at_0 * math.exp(-0.5 * above * above)
            paid = strike * discount * exercised
            prices[i] = spot * owned - paid
            greeks[0, i] = owned
            greeks[1, i] = -discount * exercised
            greeks[2, i] = 0.5 * spot * density * volatility / root + rate * paid
            greeks[3, i] = years * paid
            greeks[4, i] = spot * density * root
        return prices, greeks

    return lambda: loop(*arguments)


def jax_vmap(jax, arguments):
    if jax is None:
        return None
    from jax.scipy.stats import norm

    def theirs(*arguments):
        return price(*arguments, np=jax.numpy, ndtr=norm.cdf)

    compiled = jax.jit(jax.vmap(jax.value_and_grad(theirs, argnums=ALL)))
    on_device = [jax.numpy.asarray(argument) for argument in arguments]
    return lambda: jax.block_until_ready(compiled(*on_device))


def heyoka_function(heyoka, arguments):
    """heyoka's machine code for many inputs, in SIMD lanes, into an array that it is given."""
    if heyoka is None:
        return None
    variables = heyoka.make_vars("spot", "strike", "years", "rate", "volatility")

    def ndtr(x):
        return 0.5 + 0.5 * heyoka.erf(math.sqrt(0.5) * x)

    value = price(*variables, np=heyoka, ndtr=ndtr)
    gradient = heyoka.diff_tensors([value], diff_args=variables).gradient
    function = heyoka.cfunc([value, *gradient], variables)
    inputs, outputs = np.array(arguments), np.empty((6, len(arguments[0])))

    def call():
        function(inputs, outputs=outputs)
        return outputs[0], outputs[1:]

    return call


def batched(threads=1):
    def call_price(spot, strike, years, rate, volatility):
        return price(spot, strike, years, rate, volatility)

    return fg.vmap(fg.value_and_grad(call_price, argnums=ALL), threads=threads)


def results_for(n):
    values, *greeks = np.zeros((6, n))
    return values, tuple(greeks)


def measure(compare, n, rivals, others, *, given_arrays=False, **bars):
    """``rivals`` and ``others`` are made from the arguments; ours may write into given arrays, as heyoka does."""
    arguments, out = options(n), results_for(n)
    ours = batched()
    rivals, others = ({name: make(arguments) for name, make in group.items()} for group in (rivals, others))
    compare(
        f"{WORK}, {n:,} in a batch, {'out=, ' if given_arrays else ''}per input",
        (lambda: ours(*arguments, out=out)) if given_arrays else (lambda: ours(*arguments)),
        rivals,
        others,
        per=n,
        flops=FLOPS * n,
        traffic=8 * NUMBERS * n,
        **bars,
    )
    values, greeks = ours(*arguments)
    assert flattened(ours(*arguments, out=out)) == flattened((values, greeks))
    for rival in filter(None, (rivals | others).values()):
        np.testing.assert_allclose(rival()[0], values, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(np.array(rival()[1]), np.array(greeks), rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("given_arrays", [False, True])
@pytest.mark.parametrize("n", [1_000, 100_000, 1_000_000])
def test_price_and_five_greeks_against_heyoka(compare, peer, n, given_arrays):
    rivals = {"heyoka cfunc": lambda arguments: heyoka_function(peer("heyoka"), arguments)}
    measure(compare, n, rivals, {}, given_arrays=given_arrays, bar=0.5, reach=0.33)


def test_price_and_five_greeks_against_loops(compare, peer):
    rivals = {"Numba loop, libm": lambda arguments: numba_loop(peer("numba"), arguments)}
    others = {"JAX vmap": lambda arguments: jax_vmap(peer("jax"), arguments)}
    measure(compare, N, rivals, others, bar=0.8, reach=0.5)


def test_two_threads_against_one(compare):
    # into given arrays: to get new ones from the system is work that threads do not share
    arguments, out = options(1_000_000), results_for(1_000_000)
    two, one = batched(2), batched(1)
    compare(
        f"{WORK}, {len(arguments[0]):,} in a batch, on two threads, per input",
        lambda: two(*arguments, out=out),
        {"one thread": lambda: one(*arguments, out=out)},
        bar=1 / 1.8,
        per=len(arguments[0]),
        seconds=3.0,
    )
    assert flattened(two(*arguments)) == flattened(one(*arguments))


def flattened(result):
    value, greeks = result
    return [array.tobytes() for array in (value, *greeks)]
