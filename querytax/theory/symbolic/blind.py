"""Where the laws of blind guesses come from: first steps, and votes one by one."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import mpmath as mp
import sympy as sp

from querytax.theory.symbolic.derivation import Derivation, Equality, proved

# A table's laws stand for three of its entries.
_P = sp.symbols("success_:3", positive=True)
_F = sp.symbols("false_alarm_:3", positive=True)
_Q = sp.symbols("label_shares_:3", positive=True)
s, f, share = sp.symbols("success false_alarm share", positive=True)
votes = sp.Symbol("votes", positive=True, integer=True)
asked = sp.Symbol("queries", nonnegative=True, integer=True)
p, q, x = sp.symbols("p q x", positive=True)


def survival() -> Derivation:
    """A guess at a time; the chances of the first seven to hit."""
    hit = sum(p * (1 - p) ** (j - 1) for j in range(1, 8))
    return Derivation(
        sum((1 - guess) ** asked for guess in _P) / 3,
        (proved("none of seven", sp.expand(1 - hit), sp.expand((1 - p) ** 7)),),
    )


def _least(holds: Callable[[int], Any]) -> int:
    count = 0
    while not holds(count):
        count += 1
    return count


class _Least(sp.Function):
    """``_Least(q, V, s..., f...)``: the least count, one by one; V = 0 for no votes."""

    def _eval_evalf(self, prec: int) -> sp.Expr | None:
        if self.free_symbols:
            return None
        with mp.workprec(prec + 40):
            wanted, votes, *rest = (
                mp.mpf(v.p) / v.q for v in map(sp.Rational, self.args)
            )
            half = len(rest) // 2
            images = list(zip(rest[:half], rest[half:], strict=True))
            ways = [_waiting(1000, s, f, int(votes)) for s, f in images]
            level = half * (1 - wanted)
            count = _least(lambda t: mp.fsum(w[t] for w in ways) <= level)
            return sp.Float(count, mp.libmp.prec_to_dps(prec))


def _waiting(most: int, s: Any, f: Any, votes: int) -> list[Any]:
    """w from 0 to ``most``."""
    w = [1 + 0 * s] * (votes + 1)
    while len(w) <= most:
        w.append((1 - s - f) * w[-1] + f * w[-1 - votes])
    return w


def queries() -> Derivation:
    """For one image the count is a logarithm, rounded up."""
    real = sp.log(1 - share) / sp.log(1 - p)
    return Derivation(
        _Least(share, 0, *_P, 0, 0, 0),
        (proved("what it leaves", sp.exp(real * sp.log(1 - p)), 1 - share),),
    )


def _votes(count: int, confirmed: bool) -> sp.Expr:
    """Labels one by one: the first is adversarial, then the votes."""
    total = sp.S.Zero
    for labels in product((0, 1), repeat=count):
        ones = sum(labels)
        if (2 * ones > count) == confirmed:
            total += q * q**ones * (1 - q) ** (count - ones)
    return total


def _verdict(confirmed: bool) -> Derivation:
    k = (votes + 1) / 2
    rate = q if confirmed else 1 - q
    law = q * sp.betainc_regularized(k, k, 0, rate)
    steps = []
    for count in (1, 3, 5):
        m = (count + 1) // 2
        area = sp.Integral((x * (1 - x)) ** (m - 1), (x, 0, rate))
        beta = q * area / sp.beta(m, m).rewrite(sp.gamma)
        steps.append(proved(f"{count} votes", _votes(count, confirmed), beta))
    return Derivation(sum(law.subs(q, rate) for rate in _Q) / 3, tuple(steps))


def success() -> Derivation:
    """The first label and most of the votes."""
    return _verdict(True)


def false_alarm() -> Derivation:
    """The first label and less than half of the votes."""
    return _verdict(False)


def _open(left: int, votes: int) -> sp.Expr:
    """No success within so many queries, by what the first guess turns out to be."""
    if left == 0:
        return sp.S.One
    if left <= votes:
        # A guess called adversarial now is not decided in time.
        return (1 - s - f) * _open(left - 1, votes) + s + f
    return (1 - s - f) * _open(left - 1, votes) + f * _open(left - 1 - votes, votes)


def _recursion() -> tuple[Equality, ...]:
    steps = [
        proved(
            f"{v} votes, {n} queries",
            sp.expand(_open(n, v)),
            sp.expand(_waiting(n, s, f, v)[n]),
        )
        for v, n in ((1, 6), (3, 9), (5, 5))
    ]
    rest = 1 - s - f
    root = 1 - rest * sp.exp(x) - f * sp.exp((1 + votes) * x)
    small = s - rest * (sp.exp(x) - 1) - f * (sp.exp((1 + votes) * x) - 1)
    return (*steps, proved("the rate of decay, for small s", root, small))


class _Waiting(sp.Function):
    """``_Waiting(t, s, f, V)``: w by its recursion."""

    nargs = 4

    def _eval_evalf(self, prec: int) -> sp.Expr | None:
        if self.free_symbols:
            return None
        with mp.workprec(prec + 40):
            t, s, f, v = (mp.mpf(y.p) / y.q for y in map(sp.Rational, self.args))
            value = _waiting(int(t), s, f, int(v))[int(t)]
            return sp.Float._new(value._mpf_, prec)


def confirmed_survival() -> Derivation:
    """The first guess decides what is left to ask."""
    images = zip(_P, _F, strict=True)
    law = sum(_Waiting(asked, one, alarm, votes) for one, alarm in images) / 3
    return Derivation(law, _recursion())


def confirmed_queries() -> Derivation:
    """The least count, one by one."""
    return Derivation(_Least(share, votes, *_P, *_F), _recursion())


def confirmed_mean() -> Derivation:
    """The first guess and its votes, and then the rest or from the start."""
    mean = sp.Symbol("mean", positive=True)
    first = 1 + votes * (s + f) + (1 - s) * mean
    law = (1 + votes * (s + f)) / s
    return Derivation(
        law, (proved("by the first guess", sp.solve(first - mean, mean)[0], law),)
    )
