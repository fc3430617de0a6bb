"""What must hold at ten thousand points of every law, at any magnitude.

No NaN, no overflow but the stated infinities, inside the range, monotone in each
parameter where it must be, and no bound below what it bounds.
"""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from querytax.theory import accuracy, bisection
from querytax.theory.law import find, laws

from .domains import JOINT, drawn, words
from .test_law import TABLES

INF = float("inf")
EXAMPLES, POINTS = 20, 500
# A difference of two times, which may be millions of steps.
ROUNDING = {"convergence.first_passage": 1e-6}

# Range, and for each parameter +1 where the law must not fall, -1 where not rise.
UNIT, HALF, POSITIVE = (0.0, 1.0), (0.0, 0.5), (0.0, INF)
FREE, LOG, LOG_HALF = (-INF, INF), (-INF, 0.0), (-INF, -np.log(2.0))
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
    "snr.correlated": (POSITIVE, {"snr": 1, "correlation": 1}),
    "scaling.wrong_sign": (HALF, {"repeats": -1}),
    "scaling.snr": (POSITIVE, {"low": 1, "high": -1}),
    "scaling.log_snr": (POSITIVE, {"log_ratio": 1, "low": 1, "high": -1}),
    "reversal.wrong_sign": (UNIT, {"reverse": 1}),
    "reversal.sine_wrong_sign": (HALF, {"amplitude": 1}),
    "reversal.released": (FREE, {}),
    "reversal.recovered": (FREE, {}),
    "low_confidence.snr": (
        POSITIVE,
        {
            "delta_margin_ms": 1,
            "sigma": -1,
            "confidence": 1,
            "other_confidence": 1,
            "threshold": -1,
        },
    ),
    "low_confidence.silent_share": (UNIT, {"threshold": -1, "rivals": -1}),
    "mixture.beta_median_gain": (POSITIVE, {"shape": -1}),
    "mixture.beta_snr": (POSITIVE, {"delta_ms": 1, "sigma": -1, "shape": 1}),
    "mixture.beta_wrong_sign": (HALF, {"gap": -1, "sigma": 1}),
    "quantization.uniform_dither_variance": (POSITIVE, {}),
    "quantization.uniform_dither_snr": (POSITIVE, {"gap": 1, "step": -1}),
    "quantization.uniform_dither_wrong_sign": (HALF, {"gap": -1, "step": 1}),
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
    "query_ratio.plain_drift": (UNIT, {"snr": 1, "pairs": 1, "dimension": -1}),
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
    "convergence.first_passage": (POSITIVE, {"displacement": 1}),
    "convergence.spread": (UNIT, {}),
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
    "blind.confirmed_mean": (
        (1.0, INF),
        {"success": -1, "false_alarm": 1, "votes": 1},
    ),
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
    "accuracy.two_class_sigma": (POSITIVE, {"gap": 1, "rate": 1}),
    "additive.constant_step_floor": (POSITIVE, {"snr": -1, "contraction": 1}),
    "additive.constant_step_remaining": (POSITIVE, {"snr": -1}),
    "additive.constant_steps": ((1.0, INF), {"snr": -1, "remaining": -1}),
    "additive.nes_least_pairs": (
        POSITIVE,
        {"snr": -1, "dimension": 1, "remaining": -1},
    ),
    "additive.nes_pairs": (
        POSITIVE,
        {"snr": -1, "dimension": 1, "pairs": 1, "remaining": -1},
    ),
    "additive.nes_remaining": (
        UNIT,
        {"snr": -1, "dimension": 1, "pairs": -1, "steps": -1},
    ),
    "additive.remaining": (UNIT, {"snr": -1, "steps": -1}),
    "additive.steps": (POSITIVE, {"snr": -1, "remaining": -1}),
    "angle.backwards": (
        HALF,
        {"directions": -1, "probe": -1, "sigma": 1, "repeats": -1},
    ),
    "angle.log_backwards": (
        LOG_HALF,
        {"directions": -1, "probe": -1, "sigma": 1, "repeats": -1},
    ),
    "angle.mean_cosine": (
        UNIT,
        {"dimension": -1, "directions": 1, "probe": 1, "sigma": -1, "repeats": 1},
    ),
    "angle.rms_cosine": (
        UNIT,
        {"dimension": -1, "directions": 1, "probe": 1, "sigma": -1, "repeats": 1},
    ),
    "bisection.information_rmse": (POSITIVE, {"sigma": 1, "votes": -1}),
    "contraction.almost_sure_step": (UNIT, {"snr": 1}),
    "contraction.almost_sure_threshold": (UNIT, {"contraction": 1}),
    "contraction.best_lyapunov": ((-INF, -0.245357064), {"snr": -1}),
    "contraction.lyapunov": (FREE, {}),
    "contraction.lyapunov_variance": ((0.0, np.pi**2 / 8.0), {"snr": -1}),
    "contraction.mean_square": (POSITIVE, {"snr": -1}),
    "contraction.mean_square_step": (UNIT, {"snr": 1}),
    "contraction.mean_square_threshold": (UNIT, {"contraction": 1}),
    "contraction.noiseless_steps": (POSITIVE, {"contraction": -1, "remaining": -1}),
    "contraction.tuned_steps": (POSITIVE, {"error": -1, "nats": 1}),
    "directions.best_base_repeats": (
        (1.0, INF),
        {"dimension": 1, "probe": -1, "sigma": 1, "queries": 1},
    ),
    "directions.best_repeats": (
        (1.0, INF),
        {"mean": 1, "candidate_sigma": -1, "noise_sigma": 1},
    ),
    "directions.cached_spread": (
        POSITIVE,
        {"gradient_norm": 1, "dimension": 1, "probe": -1, "sigma": 1, "queries": -1},
    ),
    "directions.progress": (FREE, {"noise_sigma": -1, "repeats": 1}),
    "directions.progress_per_query": (FREE, {"noise_sigma": -1}),
    "directions.spread": (
        POSITIVE,
        {
            "gradient_norm": 1,
            "dimension": 1,
            "probe": -1,
            "sigma": 1,
            "queries": -1,
            "repeats": 1,
        },
    ),
    "estimators.fisher_information": (POSITIVE, {"relative_sigma": -1, "probe": 1}),
    "estimators.likelihood_root": (
        FREE,
        {"mean_ratio": -1, "mean_square_ratio": 1, "relative_sigma": -1},
    ),
    "estimators.log_bias": (FREE, {}),
    "estimators.log_first": (HALF, {"pairs": -1}),
    "estimators.log_first_cost": ((1.0, INF), {}),
    "estimators.log_outputs_first": (
        LOG_HALF,
        {"gap": -1, "sigma": 1, "pairs": -1, "correlation": -1},
    ),
    "estimators.outputs_first": (
        HALF,
        {"gap": -1, "sigma": 1, "pairs": -1, "correlation": -1},
    ),
    "estimators.variance_bound": (
        POSITIVE,
        {"relative_sigma": 1, "pairs": -1, "probe": -1},
    ),
    "estimators.variance_bound_of_pairs": (
        POSITIVE,
        {"output": -1, "other_output": -1, "sigma": 1, "pairs": -1, "probe": -1},
    ),
    "finite_difference.best_forward_probe": (
        POSITIVE,
        {"loss_sigma": 1, "repeats": -1},
    ),
    "finite_difference.best_probe": (POSITIVE, {"loss_sigma": 1, "repeats": -1}),
    "finite_difference.best_rms_error": (POSITIVE, {"loss_sigma": 1, "repeats": -1}),
    "finite_difference.central_bias": (FREE, {"third_derivative": 1}),
    "finite_difference.central_sd": (POSITIVE, {"loss_sigma": 1, "probe": -1}),
    "finite_difference.forward_bias": (FREE, {"curvature": 1}),
    "finite_difference.forward_sd": (POSITIVE, {"loss_sigma": 1, "probe": -1}),
    "finite_difference.log_bias": (FREE, {}),
    "finite_difference.log_ratio_bias": (FREE, {}),
    "finite_difference.log_ratio_bias_weak": (FREE, {}),
    "finite_difference.log_ratio_sd": (
        POSITIVE,
        {
            "output": -1,
            "rival": -1,
            "output_behind": -1,
            "rival_behind": -1,
            "sigma": 1,
            "probe": -1,
        },
    ),
    "finite_difference.log_slope_bias": (FREE, {}),
    "finite_difference.white_box_saving": (POSITIVE, {"output": 1, "gap": -1}),
    "floors.optimisation": (POSITIVE, {"queries": -1, "dimension": 1, "sigma": 1}),
    "labels.distance_after_step": ((1.0, INF), {"distance": 1, "cosine": -1}),
    "labels.rays_accepted": (UNIT, {"margin": 1, "halvings": 1}),
    "labels.rays_checks": (POSITIVE, {"share": 1, "dimension": 1}),
    "labels.rays_share": (UNIT, {"checks": 1, "dimension": -1}),
    "log_ratio.definition_snr": (POSITIVE, {}),
    "log_ratio.effective_snr": (POSITIVE, {}),
    "log_ratio.log_snr": (POSITIVE, {"sigma": -1}),
    "log_ratio.mean": (FREE, {"output": 1, "other_output": -1}),
    "log_ratio.relative_sigma": (
        (0.0, 0.1 * np.sqrt(2.0)),
        {"sigma": 1},
    ),
    "log_ratio.variance": (
        (0.0, np.pi**2 / 4.0),
        {"output": -1, "other_output": -1, "sigma": 1},
    ),
    "margin.ball_flip": (
        UNIT,
        {"depth": -1, "dimension": 1, "sigma": 1, "ball_radius": -1},
    ),
    "margin.quantile_sigma": (POSITIVE, {"quantile": 1}),
    "margin.tied_rivals": (UNIT, {"gap": -1, "rivals": 1, "sigma": 1}),
    "misstep.acceptance_correlation": (
        UNIT,
        {"snr": -1, "repeats": 1, "base_repeats": -1},
    ),
    "misstep.after_unequal_repeats": (
        HALF,
        {"snr": -1, "repeats": -1, "base_repeats": -1},
    ),
    "misstep.bent": (HALF, {"snr": -1, "bend": -1}),
    "misstep.log_bent": (LOG_HALF, {"snr": -1, "bend": -1}),
    "misstep.radius": (HALF, {"gap": -1, "slope": -1, "sigma": 1, "gradient_norm": 1}),
    "misstep.log_radius": (
        LOG_HALF,
        {"gap": -1, "slope": -1, "sigma": 1, "gradient_norm": 1},
    ),
    "passage.arrived": (UNIT, {"steps": 1, "distance": -1, "drift": 1}),
    "passage.first_gain": ((1.0, INF), {"snr": -1}),
    "passage.log_arrived": (LOG, {"steps": 1, "distance": -1, "drift": 1}),
    "passage.log_not_arrived": (LOG, {"steps": -1, "distance": 1, "drift": -1}),
    "passage.log_ou_mean": (FREE, {"origin": -1, "target": 1}),
    "passage.no_gain": (UNIT, {"steps": -1}),
    "passage.no_gain_steps": (POSITIVE, {"error": -1}),
    "passage.not_arrived_time": (POSITIVE, {"error": -1, "distance": 1, "drift": -1}),
    "passage.ou_mean": (POSITIVE, {"origin": -1, "target": 1}),
    "passage.overshoot": ((0.582597157939, INF), {"snr": 1}),
    "passage.walk_mean": (POSITIVE, {"steps": 1}),
    "ratio.density": (POSITIVE, {}),
    "ratio.distribution": (UNIT, {"quotient": 1}),
    "ratio.log_distribution": (LOG, {"quotient": 1}),
    "ratio.log_multiplier_distribution": (LOG, {"multiplier": 1}),
    "ratio.log_opposite_signs": (
        LOG_HALF,
        {"output": -1, "other_output": -1, "sigma": 1},
    ),
    "ratio.multiplier_density": (POSITIVE, {}),
    "ratio.multiplier_distribution": (UNIT, {"multiplier": 1}),
    "ratio.opposite_signs": (HALF, {"output": -1, "other_output": -1, "sigma": 1}),
    "ratio.same_sign": ((0.5, 1.0), {"output": 1, "other_output": 1, "sigma": -1}),
    "records.accepted_mean": (POSITIVE, {"queries": 1}),
    "records.accepted_root": (POSITIVE, {"queries": 1}),
    "records.accepted_variance": (POSITIVE, {"queries": 1}),
    "records.best_of": (POSITIVE, {"queries": 1}),
    "records.log_accepted": (LOG, {}),
    "repeats.shared_across_repeats": (POSITIVE, {"snr": -1, "error": -1}),
    "repeats.shared_within_pair": (
        POSITIVE,
        {"snr": -1, "error": -1, "correlation": -1},
    ),
    "repeats.stopping_log_odds": (POSITIVE, {"error": -1}),
    "search.log_stale_ratio": (POSITIVE, {"sigma": 1, "candidate_sigma": -1}),
    "search.requeried_ratio": ((2.0, INF), {"sigma": 1, "mean": 1}),
    "search.stale_ratio": ((1.0, INF), {"sigma": 1, "candidate_sigma": -1}),
    "second_moment.best_probe": (
        POSITIVE,
        {"gradient_norm": 1, "dimension": 1, "sigma": 1, "repeats": -1},
    ),
    "second_moment.linear": (
        POSITIVE,
        {"gradient_norm": 1, "dimension": 1, "probe": -1, "sigma": 1, "repeats": -1},
    ),
    "second_moment.lipschitz_bound": (
        POSITIVE,
        {"lipschitz": 1, "probe": -1, "sigma": 1, "repeats": -1},
    ),
    "second_moment.noise": (
        POSITIVE,
        {
            "gradient_norm": 1,
            "frobenius": 1,
            "dimension": 1,
            "probe": -1,
            "sigma": 1,
            "repeats": -1,
        },
    ),
    "second_moment.quadratic": (
        POSITIVE,
        {"gradient_norm": 1, "frobenius": 1, "dimension": 1, "sigma": 1, "repeats": -1},
    ),
    "second_moment.smooth_bound": (
        POSITIVE,
        {"lipschitz": 1, "smoothness": 1, "dimension": 1, "repeats": -1},
    ),
    "sign_bound.concentration": (
        UNIT,
        {"difference": -1, "lipschitz": 1, "dimension": 1, "sigma": 1, "repeats": -1},
    ),
    "sign_bound.isoperimetric": (
        HALF,
        {"median": -1, "lipschitz": 1, "sigma": 1, "repeats": -1},
    ),
    "sign_bound.log_concentration": (
        LOG,
        {"difference": -1, "lipschitz": 1, "dimension": 1, "sigma": 1, "repeats": -1},
    ),
    "sign_bound.log_isoperimetric": (
        LOG_HALF,
        {"median": -1, "lipschitz": 1, "sigma": 1, "repeats": -1},
    ),
    "sign_bound.log_smoothed": (
        LOG,
        {"smoothed_difference": -1, "lipschitz": 1, "sigma": 1, "repeats": -1},
    ),
    "sign_bound.markov": (
        UNIT,
        {"difference": -1, "lipschitz": 1, "dimension": 1, "sigma": 1},
    ),
    "sign_bound.markov_noise_ratio": (POSITIVE, {"dimension": -1, "share": -1}),
    "sign_bound.markov_share": (UNIT, {"dimension": -1, "probe": 1, "sigma": -1}),
    "sign_bound.smoothed": (
        UNIT,
        {"smoothed_difference": -1, "lipschitz": 1, "sigma": 1, "repeats": -1},
    ),
    "sign_bound.smoothing_shift": (
        POSITIVE,
        {
            "displacement": 1,
            "lipschitz": 1,
            "smoothness": 1,
            "dimension": 1,
            "sigma": 1,
        },
    ),
    "smoothing.largest_probe": (
        POSITIVE,
        {"gap": 1, "lipschitz": -1, "dimension": -1, "sigma": 1},
    ),
    "smoothing.largest_probe_at_ratio": (
        POSITIVE,
        {"gap": 1, "lipschitz": -1, "dimension": -1, "noise_ratio": 1},
    ),
    "smoothing.quadratic_spread": (
        POSITIVE,
        {"gradient_norm": 1, "frobenius": 1, "sigma": 1},
    ),
    "smoothing.smooth_gap": (
        POSITIVE,
        {"lipschitz": 1, "smoothness": 1, "dimension": 1, "sigma": 1},
    ),
    "stationarity.best_step": (
        POSITIVE,
        {"fall": 1, "lipschitz": -1, "dimension": -1, "probe": 1, "steps": -1},
    ),
    "stationarity.bound": (
        POSITIVE,
        {"fall": 1, "lipschitz": 1, "dimension": 1, "probe": -1, "steps": -1},
    ),
    "stationarity.coefficient": (
        POSITIVE,
        {"lipschitz": 1, "dimension": 1, "probe": -1},
    ),
    "stationarity.least_noise_ratio": (POSITIVE, {"dimension": 1}),
    "stationarity.model_queries": (
        POSITIVE,
        {"fall": 1, "lipschitz": 1, "dimension": 1, "probe": -1, "tolerance": -1},
    ),
    "stationarity.smoothed_smoothness": (
        POSITIVE,
        {"lipschitz": 1, "probe": -1, "sigma": -1},
    ),
    "stationarity.steps": (
        POSITIVE,
        {"fall": 1, "lipschitz": 1, "dimension": 1, "probe": -1, "tolerance": -1},
    ),
}

