"""How much of a small change of a noisy probability survives folding or clipping."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from querytax import expect
from querytax.theory import _efficiency
from querytax.theory._floats import Floats
from querytax.theory.law import law

__all__ = ["fisher_efficiency", "log_mean", "log_variance"]

FORMS = ("raw", "reflect", "clip")
READINGS = ("best", "log", "abs")
FORM = "what is released: 'raw' F+v, 'reflect' |F+v|, 'clip' max(F+v, 0)"
READING = "what the attacker averages: 'best' any statistic, 'log', or 'abs'"


@law(
    formula="g(t) = E ln|ξ + t|",
    latex=r"g(t) = \mathbb{E}\ln|\xi + t|,\quad \xi \sim \mathcal{N}(0, 1)",
    symbols={"t": "t = F/σ, output over noise, ratio, [0, inf)"},
    regime="exact",
    source="derived here; enters Aithal & Li 2022, Theorem 1, in place of ln t",
)
def log_mean(t: npt.ArrayLike) -> Floats:
    """Mean logarithm of a folded normal, what averaging ``ln|F+v|`` converges to.

    ``E ln|F+v| = ln(sigma) + g(F/sigma)``.

    Parameters
    ----------
    t : array_like
        Output over noise, F/sigma, in [0, inf).

    Raises
    ------
    DomainError
        If ``t`` is negative or not finite.

    Notes
    -----
    (ξ+t)² is a Poisson(t²/2) mixture of χ²_{1+2k}; for large t the series
    ln t - Σ (2k-1)!!/(2k t^2k).

    Examples
    --------
    >>> round(float(log_mean(0.0)), 12)
    -0.635181422731
    """
    return _efficiency.log_mean(np.asarray(expect.nonnegative(t=t), dtype=float))


@law(
    formula="V(t) = Var ln|ξ + t|",
    latex=r"V(t) = \operatorname{Var}\ln|\xi + t|,\quad \xi \sim \mathcal{N}(0, 1)",
    symbols={"t": "t = F/σ, output over noise, ratio, [0, inf)"},
    regime="exact",
    source=(
        "derived here; replaces the delta-method variance σ²/F² of "
        "Aithal & Li 2022, eq. (4)"
    ),
)
def log_variance(t: npt.ArrayLike) -> Floats:
    """Variance of the logarithm of a folded normal.

    π²/8 at t = 0 and 1/t² + 5/(2t⁴) for large t.

    Parameters
    ----------
    t : array_like
        Output over noise, F/sigma, in [0, inf).

    Raises
    ------
    DomainError
        If ``t`` is negative or not finite.

    Examples
    --------
    >>> round(float(log_variance(0.0)), 12)
    1.233700550136
    """
    return _efficiency.log_variance(np.asarray(expect.nonnegative(t=t), dtype=float))


@law(
    formula="J = σ² I(F) for the best reading; (dE h/dt)²/Var h for a statistic h",
    latex=r"J = \sigma^2 I(F),\qquad J_h = \frac{(\partial_t \mathbb{E}h)^2}"
    r"{\operatorname{Var} h}",
    symbols={
        "t": "t = F/σ, output over noise, ratio, [0, inf)",
        "form": FORM,
        "reading": READING,
        "headroom": "(1-F)/σ, room below the ceiling over noise, ratio, [0, inf]",
    },
    regime="changes of F small against σ",
    source="derived here for the practical noise of Aithal & Li 2022, Sec. IV-B",
)
def fisher_efficiency(
    t: npt.ArrayLike,
    form: str = "raw",
    reading: str = "best",
    *,
    headroom: npt.ArrayLike = math.inf,
) -> Floats:
    """Share of the raw output's decision SNR that survives folding or clipping.

    Parameters
    ----------
    t : array_like
        Output over noise, F/sigma, in [0, inf).
    form : {"raw", "reflect", "clip"}
        What is released: ``F+v``; ``|F+v|`` cut at the ceiling; or ``F+v`` cut at 0
        and at the ceiling.
    reading : {"best", "log", "abs"}
        What the attacker averages: the efficient score of the released value, its
        logarithm, or its magnitude. A clipped value can be 0 and has no mean
        logarithm.
    headroom : array_like, optional
        Room below the ceiling, (1-F)/sigma, in [0, inf]; infinite without a ceiling.
        Raw outputs have none, and ``form="raw"`` ignores it.

    Raises
    ------
    DomainError
        If an argument is out of its domain, or ``form="clip"`` meets
        ``reading="log"``.

    Notes
    -----
    Without a ceiling, with y = |ξ+t|: reflected J = E[(y tanh(yt) - t)²], 2t² for
    small t; its mean logarithm (√2 Dawson(t/√2))²/V(t), 8t²/π²; its mean
    erf(t/√2)²/Var y. Clipped at 0, J = Φ(t) - tφ(t) + φ(t)²/Φ(-t). A ceiling adds an
    atom, whose Fisher information is (derivative of its probability)²/probability.

    Examples
    --------
    >>> round(float(fisher_efficiency(0.03, "reflect")), 8)
    0.00179677
    >>> round(float(fisher_efficiency(0.03, "clip")), 6)
    0.825825
    """
    expect.one_of(FORMS, form=form)
    expect.one_of(("best", "abs") if form == "clip" else READINGS, reading=reading)
    ratio_t = np.asarray(expect.nonnegative(t=t), dtype=float)
    room = np.asarray(expect.unbounded(headroom=headroom), dtype=float)
    return _efficiency.efficiency(ratio_t, room, form, reading)
