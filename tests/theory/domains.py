"""Random points of every law's whole domain, at any magnitude.

Half of the magnitudes lie near one and half spread over all that floats have.
"""

import re

import numpy as np

from querytax.theory.law import find

from .test_law import WORDS


def magnitude(low, high):
    """Log-uniform: half of the points in [0.01, 100], half over all of the domain."""

    def draw(rng, count):
        near = rng.uniform(max(np.log(low), -4.6), min(np.log(high), 4.6), count)
        far = rng.uniform(np.log(low), np.log(high), count)
        value = np.exp(np.where(rng.random(count) < 0.5, near, far))
        return np.clip(value, low, high)

    return draw


def signed(draw):
    return lambda rng, count: draw(rng, count) * rng.choice([-1.0, 1.0], count)


def whole(draw):
    return lambda rng, count: np.floor(draw(rng, count))


def below(top):
    """Linear and logarithmic towards both ends of (0, top)."""

    def draw(rng, count):
        value = np.exp(rng.uniform(np.log(1e-300), np.log(0.5), count))
        near_end = 1.0 - np.exp(rng.uniform(np.log(2e-16), np.log(0.5), count))
        linear = rng.uniform(1e-3, 0.999, count)
        pick = rng.integers(0, 3, count)
        return top * np.choose(pick, [value, near_end, linear])

    return draw


FRACTION, RATE = below(1.0), below(0.5)
ANY, COUNT, SMALL = (
    magnitude(1e-300, 1e300),
    whole(magnitude(1, 1e9)),
    whole(magnitude(1, 12.9)),
)
MID = magnitude(1e-60, 1e60)
FACTOR = magnitude(1.0, 1e9)