ELEMENTWISE = sorted({entry.name for entry in laws()} - TABLES)
# Laws that at some magnitudes warn of an overflow, or worse.
fully = settings(
    max_examples=EXAMPLES, suppress_health_check=[HealthCheck.too_slow], database=None
)


def at(arguments, k):
    return {p: x if isinstance(x, str) else x[k] for p, x in arguments.items()}


def test_every_law_has_a_rule():
    assert sorted(RULES) == ELEMENTWISE


@pytest.mark.parametrize("name", ELEMENTWISE)
@fully
@given(seed=st.integers(0, 2**32 - 1))
def test_invariants(name, seed):
    rng = np.random.default_rng(seed)
    law, ((low, high), directions) = find(name).function, RULES[name]
    first = drawn(name, rng, POINTS)
    second = drawn(name, rng, POINTS, first)
    chosen = words(name, rng)
    value = law(**first, **chosen)
    # A share is one to the last bit.
    slack = 0.0 if (low, high) in (UNIT, HALF) else 1e-12
    outside = ~((value >= low - slack * abs(low)) & (value <= high + slack * abs(high)))
    if outside.any():
        k = np.flatnonzero(outside)[0]
        pytest.fail(f"{value[k]} outside [{low}, {high}] at {at(first, k)} {chosen}")
    # Changed alone, a parameter of a joint condition may leave the domain.
    errors = "nan" if any(law == name for law, _ in JOINT) else "raise"
    for parameter, direction in directions.items():
        other = law(**first | {parameter: second[parameter]}, **chosen, errors=errors)
        rises = (second[parameter] > first[parameter]) == (direction > 0)
        if chosen.get("direction") == "above":
            rises = ~rises
        less, more = np.where(rises, value, other), np.where(rises, other, value)
        size = np.maximum(np.abs(less), np.abs(more))
        slack = 1e-12 * np.where(size < INF, size, 0.0) + ROUNDING.get(name, 0.0)
        wrong = ~(less <= more + slack)
        if errors == "nan":
            wrong &= ~np.isnan(other)
        if wrong.any():
            k = np.flatnonzero(wrong)[0]
            pytest.fail(
                f"not monotone in {parameter}: {value[k]} but {other[k]} at "
                f"{second[parameter][k]} in place of {at(first, k)} {chosen}"
            )


