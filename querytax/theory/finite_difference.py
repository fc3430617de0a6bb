"""What a probe of some width reads of a slope: bias, noise, and the width between."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from querytax import expect
from querytax.theory.law import Given, law
from querytax.theory.numerics import log_ratio as _log_ratio
from querytax.theory.numerics.floats import Array, Floats, ratio, square
from querytax.theory.numerics.log_ratio import deviation

_LOGS = "loss ln|F + v| - ln|q + v'|, fresh normal noise on every output"
_PROBABILITY = {"output": "(0, 1]"}


@law(
    "E - f' = μ² f'''/6",
    "Taylor with remainder; Output Randomization 2020, row B5",
    regime="exact for some point of the probe, for any where f''' is constant",
    value="(-inf, inf); rises in third_derivative",
)
def central_bias(third_derivative: Given, probe: Given) -> Floats:
    """Bias of the slope read from both sides, (f(x+μ) - f(x-μ))/(2μ).

    >>> round(float(central_bias(6.0, 0.1)), 12)
    0.01
    """
    with np.errstate(over="ignore"):
        return probe * (probe * (third_derivative / 6.0))


@law(
    "E - f' = μ f''/2",
    "Taylor with remainder",
    regime="exact for some point of the probe, for any where f'' is constant",
    value="(-inf, inf); rises in curvature",
)
def forward_bias(curvature: Given, probe: Given) -> Floats:
    """Bias of the slope read from one side, (f(x+μ) - f(x))/μ.

    >>> float(forward_bias(4.0, 0.25))
    0.5
    """
    with np.errstate(over="ignore"):
        return probe * (0.5 * curvature)


@law(
    "sd = s/(√2 μ)",
    "derived here; SND 2023, row S5, both sides",
    regime="fresh noise on both losses; exact",
    value="[0, inf]; rises in loss_sigma; falls in probe",
)
def central_sd(probe: Given, loss_sigma: Given) -> Floats:
    """Standard deviation of the slope read from both sides.

    >>> round(float(central_sd(0.1, 0.04)) ** 2, 12)
    0.08
    """
    return ratio(loss_sigma / np.sqrt(2.0), probe)


@law(
    "sd = √2 s/μ",
    "SND 2023, row S5",
    regime="fresh noise on both losses; exact",
    value="[0, inf]; rises in loss_sigma; falls in probe",
)
def forward_sd(probe: Given, loss_sigma: Given) -> Floats:
    """Standard deviation of the slope read from one side.

    >>> round(float(forward_sd(0.1, 0.04)) ** 2, 12)
    0.32
    """
    return np.sqrt(2.0) * ratio(loss_sigma, probe)


def _cubic(third_derivative: Given, loss_sigma: Given, pairs: Given) -> tuple[Any, Any]:
    third = np.abs(third_derivative)
    expect.that(third != 0.0, "other than 0", third_derivative=third_derivative)
    return np.cbrt(third), np.cbrt(loss_sigma / np.sqrt(pairs))


@law(
    "μ = (3s/(|f'''| √p))^(1/3)",
    "derived here; Aithal & Li 2022, Sec. III-D, has the opposite conclusion",
    regime="constant third derivative, fresh noise on every loss",
    value="[0, inf]; rises in loss_sigma; falls in pairs",
)
def best_probe(third_derivative: Given, loss_sigma: Given, pairs: Given = 1) -> Floats:
    """Two-sided probe of the least mean square error of the slope.

    >>> round(float(best_probe(6.0, 1e-3)), 4)
    0.0794
    """
    third, noise = _cubic(third_derivative, loss_sigma, pairs)
    return np.cbrt(3.0) * noise / third


@law(
    "e = (3s/√p)^(2/3) |f'''|^(1/3)/√12",
    "derived here",
    regime="constant third derivative, fresh noise on every loss, the best probe",
    value="[0, inf]; rises in loss_sigma; falls in pairs",
)
def best_rms_error(
    third_derivative: Given, loss_sigma: Given, pairs: Given = 1
) -> Floats:
    """Root-mean-square error of the slope by the best two-sided probe.

    >>> round(float(best_rms_error(6.0, 1e-3)), 5)
    0.01091
    """
    third, noise = _cubic(third_derivative, loss_sigma, pairs)
    return np.cbrt(9.0) / np.sqrt(12.0) * (noise * (noise * third))


@law(
    "μ = (8 s²/(p f''²))^(1/4)",
    "derived here",
    regime="constant second derivative, fresh noise on every loss",
    value="[0, inf]; rises in loss_sigma; falls in pairs",
)
def best_forward_probe(curvature: Given, loss_sigma: Given, pairs: Given = 1) -> Floats:
    """One-sided probe of the least mean square error of the slope.

    >>> round(float(best_forward_probe(2.0, 1e-3)), 4)
    0.0376
    """
    second = np.abs(curvature)
    expect.that(second != 0.0, "other than 0", curvature=curvature)
    width = 8.0**0.25 * np.sqrt(loss_sigma) / np.sqrt(second)
    return width / np.sqrt(np.sqrt(pairs))


@law(
    "E ln|F + v| - ln F = g(t) - ln t, t = F/σ",
    "derived here; Output Randomization 2020, row B17",
    domain={"output": "(0, inf)"},
)
def log_bias(output: Given, sigma: Given) -> Floats:
    """Bias of the logarithm of a folded noisy output.

    -σ²/(2F²) for small noise, and above zero once σ > 0.95 F.

    >>> round(float(log_bias(0.5, 0.1)), 6)
    -0.021411
    """
    return _log_ratio.excess(output, sigma)


@law(
    "(b(F) - b(q) - b(F₋) + b(q₋))/(2μ), b(F) = g(F/σ) - ln(F/σ)",
    "derived here for Output Randomization 2020, rows B17 to B20",
    regime=_LOGS + "; exact",
    domain=_PROBABILITY,
)
def log_ratio_bias(
    output: Given,
    rival: Given,
    output_behind: Given,
    rival_behind: Given,
    probe: Given,
    sigma: Given,
) -> Floats:
    """Bias of a log loss's slope, read from both sides of noisy outputs.

    >>> round(float(log_ratio_bias(0.6, 0.3, 0.59, 0.31, 1e-4, 0.1)), 2)
    30.88
    """
    change = _log_ratio.change(output_behind, output, sigma)
    change = change - _log_ratio.change(rival_behind, rival, sigma)
    with np.errstate(over="ignore"):
        return change / (2.0 * probe)


def _weak(
    output: Any, rival: Any, output_behind: Any, rival_behind: Any, sigma: Any
) -> Any:
    """A tenth of the least output, and a little for its rounding."""
    four = (output, rival, output_behind, rival_behind)
    least = functools.reduce(np.minimum, four)
    return ~(np.asarray(sigma) > (0.1 + 1e-15) * least)


@law(
    "-(σ²/(4μ)) (1/F² - 1/q² - 1/F₋² + 1/q₋²)",
    "Output Randomization 2020, eq. in row B20, with its sign: read less true",
    regime=_LOGS + "; second order in σ",
    kind="approximation",
    limits={"weak noise, sigma <= 0.1 of the least output": _weak},
    domain=_PROBABILITY,
)
def log_ratio_bias_weak(
    output: Given,
    rival: Given,
    output_behind: Given,
    rival_behind: Given,
    probe: Given,
    sigma: Given,
) -> Floats:
    """Bias of such a slope for weak noise: proportional to the variance.

    Inside the limits the part of each class is at most 3 % too small;
    :func:`log_ratio_bias` is exact.

    >>> round(float(log_ratio_bias_weak(0.6, 0.3, 0.59, 0.31, 1e-4, 0.01)), 4)
    0.2001
    """

    def fall(near: Array, far: Array) -> Array:
        """σ²/near² - σ²/far²."""
        gap = (sigma / near) * ((far - near) / far)
        return gap * (sigma / near + sigma / far)

    with np.errstate(over="ignore", invalid="ignore"):
        change = fall(rival, rival_behind) - fall(output, output_behind)
        return change / (4.0 * probe)


@law(
    "√(V(F/σ) + V(q/σ) + V(F₋/σ) + V(q₋/σ))/(2μ)",
    "derived here; (σ/(2μ)) √Σ 1/F² of row B21 for small noise",
    regime=_LOGS + "; exact",
    domain=_PROBABILITY,
    value="[0, inf]; rises in sigma; falls in output rival output_behind "
    "rival_behind probe",
)
def log_ratio_sd(
    output: Given,
    rival: Given,
    output_behind: Given,
    rival_behind: Given,
    probe: Given,
    sigma: Given,
) -> Floats:
    """Standard deviation of such a slope: linear in weak noise.

    >>> round(float(log_ratio_sd(0.6, 0.3, 0.59, 0.31, 1e-4, 0.01)), 1)
    260.9
    """
    ahead = np.hypot(deviation(output, sigma), deviation(rival, sigma))
    behind = np.hypot(deviation(output_behind, sigma), deviation(rival_behind, sigma))
    return np.hypot(ahead, behind) / (2.0 * probe)


@law(
    "∂F (h(t)/σ - 1/F) - ∂q (h(u)/σ - 1/q), t = F/σ, u = q/σ, h = √2 Dawson(t/√2)",
    "derived here; limit of row B20",
    regime=_LOGS + ", narrow probe (μ -> 0); exact",
    domain=_PROBABILITY,
)
def log_slope_bias(
    output: Given, rival: Given, output_slope: Given, rival_slope: Given, sigma: Given
) -> Floats:
    """Bias that is left of such a slope as the probe narrows.

    >>> round(float(log_slope_bias(0.6, 0.3, 50.0, -50.0, 0.01)), 4)
    0.209
    """

    def share(p: Array) -> Array:
        return _log_ratio.slope(np.minimum(ratio(p, sigma), 1e300)) / p

    a, b, own, others = np.broadcast_arrays(
        output_slope, rival_slope, share(output), share(rival)
    )
    with np.errstate(over="ignore", invalid="ignore"):
        bias = a * own - b * others
    # Of two terms beyond the floats the difference may have a sign, or be none.
    beyond = ~np.isfinite(bias)
    steep = np.where(beyond, np.maximum(np.abs(a), np.abs(b)), 1.0)
    much = np.where(beyond, np.maximum(np.abs(own), np.abs(others)), 1.0)
    inside = (a / steep) * (own / much) - (b / steep) * (others / much)
    with np.errstate(over="ignore"):
        return np.where(beyond, inside * steep * much, bias)[()]


@law(
    "N/N' = 2 (F/ΔF)²",
    "Output Randomization 2020, row B26, derived here",
    regime="noise weak beside the output; relative noise √2 σ/ΔF of a difference, σ/F "
    "of a gradient of ln F by backpropagation",
    domain={"output": "(0, inf)"},
    value="[0, inf]; rises in output; falls in gap",
)
def white_box_saving(output: Given, gap: Given) -> Floats:
    """Samples that a difference of outputs needs over those of a gradient.

    >>> round(float(white_box_saving(0.4, 0.005)))
    12800
    """
    return square(np.sqrt(2.0) * ratio(output, gap))


@law(
    "F₋ = (1/F^2 + 1/q₋^2 - 1/q^2)^(-1/2)",
    "derived here; Output Randomization 2020, section 4.2, with its powers corrected",
    regime="weak noise on four outputs of two classes",
    domain={"output": "(0, 1]"},
    value="[0, inf]",
)
def unbiased_output_behind(output: Given, rival: Given, rival_behind: Given) -> Floats:
    """Output behind the point at which the bias of a log ratio's slope vanishes.

    Infinite, and so no probability, where none makes it vanish.

    >>> round(float(unbiased_output_behind(0.5, 0.4, 0.3)), 6)
    0.335936
    """
    least = np.minimum(np.minimum(output, rival), rival_behind)
    terms = square(least / output) + square(least / rival_behind)
    return ratio(least, np.sqrt(np.maximum(terms - square(least / rival), 0.0)))
