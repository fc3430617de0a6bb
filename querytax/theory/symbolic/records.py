"""Where the laws of a keep-the-best search come from."""

from __future__ import annotations

from itertools import product

import mpmath as mp
import sympy as sp
from sympy.functions.combinatorial.numbers import stirling

from querytax.theory.symbolic._normal import Phi, phi
from querytax.theory.symbolic._numeric import Quadrature
from querytax.theory.symbolic.derivation import Derivation, checked, proved

queries = sp.Symbol("queries", positive=True, integer=True)
accepted = sp.Symbol("accepted", nonnegative=True, integer=True)
k, u, z, y = sp.symbols("k u z y", positive=True)


def _chance() -> sp.Expr:
    """That the k-th of uniform answers is the least: the others lie above it."""
    return sp.integrate((1 - u) ** (k - 1), (u, 0, 1), conds="none")


def accepted_mean() -> Derivation:
    """Sum of the chances."""
    law = sp.harmonic(queries) - 1
    total = sum(_chance().subs(k, j) for j in range(2, 8))
    return Derivation(
        law,
        (
            proved("the k-th is the best so far", _chance(), 1 / k),
            proved("sum over seven", total, law.subs(queries, 7)),
        ),
    )


def accepted_mean_tied() -> Derivation:
    """Three values: an answer is accepted where all before it lie below."""
    p = sp.symbols("chances_:3", positive=True)
    below = [sum(p[:j], sp.S.Zero) for j in range(3)]
    above = [sum(p[j:], sp.S.Zero) for j in range(3)]
    law = sum(
        q * f * (1 - f ** (queries - 1)) / a
        for q, f, a in zip(p, below, above, strict=True)
    )
    whole = {p[2]: 1 - p[0] - p[1]}
    counted = sp.S.Zero
    for answers in product(range(3), repeat=4):
        bests = sum(answers[i] > max(answers[:i]) for i in range(1, len(answers)))
        counted += bests * sp.prod([p[j] for j in answers])
    return Derivation(
        law,
        (
            proved(
                "all rows of four answers, counted",
                sp.expand(counted.subs(whole)),
                law.subs(queries, 4).subs(whole),
            ),
        ),
    )


def accepted_variance() -> Derivation:
    """Sum of the variances of independent verdicts."""
    law = sp.harmonic(queries) - sp.harmonic(queries, 2)
    chance = [_chance().subs(k, j) for j in range(1, 8)]
    total = sum(p * (1 - p) for p in chance)
    return Derivation(law, (proved("sum over seven", total, law.subs(queries, 7)),))


def _transform(at: sp.Expr) -> sp.Expr:
    """E z^N."""
    return sp.gamma(queries + at) / (sp.gamma(1 + at) * sp.gamma(queries + 1))


def _verdicts(count: int) -> sp.Expr:
    return sp.prod([1 - sp.Integer(1) / j + z / j for j in range(2, count + 1)])


def _row(count: int) -> list[int]:
    """Stirling's numbers of the first kind, without sign."""
    row = [0, 1]
    for q in range(2, count + 1):
        row = [
            (row[r - 1] if r else 0) + (q - 1) * (row[r] if r < q else 0)
            for r in range(q + 1)
        ]
    return row


class Share(sp.Function):
    """``Share(R, Q)``: Stirling's number over Q!."""

    nargs = 2

    def _eval_evalf(self, prec: int) -> sp.Expr | None:
        if self.free_symbols:
            return None
        records, count = (int(a) for a in self.args)
        with mp.workprec(prec + 40):
            value = mp.mpf(_row(count)[records]) / mp.factorial(count)
            return sp.Float._new(value._mpf_, prec)


class Rooted(sp.Function):
    """``Rooted(Q)``: the mean of √(R - 1) under these shares."""

    nargs = 1

    def _eval_evalf(self, prec: int) -> sp.Expr | None:
        if self.free_symbols:
            return None
        count = int(self.args[0])
        with mp.workprec(prec + 40):
            terms = [mp.sqrt(r) * n for r, n in enumerate(_row(count)[1:])]
            value = mp.fsum(terms) / mp.factorial(count)
            return sp.Float._new(value._mpf_, prec)


def accepted_root() -> Derivation:
    """√n as an integral over exp(-y² n)."""
    n = sp.Symbol("n", positive=True)
    law = Rooted(queries)
    one = sp.integrate((1 - sp.exp(-n * y**2)) / y**2, (y, 0, sp.oo))
    law_of_7 = sp.Poly(sp.expand(_verdicts(7)), z).all_coeffs()[::-1]
    total = sum(sp.sqrt(j) * p for j, p in enumerate(law_of_7))
    return Derivation(
        law,
        (
            proved("the root", one / sp.sqrt(sp.pi), sp.sqrt(n)),
            proved(
                "seven verdicts",
                sp.expand(_verdicts(7)),
                sp.expand(sp.expand_func(_transform(z).subs(queries, 7)).simplify()),
            ),
            checked("sum over seven", total, law.subs(queries, 7), {z: 1}),
        ),
    )


def log_accepted() -> Derivation:
    """Coefficients of the product of the verdicts."""
    found = sp.Poly(sp.expand(_verdicts(9)), z).coeff_monomial(z**3)
    told = stirling(9, 4, kind=1) / sp.factorial(9)
    return Derivation(
        sp.log(Share(accepted + 1, queries)),
        (
            proved("three of nine", found, told),
            checked("its recursion", Share(4, 9), found, {z: 1}),
        ),
    )


def best_of() -> Derivation:
    """Mean of the greatest."""
    x = sp.Symbol("x", real=True)
    inside = queries * x * phi(x) * Phi(x) ** (queries - 1)
    law = Quadrature(inside, (x, -sp.oo, 0)) + Quadrature(inside, (x, 0, sp.oo))
    # -Q ln Φ is exponential: chance that the greatest lies below Φ⁻¹(exp(-y/Q)).
    below = sp.exp(-y / queries) ** queries
    return Derivation(
        law,
        (
            checked("of two", law.subs(queries, 2), 1 / sp.sqrt(sp.pi), {queries: 2}),
            checked(
                "of three", law.subs(queries, 3), 3 / (2 * sp.sqrt(sp.pi)), {queries: 3}
            ),
            proved("an exponential", sp.simplify(below), sp.exp(-y)),
        ),
    )