def of(parameter):
    return lambda p: p[parameter]


# The smaller law, the larger, and what the smaller takes in terms of the larger's
# parameters; it shares those of the same name, and any other is drawn.
BOUNDS = [
    ("additive.nes_least_pairs", "additive.nes_pairs", {}),
    ("additive.remaining", "additive.constant_step_remaining", {}),
    ("angle.mean_cosine", "angle.rms_cosine", {}),
    ("contraction.almost_sure_threshold", "contraction.mean_square_threshold", {}),
    ("contraction.best_lyapunov", "contraction.lyapunov", {}),
    ("misstep.bent", "misstep.random_direction", {}),
    ("misstep.log_bent", "misstep.log_random_direction", {}),
    ("repeats.fixed", "repeats.random_direction", {}),
    ("repeats.sequential", "repeats.fixed", {}),
    (
        "second_moment.linear",
        "second_moment.lipschitz_bound",
        {"gradient_norm": of("lipschitz")},
    ),
    (
        "second_moment.linear",
        "second_moment.smooth_bound",
        {"gradient_norm": of("lipschitz")},
    ),
    ("second_moment.noise", "second_moment.quadratic", {}),
    ("second_moment.smooth_bound", "second_moment.lipschitz_bound", {}),
    # Linear losses flip as often as their median allows.
    (
        "sign_bound.isoperimetric",
        "sign_bound.concentration",
        {"median": of("difference")},
    ),
    (
        "sign_bound.isoperimetric",
        "sign_bound.markov",
        {"median": of("difference"), "repeats": lambda p: 1},
    ),
    (
        "sign_bound.isoperimetric",
        "sign_bound.smoothed",
        {"median": of("smoothed_difference")},
    ),
    (
        "sign_bound.log_isoperimetric",
        "sign_bound.log_concentration",
        {"median": of("difference")},
    ),
    (
        "sign_bound.log_isoperimetric",
        "sign_bound.log_smoothed",
        {"median": of("smoothed_difference")},
    ),
    (
        "sign_bound.smoothing_shift",
        "smoothing.smoothing_gap",
        {"sigma": lambda p: 0.5 * p["sigma"]},
    ),
    ("smoothing.probe_gap", "smoothing.smoothing_gap", {"probe": of("sigma")}),
    (
        "smoothing.smooth_gap",
        "smoothing.quadratic_gap",
        {"smoothness": of("curvature")},
    ),
    ("smoothing.smooth_gap", "smoothing.smoothing_gap", {}),
]


