"""Where the laws of an error under constant noise come from."""

from __future__ import annotations

import mpmath as mp
import sympy as sp

from querytax.theory.symbolic._numeric import Root
from querytax.theory.symbolic.derivation import Derivation, checked, proved

_NAMES = "snr contraction dimension pairs remaining steps"
_symbols = sp.symbols(_NAMES, positive=True)
snr, contraction, dimension, pairs, remaining_, steps_ = _symbols
# In units of the error at the start, and of its signal.
square = sp.Symbol("square", positive=True)


def _next() -> tuple[sp.Expr, sp.Expr]:
    """The best step on a mean square, and the mean square after it."""
    after = (1 - contraction) ** 2 * square + contraction**2 / snr
    best = sp.solve(sp.diff(after, contraction), contraction)[0]
    return best, sp.simplify(after.subs(contraction, best))


def steps() -> Derivation:
    """Every best step adds S to 1/E."""
    _, after = _next()
    n = sp.Symbol("n", positive=True)
    law = (1 / remaining_**2 - 1) / snr
    found = sp.solve(sp.Eq(1 + n * snr, 1 / remaining_**2), n)[0]
    return Derivation(
        law,
        (
            proved("information of one step", 1 / after - 1 / square, snr),
            proved("steps until 1/r²", found, law),
        ),
    )


def remaining() -> Derivation:
    """The same, read the other way."""
    _, after = _next()
    law = 1 / sp.sqrt(1 + steps_ * snr)
    n = sp.Symbol("n", positive=True)
    one = after.subs(square, 1 / (1 + n * snr))
    return Derivation(
        law,
        (proved("one step on", one, (law**2).subs(steps_, n + 1)),),
    )


def constant_step_floor() -> Derivation:
    """The mean square that a step leaves as it is."""
    after = (1 - contraction) ** 2 * square + contraction**2 / snr
    law = sp.sqrt(contraction / ((2 - contraction) * snr))
    found = sp.solve(after - square, square)[0]
    return Derivation(law, (proved("stationary", found, law**2),))


def _constant() -> sp.Expr:
    shrunk = (1 - contraction) ** (2 * steps_)
    return shrunk + (1 - shrunk) * contraction / ((2 - contraction) * snr)


def constant_step_remaining() -> Derivation:
    """The mean square's recursion, solved."""
    law = _constant()
    after = (1 - contraction) ** 2 * law + contraction**2 / snr
    return Derivation(
        sp.sqrt(law),
        (
            proved("one step on", after, law.subs(steps_, steps_ + 1)),
            proved("the start", law.subs(steps_, 0), sp.S.One),
        ),
    )


def constant_steps() -> Derivation:
    """Steps of a constant size, least over the size."""
    f = sp.Symbol("f", positive=True)
    end = snr * remaining_**2
    count = sp.log((remaining_**-2 - f) / (1 - f)) / (4 * sp.atanh(end * f))
    root = Root(sp.diff(count, f), f, sp.Rational(1, 1000), sp.Rational(999, 1000))
    law = sp.Piecewise(
        (sp.S.One, snr >= remaining_**-2 - 1), (count.subs(f, root), sp.true)
    )
    size = sp.solve(sp.Eq(contraction, f * end * (2 - contraction)), contraction)[0]
    left = _constant().subs(contraction, size)
    _, once = _next()
    at = {snr: sp.Rational(3), remaining_: sp.Rational(1, 10), f: sp.Rational(2, 3)}
    return Derivation(
        law,
        (
            checked("left after as many", left.subs(steps_, count), remaining_**2, at),
            proved("left after the best one", once.subs(square, 1), 1 / (1 + snr)),
        ),
    )


def _nes() -> tuple[sp.Expr, sp.Expr]:
    """w = 1/E after the best NES step, and the rates of the flows around it."""
    w = sp.Symbol("w", positive=True)
    p, d = pairs, dimension
    second = (1 + (d + 1) / p) / w + d / (p * snr)
    size = sp.Symbol("size", positive=True)
    after = 1 / w - 2 * size / w + size**2 * second
    best = sp.solve(sp.diff(after, size), size)[0]
    return w, sp.simplify(1 / after.subs(size, best))


def _flow(inertia: sp.Expr) -> tuple[sp.Expr, sp.Expr]:
    w = sp.Symbol("w", positive=True)
    rate = pairs * w / (inertia + dimension * w / snr)
    spent = sp.integrate(sp.expand(pairs / rate), (w, 1, 1 / remaining_**2))
    law = dimension / snr * (1 / remaining_**2 - 1) - 2 * inertia * sp.log(remaining_)
    return spent, law


def nes_pairs() -> Derivation:
    """The flow that the best steps outrun."""
    spent, law = _flow(pairs + dimension + 1)
    w, after = _nes()
    told = w * (1 + pairs / (dimension + 1 + dimension * w / snr))
    return Derivation(
        law,
        (
            proved("pairs spent by the flow", spent, sp.expand_log(law)),
            proved("one best step", after, told),
        ),
    )


def nes_least_pairs() -> Derivation:
    """The flow of which the best steps are Euler's, and so fall behind."""
    spent, law = _flow(dimension + 1)
    w, after = _nes()
    rate = pairs * w / (dimension + 1 + dimension * w / snr)
    return Derivation(
        law,
        (
            proved("pairs spent by the flow", spent, sp.expand_log(law)),
            proved("Euler's step", after, w + rate),
        ),
    )


class Repeated(sp.Function):
    """1/√w after best NES steps: (snr, dimension, pairs, steps)."""

    nargs = 4

    def _eval_evalf(self, prec: int) -> sp.Expr | None:
        if self.free_symbols:
            return None
        with mp.workprec(prec + 40):
            s, d, p, n = (mp.mpf(sp.N(a, mp.mp.dps)._mpf_) for a in self.args)
            w = mp.mpf(1)
            for _ in range(int(n)):
                w *= 1 + p / (d + 1 + d * w / s)
            return sp.Float._new((1 / mp.sqrt(w))._mpf_, prec)


def nes_remaining() -> Derivation:
    """The best steps themselves."""
    w, after = _nes()
    told = w * (1 + pairs / (dimension + 1 + dimension * w / snr))
    return Derivation(
        Repeated(snr, dimension, pairs, steps_),
        (proved("one best step", after, told),),
    )
