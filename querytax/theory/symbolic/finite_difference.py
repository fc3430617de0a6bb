"""Where the laws of finite differences come from."""

from __future__ import annotations

import sympy as sp

from querytax.theory.symbolic._normal import mean, xi
from querytax.theory.symbolic.contraction import LogMoment, slope
from querytax.theory.symbolic.derivation import Derivation, checked, proved

_NAMES = "loss_sigma probe pairs output rival output_behind rival_behind sigma gap"
_symbols = sp.symbols(_NAMES, positive=True)
loss_sigma, probe, pairs, output, rival, output_behind, rival_behind = _symbols[:7]
sigma, gap = _symbols[7:]
third_derivative, curvature, output_slope, rival_slope = sp.symbols(
    "third_derivative curvature output_slope rival_slope", real=True
)


def _taylor(at: sp.Expr) -> sp.Expr:
    f0, f1 = sp.symbols("f0 f1")
    return f0 + f1 * at + curvature * at**2 / 2 + third_derivative * at**3 / 6


def central_bias() -> Derivation:
    """A cubic, read from both sides."""
    read = (_taylor(probe) - _taylor(-probe)) / (2 * probe)
    law = probe**2 * third_derivative / 6
    return Derivation(law, (proved("cubic", read - sp.Symbol("f1"), law),))


def forward_bias() -> Derivation:
    """A parabola, read from one side."""
    read = ((_taylor(probe) - _taylor(sp.S.Zero)) / probe).subs(third_derivative, 0)
    law = probe * curvature / 2
    return Derivation(law, (proved("parabola", read - sp.Symbol("f1"), law),))


def _noise(span: sp.Expr) -> sp.Expr:
    """Mean square of (v - v')/span for two normal noises."""
    other = sp.Symbol("other", real=True)
    square = sp.expand(((loss_sigma * (xi - other)) / span) ** 2)
    inner = sp.expand(mean(square).doit())
    return sp.expand(mean(inner.subs(other, xi)).doit())


def central_sd() -> Derivation:
    law = loss_sigma / (sp.sqrt(2) * probe)
    return Derivation(law, (proved("two noises", _noise(2 * probe), law**2),))


def forward_sd() -> Derivation:
    law = sp.sqrt(2) * loss_sigma / probe
    return Derivation(law, (proved("two noises", _noise(probe), law**2),))


def _error() -> sp.Expr:
    """Mean square error of the mean of so many two-sided readings."""
    bias = probe**2 * third_derivative / 6
    return bias**2 + loss_sigma**2 / (2 * probe**2 * pairs)


def _best() -> sp.Expr:
    size = sp.Abs(third_derivative) * sp.sqrt(pairs)
    return (3 * loss_sigma / size) ** sp.Rational(1, 3)


def _flat() -> sp.Expr:
    """Sixth power of the probe at which the error is flat."""
    sixth = sp.Symbol("sixth", positive=True)
    flat = sp.expand(sp.diff(_error(), probe) * probe**3).subs(probe**6, sixth)
    return sp.solve(flat, sixth)[0]


def best_probe() -> Derivation:
    """Where the mean square error is flat."""
    return Derivation(_best(), (proved("flat", _flat(), _best() ** 6),))


def best_rms_error() -> Derivation:
    """The error there."""
    cube = sp.Rational(1, 3)
    size = (3 * loss_sigma / sp.sqrt(pairs)) ** (2 * cube)
    law = size * sp.Abs(third_derivative) ** cube / sp.sqrt(12)
    bend = sp.Symbol("bend", positive=True)
    left = _error().subs(probe, _best()).subs(third_derivative, bend)
    return Derivation(
        law,
        (proved("error at the best", left, law.subs(third_derivative, bend) ** 2),),
    )


def best_forward_probe() -> Derivation:
    """The same from one side."""
    fourth = sp.Symbol("fourth", positive=True)
    whole = (probe * curvature / 2) ** 2 + 2 * loss_sigma**2 / (probe**2 * pairs)
    flat = sp.expand(sp.diff(whole, probe) * probe**3).subs(probe**4, fourth)
    found = sp.solve(flat, fourth)[0]
    law = (8 * loss_sigma**2 / (pairs * curvature**2)) ** sp.Rational(1, 4)
    return Derivation(law, (proved("flat", found, law**4),))


def _bias(p: sp.Expr) -> sp.Expr:
    return LogMoment(1, p / sigma) - sp.log(p / sigma)


def _closed(t: sp.Expr) -> sp.Expr:
    half = sp.Rational(1, 2)
    start = -(sp.EulerGamma + sp.log(2)) / 2
    return start + t**2 / 2 * sp.hyper([1, 1], [3 * half, 2], -(t**2) / 2)


def log_bias() -> Derivation:
    """Mean of ln|p + σξ| less ln p."""
    t = output / sigma
    at = {output: sp.Rational(1, 5), sigma: sp.Rational(1, 10)}
    return Derivation(
        _bias(output),
        (checked("closed form", _closed(t) - sp.log(t), _bias(output), at),),
    )


def log_ratio_bias() -> Derivation:
    """Four of these, over the span."""
    four = _bias(output) - _bias(rival) - _bias(output_behind) + _bias(rival_behind)
    # The logarithm of σ cancels.
    reads = sum(
        sign * (LogMoment(1, p / sigma) - sp.log(p))
        for sign, p in zip(
            (1, -1, -1, 1), (output, rival, output_behind, rival_behind), strict=True
        )
    )
    return Derivation(
        four / (2 * probe),
        (proved("σ cancels", sp.expand_log(four), sp.expand_log(reads)),),
    )


def log_ratio_bias_weak() -> Derivation:
    """The logarithm to second order in the noise."""
    bent = sp.series(sp.log(1 + sigma * xi / output), sigma, 0, 3).removeO()
    second = sp.simplify(mean(sp.expand(bent)).doit())
    falls = output**-2 - rival**-2 - output_behind**-2 + rival_behind**-2
    law = -(sigma**2) / (4 * probe) * falls
    told = -(sigma**2) / (2 * output**2)
    return Derivation(law, (proved("one logarithm", second, told),))


def log_ratio_sd() -> Derivation:
    """Variances of four noises add up."""
    four = (output, rival, output_behind, rival_behind)
    total = sum(LogMoment(2, p / sigma) for p in four)
    return Derivation(sp.sqrt(total) / (2 * probe))


def log_slope_bias() -> Derivation:
    """Slope of the bias along the probe."""

    def share(p: sp.Expr) -> sp.Expr:
        return slope(p / sigma) / sigma - 1 / p

    at = {output: sp.Rational(1, 5), sigma: sp.Rational(1, 10)}
    t = output / sigma
    change = sp.diff(_closed(t) - sp.log(t), output)
    law = output_slope * share(output) - rival_slope * share(rival)
    return Derivation(law, (checked("slope", change, share(output), at),))


def white_box_saving() -> Derivation:
    """Samples go as the square of the relative noise."""
    law = 2 * (output / gap) ** 2
    apart, one = sp.sqrt(2) * sigma / gap, sigma / output
    return Derivation(law, (proved("relative variances", apart**2 / one**2, law),))
