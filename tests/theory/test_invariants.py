"""What must hold at ten thousand points of every law, at any magnitude.

Each law is drawn over its whole domain, half of the magnitudes near one and half over
all that floats have: no NaN, no overflow but the stated infinities, inside its range,
and monotone in each parameter where it must be.
"""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from querytax.theory.law import find, laws

from .test_law import TABLES, WORDS

INF = float("inf")
EXAMPLES, POINTS = 100, 100


def magnitude(low, high):
    """Log-uniform: half of the points in [0.01, 100], half over all of the domain."""

    def draw(rng):
        near = rng.uniform(max(np.log(low), -4.6), min(np.log(high), 4.6), POINTS)
        far = rng.uniform(np.log(low), np.log(high), POINTS)
        value = np.exp(np.where(rng.random(POINTS) < 0.5, near, far))
        return np.clip(value, low, high)

    return draw


def signed(draw):
    return lambda rng: draw(rng) * rng.choice([-1.0, 1.0], POINTS)


def whole(draw):
    return lambda rng: np.floor(draw(rng))


def below(top):
    """Linear and logarithmic towards both ends of (0, top)."""

    def draw(rng):
        value = np.exp(rng.uniform(np.log(1e-300), np.log(0.5), POINTS))
        near_end = 1.0 - np.exp(rng.uniform(np.log(2e-16), np.log(0.5), POINTS))
        linear = rng.uniform(1e-3, 0.999, POINTS)
        pick = rng.integers(0, 3, POINTS)
        return top * np.choose(pick, [value, near_end, linear])

    return draw


FRACTION, RATE = below(1.0), below(0.5)
ANY, COUNT, SMALL = (
    magnitude(1e-300, 1e300),
    whole(magnitude(1, 1e9)),
    whole(magnitude(1, 12.9)),
)
MID = magnitude(1e-60, 1e60)

# How to draw each parameter; where a law needs another draw, under (law, parameter).
DRAWS = {
    "alignment": FRACTION,
    "base_repeats": COUNT,
    "contraction": below(1.0),
    "cosine": FRACTION,
    "curvature": signed(MID),
    "delta_margin_ms": ANY,
    "delta_ms": ANY,
    "density": MID,
    "density_slope": signed(MID),
    "dimension": COUNT,
    "displacement": FRACTION,
    "drift": FRACTION,
    "error": RATE,
    "excess": MID,
    "gain": magnitude(0.8, 1e6),
    "gap": MID,
    "gradient_norm": MID,
    "halvings": SMALL,
    "headroom": ANY,
    "lipschitz": MID,
    "loss_sigma": MID,
    "margin": signed(ANY),
    "mean": signed(ANY),
    "noise_variance": ANY,
    "other_margin": signed(ANY),
    "output": ANY,
    "pairs": COUNT,
    "phase": FRACTION,
    "probe": MID,
    "queries": ANY,
    "radius": MID,
    "rate": RATE,
    "remaining": FRACTION,
    "repeats": COUNT,
    "sigma": MID,
    "signal_ms": ANY,
    "slope": FRACTION,
    "snr": ANY,
    "start": lambda rng: np.zeros(POINTS),
    "step": MID,
    "steps": magnitude(1e-3, 1e12),
    "t": ANY,
    "votes": whole(magnitude(1, 1e4)),
    "width": MID,
    ("bias.clipped_mean", "output"): FRACTION,
    ("bisection.mean", "radius"): FRACTION,
    ("bisection.rmse", "radius"): FRACTION,
    ("bisection.mean", "votes"): whole(magnitude(1, 100)),
    ("bisection.rmse", "votes"): whole(magnitude(1, 100)),
    ("bisection.majority", "rate"): FRACTION,
    ("convergence.plateau", "step"): magnitude(1e-6, 1e3),
    ("convergence.steps", "step"): magnitude(1e-6, 1e3),
    ("convergence.displacement", "step"): magnitude(1e-6, 1e3),
    ("snr.output", "output"): FRACTION,
}

