"""Time of each law over the expression it cannot do without.

Run ``python benchmarks/theory_speed.py``. Elementary laws: a million values against
the bare numpy or scipy expression, which must not be more than twice as fast. Laws
that need quadrature or a series: a point against ``scipy.integrate.quad`` of the
definition at the same accuracy, 1e-12, which must be a hundred times slower. Medians
of five, both sides interleaved.
"""

from __future__ import annotations

import itertools
import math
import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import integrate, special

from querytax.theory import (
    accuracy,
    angle,
    bias,
    bisection,
    boundary,
    convergence,
    directions,
    drift,
    efficiency,
    estimators,
    floors,
    log_ratio,
    margin,
    misstep,
    quantization,
    query_ratio,
    ratio,
    repeats,
    second_moment,
    sign_bound,
    smoothing,
    snr,
    stationarity,
)

X = np.geomspace(1e-6, 10, 1_000_000)
E = np.geomspace(1e-9, 0.49, 1_000_000)
N = np.floor(np.geomspace(1, 1e6, 1_000_000))
ROOT2 = math.sqrt(2.0)
log1p, sqrt, square, arctan, tan = np.log1p, np.sqrt, np.square, np.arctan, np.tan
ndtr, ndtri, logit = special.ndtr, special.ndtri, special.logit
Call = Callable[[Any], Any]


def pdf(x: Any) -> Any:
    return np.exp(-0.5 * x * x) / 2.5066282746310002