def check_order(less, more, where, slack=1e-12):
    size = np.maximum(np.abs(less), np.abs(more))
    wrong = ~(less <= more + slack * np.where(size < INF, size, 0.0))
    if wrong.any():
        k = np.flatnonzero(wrong)[0]
        pytest.fail(f"{less[k]} above {more[k]} at {at(where, k)}")


@pytest.mark.parametrize(("smaller", "larger", "shared"), BOUNDS)
@fully
@given(seed=st.integers(0, 2**32 - 1))
def test_bounds(smaller, larger, shared, seed):
    rng = np.random.default_rng(seed)
    p = drawn(larger, rng, POINTS)
    if "curvature" in p:
        p["curvature"] = np.abs(p["curvature"])
    if larger == "additive.constant_step_remaining":
        p["steps"] = np.ceil(p["steps"])
    word = words(larger, rng)
    if smaller == "second_moment.smooth_bound":
        word = {}
    less = drawn(smaller, rng, POINTS)
    less |= {name: p[name] for name in less if name in p}
    less |= {name: value(p) for name, value in shared.items()}
    both = {w: x for w, x in word.items() if w in find(smaller).symbols}
    check_order(
        find(smaller).function(**less, **both),
        find(larger).function(**p, **word),
        {**p, **word},
    )


