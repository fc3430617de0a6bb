"""Where the laws of counted patterns come from: binomial sums and Dirichlet weights."""

from __future__ import annotations

from typing import Any

import mpmath as mp
import numpy as np
import sympy as sp

from querytax.theory.symbolic.derivation import Derivation, Equality, proved

# Three images.
_K = sp.symbols("hits_:3", nonnegative=True, integer=True)
_N = sp.symbols("tried_:3", positive=True, integer=True)
queries = sp.Symbol("queries", nonnegative=True, integer=True)
hits, tried = sp.symbols("hits tried", positive=True, integer=True)
share, confidence, p = sp.symbols("share confidence p", positive=True)


def _without(t: Any, k: Any, n: Any) -> sp.Expr:
    return sp.binomial(n - k, t) / sp.binomial(n, t)


def _unbiased() -> Equality:
    """Over the law of the hits, seven patterns and three guesses."""
    total = sum(
        sp.binomial(7, k) * p**k * (1 - p) ** (7 - k) * _without(3, k, 7)
        for k in range(8)
    )
    return proved("its mean over seven patterns", sp.expand(total), (1 - p) ** 3)


def survival() -> Derivation:
    """The chance that t of the n patterns hold no hit has the mean (1 - p)^t."""
    images = zip(_K, _N, strict=True)
    law = sum(_without(queries, k, n) for k, n in images) / 3
    return Derivation(law, (_unbiased(),))


def error() -> Derivation:
    """The sample variance of independent values over their number."""
    x = [_without(queries, k, n) for k, n in zip(_K, _N, strict=True)]
    mean = sum(x) / 3
    law = sp.sqrt(sum((one - mean) ** 2 for one in x) / 6)
    # Values that are 1 with chance p: the mean of the sample variance of two.
    two = 2 * p * (1 - p) * sp.Rational(1, 2)
    return Derivation(law, (proved("two values", two, p - p**2),))


def _quantile(a: Any, b: Any, tail: Any) -> Any:
    def miss(y: Any) -> Any:
        return mp.betainc(a, b, 0, y, regularized=True) - tail

    low, high = mp.mpf(0), mp.mpf(1)
    while high - low > mp.mpf(2) ** (8 - mp.mp.prec) * high:
        middle = (low + high) / 2
        low, high = (low, middle) if miss(middle) > 0 else (middle, high)
    return high


def _end(values: list[Any], tail: Any) -> Any:
    """A beta law with the moments of Dirichlet weights on the values and a 0."""
    scale = max(values)
    if scale == 0:
        return mp.mpf(0)
    all_ = [mp.mpf(0), *(v / scale for v in values)]
    mean = mp.fsum(all_) / len(all_)
    spread = mp.fsum((v - mean) ** 2 for v in all_) / len(all_) / (len(all_) + 1)
    size = mean * (1 - mean) / spread - 1
    return scale * _quantile(size * mean, size * (1 - mean), tail)


def _crossed(which: int, left: list[list[Any]], q: Any, sure: Any, prec: int) -> Any:
    """Lower end, value or upper end, from what is left of each image at each t."""
    most, tail = len(left) - 1, (1 - sure) / 2
    found = []
    for x in left:
        high = 1 - _end([1 - v for v in x], tail)
        found.append((_end(x, tail), mp.fsum(x) / len(x), high)[which] <= 1 - q)
    if which == 2:
        count = most + 1 - next(i for i, ok in enumerate(found[::-1]) if not ok)
        value = sp.oo if count > most else sp.Integer(count)
    else:
        none = sp.Integer(most) if which == 0 else sp.oo
        # Before the first guess nothing is broken, for sure.
        value = next((sp.Integer(t) for t in range(1, most + 1) if found[t]), none)
    return value if value == sp.oo else sp.Float(value, mp.libmp.prec_to_dps(prec))


class _Count(sp.Function):
    """``_Count(which, q, confidence, k..., n...)``: lower end, value or upper end."""

    def _eval_evalf(self, prec: int) -> sp.Expr | None:
        if self.free_symbols:
            return None
        with mp.workprec(prec + 40):
            which = int(self.args[0])
            q, sure = (mp.mpf(v.p) / v.q for v in map(sp.Rational, self.args[1:3]))
            counts = [int(v) for v in self.args[3:]]
            half = len(counts) // 2
            images = list(zip(counts[:half], counts[half:], strict=True))
            left = [
                [mp.mpf(mp.binomial(n - k, t)) / mp.binomial(n, t) for k, n in images]
                for t in range(min(counts[half:]) + 1)
            ]
            return _crossed(which, left, q, sure, prec)


