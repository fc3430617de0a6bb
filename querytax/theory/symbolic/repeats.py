"""Where the counts come from: inverted laws, and the barrier of a sequential test."""

from __future__ import annotations

import sympy as sp

from querytax.theory.symbolic import misstep
from querytax.theory.symbolic._normal import quantile
from querytax.theory.symbolic.derivation import Derivation, checked, proved

snr, error = sp.symbols("snr error", positive=True)
correlation = sp.Symbol("correlation", real=True)
repeat_correlation = sp.Symbol("repeat_correlation", nonnegative=True)
_LOG_ODDS = sp.log((1 - error) / error)


def _divergence(rate: sp.Expr) -> sp.Expr:
    return (1 - 2 * rate) * sp.log((1 - rate) / rate)


def fixed() -> Derivation:
    """The wrong sign's probability, inverted."""
    law = quantile(error) ** 2 / snr
    point = {snr: sp.Rational(1, 7), error: sp.Rational(1, 9)}
    back = misstep.fixed_direction().law.subs(snr, law * snr)
    return Derivation(law, (checked("that many pairs err so", back, error, point),))


def random_direction() -> Derivation:
    """The arc tangent, inverted."""
    count = sp.Symbol("count", positive=True)
    angle = sp.Symbol("angle", positive=True)
    # tan(π P) = 1/√(N S).
    law = 1 / (snr * sp.tan(sp.pi * error) ** 2)
    tangent = sp.tan(sp.pi * misstep.random_direction().law).subs(snr, count * snr)
    solved = sp.solve(tangent**2 - angle**2, count)[0]
    return Derivation(
        law, (proved("solved", solved.subs(angle, sp.tan(sp.pi * error)), law),)
    )


def _brownian(barrier: sp.Expr) -> tuple[sp.Expr, sp.Expr]:
    """Mean time and error of log odds of drift 2S and variance 4S between barriers."""
    x, b = sp.symbols("x b", positive=True)
    time, wrong = sp.Function("time"), sp.Function("wrong")

    def generator(f: sp.Expr) -> sp.Expr:
        return 2 * snr * sp.diff(f, x, 2) + 2 * snr * sp.diff(f, x)

    mean = sp.dsolve(
        generator(time(x)) + 1, time(x), ics={time(b): 0, time(-b): 0}
    ).rhs.subs(x, 0)
    error_ = sp.dsolve(
        generator(wrong(x)), wrong(x), ics={wrong(b): 0, wrong(-b): 1}
    ).rhs.subs(x, 0)
    return mean.subs(b, barrier), error_.subs(b, barrier)


def sequential() -> Derivation:
    """A verdict tells at most what its pairs tell; continuous tests attain it."""
    law = _divergence(error) / (2 * snr)
    z = sp.Symbol("z", real=True)
    # Log odds of one pair that reads z + √S in units of its noise.
    told = 2 * sp.sqrt(snr) * (z + sp.sqrt(snr))
    normal = sp.exp(-(z**2) / 2) / sp.sqrt(2 * sp.pi)
    pair = sp.integrate(sp.expand(told * normal), (z, -sp.oo, sp.oo))
    odds = sp.Symbol("odds", positive=True)
    # A verdict moves the log odds up, or down where it errs.
    verdict = ((1 - error) * odds - error * odds).subs(odds, _LOG_ODDS)
    time, wrong = _brownian(_LOG_ODDS)
    return Derivation(
        law,
        (
            proved("what one pair tells", pair, 2 * snr),
            proved("pairs that tell a verdict", verdict / pair, law),
            proved("a test without overshoot attains it", time, law),
            proved("and errs so", wrong, error),
        ),
    )


def sequential_saving() -> Derivation:
    """One count over the other; the limit at chance."""
    law = 2 * quantile(error) ** 2 / _divergence(error)
    return Derivation(
        law, (proved("the two counts", fixed().law / sequential().law, law),)
    )


def shared_within_pair() -> Derivation:
    """The variance of a difference of correlated noises."""
    law = (1 - correlation) * fixed().law
    v = sp.Symbol("v", positive=True)
    change = 2 * v * snr
    variance = 2 * v - 2 * correlation * v
    rest = fixed().law.subs(snr, change / variance)
    return Derivation(law, (proved("S of correlated noises", rest, law),))


def shared_across_repeats() -> Derivation:
    """Averages of N noises of correlation c keep (1 + (N-1)c)/N of the variance."""
    n = sp.Symbol("n", positive=True)
    need = quantile(error) ** 2
    count = (1 - repeat_correlation) * need / (snr - repeat_correlation * need)
    law = sp.Piecewise(
        (sp.Integer(1), sp.And(sp.Eq(repeat_correlation, 1), snr >= need)),
        (count, snr > repeat_correlation * need),
        (sp.oo, True),
    )
    kept = (n + n * (n - 1) * repeat_correlation) / n**2
    solved = sp.solve(snr / kept - need, n)[0]
    return Derivation(law, (proved("enough pairs", solved, count),))


def stopping_log_odds() -> Derivation:
    """Where the log odds stop, so that the error is the one asked for."""
    b = sp.Symbol("b", positive=True)
    wrong = _brownian(b)[1]
    solved = sp.solve(1 / (1 + sp.exp(b)) - error, b)[0]
    return Derivation(
        _LOG_ODDS,
        (
            proved("the error of a barrier b", wrong, 1 / (1 + sp.exp(b))),
            proved("solved", sp.exp(solved), sp.exp(_LOG_ODDS)),
        ),
    )


def _barrier() -> sp.Expr:
    overshoot = -sp.zeta(sp.Rational(1, 2)) / sp.sqrt(2 * sp.pi)
    return _LOG_ODDS + 2 * overshoot * sp.sqrt(snr)


def walds_error() -> Derivation:
    """The error of the barrier that the walk reaches on average."""
    b = sp.Symbol("b", positive=True)
    law = 1 / (1 + sp.exp(_barrier()))
    return Derivation(
        law, (proved("the error of a barrier b", _brownian(b)[1], 1 / (1 + sp.exp(b))),)
    )


def walds_pairs() -> Derivation:
    """The time to that barrier, and a quarter of a pair."""
    b = sp.Symbol("b", positive=True)
    law = _barrier() * sp.tanh(_barrier() / 2) / (2 * snr) + sp.Rational(1, 4)
    time = b * sp.tanh(b / 2) / (2 * snr)
    return Derivation(
        law,
        (
            proved(
                "the time to b", _brownian(b)[0].rewrite(sp.exp), time.rewrite(sp.exp)
            ),
        ),
    )