# Range, and for each parameter +1 where the law must not fall, -1 where not rise.
UNIT, HALF, POSITIVE = (0.0, 1.0), (0.0, 0.5), (0.0, INF)
FREE, LOG = (-INF, INF), (-INF, 0.0)
RULES = {
    "snr.output": (POSITIVE, {"delta_ms": 1, "sigma": -1}),
    "snr.output_logits": (POSITIVE, {"delta_margin_ms": 1, "sigma": -1}),
    "snr.loss_noise": (POSITIVE, {"signal_ms": 1, "noise_variance": -1}),
    "snr.antithetic": (POSITIVE, {"gradient_norm": 1, "probe": 1, "loss_sigma": -1}),
    "snr.forward": (POSITIVE, {"gradient_norm": 1, "probe": 1, "loss_sigma": -1}),
    "snr.random_direction": (
        POSITIVE,
        {"gradient_norm": 1, "step": 1, "loss_sigma": -1},
    ),
    "snr.cached_base": (
        POSITIVE,
        {"gradient_norm": 1, "probe": 1, "loss_sigma": -1, "base_repeats": 1},
    ),
    "snr.averaged": (POSITIVE, {"snr": 1, "repeats": 1}),
    "efficiency.log_mean": (FREE, {"t": 1}),
    "efficiency.log_variance": ((0.0, 1.2338), {"t": -1}),
    "efficiency.fisher_efficiency": (UNIT, {}),
    "query_ratio.best_step": ((1.0, INF), {"snr": -1, "pairs": -1}),
    "query_ratio.fixed_length_step": ((1.0, INF), {"snr": -1, "pairs": -1}),
    "query_ratio.sign_coordinate": ((1.0, INF), {"snr": -1}),
    "query_ratio.best_constant_step": (POSITIVE, {"snr": -1}),
    "query_ratio.best_minibatch": (POSITIVE, {"snr": -1}),
    "query_ratio.guaranteed_steps": (
        POSITIVE,
        {"snr": -1, "error": -1, "remaining": -1},
    ),
    "query_ratio.cosine": (UNIT, {"snr": 1, "pairs": 1, "dimension": -1}),
    "query_ratio.sign_drift": (UNIT, {"cosine": 1, "gain": 1}),
    "repeats.fixed": (POSITIVE, {"snr": -1, "error": -1}),
    "repeats.random_direction": (POSITIVE, {"snr": -1, "error": -1}),
    "repeats.sequential": (POSITIVE, {"snr": -1, "error": -1}),
    "repeats.sequential_saving": ((1.57, 4.0), {"error": -1}),
    "misstep.fixed_direction": (HALF, {"snr": -1}),
    "misstep.log_fixed_direction": (LOG, {"snr": -1}),
    "misstep.random_direction": (HALF, {"snr": -1}),
    "misstep.log_random_direction": (LOG, {"snr": -1}),
    "misstep.after_repeats": (HALF, {"snr": -1, "repeats": -1}),
    "convergence.plateau": (UNIT, {"drift": 1, "step": -1}),
    "convergence.steps": (POSITIVE, {"displacement": 1}),
    "convergence.displacement": (UNIT, {"steps": 1}),
    "floors.pairs_per_sign": (POSITIVE, {"error": -1, "sigma": 1, "gap": -1}),
    "floors.queries_any_attacker": (POSITIVE, {"error": -1, "sigma": 1, "gap": -1}),
    "floors.gradient_signs": (POSITIVE, {"error": -1, "sigma": 1, "dimension": 1}),
    "floors.explained_fraction": (UNIT, {"queries": 1, "sigma": -1, "dimension": -1}),
    "floors.optimisation_1d": (POSITIVE, {"error": -1, "sigma": 1, "excess": -1}),
    "floors.hard_label_information": (POSITIVE, {}),
    "floors.log_hard_label_information": (FREE, {}),
    "boundary.flip": (HALF, {"sigma": 1}),
    "boundary.log_flip": (LOG, {"sigma": 1}),
    "boundary.band_flip": (HALF, {"width": -1, "sigma": 1}),
    "boundary.flip_rate": (POSITIVE, {"density": 1, "sigma": 1}),
    "boundary.net_loss": (FREE, {"density_slope": 1}),
    "boundary.hopskipjump_gain": ((0.0, 0.8), {}),
    "boundary.hopskipjump_cost": (POSITIVE, {}),
    "boundary.scaled_noise_flip": (HALF, {"sigma": 1}),
    "bias.relu_bias": (POSITIVE, {"sigma": 1}),
    "bias.relu_mean": (POSITIVE, {"mean": 1, "sigma": 1}),
    "bias.leaky_relu_mean": (FREE, {"mean": 1, "sigma": 1}),
    "bias.gelu_mean": (FREE, {}),
    "bias.gelu_bias": (FREE, {}),
    "bias.two_class_margin": ((-1.0, 1.0), {"margin": 1}),
    "bias.three_class_margin": (FREE, {"margin": 1, "other_margin": 1, "sigma": -1}),
    "bias.reflected_mean": (POSITIVE, {"output": 1, "sigma": 1}),
    "bias.clipped_mean": (UNIT, {"output": 1}),
    "bisection.majority": (UNIT, {"rate": 1}),
    "bisection.voted_sigma": (POSITIVE, {"sigma": 1, "votes": -1}),
    "bisection.mean": (UNIT, {"radius": 1}),
    "bisection.rmse": (UNIT, {}),
    "quantization.visibility": (UNIT, {"gap": 1, "step": -1}),
    "quantization.dither_efficiency": (UNIT, {}),
    "quantization.dither_efficiency_mean": (UNIT, {"sigma": 1, "step": -1}),
    "quantization.dither_bias": (FREE, {}),
    "quantization.dither_mean": (POSITIVE, {"output": 1}),
    "quantization.largest_dither_bias": (POSITIVE, {"sigma": -1, "step": 1}),
    "smoothing.mean_norm": (POSITIVE, {"dimension": 1}),
    "smoothing.smoothing_gap": (POSITIVE, {"lipschitz": 1, "sigma": 1, "dimension": 1}),
    "smoothing.probe_gap": (POSITIVE, {"lipschitz": 1, "probe": 1, "sigma": -1}),
    "smoothing.quadratic_gap": (FREE, {"curvature": 1}),
}
ELEMENTWISE = sorted({entry.name for entry in laws()} - TABLES)