# Name: the law of one argument, the bare expression, the argument.
ELEMENTARY: dict[str, tuple[Call, Call, Any]] = {
    "snr.output": (lambda x: snr.output(1e-4, x), lambda x: 5e-5 / x**2, X),
    "snr.output clip": (
        lambda x: snr.output(1e-4, x, output=0.1, release="clip"),
        lambda x: (
            5e-5 / x**2 * (ndtr(0.1 / x) - 0.1 / x * pdf(0.1 / x))
            + pdf(0.1 / x) * special.erfcx(0.1 / x)
            + (ndtr(0.9 / x) - 0.9 / x * pdf(0.9 / x))
            + pdf(0.9 / x) * special.erfcx(0.9 / x)
        ),
        X,
    ),
    "snr.output_logits": (
        lambda x: snr.output_logits(x, 0.3),
        lambda x: x / (4 * 0.3**2),
        X,
    ),
    "snr.loss_noise": (lambda x: snr.loss_noise(x, 0.3), lambda x: x / 0.3, X),
    "snr.antithetic": (
        lambda x: snr.antithetic(x, 0.5, 0.3),
        lambda x: square(x * (0.5 / 0.3)) * 2,
        X,
    ),
    "snr.forward": (
        lambda x: snr.forward(x, 0.5, 0.3),
        lambda x: square(x * (0.5 / 0.3)) / 2,
        X,
    ),
    "snr.candidate": (
        lambda x: snr.candidate(x, 0.5, 0.3),
        lambda x: square(x * (0.5 / 0.3)) / 2,
        X,
    ),
    "snr.cached_base": (
        lambda x: snr.cached_base(x, 0.5, 0.3, 4),
        lambda x: square(x * (0.5 / 0.3)) / 1.25,
        X,
    ),
    "snr.averaged": (lambda x: snr.averaged(x, 10), lambda x: x * 10, X),
    "query_ratio.best_step": (
        lambda x: query_ratio.best_step(x, 3072, 50),
        lambda x: 1 + 3072 / (50 + 3072 + 1) / x,
        X,
    ),
    "query_ratio.sign_coordinate": (
        query_ratio.sign_coordinate,
        lambda x: 1 / special.erf(sqrt(x / 2)),
        X,
    ),
    "query_ratio.best_constant_step": (
        lambda x: query_ratio.best_constant_step(x, 0.2),
        lambda x: np.where(
            x / (1 + x) <= 0.2, 0.446 / log1p(x), -0.446 / np.log(0.64 + 0.04 / x)
        ),
        X,
    ),
    "query_ratio.best_minibatch": (
        lambda x: query_ratio.best_minibatch(x, 0.2),
        lambda x: np.where(x < 0.2, 0.5 / x, -np.log(0.64 + 0.04 / x)),
        X,
    ),
    "query_ratio.guaranteed_steps": (
        lambda x: query_ratio.guaranteed_steps(x, 0.01, 0.01),
        lambda x: (2 * math.log(100) + math.log(100)) / log1p(x),
        X,
    ),
    "drift.plain": (
        lambda x: drift.plain(x, 3072, 50),
        lambda x: sqrt(50 / (50 + 3073 + 3072 / x)),
        X,
    ),
    "drift.sign": (
        drift.sign,
        lambda x: special.erf(x) * sqrt(x),
        E,
    ),
    "repeats.fixed": (
        lambda e: repeats.fixed(0.01, e),
        lambda e: square(ndtri(e)) / 0.01,
        E,
    ),
    "repeats.random_direction": (
        lambda e: repeats.random_direction(0.01, e),
        lambda e: 1 / (0.01 * tan(np.pi * e) ** 2),
        E,
    ),
    "repeats.sequential": (
        lambda e: repeats.sequential(0.01, e),
        lambda e: (1 - 2 * e) * -logit(e) / 0.02,
        E,
    ),
    "repeats.sequential_saving": (
        repeats.sequential_saving,
        lambda e: 2 * square(ndtri(e)) / ((1 - 2 * e) * -logit(e)),
        E,
    ),
    "misstep.fixed_direction": (
        misstep.fixed_direction,
        lambda x: ndtr(-sqrt(x)),
        X,
    ),
    "misstep.log_fixed_direction": (
        misstep.log_fixed_direction,
        lambda x: special.log_ndtr(-sqrt(x)),
        X,
    ),
    "misstep.random_direction": (
        misstep.random_direction,
        lambda x: arctan(1 / sqrt(x)) / np.pi,
        X,
    ),
    "misstep.after_repeats": (
        lambda x: misstep.after_repeats(x, 10),
        lambda x: ndtr(-sqrt(x * 10)),
        X,
    ),
    "convergence.plateau": (
        lambda x: convergence.plateau(0.1, x),
        lambda x: 1 / np.tanh(0.2 / x) - x / 0.2,
        X,
    ),
    "floors.pairs_per_sign": (
        lambda e: floors.pairs_per_sign(0.01, 0.1, e),
        lambda e: 2 * square(ndtri(e)) * 100,
        E,
    ),
    "floors.queries_any_attacker": (
        lambda e: floors.queries_any_attacker(0.01, 0.1, e),
        lambda e: 200 * (1 - 2 * e) * -logit(e),
        E,
    ),
    "floors.gradient_signs": (
        lambda x: floors.gradient_signs(1.0, 0.1, x, 100, 0.1),
        lambda x: square(0.8 * 100 * x / 0.1),
        X,
    ),
    "floors.explained_fraction": (
        lambda x: floors.explained_fraction(1.0, 0.1, 0.1, 100, x),
        lambda x: x / (1e4 + x),
        X,
    ),
    "floors.optimisation_1d": (
        lambda e: floors.optimisation_1d(0.01, 0.1, e),
        lambda e: 147.0 * (1 - 2 * e) * -logit(e),
        E,
    ),
    "floors.hard_label_information": (
        lambda x: floors.hard_label_information(x, 0.1),
        lambda x: pdf(x) ** 2 / (ndtr(x) * ndtr(-x)),
        X,
    ),
    "floors.log_hard_label_information": (
        lambda x: floors.log_hard_label_information(x, 0.1),
        lambda x: -x * x - special.log_ndtr(x) - special.log_ndtr(-x),
        X,
    ),
    "boundary.flip": (
        lambda x: boundary.flip(0.1, x),
        lambda x: ndtr(-0.1 / x),
        X,
    ),
    "boundary.log_flip": (
        lambda x: boundary.log_flip(0.1, x),
        lambda x: special.log_ndtr(-0.1 / x),
        X,
    ),
    "boundary.band_flip": (
        lambda x: boundary.band_flip(x, 0.1),
        lambda x: (0.3989 - pdf(x)) / x + ndtr(-x),
        X,
    ),
    "boundary.flip_rate": (
        lambda x: boundary.flip_rate(0.009, x),
        lambda x: x * (2 * 0.009 * 0.3989),
        X,
    ),
    "boundary.net_loss": (
        lambda x: boundary.net_loss(0.0002, x),
        lambda x: 0.5 * 0.0002 * x**2,
        X,
    ),
    "boundary.hopskipjump_gain": (
        lambda x: boundary.hopskipjump_gain(x, 0.1),
        lambda x: 0.798 * x / np.hypot(x, 0.1) * np.exp(-0.0 / np.hypot(x, 0.1)),
        X,
    ),
    "boundary.hopskipjump_cost": (
        lambda x: boundary.hopskipjump_cost(x, 0.1),
        lambda x: (1 + (0.1 / x) ** 2) * np.exp(-0.0 / (x * x)),
        X,
    ),
    "bias.relu_bias": (
        lambda x: bias.relu_bias(x, 0.5),
        lambda x: 0.5 * (pdf(x / 0.5) - x / 0.5 * ndtr(-x / 0.5)),
        X,
    ),
    "bias.relu_mean": (
        lambda x: bias.relu_mean(x, 0.5),
        lambda x: x * ndtr(x / 0.5) + 0.5 * pdf(x / 0.5),
        X,
    ),
    "bias.leaky_relu_mean": (
        lambda x: bias.leaky_relu_mean(x, 0.1, 0.5),
        lambda x: 0.1 * x + 0.9 * (x * ndtr(x / 0.5) + 0.5 * pdf(x / 0.5)),
        X,
    ),
    "bias.gelu_mean": (
        lambda x: bias.gelu_mean(x, 0.5),
        lambda x: x * ndtr(x / 1.118) + 0.25 / 1.118 * pdf(x / 1.118),
        X,
    ),
    "bias.three_class_margin": (
        lambda x: bias.three_class_margin(x, 0.3, 0.5),
        lambda x: x * ndtr(x) + 0.3 * ndtr(-x) - pdf(x),
        X,
    ),
    "bias.reflected_mean": (
        lambda x: bias.reflected_mean(0.1, x),
        lambda x: x * 2 * pdf(0.1 / x) + 0.1 * special.erf(0.1 / x / ROOT2),
        X,
    ),
    "bisection.majority": (
        lambda e: bisection.majority(e, 5),
        lambda e: special.betainc(3, 3, e),
        E,
    ),
    "bisection.voted_sigma": (
        lambda n: bisection.voted_sigma(0.1, n),
        lambda n: special.poch(n, 0.5) / n,
        N,
    ),
    "quantization.visibility": (
        lambda x: quantization.visibility(x, 0.4),
        lambda x: np.minimum(x / 0.4, 1.0),
        X,
    ),
    "smoothing.mean_norm": (
        smoothing.mean_norm,
        lambda n: special.poch(n / 2, 0.5),
        N,
    ),
    "smoothing.quadratic_gap": (
        lambda x: smoothing.quadratic_gap(x, 0.3, 10),
        lambda x: 0.5 * x * 10 * 0.3**2,
        X,
    ),
    "smoothing.smoothing_gap": (
        lambda x: smoothing.smoothing_gap(x, 0.3, 10),
        lambda x: x * (3.08 * 0.3),
        X,
    ),
    "smoothing.quadratic_spread": (
        lambda x: smoothing.quadratic_spread(x, 2.0, 0.3),
        lambda x: 0.3 * sqrt(x * x + 0.18),
        X,
    ),
    "smoothing.largest_probe": (
        lambda x: smoothing.largest_probe(x, 2.0, 0.3, 10),
        lambda x: sqrt((0.16 * x) * (0.16 * x + 0.6)),
        X,
    ),
    "repeats.shared_within_pair": (
        lambda e: repeats.shared_within_pair(0.01, 0.5, e),
        lambda e: 0.5 * square(ndtri(e)) / 0.01,
        E,
    ),
    "misstep.radius": (
        lambda x: misstep.radius(x, 0.2, 2.0, 0.3),
        lambda x: ndtr(x * (-0.2 / 0.6)),
        X,
    ),
    "misstep.acceptance_correlation": (
        lambda x: misstep.acceptance_correlation(x, 4, 2),
        lambda x: 0.6366 * np.arcsin(1 / (1.5 + 4 * x)),
        X,
    ),
    "margin.quantile_sigma": (
        margin.quantile_sigma,
        lambda x: x / 1.6449,
        X,
    ),
    "ratio.density": (
        lambda x: ratio.density(x, 0.3, 0.4, 0.1),
        lambda x: (
            (
                np.exp(-12.5) / np.pi
                + (3 * x + 4)
                / sqrt(1 + x * x)
                * special.erf((3 * x + 4) / sqrt(2 * (1 + x * x)))
                * pdf((4 * x - 3) / sqrt(1 + x * x))
            )
            / (1 + x * x)
        ),
        X,
    ),
    "ratio.same_sign": (
        lambda x: ratio.same_sign(0.3, 0.4, x),
        lambda x: ndtr(0.3 / x) * ndtr(0.4 / x) + ndtr(-0.3 / x) * ndtr(-0.4 / x),
        X,
    ),
    "log_ratio.relative_sigma": (
        lambda x: log_ratio.relative_sigma(0.3, 0.4, x),
        lambda x: x * sqrt(1 / 0.3**2 + 1 / 0.4**2),
        X * 1e-3,
    ),
    "log_ratio.log_snr": (
        lambda x: log_ratio.log_snr(0.3, 0.4, x),
        lambda x: square(0.2877 / (x * sqrt(1 / 0.3**2 + 1 / 0.4**2))),
        X * 1e-3,
    ),
    "estimators.outputs_first": (
        lambda x: estimators.outputs_first(x, 0.1, 10),
        lambda x: ndtr(x * -22.36),
        X,
    ),
    "estimators.fisher_information": (
        lambda x: estimators.fisher_information(0.1, x),
        lambda x: 0.01 / (x * x) + 0.02,
        X,
    ),
    "estimators.variance_bound": (
        lambda x: estimators.variance_bound(0.1, x, 10),
        lambda x: x * x / (0.1 * (1 + 2 * x * x)),
        X,
    ),
    "estimators.likelihood_root": (
        lambda x: estimators.likelihood_root(1.05, 1.2, x),
        lambda x: -np.log((1.05 + sqrt(1.1025 + 4.8 * x * x)) / 2.4),
        X,
    ),
    "second_moment.linear": (
        lambda x: second_moment.linear(1.0, 0.1, x, 100),
        lambda x: 102.0 + 200.0 * square(x / 0.1),
        X,
    ),
    "second_moment.noise": (
        lambda x: second_moment.noise(1.0, 2.0, 0.1, x, 100),
        lambda x: 100 * square(x / 0.1) * (2 + 4 * x * x) + 408 * square(x),
        X,
    ),
    "second_moment.lipschitz_bound": (
        lambda x: second_moment.lipschitz_bound(1.0, 0.1, x, 100),
        lambda x: 100 * (102.0 + 2.0 * square(x / 0.1)),
        X,
    ),
    "stationarity.coefficient": (
        lambda x: stationarity.coefficient(1.0, 0.1, x, 100),
        lambda x: (102 + 2 * square(x / 0.1)) * 39.9 / sqrt(0.01 + x * x),
        X,
    ),
    "stationarity.bound": (
        lambda x: stationarity.bound(1.0, 1.0, 0.1, x, 100, 1e4),
        lambda x: sqrt((102 + 2 * square(x / 0.1)) * 0.016 / sqrt(0.01 + x * x)),
        X,
    ),
    "sign_bound.markov": (
        lambda x: sign_bound.markov(x, 1.0, 0.1, 10),
        lambda x: np.minimum(1, 0.616 / x),
        X,
    ),
    "sign_bound.concentration": (
        lambda x: sign_bound.concentration(x, 1.0, 0.1, 10),
        lambda x: np.exp(-square(np.maximum(x - 0.616, 0)) / 0.04),
        X,
    ),
    "sign_bound.isoperimetric": (
        lambda x: sign_bound.isoperimetric(x, 1.0, 0.1),
        lambda x: ndtr(x * -7.07),
        X,
    ),
    "directions.spread": (
        lambda x: directions.spread(1.0, 0.1, x, 100, 10),
        lambda x: sqrt((101 + 200 * square(x / 0.1)) / 5),
        X,
    ),
    "directions.progress": (
        lambda x: directions.progress(0.5, 1.0, x),
        lambda x: (
            0.5 * ndtr(0.5 / sqrt(1 + x * x))
            + pdf(0.5 / sqrt(1 + x * x)) / sqrt(1 + x * x)
        ),
        X,
    ),
    "accuracy.two_class_sigma": (
        lambda e: accuracy.two_class_sigma(0.3, e),
        lambda e: 0.3 / (ROOT2 * -ndtri(e)),
        E,
    ),
}


