"""Searches with an incumbent: acceptance, the stored error's law, first passage."""

from __future__ import annotations

import sympy as sp

from querytax.theory.symbolic import directions
from querytax.theory.symbolic._normal import Phi, phi
from querytax.theory.symbolic._numeric import Quadrature
from querytax.theory.symbolic.derivation import Derivation, checked, proved

loss_sigma, candidate_sigma, repeats = sp.symbols(
    "loss_sigma candidate_sigma repeats", positive=True
)
mean_change = sp.Symbol("mean_change", real=True)
x, b, e, xi = sp.symbols("x b e xi", real=True)
s = sp.Symbol("s", positive=True)


def _gain(noise: sp.Expr) -> sp.Expr:
    """Fall by one candidate, of the search whose comparison has this noise."""
    return directions.progress().law.xreplace({directions.comparison_sigma: noise})


def requeried_ratio() -> Derivation:
    """Two questions a candidate, and the noise of two answers in the comparison."""
    clear = _gain(sp.Integer(0))
    law = 2 * repeats * clear / _gain(sp.sqrt(2) * loss_sigma)
    root = 2 * repeats * sp.sqrt(1 + 2 * loss_sigma**2 / (repeats * candidate_sigma**2))
    # Of the changes that help alone.
    z = sp.Symbol("z", real=True)
    helped = sp.integrate(z * phi(z), (z, 0, sp.oo)) * candidate_sigma
    return Derivation(
        law,
        (
            proved("without noise, at m = 0", clear.subs(mean_change, 0), helped),
            proved("at m = 0", law.subs(mean_change, 0), root),
        ),
    )


def _below(u: sp.Expr) -> sp.Expr:
    """Fall by logistic changes of scale 1, accepted below u: an entropy."""
    return sp.log(1 + sp.exp(u)) - u / (1 + sp.exp(-u))


def stale_ratio() -> Derivation:
    """Stored errors by detailed balance; candidate's and stored error in one normal."""
    tau = sp.pi * loss_sigma / (sp.sqrt(3) * candidate_sigma)
    y = -(tau**2) + sp.sqrt(2) * tau * xi
    inside = _below(y) * phi(xi)
    # Cut where its derivatives are greatest.
    mean_ = sum(
        Quadrature(inside, (xi, *ends))
        for ends in ((-sp.oo, 0), (0, tau), (tau, sp.oo))
    )
    law = sp.log(2) / mean_
    density = sp.exp(-x / s) / (s * (1 + sp.exp(-x / s)) ** 2)

    def flow(old: sp.Expr, new: sp.Expr) -> sp.Expr:
        stored = phi(old / loss_sigma) * sp.exp(-old / s)
        return stored * phi(new / loss_sigma) / (1 + sp.exp(-(old - new) / s))

    tilted = phi((b + loss_sigma**2 / s) / loss_sigma) * sp.exp(
        loss_sigma**2 / (2 * s**2)
    )
    q = sp.Symbol("q", positive=True)
    share = 1 / (1 + q)
    entropy = -share * sp.log(share) - (1 - share) * sp.log(1 - share)
    told = sp.log(1 + 1 / q) - sp.log(1 / q) / (1 + q)
    return Derivation(
        law,
        (
            proved("detailed balance: as often to and fro", flow(b, e) / flow(e, b), 1),
            proved(
                "the stored error is normal",
                phi(b / loss_sigma) * sp.exp(-b / s),
                tilted,
            ),
            proved(
                "density of what is accepted",
                sp.diff(s * _below(x / s), x),
                -x * density,
            ),
            checked("an entropy", entropy, told, {q: sp.Rational(3, 7)}),
            proved("without noise", _below(sp.Integer(0)), sp.log(2)),
        ),
    )


def requeried_progress() -> Derivation:
    """One change of the sample: how often two answers put it right."""
    change = sp.Symbol("change", real=True)
    root = sp.sqrt(repeats) / (sp.sqrt(2) * loss_sigma)
    law = -change * Phi(-change * root) / (2 * repeats)
    # Its own error and a fresh one of the incumbent, both of variance σ²/M.
    two = sp.sqrt(loss_sigma**2 / repeats + loss_sigma**2 / repeats)
    return Derivation(law, (proved("noise of two answers", 1 / two, root),))


def stale_progress() -> Derivation:
    """Of logistic changes, whose stored error has a closed law."""
    found = stale_ratio()
    clear = candidate_sigma * sp.sqrt(3) / sp.pi * sp.log(2)
    return Derivation(clear / found.law, found.steps)


def averaged_progress() -> Derivation:
    """At a given mean of the incumbent's answers: one change, and the mean's next."""
    change = sp.Symbol("change", real=True)
    count, more = sp.symbols("count more", positive=True)
    law = -change * Phi((b - change) * sp.sqrt(repeats) / loss_sigma) / (2 * repeats)
    drawn = (count * b + sp.sqrt(more) * xi) / (count + more)
    middle = sp.integrate(drawn * phi(xi), (xi, -sp.oo, sp.oo))
    width = sp.integrate((drawn - middle) ** 2 * phi(xi), (xi, -sp.oo, sp.oo))
    return Derivation(
        law,
        (
            proved("mean after more answers", middle, count * b / (count + more)),
            proved("its variance", width, more / (count + more) ** 2),
        ),
    )


def queries() -> Derivation:
    """One stage: the way over the progress, and what was still to be forgotten."""
    way, v, first = sp.symbols("way v first", positive=True)
    g = sp.Symbol("g", nonzero=True)
    pace = 1 / g + (first - 1 / g) * sp.exp(-2 * g * x / v)
    law = sp.integrate(pace, (x, 0, way))
    step = sp.Symbol("step", positive=True)
    # Steps uniform on (0, 1): the one across the end lies beyond it by a stretch
    # whose density is P(step > r)/E step.
    beyond = sp.integrate(step * (1 - step), (step, 0, 1)) / sp.Rational(1, 2)
    return Derivation(
        law,
        (
            proved("backward equation", v / 2 * sp.diff(pace, x) + g * pace, 1),
            proved("its start", pace.subs(x, 0), first),
            proved("in one stage", law.subs(first, 1 / g), way / g),
            proved("overshoot by renewal", beyond, sp.Rational(1, 3)),
        ),
    )
