"""How each defence and each attack makes S, the decision signal-to-noise ratio.

    S = E[(change of the attacker's expected noisy loss over one probe)²]
        / variance of that change's noise.

All else that the theory says about an attack reads S alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from querytax import expect
from querytax.theory.law import Given, law
from querytax.theory.numerics import efficiency as _efficiency
from querytax.theory.numerics.floats import Floats, over, square, zeroed


def _linear(slope: Given, step: Given, noise: Given, queries: float) -> Floats:
    """(slope·step/noise)²/queries in an order that neither over- nor underflows."""
    with np.errstate(over="ignore", invalid="ignore"):
        # Without a step no slope, however steep, is seen.
        return square(zeroed(over(slope, noise) * step)) / queries


def _raw(release: str, reading: str) -> bool:
    return release == "raw" and reading == "best"


def _small(
    delta_ms: Any, sigma: Any, output: Any, release: str, reading: str = "best"
) -> Any:
    if output is None or _raw(release, reading):
        return True
    inside = np.minimum(output, 1.0 - np.asarray(output))
    with np.errstate(invalid="ignore"):
        most = np.maximum(0.5 * np.asarray(sigma), 0.25 * inside)
        return ~(np.sqrt(delta_ms) > most)


def _on_one_side(
    delta_ms: Any, output: Any, release: str, reading: str = "best"
) -> Any:
    if output is None or release == "clip" or _raw(release, reading):
        return True
    with np.errstate(invalid="ignore"):
        return ~(np.sqrt(delta_ms) > 2.0 * np.asarray(output))


@law(
    "S = J(F/σ) Δ²/(2σ²)",
    "Aithal & Li 2022, Lemma 1; corrected: symmetric in the pair, E[ΔF²] for "
    "(E|ΔF|)², and the efficiency J of the noise that is actually added",
    regime="exact for raw outputs, at any change; else the change small against σ",
    kind="approximation",
    limits={
        "unless read raw, a change of at most sigma/2, or a fourth of output and of "
        "1 - output": _small,
        "a change of at most 2 output, where it is folded": _on_one_side,
    },
    domain={"output": "[0, 1]"},
    value="[0, inf]; rises in delta_ms; falls in sigma",
)
def output(
    delta_ms: Given,
    sigma: Given,
    output: Given = None,
    release: str = "raw",
    reading: str = "best",
) -> Floats:
    """Decision SNR of one antithetic pair, noise on a released probability.

    The output, wanted unless it is read raw, is that amid the pair; what is released
    is cut at 1. Inside the limits within 10 %; of an output near the noise that changes
    by five sigma up to 3.7 times too much. For ``"log"`` without a ceiling
    :func:`querytax.theory.log_ratio.effective_snr` is exact.

    >>> round(float(output(1e-4, 0.1)), 12)
    0.005
    >>> round(float(output(1e-4, 0.1, output=0.01, release="reflect")), 9)
    9.8052e-05
    """
    raw = square(over(np.sqrt(delta_ms), sigma))
    if output is None:
        expect.one_of(("raw",), release=release)
        expect.one_of(("best",), reading=reading)
        return 0.5 * raw
    level, room = over(output, sigma), over(1.0 - output, sigma)
    share = _efficiency.efficiency(level, room, release, reading)
    # Nothing is left of a signal beyond the floats either, where no share is.
    return 0.5 * np.where(share > 0.0, raw, 0.0)[()] * share


@law(
    "S = Δ²m/(4σ²)",
    "Output Randomization 2020, appendix (noise on logits); derived here",
    regime="exact: the margin of two noisy logits is Gaussian at any noise",
    value="[0, inf]; rises in delta_margin_ms; falls in sigma",
)
def output_logits(delta_margin_ms: Given, sigma: Given) -> Floats:
    """Decision SNR of the margin of two logits that both carry noise.

    Two queries answer two noisy logits each: the noise variance is 4 sigma².

    >>> float(output_logits(0.36, 0.3))
    1.0
    """
    return over(over(delta_margin_ms, 2.0 * sigma), 2.0 * sigma)


@law(
    "S = Δ²L/V",
    "the definition of S; RFD 2024, Theorem 1, has R = 1/S",
    regime="consequences need the noise near normal",
    kind="definition",
    value="[0, inf]; rises in signal_ms; falls in noise_variance",
)
def loss_noise(signal_ms: Given, noise_variance: Given) -> Floats:
    """Decision SNR from measured loss statistics, for noise at any site.

    The square of a mean of n noisy changes overstates the signal by V/n.

    >>> float(loss_noise(1.0, 4.0))
    0.25
    """
    return over(signal_ms, noise_variance)


@law(
    "S = 4μ²G²/(2s²)",
    "RND 2021, moments of the estimator; corrected for antithetic pairs",
    regime="loss linear over the probe and the noise",
    value="[0, inf]; rises in gradient_norm probe; falls in loss_sigma",
)
def antithetic(gradient_norm: Given, probe: Given, loss_sigma: Given) -> Floats:
    """Decision SNR of an NES pair, ``L(x + μu) - L(x - μu)``, ``u ~ N(0, I)``.

    >>> float(antithetic(1.0, 0.5, 1.0))
    0.5
    """
    return _linear(gradient_norm, probe, loss_sigma, 0.5)


@law(
    "S = μ²G²/(2s²)",
    "RND 2021, moments of the estimator: S = 1/(2α²), α the noise-probe ratio",
    regime="loss linear over the probe and the noise; a fresh base for each direction",
    value="[0, inf]; rises in gradient_norm probe; falls in loss_sigma",
)
def forward(gradient_norm: Given, probe: Given, loss_sigma: Given) -> Floats:
    """Decision SNR of a forward difference, ``L(x + μu) - L(x)``, ``u ~ N(0, I)``.

    >>> float(forward(1.0, 0.5, 1.0))
    0.125
    """
    return _linear(gradient_norm, probe, loss_sigma, 2.0)


@law(
    "S = η²G²/(2s²)",
    "RFD 2024, Theorem 1: R = 1/S, its μ a variance, η² here",
    regime="loss linear over the step and the noise; the current point queried afresh",
    value="[0, inf]; rises in gradient_norm candidate_step; falls in loss_sigma",
)
def candidate(gradient_norm: Given, candidate_step: Given, loss_sigma: Given) -> Floats:
    """Decision SNR of a search that tries ``x + ηu`` against x, ``u ~ N(0, I)``.

    >>> float(candidate(2.0, 0.5, 1.0))
    0.5
    """
    return _linear(gradient_norm, candidate_step, loss_sigma, 2.0)


@law(
    "S = μ²G²/(s²(1 + 1/M₀))",
    "RFD 2024, Theorem 1 with M and M0 repeats; derived here",
    regime="loss linear; per direction: one base shared by all correlates them",
    value="[0, inf]; rises in gradient_norm probe base_repeats; falls in loss_sigma",
)
def cached_base(
    gradient_norm: Given, probe: Given, loss_sigma: Given, base_repeats: Given
) -> Floats:
    """Decision SNR of a forward difference against an averaged, reused base.

    >>> float(cached_base(1.0, 1.0, 1.0, 1))
    0.5
    """
    once = _linear(gradient_norm, probe, loss_sigma, 1.0)
    return once / (1.0 + 1.0 / base_repeats)


@law(
    "S_M = M S",
    "Output Randomization 2020, averaging; RFD 2024, Theorem 1: R/M",
    regime="fresh independent noise per query, averaged before any nonlinear step",
    value="[0, inf]; rises in snr repeats",
)
def averaged(snr: Given, repeats: Given) -> Floats:
    """Decision SNR of a comparison whose queries are repeated and averaged.

    >>> float(averaged(0.25, 8))
    2.0
    """
    with np.errstate(over="ignore"):
        return snr * repeats


@law(
    "1/S = Σ 1/S_i",
    "derived here: variances of independent noises add",
    regime="independent noises, and each S_i taken with the same signal",
    value="[0, inf)",
)
def combine(snrs: Given) -> Floats:
    """Decision SNR under several independent noises at once.

    >>> float(combine([1.0, 1.0]))
    0.5
    """
    least = snrs.min(axis=-1, keepdims=True)
    share = np.divide(least, snrs, out=np.ones_like(snrs), where=snrs > 0)
    return (least[..., 0] / share.sum(axis=-1))[()]


@law(
    "S_ρ = S/(1 - ρ)",
    "derived here for Aithal & Li 2022, Lemma 2, and for averaging; corrected: "
    "what two outputs or two queries share cancels in their difference",
    regime="exact: noises of one variance, subtracted from each other",
    domain={"correlation": "[-1, 1]"},
    value="[0, inf]; rises in snr correlation",
)
def correlated(snr: Given, correlation: Given) -> Floats:
    """Decision SNR of a difference whose noises are correlated.

    Of a margin under noise that shares a part ρ of its variance between the classes,
    or of two queries whose noises are correlated; one class's score alone gains
    nothing by the first. At ρ = 1 nothing but the signal is left.

    >>> float(correlated(0.25, 0.5)), float(correlated(0.25, 1.0))
    (0.5, inf)
    """
    return over(snr, 1.0 - correlation)