# A law, the choice of one of its parameters at which it is least (-1) or greatest.
OPTIMA = [
    ("contraction.lyapunov", "contraction.almost_sure_step", "contraction", -1),
    ("contraction.mean_square", "contraction.mean_square_step", "contraction", -1),
    ("directions.cached_spread", "directions.best_base_repeats", "base_repeats", -1),
    ("directions.progress_per_query", "directions.best_repeats", "repeats", 1),
    ("second_moment.quadratic", "second_moment.best_probe", "probe", -1),
]


@pytest.mark.parametrize(("name", "choice", "parameter", "sign"), OPTIMA)
@fully
@given(seed=st.integers(0, 2**32 - 1))
def test_optima(name, choice, parameter, sign, seed):
    p = drawn(name, np.random.default_rng(seed), POINTS)
    law, best = find(name).function, find(choice)
    chosen = best.function(**{k: v for k, v in p.items() if k in best.symbols})
    # No law takes a choice beyond the floats.
    inside = chosen < INF
    p, chosen = {k: v[inside] for k, v in p.items()}, chosen[inside]
    value, other = law(**{**p, parameter: chosen}), law(**p)
    check_order(*((value, other) if sign < 0 else (other, value)), p)


@fully
@given(seed=st.integers(0, 2**32 - 1))
def test_misclassification_lies_within_its_bounds(seed):
    rng = np.random.default_rng(seed)
    outputs = rng.uniform(0.0, 1.0, (POINTS, rng.integers(2, 8)))
    sigma = np.exp(rng.uniform(np.log(1e-3), np.log(1e2), POINTS))
    low, high = accuracy.misclassification_bounds(outputs, sigma)
    value = accuracy.misclassification(outputs, sigma)
    check_order(low, value, {"outputs": outputs, "sigma": sigma})
    check_order(value, high, {"outputs": outputs, "sigma": sigma})


@fully
@given(seed=st.integers(0, 2**32 - 1))
def test_bisection_tells_no_more_than_its_labels(seed):
    """Where the first interval's ends and the last cell's width have no part."""
    rng = np.random.default_rng(seed)
    radius, sigma = rng.uniform(0.4, 0.6, 20), rng.uniform(0.004, 0.04, 20)
    votes = rng.integers(1, 100, 20)
    check_order(
        bisection.information_rmse(sigma, 12 * votes),
        bisection.rmse(radius, sigma, 12, votes),
        {"radius": radius, "sigma": sigma, "votes": votes},
    )
