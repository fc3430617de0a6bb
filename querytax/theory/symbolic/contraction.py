"""Where the laws of a multiplied distance come from."""

from __future__ import annotations

from functools import cache
from typing import Any

import mpmath as mp
import sympy as sp

from querytax.theory.symbolic._normal import Phi, mean, quantile, xi
from querytax.theory.symbolic._numeric import Lattice, Root
from querytax.theory.symbolic.derivation import Derivation, checked, proved

snr, contraction, miss, remaining = sp.symbols(
    "snr contraction miss remaining", positive=True
)
z = sp.Symbol("z", positive=True)


class LogMoment(sp.Function):
    """``LogMoment(k, t)``: mean, or k-th central moment, of ln|ξ + t|."""

    nargs = 2

    def fdiff(self, argindex: int = 2) -> Any:
        order, t = self.args
        assert argindex == 2
        assert order == 1
        return slope(t)

    def _eval_evalf(self, prec: int) -> sp.Expr | None:
        if self.free_symbols:
            return None
        order = int(self.args[0])
        with mp.workprec(prec + 60):
            t = mp.mpf(sp.N(self.args[1], mp.mp.dps)._mpf_)
            if order == 1 and t < 30:
                start = -(mp.euler + mp.log(2)) / 2
                bend = mp.hyp2f2(1, 1, mp.mpf(3) / 2, 2, -t * t / 2)
                return sp.Float._new((start + t * t / 2 * bend)._mpf_, prec)
            if t < 3:
                return sp.Float._new(_mixed(order, t, mp.mp.prec)._mpf_, prec)
            wide = mp.mpf(25)
            points = sorted({-wide, mp.mpf(-9), mp.mpf(0), mp.mpf(9), wide})
            if t < wide:
                points = sorted({*points, -t})

            def average(function: Any) -> Any:
                return mp.quad(lambda x: function(x) * mp.npdf(x), points)

            def read(x: Any) -> Any:
                return mp.log(abs(x / t + 1)) if t > 1 else mp.log(abs(x + t))

            centre = average(read)
            if order > 1:
                value = average(lambda x: (read(x) - centre) ** order)
            else:
                value = centre + (mp.log(t) if t > 1 else 0)
            return sp.Float._new(value._mpf_, prec)


@cache
def _mixed(order: int, t: Any, prec: int) -> Any:
    """A central moment of ln|ξ+t| from the cumulants of ln χ²/2."""
    half, weight, k = t * t / 2, mp.exp(-t * t / 2), 0
    raw = [mp.mpf(0)] * 4
    while k < 5 or weight > mp.mpf(2) ** (-2 * prec):
        a = mp.mpf(k) + mp.mpf(1) / 2
        c1 = (mp.digamma(a) + mp.log(2)) / 2
        c2, c3 = mp.polygamma(1, a) / 4, mp.polygamma(2, a) / 8
        parts = (1, c1, c2 + c1**2, c3 + 3 * c1 * c2 + c1**3)
        raw = [r + weight * part for r, part in zip(raw, parts, strict=True)]
        k += 1
        weight *= half / k
    _, m1, m2, m3 = raw
    return m2 - m1**2 if order == 2 else m3 - 3 * m1 * m2 + 2 * m1**3


def slope(t: sp.Expr) -> sp.Expr:
    """g'(t) = √2 Dawson(t/√2)."""
    return sp.sqrt(sp.pi / 2) * sp.exp(-(t**2) / 2) * sp.erfi(t / sp.sqrt(2))


def _way(m: sp.Expr, s: sp.Expr) -> sp.Expr:
    return sp.Abs(1 - m) * sp.sqrt(s) / m


def _square() -> sp.Expr:
    factor = (1 - contraction * (1 + xi / sp.sqrt(snr))) ** 2
    return sp.expand(mean(sp.expand(factor)).doit())


def mean_square() -> Derivation:
    law = (1 - contraction) ** 2 + contraction**2 / snr
    return Derivation(law, (proved("mean over the noise", _square(), law),))


def mean_square_threshold() -> Derivation:
    """Where the factor is 1."""
    law = contraction / (2 - contraction)
    found = sp.solve(_square() - 1, snr)[0]
    return Derivation(law, (proved("the factor is 1", found, law),))


def mean_square_step() -> Derivation:
    """The least factor, and its step."""
    law = snr / (1 + snr)
    found = sp.solve(sp.diff(_square(), contraction), contraction)[0]
    least = _square().subs(contraction, found)
    return Derivation(
        law,
        (
            proved("the factor is least", found, law),
            proved("its least value", least, 1 / (1 + snr)),
        ),
    )


def _exponent(m: sp.Expr, s: sp.Expr) -> sp.Expr:
    return sp.log(m / sp.sqrt(s)) + LogMoment(1, _way(m, s))


def _mixture(order: int, t: sp.Expr) -> tuple[sp.Expr, sp.Expr]:
    """Mean of ln|ξ+t|, or its second moment, as a mixture of ln χ²/2."""
    k = sp.Symbol("k", nonnegative=True, integer=True)
    half = t**2 / 2
    weight = half**k * sp.exp(-half) / sp.factorial(k)
    first = (sp.digamma(k + sp.Rational(1, 2)) + sp.log(2)) / 2
    second = first**2 + sp.polygamma(1, k + sp.Rational(1, 2)) / 4
    return Lattice(weight * (first if order == 1 else second), (k, 0, sp.oo)), weight


