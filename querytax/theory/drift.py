"""How far a noisy step goes the useful way: its cosine with the gradient."""

from __future__ import annotations

import numpy as np
from scipy import special

from querytax import expect
from querytax.theory.law import Given, law
from querytax.theory.numerics import angle as _angle
from querytax.theory.numerics.floats import Floats, ratio


@law(
    "E cos = r (κ_p/κ_{d+1}) ₂F₁(1 - p/2, ½; d/2 + 1; r²), r² = ρ² S/(1 + S)",
    "derived here; angle.mean_cosine by the SNR of a pair; κ is smoothing.mean_norm",
    regime="normal probes, fresh normal noise, and a response that is linear or whose "
    "rest is normal, with a size that the probe does not change",
    value="[0, 1]; rises in snr pairs alignment; falls in dimension",
)
def cosine(
    snr: Given, dimension: Given, pairs: Given, alignment: Given = 1.0
) -> Floats:
    """Mean cosine between an NES estimate and the descent direction.

    What a step of fixed length along the estimate gains, on average.

    With response G (ρ ĝ·u + √(1-ρ²) ω), ω normal and independent of the probe, and
    noise of variance G²/S, an answer has the correlation r = ρ √(S/(1 + S)) with the
    slope along its probe. The estimate's cosine is W/√(W² + χ²_{d-1}) with
    W = r χ_p + √(1-r²) Z. About r √(p/(d + r² p)) once p or d is large.

    >>> round(float(cosine(1.0, 10, 10)), 6)
    0.576796
    """
    share = snr / (1.0 + snr)
    loose = 1.0 / (1.0 + snr) + (1.0 - alignment) * (1.0 + alignment) * share
    return _angle.mean(dimension, pairs, alignment * np.sqrt(share), loose)


@law(
    "c = ρ √(p/(ρ² (p+1) + d + d/S))",
    "derived here; at ρ = 1, RND 2021, moments of the estimator",
    regime="normal probes, fresh noise, response uncorrelated but for its slope",
    value="[0, 1]; rises in snr pairs alignment; falls in dimension",
)
def plain(snr: Given, dimension: Given, pairs: Given, alignment: Given = 1.0) -> Floats:
    """Drift of a step as long as its NES estimate, ‖E ĝ‖/√E‖ĝ‖².

    Above :func:`cosine` for few pairs, since long estimates are the better aimed; the
    same once p or d is large.

    With response G (ρ ĝ·u + √(1-ρ²) ω), ω uncorrelated with the probe, one pair's
    estimate has second moment G² (ρ²(d+2) + (1-ρ²) d + d/S) and mean ρG along ĝ.

    >>> round(float(plain(1.0, 10, 10)), 6)
    0.567962
    """
    # Below 1e-150 the drift goes as √S, and d/S would leave the floats.
    least = np.maximum(snr, 1e-150)
    inside = alignment * alignment * (pairs + 1.0) + dimension + dimension / least
    value = alignment * np.sqrt(pairs / inside)
    return value * np.sqrt(snr / least) if np.any(snr < least) else value


def _told_by_gain(cosine: Given, gain: Given) -> Floats:
    with np.errstate(over="ignore", invalid="ignore"):
        weak = np.asarray(cosine) * np.square(np.square(gain)) <= 0.2
    return weak | (np.abs(np.asarray(gain) - 1.0) <= 0.1)


@law(
    "c' = h c/√(1 + c² (h² - 1))",
    "derived here; h = √(2d/π) ‖g‖₂/‖g‖₁, 1 for normal entries",
    regime="many coordinates, normal errors alike; exact as c -> 0 and where a share "
    "1/h² of the entries is normal and the others are 0; else interpolated",
    kind="approximation",
    limits={
        "cosine gain⁴ <= 0.2, or gain within 0.1 of 1 (normal entries); "
        "drift.sign_of takes the entries": _told_by_gain
    },
    value="[0, 1]; rises in cosine gain",
)
def sign(cosine: Given, gain: Given = 1.0) -> Floats:
    """Drift of a sign step, as a share of that of the exact gradient's sign.

    A step moves every coordinate by the same length, and its use is weighted by |g_k|:
    the drift is Σ|g_k| (2Φ(|g_k|/s) - 1)/Σ|g_k| with the estimate's standard deviation
    s a coordinate. For small c it is √(2/π) ‖g‖₂²/(s ‖g‖₁) = h c.

    Within the limits it is 5 % low for 10⁵ entries of uniform sizes, 4 % for entries of
    one size, 5 % high for Student's t3, 8 % for t2, 3 % for log-normal ones. Beyond, it
    is 11 % low for one size at c = 0.9 and 23 % high for log-normal ones at c = 0.5. A
    few huge entries among even ones, which no gain tells, can bring it πh²/2 - 1 too
    high. With few coordinates it is low by 1/(4d), unless h = 1: over gradients of
    normal entries the mean is c at any d, as an estimate's signs do not know its
    length.

    >>> round(float(sign(0.05, 1.4)), 4)
    0.0699
    """
    tail = np.sqrt((1.0 - cosine) * (1.0 + cosine))
    return gain * cosine / np.hypot(tail, gain * cosine)


@law(
    "c' = Σ|g_k| erf(z|g_k|/√2)/Σ|g_k|, z = c √d/(√(1-c²) ‖g‖₂)",
    "derived here",
    regime="normal errors, independent and alike over the coordinates; c is the "
    "gradient's length over the root-mean-square length of its estimate, which at "
    "many coordinates is the mean cosine",
    value="[0, 1]; rises in cosine",
)
def sign_of(gradient: Given, cosine: Given) -> Floats:
    """Drift of a sign step on a known gradient, as a share of the exact signs'.

    The estimate is g + s ξ with s √d = ‖g‖ √(1-c²)/c. A coordinate's sign is right
    with probability Φ(|g_k|/s), and counts as |g_k|. By the mean cosine for c it is
    low by 1/(4d) where that is small.

    >>> round(float(sign_of([1.0, -1.0, 1.0, 1.0], 0.5)), 4)
    0.4363
    """
    g = np.abs(gradient)
    most = g.max(axis=-1, keepdims=True)
    some = np.broadcast_to(most > 0.0, g.shape)
    expect.that(some, "to have an entry other than 0", gradient=gradient)
    g = g / most
    z = np.minimum(ratio(cosine, np.sqrt((1.0 - cosine) * (1.0 + cosine))), 1e100)
    size = g / np.sqrt(np.mean(np.square(g), axis=-1, keepdims=True))
    right = special.erf(z[..., None] * size / np.sqrt(2.0))
    return (np.sum(g * right, axis=-1) / np.sum(g, axis=-1))[()]