# How to draw each parameter; where a law needs another draw, under (law, parameter).
DRAWS = (
    {
        "alignment": FRACTION,
        "amplitude": ANY,
        "base_repeats": COUNT,
        "bend": ANY,
        "candidate_sigma": MID,
        "checks": COUNT,
        "confidence": FRACTION,
        "contraction": FRACTION,
        "correlation": signed(FRACTION),
        "cosine": FRACTION,
        "curvature": signed(MID),
        "delta_margin_ms": ANY,
        "delta_ms": ANY,
        "density": MID,
        "density_slope": signed(MID),
        "difference": ANY,
        "dimension": COUNT,
        "directions": whole(magnitude(2, 1e9)),
        "displacement": FRACTION,
        "distance": ANY,
        "drift": FRACTION,
        "error": RATE,
        "excess": MID,
        "fall": MID,
        "frobenius": MID,
        "gain": magnitude(0.8, 1e6),
        "gap": MID,
        "gradient_norm": MID,
        "halvings": SMALL,
        "headroom": ANY,
        "lipschitz": MID,
        "log_ratio": ANY,
        "loss_sigma": MID,
        "low": MID,
        "margin": signed(ANY),
        "mean": signed(ANY),
        "mean_ratio": MID,
        "median": ANY,
        "multiplier": signed(ANY),
        "noise_ratio": ANY,
        "noise_sigma": MID,
        "noise_variance": ANY,
        "origin": signed(ANY),
        "other_confidence": FRACTION,
        "other_margin": signed(ANY),
        "other_output": ANY,
        "output": ANY,
        "output_behind": FRACTION,
        "output_slope": signed(MID),
        "pairs": COUNT,
        "period": MID,
        "phase": FRACTION,
        "probe": MID,
        "quantile": ANY,
        "queries": ANY,
        "quotient": signed(ANY),
        "radius": MID,
        "rate": RATE,
        "relative_sigma": ANY,
        "remaining": FRACTION,
        "repeats": COUNT,
        "reverse": MID,
        "rival": FRACTION,
        "rival_behind": FRACTION,
        "rival_slope": signed(MID),
        "rivals": whole(magnitude(1, 1e12)),
        "shape": ANY,
        "share": FRACTION,
        "sigma": MID,
        "signal_ms": ANY,
        "slope": FRACTION,
        "smoothed_difference": ANY,
        "smoothness": MID,
        "snr": ANY,
        "step": MID,
        "success": FRACTION,
        "steps": magnitude(1e-3, 1e12),
        "t": ANY,
        "third_derivative": signed(MID),
        "threshold": FRACTION,
        "tolerance": MID,
        "trace": signed(MID),
        "votes": whole(magnitude(1, 1e4)),
        "width": MID,
        ("additive.constant_step_floor", "contraction"): below(2.0),
        ("additive.constant_step_remaining", "contraction"): below(2.0),
        # A loop over the steps; up to 10,000 in its own tests.
        ("additive.nes_remaining", "steps"): whole(magnitude(1, 300)),
        ("bias.clipped_mean", "output"): FRACTION,
        ("bisection.mean", "radius"): FRACTION,
        ("bisection.rmse", "radius"): FRACTION,
        ("bisection.mean", "votes"): whole(magnitude(1, 100)),
        ("bisection.rmse", "votes"): whole(magnitude(1, 100)),
        ("bisection.majority", "rate"): FRACTION,
        ("blind.confirmed_mean", "votes"): lambda rng, count: (
            2.0 * np.floor(magnitude(1, 500)(rng, count)) - 1.0
        ),
        ("contraction.lyapunov", "contraction"): ANY,
        ("contraction.lyapunov_variance", "contraction"): ANY,
        ("contraction.mean_square", "contraction"): ANY,
        ("contraction.tuned_steps", "error"): magnitude(1e-3, 0.5 - 1e-9),
        ("convergence.plateau", "step"): magnitude(1e-6, 1e3),
        ("convergence.steps", "step"): magnitude(1e-6, 1e3),
        ("convergence.displacement", "step"): magnitude(1e-6, 1e3),
        ("convergence.first_passage", "dimension"): whole(magnitude(10, 1e9)),
        ("convergence.first_passage", "step"): magnitude(1e-6, 1e3),
        ("convergence.spread", "step"): magnitude(1e-6, 1e3),
        ("directions.best_base_repeats", "queries"): whole(magnitude(2, 1e15)),
        ("finite_difference.white_box_saving", "gap"): FRACTION,
        ("labels.distance_after_step", "distance"): FACTOR,
        ("margin.ball_flip", "dimension"): whole(magnitude(4, 1e9)),
        ("passage.no_gain", "steps"): whole(magnitude(1, 1e300)),
        ("passage.no_gain_steps", "error"): FRACTION,
        ("passage.not_arrived_time", "error"): FRACTION,
        ("passage.walk_mean", "snr"): magnitude(1e-60, 1e60),
        ("estimators.log_first", "pairs"): whole(lambda rng, n: 100 * FACTOR(rng, n)),
        ("query_ratio.sign_drift", "cosine"): below(0.1),
        ("reversal.recovered", "reverse"): FRACTION,
        ("snr.output", "output"): FRACTION,
    }
    | {
        ("passage." + name, parameter): ANY
        for name in ("arrived", "log_arrived", "log_not_arrived", "not_arrived_time")
        for parameter in ("drift", "steps")
    }
    | {
        ("finite_difference." + name, "output"): FRACTION
        for name in (
            "log_bias",
            "log_ratio_bias",
            "log_ratio_bias_weak",
            "log_ratio_sd",
            "log_slope_bias",
            "white_box_saving",
        )
    }
    | {
        ("records." + name, "queries"): whole(magnitude(1, 1e300))
        for name in (
            "accepted_mean",
            "accepted_root",
            "accepted_variance",
            "best_of",
            "log_accepted",
        )
    }
)


def _weak(rng, count, p):
    least = np.minimum.reduce([p[k] for k in p if "output" in k or "rival" in k])
    return 0.1 * least * magnitude(1e-6, 1.0)(rng, count)


def _near_or_far(rng, count, p):
    """Another output: next to the first, or anywhere."""
    near = p["output"] * (1.0 + 0.5 * signed(FRACTION)(rng, count))
    return np.where(rng.random(count) < 0.5, near, ANY(rng, count))


def _another(rng, count, p):
    other = _near_or_far(rng, count, p)
    return np.where(other == p["output"], 1.5 * other, other)


def _next_margin(rng, count, p):
    """Another margin: next to the first, or anywhere."""
    near = p["margin"] * (1.0 + 0.5 * signed(FRACTION)(rng, count))
    return np.where(rng.random(count) < 0.5, near, signed(ANY)(rng, count))


def _next_high(rng, count, p):
    """The other end of a range: next to the first, or anywhere above it."""
    more = np.where(rng.random(count) < 0.5, FRACTION(rng, count), FACTOR(rng, count))
    return np.maximum(p["low"] * (1.0 + more), np.nextafter(p["low"], np.inf))


