"""What a probe of some width reads of a slope: bias, noise, and the width between.

Each function raises ``DomainError``, naming the parameter, for an argument outside
its stated range. A loss is in its own units and a probe in those of the input.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from querytax import expect
from querytax.theory import _log_bias
from querytax.theory._floats import Array, Floats, floats, ratio, square
from querytax.theory.law import law

__all__ = [
    "best_forward_probe",
    "best_probe",
    "best_rms_error",
    "central_bias",
    "central_sd",
    "forward_bias",
    "forward_sd",
    "log_bias",
    "log_ratio_bias",
    "log_ratio_bias_weak",
    "log_ratio_sd",
    "log_slope_bias",
    "white_box_saving",
]

_PROBE = "β, width of the probe to one side, input units, (0, inf)"
_LOSS_SIGMA = "s, standard deviation of one noisy loss, loss units, [0, inf)"
_THIRD = "f''', third derivative somewhere in the probe, loss per cubed unit, real"
_CURVATURE = "f'', second derivative somewhere in the probe, loss per squared unit"
_REPEATS = "n, pairs averaged, count, [1, inf)"
_SIGMA = "σ, standard deviation of the noise on each output, probability, (0, inf)"
_FOUR = {
    "output": "p, true class ahead, at x + β, probability, (0, 1]",
    "rival": "q, other class ahead, at x + β, probability, (0, 1]",
    "output_behind": "p', true class behind, at x - β, probability, (0, 1]",
    "rival_behind": "q', other class behind, at x - β, probability, (0, 1]",
}
_LOGS = "loss ln|p + v| - ln|q + v'|, fresh normal noise on every output"


def _output(**named: npt.ArrayLike) -> Array:
    (name,) = named
    outputs = floats(expect.positive(**named))
    expect.that(~(outputs > 1.0), "at most 1", **{name: outputs})
    return outputs


@law(
    formula="E - f' = β² f'''/6",
    latex=r"\mathbb{E}\hat f' - f' = \frac{\beta^2 f'''}{6}",
    symbols={"third_derivative": _THIRD, "probe": _PROBE},
    regime="exact for some point of the probe, for any where f''' is constant",
    source="Taylor with remainder; Output Randomization 2020, row B5",
)
def central_bias(third_derivative: npt.ArrayLike, probe: npt.ArrayLike) -> Floats:
    """Bias of the slope read from both sides, (f(x+β) - f(x-β))/(2β).

    Parameters
    ----------
    third_derivative : array_like
        Third derivative of the loss along the probe.
    probe : array_like
        Width β of the probe to one side, in (0, inf).

    Examples
    --------
    >>> round(float(central_bias(6.0, 0.1)), 12)
    0.01
    """
    third = floats(expect.finite(third_derivative=third_derivative))
    beta = floats(expect.positive(probe=probe))
    with np.errstate(over="ignore"):
        return beta * (beta * (third / 6.0))


@law(
    formula="E - f' = β f''/2",
    latex=r"\mathbb{E}\hat f' - f' = \frac{\beta f''}{2}",
    symbols={"curvature": _CURVATURE, "probe": _PROBE},
    regime="exact for some point of the probe, for any where f'' is constant",
    source="Taylor with remainder",
)
def forward_bias(curvature: npt.ArrayLike, probe: npt.ArrayLike) -> Floats:
    """Bias of the slope read from one side, (f(x+β) - f(x))/β.

    Parameters
    ----------
    curvature : array_like
        Second derivative of the loss along the probe.
    probe : array_like
        Width β of the probe, in (0, inf).

    Examples
    --------
    >>> float(forward_bias(4.0, 0.25))
    0.5
    """
    second = floats(expect.finite(curvature=curvature))
    with np.errstate(over="ignore"):
        return floats(expect.positive(probe=probe)) * (0.5 * second)


@law(
    formula="sd = s/(√2 β)",
    latex=r"\mathrm{sd} = \frac{s}{\sqrt2\,\beta}",
    symbols={"loss_sigma": _LOSS_SIGMA, "probe": _PROBE},
    regime="fresh noise on both losses; exact",
    source="derived here; SND 2023, row S5, both sides",
)
def central_sd(loss_sigma: npt.ArrayLike, probe: npt.ArrayLike) -> Floats:
    """Standard deviation of the slope read from both sides.

    Parameters
    ----------
    loss_sigma : array_like
        Standard deviation of one noisy loss, in [0, inf).
    probe : array_like
        Width β of the probe to one side, in (0, inf).

    Examples
    --------
    >>> round(float(central_sd(0.04, 0.1)) ** 2, 12)
    0.08
    """
    s = floats(expect.nonnegative(loss_sigma=loss_sigma))
    return ratio(s / np.sqrt(2.0), expect.positive(probe=probe))


@law(
    formula="sd = √2 s/β",
    latex=r"\mathrm{sd} = \frac{\sqrt2\,s}{\beta}",
    symbols={"loss_sigma": _LOSS_SIGMA, "probe": _PROBE},
    regime="fresh noise on both losses; exact",
    source="SND 2023, row S5",
)
def forward_sd(loss_sigma: npt.ArrayLike, probe: npt.ArrayLike) -> Floats:
    """Standard deviation of the slope read from one side.

    Parameters
    ----------
    loss_sigma : array_like
        Standard deviation of one noisy loss, in [0, inf).
    probe : array_like
        Width β of the probe, in (0, inf).

    Examples
    --------
    >>> round(float(forward_sd(0.04, 0.1)) ** 2, 12)
    0.32
    """
    s = floats(expect.nonnegative(loss_sigma=loss_sigma))
    return np.sqrt(2.0) * ratio(s, expect.positive(probe=probe))


def _cube(
    loss_sigma: npt.ArrayLike, third_derivative: npt.ArrayLike, repeats: npt.ArrayLike
) -> tuple[Array, Array]:
    s = floats(expect.nonnegative(loss_sigma=loss_sigma))
    third = np.abs(floats(expect.finite(third_derivative=third_derivative)))
    expect.that(third != 0.0, "other than 0", third_derivative=third_derivative)
    return s / np.sqrt(floats(expect.at_least(1, repeats=repeats))), third


@law(
    formula="β = (3s/(|f'''| √n))^(1/3)",
    latex=r"\beta = \left(\frac{3 s}{|f'''| \sqrt n}\right)^{1/3}",
    symbols={
        "loss_sigma": _LOSS_SIGMA,
        "third_derivative": _THIRD + ", not 0",
        "repeats": _REPEATS,
    },
    regime="constant third derivative, fresh noise on every loss",
    source="derived here; Aithal & Li 2022, Sec. III-D, has the opposite conclusion",
)
def best_probe(
    loss_sigma: npt.ArrayLike,
    third_derivative: npt.ArrayLike,
    repeats: npt.ArrayLike = 1,
) -> Floats:
    """Width of a two-sided probe that reads the slope with the least mean square error.

    Parameters
    ----------
    loss_sigma : array_like
        Standard deviation of one noisy loss, in [0, inf).
    third_derivative : array_like
        Third derivative of the loss along the probe, not 0.
    repeats : array_like
        Pairs n averaged, at least 1.

    Examples
    --------
    >>> round(float(best_probe(1e-3, 6.0)), 4)
    0.0794
    """
    s, third = _cube(loss_sigma, third_derivative, repeats)
    return np.cbrt(3.0) * np.cbrt(s) / np.cbrt(third)


@law(
    formula="e = (3s/√n)^(2/3) |f'''|^(1/3)/√12",
    latex=r"e = \frac{(3 s/\sqrt n)^{2/3}\,|f'''|^{1/3}}{\sqrt{12}}",
    symbols={
        "loss_sigma": _LOSS_SIGMA,
        "third_derivative": _THIRD + ", not 0",
        "repeats": _REPEATS,
    },
    regime="constant third derivative, fresh noise on every loss, the best probe",
    source="derived here",
)
def best_rms_error(
    loss_sigma: npt.ArrayLike,
    third_derivative: npt.ArrayLike,
    repeats: npt.ArrayLike = 1,
) -> Floats:
    """Root-mean-square error of the slope that the best two-sided probe reads.

    Parameters
    ----------
    loss_sigma : array_like
        Standard deviation of one noisy loss, in [0, inf).
    third_derivative : array_like
        Third derivative of the loss along the probe, not 0.
    repeats : array_like
        Pairs n averaged, at least 1.

    Examples
    --------
    >>> round(float(best_rms_error(1e-3, 6.0)), 5)
    0.01091
    """
    s, third = _cube(loss_sigma, third_derivative, repeats)
    scale = np.cbrt(9.0) / np.sqrt(12.0)
    return scale * (np.cbrt(s) * (np.cbrt(s) * np.cbrt(third)))


@law(
    formula="β = (8 s²/(n f''²))^(1/4)",
    latex=r"\beta = \left(\frac{8 s^2}{n f''^2}\right)^{1/4}",
    symbols={
        "loss_sigma": _LOSS_SIGMA,
        "curvature": _CURVATURE + ", not 0",
        "repeats": _REPEATS,
    },
    regime="constant second derivative, fresh noise on every loss",
    source="derived here",
)
def best_forward_probe(
    loss_sigma: npt.ArrayLike, curvature: npt.ArrayLike, repeats: npt.ArrayLike = 1
) -> Floats:
    """Width of a one-sided probe that reads the slope with the least mean square error.

    Parameters
    ----------
    loss_sigma : array_like
        Standard deviation of one noisy loss, in [0, inf).
    curvature : array_like
        Second derivative of the loss along the probe, not 0.
    repeats : array_like
        Pairs n averaged, at least 1.

    Examples
    --------
    >>> round(float(best_forward_probe(1e-3, 2.0)), 4)
    0.0376
    """
    s = floats(expect.nonnegative(loss_sigma=loss_sigma))
    second = np.abs(floats(expect.finite(curvature=curvature)))
    expect.that(second != 0.0, "other than 0", curvature=curvature)
    n = floats(expect.at_least(1, repeats=repeats))
    return 8.0**0.25 * np.sqrt(s) / np.sqrt(second) / np.sqrt(np.sqrt(n))


@law(
    formula="E ln|p + v| - ln p = g(t) - ln t, t = p/σ",
    latex=r"\mathbb{E}\ln|p + v| - \ln p = g(t) - \ln t,\quad t = p/\sigma",
    symbols={"output": "p, output, probability, (0, 1]", "sigma": _SIGMA},
    regime="exact",
    source="derived here; Output Randomization 2020, row B17",
)
def log_bias(output: npt.ArrayLike, sigma: npt.ArrayLike) -> Floats:
    """Bias of the logarithm of a folded noisy output.

    -σ²/(2p²) for small noise, and above zero once σ > 0.95 p.

    Parameters
    ----------
    output : array_like
        Output p, in (0, 1].
    sigma : array_like
        Standard deviation of the noise on it, in (0, inf).

    Examples
    --------
    >>> round(float(log_bias(0.5, 0.1)), 6)
    -0.021411
    """
    p = _output(output=output)
    return _log_bias.excess(p, floats(expect.positive(sigma=sigma)))


def _four(
    output: npt.ArrayLike,
    rival: npt.ArrayLike,
    output_behind: npt.ArrayLike,
    rival_behind: npt.ArrayLike,
    sigma: npt.ArrayLike,
    probe: npt.ArrayLike,
) -> tuple[Array, ...]:
    return (
        _output(output=output),
        _output(rival=rival),
        _output(output_behind=output_behind),
        _output(rival_behind=rival_behind),
        floats(expect.positive(sigma=sigma)),
        floats(expect.positive(probe=probe)),
    )


@law(
    formula="(b(p) - b(q) - b(p') + b(q'))/(2β), b(p) = g(p/σ) - ln(p/σ)",
    latex=r"\frac{b(p) - b(q) - b(p') + b(q')}{2\beta},\quad "
    r"b(p) = g\left(\frac p\sigma\right) - \ln\frac p\sigma",
    symbols={**_FOUR, "sigma": _SIGMA, "probe": _PROBE},
    regime=_LOGS + "; exact",
    source="derived here for Output Randomization 2020, rows B17 to B20",
)
def log_ratio_bias(
    output: npt.ArrayLike,
    rival: npt.ArrayLike,
    output_behind: npt.ArrayLike,
    rival_behind: npt.ArrayLike,
    sigma: npt.ArrayLike,
    probe: npt.ArrayLike,
) -> Floats:
    """Bias of the slope of a logarithmic loss, read from both sides of noisy outputs.

    Parameters
    ----------
    output, rival : array_like
        Outputs of the true and of the other class ahead, in (0, 1].
    output_behind, rival_behind : array_like
        The same behind, in (0, 1].
    sigma : array_like
        Standard deviation of the noise on each output, in (0, inf).
    probe : array_like
        Width β of the probe to one side, in (0, inf).

    Examples
    --------
    >>> round(float(log_ratio_bias(0.6, 0.3, 0.59, 0.31, 0.1, 1e-4)), 2)
    30.88
    """
    p, q, p_, q_, s, h = _four(output, rival, output_behind, rival_behind, sigma, probe)
    change = _log_bias.change(p_, p, s) - _log_bias.change(q_, q, s)
    with np.errstate(over="ignore"):
        return change / (2.0 * h)


def _weak(*outputs: npt.ArrayLike) -> Array:
    """A tenth of the least output, and a little for its rounding."""
    first, *others = (floats(output) for output in outputs)
    for other in others:
        first = np.minimum(first, other)
    return (0.1 + 1e-15) * first


@law(
    formula="-(σ²/(4β)) (1/p² - 1/q² - 1/p'² + 1/q'²)",
    latex=r"-\frac{\sigma^2}{4\beta}\left(\frac1{p^2} - \frac1{q^2} - \frac1{p'^2} "
    r"+ \frac1{q'^2}\right)",
    symbols={**_FOUR, "sigma": _SIGMA, "probe": _PROBE},
    regime=_LOGS + "; second order in σ, each of its terms within 4 %",
    source="Output Randomization 2020, eq. in row B20, with its sign: read less true",
    limits={
        "weak noise, sigma <= 0.1 of the least output": (
            lambda output, rival, output_behind, rival_behind, sigma: (
                ~(np.asarray(sigma) > _weak(output, rival, output_behind, rival_behind))
            )
        )
    },
)
def log_ratio_bias_weak(
    output: npt.ArrayLike,
    rival: npt.ArrayLike,
    output_behind: npt.ArrayLike,
    rival_behind: npt.ArrayLike,
    sigma: npt.ArrayLike,
    probe: npt.ArrayLike,
) -> Floats:
    """Bias of such a slope for weak noise: proportional to the noise's variance.

    Parameters
    ----------
    output, rival : array_like
        Outputs of the true and of the other class ahead, in (0, 1].
    output_behind, rival_behind : array_like
        The same behind, in (0, 1].
    sigma : array_like
        Standard deviation of the noise on each output, in (0, inf).
    probe : array_like
        Width β of the probe to one side, in (0, inf).

    Examples
    --------
    >>> round(float(log_ratio_bias_weak(0.6, 0.3, 0.59, 0.31, 0.01, 1e-4)), 4)
    0.2001
    """
    p, q, p_, q_, s, h = _four(output, rival, output_behind, rival_behind, sigma, probe)

    def fall(near: Array, far: Array) -> Array:
        """σ²/near² - σ²/far²."""
        gap = (s / near) * ((far - near) / far)
        return gap * (s / near + s / far)

    return (fall(q, q_) - fall(p, p_)) / (4.0 * h)


@law(
    formula="√(V(p/σ) + V(q/σ) + V(p'/σ) + V(q'/σ))/(2β)",
    latex=r"\frac{\sqrt{V(p/\sigma) + V(q/\sigma) + V(p'/\sigma) + V(q'/\sigma)}}"
    r"{2\beta}",
    symbols={**_FOUR, "sigma": _SIGMA, "probe": _PROBE},
    regime=_LOGS + "; exact",
    source="derived here; (σ/(2β)) √Σ 1/p² of row B21 for small noise",
)
def log_ratio_sd(
    output: npt.ArrayLike,
    rival: npt.ArrayLike,
    output_behind: npt.ArrayLike,
    rival_behind: npt.ArrayLike,
    sigma: npt.ArrayLike,
    probe: npt.ArrayLike,
) -> Floats:
    """Standard deviation of such a slope: linear in weak noise, and above its bias.

    Parameters
    ----------
    output, rival : array_like
        Outputs of the true and of the other class ahead, in (0, 1].
    output_behind, rival_behind : array_like
        The same behind, in (0, 1].
    sigma : array_like
        Standard deviation of the noise on each output, in (0, inf).
    probe : array_like
        Width β of the probe to one side, in (0, inf).

    Examples
    --------
    >>> round(float(log_ratio_sd(0.6, 0.3, 0.59, 0.31, 0.01, 1e-4)), 1)
    260.9
    """
    p, q, p_, q_, s, h = _four(output, rival, output_behind, rival_behind, sigma, probe)
    ahead = np.hypot(_log_bias.deviation(p, s), _log_bias.deviation(q, s))
    behind = np.hypot(_log_bias.deviation(p_, s), _log_bias.deviation(q_, s))
    return np.hypot(ahead, behind) / (2.0 * h)


@law(
    formula="p' (h(t)/σ - 1/p) - q' (h(u)/σ - 1/q), t = p/σ, u = q/σ, "
    "h = √2 Dawson(t/√2)",
    latex=r"p'\left(\frac{h(p/\sigma)}\sigma - \frac1p\right) - "
    r"q'\left(\frac{h(q/\sigma)}\sigma - \frac1q\right),\quad "
    r"h(t) = \sqrt2\operatorname{Dawson}(t/\sqrt2)",
    symbols={
        "output": "p, output of the true class, probability, (0, 1]",
        "rival": "q, output of the other class, probability, (0, 1]",
        "output_slope": "p', slope of p along the probe, per input unit, real",
        "rival_slope": "q', slope of q along the probe, per input unit, real",
        "sigma": _SIGMA,
    },
    regime=_LOGS + ", narrow probe (β -> 0); exact",
    source="derived here; limit of row B20",
)
def log_slope_bias(
    output: npt.ArrayLike,
    rival: npt.ArrayLike,
    output_slope: npt.ArrayLike,
    rival_slope: npt.ArrayLike,
    sigma: npt.ArrayLike,
) -> Floats:
    """Bias that is left of such a slope as the probe narrows.

    Parameters
    ----------
    output, rival : array_like
        Outputs of the true and of the other class, in (0, 1].
    output_slope, rival_slope : array_like
        Their slopes along the probe.
    sigma : array_like
        Standard deviation of the noise on each output, in (0, inf).

    Examples
    --------
    >>> round(float(log_slope_bias(0.6, 0.3, 50.0, -50.0, 0.01)), 4)
    0.209
    """
    p, q = _output(output=output), _output(rival=rival)
    p_ = floats(expect.finite(output_slope=output_slope))
    q_ = floats(expect.finite(rival_slope=rival_slope))
    s = floats(expect.positive(sigma=sigma))

    def share(p: Array) -> Array:
        return _log_bias.slope(np.minimum(p / s, 1e300)) / p

    p_, q_, own, others = np.broadcast_arrays(p_, q_, share(p), share(q))
    with np.errstate(over="ignore", invalid="ignore"):
        bias = p_ * own - q_ * others
    # Of two terms beyond the floats the difference may have a sign, or be none.
    beyond = ~np.isfinite(bias)
    steep = np.where(beyond, np.maximum(np.abs(p_), np.abs(q_)), 1.0)
    much = np.where(beyond, np.maximum(np.abs(own), np.abs(others)), 1.0)
    inside = (p_ / steep) * (own / much) - (q_ / steep) * (others / much)
    with np.errstate(over="ignore"):
        return np.where(beyond, inside * steep * much, bias)[()]


@law(
    formula="N/N' = 2 (p/Δp)²",
    latex=r"\frac{N}{N'} = 2\left(\frac{p}{\Delta p}\right)^2",
    symbols={
        "output": "p, output of the true class, probability, (0, 1]",
        "gap": "Δp, change of it across a pair of probes, probability, (0, 1]",
    },
    regime="weak noise; relative noise √2 σ/Δp of a difference, σ/p of a gradient of "
    "ln p by backpropagation",
    source="Output Randomization 2020, row B26, derived here",
)
def white_box_saving(output: npt.ArrayLike, gap: npt.ArrayLike) -> Floats:
    """Samples that a difference of outputs needs over those that a gradient needs.

    Parameters
    ----------
    output : array_like
        Output p, in (0, 1].
    gap : array_like
        Change Δp of it across a pair of probes, in (0, 1].

    Examples
    --------
    >>> round(float(white_box_saving(0.4, 0.005)))
    12800
    """
    return square(np.sqrt(2.0) * ratio(_output(output=output), _output(gap=gap)))
