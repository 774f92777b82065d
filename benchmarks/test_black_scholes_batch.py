"""What does one input cost in a batch? Prices of 100,000 options and their five greeks."""

import math

import numpy as np
from scipy.special import ndtr

import fastgrad as fg

N = 100_000
ALL = (0, 1, 2, 3, 4)


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


def test_price_and_five_greeks(compare, peer):
    arguments = options()

    def call_price(spot, strike, years, rate, volatility):
        return price(spot, strike, years, rate, volatility)

    ours = fg.vmap(fg.value_and_grad(call_price, argnums=ALL), threads=1)
    rivals = {"Numba loop, libm": numba_loop(peer("numba"), arguments)}
    others = {"JAX vmap": jax_vmap(peer("jax"), arguments)}
    compare(
        f"Black-Scholes and five greeks, {N:,} in a batch, per input",
        lambda: ours(*arguments),
        rivals,
        others,
        bar=0.8,
        reach=0.5,
        per=N,
        seconds=1.5,
    )
    values, greeks = ours(*arguments)
    for rival in filter(None, (rivals | others).values()):
        np.testing.assert_allclose(rival()[0], values, rtol=1e-9, atol=1e-11)
        np.testing.assert_allclose(np.array(rival()[1]), np.array(greeks), rtol=1e-8, atol=1e-9)


def test_two_threads_against_one(compare):
    arguments = options(1_000_000)

    def call_price(spot, strike, years, rate, volatility):
        return price(spot, strike, years, rate, volatility)

    two, one = (fg.vmap(fg.value_and_grad(call_price, argnums=ALL), threads=threads) for threads in (2, 1))
    compare(
        f"Black-Scholes and five greeks, {len(arguments[0]):,} in a batch, on two threads, per input",
        lambda: two(*arguments),
        {"one thread": lambda: one(*arguments)},
        bar=0.556,  # 1.8 times as fast
        per=len(arguments[0]),
        seconds=3.0,
    )
    assert flattened(two(*arguments)) == flattened(one(*arguments))


def flattened(result):
    value, greeks = result
    return [array.tobytes() for array in (value, *greeks)]
