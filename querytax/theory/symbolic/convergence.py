"""Where walks of fixed step length settle, and how long they take."""

from __future__ import annotations

import sympy as sp

from querytax.theory.symbolic.derivation import Derivation, Equality, checked, proved

drift, step, begin, steps_ = sp.symbols("drift step start steps", positive=True)
end = sp.Symbol("displacement", positive=True)
_m, _top = sp.symbols("m L", positive=True)
_AT = {drift: sp.Rational(1, 3), step: sp.Rational(1, 7)}


def _plateau(norm: str, length: sp.Expr = step) -> sp.Expr:
    if norm == "L2":
        return 4 * drift / (length + sp.sqrt(length**2 + 16 * drift**2))
    return sp.coth(2 * drift / length) - length / (2 * drift)


def plateau(norm: str = "Linf") -> Derivation:
    """The stationary mean between two walls; the balance on a sphere."""
    law = _plateau(norm)
    if norm == "L2":
        # Projection takes a²/2 + a c m of the displacement m, drift adds a c.
        balance = step * drift - (step**2 / 2 + step * drift * _m) * _m
        at = balance.subs(_m, law)
        return Derivation(law, (proved("drift and projection balance", at, 0),))
    x = sp.Symbol("x", real=True)
    k = sp.Symbol("k", positive=True)
    density = sp.exp(k * x)
    # Drift c a and variance a² a step: no flux through any x.
    flux = step * drift * density - step**2 / 2 * sp.Derivative(density, x)
    mean = sp.integrate(x * density, (x, -1, 1)) / sp.integrate(density, (x, -1, 1))
    return Derivation(
        law,
        (
            proved("no flux", flux.subs(k, 2 * drift / step), 0),
            proved(
                "mean between the walls",
                mean.subs(k, 2 * drift / step),
                law.rewrite(sp.exp),
            ),
        ),
    )


def _relaxed(m: sp.Expr) -> sp.Expr:
    """Steps from 0 to m where the wall pushes back from the start."""
    return sp.log((1 + m * _top) / (1 - m / _top)) / (step * drift * (_top + 1 / _top))


def _rate() -> sp.Expr:
    """Mean progress of one step at displacement m."""
    return step * drift * (1 - _m / _top) * (1 + _m * _top)


def _pushed(norm: str) -> tuple[Equality, ...]:
    if norm == "Linf":
        return ()
    pull = step * drift - (step**2 / 2 + step * drift * _m) * _m
    at = {_top: _plateau(norm)}
    # After T steps it has spread over a²T and moved by m = c a T.
    reach = step**2 * (_m / (step * drift)) + _m**2
    twice = _plateau(norm, 2 * step)
    return (
        proved("the balance on the sphere, factored", pull, _rate().subs(at)),
        proved(
            "the walk meets the sphere at the plateau of twice the step",
            reach.subs(_m, twice),
            1,
        ),
    )


def steps(norm: str = "Linf") -> Derivation:
    """The integral of the reciprocal of the mean progress."""
    top = _plateau(norm)
    free = _plateau(norm, 2 * step) if norm == "L2" else sp.S.Zero
    flown = (sp.Min(end, free) - sp.Min(begin, free)) / (step * drift)
    relaxed = _relaxed(sp.Max(end, free)) - _relaxed(sp.Max(begin, free))
    law = sp.Piecewise((flown + relaxed.subs(_top, top), end < top), (sp.oo, True))
    return Derivation(
        law,
        (
            *_pushed(norm),
            proved("steps for each distance", sp.diff(_relaxed(_m), _m), 1 / _rate()),
            checked(
                "from the centre",
                sp.Integral(1 / _rate(), (_m, 0, end)),
                _relaxed(end),
                {**_AT, _top: sp.Rational(2, 3), end: sp.Rational(2, 5)},
            ),
        ),
    )


def displacement(norm: str = "Linf") -> Derivation:
    """The same path, solved for where it is."""
    top = _plateau(norm)
    taken = sp.Symbol("taken", positive=True)
    growth = sp.exp(taken * step * drift * (_top + 1 / _top))
    path = _top * (growth - 1) / (growth + _top**2)
    if norm == "Linf":
        law = path.subs(taken, steps_)
    else:
        free = _plateau(norm, 2 * step)
        flight = free / (step * drift)
        later = path.subs(taken, steps_ - flight + _relaxed(free))
        law = sp.Piecewise((steps_ * step * drift, steps_ <= flight), (later, True))
    return Derivation(
        law.subs(_top, top),
        (
            *_pushed(norm),
            proved("progress along it", sp.diff(path, taken), _rate().subs(_m, path)),
            checked(
                "inverse of the steps",
                path.subs(taken, _relaxed(end)),
                end,
                {**_AT, _top: sp.Rational(2, 3), end: sp.Rational(2, 5)},
            ),
        ),
    )
