"""How each defence and each attack makes S, the decision signal-to-noise ratio.

    S = E[(change of the attacker's expected noisy loss over one probe)²]
        / variance of that change's noise.

All else that the theory says about an attack reads S alone. Each function raises
``DomainError``, naming the parameter, for an argument outside its stated range.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from querytax import expect
from querytax.theory import efficiency
from querytax.theory._floats import Floats, floats, ratio, square
from querytax.theory.efficiency import fisher_efficiency, log_mean, log_variance
from querytax.theory.law import law

__all__ = [
    "antithetic",
    "averaged",
    "cached_base",
    "combine",
    "correlated",
    "fisher_efficiency",
    "forward",
    "log_mean",
    "log_variance",
    "loss_noise",
    "output",
    "output_logits",
    "random_direction",
]

_SNR = "S, decision signal-to-noise ratio, power ratio, [0, inf)"
_SIGMA = "σ, standard deviation of the output noise, probability, (0, inf)"
_SLOPE = "G, norm of the loss gradient, loss per unit of input, [0, inf)"
_LOSS = "s, standard deviation of the noise on one noisy loss, loss, (0, inf)"


def _linear(
    slope: npt.ArrayLike, step: npt.ArrayLike, noise: npt.ArrayLike, queries: float
) -> Floats:
    """(slope·step/noise)²/queries in an order that neither over- nor underflows."""
    with np.errstate(over="ignore"):
        return square(ratio(slope, noise) * floats(step)) / queries


@law(
    formula="S = J(F/σ) E[ΔF²]/(2σ²)",
    latex=r"S = J(F/\sigma)\,\frac{\mathbb{E}[\Delta F^2]}{2\sigma^2}",
    symbols={
        "delta_ms": "E[ΔF²], mean square of the pair's difference, probability², "
        "[0, inf)",
        "sigma": _SIGMA,
        "output": "F, noiseless output at the pair, probability, [0, 1]",
        "form": efficiency.FORM,
        "reading": efficiency.READING,
    },
    regime="raw: exact for any ΔF; reflected or clipped: ΔF small against σ",
    source=(
        "Aithal & Li 2022, Lemma 1; corrected: symmetric in the pair, E[ΔF²] for "
        "(E|ΔF|)², and the efficiency J of the noise that is actually added"
    ),
)
def output(
    delta_ms: npt.ArrayLike,
    sigma: npt.ArrayLike,
    *,
    output: npt.ArrayLike | None = None,
    form: str = "raw",
    reading: str = "best",
) -> Floats:
    """Decision SNR of one antithetic pair under noise on a released probability.

    Parameters
    ----------
    delta_ms : array_like
        Second moment E[ΔF²] of the difference of the noiseless output between the
        two queries of a pair, in probability², in [0, inf). Not (E|ΔF|)².
    sigma : array_like
        Standard deviation of the output noise, in probability, in (0, inf).
    output : array_like, optional
        Noiseless output F around which the pair lies, in [0, 1]. Required unless
        the raw value is read at its best.
    form : {"raw", "reflect", "clip"}
        Released: ``F+v``; ``|F+v|`` cut at 1; or ``F+v`` cut at 0 and 1.
    reading : {"best", "log", "abs"}
        What the attacker averages, see :func:`fisher_efficiency`.

    Raises
    ------
    DomainError
        If an argument is out of its domain, or ``output`` is missing.

    Examples
    --------
    >>> round(float(output(1e-4, 0.1)), 12)
    0.005
    >>> round(float(output(1e-4, 0.1, output=0.01, form="reflect")), 9)
    9.8052e-05
    """
    raw = square(
        ratio(
            np.sqrt(floats(expect.nonnegative(delta_ms=delta_ms))),
            expect.positive(sigma=sigma),
        )
    )
    if output is None:
        expect.one_of(("raw",), form=form)
        expect.one_of(("best",), reading=reading)
        return 0.5 * raw
    level = floats(expect.unit(output=output))
    share = fisher_efficiency(
        ratio(level, sigma), form, reading, headroom=ratio(1.0 - level, sigma)
    )
    return 0.5 * raw * share


@law(
    formula="S = E[Δm²]/(4σ²)",
    latex=r"S = \frac{\mathbb{E}[\Delta m^2]}{4\sigma^2}",
    symbols={
        "delta_margin_ms": "E[Δm²], mean square change of the logit margin over a "
        "pair, logit², [0, inf)",
        "sigma": "σ, standard deviation of the noise on each logit, logit, (0, inf)",
    },
    regime="exact: the margin of two noisy logits is Gaussian at any noise",
    source="Output Randomization 2020, appendix (noise on logits); derived here",
)
def output_logits(delta_margin_ms: npt.ArrayLike, sigma: npt.ArrayLike) -> Floats:
    """Decision SNR of the margin of two logits that both carry noise.

    Two queries answer two noisy logits each: the noise variance is 4 sigma².

    Parameters
    ----------
    delta_margin_ms : array_like
        Second moment of the change of the noiseless margin over a pair, in logit²,
        in [0, inf).
    sigma : array_like
        Standard deviation of the noise on each logit, in (0, inf).

    Examples
    --------
    >>> float(output_logits(0.36, 0.3))
    1.0
    """
    change = expect.nonnegative(delta_margin_ms=delta_margin_ms)
    twice = 2.0 * floats(expect.positive(sigma=sigma))
    return ratio(ratio(change, twice), twice)


@law(
    formula="S = E[ΔL²]/Var[noise of ΔL]",
    latex=r"S = \frac{\mathbb{E}[\Delta L^2]}{\operatorname{Var}[\nu]}",
    symbols={
        "signal_ms": "E[ΔL²], mean square change of the expected noisy loss, loss², "
        "[0, inf)",
        "noise_variance": "Var[ν], variance of the noise on that change, both "
        "queries together, loss², (0, inf)",
    },
    regime="the definition; consequences need the noise near normal",
    source="the definition of S; RFD 2024, Theorem 1, has R = 1/S",
)
def loss_noise(signal_ms: npt.ArrayLike, noise_variance: npt.ArrayLike) -> Floats:
    """Decision SNR from measured loss statistics, for noise at any site.

    Parameters
    ----------
    signal_ms : array_like
        Mean, over probes, of the squared change of the *expected noisy* loss between
        the two queries of a comparison, in loss², in [0, inf). The square of an
        mean of n noisy changes overstates it by ``noise_variance/n``.
    noise_variance : array_like
        Variance, over fresh noise, of the *change*: of the difference of two noisy
        losses, hence twice the variance of one loss, in loss², in (0, inf).

    Examples
    --------
    >>> float(loss_noise(1.0, 4.0))
    0.25
    """
    return ratio(
        expect.nonnegative(signal_ms=signal_ms),
        expect.positive(noise_variance=noise_variance),
    )


@law(
    formula="S = 4β²G²/(2s²)",
    latex=r"S = \frac{4\beta^2 G^2}{2 s^2}",
    symbols={
        "gradient_norm": _SLOPE,
        "probe": "β, probe size: queries at x ± βu, u ~ N(0, I), input, [0, inf)",
        "loss_sigma": _LOSS,
    },
    regime="loss linear over the probe and the noise",
    source="RND 2021, moments of the estimator; corrected for antithetic pairs",
)
def antithetic(
    gradient_norm: npt.ArrayLike, probe: npt.ArrayLike, loss_sigma: npt.ArrayLike
) -> Floats:
    """Decision SNR of an NES pair, ``L(x + βu) - L(x - βu)`` with ``u ~ N(0, I)``.

    Parameters
    ----------
    gradient_norm : array_like
        Norm of the loss gradient, in [0, inf).
    probe : array_like
        Probe size β, in [0, inf).
    loss_sigma : array_like
        Standard deviation of the noise on one loss, in (0, inf).

    Examples
    --------
    >>> float(antithetic(1.0, 0.5, 1.0))
    0.5
    """
    return _linear(
        expect.nonnegative(gradient_norm=gradient_norm),
        expect.nonnegative(probe=probe),
        expect.positive(loss_sigma=loss_sigma),
        0.5,
    )


@law(
    formula="S = β²G²/(2s²)",
    latex=r"S = \frac{\beta^2 G^2}{2 s^2}",
    symbols={
        "gradient_norm": _SLOPE,
        "probe": "β, probe size: queries at x + βu and x, u ~ N(0, I), input, [0, inf)",
        "loss_sigma": _LOSS,
    },
    regime="loss linear over the probe and the noise; a fresh base for each direction",
    source="RND 2021, moments of the estimator: S = 1/(2α²), α the noise-probe ratio",
)
def forward(
    gradient_norm: npt.ArrayLike, probe: npt.ArrayLike, loss_sigma: npt.ArrayLike
) -> Floats:
    """Decision SNR of a forward difference, ``L(x + βu) - L(x)``, ``u ~ N(0, I)``.

    Parameters
    ----------
    gradient_norm : array_like
        Norm of the loss gradient, in [0, inf).
    probe : array_like
        Probe size β, in [0, inf).
    loss_sigma : array_like
        Standard deviation of the noise on one loss, in (0, inf).

    Examples
    --------
    >>> float(forward(1.0, 0.5, 1.0))
    0.125
    """
    return _linear(
        expect.nonnegative(gradient_norm=gradient_norm),
        expect.nonnegative(probe=probe),
        expect.positive(loss_sigma=loss_sigma),
        2.0,
    )


@law(
    formula="S = η²G²/(2s²)",
    latex=r"S = \frac{\eta^2 G^2}{2 s^2}",
    symbols={
        "gradient_norm": _SLOPE,
        "step": "η, size of the candidate step ηu, u ~ N(0, I), input, [0, inf)",
        "loss_sigma": _LOSS,
    },
    regime="loss linear over the step and the noise; the current point queried afresh",
    source="RFD 2024, Theorem 1: R = 1/S, its μ a variance, η² here",
)
def random_direction(
    gradient_norm: npt.ArrayLike, step: npt.ArrayLike, loss_sigma: npt.ArrayLike
) -> Floats:
    """Decision SNR of an accept-or-reject search that tries ``x + ηu`` against x.

    Parameters
    ----------
    gradient_norm : array_like
        Norm of the loss gradient, in [0, inf).
    step : array_like
        Size η of the candidate step, ``u ~ N(0, I)``, in [0, inf).
    loss_sigma : array_like
        Standard deviation of the noise on one loss, in (0, inf).

    Examples
    --------
    >>> float(random_direction(2.0, 0.5, 1.0))
    0.5
    """
    return _linear(
        expect.nonnegative(gradient_norm=gradient_norm),
        expect.nonnegative(step=step),
        expect.positive(loss_sigma=loss_sigma),
        2.0,
    )


@law(
    formula="S = β²G²/(s²(1 + 1/M0))",
    latex=r"S = \frac{\beta^2 G^2}{s^2 (1 + 1/M_0)}",
    symbols={
        "gradient_norm": _SLOPE,
        "probe": "β, probe size: queries at x + βu, u ~ N(0, I), input, [0, inf)",
        "loss_sigma": _LOSS,
        "base_repeats": "M0, queries averaged at x and reused, count, [1, inf)",
    },
    regime="loss linear; per direction: one base shared by all correlates them",
    source="RFD 2024, Theorem 1 with M and M0 repeats; derived here",
)
def cached_base(
    gradient_norm: npt.ArrayLike,
    probe: npt.ArrayLike,
    loss_sigma: npt.ArrayLike,
    base_repeats: npt.ArrayLike,
) -> Floats:
    """Decision SNR of a forward difference against an averaged, reused base.

    Parameters
    ----------
    gradient_norm : array_like
        Norm of the loss gradient, in [0, inf).
    probe : array_like
        Probe size β, in [0, inf).
    loss_sigma : array_like
        Standard deviation of the noise on one loss, in (0, inf).
    base_repeats : array_like of int
        Queries M0 averaged at the base, at least 1.

    Examples
    --------
    >>> float(cached_base(1.0, 1.0, 1.0, 1))
    0.5
    """
    repeats = floats(expect.integer(base_repeats=base_repeats))
    return _linear(
        expect.nonnegative(gradient_norm=gradient_norm),
        expect.nonnegative(probe=probe),
        expect.positive(loss_sigma=loss_sigma),
        1.0,
    ) / (1.0 + 1.0 / repeats)


@law(
    formula="S_M = M S",
    latex=r"S_M = M S",
    symbols={
        "snr": _SNR,
        "repeats": "M, repeats of every query of the comparison, count, [1, inf)",
    },
    regime="fresh independent noise per query, averaged before any nonlinear step",
    source="Output Randomization 2020, averaging; RFD 2024, Theorem 1: R/M",
)
def averaged(snr: npt.ArrayLike, repeats: npt.ArrayLike) -> Floats:
    """Decision SNR of a comparison whose queries are each repeated and averaged.

    Parameters
    ----------
    snr, repeats : array_like
        Decision SNR of one comparison, in [0, inf), and repeats of every query.

    Examples
    --------
    >>> float(averaged(0.25, 8))
    2.0
    """
    with np.errstate(over="ignore"):
        return floats(expect.nonnegative(snr=snr)) * floats(
            expect.integer(repeats=repeats)
        )


@law(
    formula="1/S = Σ 1/S_i",
    latex=r"\frac{1}{S} = \sum_i \frac{1}{S_i}",
    symbols={"snr": "S_i on the last axis, one per noise site, power ratio, [0, inf)"},
    regime="independent noises, and each S_i taken with the same signal",
    source="derived here: variances of independent noises add",
    tables={"snr": 1},
)
def combine(snr: npt.ArrayLike) -> Floats:
    """Decision SNR under several independent noises at once.

    Parameters
    ----------
    snr : array_like
        Decision SNR under each noise alone, in [0, inf); sites on the last axis.

    Examples
    --------
    >>> float(combine([1.0, 1.0]))
    0.5
    """
    sites = np.atleast_1d(floats(expect.nonnegative(snr=snr)))
    least = sites.min(axis=-1, keepdims=True)
    share = np.divide(least, sites, out=np.ones_like(sites), where=sites > 0)
    return (least[..., 0] / share.sum(axis=-1))[()]


@law(
    formula="S_ρ = S/(1 - ρ)",
    latex=r"S_\rho = \frac{S}{1 - \rho}",
    symbols={
        "snr": "S, decision SNR if the noises were independent, power ratio, [0, inf)",
        "correlation": "ρ, correlation of the two noises that are subtracted, ratio, "
        "[-1, 1]",
    },
    regime="exact: noises of one variance, subtracted from each other",
    source="derived here for Aithal & Li 2022, Lemma 2, and for averaging; corrected: "
    "what two outputs or two queries share cancels in their difference",
)
def correlated(snr: npt.ArrayLike, correlation: npt.ArrayLike) -> Floats:
    """Decision SNR of a difference whose noises are correlated.

    A margin under noise that shares a part ρ of its variance between the classes, or
    two queries whose noises are correlated. One class's score alone gains nothing by
    the first. At ρ = 1 nothing but the signal is left.

    Parameters
    ----------
    snr : array_like
        Decision SNR if the noises were independent, in [0, inf).
    correlation : array_like
        Correlation ρ, in [-1, 1].

    Examples
    --------
    >>> float(correlated(0.25, 0.5)), float(correlated(0.25, 1.0))
    (0.5, inf)
    """
    alone = floats(expect.nonnegative(snr=snr))
    rho = floats(expect.finite(correlation=correlation))
    expect.that(np.abs(rho) <= 1.0, "in [-1, 1]", correlation=correlation)
    # Without a signal nothing is to be told.
    return ratio(alone, np.where(alone > 0.0, 1.0 - rho, 1.0))