def drawn(name, rng):
    numbers = [p for p in find(name).symbols if p not in WORDS]
    return {p: DRAWS.get((name, p), DRAWS.get(p))(rng) for p in numbers}


@pytest.mark.parametrize("name", [n for n in ELEMENTWISE if n in RULES])
@settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 2**32 - 1))
def test_invariants(name, seed):
    rng = np.random.default_rng(seed)
    law, ((low, high), directions) = find(name).function, RULES[name]
    first = drawn(name, rng)
    value = law(**first)
    outside = ~((value >= low - 1e-12 * abs(low)) & (value <= high * (1 + 1e-12)))
    if outside.any():
        k = np.flatnonzero(outside)[0]
        pytest.fail(
            f"{value[k]} outside [{low}, {high}] at "
            f"{ {p: x[k] for p, x in first.items()} }"
        )
    for parameter, direction in directions.items():
        other = drawn(name, rng)[parameter]
        a, b = np.minimum(first[parameter], other), np.maximum(first[parameter], other)
        less, more = law(**{**first, parameter: a}), law(**{**first, parameter: b})
        if direction < 0:
            less, more = more, less
        slack = 1e-12 * np.maximum(np.abs(less), np.abs(more))
        slack[np.isinf(slack)] = 0.0
        wrong = ~(less <= more + slack)
        if wrong.any():
            k = np.flatnonzero(wrong)[0]
            pytest.fail(
                f"not monotone in {parameter}: {a[k]} to {b[k]} gives {less[k]},"
                f" {more[k]} at { {p: x[k] for p, x in first.items()} }"
            )
