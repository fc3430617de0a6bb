"""Random points of every law's whole domain, at any magnitude, from the vocabulary.

Half of the magnitudes lie near one and half spread over all that floats have.
"""

import numpy as np

from querytax.theory.convergence import plateau
from querytax.theory.law import find


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


FRACTION = below(1.0)
ANY, MID, FACTOR = magnitude(1e-300, 1e300), magnitude(1e-60, 1e60), magnitude(1.0, 1e9)
STEP = magnitude(1e-6, 1e3)


def anywhere(parameter):
    """How to draw a parameter over the domain that a law gives it."""
    low, high, far = parameter.domain.low, parameter.domain.high, parameter.far
    if parameter.domain.whole:
        # Up to just below the next number, so that the last one is drawn as often.
        return whole(magnitude(max(low, 1.0), min(high + 0.999, far)))
    if low < 0.0:
        return signed(below(high) if np.isfinite(high) else magnitude(1.0 / far, far))
    if np.isfinite(high) and low == 0.0:
        return below(high)
    return magnitude(max(low, 1.0 / far), min(high, far))


# Where a law wants another draw: by its name, or its topic's, and the parameter.
OTHERWISE = {
    # A loop over the steps; up to 10,000 in its own tests.
    ("additive.nes_remaining", "steps"): whole(magnitude(1, 300)),
    ("angle", "directions"): whole(magnitude(2, 1e9)),
    ("bias.clipped_mean", "output"): FRACTION,
    ("bisection.mean_estimate", "votes"): whole(magnitude(1, 100)),
    ("bisection.rmse", "votes"): whole(magnitude(1, 100)),
    ("bisection", "halvings"): whole(magnitude(1, 12.9)),
    ("blind.confirmed_mean", "success"): FRACTION,
    ("blind.confirmed_mean", "votes"): lambda rng, count: (
        2.0 * np.floor(magnitude(1, 500)(rng, count)) - 1.0
    ),
    ("contraction.lyapunov", "contraction"): ANY,
    ("contraction.lyapunov_variance", "contraction"): ANY,
    ("contraction.mean_square", "contraction"): ANY,
    ("contraction.not_arrived", "steps"): magnitude(30.0, 1e12),
    ("contraction.tuned_steps", "miss"): magnitude(1e-3, 0.99),
    ("contraction.tuned_steps", "snr"): MID,
    ("convergence", "step"): magnitude(1e-6, 0.5),
    ("convergence.plateau", "step"): STEP,
    ("convergence.spread", "step"): STEP,
    ("convergence.first_passage", "dimension"): whole(magnitude(10, 1e9)),
    ("convergence.first_passage", "gain"): magnitude(0.8, 1e6),
    ("directions.best_base_repeats", "queries"): whole(magnitude(2, 1e15)),
    ("estimators.log_first", "pairs"): whole(lambda rng, n: 100 * FACTOR(rng, n)),
    ("finite_difference", "output"): FRACTION,
    ("finite_difference.white_box_saving", "gap"): FRACTION,
    ("labels", "dimension"): lambda rng, count: 2.0 ** rng.integers(0, 30, count),
    ("labels", "halvings"): whole(magnitude(1, 12.9)),
    ("low_confidence.snr", "sigma"): MID,
    ("passage", "steps"): ANY,
    ("passage.no_gain", "steps"): whole(magnitude(1, 1e300)),
    ("passage.walk_mean", "snr"): MID,
    ("records", "queries"): whole(magnitude(1, 1e300)),
    ("repeats.walds_error", "error"): below(0.1),
    ("repeats.walds_error", "snr"): below(0.1),
    ("repeats.walds_pairs", "error"): below(0.1),
    ("repeats.walds_pairs", "snr"): below(0.1),
    ("snr.output", "output"): FRACTION,
    ("steps", "steps"): magnitude(1e-3, 1e12),
}


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


def _in_reach(rng, count, p):
    tops = [plateau(p["drift"], p["step"], norm) for norm in ("Linf", "L2")]
    return np.minimum(*tops) * FRACTION(rng, count)


def _earlier(rng, count, p):
    return p["displacement"] * FRACTION(rng, count)


