"""Three ways to check an experiment: by its law, by other splits, by other draws."""

import math
from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np

from querytax.montecarlo.runs import Run, estimate

# False alarms of one interval; some hundred of them make 1e-4.
ALPHA = 1e-6


def agrees(experiment, law, samples, catches):
    """The law is in the interval, and one that is off by ``catches`` would not be.

    The interval holds the truth but for ``ALPHA``: as it is no wider than that
    relative error of the law, a law so far from the truth lies outside.
    """
    found = estimate(experiment, rng=1, max_samples=samples, alpha=ALPHA, threads=1)
    assert found.low <= law <= found.high, (float(law), found)
    width = (found.high - found.low) / abs(law)
    assert width <= catches, f"only errors of {width:.3g} are sure to be seen"


def any_split(experiment, blocks=6):
    """The same bits in portions and on threads; samples depend on their number."""
    whole = Run(experiment, 3).advance(blocks)
    assert Run(experiment, 3).advance(1).advance(blocks - 3).advance(2) == whole
    with ThreadPoolExecutor(3) as pool:
        assert Run(experiment, 3).advance(blocks, pool) == whole
    key, first, count = (np.uint64(7), np.uint64(8)), 10**6, 150
    single = [experiment.block(first + i, 1, 0.0, *key)[0] for i in range(count)]
    together = experiment.block(first, count, 0.0, *key)[0]
    assert math.isclose(together, math.fsum(single), rel_tol=1e-13)
    assert experiment.block(first, count, 0.0, *key[::-1])[0] != together


def is_simd(kernel, *arguments):
    """Whether its loop became vector code; compiled anew: caches keep no listing."""
    fresh = numba.njit(kernel.py_func, error_model="numpy")
    fresh(*arguments)
    (code,) = fresh.inspect_asm().values()
    return "zmm" in code or "ymm" in code or "\tfmul\tv" in code


def by_hand(experiment, draws, samples):
    """The mean of NumPy's own draws is that of the experiment, to 5 errors."""
    found = estimate(experiment, rng=2, max_samples=samples, threads=1)
    x = np.asarray(draws, dtype=float)
    error = math.sqrt(x.var() * (1.0 / x.size + 1.0 / found.samples))
    assert abs(x.mean() - found.value) <= 5 * error, (x.mean(), found.value, error)