def interval() -> Derivation:
    """Ends from Dirichlet weights, by the two moments of a beta law."""
    u, v, x, y = sp.symbols("u v x y", positive=True)
    k, n = sp.symbols("k n", positive=True, integer=True)

    # Weights u, v and the rest, evenly spread, on the values x, y and 0.
    def mean(inside: sp.Expr) -> sp.Expr:
        return 2 * sp.integrate(inside, (v, 0, 1 - u), (u, 0, 1))

    first = mean(u * x + v * y)
    second = sp.expand(mean(sp.expand((u * x + v * y) ** 2)) - first**2)
    average = (x + y) / 3
    spread = (x**2 + y**2) / 3 - average**2
    share_ = k / (n + 1)
    size = share_ * (1 - share_) * (n + 2) / (share_ - share_**2) - 1
    law = [_Count(i, share, confidence, *_K, *_N) for i in range(3)]
    return Derivation(
        sp.ImmutableMatrix(law),
        (
            _unbiased(),
            proved("mean of two values and a 0", first, average),
            proved("their variance, over four", second, spread / 4),
            proved("k ones of n: Clopper and Pearson's lower a", size * share_, k),
            proved("and b", size * (1 - share_), n - k + 1),
        ),
    )


def _drawn(queries: int, kind: int, turn: int) -> int:
    return len(range(kind, queries, turn))


class _Left(sp.Function):
    """``_Left(t, r, outcomes...)``: none of t guesses hit, by the kinds' draws."""

    def _eval_evalf(self, prec: int) -> sp.Expr | None:
        if self.free_symbols:
            return None
        return sp.Float(_left(*map(int, self.args)), mp.libmp.prec_to_dps(prec))


def _left(t: int, r: int, *outcomes: int) -> Any:
    value = mp.mpf(1)
    for j in range(r):
        kind, drawn = outcomes[j::r], _drawn(t, j, r)
        misses = len(kind) - sum(kind)
        value *= mp.mpf(mp.binomial(misses, drawn)) / mp.binomial(len(kind), drawn)
    return value


class _Scheduled(sp.Function):
    """``_Scheduled(which, q, confidence, r, outcomes of two images...)``."""

    def _eval_evalf(self, prec: int) -> sp.Expr | None:
        if self.free_symbols:
            return None
        with mp.workprec(prec + 40):
            q, sure = (mp.mpf(v.p) / v.q for v in map(sp.Rational, self.args[1:3]))
            which, r, *hit = (int(self.args[0]), *map(int, self.args[3:]))
            half = len(hit) // 2
            left = [
                [_left(t, r, *hit[:half]), _left(t, r, *hit[half:])]
                for t in range(half + 1)
            ]
            return _crossed(which, left, q, sure, prec)


def _kinds() -> Equality:
    """Over the law of the outcomes: three guesses, five patterns of two kinds."""
    a, b = sp.symbols("a b", positive=True)
    total = sum(
        sp.binomial(3, i)
        * a**i
        * (1 - a) ** (3 - i)
        * sp.binomial(2, k)
        * b**k
        * (1 - b) ** (2 - k)
        * _without(2, i, 3)
        * _without(1, k, 2)
        for i in range(4)
        for k in range(3)
    )
    drawn = [_drawn(3, j, 2) for j in range(2)]
    truth = (1 - a) ** drawn[0] * (1 - b) ** drawn[1]
    return proved("its mean over two kinds", sp.expand(total), truth)


# Two images of five patterns.
_HIT = [sp.Symbol(f"outcomes_{i}_{j}", nonnegative=True) for i, j in np.ndindex(2, 5)]
turn = sp.Symbol("turn", positive=True, integer=True)


def scheduled_survival() -> Derivation:
    """The kinds are drawn independently: their chances, and estimates, multiply."""
    law = (_Left(queries, turn, *_HIT[:5]) + _Left(queries, turn, *_HIT[5:])) / 2
    return Derivation(law, (_kinds(),))


def scheduled_interval() -> Derivation:
    """As `interval`, whose ends hold for the mean of any values in [0, 1]."""
    law = [_Scheduled(i, share, confidence, turn, *_HIT) for i in range(3)]
    return Derivation(sp.ImmutableMatrix(law), (_kinds(), *interval().steps[1:]))


class _Single(sp.Function):
    """``_Single(which, q, confidence, k, n)`` for one image."""

    nargs = 5

    def _eval_evalf(self, prec: int) -> sp.Expr | None:
        if self.free_symbols:
            return None
        with mp.workprec(prec + 40):
            which, k, n = (int(self.args[i]) for i in (0, 3, 4))
            q, sure = (mp.mpf(v.p) / v.q for v in map(sp.Rational, self.args[1:3]))
            tail = (1 - sure) / 2
            if which == 1:
                left = [mp.binomial(n - k, t) / mp.binomial(n, t) for t in range(n + 1)]
                count = next(t for t in range(n + 1) if left[t] <= 1 - q)
            else:
                at = (k + 1, n - k, 1 - tail) if which == 0 else (k, n - k + 1, tail)
                count = mp.ceil(mp.log(1 - q) / mp.log(1 - _quantile(*at)))
            return sp.Float(count, mp.libmp.prec_to_dps(prec))


def image_interval() -> Derivation:
    """Clopper and Pearson's ends, each as a count."""
    real = sp.log(1 - share) / sp.log(1 - p)
    law = [_Single(i, share, confidence, hits, tried) for i in range(3)]
    return Derivation(
        sp.ImmutableMatrix(law),
        (
            _unbiased(),
            proved("what it leaves", sp.exp(real * sp.log(1 - p)), 1 - share),
        ),
    )