# Parameters of a joint condition, drawn after the others and in this order.
JOINT = {
    ("boundary.flip_rate", "density"): lambda rng, count, p: (
        0.099 / p["margin_sigma"] * FRACTION(rng, count)
    ),
    ("boundary.net_loss", "density_slope"): lambda rng, count, p: (
        0.029 / np.square(p["margin_sigma"]) * signed(FRACTION)(rng, count)
    ),
    ("blind.confirmed_mean", "false_alarm"): lambda rng, count, p: (
        (1.0 - p["success"]) * FRACTION(rng, count)
    ),
    ("contraction.tuned_steps", "remaining"): lambda rng, count, p: np.exp(
        -np.minimum((6.5 + 5.0 * np.log1p(p["snr"])) * FACTOR(rng, count), 700.0)
    ),
    ("convergence.first_passage", "displacement"): _in_reach,
    ("convergence.first_passage", "start"): _earlier,
    ("convergence.steps", "start"): _earlier,
    ("drift.sign", "cosine"): lambda rng, count, p: (
        np.minimum(0.199 / p["gain"] ** 4, 1.0) * FRACTION(rng, count)
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
    # No rare error, also where the other output is rounded to the next float.
    ("estimators.log_first", "other_output"): lambda rng, count, p: np.abs(
        p["output"]
        + 2.0 * p["sigma"] / np.sqrt(p["pairs"]) * signed(FRACTION)(rng, count)
    ),
    ("estimators.log_first_cost", "other_output"): _another,
    ("finite_difference.log_ratio_bias_weak", "sigma"): _weak,
    ("log_ratio.definition_snr", "other_output"): _near_or_far,
    ("log_ratio.effective_snr", "other_output"): _near_or_far,
    ("log_ratio.log_snr", "other_output"): _near_or_far,
    ("log_ratio.log_snr", "sigma"): _weak,
    ("log_ratio.mean", "other_output"): _near_or_far,
    ("log_ratio.relative_sigma", "sigma"): _weak,
    ("margin.ball_flip", "ball_radius"): lambda rng, count, p: (
        np.sqrt(p["dimension"]) * p["sigma"] * FACTOR(rng, count) / FACTOR(rng, count)
    ),
    ("margin.ball_flip", "depth"): lambda rng, count, p: (
        p["ball_radius"] * FRACTION(rng, count)
    ),
    ("passage.ou_mean", "target"): _above,
    # The memory of the start is at most so long.
    ("passage.walk_mean", "noiseless_steps"): lambda rng, count, p: (
        8.0 * np.maximum(1.0 / np.sqrt(p["snr"]), p["snr"]) * FACTOR(rng, count)
    ),
    ("records.log_accepted", "accepted"): lambda rng, count, p: np.floor(
        FRACTION(rng, count) * np.clip(np.floor(0.5 * p["queries"]), 1, 1e6)
    ),
    ("scaling.log_snr", "high"): _next_high,
    ("scaling.snr", "high"): _next_high,
    ("scaling.snr", "other_margin"): _next_margin,
    ("scaling.wrong_sign", "high"): _next_high,
    ("scaling.wrong_sign", "other_margin"): _next_margin,
    ("second_moment.minimising_probe", "frobenius"): _bend,
    ("second_moment.quadratic", "frobenius"): _bend,
}


def root_of(entry):
    """The law that a logarithm or complement belongs to."""
    while entry.relation in ("log", "complement"):
        entry = find(entry.parent)
    return entry


def joint(name):
    """The parameters of the law's joint conditions, with their draws."""
    name = root_of(find(name)).name
    return {p: draw for (law, p), draw in JOINT.items() if law == name}


def words(name, rng):
    """One of the choices for each parameter that is a word.

    Where several depend on each other the law's own are kept.
    """
    parameters = find(name).parameters
    if "reading" in parameters:
        return {}
    return {
        p: str(rng.choice(entry.domain.options))
        for p, entry in parameters.items()
        if entry.is_word
    }


def drawn(name, rng, count, joined=None):
    """The law's numbers, each an array of ``count``.

    Those of a joint condition go with the rest, or with the numbers in ``joined``.
    """
    entry = find(name)
    root, late = root_of(entry), joint(name)
    numbers = {p: e for p, e in entry.parameters.items() if not e.is_word}
    values = {
        p: (
            OTHERWISE.get((root.name, p))
            or OTHERWISE.get((root.topic, p))
            or OTHERWISE.get((p, p))
            or anywhere(e)
        )(rng, count)
        for p, e in numbers.items()
        if p not in late
    }
    for p, draw in late.items():
        values[p] = draw(rng, count, joined or values)
    return {p: values[p] for p in numbers}