def normal_mean(function: Callable[[float], float], *breaks: float) -> float:
    """E function(ξ) by adaptive quadrature to 1e-12."""
    points = [-9.0, *sorted(b for b in breaks if -9.0 < b < 9.0), 9.0]

    def integrand(x: float) -> float:
        return function(x) * math.exp(-0.5 * x * x) / 2.5066282746310002

    return sum(
        integrate.quad(integrand, a, b, epsabs=0.0, epsrel=1e-12, limit=200)[0]
        for a, b in itertools.pairwise(points)
    )


def log_fold(x: float) -> float:
    return math.log(abs(x)) if x else 0.0


def cells(h: float, phase: float) -> float:
    total = 0.0
    for k in range(-16, 17):
        z, y = (k - phase) * h, (k + 1 - phase) * h
        mass = ndtr(y) - ndtr(z)
        if mass > 0:
            total += (pdf(y) - pdf(z)) ** 2 / mass
    return total


def overtaken(gaps: np.ndarray, sigma: float) -> float:
    scaled = [g / sigma for g in gaps]

    def integrand(z: float) -> float:
        p = 1.0
        for a in scaled:
            p *= 0.5 * math.erfc(-(z + a) / ROOT2)
        return 1.0 - p

    return normal_mean(integrand)


def turned(low: float, high: float) -> float:
    """Share of ratios between two angles for outputs 1.5 and 2 noise widths high."""

    def integrand(w: float) -> float:
        sine, cosine = math.sin(w), math.cos(w)
        h, u = 2 * sine - 1.5 * cosine, 1.5 * sine + 2 * cosine
        bell = math.exp(-0.5 * h * h) / 2.5066282746310002
        return 0.014 + u * math.erf(u / ROOT2) * bell

    return integrate.quad(integrand, low, high, epsabs=0, epsrel=1e-12, limit=200)[0]


