"""Votes as binomial sums, and bisection as the tree of its answers."""

from __future__ import annotations

from itertools import product

import mpmath as mp
import sympy as sp

from querytax.theory.symbolic._normal import Phi
from querytax.theory.symbolic.derivation import Derivation, Equality, checked, proved

label_error, margin_sigma, ray_sigma, boundary = sp.symbols(
    "label_error margin_sigma ray_sigma boundary", positive=True
)
votes, halvings, queries = sp.symbols(
    "votes halvings queries", positive=True, integer=True
)
_AT = {boundary: sp.Rational(3, 5), ray_sigma: sp.Rational(1, 7)}


def _half(count: sp.Expr) -> sp.Expr:
    """k = ⌊(V+1)/2⌋, the wrong labels of an odd count that lose the vote."""
    return sp.floor((count + 1) / 2)


def _tail(count: int) -> sp.Expr:
    """More than half of the labels wrong, and half of a tie, as a binomial sum."""
    chance = [
        sp.binomial(count, i) * label_error**i * (1 - label_error) ** (count - i)
        for i in range(count + 1)
    ]
    tie = chance[count // 2] / 2 if count % 2 == 0 else sp.S.Zero
    return sum(chance[count // 2 + 1 :]) + tie


def _beta(count: sp.Expr) -> sp.Expr:
    """The same by the incomplete beta function."""
    k = _half(count)
    return sp.betainc_regularized(k, k, 0, label_error)


def majority() -> Derivation:
    """Binomial sums and the beta integral; an even count is the odd one below."""
    x = sp.Symbol("x", positive=True)
    sums = []
    for count in (1, 3, 5):
        k = (count + 1) // 2
        area = sp.Integral((x * (1 - x)) ** (k - 1), (x, 0, label_error))
        sums.append(
            proved(
                f"{count} votes as a beta integral",
                area / sp.beta(k, k).rewrite(sp.gamma),
                _tail(count),
            )
        )
    return Derivation(
        _beta(votes),
        (
            *sums,
            *(proved(f"{n} votes", _tail(n), _tail(n - 1)) for n in (2, 4, 6)),
            checked(
                "the law's form", _tail(7), _beta(7), {label_error: sp.Rational(1, 5)}
            ),
        ),
    )


def voted_sigma() -> Derivation:
    """Slope of the vote at the boundary, against that of one label."""
    k = _half(votes)
    law = margin_sigma * 4 ** (k - 1) / ((2 * k - 1) * sp.binomial(2 * k - 2, k - 1))
    m = sp.Symbol("m", real=True)
    one = sp.diff(Phi(m / margin_sigma), m).subs(m, 0)

    def steep(count: int) -> sp.Expr:
        vote = _tail(count).subs(label_error, Phi(m / margin_sigma))
        return sp.Subs(sp.Derivative(vote, m), m, 0)

    return Derivation(
        law,
        tuple(
            proved(
                f"slope of {n} votes",
                steep(n),
                one.subs(margin_sigma, law.subs(votes, n)),
            )
            for n in (3, 4, 7)
        ),
    )


def _answer(place: sp.Expr, count: sp.Expr) -> sp.Expr:
    """Chance that the vote at a place finds it adversarial."""
    k = _half(count)
    wrong = Phi((place - boundary) / ray_sigma)
    if k.is_Integer and k <= 3:
        return _tail(2 * int(k) - 1).subs(label_error, wrong)
    return sp.betainc_regularized(k, k, 0, wrong)


def _tree(steps: int, count: sp.Expr, value: sp.Lambda) -> sp.Expr:
    """Mean of ``value`` at the centre of the returned cell, halving by halving."""

    def below(low: sp.Expr, width: sp.Expr, left: int) -> sp.Expr:
        middle = low + width / 2
        if left == 0:
            return value(middle)
        down = _answer(middle, count)
        return down * below(low, width / 2, left - 1) + (1 - down) * below(
            middle, width / 2, left - 1
        )

    return below(sp.S.Zero, sp.S.One, steps)


class CellMean(sp.Function):
    """E of (x̂ - centre)^power: a tree, once halvings and votes are numbers."""

    nargs = 6

    def doit(self, **hints: object) -> sp.Expr:
        r, s, n, t, centre, power = self.args
        x = sp.Symbol("x")
        tree = _tree(int(n), t, sp.Lambda(x, (x - centre) ** power))
        return tree.subs({boundary: r, ray_sigma: s}, simultaneous=True)

    def _eval_evalf(self, prec: int) -> sp.Expr | None:
        if self.free_symbols:
            return None
        with mp.workprec(prec + 80):
            r, s, n, t, centre, power = (
                mp.mpf(x.p) / x.q for x in map(sp.Rational, self.args)
            )
            k = int(t + 1) // 2

            def below(low: mp.mpf, width: mp.mpf, left: int) -> mp.mpf:
                middle = low + width / 2
                if left == 0:
                    return (middle - centre) ** int(power)
                wrong = mp.ncdf((middle - r) / s)
                down = mp.betainc(k, k, 0, wrong, regularized=True)
                nearer = below(low, width / 2, left - 1)
                return down * nearer + (1 - down) * below(middle, width / 2, left - 1)

            value = below(mp.mpf(0), mp.mpf(1), int(n))
            return sp.Float._new(value._mpf_, prec)


def _enumerated(steps: int, count: int) -> dict[sp.Expr, sp.Expr]:
    """Probability of each cell's centre, path by path of answers."""
    cells = {}
    for path in product((0, 1), repeat=steps):
        low, width, chance = sp.S.Zero, sp.S.One, sp.S.One
        for up in path:
            width /= 2
            wrong = _tail(count).subs(
                label_error, Phi((low + width - boundary) / ray_sigma)
            )
            chance *= 1 - wrong if up else wrong
            low += width * up
        cells[low + width / 2] = chance
    return cells


def _paths(centre: sp.Expr, power: int) -> Equality:
    terms = ((x - centre) ** power * p for x, p in _enumerated(3, 4).items())
    return checked(
        "three steps of four votes, path by path",
        sum(terms),
        CellMean(boundary, ray_sigma, 3, 4, centre, power),
        _AT,
    )


def _nested(centre: sp.Expr, power: int) -> Equality:
    pair = CellMean(boundary, ray_sigma, 2, 3, centre, power)
    return checked("two steps of three votes, written out", pair.doit(), pair, _AT)


def cells() -> Derivation:
    """Two steps of one label, as a row of four."""
    found = _enumerated(2, 1)
    law = sp.ImmutableMatrix([found[x] for x in sorted(found)])
    first = Phi((sp.S.Half - boundary) / ray_sigma)
    return Derivation(
        law,
        (
            proved("the lower half is the first answer", law[0] + law[1], first),
            proved("one of the cells is returned", sum(law), 1),
        ),
    )


def mean_estimate() -> Derivation:
    """The tree against the sum over paths."""
    law = CellMean(boundary, ray_sigma, halvings, votes, sp.S.Zero, sp.S.One)
    mirrored = CellMean(1 - boundary, ray_sigma, 3, 5, sp.S.Zero, sp.S.One)
    same = CellMean(boundary, ray_sigma, 3, 5, sp.S.Zero, sp.S.One)
    return Derivation(
        law,
        (
            _paths(sp.S.Zero, 1),
            _nested(sp.S.Zero, 1),
            checked("mirrored", 1 - mirrored, same, _AT),
        ),
    )


def rmse() -> Derivation:
    """The same with squared errors."""
    law = sp.sqrt(CellMean(boundary, ray_sigma, halvings, votes, boundary, 2))
    # Without noise it returns the cell of the boundary, 1/16 from 11/16.
    quiet = {boundary: sp.Rational(3, 5), ray_sigma: sp.Rational(1, 10**4)}
    exact = CellMean(boundary, ray_sigma, 3, 1, boundary, 2)
    return Derivation(
        law,
        (
            _paths(boundary, 2),
            _nested(boundary, 2),
            checked(
                "without noise", exact, (sp.Rational(9, 16) - boundary) ** 2, quiet
            ),
        ),
    )


def information_rmse() -> Derivation:
    """A label tells most at the boundary; so many of them, by Cramér and Rao."""
    m = sp.Symbol("m", real=True)
    right = Phi(m / ray_sigma)
    label = sp.diff(right, m) ** 2 / (right * (1 - right))
    most = sp.Limit(label, m, 0)
    law = ray_sigma * sp.sqrt(sp.pi / (2 * queries))
    return Derivation(
        law,
        (
            proved(
                "variance of one label's best estimate", 1 / most, (law**2 * queries)
            ),
            proved(
                "no label tells more near it",
                sp.Limit(sp.diff(label, m), m, 0),
                0,
            ),
        ),
    )
