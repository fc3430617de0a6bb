"""Where each S comes from: the second moments of its signal and of its noise."""

from __future__ import annotations

import sympy as sp

from querytax.theory.symbolic import efficiency
from querytax.theory.symbolic._normal import expected
from querytax.theory.symbolic.derivation import Derivation, proved

snr, sigma, probe, candidate_step, gradient_norm, loss_sigma = sp.symbols(
    "snr sigma probe candidate_step gradient_norm loss_sigma", positive=True
)
delta_ms, delta_margin_ms, signal_ms, noise_variance = sp.symbols(
    "delta_ms delta_margin_ms signal_ms noise_variance", positive=True
)
base_repeats, repeats = sp.symbols("base_repeats repeats", positive=True, integer=True)
# Standard normal draws: the probe along the gradient, and the noise of each answer.
_u, _v1, _v2, _v3, _v4 = sp.symbols("u v1:5", real=True)


def output(release: str = "raw", reading: str = "best") -> Derivation:
    """Two fresh noises on a difference, times what folding or clipping leaves."""
    level = sp.Symbol("output", positive=True)
    gap = sp.Symbol("gap", positive=True)
    answers = gap + sigma * _v1 - sigma * _v2
    spread = expected((answers - gap) ** 2, _v1, _v2)
    share = efficiency.fisher_efficiency(release, reading)
    scaled = {efficiency.t: level / sigma, efficiency.headroom: (1 - level) / sigma}
    law = delta_ms / (2 * sigma**2) * share.law.subs(scaled, simultaneous=True)
    raw = proved(
        "signal over the variance of the two answers' noises",
        delta_ms / spread,
        delta_ms / (2 * sigma**2),
    )
    return Derivation(law, (raw, *share.steps))


def output_logits() -> Derivation:
    """Two answers of two noisy logits each."""
    noise = sigma * ((_v1 - _v2) - (_v3 - _v4))
    spread = expected(noise**2, _v1, _v2, _v3, _v4)
    law = delta_margin_ms / (4 * sigma**2)
    return Derivation(
        law, (proved("four independent noises", delta_margin_ms / spread, law),)
    )


def loss_noise() -> Derivation:
    """The definition."""
    return Derivation(signal_ms / noise_variance)


def _quotient(law: sp.Expr, signal: sp.Expr, noise: sp.Expr) -> Derivation:
    """Mean square of the change over the variance of its noise."""
    found = expected(signal**2, _u) / expected(noise**2, _v1, _v2)
    return Derivation(law, (proved("mean square change over its noise's", found, law),))


def antithetic() -> Derivation:
    """The quadratic part of the loss cancels over a pair."""
    curvature = sp.Symbol("curvature", real=True)
    move = probe * _u

    def loss(x: sp.Expr) -> sp.Expr:
        return gradient_norm * x + curvature * x**2 / 2

    noise = loss_sigma * (_v1 - _v2)
    law = 4 * probe**2 * gradient_norm**2 / (2 * loss_sigma**2)
    return _quotient(law, loss(move) - loss(-move), noise)


def _one_sided(size: sp.Symbol) -> Derivation:
    law = size**2 * gradient_norm**2 / (2 * loss_sigma**2)
    return _quotient(law, gradient_norm * size * _u, loss_sigma * (_v1 - _v2))


def forward() -> Derivation:
    """A probe against a fresh base."""
    return _one_sided(probe)


def candidate() -> Derivation:
    """A candidate against the point it would replace, queried afresh."""
    return _one_sided(candidate_step)


def cached_base() -> Derivation:
    """The base's noise is a mean of independent ones."""
    i = sp.Symbol("i", integer=True)
    base = sp.Sum((loss_sigma / base_repeats) ** 2, (i, 1, base_repeats)).doit()
    noise = loss_sigma * _v1 - sp.sqrt(base) * _v2
    law = probe**2 * gradient_norm**2 / (loss_sigma**2 * (1 + 1 / base_repeats))
    return _quotient(law, gradient_norm * probe * _u, noise)


def averaged() -> Derivation:
    """The variance of a mean of independent noises."""
    i = sp.Symbol("i", integer=True)
    spread = sp.Sum(noise_variance / repeats**2, (i, 1, repeats))
    law = repeats * snr
    return Derivation(
        law,
        (
            proved(
                "the signal stays, the noise is a mean",
                snr * noise_variance / spread,
                law,
            ),
        ),
    )


def combine() -> Derivation:
    """Three sites, ``snrs_0`` to ``snrs_2``, whose noises add."""
    sites = sp.symbols("snrs_:3", positive=True)
    draws = (_v1, _v2, _v3)
    noise = sum(sp.sqrt(signal_ms / s) * v for s, v in zip(sites, draws, strict=True))
    law = 1 / sum(1 / s for s in sites)
    return Derivation(
        law,
        (
            proved(
                "each noise as large as its own S says, all at once",
                signal_ms / expected(noise**2, *draws),
                law,
            ),
        ),
    )


def correlated() -> Derivation:
    """What two noises share cancels in their difference."""
    correlation = sp.Symbol("correlation", real=True)
    law = snr / (1 - correlation)
    other = correlation * _v1 + sp.sqrt(1 - correlation**2) * _v2
    shared = expected((_v1 - other) ** 2, _v1, _v2)
    alone = expected((_v1 - _v2) ** 2, _v1, _v2)
    return Derivation(
        law, (proved("variance of the difference", snr * alone / shared, law),)
    )