T = np.geomspace(0.03, 8, 20_000)
SIGMA = np.geomspace(0.05, 8, 20_000)
ROWS = np.random.default_rng(0).dirichlet(np.full(10, 0.3), 2_000)

# Name: the law of an array, the same point by adaptive quadrature, the array.
QUADRATURE: dict[str, tuple[Call, Call, Any]] = {
    "efficiency.log_mean": (
        efficiency.log_mean,
        lambda t: normal_mean(lambda x: log_fold(x + t), -t),
        T,
    ),
    "efficiency.log_variance": (
        efficiency.log_variance,
        lambda t: (
            normal_mean(lambda x: log_fold(x + t) ** 2, -t)
            - normal_mean(lambda x: log_fold(x + t), -t) ** 2
        ),
        T,
    ),
    "efficiency, reflect, best": (
        lambda t: efficiency.fisher_efficiency(t, release="reflect"),
        lambda t: normal_mean(lambda x: ((x + t) * math.tanh((x + t) * t) - t) ** 2),
        T,
    ),
    "efficiency, reflect, capped": (
        lambda t: efficiency.fisher_efficiency(t, headroom=3.0, release="reflect"),
        lambda t: normal_mean(
            lambda x: (
                (abs(x + t) * math.tanh(abs(x + t) * t) - t) ** 2 * (abs(x + t) < t + 3)
            )
        ),
        T,
    ),
    "efficiency, reflect, log": (
        lambda t: efficiency.fisher_efficiency(
            t, headroom=3.0, release="reflect", reading="log"
        ),
        lambda t: (
            normal_mean(lambda x: log_fold(x + t), -t)
            + normal_mean(lambda x: log_fold(x + t) ** 2, -t)
        ),
        T,
    ),
    "bias.gelu_bias": (
        lambda s: bias.gelu_bias(1.0, s),
        lambda s: normal_mean(
            lambda x: (1 + s * x) * 0.5 * math.erfc(-(1 + s * x) / ROOT2)
        ),
        SIGMA,
    ),
    "bias.two_class_margin": (
        lambda s: bias.two_class_margin(1.0, s),
        lambda s: normal_mean(lambda x: math.tanh(0.5 * (1.0 + s * x))),
        SIGMA,
    ),
    "bias.clipped_mean": (
        lambda s: bias.clipped_mean(0.3, s),
        lambda s: normal_mean(
            lambda x: min(max(0.3 + s * x, 0.0), 1.0), -0.3 / s, 0.7 / s
        ),
        SIGMA,
    ),
    **{
        f"boundary.scaled_noise_flip, {form}": (
            lambda s, form=form: boundary.scaled_noise_flip(0.5, s, scale_law=form),
            lambda s, density=density: integrate.quad(
                lambda k: 0.5 * math.erfc(0.5 / (s * k) / ROOT2) * density(k),
                0,
                1,
                epsabs=0,
                epsrel=1e-12,
                limit=200,
            )[0],
            SIGMA,
        )
        for form, density in {
            "uniform": lambda k: 1.0,
            "bell": lambda k: 6 * k * (1 - k),
            "arcsine": lambda k: 1 / (math.pi * math.sqrt(k * (1 - k))),
        }.items()
    },
    "quantization.dither_efficiency": (
        lambda s: quantization.dither_efficiency(0.2, s, 1.0),
        lambda s: cells(1 / s, 0.3),
        np.geomspace(0.05, 1.3, 20_000),
    ),
    "quantization.dither_efficiency_mean": (
        lambda s: quantization.dither_efficiency_mean(s, 1.0),
        lambda s: integrate.quad(lambda p: cells(1 / s, p), 0, 1, epsrel=1e-12)[0],
        np.geomspace(0.05, 1.3, 20_000),
    ),
    "ratio.distribution": (
        lambda z: ratio.distribution(z, 0.3, 0.4, 0.2),
        lambda z: turned(-math.pi / 2, math.atan(z)),
        T,
    ),
    "ratio.multiplier_distribution": (
        lambda z: ratio.multiplier_distribution(z, 0.3, 0.4, 0.1, 0.2),
        lambda z: turned(0.0, math.atan(math.exp(0.1 * z))),
        T,
    ),
    "log_ratio.mean": (
        lambda t: log_ratio.mean(t, 0.5, 1.0),
        lambda t: (
            normal_mean(lambda x: log_fold(x + t), -t)
            - normal_mean(lambda x: log_fold(x + 0.5), -0.5)
        ),
        T,
    ),
    "log_ratio.effective_snr": (
        lambda t: log_ratio.effective_snr(t, 0.5, 1.0),
        lambda t: (
            normal_mean(lambda x: log_fold(x + t), -t)
            + normal_mean(lambda x: log_fold(x + t) ** 2, -t)
        ),
        T,
    ),
    "misstep.bent": (
        lambda b: misstep.bent(0.5, b),
        lambda b: normal_mean(lambda h: 0.5 * math.erfc(abs(h + b) * 0.5), -b),
        T,
    ),
    "margin.tied_rivals": (
        lambda s: margin.tied_rivals(0.3, s, 9),
        lambda s: normal_mean(
            lambda x: 1 - (0.5 * math.erfc(-(x + 0.3 / s) / ROOT2)) ** 9
        ),
        SIGMA,
    ),
    "drift.cosine": (
        lambda s: drift.cosine(s, 3072, 10),
        lambda s: integrate.quad(
            lambda x: (1 - x * x) ** 1535.5 * (1 - x * x * s / (1 + s)) ** 4,
            0,
            1,
            epsabs=0,
            epsrel=1e-12,
        )[0],
        SIGMA,
    ),
    "angle.mean_cosine": (
        lambda s: angle.mean_cosine(1.0, s, 100, 10),
        lambda s: integrate.quad(
            lambda x: (1 - x * x) ** 49.5 * (1 - x * x / (1 + 2 * s * s)) ** 4,
            0,
            1,
            epsabs=0,
            epsrel=1e-12,
        )[0],
        SIGMA,
    ),
    "angle.backwards": (
        lambda s: angle.backwards(1.0, s, 10),
        lambda s: integrate.quad(
            lambda x: (1 + x * x / 10) ** -5.5,
            2.236 / s,
            math.inf,
            epsabs=0,
            epsrel=1e-12,
        )[0],
        SIGMA,
    ),
    "accuracy.misclassification, 10 classes": (
        lambda rows: accuracy.misclassification(rows, 0.1),
        lambda row: overtaken(np.sort(row.max() - row)[1:], 0.1),
        ROWS,
    ),
}