def lyapunov() -> Derivation:
    """E ln|1 - A|: the noise is m/√S wide, its mean 1 - m off zero."""
    t = sp.Rational(6, 5)
    return Derivation(
        _exponent(contraction, snr),
        (
            checked(
                "Poisson mixture of chi-squares",
                LogMoment(1, z),
                _mixture(1, z)[0],
                {z: t},
            ),
            checked(
                "slope of the mean logarithm, t E[1/(ξ+t)]",
                sp.diff(_mixture_closed(z), z),
                slope(z),
                {z: t},
            ),
        ),
    )


def _mixture_closed(t: sp.Expr) -> sp.Expr:
    start = -(sp.EulerGamma + sp.log(2)) / 2
    half = sp.Rational(1, 2)
    return start + t**2 / 2 * sp.hyper([1, 1], [3 * half, 2], -(t**2) / 2)


def lyapunov_variance() -> Derivation:
    """Var ln|1 - A|."""
    t = sp.Rational(6, 5)
    second = _mixture(2, z)[0] - LogMoment(1, z) ** 2
    return Derivation(
        LogMoment(2, _way(contraction, snr)),
        (checked("Poisson mixture", LogMoment(2, z), second, {z: 4 * t}),),
    )


def almost_sure_threshold() -> Derivation:
    """Where the exponent is 0."""
    equation = LogMoment(1, z) - sp.log(z) + sp.log(1 - contraction)
    root = Root(equation, z, (1 - contraction) / 2, sp.Rational(4, 3))
    law = (root * contraction / (1 - contraction)) ** 2
    at = {contraction: sp.Rational(1, 5)}
    return Derivation(
        law,
        (
            checked(
                "the exponent vanishes",
                LogMoment(1, _way(contraction, law)),
                sp.log(sp.sqrt(law) / contraction),
                at,
            ),
        ),
    )


class Tuned(sp.Function):
    """The root in z of g'(z)(z + √S) = 1."""

    nargs = 1

    def _eval_evalf(self, prec: int) -> sp.Expr | None:
        if self.free_symbols:
            return None
        with mp.workprec(prec + 60):
            root = mp.sqrt(mp.mpf(sp.N(self.args[0], mp.mp.dps)._mpf_))

            def left(x: Any) -> Any:
                bell = mp.sqrt(mp.pi / 2) * mp.exp(-x * x / 2)
                return bell * mp.erfi(x / mp.sqrt(2)) * (x + root) - 1

            found = mp.findroot(left, (0, mp.mpf(4) / 3), solver="anderson")
            return sp.Float._new(found._mpf_, prec)


def _tuned() -> sp.Expr:
    return Tuned(snr)


def almost_sure_step() -> Derivation:
    """Where the exponent's slope in the step is 0."""
    m = sp.Symbol("m", positive=True)
    law = sp.sqrt(snr) * slope(_tuned())
    t = (1 - m) * sp.sqrt(snr) / m
    change = sp.diff(LogMoment(1, t), m)
    return Derivation(
        law,
        (
            checked(
                "the exponent is flat",
                change.subs(m, law),
                -1 / law,
                {snr: sp.Rational(3, 10)},
            ),
        ),
    )


def best_lyapunov() -> Derivation:
    """The exponent at that step."""
    root = _tuned()
    law = LogMoment(1, root) + sp.log(slope(root))
    step = sp.sqrt(snr) * slope(root)
    exponent = sp.log(step / sp.sqrt(snr)) + LogMoment(
        1, (1 - step) * sp.sqrt(snr) / step
    )
    return Derivation(
        law,
        (
            checked(
                "exponent of the best step", exponent, law, {snr: sp.Rational(1, 3)}
            ),
        ),
    )


def tuned_steps() -> Derivation:
    """Central limit with the first term of Cornish and Fisher."""
    root = _tuned()
    decay = -(LogMoment(1, root) + sp.log(slope(root)))
    variance, third = LogMoment(2, root), LogMoment(3, root)
    q = -quantile(miss)
    d, v, way, e = sp.symbols("d v way e", positive=True)
    count = ((e + sp.sqrt(e**2 + 4 * d * way)) / (2 * d)) ** 2
    # The quantile of a sum of n: its skewness is that of one over √n.
    skew, n = sp.symbols("skew n", positive=True)
    shift = sp.sqrt(n * v) * (e**2 - 1) * (skew / v ** sp.Rational(3, 2)) / sp.sqrt(n)
    law = count.subs(
        {
            e: q * sp.sqrt(variance),
            way: sp.Max(0, -sp.log(remaining) + (q**2 - 1) * third / (6 * variance)),
            d: decay,
        }
    )
    return Derivation(
        law,
        (
            proved(
                "the way is the drift less the spread",
                d * count - e * sp.sqrt(count),
                way,
            ),
            proved("the skewness shifts it", shift / 6, (e**2 - 1) * skew / (6 * v)),
        ),
    )


def noiseless_steps() -> Derivation:
    """(1-m)^n = r."""
    n = sp.Symbol("n", positive=True)
    law = sp.log(remaining) / sp.log(1 - contraction)
    found = sp.solve(sp.Eq(n * sp.log(1 - contraction), sp.log(remaining)), n)[0]
    left = sp.exp(n * sp.log(1 - contraction)).subs(n, found)
    return Derivation(law, (proved("the distance left", left, remaining),))


def not_arrived() -> Derivation:
    """A sum of n logarithms of mean Λ and variance V, as if it were normal."""
    steps = sp.Symbol("steps", positive=True)
    way = steps * lyapunov().law - sp.log(remaining)
    return Derivation(Phi(way / sp.sqrt(steps * lyapunov_variance().law)))