def _bend(rng, count, p):
    """From the multiples of the identity on, whose Frobenius norm is least."""
    return np.abs(p["trace"]) / np.sqrt(p["dimension"]) * FACTOR(rng, count)


def _above(rng, count, p):
    return p["origin"] + ANY(rng, count)


# Parameters of a joint condition, drawn after the others and in this order.
JOINT = {
    ("blind.confirmed_mean", "false_alarm"): lambda rng, count, p: (
        (1.0 - p["success"]) * FRACTION(rng, count)
    ),
    ("contraction.tuned_steps", "nats"): lambda rng, count, p: (
        (6.5 + 5.0 * np.log1p(p["snr"])) * FACTOR(rng, count)
    ),
    ("convergence.first_passage", "start"): lambda rng, count, p: (
        p["displacement"] * FRACTION(rng, count)
    ),
    ("convergence.steps", "start"): lambda rng, count, p: (
        p["displacement"] * FRACTION(rng, count)
    ),
    ("directions.cached_spread", "queries"): lambda rng, count, p: np.ceil(
        p["base_repeats"] + FACTOR(rng, count)
    ),
    ("directions.spread", "queries"): lambda rng, count, p: (
        2.0 * p["repeats"] * FACTOR(rng, count)
    ),
    ("estimators.likelihood_root", "mean_square_ratio"): lambda rng, count, p: (
        np.square(p["mean_ratio"]) * (1.0 + MID(rng, count))
    ),
    ("estimators.log_first", "other_output"): _near_or_far,
    ("estimators.log_first_cost", "other_output"): _another,
    ("finite_difference.log_ratio_bias_weak", "sigma"): _weak,
    ("log_ratio.definition_snr", "other_output"): _near_or_far,
    ("log_ratio.effective_snr", "other_output"): _near_or_far,
    ("log_ratio.log_snr", "other_output"): _near_or_far,
    ("log_ratio.log_snr", "sigma"): _weak,
    ("log_ratio.mean", "other_output"): _near_or_far,
    ("log_ratio.relative_sigma", "sigma"): _weak,
    ("margin.ball_flip", "ball_radius"): lambda rng, count, p: (
        (np.sqrt(p["dimension"]) + 16.1) * p["sigma"] * FACTOR(rng, count)
    ),
    ("margin.ball_flip", "depth"): lambda rng, count, p: (
        p["ball_radius"] * FRACTION(rng, count)
    ),
    ("passage.log_ou_mean", "target"): _above,
    ("scaling.log_snr", "high"): _next_high,
    ("scaling.snr", "high"): _next_high,
    ("scaling.snr", "other_margin"): _next_margin,
    ("scaling.wrong_sign", "high"): _next_high,
    ("scaling.wrong_sign", "other_margin"): _next_margin,
    ("second_moment.best_probe", "frobenius"): _bend,
    ("second_moment.quadratic", "frobenius"): _bend,
    ("passage.ou_mean", "target"): _above,
    # The memory of the start is at most so long.
    ("passage.walk_mean", "steps"): lambda rng, count, p: (
        8.0 * np.maximum(1.0 / np.sqrt(p["snr"]), p["snr"]) * FACTOR(rng, count)
    ),
    ("records.log_accepted", "accepted"): lambda rng, count, p: np.floor(
        FRACTION(rng, count) * np.clip(np.floor(0.5 * p["queries"]), 1, 1e6)
    ),
}


def words(name, rng):
    """One of the choices for each parameter that is a word, as its symbol lists them.

    Where several depend on each other the law's own are kept.
    """
    chosen = {
        parameter: str(rng.choice(re.findall(r"['\"](\w+)['\"]", text)))
        for parameter, text in find(name).symbols.items()
        if parameter in WORDS
    }
    return {} if "reading" in chosen else chosen


def drawn(name, rng, count, joined=None):
    """The law's numbers, each an array of ``count``.

    Those of a joint condition go with the rest, or with the numbers in ``joined``.
    """
    numbers = [p for p in find(name).symbols if p not in WORDS]
    values = {
        p: DRAWS.get((name, p), DRAWS.get(p))(rng, count)
        for p in numbers
        if (name, p) not in JOINT
    }
    for (law, p), draw in JOINT.items():
        if law == name:
            values[p] = draw(rng, count, joined or values)
    return {p: values[p] for p in numbers}