def once(function: Call, argument: Any) -> float:
    start = time.perf_counter()
    function(argument)
    return time.perf_counter() - start


def medians(law: Call, bare: Call, argument: Any) -> tuple[float, float]:
    law(argument), bare(argument)
    times = [(once(law, argument), once(bare, argument)) for _ in range(5)]
    return tuple(statistics.median(column) for column in zip(*times, strict=True))


def main() -> None:
    warnings.simplefilter("ignore")
    np.seterr(all="ignore")
    print("a million values; speed of the law, 1 = the bare expression; wanted 0.5")
    for name, (law, bare, argument) in ELEMENTARY.items():
        ours, theirs = medians(law, bare, argument)
        share = theirs / ours
        mark = "" if share >= 0.5 else "  below"
        print(f"{name:38}{ours * 1e3:9.1f} ms{share:8.2f}{mark}")
    print("\nquadrature; ns a point, and how many times quad takes; wanted 100")
    for name, (law, quad, argument) in QUADRATURE.items():
        law(argument)
        ours = statistics.median(once(law, argument) for _ in range(5)) / len(argument)
        picked = argument[:: len(argument) // 25]
        theirs = statistics.median(once(quad, point) for point in picked)
        mark = "" if theirs >= 100 * ours else "  below"
        print(f"{name:38}{ours * 1e9:9.0f} ns{theirs / ours:8.0f}{mark}")


if __name__ == "__main__":
    main()
